//! The store between processes that have nothing else between them: a client joins over a Unix socket, and
//! the node's process hosts it.
//!
//! ```text
//! host                                  client
//! welcome, with the descriptors  ──────►
//!                                ◄──────  request     (64 bytes, one at a time)
//! reply                          ──────►
//!                                         closes, or dies
//! ```
//! The host reaps the client when the socket closes or the process ends, whichever comes first: the client's
//! end of the socket is closed by nobody but the last owner of its [`Client`], views included, and by the
//! kernel after the process's threads have stopped. A process that was forked off the client keeps the socket
//! open, but not its parent's process descriptor.
//!
//! A thread of the client does nothing but wait for the host to hang up: then whoever waits for an object is
//! woken and told that the store has ended. Views can still be read.
//!
//! Who listens on which path, and who may connect, is the program's to say (`std::os::unix::net`); both ends
//! refuse peers of other users.
//!
//! One of the crate's unsafe files: it owns descriptors that the kernel delivers.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    sync::Arc,
};

use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, getsockopt, recvmsg, sendmsg, sockopt,
    },
    unistd::geteuid,
};
use parking_lot::Mutex;

use crate::{
    Admission, Client, ClientId, ClientSet, Error, Geometry, Node, Reply, Request, Segments,
    Transport, TransportError, Wake,
};

/// Words of a welcome: client, geometry, how many descriptors and bytes of names follow.
const WELCOME_WORDS: usize = 4 + Geometry::WORDS;
const WELCOME_BYTES: usize = WELCOME_WORDS * 8;
/// Bytes of a request and of a reply.
const FRAME_BYTES: usize = 64;
const MAX_NAME_BYTES: u64 = 256;

impl Node {
    /// Lets the process at the other end of `stream` in, answers its requests, and blocks until it has
    /// closed the socket or ended; then everything it left behind has been cleared away, and what it
    /// had promised to seal has failed.
    ///
    /// # Errors
    /// When the peer belongs to another user, when no more clients fit, or when the socket breaks before
    /// the client is in. A client that ends is no error.
    pub fn host(&self, stream: UnixStream) -> Result<(), Error> {
        let os = |doing| move |source: io::Error| Error::Os { doing, source };
        let pid = check_user(&stream)?;
        let process = peer_process(&stream, pid).map_err(os("watching a client"))?;
        let hang_up = stream.try_clone().map_err(os("watching a client"))?;
        let Admission { client, geometry, segments } = self.admit()?;
        self.hosted.lock().insert(client, hang_up);
        let result = welcome(&stream, client, geometry, &segments)
            .map_err(os("letting a client in"))
            .map(|()| self.answer_until_gone(&stream, process.as_ref(), client));
        drop(segments);
        self.hosted.lock().remove(&client);
        for orphan in self.reap(client).orphans {
            // Sealed meanwhile by somebody else, or gone: either is as good.
            let _ = self.client().fail(orphan, 0, b"the process that was to seal it has ended");
        }
        result
    }

    fn answer_until_gone(&self, stream: &UnixStream, process: Option<&OwnedFd>, client: ClientId) {
        let mut frame = [0; FRAME_BYTES];
        while is_readable(stream, process) && (&*stream).read_exact(&mut frame).is_ok() {
            let request = Request::from_words(words(&frame));
            let reply = match request {
                Some(request) => self.serve(client, request),
                None => Reply::Refused(crate::Refusal::Garbage),
            };
            if (&*stream).write_all(&bytes(&reply.to_words())).is_err() {
                break;
            }
            // What its processes let go of is freed by the way.
            self.collect(256);
        }
    }
}

impl Client {
    /// Joins the store that [`Node::host`] serves at the other end of `stream`. The client leaves when the
    /// last clone of the result and the last view are dropped.
    ///
    /// # Errors
    /// When the other end is no host of this version, belongs to another user, refuses, or its memory cannot be
    /// mapped.
    pub fn join(stream: UnixStream) -> Result<Arc<Client>, Error> {
        let os = |source| Error::Os { doing: "joining a store", source };
        check_user(&stream)?;
        let (client, geometry, segments) = receive_welcome(&stream).map_err(os)??;
        let watched = stream.try_clone().map_err(os)?;
        let socket = Socket { stream: Mutex::new(stream), owner: std::process::id() };
        let client =
            Client::attach(geometry, segments, client, Arc::new(socket), Arc::new(Alarms))?;
        let weak = Arc::downgrade(&client);
        std::thread::Builder::new()
            .name("rustyray-store".into())
            .spawn(move || {
                wait_for_hang_up(&watched);
                if let Some(client) = weak.upgrade() {
                    client.abandon();
                    client.table().alarm(client.id()).ring();
                }
            })
            .map_err(os)?;
        Ok(client)
    }
}

/// A client's way to its host.
struct Socket {
    stream: Mutex<UnixStream>,
    /// The process that joined.
    owner: u32,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The thread that watches has the socket open as well. A forked child only closes its copies.
        if self.owner == std::process::id() {
            let _ = self.stream.get_mut().shutdown(Shutdown::Both);
        }
    }
}

/// Blocks until one of the two ends has hung up.
fn wait_for_hang_up(stream: &UnixStream) {
    loop {
        let mut polled = [PollFd::new(stream.as_fd(), PollFlags::empty())];
        match poll(&mut polled, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            _ => return,
        }
    }
}

impl Transport for Socket {
    fn call(&self, request: Request) -> Result<Reply, TransportError> {
        let mut stream = self.stream.lock();
        let mut frame = [0; FRAME_BYTES];
        stream
            .write_all(&bytes(&request.to_words()))
            .and_then(|()| stream.read_exact(&mut frame))
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionReset => TransportError::Closed,
                _ => TransportError::Io(error),
            })?;
        Reply::from_words(words(&frame))
            .ok_or_else(|| TransportError::Io(io::ErrorKind::InvalidData.into()))
    }
}

