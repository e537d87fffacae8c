//! Several drivers on one node: each gets its share, and one that dies takes only its own with it.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Barrier, OnceLock},
    time::{Duration, Instant},
};

use rustyray::state::{Inspector, Listing, TaskState};

const SOCKET: &str = "RUSTYRAY_TEST_SOCKET";
const DIRECTORY: &str = "RUSTYRAY_TEST_DIRECTORY";

#[rustyray::remote]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

/// Writes down for whom it ran, behind those that ran before.
#[rustyray::remote]
fn signs(path: String, driver: u8) -> u8 {
    static SHEET: OnceLock<File> = OnceLock::new();
    let open = || OpenOptions::new().append(true).create(true).open(path).expect("it can be made");
    let mut sheet = SHEET.get_or_init(open);
    sheet.write_all(&[driver]).expect("there is room");
    driver
}

/// Has its cpu until the gate is there.
#[rustyray::remote]
fn holds(begun: String, gate: String) {
    std::fs::write(begun, "").expect("it can be written");
    wait_for(Path::new(&gate));
}

#[rustyray::remote]
fn works_until_cancelled(begun: String, ended: String) -> u64 {
    std::fs::write(begun, std::process::id().to_string()).expect("it can be written");
    while !rustyray::context().is_cancelled() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::write(ended, "").expect("it can be written");
    7
}

