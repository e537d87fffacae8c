//! A second process for a test: the test binary itself, started again to run one role.
//!
//! The child's standard input is one end of a socket pair of packets. The parent first sends the
//! descriptors; then the child asks, one packet at a time, and the parent answers: requests to the
//! node, and reports to the test, which decides when to answer.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    io::{IoSlice, IoSliceMut},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::process::ExitStatusExt,
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
};

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use rustyray_store::{
    Admission, Client, ClientId, ClientSet, Geometry, Node, ObjectId, Reaped, Reply, Request,
    Transport, TransportError, Wake,
};

const ROLE: &str = "RUSTYRAY_STORE_TEST_ROLE";
const REQUEST: u64 = 1;
const REPORT: u64 = 2;

type Packet = [u64; 10];

fn send(socket: RawFd, packet: Packet, descriptors: &[RawFd]) -> nix::Result<()> {
    let bytes: Vec<u8> = packet.iter().flat_map(|word| word.to_le_bytes()).collect();
    let control = [ControlMessage::ScmRights(descriptors)];
    let control = if descriptors.is_empty() { &control[..0] } else { &control[..] };
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(socket, &[IoSlice::new(&bytes)], control, flags, None).map(|_| ())
}

fn receive(socket: RawFd) -> nix::Result<Option<(Packet, Vec<OwnedFd>)>> {
    let mut bytes = [0; size_of::<Packet>()];
    let mut control = nix::cmsg_space!([RawFd; 4]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket, &mut parts, Some(&mut control), flags)?;
    if message.bytes == 0 {
        return Ok(None);
    }
    let descriptors = message
        .cmsgs()?
        .filter_map(|message| match message {
            ControlMessageOwned::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        // SAFETY: the kernel gave these descriptors to us with this message, and to nobody else.
        .map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) })
        .collect();
    let mut packet = [0; 10];
    for (word, chunk) in packet.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(chunk.try_into().expect("a chunk of eight bytes"));
    }
    Ok(Some((packet, descriptors)))
}

// ---- the child -------------------------------------------------------------------------------------

/// In the child: its way to the parent.
pub(crate) struct Parent {
    socket: Mutex<()>,
}

struct NoWake;

impl Wake for NoWake {
    fn wake(&self, _clients: ClientSet) {}
}

impl Parent {
    fn ask(&self, packet: Packet) -> Option<Packet> {
        let _turn = self.socket.lock().expect("nobody panics in a turn");
        send(0, packet, &[]).ok()?;
        receive(0).ok()?.map(|(packet, _)| packet)
    }

    /// Tells the test something and waits for its answer.
    pub(crate) fn report(&self, words: &[u64]) -> [u64; 8] {
        let mut packet = [0; 10];
        packet[0] = REPORT;
        packet[1] = words.len() as u64;
        packet[2..2 + words.len()].copy_from_slice(words);
        let Some(answer) = self.ask(packet) else { std::process::exit(0) };
        answer[2..].try_into().expect("eight words")
    }

    /// Tells the test of an object.
    pub(crate) fn report_object(&self, id: ObjectId) -> [u64; 8] {
        self.report(&id.to_words())
    }
}

impl Transport for Parent {
    fn call(&self, request: Request) -> Result<Reply, TransportError> {
        let mut packet = [0; 10];
        packet[0] = REQUEST;
        packet[2..].copy_from_slice(&request.to_words());
        let answer = self.ask(packet).ok_or(TransportError::Closed)?;
        let words = answer[2..].try_into().expect("eight words");
        Reply::from_words(words).ok_or(TransportError::Closed)
    }
}

/// In the test that children run: does nothing in the parent; in a child it plays the role and ends the
/// process.
pub(crate) fn play(roles: impl FnOnce(&str, Arc<Client>, Arc<Parent>)) {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (packet, descriptors) = receive(0).expect("a packet").expect("an admission");
    let geometry = Geometry::from_words(&packet[2..]).expect("a geometry");
    let parent = Arc::new(Parent { socket: Mutex::new(()) });
    let client = ClientId::new(packet[0] as u8);
    let transport: Arc<dyn Transport> = Arc::clone(&parent) as _;
    // SAFETY: all of it came in the packet by which the parent lets this process in, and nobody else. `Parent` sends a
    // request and takes the next packet for its reply, under a lock; the parent answers one after another.
    let client =
        unsafe { Client::attach(geometry, descriptors, client, transport, Arc::new(NoWake)) };
    let client = client.expect("attached");
    roles(&role, client, parent);
    std::process::exit(0);
}

// ---- the parent ------------------------------------------------------------------------------------

