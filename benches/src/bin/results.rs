//! Writes what was measured as Markdown: `results DIRECTORY`, where `benches/results` has left it.
//!
//! Every section names the command that makes its figures again. A file that is not there leaves its
//! section out; a run that was not optimised, or quicker than Ray's method, is refused: its figures compare
//! with nothing.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let Some(directory) = env::args_os().nth(1) else {
        eprintln!("usage: results DIRECTORY");
        return ExitCode::from(2);
    };
    match render(Path::new(&directory)) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn render(directory: &Path) -> Outcome<String> {
    let read = |name: &str| -> Outcome<Option<Value>> {
        let path = directory.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(
                serde_json::from_slice(&bytes)
                    .map_err(|error| format!("{}: {error}", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display()).into()),
        }
    };
    let suite = read("suite.json")?.ok_or("there is no suite.json to begin with")?;
    if !suite["optimised"].as_bool().unwrap_or(false) {
        return Err("suite.json is of a build that was not optimised".into());
    }
    let method = [("warm_up_s", 1.0), ("trials", 4.0), ("trial_s", 2.0), ("scale", 1.0)];
    if let Some((name, ray)) = method.iter().find(|(name, ray)| suite[*name].as_f64() != Some(*ray))
    {
        return Err(format!("suite.json has {name} = {}, Ray's is {ray}", suite[*name]).into());
    }
    let mut text = heading(&suite);
    text += &rows(&suite);
    text += &physics(&suite["limits"]);
    if let Some(limits) = read("limits.json")? {
        if limits["optimised"] != true || limits["scale"].as_f64() != Some(1.0) {
            return Err("limits.json is not of an optimised build, or not of the whole work".into());
        }
        text += &node_limits(&limits);
    }
    if let Some(rivals) = read("rivals.json")? {
        text += &rivals_of(&rivals);
    }
    text += &questions(&criterion_directory()?)?;
    if let Ok(said) = fs::read_to_string(directory.join("questions.txt")) {
        text += &printed(&said, "idle", "Idle");
        text += &printed(&said, "recording", "Recording tasks while somebody looks");
    }
    text.truncate(text.trim_end().len());
    Ok(text + "\n")
}

fn heading(suite: &Value) -> String {
    let machine = &suite["machine"];
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.unwrap_or_default()
    };
    let time = format!("@{}", suite["unix_time_s"]);
    let ray = match suite["beside"]["ray"].as_str() {
        Some(version) => format!(
            "Ray {version} on Python {}, on the same machine, just before",
            text(&suite["beside"]["python"])
        ),
        None => {
            "Ray's figures are those that it publishes, and those of a machine of this kind".into()
        }
    };
    format!(
        "# Results\n\nMade by `benches/results`; nothing here is written by hand.\n\n\
         | | |\n| --- | --- |\n\
         | date | {} |\n| machine | {}, {} cores, {} MiB |\n| kernel | Linux {} |\n\
         | other work | a load average of {} when it began |\n\
         | RustyRay | {}, commit {} |\n| compiler | {}, profile `release-lto` |\n| Ray | {ray} |\n\n",
        said("date", &["--utc", "--date", &time, "+%Y-%m-%d %H:%M UTC"]),
        text(&machine["processor"]),
        machine["cores"],
        machine["memory_mib"],
        text(&machine["kernel"]),
        number(&suite["load_average"]),
        text(&suite["rustyray"]),
        said("git", &["rev-parse", "--short=10", "HEAD"]),
        said("rustc", &["--version"]),
    )
}

