//! Metrics for Prometheus: what the node knows of itself, sampled when it is asked.
//!
//! Names and units follow the conventions of that ecosystem: base units (bytes, seconds), the unit and
//! `_total` at the end of the name. Nothing is measured between two scrapes.
//!
//! Who takes OpenMetrics, as Prometheus itself does, gets it, and everybody else the older text format, in which a counter
//! is described by the name that its samples have; who takes neither is told so.

use std::{
    collections::HashSet,
    fmt,
    net::SocketAddr,
    sync::{Arc, Weak, atomic::AtomicU64},
};

use axum::{
    Router,
    http::{
        HeaderMap, StatusCode,
        header::{CONNECTION, CONTENT_TYPE},
    },
    routing::get,
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{
    accept::{self, Form},
    node::Node,
    scrapers::Door,
};
use crate::{
    error::{Error, Result},
    state::NodeInfo,
};

/// What scrapers expect of the text that `encode` writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What they expect of the text that [`plain`] makes of it.
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves metrics at `address` until the node closes.
pub(crate) fn serve(node: &Arc<Node>, address: SocketAddr) -> Result<()> {
    if !address.ip().is_loopback() {
        return Err(Error::invalid(format!(
            "metrics are served on a loopback address only, and {address} is none"
        )));
    }
    let io =
        |error: std::io::Error| Error::io(format_args!("serving metrics at {address}"), &error);
    let listener = std::net::TcpListener::bind(address).map_err(io)?;
    listener.set_nonblocking(true).map_err(io)?;
    let door = Door::new(tokio::net::TcpListener::from_std(listener).map_err(io)?);
    let weak: Weak<Node> = Arc::downgrade(node);
    let answer = move |headers: HeaderMap| {
        let node = weak.upgrade();
        async move {
            let Some(form) = accept::form(&headers) else {
                let forms = format!("{OPEN_METRICS}\n{PLAIN}\n");
                let headers = [(CONTENT_TYPE, PLAIN), (CONNECTION, "close")];
                return (StatusCode::NOT_ACCEPTABLE, headers, forms);
            };
            let text = match node {
                Some(node) => render(&node.overview().await).unwrap_or_default(),
                None => String::new(),
            };
            let (form, text) = match form {
                Form::OpenMetrics => (OPEN_METRICS, text),
                Form::Plain => (PLAIN, plain(&text)),
            };
            // Its place is for the next.
            (StatusCode::OK, [(CONTENT_TYPE, form), (CONNECTION, "close")], text)
        }
    };
    let router = Router::new().route("/metrics", get(answer));
    let closed = node.pool.until_closed();
    tokio::spawn(async move {
        let served = axum::serve(door, router).with_graceful_shutdown(closed).await;
        if let Err(error) = served {
            crate::notice!("rustyray: metrics are served no more: {error}");
        }
    });
    Ok(())
}

/// OpenMetrics as the older text format.
fn plain(open_metrics: &str) -> String {
    let lines = || open_metrics.lines();
    let counter =
        |line: &'_ str| Some(line.strip_prefix("# TYPE ")?.strip_suffix(" counter")?.to_owned());
    let counters: HashSet<String> = lines().filter_map(counter).collect();
    let mut text = String::new();
    for line in lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF" | "UNIT"), ..) => {}
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(name) => {
                text += &format!("# {what} {name}_total {rest}\n");
            }
            _ => text += &format!("{line}\n"),
        }
    }
    text
}

type Labels = Vec<(&'static str, String)>;
type Amount = Gauge<f64, AtomicU64>;

/// The metrics as text.
fn render(node: &NodeInfo) -> std::result::Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("rustyray");
    let mut gauge = |name: &str, help: &str, unit: Option<Unit>, value: u64| {
        let gauge = Amount::default();
        gauge.set(value as f64);
        match unit {
            Some(unit) => registry.register_with_unit(name, help, unit, gauge),
            None => registry.register(name, help, gauge),
        }
    };
    let store = &node.store;
    let bytes = || Some(Unit::Bytes);
    gauge(
        "store_capacity",
        "What the object store may keep in memory",
        bytes(),
        store.capacity_bytes,
    );
    gauge("store_used", "What the object store keeps in memory", bytes(), store.used_bytes);
    gauge("store_pinned", "What views keep in place", bytes(), store.pinned_bytes);
    gauge("store_spilled", "What the object store keeps on disk", bytes(), store.spilled_bytes);
    gauge("store_objects", "Objects that are alive", None, store.objects);
    let totals = &node.totals;
    gauge("workers", "Processes that run tasks", None, totals.workers);
    gauge("workers_idle", "Processes that run tasks and have none", None, totals.idle_workers);
    gauge("drivers", "Attached processes that run no tasks", None, totals.drivers);
    gauge("actors", "Actors that are not dead", None, totals.actors);
    gauge("tasks", "Tasks that have not ended", None, totals.tasks);
    gauge("tasks_queued", "Tasks that no worker has", None, totals.queued_tasks);

    let mut counter = |name: &str, help: &str, value: u64| {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    };
    counter("tasks_finished", "Tasks that gave a result", totals.finished_tasks);
    counter("tasks_failed", "Tasks that gave an error", totals.failed_tasks);
    counter("tasks_retried", "Attempts that failed and were run again", totals.retried_tasks);
    counter("workers_crashed", "Workers that ended without being asked to", totals.crashed_workers);

    let uptime = Amount::default();
    uptime.set(node.uptime_ms as f64 / 1000.0);
    registry.register_with_unit("uptime", "Since the node's start", Unit::Seconds, uptime);
    let (total, used) = (Family::<Labels, Amount>::default(), Family::<Labels, Amount>::default());
    for resource in &node.resources {
        let labels = vec![("resource", resource.name.clone())];
        total.get_or_create(&labels).set(resource.total);
        used.get_or_create(&labels).set(resource.used);
    }
    registry.register("resource_capacity", "What the node has to give", total);
    registry.register("resource_used", "What of it is given out", used);

    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}
