//! Everything at once, while processes are killed: does every invariant hold all along?
//!
//! ```text
//! cargo run --release --example torture -- --seconds 60 --seed 7
//! ```
//!
//! This process is a node with a small store, so that it spills. A few of its threads, and a few further
//! drivers that attach to it, put, get, view, nest references, run tasks and call actors at random; meanwhile
//! workers and attached drivers are killed (SIGKILL) and stopped for a while (SIGSTOP, SIGCONT), and whole
//! nodes beside this one are killed with everything they have. Everybody knows what must come of each step:
//! - no byte is wrong, and none changes under a view;
//! - a result that was there once stays there;
//! - no task runs more often than its retries allow, and an actor answers each call once and in order;
//! - whatever fails, fails by somebody's death and says so; nothing waits for ever;
//! - in the end the store is as empty as in the beginning, and so are the lists of processes and of
//!   descriptors.
//!
//! What each driver sets out to do in each of its steps, and what is done to whom and when, follows from the
//! seed and the step's number (`--plan 20` lists it); what the machine makes of it in time does not, so a seed
//! that found something may have to be tried several times. A violation names the player and the step.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

mod count;
mod killer;
mod player;
mod work;

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use nix::sys::signal::Signal;
use rustyray::{Builder, Runtime};

use count::Count;
use killer::{Target, children_of, is_alive};
use player::{Act, Player, Violation, dice};
use work::check_marks;

/// Everything at once, while processes are killed.
#[derive(Clone, Debug, Parser)]
#[command(name = "torture")]
struct Options {
    /// How long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What the steps and the kills follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads of this process that use the runtime
    #[arg(long, default_value_t = 2)]
    players: u64,
    /// Further drivers that attach
    #[arg(long, default_value_t = 1)]
    drivers: u64,
    /// Milliseconds between two kills or stops, on average; 0 for none
    #[arg(long, default_value_t = 60)]
    kill_every_ms: u64,
    /// MiB of shared memory; what does not fit is spilled
    #[arg(long, default_value_t = 128)]
    store_mib: u64,
    /// List the first so many steps of everybody instead of taking them
    #[arg(long)]
    plan: Option<u64>,
    /// What a further driver is started with: the socket
    #[arg(long, hide = true)]
    attach: Option<PathBuf>,
    /// What a node beside this one is started with: its socket
    #[arg(long, hide = true)]
    beside: Option<PathBuf>,
    /// Where tasks leave their marks
    #[arg(long, hide = true)]
    marks: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(steps) = options.plan {
        plan(&options, steps);
        return ExitCode::SUCCESS;
    }
    let outcome = match (&options.attach, &options.beside) {
        (Some(socket), _) => attached(&options, socket),
        (None, Some(socket)) => beside(&options, socket),
        (None, None) => torture(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(violation) => violated(&options, "the end", &violation),
    }
}

/// Says what does not hold, and ends with everything.
fn violated(options: &Options, who: &str, Violation(what): &Violation) -> ! {
    eprintln!("torture: seed {}: {who}: VIOLATED: {what}", options.seed);
    std::process::exit(1)
}

/// Plays on threads of their own until it is over.
fn play(options: &Options, players: u64, count: &Count, marks: &Path) {
    thread::scope(|scope| {
        for player in 0..players {
            let seed = seed_of(options.seed, player);
            let playing = Player::new(seed, count.clone(), marks.to_owned());
            scope.spawn(move || {
                if let Err(violation) = playing.play() {
                    violated(options, &format!("player {player}"), &violation);
                }
            });
        }
    });
}

/// The seed of a player of the driver that was given `seed`.
fn seed_of(seed: u64, player: u64) -> u64 {
    seed.wrapping_mul(1000).wrapping_add(player)
}

/// What everybody sets out to do.
fn plan(options: &Options, steps: u64) {
    for step in 0..steps {
        for player in 0..options.players {
            let mut dice = dice(seed_of(options.seed, player), step);
            println!("step {step}: player {player}: {:?}", Act::choose(&mut dice));
        }
    }
    for number in 0..steps {
        println!("move {number}: {:?}", Move::choose(options, number));
    }
}

// --- the drivers -----------------------------------------------------------------------------------------

/// A further driver: plays until its standard input ends.
fn attached(options: &Options, socket: &Path) -> Result<(), Violation> {
    let marks = options.marks.clone().unwrap_or_default();
    rustyray::blocking::connect(socket)?;
    let count = Count::default();
    let ending = count.clone();
    thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        ending.finish();
    });
    play(options, 1, &count, &marks);
    rustyray::blocking::shutdown()?;
    Ok(())
}

