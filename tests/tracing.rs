//! Spans of the crate `tracing`, in the driver and in the processes of workers.

#![cfg(feature = "tracing")]
#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rkyv::{Archive, Deserialize, Serialize};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// A span as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
struct Seen {
    name: String,
    fields: BTreeMap<String, String>,
    /// The span within which it was made, by its place.
    parent: Option<u64>,
    entered: u64,
    closed: bool,
}

impl Seen {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.to_owned());
    }
}

/// Keeps the spans of this process.
struct Collector;

static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());

thread_local! {
    static WITHIN: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// How often each span is referred to.
static REFERENCES: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());

fn with<R>(id: &Id, change: impl FnOnce(&mut Seen) -> R) -> R {
    change(&mut SEEN.lock().expect("no panic")[id.into_u64() as usize - 1])
}

impl Subscriber for Collector {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        about.target().starts_with("rustyray")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut seen = Seen { name: attributes.metadata().name().to_owned(), ..Seen::default() };
        attributes.record(&mut seen);
        seen.parent = WITHIN.with_borrow(|within| within.last().copied());
        let id = {
            let mut all = SEEN.lock().expect("no panic");
            all.push(seen);
            all.len() as u64
        };
        REFERENCES.lock().expect("no panic").insert(id, 1);
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        with(id, |seen| values.record(seen));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &Id) {
        with(id, |seen| seen.entered += 1);
        WITHIN.with_borrow_mut(|within| within.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        let left = WITHIN.with_borrow_mut(Vec::pop);
        assert_eq!(left, Some(id.into_u64()), "spans are left in the order in which they nest");
    }

    fn clone_span(&self, id: &Id) -> Id {
        *REFERENCES.lock().expect("no panic").entry(id.into_u64()).or_default() += 1;
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let closed = {
            let mut references = REFERENCES.lock().expect("no panic");
            let count = references.get_mut(&id.into_u64()).expect("it was made");
            *count -= 1;
            *count == 0
        };
        if closed {
            with(&id, |seen| seen.closed = true);
        }
        closed
    }
}

/// Collects the spans of this process from now on.
fn collect() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| tracing::subscriber::set_global_default(Collector).expect("the first"));
}

fn collected() -> Vec<Seen> {
    SEEN.lock().expect("no panic").clone()
}

