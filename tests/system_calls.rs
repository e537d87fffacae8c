//! `get` and `put` of a small object make no system call: counted, over a million operations, in the driver and in a
//! task.

#[path = "../store/tests/counted/mod.rs"]
mod counted;

use std::hint::black_box;

use rustyray::Builder;

const TIMES: u64 = 1_000_000;

/// How many of `TIMES` gets, clones, and puts made a system call, in the process that runs this.
#[rustyray::remote]
fn count_here() -> Result<Vec<u64>, std::io::Error> {
    count()
}

fn count() -> Result<Vec<u64>, std::io::Error> {
    let object = rustyray::blocking::put(&[7u64; 16]).expect("there is room");
    // What is new to this process is done before it counts.
    for value in 0..200_000u64 {
        drop(rustyray::blocking::put(&value).expect("there is room"));
    }
    let gets = counted::count(TIMES, |_| {
        black_box(object.get_blocking().expect("it is there"));
    })?;
    let clones = counted::count(TIMES, |_| drop(black_box(object.clone())))?;
    let puts = counted::count(TIMES, |value| {
        drop(rustyray::blocking::put(&value).expect("there is room"));
    })?;
    Ok(vec![gets.operations, clones.operations, puts.operations])
}

#[test]
fn the_hot_path_makes_no_system_call_in_the_driver_and_hardly_any_in_a_task() {
    rustyray::block_on(async {
        Builder::new().num_cpus(1.0).object_store_memory(256 << 20).start().await?;
        match count() {
            Ok(seen) => assert_eq!(seen, [0, 0, 0], "gets, clones and puts with a system call"),
            Err(error) => {
                println!("skipped: system calls cannot be counted here: {error}");
                return rustyray::shutdown().await;
            }
        }
        let seen = count_here_remote::remote().await?.get().await?;
        println!("in a task, of {TIMES}: {seen:?} gets, clones and puts made a system call");
        assert_eq!(seen[..2], [0, 0], "gets and clones with a system call");
        // A worker asks the node for slots, many at a time.
        assert!(seen[2] <= TIMES / 100, "{} puts made a system call", seen[2]);
        rustyray::shutdown().await
    })
    .expect("it runs");
}
