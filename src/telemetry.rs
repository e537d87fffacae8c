//! Tasks as spans of OpenTelemetry.
//!
//! Spans are made from what the node recorded, after the fact and with the times at which tasks ran, so
//! workers need no exporter of their own and pay nothing for it. Which exporter, which endpoint and which
//! sampling is the tracer's matter: bring one from whichever SDK you use.
//!
//! ```no_run
//! # fn export(tracer: &opentelemetry_sdk::trace::SdkTracer) -> rustyray::Result<()> {
//! use rustyray::{
//!     state::{Inspector, Listing},
//!     telemetry,
//! };
//!
//! let mut inspector = Inspector::find()?;
//! inspector.record()?;
//! // … let it run for a while …
//! let tasks = inspector.tasks(&Listing::new().limit(100_000))?;
//! telemetry::export(tracer, &inspector.node()?, &tasks);
//! # Ok(())
//! # }
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::{
    KeyValue,
    trace::{Span, SpanKind, Status, Tracer},
};

use crate::state::{NodeInfo, TaskInfo, TaskState};

/// Makes a span of each task that ended and whose times were recorded; how many there were.
pub fn export<T: Tracer>(tracer: &T, node: &NodeInfo, tasks: &[TaskInfo]) -> usize {
    let at = |us: u64| -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(node.started_unix_ms) + Duration::from_micros(us)
    };
    let mut exported = 0;
    for task in tasks {
        let (Some(started), Some(duration)) = (task.started_us, task.duration_us) else { continue };
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
        let mut span = tracer
            .span_builder(task.name.clone())
            .with_kind(SpanKind::Consumer)
            .with_start_time(at(started))
            .with_attributes(attributes)
            .start(tracer);
        span.set_status(match task.state {
            TaskState::Failed => Status::error(task.error.clone().unwrap_or_default()),
            _ => Status::Ok,
        });
        span.end_with_timestamp(at(started + duration));
        exported += 1;
    }
    exported
}
