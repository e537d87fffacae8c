//! The store between processes that have nothing else between them: a client joins over a Unix socket, and
//! the node's process hosts it.
//!
//! ```text
//! host                                  client
//! welcome, with the descriptors  ──────►
//!                                ◄──────  hello, with a descriptor of its process
//! hello                          ──────►
//!                                ◄──────  request     (64 bytes, one at a time)
//! reply                          ──────►
//!                                ◄──────  goodbye, or it dies
//! ```
//! The client maps nothing before its hello is answered: the host may not have got the descriptor, and then has nothing
//! to wait by for its end.
//!
//! The host reaps the client when it says goodbye, which the last owner of its [`Client`] does, views included, or
//! when its process ends, whichever comes first. That the socket is closed says nothing: others may have it, and
//! shut it down, while the process lives and reads what it has views of. Such a client gets no answers any more, and
//! what it holds stays until its process ends; for good when that is the host's own. A process that was forked off
//! the client keeps the socket open, but is not the one that said hello.
//!
//! A thread of the client does nothing but wait for the host to hang up: then whoever waits for an object is
//! woken and told that the store has ended. Views can still be read.
//!
//! Who listens on which path, and who may connect, is the program's to say (`std::os::unix::net`); both ends
//! refuse peers of other users.
//!
//! One of the crate's unsafe files: it owns descriptors that the kernel delivers, and vouches to the store for what the
//! two ends say. Each takes the other for what it says it is, a host or a client of this version, as any process of the
//! user is taken (`DESIGN.md`), and takes what comes over the stream for its words: whoever keeps a clone of the stream
//! and writes to it speaks in its name. What a peer that is something else could bring about is checked all the same:
//! that a descriptor is one of some process, or of memory that cannot shrink, and that what lies in that memory lies
//! within it.

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
    sys::{
        socket::{
            ControlMessage, ControlMessageOwned, MsgFlags, getsockopt, recvmsg, sendmsg, sockopt,
        },
        wait::{Id, WaitPidFlag, waitid},
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
/// The first word of a hello and of a goodbye, which no request has. The second one of a hello is the process.
const HELLO: u64 = u64::from_le_bytes(*b"hello...");
const GOODBYE: u64 = u64::from_le_bytes(*b"goodbye.");
const MAX_NAME_BYTES: u64 = 256;

impl Node {
    /// Lets the process at the other end of `stream` in, answers its requests, and blocks until it has
    /// dropped its client or ended; then everything it left behind has been cleared away, and what it
    /// had promised to seal has failed.
    ///
    /// Returns early, with nothing cleared away, when the store is shut down; and when a client in this very process
    /// lost its socket: it may have views still.
    ///
    /// # Errors
    /// When the peer belongs to another user, when no more clients fit, or when the socket breaks before
    /// the client is in. A client that ends is no error.
    pub fn host(&self, stream: UnixStream) -> Result<(), Error> {
        let os = |doing| move |source: io::Error| Error::Os { doing, source };
        check_user(&stream)?;
        let hang_up = stream.try_clone().map_err(os("watching a client"))?;
        let Admission { client, geometry, segments } = self.admit()?;
        self.hosted.lock().insert(client, hang_up);
        let result = welcome(&stream, client, geometry, &segments)
            .and_then(|()| receive_hello(&stream))
            .and_then(|process| answer_hello(&stream).map(|()| process))
            .map_err(os("letting a client in"))
            .map(|process| self.answer_until_gone(&stream, &process, client));
        drop(segments);
        self.hosted.lock().remove(&client);
        // Who was not let in has nothing.
        if !matches!(result, Ok(Ending::Unknown)) {
            // SAFETY: its number was drawn above and is let go of here. Either no hello was answered, and nobody
            // attaches before that. Or the process that said it has ended; or has said goodbye, which the client's
            // transport does when nobody has it any more, nor a writer, pin or view with it.
            let reaped = unsafe { self.reap(client) };
            for orphan in reaped.orphans {
                // Sealed meanwhile by somebody else, or gone: either is as good.
                let _ = self.client().fail(orphan, 0, b"the process that was to seal it has ended");
            }
        }
        result.map(drop)
    }

    fn answer_until_gone(
        &self,
        stream: &UnixStream,
        process: &Process,
        client: ClientId,
    ) -> Ending {
        let mut frame = [0; FRAME_BYTES];
        loop {
            match wait_for_either(stream, process) {
                Woken::Stream if (&*stream).read_exact(&mut frame).is_ok() => {}
                Woken::Ended => return Ending::Ended,
                _ => return self.wait_for_end(process, client),
            }
            if words(&frame)[0] == GOODBYE {
                return Ending::Ended;
            }
            let request = Request::from_words(words(&frame));
            let reply = match request {
                // SAFETY: it was sent by `Socket`, the transport of the client that joined at the other end, which
                // sends each request once, and waits for the reply before it sends another.
                Some(request) => unsafe { self.serve(client, request) },
                None => Reply::Refused(crate::Refusal::Garbage),
            };
            if (&*stream).write_all(&bytes(&reply.to_words())).is_err() {
                return self.wait_for_end(process, client);
            }
            // What its processes let go of is freed by the way.
            self.collect(256);
        }
    }

    /// The client said no goodbye, and its socket says nothing any more: waits for the end of its process, or of the
    /// store.
    fn wait_for_end(&self, process: &Process, client: ClientId) -> Ending {
        let (Process::Other(_), Ok((hang_up, end))) = (process, UnixStream::pair()) else {
            return Ending::Unknown;
        };
        self.hosted.lock().insert(client, hang_up);
        // Whoever shuts the store down abandons the client before it looks for whom to hang up on.
        if !self.client().is_ours() {
            return Ending::Unknown;
        }
        match wait_for_either(&end, process) {
            Woken::Ended => Ending::Ended,
            _ => Ending::Unknown,
        }
    }
}

/// How hosting a client came to its end.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Ending {
    /// It said goodbye, or its process is no more.
    Ended,
    /// It may live and have views.
    Unknown,
}

