//! The timeline: what it is as a file, and whether it tells what happened.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{BufRead, BufReader, Write as _},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use rustyray::ObjectRef;
use serde_json::Value;

use crate::bench::{Place, said, until};

#[rustyray::remote]
fn speak(word: String) -> usize {
    word.len()
}

#[rustyray::remote]
fn collapse() -> Result<u8, String> {
    Err("the roof fell in".to_owned())
}

/// A slice of a trace.
#[derive(Debug)]
struct Slice<'a> {
    name: &'a str,
    track: u64,
    began: u64,
    ended: u64,
    arguments: &'a Value,
}

impl Slice<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.arguments[name].as_str()
    }
}

/// Holds what was written against the trace event format, as far as Perfetto and `chrome://tracing` insist on it, and
/// gives its slices: those of one track follow each other, and an arrow leads from the slice that it begins in to the
/// one that begins where it ends, whose parent that is.
fn is_a_trace(trace: &Value) -> Vec<Slice<'_>> {
    let root = trace.as_object().expect("an object");
    let allowed = ["traceEvents", "displayTimeUnit", "otherData", "metadata"];
    assert!(root.keys().all(|key| allowed.contains(&key.as_str())), "{:?}", root.keys());
    assert!(matches!(trace["displayTimeUnit"].as_str(), Some("ms" | "ns")));
    let (mut named, mut slices) = (BTreeSet::new(), Vec::new());
    // Where each arrow begins, and where it ends.
    let mut arrows: [BTreeMap<u64, (u64, u64)>; 2] = Default::default();
    for event in trace["traceEvents"].as_array().expect("events") {
        let fields = event.as_object().expect("an object");
        assert!(fields.values().all(|value| !value.is_null()), "{event:#}");
        assert!(event["name"].as_str().is_some_and(|name| !name.is_empty()), "{event:#}");
        let number = |field: &str| event[field].as_u64().and_then(|of| u32::try_from(of).ok());
        assert!(number("pid").is_some(), "{event:#}");
        let track = || u64::from(number("tid").expect("a track"));
        // Perfetto rounds down, too.
        let ns = |field: &str| (event[field].as_f64().expect("microseconds") * 1e3) as u64;
        let at = || ns("ts");
        match event["ph"].as_str().expect("a phase") {
            "X" => {
                assert!(event["cat"].is_string() && event["args"].is_object(), "{event:#}");
                assert!(event.get("cname").is_none_or(|name| name == "terrible"), "{event:#}");
                let ended = at() + ns("dur");
                let arguments = &event["args"];
                let name = event["name"].as_str().expect("a name");
                slices.push(Slice { name, track: track(), began: at(), ended, arguments });
            }
            "M" => {
                assert!(event["args"]["name"].is_string(), "{event:#}");
                match event["name"].as_str() {
                    Some("process_name") => {}
                    Some("thread_name") => assert!(named.insert(track()), "named twice: {event:#}"),
                    other => panic!("there is no metadata {other:?}"),
                }
            }
            phase @ ("s" | "f") => {
                assert!(event["cat"].is_string(), "{event:#}");
                let is_end = phase == "f";
                assert_eq!(event.get("bp").is_some_and(|point| point == "e"), is_end, "{event:#}");
                let arrow = event["id"].as_u64().expect("a number");
                let other = arrows[usize::from(is_end)].insert(arrow, (track(), at()));
                assert!(other.is_none(), "an arrow has two of one end: {event:#}");
            }
            other => panic!("no event here has the phase {other}"),
        }
    }
    slices.sort_by_key(|slice| (slice.track, slice.began, slice.ended));
    assert!(slices.iter().all(|slice| named.contains(&slice.track)), "a track has no name");
    for pair in slices.windows(2).filter(|pair| pair[0].track == pair[1].track) {
        assert!(pair[0].ended <= pair[1].began, "slices overlap: {pair:?}");
    }
    let [from, to] = arrows;
    assert!(from.keys().eq(to.keys()), "arrows have one end only: {from:?}, {to:?}");
    for ((_, &(track, at)), (_, &(to_track, to_at))) in from.iter().zip(&to) {
        assert!(at <= to_at, "an arrow leads back in time");
        let out_of = slices.iter().filter(|s| s.track == track && s.began <= at && at <= s.ended);
        let parents: BTreeSet<_> = out_of.filter_map(|slice| slice.text("task")).collect();
        let mut into = slices.iter().filter(|s| s.track == to_track && s.began == to_at);
        assert!(
            into.any(|slice| slice.text("parent").is_some_and(|of| parents.contains(of))),
            "an arrow does not lead from a task to one that it submitted"
        );
    }
    slices
}