#[rustyray::remote]
fn is_stuck(begun: String) -> u64 {
    std::fs::write(begun, std::process::id().to_string()).expect("it can be written");
    loop {
        std::thread::park();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn wait_for(path: &Path) {
    until(&path.display().to_string(), || path.exists());
}

fn is_alive(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')),
        Err(_) => false,
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a directory"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).to_string_lossy().into_owned()
    }

    fn node(&self, cpus: f64) -> rustyray::Runtime {
        let builder = rustyray::Builder::new().num_cpus(cpus).visible(false);
        let node = builder.socket(self.at("node.sock")).start();
        rustyray::block_on(node).expect("a node starts")
    }

    /// Queues so many tasks for each of two attached drivers while both cpus are held, lets go, and gives the
    /// order in which they ran, until those of the second driver are through.
    fn order(&self, first: usize, second: usize) -> Vec<u8> {
        let runtime = self.node(2.0);
        let holders: Vec<_> = (0..2)
            .map(|at| {
                let holder =
                    holds_remote::remote(self.text(&format!("held {at}")), self.text("gate"));
                rustyray::block_on(holder).expect("submitted")
            })
            .collect();
        (0..2).for_each(|at| wait_for(&self.at(&format!("held {at}"))));
        let (queued, through) = (Barrier::new(3), Barrier::new(2));
        let drive = |driver: u8, count: usize| {
            let runtime = rustyray::blocking::connect(self.at("node.sock")).expect("let in");
            let mut tasks = Vec::with_capacity(count);
            rustyray::block_on(async {
                // Not before the first one has queued all of its own.
                if driver == b'2' {
                    wait_for(&self.at("first is queued"));
                }
                for _ in 0..count {
                    tasks.push(signs_remote::remote(self.text("sheet"), driver).await?);
                }
                // What is published is taken in order: the node has all of it when it has an answer for this.
                add_remote::options().num_cpus(0.0).remote(1, 2).await?.get().await
            })
            .expect("queued");
            if driver == b'1' {
                std::fs::write(self.at("first is queued"), "").expect("it can be written");
            }
            queued.wait();
            if driver == b'2' {
                let ran = rustyray::blocking::get_all(&tasks).expect("all of them run");
                assert_eq!(ran, vec![driver; count]);
            }
            through.wait();
            rustyray::block_on(runtime.shutdown()).expect("it lets go");
        };
        std::thread::scope(|scope| {
            scope.spawn(|| drive(b'1', first));
            scope.spawn(|| drive(b'2', second));
            queued.wait();
            std::fs::write(self.at("gate"), "").expect("it can be written");
        });
        rustyray::blocking::get_all(&holders).expect("they let go");
        rustyray::block_on(runtime.shutdown()).expect("it ends");
        let mut sheet = std::fs::read(self.at("sheet")).expect("it was written");
        let last = sheet.iter().rposition(|&driver| driver == b'2').expect("it ran");
        sheet.truncate(last + 1);
        sheet
    }
}

fn of(driver: u8, sheet: &[u8]) -> usize {
    sheet.iter().filter(|&&signed| signed == driver).count()
}

#[test]
fn a_driver_does_not_wait_for_a_hundred_thousand_tasks_of_another() {
    const FEW: usize = 2_000;
    let sheet = Place::new().order(100_000, FEW);
    assert_eq!(of(b'2', &sheet), FEW);
    // They took turns, neither went first. The last few may wait in the queue of a worker that the system lets
    // wait.
    let most: Vec<usize> = (0..sheet.len()).filter(|&at| sheet[at] == b'2').collect();
    let meanwhile = of(b'1', &sheet[..most[FEW * 9 / 10]]);
    assert!((FEW / 2..2 * FEW).contains(&meanwhile), "{meanwhile} of the first ran meanwhile");
}

#[test]
fn two_drivers_that_ask_for_everything_get_half_each() {
    const EACH: usize = 4_000;
    let sheet = Place::new().order(EACH, EACH);
    let mut counts = [0_usize; 2];
    for &driver in &sheet {
        counts[usize::from(driver - b'1')] += 1;
        let [first, second] = counts;
        if first == EACH || second == EACH {
            break;
        }
        assert!(first.abs_diff(second) <= 256, "{first} against {second}");
    }
    assert!(counts[0] > EACH - 512 && counts[1] > EACH - 512, "{counts:?}");
}

#[test]
#[ignore = "a driver for the test below"]
fn driver_that_is_killed() {
    let name = |variable| PathBuf::from(std::env::var_os(variable).expect("the parent says it"));
    let (socket, directory) = (name(SOCKET), name(DIRECTORY));
    let text = |file: &str| directory.join(file).to_string_lossy().into_owned();
    let _runtime = rustyray::blocking::connect(socket).expect("it lets us in");
    rustyray::block_on(async {
        let numbers = rustyray::put(&vec![7_u64; 4 << 20]).await?;
        let mut tasks = vec![
            is_stuck_remote::remote(text("stuck")).await?,
            works_until_cancelled_remote::remote(text("begun"), text("ended")).await?,
        ];
        for file in ["stuck", "begun"] {
            wait_for(&directory.join(file));
        }
        for at in 0..500 {
            tasks.push(add_remote::options().num_cpus(2.0).remote(at, 1).await?);
        }
        let waiting = add_remote::remote(&tasks[0], 1).await?;
        add_remote::options().num_cpus(0.0).remote(1, 2).await?.get().await?;
        std::fs::write(directory.join("ready"), "").expect("it can be written");
        std::thread::sleep(Duration::from_secs(600));
        drop((numbers, tasks, waiting));
        Ok::<_, rustyray::Error>(())
    })
    .expect("killed before");
}

#[test]
fn a_driver_that_is_killed_takes_its_tasks_and_objects_with_it_and_nobody_else() {
    let place = Place::new();
    let runtime = place.node(3.0);
    let store = runtime.store().expect("the node is here");
    let other = |rounds: u64| {
        rustyray::block_on(async {
            for at in 0..rounds {
                assert_eq!(add_remote::remote(at, 1).await?.get().await?, at + 1);
            }
            Ok::<_, rustyray::Error>(())
        })
        .expect("the other driver's tasks run");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let attached = rustyray::blocking::connect(place.at("node.sock")).expect("let in");
            let kept = rustyray::blocking::put(&vec![3_u64; 1000]).expect("there is room");
            other(50);
            let used_before = store.stats().used_bytes;
            let mut driver = Command::new(std::env::current_exe().expect("this executable"))
                .args(["driver_that_is_killed", "--exact", "--ignored", "--nocapture"])
                .env(SOCKET, place.at("node.sock"))
                .env(DIRECTORY, place.0.path())
                .stdout(Stdio::null())
                .spawn()
                .expect("the driver starts");
            wait_for(&place.at("ready"));
            assert!(store.stats().used_bytes > used_before + (32 << 20), "its object is there");
            other(50);
            let pid = |file: &str| {
                let text = std::fs::read_to_string(place.at(file)).expect("it was written");
                text.parse::<u32>().expect("a process id")
            };
            let stuck = pid("stuck");
            driver.kill().expect("it is there");
            driver.wait().expect("it ends");
            other(50);
            // What looks is asked to stop; what does not loses its process.
            wait_for(&place.at("ended"));
            until("the end of the stuck worker", || !is_alive(stuck));
            until("its memory", || {
                // Whoever comes by frees what is dead; blocks of small objects may stay leased.
                other(1);
                store.stats().used_bytes < used_before + (8 << 20)
            });
            let mut inspector = Inspector::connect(place.at("node.sock")).expect("it listens");
            until("the end of its tasks", || {
                let unfinished = inspector.tasks(&Listing::new()).expect("it answers");
                let unfinished = unfinished.iter().filter(|task| task.state != TaskState::Failed);
                unfinished.filter(|task| task.state != TaskState::Finished).count() == 0
            });
            assert_eq!(rustyray::blocking::get(&kept).expect("it is kept"), vec![3; 1000]);
            // All cpus are free again.
            let all = rustyray::block_on(async {
                add_remote::options().num_cpus(3.0).remote(1, 2).await?.get().await
            });
            assert_eq!(all.expect("there is room for it"), 3);
            rustyray::block_on(attached.shutdown()).expect("it lets go");
        });
    });
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}