/// The process of a client.
enum Process {
    /// The host's own, which does not see its own end.
    Own,
    /// Another one: a descriptor that becomes readable when it ends.
    Other(OwnedFd),
}

/// What [`wait_for_either`] waited for.
enum Woken {
    /// There is something to read, or an end of it.
    Stream,
    /// The process has ended: it has nothing more to ask.
    Ended,
    /// The system refuses to wait.
    Failed,
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
        send_hello(&stream).map_err(os)?;
        hear_hello(&stream).map_err(os)?;
        let watched = stream.try_clone().map_err(os)?;
        let socket = Arc::new(Socket { stream: Mutex::new(stream), owner: std::process::id() });
        // SAFETY: number, geometry and segments are a host's welcome, which is of an admission of its own for each
        // stream, and used up here. `Socket` sends a request and takes the next frame for its reply, under a lock; the
        // host answers in that order. It reaps the client when the process that said hello, which is this one, has
        // ended, or when `Socket` says goodbye.
        let client =
            unsafe { Client::attach(geometry, segments, client, socket, Arc::new(Alarms)) }?;
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
            let stream = self.stream.get_mut();
            // Nobody to say it to is as good.
            let _ = stream.write_all(&bytes(&[GOODBYE, 0, 0, 0, 0, 0, 0, 0]));
            let _ = stream.shutdown(Shutdown::Both);
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

/// Waits until there is something to read, or the process has ended.
fn wait_for_either(stream: &UnixStream, process: &Process) -> Woken {
    loop {
        let mut polled = vec![PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
        if let Process::Other(process) = process {
            polled.push(PollFd::new(process.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) if polled.iter().skip(1).any(|process| process.any() == Some(true)) => {
                return Woken::Ended;
            }
            Ok(_) => return Woken::Stream,
            Err(Errno::EINTR) => {}
            Err(_) => return Woken::Failed,
        }
    }
}

/// Refuses a peer of another user.
fn check_user(stream: &UnixStream) -> Result<(), Error> {
    let peer = getsockopt(stream, sockopt::PeerCredentials).map_err(|errno| Error::Os {
        doing: "asking who is at the other end",
        source: errno.into(),
    })?;
    if peer.uid() == geteuid().as_raw() {
        return Ok(());
    }
    Err(Error::ForeignPeer { pid: peer.pid(), uid: peer.uid() })
}

/// Says which process it is that joins. The socket does not: whoever made it may have been another.
fn send_hello(stream: &UnixStream) -> io::Result<()> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) };
    let descriptor = Errno::result(result)? as RawFd;
    // SAFETY: the kernel made the descriptor just now, for nobody else.
    let process = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let frame = bytes(&[HELLO, std::process::id().into(), 0, 0, 0, 0, 0, 0]);
    send_with(stream, &frame, &[process.as_raw_fd()])
}

