//! Recorded tasks become spans of OpenTelemetry.

#![cfg(feature = "opentelemetry")]

use std::time::{Duration, Instant};

use opentelemetry::trace::{Status, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use rustyray::{
    state::{Inspector, Listing},
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

#[test]
fn recorded_tasks_become_spans() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("node.sock");
    let builder =
        rustyray::Builder::new().num_cpus(1.0).visible(false).socket(&socket).record(true);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    rustyray::block_on(async {
        assert_eq!(fine_remote::remote(1).await?.get().await?, 1);
        assert!(broken_remote::remote().await?.get().await.is_err());
        Ok::<_, rustyray::Error>(())
    })
    .expect("both run");

    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let mut inspector = Inspector::connect(&socket).expect("it listens");
    let until = Instant::now() + Duration::from_secs(60);
    let tasks = loop {
        let tasks = inspector.tasks(&Listing::new()).expect("it answers");
        // A completion may be on its way after its result was seen.
        if tasks.iter().filter(|task| task.duration_us.is_some()).count() == 2 {
            break tasks;
        }
        assert!(Instant::now() < until, "not both are recorded: {tasks:#?}");
        std::thread::sleep(Duration::from_millis(5));
    };
    let node = inspector.node().expect("it answers");
    assert_eq!(telemetry::export(&provider.tracer("test"), &node, &tasks), 2);
    let spans = exporter.get_finished_spans().expect("they are kept");
    let span = |name: &str| spans.iter().find(|span| span.name.ends_with(name)).expect("a span");
    let (fine, broken) = (span("fine"), span("broken"));
    assert_eq!(fine.status, Status::Ok);
    assert!(
        matches!(&broken.status, Status::Error { description } if description.contains("on purpose"))
    );
    assert!(fine.start_time <= fine.end_time && fine.start_time <= broken.start_time);
    assert!(fine.attributes.iter().any(|attribute| attribute.key.as_str() == "rustyray.task.id"));
    drop(inspector);
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}
