//! Programs that attach to a node of their own accord: their tasks run in workers of their own.

use crate::bench::{Place, is_alive, said, until};

#[rustyray::remote]
fn process() -> (u32, String, String) {
    println!("hello from a worker");
    let directory = std::env::current_dir().expect("there is one");
    let program = std::env::current_exe().expect("it runs");
    (std::process::id(), directory.display().to_string(), program.display().to_string())
}

#[rustyray::remote]
async fn nested(depth: u32) -> u32 {
    if depth == 0 {
        return std::process::id();
    }
    let inner = nested_remote::remote(depth - 1).await.expect("submitted");
    inner.get().await.expect("it runs")
}

#[rustyray::actor]
struct Tally {
    sum: u64,
}

#[rustyray::actor_methods]
impl Tally {
    pub fn new() -> Self {
        Tally { sum: 0 }
    }

    pub fn add(&mut self, amount: u64) -> u64 {
        self.sum += amount;
        self.sum
    }
}

#[test]
fn a_program_runs_its_tasks_and_actors_on_another_programs_node() {
    let place = Place::new();
    let node = place.start(&[]);
    assert_eq!(place.json(&["status"])["totals"]["workers"], 0, "it has nothing of its own to run");

    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    let (worker, directory, program) = rustyray::block_on(async {
        let found = process_remote::remote().await?.get().await?;
        let numbers = rustyray::put(&vec![1_u64; 100]).await?;
        assert_eq!(numbers.get().await?.len(), 100);
        let tally = Tally::options().name("tally").detached().remote().await?;
        assert_eq!(tally.add(3).await?.get().await?, 3);
        assert_ne!(nested_remote::remote(2).await?.get().await?, std::process::id());
        Ok::<_, rustyray::Error>(found)
    })
    .expect("all of it runs");
    assert!(worker != std::process::id() && worker != node.pid);
    let here = std::env::current_dir().expect("there is one");
    assert_eq!(directory, here.display().to_string(), "workers start where the program did");
    let ours = std::env::current_exe().expect("it runs").display().to_string();
    assert_eq!(program, ours, "workers run what the program runs");

    let status = place.json(&["status"]);
    assert_eq!(status["totals"]["drivers"], 1);
    assert_eq!(status["totals"]["actors"], 1);
    rustyray::block_on(runtime.shutdown()).expect("it lets go");

    // The program is gone, the detached actor stays; workers with nothing to do end.
    place.wait_for(&["status"], |status| {
        status["totals"]["drivers"] == 0 && status["totals"]["workers"] == 1
    });
    let actors = place.json(&["list", "actors"]);
    assert_eq!(actors[0]["name"], "tally", "{actors:#}");
    assert_eq!(actors[0]["state"], "alive", "{actors:#}");

    // Whoever runs the same program finds it again.
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in again");
    let sum = rustyray::block_on(async {
        let tally = Tally::get("tally").await?;
        tally.add(4).await?.get().await
    });
    assert_eq!(sum.expect("it is there"), 7);
    rustyray::block_on(runtime.shutdown()).expect("it lets go");

    let workers = place.json(&["list", "workers"]);
    let pids: Vec<u32> = workers
        .as_array()
        .expect("rows")
        .iter()
        .filter(|row| row["state"] != "driver")
        .map(|row| row["pid"].as_u64().expect("a process id") as u32)
        .collect();
    assert!(!pids.is_empty(), "{workers:#}");
    let output = place.run(&["stop"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!is_alive(node.pid));
    until("its workers have ended", || !pids.iter().any(|&pid| is_alive(pid)));
    assert!(place.entries().is_empty(), "{:?}", place.entries());
}