/// Which process it is that joins.
fn receive_hello(stream: &UnixStream) -> io::Result<Process> {
    let mut frame = [0; FRAME_BYTES];
    let mut descriptors = receive_with(stream, &mut frame)?;
    match (words(&frame), descriptors.pop()) {
        ([HELLO, pid, ..], Some(_)) if pid == u64::from(std::process::id()) => Ok(Process::Own),
        ([HELLO, ..], Some(process)) if is_process(&process) => Ok(Process::Other(process)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not say which process it is")),
    }
}

/// Whether a descriptor is one of a process: of another kind that becomes readable the process would seem to have ended,
/// and what it has views of would be lent to others.
fn is_process(descriptor: &OwnedFd) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    // That it is no child of this one is said later than that it is no process.
    !matches!(waitid(Id::PIDFd(descriptor.as_fd()), flags), Err(Errno::EBADF))
}

/// The last word of letting a client in: it may attach.
fn answer_hello(mut stream: &UnixStream) -> io::Result<()> {
    stream.write_all(&bytes(&[HELLO, 0, 0, 0, 0, 0, 0, 0]))
}

/// Waits for it.
fn hear_hello(mut stream: &UnixStream) -> io::Result<()> {
    let mut frame = [0; FRAME_BYTES];
    stream.read_exact(&mut frame)?;
    match words(&frame)[0] {
        HELLO => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not answer a hello")),
    }
}

/// Sends bytes, and descriptors with them.
fn send_with(mut stream: &UnixStream, frame: &[u8], descriptors: &[RawFd]) -> io::Result<()> {
    let control = [ControlMessage::ScmRights(descriptors)];
    let control = if descriptors.is_empty() { &control[..0] } else { &control[..] };
    let parts = [IoSlice::new(frame)];
    let sent = sendmsg::<()>(stream.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None)?;
    stream.write_all(&frame[sent..])
}

/// Fills `frame`; the descriptors that came with it.
fn receive_with(mut stream: &UnixStream, frame: &mut [u8]) -> io::Result<Vec<OwnedFd>> {
    let mut control = nix::cmsg_space!([RawFd; 4]);
    let mut parts = [IoSliceMut::new(&mut *frame)];
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
    Ok(descriptors)
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
    let descriptors: Vec<RawFd> =
        segments.as_descriptors().iter().map(AsRawFd::as_raw_fd).collect();
    let mut words = vec![u64::from(client.get()), descriptors.len() as u64];
    words.extend(names.iter().map(|name| name.len() as u64));
    words.extend(geometry.to_words());
    let frame: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    send_with(stream, &frame, &descriptors)?;
    names.iter().try_for_each(|name| stream.write_all(name.as_bytes()))
}

type Welcome = (ClientId, Geometry, Segments);

