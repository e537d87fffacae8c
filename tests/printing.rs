//! What workers write, where the program that has the node cannot print it, and how it is cut into lines.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use rustyray::prelude::*;

/// For what comes at once, or never.
const LONG: Duration = Duration::from_secs(60);
/// More than a pipe and the queues before it hold.
const LINES: usize = 20_000;

#[rustyray::remote]
fn speaks(lines: usize) {
    let mut out = std::io::stdout().lock();
    for line in 0..lines {
        let written = writeln!(out, "line {line}{:.^100}", "");
        written.expect("the node reads it");
    }
}

#[rustyray::actor]
struct Resident;

#[rustyray::actor_methods]
impl Resident {
    pub fn new() -> Self {
        Resident
    }
}

fn node() {
    let builder = rustyray::Builder::new().num_cpus(1.0).first_workers(1).visible(false);
    // Little of it is made ready: what this process is measured to take is not that.
    let builder = builder.object_store_memory(16 << 20);
    rustyray::block_on(builder.start()).expect("a node starts");
}

/// This test binary, started again for one ignored test; killed if the test ends before it.
struct Process {
    child: Child,
    errors: BufReader<ChildStderr>,
}

impl Process {
    fn start(scenario: &str) -> Process {
        let mut command = Command::new(std::env::current_exe().expect("this executable"));
        command.args([scenario, "--exact", "--ignored", "--nocapture"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let errors = BufReader::new(child.stderr.take().expect("piped"));
        Process { child, errors }
    }

    /// Waits until it says so on standard error.
    fn says(&mut self, word: &str) {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert_ne!(self.errors.read_line(&mut line).expect("readable"), 0, "no {word}");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends this process if it is still there after a long time: what it waits for will not come.
fn end_at_last() {
    std::thread::spawn(|| {
        std::thread::sleep(LONG);
        std::process::abort();
    });
}

// --- standard output that nobody can print to --------------------------------------------------------------

/// As programs do that write much: it is theirs from the beginning to the end.
#[test]
#[ignore = "a driver for the test below"]
fn driver_that_holds_its_standard_output() {
    end_at_last();
    let mut out = std::io::stdout().lock();
    node();
    let done = rustyray::block_on(async {
        speaks_remote::remote(1).await?.get().await?;
        // Each is in a process that has to be started and let in.
        for _ in 0..2 {
            let resident = Resident::remote().await?;
            resident.ready().await?;
        }
        // More than there is room for: it ends all the same.
        speaks_remote::remote(LINES).await?.get().await
    });
    done.expect("the node does its work");
    rustyray::blocking::shutdown().expect("it ends");
    writeln!(out, "the program has the last word").expect("it is read");
}

#[test]
fn a_program_that_holds_its_standard_output_does_not_stop_its_node() {
    let mut driver = Process::start("driver_that_holds_its_standard_output");
    let mut said = String::new();
    let mut output = driver.child.stdout.take().expect("piped");
    output.read_to_string(&mut said).expect("it is text");
    assert!(said.contains("the program has the last word\n"), "{said}");
    assert!(driver.child.wait().expect("it ends").success());
}

#[test]
#[ignore = "a driver for the test below"]
fn driver_whose_output_is_not_read() {
    end_at_last();
    node();
    let spoken = rustyray::block_on(async { speaks_remote::remote(LINES).await?.get().await });
    spoken.expect("it ends, whoever listens");
    eprintln!("the task has ended");
    // Until somebody reads, and then to the last line.
    std::io::stdin().read_line(&mut String::new()).expect("readable");
    let spoken = rustyray::block_on(async { speaks_remote::remote(1).await?.get().await });
    spoken.expect("it ends");
    rustyray::blocking::shutdown().expect("it ends");
}

#[test]
fn lines_that_nobody_takes_are_counted() {
    let mut driver = Process::start("driver_whose_output_is_not_read");
    driver.says("the task has ended");
    let output = BufReader::new(driver.child.stdout.take().expect("piped"));
    let mut lines = output.lines().map(|line| line.expect("it is text"));
    let (mut printed, mut left_out) = (0, 0);
    let mut count = |line: &str| {
        printed += usize::from(line.contains("(worker ") && line.contains(") line "));
        if let Some((_, said)) = line.split_once("(rustyray) ") {
            let lines = said.split(' ').next().expect("a word");
            left_out += if lines == "a" { 1 } else { lines.parse::<usize>().expect("a number") };
        }
        left_out > 0
    };
    assert!(lines.any(|line| count(&line)), "nothing was left out");
    writeln!(driver.child.stdin.as_mut().expect("piped")).expect("it reads");
    for line in lines {
        count(&line);
    }
    assert_eq!(printed + left_out, LINES + 1);
    assert!(driver.child.wait().expect("it ends").success());
}

// --- lines of any length -----------------------------------------------------------------------------------

/// Megabytes.
const MUCH: usize = 96;

/// Much without the end of a line, and then a bar.
#[rustyray::remote]
fn ends_no_line(megabytes: usize) {
    let mut out = std::io::stdout().lock();
    for number in 0..megabytes << 20 >> 12 {
        // No two are the same, which would be folded.
        write!(out, "{number:x<4096}").expect("the node reads it");
    }
    write!(out, "\r 50 %\r100 %\r").and_then(|()| out.flush()).expect("the node reads it");
    out.write_all(b"and on").and_then(|()| out.flush()).expect("the node reads it");
}

fn memory_at_most() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is there");
    peak.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

#[test]
#[ignore = "a driver for the test below"]
fn driver_whose_worker_ends_no_line() {
    node();
    let before = memory_at_most();
    let spoken = rustyray::block_on(async { ends_no_line_remote::remote(MUCH).await?.get().await });
    spoken.expect("it ends");
    rustyray::blocking::shutdown().expect("it ends");
    println!("grown by {} MiB.", (memory_at_most() - before) >> 20);
}

#[test]
fn a_line_without_an_end_takes_no_memory() {
    let mut driver = Process::start("driver_whose_worker_ends_no_line");
    let mut said = String::new();
    let mut output = driver.child.stdout.take().expect("piped");
    output.read_to_string(&mut said).expect("it is text");
    assert!(driver.child.wait().expect("it ends").success());
    let (_, grown) = said.split_once("grown by ").expect("it says so");
    let grown: usize = grown.split(' ').next().expect("a word").parse().expect("a number");
    assert!(grown < MUCH / 2, "by {grown} MiB");
    // All of it came through, in pieces, and each frame of the bar as it was written.
    assert!(said.len() > MUCH << 20);
    for frame in [")  50 %\n", ") 100 %\n", ") and on\n"] {
        assert!(said.contains(frame), "no {frame}");
    }
}
