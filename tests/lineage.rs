//! Results that are lost after they were made, by real damage of their files and real signals: they are made again,
//! or it is said why not.
#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustyray::{Builder, CancelOptions, ObjectId, Value, prelude::*};

const WORDS: u64 = 128 << 10;
const STORE_BYTES: u64 = 16 << 20;

/// Notes in `marks` that `what` was begun once more.
fn mark(marks: &str, what: &str) {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(Path::new(marks).join(what))
        .expect("the directory is there");
    file.write_all(b".").expect("it takes a byte");
}

fn value(of: u64) -> Vec<u64> {
    (0..WORDS).map(|at| at * of).collect()
}

#[rustyray::remote]
fn made(marks: String, of: u64) -> Vec<u64> {
    mark(&marks, "made");
    value(of)
}

#[rustyray::remote(max_retries = 0)]
fn made_once(of: u64) -> Vec<u64> {
    value(of)
}

#[rustyray::remote(max_retries = 1)]
fn made_twice(of: u64) -> Vec<u64> {
    value(of)
}

/// One more than each of `of`.
#[rustyray::remote]
fn next(marks: String, of: View<Vec<u64>>) -> Vec<u64> {
    mark(&marks, "next");
    of.iter().map(|word| word + 1).collect()
}

#[rustyray::remote]
fn last(of: Vec<u64>) -> u64 {
    of[of.len() - 1]
}

#[rustyray::remote]
async fn last_of(inside: Vec<ObjectRef<Vec<u64>>>) -> rustyray::Result<u64> {
    let of = inside[0].view().await?;
    Ok(of[of.len() - 1].to_native())
}

#[rustyray::remote(num_returns = 3)]
fn three(marks: String) -> (Vec<u64>, Vec<u64>, u64) {
    mark(&marks, "three");
    (value(1), value(2), 3)
}

#[rustyray::remote]
fn small(bytes: u64) -> Vec<u8> {
    vec![7; bytes as usize]
}

/// Says its pid the second time, and waits.
#[rustyray::remote(max_retries = 2)]
fn waits_the_second_time(marks: String) -> Vec<u64> {
    mark(&marks, "waits");
    let runs = fs::read(Path::new(&marks).join("waits")).expect("it was marked").len();
    if runs == 2 {
        fs::write(Path::new(&marks).join("pid"), std::process::id().to_string())
            .expect("it is there");
        loop {
            std::thread::park();
        }
    }
    value(runs as u64)
}

#[rustyray::remote]
fn fails_the_second_time(marks: String) -> Result<Vec<u64>, String> {
    mark(&marks, "fails");
    let runs = fs::read(Path::new(&marks).join("fails")).expect("it was marked").len();
    if runs == 2 { Err("not twice".into()) } else { Ok(value(1)) }
}

#[rustyray::remote(num_returns = "streaming")]
fn items() -> impl Iterator<Item = Vec<u64>> {
    (1..3).map(value)
}

/// Items of which the one `at` is not made before there is a file `gate`.
#[rustyray::remote(num_returns = "streaming", backpressure = 4)]
fn held_up(marks: String, to: u64, at: u64) -> impl Iterator<Item = u64> {
    (0..to).inspect(move |&item| {
        while item == at && !Path::new(&marks).join("gate").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
    })
}

#[rustyray::actor]
struct Maker;

#[rustyray::actor_methods]
impl Maker {
    pub fn new() -> Self {
        Maker
    }

    pub fn make(&self, of: u64) -> Vec<u64> {
        value(of)
    }

    /// Says that it has begun by making a file, and makes nothing else until the other is there.
    pub fn wait_for(&mut self, begun: String, file: String) {
        fs::write(begun, "").expect("the directory is there");
        while !Path::new(&file).exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn length(&mut self, of: String) -> usize {
        of.len()
    }

    #[method(num_returns = "streaming")]
    pub fn letters(&mut self, of: String) -> impl Iterator<Item = char> + use<> {
        of.chars().collect::<Vec<_>>().into_iter()
    }
}

/// A runtime with a small store, and where it puts what it has no room for.
struct Small {
    dir: tempfile::TempDir,
    fillers: Vec<ObjectRef<Vec<u64>>>,
}

impl Small {
    fn run(body: impl AsyncFnOnce(&mut Small) -> rustyray::Result<()>) {
        Self::run_with(|builder| builder, body);
    }

