//! A long session keeps nothing: memory and descriptors of the node and of its workers stay what they were
//! after the first part of it.
//!
//! `OBJECTS=10000000 cargo test --release --test endurance` makes it as long as one likes.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use rustyray::prelude::*;

#[rustyray::remote]
fn echo(bytes: View<Bytes>) -> Vec<u8> {
    bytes.as_slice().to_vec()
}

/// Bytes of private memory, and open descriptors, of a process.
fn kept(pid: u32) -> (i64, i64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it is alive");
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = anonymous.and_then(|line| line.trim().split(' ').next()?.parse::<i64>().ok());
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it is alive").count();
    (kib.expect("a number of kB") * 1024, open as i64)
}

/// Puts, reads and drops `objects` of them, each hundredth through a task.
async fn part(objects: u64) -> rustyray::Result<()> {
    for number in 0..objects {
        let bytes = [number as u8; 200];
        let reference = rustyray::put_bytes(&bytes[..(number % 200) as usize]).await?;
        if number % 100 == 0 {
            let echoed = echo_remote::remote(&reference).await?;
            assert_eq!(echoed.get().await?.len() as u64, number % 200);
        } else if number % 3 == 0 {
            assert_eq!(reference.view().await?.len() as u64, number % 200);
        }
    }
    Ok(())
}

#[test]
fn a_long_session_keeps_nothing() {
    /// What an allocator may keep for itself; at ten million objects, less than a byte for each.
    const SLACK_BYTES: i64 = 8 << 20;
    let objects = std::env::var("OBJECTS").map_or(200_000, |text| text.parse().expect("a number"));
    let builder = rustyray::Builder::new().num_cpus(1.0).object_store_memory(256 << 20);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    rustyray::block_on(part(objects / 4)).expect("the first part");
    let mut processes = runtime.worker_pids();
    processes.push(std::process::id());
    let before: Vec<_> = processes.iter().map(|&pid| kept(pid)).collect();
    rustyray::block_on(part(objects - objects / 4)).expect("the rest");
    for (&pid, (bytes, open)) in processes.iter().zip(before) {
        let (bytes_now, open_now) = kept(pid);
        println!("process {pid}: {bytes} → {bytes_now} bytes, {open} → {open_now} descriptors");
        assert!(bytes_now - bytes < SLACK_BYTES, "process {pid}: {bytes} → {bytes_now} bytes");
        assert!(open_now <= open, "process {pid}: {open} → {open_now} descriptors");
    }
    let store = runtime.store().expect("the node is here");
    // What the worker let go of last is marked as perhaps dead, and collected by the way.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while let left @ 1.. = store.leaks().len() {
        assert!(
            std::time::Instant::now() < deadline,
            "{left} objects are left: {:?}",
            store.leaks()
        );
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    rustyray::blocking::shutdown().expect("it ends");
}