/// A node beside the main one: plays until it is killed.
fn beside(options: &Options, socket: &Path) -> Result<(), Violation> {
    let marks = options.marks.clone().unwrap_or_default();
    let _runtime = start(options, socket)?;
    std::fs::write(socket.with_extension("up"), "").map_err(|e| Violation(e.to_string()))?;
    let count = Count::default();
    thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(3);
    });
    play(options, 1, &count, &marks);
    Ok(())
}

fn start(options: &Options, socket: &Path) -> Result<Runtime, Violation> {
    let builder = Builder::new()
        .num_cpus(4.0)
        .object_store_memory(options.store_mib << 20)
        .spill_dir(socket.with_extension("spill"))
        .socket(socket);
    Ok(rustyray::block_on(builder.start())?)
}

/// Starts this program again, in another part.
fn again(options: &Options, part: &str, socket: &Path, marks: &Path, seed: u64) -> Child {
    Command::new("/proc/self/exe")
        .args([part.as_ref(), socket.as_os_str(), "--marks".as_ref(), marks.as_os_str()])
        .args(["--seed".into(), seed.to_string()])
        .args(["--store-mib".into(), options.store_mib.to_string()])
        .stdin(Stdio::piped())
        .spawn()
        .expect("this program starts again")
}

// --- the whole -------------------------------------------------------------------------------------------

fn torture(options: &Options) -> Result<(), Violation> {
    // Orphans of killed nodes become children of this process, which can then see them.
    nix::sys::prctl::set_child_subreaper(true).map_err(|e| Violation(e.to_string()))?;
    let place = tempfile::tempdir().map_err(|error| Violation(error.to_string()))?;
    let socket = place.path().join("node.sock");
    let marks = place.path().join("marks");
    std::fs::create_dir(&marks).map_err(|error| Violation(error.to_string()))?;

    // What a runtime leaves behind in a process (a thread, its descriptors) is there from the first on.
    drop(start(options, &socket)?);
    rustyray::blocking::shutdown()?;
    let descriptors = open_descriptors();

    let runtime = start(options, &socket)?;
    let count = Count::default();
    let began = Instant::now();
    let spilled_bytes = AtomicU64::new(0);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| watch(options, &count, &runtime, &spilled_bytes, &ended));
        thread::scope(|scope| {
            scope.spawn(|| play(options, options.players, &count, &marks));
            scope.spawn(|| kill_nodes(options, &count, place.path()));
            scope.spawn(|| kill(options, &count, &runtime, &socket, &marks));
            thread::sleep(Duration::from_secs(options.seconds));
            count.finish();
        });
        ended.store(true, Ordering::Relaxed);
    });
    settle(&runtime)?;
    count.add("marks of failed tasks looked at again", check_marks(&marks).map_err(Violation)?);
    drop(runtime);
    rustyray::blocking::shutdown()?;
    until("no process is left", || {
        let left = children_of(std::process::id());
        if left.is_empty() { Ok(()) } else { Err(format!("processes {left:?}")) }
    })?;
    until("no descriptor is left", || {
        let now = open_descriptors();
        if now <= descriptors { Ok(()) } else { Err(format!("{now} open, {descriptors} before")) }
    })?;
    if socket.exists() {
        return Err(Violation(format!("{} is left", socket.display())));
    }
    println!("seed {}, {} s:\n{count}", options.seed, began.elapsed().as_secs());
    println!("at most {} MiB spilled", spilled_bytes.load(Ordering::Relaxed) >> 20);
    println!(
        "{} kills and {} stops survived; every invariant held",
        count.total("killed"),
        count.total("stopped")
    );
    Ok(())
}

