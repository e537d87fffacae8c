//! Recorded tasks become spans of OpenTelemetry.

#![cfg(feature = "opentelemetry")]
#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::time::{Duration, Instant};

use opentelemetry::trace::{SpanId, Status, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use rustyray::{
    Builder, Runtime,
    state::{Inspector, Listing, TaskInfo},
    telemetry,
};

#[rustyray::remote]
fn fine(number: u64) -> u64 {
    number
}

#[rustyray::remote]
fn broken() -> Result<u64, String> {
    Err("on purpose".to_owned())
}

#[rustyray::remote]
async fn outer(number: u64) -> u64 {
    let inner = middle_remote::options().name("named").remote(number).await;
    inner.expect("submitted").get().await.expect("it runs")
}

#[rustyray::remote]
async fn middle(number: u64) -> u64 {
    let tally = Tally::remote().await.expect("created");
    let mut sum = 0;
    // Often enough for the calls to go by a direct line, where the node has no number for them.
    for _ in 0..40 {
        sum = tally.add(number).await.expect("called").get().await.expect("it runs");
    }
    sum
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

    pub async fn add(&mut self, number: u64) -> u64 {
        let more = fine_remote::remote(number).await.expect("submitted");
        self.sum += more.get().await.expect("it runs");
        self.sum
    }
}

/// A node that records, and somebody who looks at it.
struct Node {
    runtime: Runtime,
    inspector: Inspector,
    /// Where its socket is.
    _directory: tempfile::TempDir,
}

impl Node {
    fn start(cpus: f64) -> Node {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("node.sock");
        let builder = Builder::new().num_cpus(cpus).visible(false).socket(&socket).record(true);
        let runtime = rustyray::block_on(builder.start()).expect("a node starts");
        let inspector = Inspector::connect(&socket).expect("it listens");
        Node { runtime, inspector, _directory: directory }
    }

    /// The recorded tasks once there are as many, and the spans that they become.
    fn exported(&mut self, wanted: usize) -> (Vec<TaskInfo>, Vec<SpanData>) {
        let tasks = self.recorded(wanted);
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let node = self.inspector.node().expect("it answers");
        let made = telemetry::export(&provider.tracer("test"), &node, &tasks);
        let spans = exporter.get_finished_spans().expect("they are kept");
        assert_eq!((made, spans.len()), (wanted, wanted), "each task is a span");
        (tasks, spans)
    }

    fn recorded(&mut self, wanted: usize) -> Vec<TaskInfo> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let tasks = self.inspector.tasks(&Listing::new().limit(1000)).expect("it answers");
            // A completion may be on its way after its result was seen.
            if tasks.iter().filter(|task| task.duration_ns.is_some()).count() == wanted {
                return tasks;
            }
            assert!(Instant::now() < until, "not all are recorded: {tasks:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(self) {
        drop(self.inspector);
        rustyray::block_on(self.runtime.shutdown()).expect("it ends");
    }
}

#[test]
fn what_is_submitted_within_a_task_is_the_child_of_its_span() {
    let mut node = Node::start(2.0);
    let _entered = node.runtime.enter();
    let sum = rustyray::block_on(async { outer_remote::remote(3).await?.get().await });
    assert_eq!(sum.expect("all of it runs"), 120);

    // The outer one, the middle one, the construction, its calls, and what each of them submits.
    let (tasks, spans) = node.exported(3 + 40 + 40);
    let of = |name: &'static str| spans.iter().filter(move |span| span.name.ends_with(name));
    let one =
        |name: &'static str| of(name).next().unwrap_or_else(|| panic!("no {name}: {spans:#?}"));
    let (outer, middle) = (one("outer"), one("named"));
    assert_eq!(outer.parent_span_id, SpanId::INVALID);
    assert_eq!(middle.parent_span_id, outer.span_context.span_id());
    let calls: Vec<_> = of("Tally::add").collect();
    assert_eq!(calls.len(), 40);
    let trace = outer.span_context.trace_id();
    assert!(spans.iter().all(|span| span.span_context.trace_id() == trace), "one trace");
    for call in &calls {
        assert_eq!(call.parent_span_id, middle.span_context.span_id());
        assert!(call.attributes.iter().any(|found| found.key.as_str() == "rustyray.actor.id"));
    }
    let mut parents: Vec<_> = of("fine").map(|span| span.parent_span_id).collect();
    let mut called: Vec<_> = calls.iter().map(|span| span.span_context.span_id()).collect();
    parents.sort_unstable_by_key(|id| id.to_bytes());
    called.sort_unstable_by_key(|id| id.to_bytes());
    assert_eq!(parents, called, "each call has the one that it submitted");
    let by_line = tasks.iter().filter(|task| task.id.starts_with("call-")).count();
    assert!(by_line > 0, "no call went by a direct line, which was to be tried too");
    node.end();
}

#[test]
fn recorded_tasks_become_spans() {
    let mut node = Node::start(1.0);
    let _entered = node.runtime.enter();
    rustyray::block_on(async {
        assert_eq!(fine_remote::remote(1).await?.get().await?, 1);
        assert!(broken_remote::remote().await?.get().await.is_err());
        Ok::<_, rustyray::Error>(())
    })
    .expect("both run");

    let (_, spans) = node.exported(2);
    let span = |name: &str| spans.iter().find(|span| span.name.ends_with(name)).expect("a span");
    let (fine, broken) = (span("fine"), span("broken"));
    assert_eq!(fine.status, Status::Ok);
    assert!(
        matches!(&broken.status, Status::Error { description } if description.contains("on purpose"))
    );
    assert!(fine.start_time <= fine.end_time && fine.start_time <= broken.start_time);
    assert!(fine.attributes.iter().any(|attribute| attribute.key.as_str() == "rustyray.task.id"));
    node.end();
}