fn receive_welcome(mut stream: &UnixStream) -> io::Result<Result<Welcome, Error>> {
    let mut frame = [0; WELCOME_BYTES];
    let descriptors = receive_with(stream, &mut frame)?;
    let words: Vec<u64> = frame
        .chunks_exact(8)
        .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("a chunk of eight bytes")))
        .collect();
    let protocol = || Ok(Err(Error::Protocol("the other end is no store's host")));
    let client = match u8::try_from(words[0]).map(ClientId::new) {
        Ok(client) if client != ClientId::NODE => client,
        _ => return protocol(),
    };
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
        [table, data] if table.is_empty() && data.is_empty() => descriptors.into(),
        #[cfg(feature = "shared_memory")]
        [table, data] => Segments::Names { table: table.clone(), data: data.clone() },
        _ => {
            return Ok(Err(Error::Protocol(
                "the store's memory has names, which this build lacks",
            )));
        }
    };
    Ok(Ok((client, geometry, segments)))
}

#[cfg(test)]
mod tests {
    use nix::{
        sys::memfd::{MFdFlags, memfd_create},
        unistd::ftruncate,
    };

    use super::*;
    use crate::Config;

    #[test]
    fn who_is_not_heard_attaches_nothing() {
        let config = Config { capacity_bytes: 1 << 20, spill_dir: None, ..Config::default() };
        let node = Node::create(config).expect("a store");
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let joining = std::thread::spawn(move || Client::join(theirs));
        let Admission { client, geometry, segments } = node.admit().expect("admitted");
        welcome(&ours, client, geometry, &segments).expect("it reads");
        receive_hello(&ours).expect("it says who it is");
        // As a host does that cannot have one more descriptor, and so does not know whose end to wait for.
        drop(ours);
        let error = joining.join().expect("no panic").expect_err("it was not let in");
        assert!(matches!(error, Error::Os { .. }), "{error:?}");
    }

    #[test]
    fn who_says_hello_with_what_is_no_process_is_not_let_in() {
        let config = Config { capacity_bytes: 1 << 20, spill_dir: None, ..Config::default() };
        let node = Node::create(config).expect("a store");
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        std::thread::scope(|scope| {
            let hosting = scope.spawn(|| node.host(ours));
            let welcome = receive_welcome(&theirs).expect("it is heard");
            let (client, ..) = welcome.expect("it makes sense");
            // Always readable, as a process is that has ended.
            let file = std::fs::File::open("/dev/null").expect("there is one");
            let elsewhere = u64::from(std::process::id()) + 1;
            let frame = bytes(&[HELLO, elsewhere, 0, 0, 0, 0, 0, 0]);
            send_with(&theirs, &frame, &[file.as_raw_fd()]).expect("it reads");
            let error = hosting.join().expect("no panic").expect_err("it was not let in");
            assert!(error.to_string().contains("letting a client in"), "{error}");
            assert_eq!(node.admit().expect("there is room").client, client, "its place is free");
        });
    }

    /// Has somebody join whose host says this.
    fn join_who_is_told(client: ClientId, geometry: Geometry, segments: &Segments) -> Error {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        std::thread::scope(|scope| {
            let joining = scope.spawn(move || Client::join(theirs));
            welcome(&ours, client, geometry, segments).expect("it reads");
            if receive_hello(&ours).is_ok() {
                answer_hello(&ours).expect("it reads");
            }
            joining.join().expect("no panic").expect_err("that cannot be joined")
        })
    }

    #[test]
    fn who_is_no_host_is_not_joined() {
        let config = Config { capacity_bytes: 1 << 20, spill_dir: None, ..Config::default() };
        let node = Node::create(config).expect("a store");
        let Admission { client, geometry, segments } = node.admit().expect("admitted");
        let error = join_who_is_told(ClientId::NODE, geometry, &segments);
        assert!(matches!(error, Error::Protocol(_)), "as the node itself: {error}");
        // Large enough, and whoever has it can take the ground from under those who have it mapped.
        let shrinks = || {
            let file = memfd_create(c"shrinks", MFdFlags::MFD_CLOEXEC).expect("a file");
            ftruncate(&file, 1 << 32).expect("it grows");
            file
        };
        let error = join_who_is_told(client, geometry, &vec![shrinks(), shrinks()].into());
        assert!(matches!(error, Error::Protocol("the store's memory could shrink")), "{error}");
    }
}