/// Ends everything when nothing moves any more, and notes how much is on disk at most.
fn watch(
    options: &Options,
    count: &Count,
    runtime: &Runtime,
    spilled_bytes: &AtomicU64,
    ended: &AtomicBool,
) {
    let (mut seen, mut since) = (count.steps(), Instant::now());
    while !ended.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(200));
        if let Some(store) = runtime.store() {
            spilled_bytes.fetch_max(store.stats().spilled_bytes, Ordering::Relaxed);
        }
        let now = count.steps();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        if since.elapsed() > Duration::from_secs(180) {
            violated(options, "watch", &Violation("nothing moves for three minutes".into()));
        }
    }
}

/// What is done to somebody.
#[derive(Copy, Clone, Debug)]
enum Deed {
    KillWorker,
    PauseWorker(Duration),
    KillDriver,
    PauseDriver(Duration),
}

/// A deed, when it is done, and to whom: a fraction of those there are.
#[derive(Copy, Clone, Debug)]
struct Move {
    pause: Duration,
    deed: Deed,
    whom: f64,
}

impl Move {
    fn choose(options: &Options, number: u64) -> Move {
        let mut dice = dice(options.seed ^ 0x6b69_6c6c, number);
        let pause = Duration::from_millis(dice.u64(0..2 * options.kill_every_ms.max(1)));
        let how_long = Duration::from_millis(dice.u64(1..150));
        let whom = dice.f64();
        let deed = match dice.u32(0..100) {
            0..60 => Deed::KillWorker,
            60..85 => Deed::PauseWorker(how_long),
            85..95 => Deed::KillDriver,
            _ => Deed::PauseDriver(how_long),
        };
        Move { pause, deed, whom }
    }

    fn pick<T>(&self, of: &[T]) -> Option<usize> {
        (!of.is_empty()).then(|| ((of.len() as f64 * self.whom) as usize).min(of.len() - 1))
    }
}

/// Kills and stops workers and attached drivers.
fn kill(options: &Options, count: &Count, runtime: &Runtime, socket: &Path, marks: &Path) {
    let mut started = 0;
    let mut attach = || {
        started += 1;
        again(options, "--attach", socket, marks, options.seed * 100 + started)
    };
    let mut drivers: Vec<Child> = (0..options.drivers).map(|_| attach()).collect();
    for number in 0.. {
        if count.is_over() {
            break;
        }
        let next = Move::choose(options, number);
        thread::sleep(next.pause);
        for driver in &mut drivers {
            if let Ok(Some(status)) = driver.try_wait() {
                let what = format!("an attached driver ended by itself: {status}");
                violated(options, "kill", &Violation(what));
            }
        }
        if options.kill_every_ms == 0 {
            continue;
        }
        let mut workers = runtime.worker_pids();
        workers.retain(|pid| drivers.iter().all(|driver| driver.id() != *pid));
        let worker = || next.pick(&workers).and_then(|at| Target::child(workers[at]));
        match next.deed {
            Deed::KillWorker => {
                if worker().is_some_and(|worker| worker.signal(Signal::SIGKILL)) {
                    count.one("killed: workers");
                }
            }
            Deed::PauseWorker(how_long) => {
                if worker().is_some_and(|worker| worker.pause(how_long)) {
                    count.one("stopped: workers");
                }
            }
            Deed::KillDriver => {
                let Some(at) = next.pick(&drivers) else { continue };
                let mut dead = std::mem::replace(&mut drivers[at], attach());
                let _ = dead.kill();
                let _ = dead.wait();
                count.one("killed: attached drivers");
            }
            Deed::PauseDriver(how_long) => {
                let Some(at) = next.pick(&drivers) else { continue };
                if Target::child(drivers[at].id()).is_some_and(|driver| driver.pause(how_long)) {
                    count.one("stopped: attached drivers");
                }
            }
        }
    }
    for mut driver in drivers {
        drop(driver.stdin.take());
        match driver.wait() {
            Ok(status) if status.success() => {}
            ended => violated(options, "kill", &Violation(format!("a driver ended: {ended:?}"))),
        }
        count.one("attached drivers that ended in order");
    }
}