fn rows(suite: &Value) -> String {
    let beside = suite["beside"].is_object();
    let command = if beside { "benches/beside_ray/run" } else { "rustyray microbenchmark" };
    let mut table = format!(
        "## The rows of `ray microbenchmark`\n\n```sh\n{command}\n```\n\n\
         Per second; mean ± standard deviation of four trials of two seconds. p50 and p99 are of single \
         operations. *Takes* is how many times longer a row takes than the limit of this machine that it \
         rests on. Ray's suite puts gigabytes of zeroes that were never written, of which the kernel has one \
         page for all, so its copy reads nothing from memory; ours reads what was written.\n\n\
         | row | RustyRay | p50 | p99 |{} Ray, 2 cores | Ray, 64 cores | takes |\n\
         | --- | ---: | ---: | ---: |{} ---: | ---: | ---: |\n",
        if beside { " Ray here |" } else { "" },
        if beside { " ---: |" } else { "" },
    );
    for row in suite["rows"].as_array().into_iter().flatten() {
        let name = text(&row["name"]);
        if row["state"] != "measured" {
            table += &format!("| {name} | {}: {} |\n", text(&row["state"]), text(&row["reason"]));
            continue;
        }
        let gigabytes = if row["unit"] == "GB/s" { " GB" } else { "" };
        let here = match beside {
            true => {
                format!(" **{}×** ({}) |", number(&row["times_ray_here"]), number(&row["ray_here"]))
            }
            false => String::new(),
        };
        table += &format!(
            "| {name} | {} ± {}{gigabytes} | {} | {} |{here} {}× | {}× | {}× {} |\n",
            number(&row["mean"]),
            number(&row["deviation"]),
            time(&row["p50_ns"]),
            time(&row["p99_ns"]),
            number(&row["times_ray_2_cores"]),
            number(&row["times_ray_64_cores"]),
            number(&row["limit"]["times_longer"]),
            text(&row["limit"]["name"]),
        );
    }
    table + "\n"
}

fn physics(limits: &Value) -> String {
    let mut table =
        "## What this machine allows\n\n```sh\nrustyray physics\n```\n\n| | |\n| --- | ---: |\n"
            .to_owned();
    for (name, value) in limits.as_object().into_iter().flatten() {
        let (what, unit) = [("_ns", "ns"), ("_ms", "ms"), ("_gb_per_s", "GB/s"), ("_per_s", "/s")]
            .iter()
            .find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, *unit)))
            .unwrap_or((name, ""));
        table += &format!("| {} | {} {unit} |\n", what.replace('_', " "), number(value));
    }
    table + "\n"
}

fn node_limits(limits: &Value) -> String {
    let mut table = "## What Ray states as the limits of one node\n\n```sh\nrustyray microbenchmark \
                     --limits\n```\n\nRay's seconds are those it states for its own machine.\n\n\
                     | | seconds | Ray | submitting | memory |\n| --- | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    for passed in limits["passed"].as_array().into_iter().flatten() {
        let with = |value: &Value, unit: &str| match value.as_f64() {
            Some(_) => format!("{} {unit}", number(value)),
            None => String::new(),
        };
        table += &format!(
            "| {} | {} | {} | {} | {} |\n",
            text(&passed["name"]),
            passed["seconds"].as_f64().map_or_else(String::new, |seconds| format!("{seconds:.4}")),
            with(&passed["ray_seconds"], "s"),
            with(&passed["submit_ns_per_task"], "ns a task"),
            with(&passed["bytes_per_queued_task"], "B a task"),
        );
    }
    table + "\n"
}

fn rivals_of(rivals: &Value) -> String {
    let mut section = "## Other systems\n\n```sh\ncargo run --release --manifest-path \
                       benches/rivals/Cargo.toml\n```\n\nMedians, with the fastest and the slowest batch; \
                       each on a part of the work only.\n\n"
        .to_owned();
    for rival in rivals.as_array().into_iter().flatten() {
        section += &format!("**{}** {}.\n\n", text(&rival["rival"]), text(&rival["does_not"]));
        section += "| | median | fastest | slowest |\n| --- | ---: | ---: | ---: |\n";
        for figure in rival["figures"].as_array().into_iter().flatten() {
            let per_second = figure["unit"] == "per_second";
            let show = |value: &Value| match per_second {
                true => format!("{} /s", number(value)),
                false => time(value),
            };
            let (fastest, slowest) = if per_second { ("most", "least") } else { ("least", "most") };
            section += &format!(
                "| {} | {} | {} | {} |\n",
                text(&figure["what"]),
                show(&figure["median"]),
                show(&figure[fastest]),
                show(&figure[slowest]),
            );
        }
        section += "\n";
    }
    section
}

/// Where criterion leaves what it measured.
fn criterion_directory() -> Outcome<PathBuf> {
    let metadata = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout)?;
    let target = metadata["target_directory"].as_str().ok_or("cargo names no target directory")?;
    Ok(Path::new(target).join("criterion"))
}

