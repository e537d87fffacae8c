//! How many instructions does a call take in the caller, by macro and by hand?
//!
//! `cargo run --release -p rustyray-benches --bin claims` has valgrind count them: this program is the node, and
//! runs itself again under `callgrind` as a program that is attached to it and makes [`CALLS`] calls of an
//! actor in each way, by turns. What is counted is the whole of each call in the caller: reserving the result,
//! writing the call, pushing it to the actor's process, waking that. What the worker does is the same for
//! both, since the actor's code is. The exit code is 1 when the macro's call takes more than a twentieth more.
//!
//! Two runs differ by some per cent, either way: what a call finds to be done for earlier ones depends on how
//! fast the worker was. The code is the same, down to the instruction: both ways are as many of their own, and
//! the rest is the library's. Then the calls are timed, by turns in this process, a hundred under way at once;
//! what is told is the median over pairs, since the machine changes more from one moment to the next than
//! they differ.

#![allow(unreachable_pub, missing_debug_implementations)] // the sources are examples

use std::{
    process::{Command, ExitCode},
    time::Instant,
};

use rustyray::ObjectRef;
use rustyray_benches::wait;

#[path = "../../claims/counter.rs"]
mod counter;
#[path = "../../claims/counter_by_hand.rs"]
mod counter_by_hand;

/// How many calls are made.
const CALLS: usize = 2000;

/// Where the counted program finds the node.
const NODE: &str = "RUSTYRAY_CLAIMS_NODE";

#[inline(never)]
fn by_macro(counter: &counter::CounterHandle, results: &mut Vec<ObjectRef<i64>>) {
    results.push(wait(counter.value()));
}

#[inline(never)]
fn by_hand(counter: &counter_by_hand::CounterHandle, results: &mut Vec<ObjectRef<i64>>) {
    results.push(wait(counter.value()));
}

/// Makes the calls of both ways in turns, in the program that is counted.
fn call(node: &str) {
    wait(rustyray::connect(node));
    let one = wait(counter::Counter::remote(0));
    let other = wait(counter_by_hand::Counter::remote(0));
    assert_eq!(wait(wait(one.value()).get()) + wait(wait(other.value()).get()), 0);
    let mut results = Vec::with_capacity(2 * CALLS);
    for turn in 0..CALLS {
        // Neither is always the one that comes second.
        if turn % 2 == 0 {
            by_macro(&one, &mut results);
            by_hand(&other, &mut results);
        } else {
            by_hand(&other, &mut results);
            by_macro(&one, &mut results);
        }
        if results.len() >= 100 {
            wait(rustyray::get_all(&results));
            results.clear();
        }
    }
    wait(rustyray::get_all(&results));
    drop(results);
    wait(rustyray::shutdown());
}

/// Runs this program under valgrind, attached to `node`, and gives what that wrote down.
fn profile(node: &str) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let written = format!("{node}.callgrind");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--compress-strings=no"])
        .arg(format!("--callgrind-out-file={written}"))
        .arg(program)
        .env(NODE, node)
        .output()
        .map_err(|error| format!("valgrind cannot be run: {error}"))?;
    let profile = std::fs::read_to_string(&written);
    let _ = std::fs::remove_file(&written);
    match profile {
        Ok(profile) if output.status.success() => Ok(profile),
        _ => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

/// The instructions of one call in this way, everything that it calls included.
fn instructions(profile: &str, way: &str) -> Result<f64, String> {
    let callee = format!("cfn=claims::{way}");
    let (mut calls, mut instructions) = (0_u64, 0_u64);
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        if line != callee {
            continue;
        }
        // `calls=COUNT …`, then the line it was called from and what the calls took.
        let count = lines.next().and_then(|line| line.strip_prefix("calls=")?.split(' ').next());
        let took = lines.next().and_then(|line| line.split(' ').nth(1));
        let parsed = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok());
        let (Some(count), Some(took)) = (parsed(count), parsed(took)) else {
            return Err(format!("the profile of `{way}` cannot be read"));
        };
        calls += count;
        instructions += took;
    }
    match calls == CALLS as u64 {
        true => Ok(instructions as f64 / CALLS as f64),
        false => Err(format!("`{way}` was called {calls} times")),
    }
}

/// How many pairs are timed.
const PAIRS: usize = 400;

/// By how many per cent the macro's calls take longer than those by hand: quartiles over [`PAIRS`].
fn timed() -> [f64; 3] {
    let one = wait(counter::Counter::remote(0));
    let other = wait(counter_by_hand::Counter::remote(0));
    let mut results = Vec::with_capacity(100);
    let mut time = |call: &dyn Fn(&mut Vec<ObjectRef<i64>>)| {
        let started = Instant::now();
        (0..100).for_each(|_| call(&mut results));
        wait(rustyray::get_all(&results));
        results.clear();
        started.elapsed().as_secs_f64()
    };
    let mut more: Vec<f64> = (0..PAIRS)
        .map(|pair| {
            let by_hand = |results: &mut Vec<_>| by_hand(&other, results);
            let before = if pair % 2 == 0 { 0.0 } else { time(&by_hand) };
            let by_macro = time(&|results: &mut Vec<_>| by_macro(&one, results));
            let by_hand = if pair % 2 == 0 { time(&by_hand) } else { before };
            100.0 * (by_macro / by_hand - 1.0)
        })
        .collect();
    more.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| more[PAIRS * quarter / 4])
}

fn main() -> ExitCode {
    if let Ok(node) = std::env::var(NODE) {
        call(&node);
        return ExitCode::SUCCESS;
    }
    let socket = std::env::temp_dir().join(format!("rustyray-claims-{}", std::process::id()));
    let path = socket.to_string_lossy().into_owned();
    wait(rustyray::Builder::new().socket(&path).start());
    let counts = profile(&path).and_then(|profile| {
        Ok((instructions(&profile, "by_macro")?, instructions(&profile, "by_hand")?))
    });
    let [low, middle, high] = timed();
    wait(rustyray::shutdown());
    println!(
        "{PAIRS} pairs of a hundred calls: {middle:+.1}% time by macro (a quarter below {low:+.1}%, a quarter \
         above {high:+.1}%)"
    );
    match counts {
        Ok((by_macro, by_hand)) => {
            let more = 100.0 * (by_macro / by_hand - 1.0);
            println!(
                "a call takes {by_macro:.0} instructions by macro, {by_hand:.0} by hand: {more:+.2}%"
            );
            ExitCode::from(u8::from(more > 5.0))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
