//! What does it cost to record when tasks begin and end?
//!
//! The task rows of Ray's suite, each in batches that take turns: one while nobody looks, one while an
//! observer has tasks recorded, then the other way round. Both halves of a pair are milliseconds apart, so what
//! the machine does from one second to the next is in both. What recording costs is the median of the pairs'
//! ratios, and their quartiles say how sure that is; a batch is told by its median call. It begins after the
//! recorder was turned on or off and some tasks have run since, so turning it on is not in the figures, and
//! neither is reading what was recorded.
//!
//! Tasks async and tasks and get batch are the same work, counted by the task and by the thousand. The row of
//! many clients, and those of actors, have more to record of each call: within what it was submitted, whose
//! method it is.
//!
//! Criterion compares no pairs, so it prints what it found:
//! `cargo bench -p rustyray-benches --bench recording [-- PART OF A ROW'S NAME]`.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{path::Path, time::Instant};

use rustyray::{
    prelude::*,
    state::{Inspector, NodeInfo},
};
use rustyray_benches::{wait, with_runtime};

/// How many pairs of batches a row is measured by.
const PAIRS: usize = 300;
/// How long a batch takes, about.
const BATCH_NS: f64 = 5e6;

#[rustyray::remote]
fn ok() -> Vec<u8> {
    b"ok".to_vec()
}

async fn thousand() -> rustyray::Result<()> {
    let mut results: Vec<ObjectRef<Vec<u8>>> = Vec::with_capacity(1000);
    for _ in 0..1000 {
        results.push(ok_remote::remote().await?);
    }
    rustyray::get_all(&results).await.map(drop)
}

#[rustyray::actor]
struct Client;

#[rustyray::actor_methods]
impl Client {
    pub fn new() -> Self {
        Client
    }

    pub fn ok(&self) -> Vec<u8> {
        b"ok".to_vec()
    }

    pub async fn thousand(&self) -> rustyray::Result<u8> {
        thousand().await.map(|()| 0)
    }
}

/// One row: what it is called, how many tasks one call of it runs, and how to come by the call.
type Row = (&'static str, u32, fn() -> Call);
type Call = Box<dyn Fn()>;

const ROWS: [Row; 5] = [
    ("single client tasks sync", 1, || {
        Box::new(|| _ = wait(async { ok_remote::remote().await?.get().await }))
    }),
    ("single client tasks async, tasks and get batch", 1000, || Box::new(|| wait(thousand()))),
    ("multi client tasks async", 4004, || {
        let clients: Vec<_> = (0..4).map(|_| wait(Client::remote())).collect();
        Box::new(move || {
            let batches: Vec<_> = clients.iter().map(|client| wait(client.thousand())).collect();
            wait(rustyray::get_all(&batches));
        })
    }),
    ("1:1 actor calls sync", 1, || {
        let actor = wait(Client::remote());
        Box::new(move || _ = wait(async { actor.ok().await?.get().await }))
    }),
    ("1:1 actor calls async", 1000, || {
        let actor = wait(Client::remote());
        Box::new(move || {
            let calls: Vec<_> = (0..1000).map(|_| wait(actor.ok())).collect();
            wait(rustyray::get_all(&calls));
        })
    }),
];

/// Whether tasks are recorded, and how to change it.
struct Recorder<'a> {
    socket: &'a Path,
    onlooker: Inspector,
    watching: Option<Inspector>,
}

impl Recorder<'_> {
    fn look(&mut self) -> NodeInfo {
        self.onlooker.node().unwrap_or_else(|error| panic!("{error}"))
    }

    fn set(&mut self, on: bool) {
        self.watching = on.then(|| {
            let mut watching =
                Inspector::connect(self.socket).unwrap_or_else(|error| panic!("{error}"));
            watching.record().unwrap_or_else(|error| panic!("{error}"));
            watching
        });
        // The node hears that an observer has gone when it comes to it.
        while self.look().recording != on {
            std::thread::yield_now();
        }
    }
}

/// What the median call of a batch takes, in nanoseconds.
fn batch(recorder: &mut Recorder<'_>, on: bool, call: &Call, calls: usize) -> f64 {
    recorder.set(on);
    (0..calls.div_ceil(8)).for_each(|_| call());
    let timed = |_| {
        let began = Instant::now();
        call();
        began.elapsed().as_nanos() as f64
    };
    let [_, median, _] = quartiles((0..calls).map(timed));
    median
}

/// The values at a quarter, a half and three quarters.
fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[values.len() * quarter / 4])
}

fn measure(recorder: &mut Recorder<'_>, (name, tasks, prepare): Row) {
    let call = prepare();
    let calls = (BATCH_NS / batch(recorder, true, &call, 16)).ceil().max(2.0) as usize;
    let pair = |pair: usize| {
        let recorded_first = pair % 2 == 1;
        let first = batch(recorder, recorded_first, &call, calls);
        let second = batch(recorder, !recorded_first, &call, calls);
        if recorded_first { (second, first) } else { (first, second) }
    };
    let pairs: Vec<(f64, f64)> = (0..PAIRS).map(pair).collect();
    let [low, median, high] =
        quartiles(pairs.iter().map(|(without, with)| 100.0 * (with / without - 1.0)));
    let [_, without, _] = quartiles(pairs.iter().map(|&(without, _)| without / f64::from(tasks)));
    let [_, with, _] = quartiles(pairs.iter().map(|&(_, with)| with / f64::from(tasks)));
    println!(
        "  {name}: {median:+.1} % ({low:+.1} to {high:+.1}); {without:.0} ns a task without, {with:.0} ns with"
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("nothing is measured without --bench");
        return;
    }
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
    println!(
        "recording: how much more with it ({PAIRS} pairs: median and quartiles of their ratios)"
    );
    for row in ROWS.into_iter().filter(|(name, ..)| wanted.is_none_or(|part| name.contains(part))) {
        with_runtime(|| {
            let runtime = rustyray::Runtime::current().expect("it runs");
            let socket = runtime.socket().expect("it can be found");
            let onlooker = Inspector::connect(socket).unwrap_or_else(|error| panic!("{error}"));
            measure(&mut Recorder { socket, onlooker, watching: None }, row);
        });
    }
}