fn questions(criterion: &Path) -> Outcome<String> {
    let mut found = Vec::new();
    collect(criterion, &mut found)?;
    if found.is_empty() {
        return Ok(String::new());
    }
    found.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    let mut table = "## One question each\n\n```sh\ncargo bench -p rustyray-benches\n```\n\nMedian time of one \
                     iteration, with the 95% confidence interval; the files of `benches/benches` say what an \
                     iteration is and what it does not show.\n\n\
                     | | median | from | to |\n| --- | ---: | ---: | ---: |\n"
        .to_owned();
    for (name, estimates) in found {
        let median = &estimates["median"];
        let interval = &median["confidence_interval"];
        table += &format!(
            "| {name} | {} | {} | {} |\n",
            time(&median["point_estimate"]),
            time(&interval["lower_bound"]),
            time(&interval["upper_bound"]),
        );
    }
    Ok(table + "\n")
}

/// The estimates below a directory, by the full name of what was measured.
fn collect(directory: &Path, found: &mut Vec<(String, Value)>) -> Outcome<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.ends_with("new") {
            let benchmark: Value = serde_json::from_slice(&fs::read(path.join("benchmark.json"))?)?;
            let estimates: Value = serde_json::from_slice(&fs::read(path.join("estimates.json"))?)?;
            found.push((text(&benchmark["full_id"]).to_owned(), estimates));
        } else if path.is_dir() {
            collect(&path, found)?;
        }
    }
    Ok(())
}