/// Waits until so many tasks are here, so that each of them has a worker of its own.
fn meet(place: &Path, tasks: usize) {
    std::fs::write(place.join(std::process::id().to_string()), "").expect("the place is there");
    let until = Instant::now() + Duration::from_secs(60);
    while std::fs::read_dir(place).expect("the place is there").count() < tasks {
        assert!(Instant::now() < until, "the others do not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[rustyray::remote]
fn watch(place: String) {
    collect();
    meet(Path::new(&place), 2);
}

#[rustyray::remote]
fn seen(place: String) -> (u32, Vec<Seen>) {
    meet(Path::new(&place), 2);
    (std::process::id(), collected())
}

#[rustyray::remote]
fn leaf(number: u64) -> u64 {
    number + 1
}

/// Submits, waits and puts, and goes on across an await.
#[rustyray::remote]
async fn branch(number: u64) -> rustyray::Result<rustyray::ObjectRef<u64>> {
    let leaf = leaf_remote::remote(number).await?;
    let number = leaf.get().await?;
    rustyray::put(&number).await
}

#[rustyray::actor]
struct Tree {
    rings: u64,
}

#[rustyray::actor_methods]
impl Tree {
    pub fn new() -> Self {
        Tree { rings: 0 }
    }

    pub fn watch(&mut self) {
        collect();
    }

    pub async fn grow(&mut self, rings: u64) -> u64 {
        leaf_remote::remote(1).await.expect("submitted").get().await.expect("it runs");
        self.rings += rings;
        self.rings
    }

    pub fn seen(&self) -> (u32, Vec<Seen>) {
        (std::process::id(), collected())
    }
}

/// The only span of this name with such a field.
fn only<'a>(all: &'a [Seen], name: &str, field: &str, value: &str) -> (u64, &'a Seen) {
    let fits = |seen: &Seen| seen.name == name && seen.field(field) == value;
    let found: Vec<_> = all.iter().enumerate().filter(|(_, seen)| fits(seen)).collect();
    assert_eq!(found.len(), 1, "`{name}` with {field} = {value} among {all:#?}");
    (found[0].0 as u64 + 1, found[0].1)
}

#[test]
fn spans_tell_of_every_step_in_every_process() {
    static LAST: AtomicU64 = AtomicU64::new(0);
    collect();
    let places = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let place = |at: usize| places[at].path().display().to_string();
    let builder = rustyray::Builder::new().num_cpus(2.0).first_workers(2).visible(false);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    let (branch, number, tree, grown, in_workers, in_actor) = rustyray::block_on(async {
        let watched =
            [watch_remote::remote(place(0)).await?, watch_remote::remote(place(0)).await?];
        rustyray::get_all(&watched).await?;
        let branch = branch_remote::options().name("limb").remote(6).await?;
        let number = branch.get().await?;
        assert_eq!(number.get().await?, 7);
        let tree = Tree::remote().await?;
        tree.watch().await?.get().await?;
        let grown = tree.grow(3).await?;
        assert_eq!(grown.get().await?, 3);
        rustyray::wait(std::slice::from_ref(&grown), 1, None).await?;
        LAST.store(rustyray::put(&5_u64).await?.get().await?, Ordering::Relaxed);
        let seen = [seen_remote::remote(place(1)).await?, seen_remote::remote(place(1)).await?];
        let in_workers = rustyray::get_all(&seen).await?;
        let in_actor = tree.seen().await?.get().await?;
        Ok::<_, rustyray::Error>((branch, number, tree, grown, in_workers, in_actor))
    })
    .expect("all of it runs");
    let here = collected();
    let (branch, grown, token) =
        (branch.id().to_string(), grown.id().to_string(), tree.id().to_string());

    // Submission, and dispatch to a worker, by the driver.
    let (_, submitted) = only(&here, "submit", "task.returns", &branch);
    assert_eq!((submitted.field("otel.name"), submitted.field("kind")), ("limb", "task"));
    let dispatched = only(&here, "dispatch", "task.returns", &branch).1;
    let ran_here = |(pid, _): &&(u32, Vec<Seen>)| pid.to_string() == dispatched.field("worker");
    // The actor has moved into one of the two workers, perhaps that one.
    let mut processes = in_workers.iter().chain([&in_actor]);
    let (_, in_worker) = processes.find(ran_here).expect("one of them ran it");
    let task = dispatched.field("task.id");
    assert!(task.parse::<u64>().is_ok_and(|task| task > 0), "{dispatched:?}");

    // Its execution elsewhere, under the same ids, and what it does within.
    let (at, executed) = only(in_worker, "task", "task.returns", &branch);
    assert_eq!((executed.field("otel.name"), executed.field("task.id")), ("limb", task));
    assert_eq!((executed.field("task.attempt"), executed.field("kind")), ("0", "task"));
    assert!(executed.entered > 1, "it is entered again after an await: {executed:?}");
    assert!(executed.closed, "{executed:?}");
    let inner: Vec<_> = in_worker.iter().filter(|seen| seen.parent == Some(at)).collect();
    let within = |name: &str| inner.iter().find(|seen| seen.name == name);
    let leaf = within("submit").expect("it submits another").field("task.returns").to_owned();
    assert_eq!(within("get").expect("it waits for it").field("object.id"), leaf);
    let put = within("put").expect("it puts");
    assert_eq!(put.field("object.id"), number.id().to_string());
    assert_eq!(put.field("object.type"), "u64");
    assert_eq!(only(&here, "dispatch", "task.returns", &leaf).1.field("kind"), "task");

    // An actor: its construction and its calls, with its id on both sides.
    let (_, made) = only(&here, "submit", "task.returns", &token);
    assert_eq!((made.field("kind"), made.field("actor.id")), ("construction", token.as_str()));
    let (_, called) = only(&here, "submit", "task.returns", &grown);
    assert_eq!((called.field("kind"), called.field("actor.id")), ("call", token.as_str()));
    let (_, ran) = only(&in_actor.1, "task", "task.returns", &grown);
    assert_eq!((ran.field("kind"), ran.field("actor.id")), ("call", token.as_str()));
    assert!(ran.field("otel.name").ends_with("Tree::grow"), "{ran:?}");

    // Getting, waiting and putting in the driver.
    assert!(only(&here, "get", "object.id", &grown).1.closed);
    assert_eq!(only(&here, "wait", "objects", "1").1.field("wanted"), "1");
    let (_, put) = only(&here, "put", "object.type", "u64");
    assert!(
        here.iter().any(|seen| {
            seen.name == "get" && seen.field("object.id") == put.field("object.id")
        })
    );
    drop((number, tree));
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}