    fn run_with(
        set: impl FnOnce(Builder) -> Builder,
        body: impl AsyncFnOnce(&mut Small) -> rustyray::Result<()>,
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut small = Small { dir, fillers: Vec::new() };
        let builder = Builder::new()
            .num_cpus(2.0)
            .object_store_memory(STORE_BYTES)
            .spill_dir(small.dir.path().join("spill"))
            .visible(false)
            .shutdown_grace(Duration::from_millis(200));
        rustyray::block_on(async {
            set(builder).start().await?;
            body(&mut small).await?;
            small.fillers.clear();
            rustyray::shutdown().await
        })
        .expect("it works");
    }

    fn marks(&self) -> String {
        self.dir.path().to_string_lossy().into_owned()
    }

    /// How often it was begun.
    fn runs(&self, what: &str) -> usize {
        fs::read(self.dir.path().join(what)).map_or(0, |marks| marks.len())
    }

    fn file(&self, id: ObjectId) -> Option<PathBuf> {
        let own = fs::read_dir(self.dir.path().join("spill")).ok()?.next()?.ok()?;
        Some(own.path().join(format!("{:x}", id.index))).filter(|path| path.exists())
    }

    /// The files of all that is on disk.
    fn spilled(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.dir.path().join("spill")).expect("it spills");
        let own = all.map(|entry| entry.expect("it can be listed").path());
        own.flat_map(|own| fs::read_dir(own).expect("it is a directory"))
            .map(|entry| entry.expect("it can be listed").path())
            .collect()
    }

    /// Has everything that is there now written to disk, by filling the memory.
    async fn fill(&mut self) -> rustyray::Result<()> {
        let pieces = STORE_BYTES / (8 * WORDS);
        for of in 0..2 * pieces {
            self.fillers.push(rustyray::put(&value(of)).await?);
        }
        Ok(())
    }

    /// Has the object written to disk; where it is then.
    async fn spill<T: Value>(&mut self, object: &ObjectRef<T>) -> rustyray::Result<PathBuf> {
        while !object.is_ready() {
            rustyray::wait(std::slice::from_ref(object), 1, None).await?;
        }
        self.fillers.clear();
        self.fill().await?;
        Ok(self.file(object.id()).expect("what was used least recently is on disk"))
    }
}

fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("it can be written");
}

fn cut_short(path: &Path) {
    let file = fs::OpenOptions::new().write(true).open(path).expect("it is there");
    file.set_len(1000).expect("it can be cut");
}

fn remove(path: &Path) {
    fs::remove_file(path).expect("it is there");
}

/// The reason for which the object is lost.
fn lost<T: std::fmt::Debug>(result: rustyray::Result<T>) -> String {
    match result {
        Err(Error::ObjectLost { reason, .. }) => reason,
        other => panic!("{:?}", other.map(|_| "a value")),
    }
}

#[test]
fn a_result_whose_file_is_harmed_is_made_again() {
    Small::run(async |small| {
        for (at, harm) in [flip_a_bit, cut_short, remove].into_iter().enumerate() {
            let object = made_remote::remote(small.marks(), 3).await?;
            harm(&small.spill(&object).await?);
            match at {
                0 => assert_eq!(object.get().await?, value(3)),
                1 => assert_eq!(object.view().await?[5], 15),
                _ => assert_eq!(object.get_blocking()?, value(3)),
            }
            assert_eq!(small.runs("made"), 2 * (at + 1));
            // As any other from here on.
            assert_eq!(object.get_timeout(Duration::from_secs(60)).await?, value(3));
        }
        Ok(())
    });
}