#[test]
fn what_was_recorded_becomes_a_timeline() {
    let place = Place::new();
    let node = place.start(&["--record"]);
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    rustyray::block_on(async {
        let mut words = Vec::new();
        for at in 0..20 {
            words.push(speak_remote::remote("x".repeat(at)).await?);
        }
        rustyray::get_all(&words).await?;
        let failed = collapse_remote::remote().await?;
        assert!(failed.get().await.is_err());
        Ok::<_, rustyray::Error>(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", said(&place.run(&["logs"]))));
    // A completion may be on its way after its result was seen.
    let finished = place.wait_for(&["list", "tasks", "-f", "state=finished"], |rows| {
        rows.as_array().is_some_and(|rows| rows.len() == 20)
    });
    assert!(finished[0]["name"].as_str().expect("a name").ends_with("speak"), "{finished:#}");
    assert!(finished[0]["started_ns"].as_u64().expect("a time") > 0);
    let failed = place
        .wait_for(&["list", "tasks", "-f", "state=failed"], |rows| rows[0]["duration_ns"].is_u64());
    assert!(failed[0]["error"].as_str().expect("an error").contains("the roof fell in"));

    let output = place.run(&["timeline", "--out", "-"]);
    assert!(output.status.success(), "{}", said(&output));
    let trace: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let complete: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
    assert_eq!(complete.len(), 21, "{trace:#}");
    assert!(complete.iter().all(|event| event["ts"].is_f64() && event["dur"].is_f64()));
    is_a_trace(&trace);
    // Into a file, as a person does it; what was in it before is not.
    let file = place.path().join("trace.json");
    std::fs::write(&file, "before".repeat(100_000)).expect("it can be written");
    let said = place.json(&["timeline", "--out", file.to_str().expect("text")]);
    assert_eq!(said["tasks"], 21, "{said:#}");
    let written = std::fs::read(&file).expect("it is there");
    is_a_trace(&serde_json::from_slice(&written).expect("JSON"));
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
}

#[test]
fn a_file_that_cannot_be_written_is_complained_of_before_anything_is_recorded() {
    let place = Place::new();
    let _node = place.start(&[]);
    let file = place.path().join("nowhere").join("trace.json");
    let output = place.run(&["timeline", "--seconds", "2", "--out", file.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(said.contains("writing") && !said.contains("recording"), "{said}");
}

/// Where attempts write down that they begin and end, and when.
#[derive(Clone)]
struct Journal(String);

/// What the journal says of an attempt: when its code began and ended, in nanoseconds of the system's clock. What
/// was killed did not end.
type Run = (u64, Option<u64>);

impl Journal {
    fn write(&self, what: &str) {
        let context = rustyray::context();
        let returns = context.returns.expect("it returns something");
        let now =
            Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has it"));
        let line = format!("{what} {returns} {} {}\n", context.attempt, now.as_nanos());
        let mut file = std::fs::File::options().append(true).open(&self.0).expect("it is there");
        // One write, so that a line is there as a whole or not at all.
        file.write_all(line.as_bytes()).expect("there is room");
    }

    fn read(&self) -> HashMap<(String, u64), Run> {
        let mut runs = HashMap::new();
        for line in std::fs::read_to_string(&self.0).expect("it is there").lines() {
            let words: Vec<_> = line.split(' ').collect();
            let &[what, returns, attempt, at] = words.as_slice() else { panic!("{line}") };
            let number = |word: &str| word.parse::<u64>().expect("a number");
            let attempt = (returns.to_owned(), number(attempt));
            let other = match what {
                "began" => runs.insert(attempt, (number(at), None)).map(|_| ()),
                _ => runs.get_mut(&attempt).expect("it began").1.replace(number(at)).map(|_| ()),
            };
            assert!(other.is_none(), "it ran twice: {line}");
        }
        runs
    }
}

/// Writes down that it begins, and as it is dropped that it ends.
struct Noted(Journal);

fn noted(journal: String) -> Noted {
    let journal = Journal(journal);
    journal.write("began");
    Noted(journal)
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.write("ended");
    }
}

#[rustyray::remote]
fn leaf(journal: String, ms: u64) -> u64 {
    let _noted = noted(journal);
    std::thread::sleep(Duration::from_millis(ms));
    ms
}

/// Submits others, and waits for them; some are run on top of it, where there is no other worker.
#[rustyray::remote]
async fn branch(journal: String, leaves: u64) -> rustyray::Result<u64> {
    let _noted = noted(journal.clone());
    let mut results = Vec::new();
    for at in 0..leaves {
        results.push(leaf_remote::remote(journal.clone(), at % 3).await?);
    }
    Ok(rustyray::get_all(&results).await?.into_iter().sum())
}

/// Submits others, and leaves them to whoever wants them.
#[rustyray::remote]
async fn stem(journal: String) -> rustyray::Result<Vec<ObjectRef<u64>>> {
    let _noted = noted(journal.clone());
    let mut results = Vec::new();
    for _ in 0..3 {
        results.push(leaf_remote::remote(journal.clone(), 1).await?);
    }
    Ok(results)
}

#[rustyray::remote(max_retries = 2, retry_exceptions = true)]
fn stumbles(journal: String) -> Result<u32, String> {
    let _noted = noted(journal);
    match rustyray::context().attempt {
        0 => Err("not yet".to_owned()),
        attempt => Ok(attempt),
    }
}

#[rustyray::remote(max_retries = 2)]
fn is_killed_once(journal: String) -> u32 {
    let _noted = noted(journal);
    let attempt = rustyray::context().attempt;
    if attempt == 0 {
        kill(Pid::this(), Signal::SIGKILL).expect("it can");
        std::thread::sleep(Duration::from_secs(60));
    }
    attempt
}

#[rustyray::actor]
struct Clerk {
    journal: String,
}

#[rustyray::actor_methods]
impl Clerk {
    pub fn new(journal: String) -> Self {
        let _noted = noted(journal.clone());
        Clerk { journal }
    }

    pub fn answer(&self) -> u64 {
        let _noted = noted(self.journal.clone());
        7
    }

    pub async fn ponder(&self, ms: u64) -> u64 {
        let _noted = noted(self.journal.clone());
        tokio::time::sleep(Duration::from_millis(ms)).await;
        ms
    }
}

/// Its calls wait for one another.
#[rustyray::actor]
struct Scribe {
    journal: String,
}

#[rustyray::actor_methods]
impl Scribe {
    pub fn new(journal: String) -> Self {
        let _noted = noted(journal.clone());
        Scribe { journal }
    }

    pub async fn read(&self, ms: u64) -> u64 {
        let _noted = noted(self.journal.clone());
        tokio::time::sleep(Duration::from_millis(ms)).await;
        ms
    }

    pub fn write(&mut self) -> u64 {
        let _noted = noted(self.journal.clone());
        0
    }

    pub async fn revise(&mut self, ms: u64) -> u64 {
        let _noted = noted(self.journal.clone());
        tokio::time::sleep(Duration::from_millis(ms)).await;
        ms
    }
}

/// Many kinds of work, all of it done when it returns.
async fn work(journal: &str) -> rustyray::Result<()> {
    let text = || journal.to_owned();
    let branches: Vec<_> =
        [branch_remote::remote(text(), 12).await?, branch_remote::remote(text(), 5).await?].into();
    let stems = [stem_remote::remote(text()).await?, stem_remote::remote(text()).await?];
    let (stumbles, killed) =
        (stumbles_remote::remote(text()).await?, is_killed_once_remote::remote(text()).await?);
    rustyray::get_all(&branches).await?;
    for stem in &stems {
        rustyray::get_all(&stem.get().await?).await?;
    }
    assert_eq!((stumbles.get().await?, killed.get().await?), (1, 1));
    let clerk = Clerk::options().max_concurrency(4).remote(text()).await?;
    // Often enough for the calls to go by a direct line.
    for _ in 0..40 {
        assert_eq!(clerk.answer().await?.get().await?, 7);
    }
    let mut pondered = Vec::new();
    for ms in 0..12 {
        pondered.push(clerk.ponder(ms).await?);
    }
    rustyray::get_all(&pondered).await?;
    let scribe = Scribe::options().max_concurrency(4).remote(text()).await?;
    let mut written = Vec::new();
    for ms in 0..8 {
        written.push(scribe.read(ms).await?);
        written.push(scribe.write().await?);
        written.push(scribe.revise(ms % 3).await?);
    }
    rustyray::get_all(&written).await.map(drop)
}

#[test]
fn a_timeline_tells_what_happened() {
    let place = Place::new();
    let node = place.start(&["--record"]);
    let journal = Journal(place.path().join("journal").display().to_string());
    std::fs::write(&journal.0, "").expect("it can be written");
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    rustyray::block_on(work(&journal.0))
        .unwrap_or_else(|error| panic!("{error}: {}", said(&place.run(&["logs"]))));
    let runs = journal.read();
    let mut trace = Value::Null;
    // A completion may be on its way after its result was seen.
    until("all that ran is told", || {
        let output = place.run(&["timeline", "--out", "-"]);
        assert!(output.status.success(), "{}", said(&output));
        trace = serde_json::from_slice(&output.stdout).expect("JSON");
        is_a_trace(&trace).len() >= runs.len()
    });
    let slices = is_a_trace(&trace);

    // Every attempt that ran is there, once.
    let mut told: HashMap<(String, u64), &Slice<'_>> = HashMap::new();
    for slice in &slices {
        let attempt = slice.arguments["attempt"].as_u64().expect("a number");
        let returns = slice.text("returns").expect("it returns something").to_owned();
        let other = told.insert((returns, attempt), slice);
        assert!(other.is_none(), "it is there twice: {slice:?} {other:?}");
    }
    let missing: Vec<_> = runs.keys().filter(|attempt| !told.contains_key(attempt)).collect();
    assert!(missing.is_empty(), "{missing:?} ran and are not in {slices:#?}");
    assert_eq!(told.len(), runs.len(), "something is there that did not run: {slices:#?}");
    let failed = slices.iter().filter(|slice| slice.text("state") == Some("failed"));
    assert_eq!(failed.count(), 2, "one that stumbled, one that was killed");

    // There is one time at which the node can have begun: then every slice holds what its code saw of it.
    let (mut earliest, mut latest) = (i128::MIN, i128::MAX);
    for (attempt, &(began, ended)) in &runs {
        let slice = told[attempt];
        latest = latest.min(i128::from(began) - i128::from(slice.began));
        if let Some(ended) = ended {
            earliest = earliest.max(i128::from(ended) - i128::from(slice.ended));
        }
    }
    // Far more than looking at two clocks takes, far less than all of it.
    let slack = 1_000_000;
    assert!(earliest <= latest + slack, "the node began after {earliest} and before {latest}");
    let uptime_ms = place.json(&["status"])["uptime_ms"].as_u64().expect("a time");
    assert!(slices.iter().all(|slice| slice.ended <= (uptime_ms + 1) * 1_000_000), "{uptime_ms}");

    // Who submitted what: an arrow for each that was submitted within another.
    let children = slices.iter().filter(|slice| slice.text("parent").is_some()).count();
    assert_eq!(children, 12 + 5 + 3 + 3, "{slices:#?}");
    let arrows = trace["traceEvents"].as_array().expect("events");
    assert_eq!(arrows.iter().filter(|event| event["ph"] == "s").count(), children);
    // What overlaps in one worker has tracks of its own.
    let pondered = slices.iter().filter(|slice| slice.text("actor").is_some());
    let tracks: BTreeSet<_> = pondered.map(|slice| slice.track).collect();
    assert!(tracks.len() > 1, "the actor's calls did not overlap: {tracks:?}");
    // What has its actor to itself is there alone: a call begins when its code does, not when it waits for others.
    let is_alone =
        |slice: &Slice<'_>| ["::write", "::revise"].iter().any(|end| slice.name.ends_with(end));
    let mut of_scribe: Vec<_> =
        slices.iter().filter(|slice| slice.name.contains("Scribe::")).collect();
    of_scribe.sort_by_key(|slice| slice.began);
    assert_eq!(of_scribe.iter().filter(|slice| is_alone(slice)).count(), 16, "{of_scribe:#?}");
    for (at, slice) in of_scribe.iter().enumerate() {
        let mut later =
            of_scribe[at + 1..].iter().filter(|later| is_alone(slice) || is_alone(later));
        // Both ends are rounded to nanoseconds.
        let beside = later.find(|later| later.began + 2 < slice.ended);
        assert!(beside.is_none(), "{slice:?} is not alone: {beside:?}");
    }
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
}

#[rustyray::remote]
fn early() {}

#[test]
fn a_recording_that_is_interrupted_is_written() {
    let place = Place::new();
    let node = place.start(&[]);
    let runtime = rustyray::blocking::connect(&node.socket).expect("it lets us in");
    let file = place.path().join("early.json");
    let arguments = ["timeline", "--seconds", "3600", "--out", file.to_str().expect("text")];
    let mut recording = place.command(&arguments);
    let mut recording =
        recording.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut said = String::new();
    let stderr = recording.stderr.as_mut().expect("it is piped");
    BufReader::new(stderr).read_line(&mut said).expect("text");
    assert!(said.contains("Ctrl-C ends it earlier"), "{said}");
    let early = || rustyray::block_on(async { early_remote::remote().await?.get().await });
    early().expect("it runs");
    place.wait_for(&["list", "tasks", "-f", "state=finished"], |rows| {
        rows.as_array().is_some_and(|rows| !rows.is_empty())
    });
    kill(Pid::from_raw(recording.id() as i32), Signal::SIGINT).expect("it is there");
    assert!(recording.wait().expect("it ends").success());
    let text = std::fs::read_to_string(file).expect("it was written");
    let trace: Value = serde_json::from_str(&text).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let is_early = |event: &&Value| {
        event["ph"] == "X" && event["name"].as_str().is_some_and(|name| name.ends_with("early"))
    };
    assert_eq!(events.iter().filter(is_early).count(), 1, "{text}");
    rustyray::block_on(runtime.shutdown()).expect("it lets go");
}
