//! Does a runtime with nothing to do use the processor?
//!
//! After a thousand tasks and a thousand calls, it waits until all is quiet, and then reads the time that
//! the driver and its workers have spent on a core (`/proc/PID/schedstat`, in nanoseconds) before and after a
//! while, and how often they were woken. Sleeping costs nothing; a timer that ticks shows.
//!
//! Not a matter of samples, so it prints what it found: `cargo bench -p rustyray-benches --bench idle`.

use std::{fs, process, thread, time::Duration};

use rustyray_benches::{wait, with_runtime};

#[rustyray::remote]
fn ok() -> Vec<u8> {
    b"ok".to_vec()
}

const WHILE: Duration = Duration::from_secs(5);

/// The time on a core in nanoseconds, and the number of turns, of all threads of a process.
fn used(pid: u32) -> (u64, u64) {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .map(|stat| {
            let mut fields = stat.split_whitespace().map(|field| field.parse().unwrap_or(0));
            let time_ns = fields.next().unwrap_or(0);
            (time_ns, fields.nth(1).unwrap_or(0))
        })
        .fold((0, 0), |(time, turns), (more, again)| (time + more, turns + again))
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("nothing is measured without --bench");
        return;
    }
    with_runtime(|| {
        wait(async {
            let mut results = Vec::new();
            for _ in 0..1000 {
                results.push(ok_remote::remote().await?);
            }
            rustyray::get_all(&results).await
        });
        let runtime = rustyray::Runtime::current().expect("it runs");
        let processes: Vec<u32> =
            [process::id()].into_iter().chain(runtime.worker_pids()).collect();
        // Until memory is ready for the first objects, too.
        thread::sleep(Duration::from_secs(5));
        let before: Vec<_> = processes.iter().map(|&pid| used(pid)).collect();
        thread::sleep(WHILE);
        println!("idle for {} s: time on a core, turns", WHILE.as_secs());
        for (&pid, (time_before, turns_before)) in processes.iter().zip(before) {
            let (time, turns) = used(pid);
            let who = if pid == process::id() { "driver" } else { "worker" };
            let part = (time - time_before) as f64 / WHILE.as_nanos() as f64;
            println!("  {who} {pid}: {:.3}%, {}", 100.0 * part, turns - turns_before);
        }
    });
}