/// Whoever waits in [`Client::wait`] is woken by the store itself; nobody waits anywhere else.
struct Alarms;

impl Wake for Alarms {
    fn wake(&self, _clients: ClientSet) {}
}

fn words(frame: &[u8; FRAME_BYTES]) -> [u64; 8] {
    std::array::from_fn(|i| {
        u64::from_le_bytes(frame[i * 8..i * 8 + 8].try_into().expect("a chunk of eight bytes"))
    })
}

fn bytes(words: &[u64; 8]) -> [u8; FRAME_BYTES] {
    std::array::from_fn(|i| words[i / 8].to_le_bytes()[i % 8])
}

/// Waits for a request; false when the peer is gone.
fn is_readable(stream: &UnixStream, process: Option<&OwnedFd>) -> bool {
    loop {
        let mut polled = vec![PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
        polled.extend(process.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        match poll(&mut polled, PollTimeout::NONE) {
            // An ended process has nothing more to ask.
            Ok(_) => return polled.iter().skip(1).all(|process| process.any() != Some(true)),
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Refuses a peer of another user; the process id of one of this user's.
fn check_user(stream: &UnixStream) -> Result<i32, Error> {
    let peer = getsockopt(stream, sockopt::PeerCredentials).map_err(|errno| Error::Os {
        doing: "asking who is at the other end",
        source: errno.into(),
    })?;
    if peer.uid() == geteuid().as_raw() {
        return Ok(peer.pid());
    }
    Err(Error::ForeignPeer { pid: peer.pid(), uid: peer.uid() })
}

/// A descriptor that becomes readable when the peer's process ends; `None` when that is this process.
fn peer_process(stream: &UnixStream, pid: i32) -> io::Result<Option<OwnedFd>> {
    if pid == std::process::id() as i32 {
        return Ok(None);
    }
    match getsockopt(stream, sockopt::PeerPidfd) {
        Ok(pidfd) => return Ok(Some(pidfd)),
        // Linux before 6.5.
        Err(Errno::ENOPROTOOPT) => {}
        Err(errno) => return Err(errno.into()),
    }
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let descriptor = Errno::result(result)? as RawFd;
    // SAFETY: the kernel made the descriptor just now, for nobody else.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

fn welcome(
    mut stream: &UnixStream,
    client: ClientId,
    geometry: Geometry,
    segments: &Segments,
) -> io::Result<()> {
    let names: [&str; 2] = match segments {
        Segments::Descriptors(_) => ["", ""],
        #[cfg(feature = "shared_memory")]
        Segments::Names { table, data } => [table, data],
        Segments::Process(_) => {
            return Err(io::Error::other("the store's memory is that of one process"));
        }
    };
    let descriptors: Vec<RawFd> = segments.descriptors().iter().map(AsRawFd::as_raw_fd).collect();
    let mut words = vec![u64::from(client.get()), descriptors.len() as u64];
    words.extend(names.iter().map(|name| name.len() as u64));
    words.extend(geometry.to_words());
    let frame: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let control = [ControlMessage::ScmRights(&descriptors)];
    let control = if descriptors.is_empty() { &control[..0] } else { &control[..] };
    let parts = [IoSlice::new(&frame)];
    let sent = sendmsg::<()>(stream.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None)?;
    stream.write_all(&frame[sent..])?;
    names.iter().try_for_each(|name| stream.write_all(name.as_bytes()))
}

type Welcome = (ClientId, Geometry, Segments);

fn receive_welcome(mut stream: &UnixStream) -> io::Result<Result<Welcome, Error>> {
    let mut frame = [0; WELCOME_BYTES];
    let mut control = nix::cmsg_space!([RawFd; 4]);
    let mut parts = [IoSliceMut::new(&mut frame)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let received = message.bytes;
    let descriptors: Vec<OwnedFd> = message
        .cmsgs()?
        .filter_map(|message| match message {
            ControlMessageOwned::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        // SAFETY: the kernel gave these descriptors to us with this message, and to nobody else.
        .map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) })
        .collect();
    if received == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    stream.read_exact(&mut frame[received..])?;
    let words: Vec<u64> = frame
        .chunks_exact(8)
        .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("a chunk of eight bytes")))
        .collect();
    let protocol = || Ok(Err(Error::Protocol("the other end is no store's host")));
    let Ok(client) = u8::try_from(words[0]) else { return protocol() };
    if words[1] != descriptors.len() as u64 || words[2..4].iter().any(|&len| len > MAX_NAME_BYTES) {
        return protocol();
    }
    let mut names = Vec::with_capacity(2);
    for &len in &words[2..4] {
        let mut name = vec![0; len as usize];
        stream.read_exact(&mut name)?;
        let Ok(name) = String::from_utf8(name) else { return protocol() };
        names.push(name);
    }
    let geometry = match Geometry::from_words(&words[4..]) {
        Ok(geometry) => geometry,
        Err(error) => return Ok(Err(error)),
    };
    let segments = match names.as_slice() {
        [table, data] if table.is_empty() && data.is_empty() => Segments::Descriptors(descriptors),
        #[cfg(feature = "shared_memory")]
        [table, data] => Segments::Names { table: table.clone(), data: data.clone() },
        _ => {
            return Ok(Err(Error::Protocol(
                "the store's memory has names, which this build lacks",
            )));
        }
    };
    Ok(Ok((ClientId::new(client), geometry, segments)))
}