/// What a bench has printed that finds its figures itself: from the line that begins with its name to the last below it
/// that is indented.
fn printed(said: &str, bench: &str, heading: &str) -> String {
    let is_first =
        |line: &&str| line.strip_prefix(bench).is_some_and(|rest| rest.starts_with([' ', ':']));
    let lines: Vec<_> = said
        .lines()
        .skip_while(|line| !is_first(line))
        .take_while(|line| is_first(line) || line.starts_with("  "))
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    format!(
        "## {heading}\n\n```sh\ncargo bench -p rustyray-benches --bench {bench}\n```\n\n```text\n{}\n```\n\n",
        lines.join("\n")
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn time(value: &Value) -> String {
    match value.as_f64() {
        None => String::new(),
        Some(ns) if ns < 1e3 => format!("{ns:.0} ns"),
        Some(ns) if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        Some(ns) if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        Some(ns) => format!("{:.2} s", ns / 1e9),
    }
}

/// Three significant digits, with separators.
fn number(value: &Value) -> String {
    let Some(value) = value.as_f64() else { return String::new() };
    if value.abs() < 1000.0 {
        let decimals = if value.abs() < 10.0 { 2 } else { usize::from(value.abs() < 100.0) };
        return format!("{value:.decimals$}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What `rustyray microbenchmark --save` writes, of two rows and of one that was not measured.
    fn suite() -> Value {
        json!({
            "optimised": true, "warm_up_s": 1.0, "trials": 4, "trial_s": 2.0, "scale": 1.0,
            "unix_time_s": 1_700_000_000, "rustyray": "0.1.0", "load_average": 0.25,
            "machine": { "processor": "A Processor", "cores": 2, "memory_mib": 8000, "kernel": "6.1" },
            "rows": [
                {
                    "name": "single client tasks async", "state": "measured", "unit": "1/s",
                    "mean": 1_234_567.0, "deviation": 8_900.0, "p50_ns": 800.0, "p99_ns": 2_400.0,
                    "times_ray_2_cores": 2000.9, "times_ray_64_cores": 153.5,
                    "limit": { "name": "ring", "times_longer": 3.1 },
                },
                {
                    "name": "single client put gigabytes", "state": "measured", "unit": "GB/s",
                    "mean": 9.104, "deviation": 0.2, "p50_ns": 8.1e7, "p99_ns": 1.2e9,
                    "times_ray_2_cores": 11.82, "times_ray_64_cores": 0.457,
                    "limit": { "name": "memcpy", "times_longer": 1.2 },
                },
                { "name": "multi client put gigabytes", "state": "skipped", "reason": "no room" },
            ],
            "limits": { "futex_wake_ns": 470.0, "copy_gb_per_s": 12.0 },
        })
    }

    #[test]
    fn rows_become_a_table() {
        let table = rows(&suite());
        assert!(table.contains("rustyray microbenchmark\n"), "{table}");
        let tasks = "| single client tasks async | 1,234,567 ± 8,900 | 800 ns | 2.40 µs | 2,001× | 154× | \
                     3.10× ring |\n";
        assert!(table.contains(tasks), "{table}");
        let put = "| single client put gigabytes | 9.10 ± 0.20 GB | 81.00 ms | 1.20 s | 11.8× | 0.46× | \
                   1.20× memcpy |\n";
        assert!(table.contains(put), "{table}");
        assert!(table.contains("| multi client put gigabytes | skipped: no room |\n"), "{table}");
    }

    #[test]
    fn beside_ray_there_is_a_column_more() {
        let mut suite = suite();
        suite["beside"] = json!({ "ray": "2.60.0", "python": "3.12" });
        suite["rows"][0]["times_ray_here"] = json!(1799.6);
        suite["rows"][0]["ray_here"] = json!(686.0);
        let table = rows(&suite);
        assert!(
            table.contains("| row | RustyRay | p50 | p99 | Ray here | Ray, 2 cores |"),
            "{table}"
        );
        assert!(table.contains("| **1,800×** (686) | 2,001× |"), "{table}");
        let columns = |line: &str| line.matches('|').count();
        let lines: Vec<_> = table.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(columns(lines[0]), columns(lines[1]));
        assert_eq!(columns(lines[0]), columns(lines[2]));
    }

    #[test]
    fn figures_that_compare_with_nothing_are_refused() {
        let refused = |change: &dyn Fn(&mut Value)| {
            let directory = env::temp_dir().join(format!(
                "rustyray-results-{}-{:?}",
                std::process::id(),
                std::thread::current().id()
            ));
            fs::create_dir_all(&directory).expect("a directory");
            let mut suite = suite();
            change(&mut suite);
            fs::write(directory.join("suite.json"), suite.to_string()).expect("it is written");
            let outcome = render(&directory).map_err(|error| error.to_string());
            fs::remove_dir_all(&directory).expect("it is there");
            outcome
        };
        let whole = refused(&|_| ()).expect("these compare");
        assert!(whole.contains("A Processor, 2 cores, 8000 MiB"), "{whole}");
        assert!(whole.contains("| futex wake | 470 ns |"), "{whole}");
        let unoptimised = refused(&|suite| suite["optimised"] = json!(false));
        assert!(unoptimised.expect_err("refused").contains("not optimised"));
        let quick = refused(&|suite| suite["trial_s"] = json!(0.1));
        assert!(quick.expect_err("refused").contains("trial_s = 0.1"));
        assert!(render(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn what_a_bench_finds_itself_is_taken_from_what_all_of_them_print() {
        let said = "put/64 bytes   time: [1 ns 2 ns 3 ns]\n     Running benches/idle.rs\nidle for 5 s: turns\n  driver 7: 0.1%\n\
                    \n     Running benches/recording.rs\nrecording: how much more\n  tasks: +1.6 %\n  actors: +4.7 %\nspill/x\n  no\n";
        let recording = printed(said, "recording", "Recording");
        assert!(recording.contains("--bench recording\n"), "{recording}");
        let figures = "```text\nrecording: how much more\n  tasks: +1.6 %\n  actors: +4.7 %\n```\n";
        assert!(recording.contains(figures), "{recording}");
        let idle = printed(said, "idle", "Idle");
        assert!(idle.contains("```text\nidle for 5 s: turns\n  driver 7: 0.1%\n```\n"), "{idle}");
        assert_eq!(printed("put/64 bytes\n  1 ns\n", "idle", "Idle"), "", "it did not run");
    }

    #[test]
    fn numbers_have_three_digits_and_separators() {
        let shown: Vec<_> =
            [0.457, 9.104, 11.82, 154.4, 1_000.0, 1_234_567.0].map(|n| number(&json!(n))).into();
        assert_eq!(shown, ["0.46", "9.10", "11.8", "154", "1,000", "1,234,567"]);
        assert_eq!(number(&Value::Null), "");
        assert_eq!(time(&json!(999.0)), "999 ns");
    }
}
