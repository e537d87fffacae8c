//! Spans of recorded tasks go to a collector, by the protocol that all collectors take: OTLP over HTTP.

#![cfg(feature = "opentelemetry")]
#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::any_value::Value,
    trace::v1::{Span, status::StatusCode},
};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use prost::Message;
use rustyray::{
    Builder,
    state::{Inspector, Listing},
    telemetry,
};

#[rustyray::remote]
async fn outer() -> u64 {
    let inner = inner_remote::remote(3).await.expect("submitted");
    inner.get().await.expect("it runs")
}

#[rustyray::remote]
fn inner(number: u64) -> u64 {
    number
}

#[rustyray::remote]
fn broken() -> Result<u64, String> {
    Err("on purpose".to_owned())
}

/// What was sent: a head in lines, and a body as long as the head says.
fn read(from: impl Read) -> (Vec<String>, Vec<u8>) {
    let mut reader = BufReader::new(from);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("text");
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_ascii_lowercase());
    }
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.expect("a length").parse().expect("a number")];
    reader.read_exact(&mut body).expect("all of it");
    (head, body)
}

/// A collector that hands on what it gets.
fn collector() -> (SocketAddr, mpsc::Receiver<(Vec<String>, ExportTraceServiceRequest)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one");
    let (gets, got) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let (head, body) = read(&stream);
            let request =
                ExportTraceServiceRequest::decode(&body[..]).expect("as the protocol says");
            let answer = ExportTraceServiceResponse::default().encode_to_vec();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len())
                .and_then(|()| stream.write_all(&answer))
                .expect("it reads");
            if gets.send((head, request)).is_err() {
                return;
            }
        }
    });
    (address, got)
}

/// HTTP as far as an exporter needs it. Programs take the client that comes with `opentelemetry-otlp`.
#[derive(Debug)]
struct Client;

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let host = request.uri().authority().ok_or("no host")?.as_str();
        let mut stream = TcpStream::connect(host)?;
        let (path, body) = (request.uri().path(), request.body());
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n",
            body.len()
        )?;
        for (name, value) in request.headers() {
            write!(stream, "{name}: {}\r\n", value.to_str()?)?;
        }
        stream.write_all(b"\r\n")?;
        stream.write_all(body)?;
        let (head, body) = read(&stream);
        let status = head[0].split(' ').nth(1).ok_or("no status")?;
        Ok(Response::builder().status(status).body(body.into())?)
    }
}

/// What a span says of itself under a name.
fn said<'a>(span: &'a Span, name: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|attribute| attribute.key == name)?;
    found.value.as_ref()?.value.as_ref()
}

#[test]
fn a_collector_gets_the_spans_of_tasks() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("node.sock");
    let builder = Builder::new().num_cpus(2.0).visible(false).socket(&socket).record(true);
    let runtime = rustyray::block_on(builder.start()).expect("a node starts");
    let mut inspector = Inspector::connect(&socket).expect("it listens");
    rustyray::block_on(async {
        assert_eq!(outer_remote::remote().await?.get().await?, 3);
        assert!(broken_remote::remote().await?.get().await.is_err());
        Ok::<_, rustyray::Error>(())
    })
    .expect("they run");
    let until = Instant::now() + Duration::from_secs(60);
    let tasks = loop {
        let tasks = inspector.tasks(&Listing::new()).expect("it answers");
        // A completion may be on its way after its result was seen.
        if tasks.iter().filter(|task| task.duration_ns.is_some()).count() == 3 {
            break tasks;
        }
        assert!(Instant::now() < until, "not all are recorded: {tasks:#?}");
        std::thread::sleep(Duration::from_millis(5));
    };

    let (address, got) = collector();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client)
        .with_endpoint(format!("http://{address}/v1/traces"))
        .build()
        .expect("an exporter");
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name("pictures").build())
        .with_simple_exporter(exporter)
        .build();
    let node = inspector.node().expect("it answers");
    assert_eq!(telemetry::export(&provider.tracer("rustyray"), &node, &tasks), 3);
    provider.shutdown().expect("all was sent");

    let mut spans = BTreeMap::new();
    while let Ok((head, request)) = got.try_recv() {
        assert_eq!(head[0], "post /v1/traces http/1.1");
        assert!(head.contains(&"content-type: application/x-protobuf".to_owned()), "{head:?}");
        for resource in request.resource_spans {
            let about = resource.resource.expect("whose they are");
            let service = about.attributes.iter().find(|found| found.key == "service.name");
            let service = service.and_then(|found| found.value.as_ref()?.value.as_ref());
            assert_eq!(service, Some(&Value::StringValue("pictures".to_owned())));
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let name = span.name.rsplit("::").next().unwrap_or_default().to_owned();
                assert!(spans.insert(name, span).is_none(), "each came once");
            }
        }
    }
    assert_eq!(spans.keys().collect::<Vec<_>>(), ["broken", "inner", "outer"]);
    let (outer, inner, broken) = (&spans["outer"], &spans["inner"], &spans["broken"]);
    assert_eq!((&inner.trace_id, &inner.parent_span_id), (&outer.trace_id, &outer.span_id));
    assert!(outer.parent_span_id.is_empty() && broken.trace_id != outer.trace_id);
    assert!(outer.start_time_unix_nano <= inner.start_time_unix_nano);
    assert!(inner.end_time_unix_nano <= outer.end_time_unix_nano);
    let status = broken.status.as_ref().expect("how it ended");
    assert_eq!(status.code(), StatusCode::Error);
    assert!(status.message.contains("on purpose"), "{status:?}");
    for span in spans.values() {
        let session = Value::StringValue(node.session.clone());
        assert_eq!(said(span, "rustyray.session"), Some(&session));
        assert!(matches!(said(span, "process.pid"), Some(Value::IntValue(pid)) if *pid > 0));
    }
    drop(inspector);
    rustyray::block_on(runtime.shutdown()).expect("it ends");
}
