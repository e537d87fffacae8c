//! A Unix stream socket with postcard, framed by length: what one writes by hand.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    Outcome,
    peer::Peer,
    sample::{Figure, Unit, sample, sample_many},
};

/// 64 bytes on the wire, length included, or a few less.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Message {
    number: u64,
    answer: bool,
    words: [u32; 12],
}

const BATCH: u32 = 1000;

pub(crate) fn measure(time: Duration) -> Outcome<Vec<Figure>> {
    let directory = std::env::temp_dir().join(format!("rustyray-rivals-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let path = directory.join("socket");
    let listener = UnixListener::bind(&path)?;
    let peer = Peer::start("socket", &path.to_string_lossy());
    let accepted = peer.and_then(|peer| Ok((listener.accept()?.0, peer)));
    std::fs::remove_dir_all(&directory)?;
    let (mut socket, _peer) = accepted?;
    let mut number = 0;
    let round_trip = sample("round trip, 64 B", Unit::Nanoseconds, time, 1, || {
        number += 1;
        let message = Message { number, answer: true, words: [u32::MAX >> 4; 12] };
        send(&mut socket, &message)?;
        assert_eq!(receive(&mut socket)?, message);
        Ok(())
    })?;
    let batches = sample_many("64 B messages, batches of 1000", time, BATCH, || {
        for at in 1..=BATCH {
            let message = Message { number: 1, answer: at == BATCH, words: [u32::MAX >> 4; 12] };
            send(&mut socket, &message)?;
        }
        receive(&mut socket).map(drop)
    })?;
    Ok(vec![round_trip, batches])
}

pub(crate) fn echo(path: &str) -> Outcome {
    let mut socket = UnixStream::connect(path)?;
    loop {
        let message = receive(&mut socket)?;
        if message.answer {
            send(&mut socket, &message)?;
        }
    }
}

fn send(socket: &mut UnixStream, message: &Message) -> Outcome {
    let mut frame = [0; 128];
    let len = postcard::to_slice(message, &mut frame[1..])?.len();
    frame[0] = len as u8;
    Ok(socket.write_all(&frame[..=len])?)
}

fn receive(socket: &mut UnixStream) -> Outcome<Message> {
    let mut len = [0];
    socket.read_exact(&mut len)?;
    let mut bytes = [0; 128];
    let bytes = &mut bytes[..usize::from(len[0]) & 127];
    socket.read_exact(bytes)?;
    Ok(postcard::from_bytes(bytes)?)
}
