//! iceoryx2: publish/subscribe and request/response, both sides polling.

use std::time::Duration;

use iceoryx2::prelude::*;

use crate::{
    Outcome,
    peer::{Peer, poll},
    sample::{Figure, Unit, sample},
};

const SIZES: [(usize, &str, &str); 3] = [
    (64, "publish/subscribe round trip, 64 B", "request/response round trip, 64 B"),
    (4096, "publish/subscribe round trip, 4 KiB", "request/response round trip, 4 KiB"),
    (
        1 << 20,
        "publish/subscribe round trip, 1 MiB written and read",
        "request/response round trip, 1 MiB written and read",
    ),
];
const MOST: usize = 1 << 20;
/// A payload of this length ends the peer, which takes its files with it.
const OVER: usize = 1;

pub(crate) fn measure(time: Duration) -> Outcome<Vec<Figure>> {
    let mut figures = messages(time)?;
    figures.extend(requests(time)?);
    Ok(figures)
}

fn names(of: &str) -> (String, String) {
    (format!("{of}/there"), format!("{of}/back"))
}

macro_rules! publisher {
    ($node:expr, $name:expr) => {{
        let name: ServiceName = $name.as_str().try_into()?;
        let service = $node.service_builder(&name).publish_subscribe::<[u8]>().open_or_create()?;
        let publisher = service.publisher_builder().initial_max_slice_len(MOST).create()?;
        (service, publisher)
    }};
}

macro_rules! subscriber {
    ($node:expr, $name:expr) => {{
        let name: ServiceName = $name.as_str().try_into()?;
        let service = $node.service_builder(&name).publish_subscribe::<[u8]>().open_or_create()?;
        let subscriber = service.subscriber_builder().create()?;
        (service, subscriber)
    }};
}

/// Reads every byte.
fn sum(bytes: &[u8]) -> u64 {
    bytes.as_chunks::<8>().0.iter().fold(0, |sum, &word| sum ^ u64::from_ne_bytes(word))
}

fn messages(time: Duration) -> Outcome<Vec<Figure>> {
    let base = format!("rustyray-rivals/{}/messages", std::process::id());
    let (there, back) = names(&base);
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let (_there, publisher) = publisher!(node, there);
    let (_back, subscriber) = subscriber!(node, back);
    let mut peer = Peer::start("publish-subscribe", &base)?;
    // The peer says that it is there.
    poll(|| Ok(subscriber.receive()?), || peer.is_gone())?;
    let mut figures = Vec::new();
    for (len, what, _) in SIZES {
        let bytes = vec![7; len];
        let batch = if len > 4096 { 1 } else { 100 };
        figures.push(sample(what, Unit::Nanoseconds, time, batch, || {
            publisher.loan_slice_uninit(len)?.write_from_slice(&bytes).send()?;
            let answer = poll(|| Ok(subscriber.receive()?), || peer.is_gone())?;
            assert_eq!(answer.payload().len(), len);
            std::hint::black_box(sum(answer.payload()));
            Ok(())
        })?);
    }
    publisher.loan_slice_uninit(OVER)?.write_from_slice(&[0]).send()?;
    peer.join();
    Ok(figures)
}

pub(crate) fn echo_messages(base: &str) -> Outcome {
    let (there, back) = names(base);
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let (_there, subscriber) = subscriber!(node, there);
    let (_back, publisher) = publisher!(node, back);
    publisher.loan_slice_uninit(1)?.write_from_slice(&[0]).send()?;
    let bytes = vec![8; MOST];
    loop {
        let message = poll(|| Ok(subscriber.receive()?), || false)?;
        let len = message.payload().len();
        if len == OVER {
            return Ok(());
        }
        std::hint::black_box(sum(message.payload()));
        publisher.loan_slice_uninit(len)?.write_from_slice(&bytes[..len]).send()?;
    }
}

fn requests(time: Duration) -> Outcome<Vec<Figure>> {
    let base = format!("rustyray-rivals/{}/requests", std::process::id());
    let name: ServiceName = base.as_str().try_into()?;
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let service = node.service_builder(&name).request_response::<[u8], [u8]>().open_or_create()?;
    let client = service.client_builder().initial_max_slice_len(MOST).create()?;
    let mut peer = Peer::start("request-response", &base)?;
    let there = || (service.dynamic_config().number_of_servers() > 0).then_some(());
    poll(|| Ok(there()), || peer.is_gone())?;
    let mut figures = Vec::new();
    for (len, _, what) in SIZES {
        let bytes = vec![7; len];
        let batch = if len > 4096 { 1 } else { 100 };
        figures.push(sample(what, Unit::Nanoseconds, time, batch, || {
            let pending = client.loan_slice_uninit(len)?.write_from_slice(&bytes).send()?;
            let answer = poll(|| Ok(pending.receive()?), || peer.is_gone())?;
            assert_eq!(answer.payload().len(), len);
            std::hint::black_box(sum(answer.payload()));
            Ok(())
        })?);
    }
    let _over = client.loan_slice_uninit(OVER)?.write_from_slice(&[0]).send()?;
    peer.join();
    Ok(figures)
}

pub(crate) fn answer_requests(base: &str) -> Outcome {
    let name: ServiceName = base.try_into()?;
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let service = node.service_builder(&name).request_response::<[u8], [u8]>().open_or_create()?;
    let server = service.server_builder().initial_max_slice_len(MOST).create()?;
    let bytes = vec![8; MOST];
    loop {
        let request = poll(|| Ok(server.receive()?), || false)?;
        let len = request.payload().len();
        if len == OVER {
            return Ok(());
        }
        std::hint::black_box(sum(request.payload()));
        request.loan_slice_uninit(len)?.write_from_slice(&bytes[..len]).send()?;
    }
}