/// Starts nodes beside this one and kills them at work: nothing of them may be left.
fn kill_nodes(options: &Options, count: &Count, place: &Path) {
    let mut rng = fastrand::Rng::with_seed(options.seed ^ 0x6e6f_6465);
    let mut number = 0;
    while !count.is_over() && options.kill_every_ms > 0 {
        number += 1;
        let socket = place.join(format!("beside{number}")).join("node.sock");
        let marks = place.join("marks");
        let mut node = again(options, "--beside", &socket, &marks, options.seed * 1000 + number);
        // Some are killed while they come up.
        let comes_up = rng.u32(0..4) > 0;
        let is_up = || match socket.with_extension("up").exists() || !comes_up {
            true => Ok(()),
            false => Err("it does not come up".to_owned()),
        };
        if let Err(violation) = until("a node starts", is_up) {
            violated(options, "nodes", &violation);
        }
        let until_then = Instant::now() + Duration::from_millis(rng.u64(0..3000));
        while Instant::now() < until_then && !count.is_over() {
            thread::sleep(Duration::from_millis(10));
        }
        let workers: Vec<Target> = {
            // Stopped, it starts no more of them.
            let Some(target) = Target::child(node.id()) else {
                let ended = node.try_wait();
                violated(
                    options,
                    "nodes",
                    &Violation(format!("a node ended by itself: {ended:?}")),
                );
            };
            target.signal(Signal::SIGSTOP);
            let workers = children_of(node.id());
            target.signal(Signal::SIGKILL);
            let _ = node.wait();
            workers.into_iter().filter_map(Target::child).collect()
        };
        let outcome = until("a killed node leaves nothing", || {
            for worker in &workers {
                let pid = nix::unistd::Pid::from_raw(worker.pid as i32);
                let _ = nix::sys::wait::waitpid(pid, Some(nix::sys::wait::WaitPidFlag::WNOHANG));
            }
            let left: Vec<_> =
                workers.iter().map(|worker| worker.pid).filter(|&pid| is_alive(pid)).collect();
            match (left.as_slice(), socket.exists()) {
                ([], false) => Ok(()),
                (left, socket) => Err(format!("processes {left:?}, socket: {socket}")),
            }
        });
        if let Err(violation) = outcome {
            violated(options, "nodes", &violation);
        }
        count.one("killed: nodes with all their workers");
    }
}

/// Waits for the store to be as empty as in the beginning.
fn settle(runtime: &Runtime) -> Result<(), Violation> {
    let store = runtime.store().ok_or_else(|| Violation("this process is the node".into()))?;
    until("the store is empty", || {
        let leaks = store.leaks();
        let stats = store.stats();
        let used_bytes = stats.used_bytes - stats.leased_bytes;
        if leaks.is_empty() && used_bytes == 0 && stats.spilled_bytes == 0 {
            return Ok(());
        }
        Err(format!("{} objects: {:?}; {stats:?}", leaks.len(), &leaks[..leaks.len().min(5)]))
    })
}

/// Waits until something holds, and says what is in the way when it does not come to.
fn until(what: &str, mut holds: impl FnMut() -> Result<(), String>) -> Result<(), Violation> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(in_the_way) = holds() {
        if Instant::now() > deadline {
            return Err(Violation(format!("{what}: {in_the_way}")));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