#[test]
fn those_who_take_it_wait_for_it() {
    Small::run(async |small| {
        let object = made_remote::remote(small.marks(), 3).await?;
        cut_short(&small.spill(&object).await?);
        // A task that takes it, one that has it inside, one that takes a view, and one that takes what that makes.
        let direct = last_remote::remote(&object).await?;
        let inside = last_of_remote::remote(vec![object.clone()]).await?;
        let next = next_remote::remote(small.marks(), &object).await?;
        let behind = last_remote::remote(&next).await?;
        let (ready, _) =
            rustyray::wait(&[direct.clone(), inside.clone(), behind.clone()], 3, None).await?;
        assert_eq!(ready.len(), 3);
        let expected = 3 * (WORDS - 1);
        assert_eq!(
            rustyray::get_all(&[direct, inside, behind]).await?,
            [expected, expected, expected + 1]
        );
        assert_eq!(small.runs("made"), 2, "once for all of them");
        Ok(())
    });
}

#[test]
fn arguments_that_are_lost_too_are_made_first() {
    Small::run(async |small| {
        let first = made_remote::remote(small.marks(), 3).await?;
        let second = next_remote::remote(small.marks(), &first).await?;
        let third = next_remote::remote(small.marks(), &second).await?;
        let files = [
            small.spill(&third).await?,
            small.file(first.id()).expect("older"),
            small.file(second.id()).expect("older"),
        ];
        files.iter().for_each(|file| remove(file));
        assert_eq!(third.view().await?[5], 17);
        assert_eq!((small.runs("made"), small.runs("next")), (2, 4));
        assert_eq!(first.view().await?[5], 15);
        Ok(())
    });
}

#[test]
fn what_only_lineage_holds_is_not_written_to_disk_and_made_again() {
    Small::run(async |small| {
        let first = made_remote::remote(small.marks(), 3).await?;
        let second = next_remote::remote(small.marks(), &first).await?;
        let third = next_remote::remote(small.marks(), &second).await?;
        let ids = [first.id(), second.id()];
        third.view().await?;
        drop((first, second));
        let file = small.spill(&third).await?;
        assert_eq!(ids.map(|id| small.file(id)), [None, None]);
        flip_a_bit(&file);
        assert_eq!(third.view().await?[5], 17);
        assert_eq!((small.runs("made"), small.runs("next")), (2, 4));
        // With the last result goes all that was kept for it.
        let store = rustyray::Runtime::current()?.store().expect("this is the node");
        small.fillers.clear();
        drop(third);
        while store.stats().objects > 0 {
            std::thread::yield_now();
        }
        assert_eq!(store.origins(), (0, 0));
        Ok(())
    });
}

#[test]
fn what_was_put_is_kept_for_what_was_made_from_it() {
    Small::run(async |small| {
        let put = rustyray::put(&value(3)).await?;
        let made = next_remote::remote(small.marks(), &put).await?;
        let id = put.id();
        made.view().await?;
        drop(put);
        remove(&small.spill(&made).await?);
        assert_eq!(made.view().await?[5], 16);
        // Without it there is no way.
        remove(&small.spill(&made).await?);
        small.file(id).inspect(|file| remove(file)).expect("it is older");
        let reason = lost(made.view().await);
        assert!(reason.contains("cannot be made again"), "{reason}");
        assert!(reason.contains(&id.to_string()) && reason.contains("it was put"), "{reason}");
        Ok(())
    });
}

#[test]
fn what_nobody_can_make_again_says_why() {
    Small::run(async |small| {
        let maker = Maker::remote().await?;
        let put = rustyray::put(&value(3)).await?;
        let method = maker.make(3).await?;
        let once = made_once_remote::remote(3).await?;
        let mut stream = items_remote::remote().await?;
        let item = stream.next().await.expect("the first");
        let little = small_remote::remote(1000).await?;
        for (object, word) in [
            (put, "it was put"),
            (method, "actor's method"),
            (once, "max_retries = 0"),
            (item, "item of a stream"),
        ] {
            let file = small.spill(&object).await?;
            cut_short(&file);
            let reason = lost(object.get().await);
            assert!(reason.contains(word), "{reason}");
            assert!(reason.contains(&*file.to_string_lossy()), "{reason}");
            assert!(reason.contains("was cut short"), "{reason}");
            // It stays so, and those who take it learn it with the way that it came.
            let error = last_remote::remote(&object).await?.get().await.expect_err("it is lost");
            let Error::DependencyFailed { cause, .. } = error else { panic!("{error:?}") };
            assert_eq!(lost::<()>(Err(*cause)), reason);
        }
        remove(&small.spill(&little).await?);
        let reason = lost(little.get().await);
        assert!(reason.contains("below 1024 bytes"), "{reason}");
        Ok(())
    });
}

