//! ipc-channel: typed channels over Unix sockets.

use std::time::Duration;

use ipc_channel::ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender};
use serde_bytes::ByteBuf;

use crate::{
    Outcome,
    peer::Peer,
    sample::{Figure, Unit, sample, sample_many},
};

type Ends = (IpcSender<ByteBuf>, IpcReceiver<ByteBuf>);

const BATCH: u32 = 1000;
/// The peer answers the last message of a batch only.
const MORE: u8 = 1;
const LAST: u8 = 0;

pub(crate) fn measure(time: Duration) -> Outcome<Vec<Figure>> {
    let (server, name) = IpcOneShotServer::<Ends>::new()?;
    let _peer = Peer::start("ipc-channel", &name)?;
    let (_, (sender, receiver)) = server.accept()?;
    let mut figures = Vec::new();
    for (len, what) in [(64, "round trip, 64 B"), (1 << 20, "round trip, 1 MiB")] {
        figures.push(sample(what, Unit::Nanoseconds, time, 1, || {
            sender.send(ByteBuf::from(vec![LAST; len]))?;
            assert_eq!(receiver.recv()?.len(), len);
            Ok(())
        })?);
    }
    figures.push(sample_many("64 B messages, batches of 1000", time, BATCH, || {
        for at in 1..=BATCH {
            let kind = if at < BATCH { MORE } else { LAST };
            sender.send(ByteBuf::from(vec![kind; 64]))?;
        }
        assert_eq!(receiver.recv()?.len(), 64);
        Ok(())
    })?);
    Ok(figures)
}

pub(crate) fn echo(name: &str) -> Outcome {
    let (there, receiver) = ipc::channel()?;
    let (sender, back) = ipc::channel()?;
    IpcSender::<Ends>::connect(name.to_owned())?.send((there, back))?;
    loop {
        let message: ByteBuf = receiver.recv()?;
        if message.first() == Some(&LAST) {
            sender.send(message)?;
        }
    }
}