/// In the test: another process that is attached to the store.
pub(crate) struct Peer {
    node: Arc<Node>,
    pub(crate) client: ClientId,
    child: Child,
    has_ended: bool,
    /// Its number may be another's.
    is_reaped: bool,
    reports: mpsc::Receiver<Vec<u64>>,
    answers: mpsc::Sender<[u64; 8]>,
    serving: Option<JoinHandle<()>>,
}

impl Peer {
    /// Starts a process that plays `role` in the test named `roles`.
    pub(crate) fn start(node: &Arc<Node>, roles: &str, role: &str) -> Peer {
        Self::start_with(node, roles, role, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn start_with(
        node: &Arc<Node>,
        roles: &str,
        role: &str,
        env: &[(&str, &str)],
    ) -> Peer {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .expect("a socket pair");
        let child = Command::new(std::env::current_exe().expect("the test binary"))
            .args([roles, "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .envs(env.iter().copied())
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .expect("a second process");
        let Admission { client, geometry, segments, .. } = node.admit().expect("admitted");
        let mut packet = [0; 10];
        packet[0] = client.get().into();
        packet[2..].copy_from_slice(&geometry.to_words());
        // SAFETY: they go to the child, which attaches by them, and are closed here.
        let descriptors = unsafe { segments.descriptors() };
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        send(ours.as_raw_fd(), packet, &raw).expect("sent");
        let (report, reports) = mpsc::channel();
        let (answers, answer) = mpsc::channel::<[u64; 8]>();
        let serving_node = Arc::clone(node);
        let serving = std::thread::spawn(move || {
            while let Ok(Some((packet, _))) = receive(ours.as_raw_fd()) {
                let mut reply = [0; 10];
                if packet[0] == REQUEST {
                    let words = packet[2..].try_into().expect("eight words");
                    let request = Request::from_words(words).expect("a request");
                    // SAFETY: the child, which has this number, sent it by its transport, once.
                    let served = unsafe { serving_node.serve(client, request) };
                    reply[2..].copy_from_slice(&served.to_words());
                } else {
                    let words = packet[2..2 + packet[1] as usize].to_vec();
                    if report.send(words).is_err() {
                        break;
                    }
                    let Ok(words) = answer.recv() else { break };
                    reply[2..].copy_from_slice(&words);
                }
                if send(ours.as_raw_fd(), reply, &[]).is_err() {
                    break;
                }
            }
        });
        Peer {
            node: Arc::clone(node),
            client,
            child,
            has_ended: false,
            is_reaped: false,
            reports,
            answers,
            serving: Some(serving),
        }
    }

    /// What the process reports next; `None` when it has ended.
    pub(crate) fn next(&self) -> Option<Vec<u64>> {
        self.reports.recv().ok()
    }

    /// What the process has reported, if it has.
    pub(crate) fn try_next(&self) -> Result<Vec<u64>, mpsc::TryRecvError> {
        self.reports.try_recv()
    }

    /// The object that the process reports next.
    pub(crate) fn next_object(&self) -> ObjectId {
        let words = self.next().expect("a report");
        ObjectId::from_words([words[0], words[1]]).expect("an object")
    }

    /// Lets the process go on from its report.
    pub(crate) fn answer(&self, words: &[u64]) {
        let mut all = [0; 8];
        all[..words.len()].copy_from_slice(words);
        self.answers.send(all).expect("the process waits for an answer");
    }

    /// Kills the process, waits for its end, and does not reap it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.wait();
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("waited");
        self.has_ended = true;
        // The serving thread may wait for an answer: it ends with the channel.
        self.answers = mpsc::channel().0;
        if let Some(serving) = self.serving.take() {
            serving.join().expect("served");
        }
        status
    }

    /// Has the node put back what the process was sealing, which has ended.
    pub(crate) fn put_back(&self) {
        assert!(self.has_ended && !self.is_reaped, "it has its number, and uses it no more");
        // SAFETY: see the line above.
        unsafe { self.node.put_back(self.client) }
    }

    /// Has the node clear away what the process left, which has ended.
    pub(crate) fn reap(&mut self) -> Reaped {
        assert!(self.has_ended && !self.is_reaped, "it has its number, and uses it no more");
        self.is_reaped = true;
        // SAFETY: see the lines above.
        unsafe { self.node.reap(self.client) }
    }

    /// Waits for the process to end by SIGKILL, or well.
    pub(crate) fn wait_killed(&mut self) -> bool {
        let status = self.wait();
        assert!(status.success() || status.signal() == Some(9), "{status}");
        status.signal() == Some(9)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // It has been waited for already, or there is nothing that could be done about it.
        self.has_ended = self.has_ended || self.child.wait().is_ok();
        self.answers = mpsc::channel().0;
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
        if self.has_ended && !self.is_reaped {
            self.reap();
        }
    }
}