#[test]
fn a_stream_comes_whole_though_all_that_may_go_to_disk_is_lost() {
    Small::run(async |small| {
        let mut items = held_up_remote::remote(small.marks(), 10, 2).await?;
        let mut seen = Vec::new();
        // What may be made next is told when half of what was to be made first is taken.
        for _ in 0..2 {
            seen.push(items.next().await.expect("two are made").get().await?);
        }
        small.fill().await?;
        small.spilled().iter().for_each(|file| remove(file));
        fs::write(small.dir.path().join("gate"), "").expect("the directory is there");
        while let Some(item) = items.next().await {
            seen.push(item.get().await?);
        }
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn it_is_made_again_as_often_as_its_task_may_be_retried() {
    Small::run(async |small| {
        let object = made_twice_remote::remote(3).await?;
        remove(&small.spill(&object).await?);
        assert_eq!(object.get().await?, value(3));
        remove(&small.spill(&object).await?);
        let reason = lost(object.get().await);
        assert!(
            reason.contains("the one retry of its task") && reason.contains("made_twice"),
            "{reason}"
        );
        Ok(())
    });
}

#[test]
fn what_is_kept_has_a_bound() {
    Small::run_with(
        |builder| builder.lineage_memory(0),
        async |small| {
            let object = made_remote::remote(small.marks(), 3).await?;
            remove(&small.spill(&object).await?);
            let reason = lost(object.get().await);
            assert!(reason.contains("its lineage was dropped"), "{reason}");
            Ok(())
        },
    );
    Small::run_with(
        |builder| builder.lineage_memory(16 << 10),
        async |small| {
            let store = rustyray::Runtime::current()?.store().expect("this is the node");
            let first = small_remote::remote(2_000).await?;
            first.get().await?;
            let mut others = Vec::new();
            for _ in 0..200 {
                others.push(small_remote::remote(2_000).await?);
            }
            rustyray::get_all(&others).await?;
            let (kept, bytes) = store.origins();
            assert!(kept > 0 && kept < 200 && bytes <= 16 << 10, "{kept} of {bytes} bytes");
            remove(&small.spill(&first).await?);
            assert!(lost(first.get().await).contains("its lineage was dropped"));
            Ok(())
        },
    );
}

#[test]
fn of_several_results_those_that_are_lost_are_made_again() {
    Small::run(async |small| {
        let (one, two, rest) = three_remote::remote(small.marks()).await?;
        rest.get().await?;
        remove(&small.spill(&one).await?);
        assert_eq!(one.get().await?, value(1));
        assert_eq!(small.runs("three"), 2);
        let file = small.spill(&one).await?;
        remove(&file);
        cut_short(&small.file(two.id()).expect("it was used before"));
        let both = [last_remote::remote(&two).await?, last_remote::remote(&one).await?];
        assert_eq!(rustyray::get_all(&both).await?, [2 * (WORDS - 1), WORDS - 1]);
        assert_eq!(rest.get().await?, 3);
        Ok(())
    });
}

#[test]
fn a_worker_that_is_killed_while_it_makes_it_again_is_replaced() {
    Small::run(async |small| {
        let object = waits_the_second_time_remote::remote(small.marks()).await?;
        remove(&small.spill(&object).await?);
        let waiting = last_remote::remote(&object).await?;
        let path = small.dir.path().join("pid");
        let deadline = Instant::now() + Duration::from_secs(60);
        let pid: i32 = loop {
            match fs::read_to_string(&path).unwrap_or_default().parse() {
                Ok(pid) => break pid,
                Err(_) => assert!(Instant::now() < deadline, "nobody makes it again"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(!object.is_ready(), "it waits for a value again");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is there");
        assert_eq!(object.get().await?, value(3));
        assert_eq!(waiting.get().await?, 3 * (WORDS - 1));
        // That was the last of its two retries.
        remove(&small.spill(&object).await?);
        let reason = lost(object.get().await);
        assert!(reason.contains("the 2 retries of its task"), "{reason}");
        Ok(())
    });
}

#[test]
fn a_task_that_fails_the_second_time_says_so_and_one_can_be_cancelled() {
    Small::run(async |small| {
        let object = fails_the_second_time_remote::remote(small.marks()).await?;
        remove(&small.spill(&object).await?);
        let error = object.get().await.expect_err("it fails the second time");
        assert!(error.to_string().contains("not twice"), "{error}");

        let object = waits_the_second_time_remote::remote(small.marks()).await?;
        remove(&small.spill(&object).await?);
        let waiting = last_remote::remote(&object).await?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while small.runs("waits") < 2 {
            assert!(Instant::now() < deadline, "nobody makes it again");
            std::thread::sleep(Duration::from_millis(1));
        }
        object.cancel(CancelOptions { force: true, recursive: false }).await?;
        let error = object.get().await.expect_err("it was cancelled");
        assert!(matches!(error, Error::TaskCancelled { .. }), "{error:?}");
        waiting.get().await.expect_err("its argument was cancelled");
        Ok(())
    });
}

#[test]
fn strict_objects_are_made_again_too() {
    Small::run_with(Builder::strict_objects, async |small| {
        let first = made_remote::remote(small.marks(), 3).await?;
        let second = next_remote::remote(small.marks(), &first).await?;
        for harm in [flip_a_bit, remove] {
            harm(&small.spill(&second).await?);
            harm(&small.file(first.id()).expect("it is older"));
            assert_eq!(second.view().await?[5], 16);
            assert_eq!(first.get().await?, value(3));
        }
        assert_eq!((small.runs("made"), small.runs("next")), (3, 3));
        Ok(())
    });
}

/// Calls the actor with more than goes into a ring, by way of the node or by a line, and has what it said written to
/// disk, and lost, before the actor looks at it: what came of a call, of one that was to give a stream, and of the
/// next one.
async fn words_are_lost(
    small: &mut Small,
    warm_calls: usize,
) -> rustyray::Result<(rustyray::Result<usize>, rustyray::Result<u64>, usize)> {
    let maker = Maker::remote().await?;
    for _ in 0..warm_calls {
        maker.length(String::new()).await?.get().await?;
    }
    let [begun, gate] = ["begun", "gate"].map(|file| small.dir.path().join(file));
    let path = |file: &Path| file.to_string_lossy().into_owned();
    let waiting = maker.wait_for(path(&begun), path(&gate)).await?;
    while !begun.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let call = maker.length("a".repeat(300)).await?;
    let stream = maker.letters("a".repeat(300)).await?;
    small.fill().await?;
    for spilled in small.spilled() {
        // Those of the others are made again, or not asked for any more.
        remove(&spilled);
    }
    fs::write(&gate, "").expect("the directory is there");
    waiting.get().await?;
    let came = call.get_timeout(Duration::from_secs(60)).await;
    let streamed = stream.completed().get_timeout(Duration::from_secs(60)).await;
    let next = maker.length("b".repeat(400)).await?.get_timeout(Duration::from_secs(60)).await?;
    [begun, gate].iter().for_each(|file| remove(file));
    small.fillers.clear();
    Ok((came, streamed, next))
}

#[test]
fn a_call_whose_words_are_lost_fails_by_whichever_way_it_came() {
    for warm_calls in [0, 64] {
        Small::run(async |small| {
            let (came, streamed, next) = words_are_lost(small, warm_calls).await?;
            lost(came);
            lost(streamed);
            assert_eq!(next, 400, "the actor goes on");
            Ok(())
        });
    }
}
