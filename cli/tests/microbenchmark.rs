//! Does every row of the suite run, and does its work happen in other processes?
//!
//! The times are tiny and only a part of the work is done: nothing here says how fast anything is.

use std::process::Command;

use serde_json::Value;

fn run(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_rustyray")).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{arguments:?} ended with {}:\n{said}{shown}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}:\n{shown}"))
}

/// Each row, and whether tasks or actor calls are part of it.
const ROWS: [(&str, bool); 23] = [
    ("single client get calls (Plasma Store)", false),
    ("single client put calls (Plasma Store)", false),
    ("multi client put calls (Plasma Store)", true),
    ("single client put gigabytes", false),
    ("single client tasks and get batch", true),
    ("multi client put gigabytes", true),
    ("single client get object containing 10k refs", false),
    ("single client wait 1k refs", true),
    ("single client tasks sync", true),
    ("single client tasks async", true),
    ("multi client tasks async", true),
    ("1:1 actor calls sync", true),
    ("1:1 actor calls async", true),
    ("1:1 actor calls concurrent", true),
    ("1:n actor calls async", true),
    ("n:n actor calls async", true),
    ("n:n actor calls with arg async", true),
    ("1:1 async-actor calls sync", true),
    ("1:1 async-actor calls async", true),
    ("1:1 async-actor calls with args async", true),
    ("1:n async-actor calls async", true),
    ("n:n async-actor calls async", true),
    ("placement group create/removal", false),
];

#[test]
fn every_row_runs_and_does_its_work_in_other_processes() {
    let pace = ["--seconds", "0.002", "--warm-up", "0.002", "--trials", "2", "--scale", "0.005"];
    let report = run(&[&["microbenchmark", "--json", "--no-physics"][..], &pace].concat());
    let rows = report["rows"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ROWS.map(|(name, _)| name));
    for (row, (name, calls)) in rows.iter().zip(ROWS) {
        assert_eq!(row["state"], "measured", "{row}");
        assert_eq!(row["trials"].as_array().map(Vec::len), Some(2), "{row}");
        assert!(row["mean"].as_f64().unwrap() > 0.0, "{row}");
        // The row itself compares this number with the calls that it made.
        let elsewhere = row["calls_in_other_processes"].as_u64().unwrap();
        assert_eq!(elsewhere > 0, calls, "{row}");
        assert_eq!(row["other_processes"].as_u64().unwrap() > 0, calls, "{row}");
        let one_operation = name.ends_with("sync") && !name.ends_with("async")
            || name.contains("single client") && name.contains("Plasma");
        assert_eq!(row["p50_ns"].is_u64(), one_operation, "{row}");
    }
}

#[test]
fn the_limits_of_one_node_are_passed() {
    let report =
        run(&["microbenchmark", "--limits", "--json", "--scale", "0.002", "--largest-mib", "4"]);
    let passed = report["passed"].as_array().unwrap();
    assert_eq!(passed.len(), 8);
    assert!(passed.iter().all(|limit| limit["seconds"].as_f64().unwrap() > 0.0), "{report}");
}

#[test]
fn the_limits_of_the_machine_are_measured() {
    let limits = run(&["physics", "--json", "--seconds", "0.002", "--copy-mib", "1"]);
    let limits = limits.as_object().unwrap();
    assert_eq!(limits.len(), 12);
    assert!(limits.values().all(|limit| limit.as_f64().unwrap() > 0.0), "{limits:?}");
}

#[test]
fn a_pattern_that_no_row_has_is_an_error_of_the_command_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_rustyray"))
        .args(["microbenchmark", "no such row"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no such row"));
}
