//! Tasks as spans of OpenTelemetry.
//!
//! Spans are made from what the node recorded, after the fact and with the times at which tasks ran, so
//! workers need no exporter of their own and pay nothing for it. Which exporter, which endpoint and which
//! sampling is the tracer's matter: bring one from whichever SDK you use.
//!
//! ```
//! use opentelemetry::trace::TracerProvider;
//! use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
//! use rustyray::{
//!     state::{Inspector, Listing},
//!     telemetry,
//! };
//!
//! #[rustyray::remote(name = "measure")]
//! fn measure(word: String) -> usize {
//!     word.len()
//! }
//!
//! # fn main() -> rustyray::Result<()> {
//! // Spans that stay in memory; a program sends them somewhere.
//! let exporter = InMemorySpanExporter::default();
//! let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
//! let tracer = provider.tracer("docs");
//!
//! let runtime = rustyray::blocking::init()?;
//! let mut inspector = Inspector::connect(runtime.socket().expect("it can be found"))?;
//! inspector.record()?;
//! let measured = rustyray::block_on(measure_remote::remote("sea".to_owned()))?;
//! assert_eq!(measured.get_blocking()?, 3);
//!
//! // That it has ended may be on its way after its result was seen.
//! let finished = Listing::new().filter("state", "finished");
//! let tasks = loop {
//!     let tasks = inspector.tasks(&finished)?;
//!     if !tasks.is_empty() {
//!         break tasks;
//!     }
//! };
//! assert_eq!(telemetry::export(&tracer, &inspector.node()?, &tasks), 1);
//! let spans = exporter.get_finished_spans().expect("it is not shut down");
//! assert_eq!(spans[0].name, "measure");
//! # drop(inspector);
//! # rustyray::blocking::shutdown()
//! # }
//! ```
//!
//! A program of its own can look into a node and send what it recorded to a collector, with the crate
//! `opentelemetry-otlp` and one of its HTTP clients:
//!
//! ```no_run
//! use opentelemetry::trace::TracerProvider;
//! use opentelemetry_otlp::SpanExporter;
//! use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
//! use rustyray::{
//!     state::{Inspector, Listing},
//!     telemetry,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // To http://localhost:4318, or where OTEL_EXPORTER_OTLP_ENDPOINT says.
//! let exporter = SpanExporter::builder().with_http().build()?;
//! let provider = SdkTracerProvider::builder()
//!     .with_resource(Resource::builder().with_service_name("pictures").build())
//!     .with_batch_exporter(exporter)
//!     .build();
//!
//! let mut inspector = Inspector::find()?; // the node of this user that runs, if it is the only one
//! let tasks = inspector.tasks(&Listing::new().filter("state", "finished").limit(100_000))?;
//! let sent = telemetry::export(&provider.tracer("rustyray"), &inspector.node()?, &tasks);
//! provider.shutdown()?;
//! println!("{sent} spans");
//! # Ok(())
//! # }
//! ```

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{Span, SpanContext, SpanKind, Status, TraceContextExt, Tracer},
};

use crate::state::{NodeInfo, TaskInfo, TaskState};

/// Makes a span of each task that ended and whose times were recorded; how many there were.
///
/// The span of a task that was submitted within another is a child of that one's span, and in its trace, where
/// both are among `tasks`. Of a task that was run several times, the attempt that ran at the time is the parent.
pub fn export<T: Tracer>(tracer: &T, node: &NodeInfo, tasks: &[TaskInfo]) -> usize {
    let at = |ns: u64| -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(node.started_unix_ms) + Duration::from_nanos(ns)
    };
    let mut ended: Vec<(u64, u64, &TaskInfo)> =
        tasks.iter().filter_map(|t| Some((t.started_ns?, t.duration_ns?, t))).collect();
    // A task begins after the one that submitted it, so that the parent is there before its children; of two
    // that began within one nanosecond, the one that went on for longer.
    ended.sort_by_key(|&(started, duration, _)| (started, std::cmp::Reverse(duration)));
    let mut made: HashMap<&str, SpanContext> = HashMap::new();
    for &(started, duration, task) in &ended {
        let mut attributes = vec![
            KeyValue::new("rustyray.session", node.session.clone()),
            KeyValue::new("rustyray.task.id", task.id.clone()),
            KeyValue::new("rustyray.task.kind", task.kind.to_string()),
            KeyValue::new("rustyray.task.attempt", i64::from(task.attempt)),
        ];
        if let Some(pid) = task.worker {
            attributes.push(KeyValue::new("process.pid", i64::from(pid)));
        }
        if let Some(actor) = &task.actor {
            attributes.push(KeyValue::new("rustyray.actor.id", actor.clone()));
        }
        let parent = task.parent.as_deref().and_then(|parent| made.get(parent));
        let context = match parent {
            Some(parent) => Context::new().with_remote_span_context(parent.clone()),
            None => Context::new(),
        };
        let mut span = tracer
            .span_builder(task.name.clone())
            .with_kind(SpanKind::Consumer)
            .with_start_time(at(started))
            .with_attributes(attributes)
            .start_with_context(tracer, &context);
        span.set_status(match task.state {
            TaskState::Failed => Status::error(task.error.clone().unwrap_or_default()),
            _ => Status::Ok,
        });
        made.insert(&task.id, span.span_context().clone());
        span.end_with_timestamp(at(started + duration));
    }
    ended.len()
}
