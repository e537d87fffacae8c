//! Joining a node: the handshake of a worker or of an attached driver, and the watch over the node's life.

use std::{fs::File, os::fd::AsFd, path::Path, process, sync::Arc, time::Duration};

use rustyray_ipc::{BlockingConnection, Patience};
use rustyray_store::{Client, ClientId, Geometry, ObjectId, Transport, Wake};

use super::errands::Errands;
use crate::{
    builder::GRACE,
    error::{Error, Result},
    registry,
    runtime::{
        Core, Link, boot,
        control::Control,
        current,
        doorbells::Doorbells,
        leftovers,
        lines::Waits,
        places, program, store_error,
        uplink::Uplink,
        wire::{PROTOCOL, Parts, Role, ToClient, ToNode},
    },
    spec::Submitter,
};

/// How long the node may take for one step of the handshake.
const PATIENCE: Duration = Duration::from_secs(30);

/// Shakes hands with the node and joins its session. A worker waits as long as it takes: its node is alive, or the
/// worker ends with it. What a driver finds may be stuck, or stopped.
pub(crate) fn attach(
    socket: BlockingConnection,
    path: Option<&Path>,
    role: Role,
    nonce: u64,
) -> Result<Arc<Core>> {
    let socket = Arc::new(socket);
    let lost = |what: &str| Error::Io {
        context: format!("joining a node: {what}"),
        message: "the node hung up or sent something else".into(),
        errno: None,
    };
    let io = |error: std::io::Error| Error::io("joining a node", &error);
    let frame = |error: rustyray_ipc::FrameError| {
        let error = std::io::Error::from(error);
        match path {
            Some(path) if error.kind() == std::io::ErrorKind::TimedOut => {
                places::no_answer(path, PATIENCE)
            }
            _ => io(error),
        }
    };
    socket.set_timeout((role == Role::Driver).then_some(PATIENCE)).map_err(io)?;
    let hello = ToNode::Hello {
        protocol: PROTOCOL,
        role,
        nonce,
        pid: process::id(),
        digest: registry::digest(),
    };
    // What workers are to be started from for a driver: the file that this process runs.
    let executable = match role {
        Role::Driver => Some(File::open("/proc/self/exe").map_err(io)?),
        _ => None,
    };
    let executable: Vec<_> = executable.iter().map(AsFd::as_fd).collect();
    socket.send(&hello.to_bytes(), &executable).map_err(frame)?;
    let (welcome, descriptors) = loop {
        let message =
            socket.recv().map_err(frame)?.ok_or_else(|| lost("waiting for its welcome"))?;
        match ToClient::from_bytes(&message.bytes) {
            Ok(ToClient::Explain) => {
                let program = ToNode::Program(program::describe());
                socket.send(&program.to_bytes(), &[]).map_err(frame)?;
            }
            Ok(ToClient::Refused { error }) => return Err(Error::from_bytes("refusal", &error)),
            Ok(welcome @ ToClient::Welcome { .. }) => break (welcome, message.fds),
            Ok(_) | Err(_) => {
                return Err(lost("waiting for its welcome"));
            }
        }
    };
    let ToClient::Welcome { client, session, job, geometry, .. } = welcome else {
        return Err(lost("reading its welcome"));
    };
    let client = ClientId::new(client);
    let mut descriptors = descriptors.into_iter();
    let control = descriptors.next().ok_or_else(|| lost("taking the control memory"))?;
    let control = Control::attach(control, session).map_err(io)?;
    let patience = Patience::calibrated_as(control.wake_cost());
    if role == Role::Worker {
        patience.let_go_apart();
    }
    let doorbells = Arc::new(Doorbells::new(&control));
    let uplink = Uplink::new(&control, client, role, Arc::clone(&doorbells), Arc::clone(&socket));
    let uplink = Arc::new(uplink.map_err(io)?);
    let geometry = Geometry::from_words(&geometry).map_err(store_error::<()>)?;
    let descriptors: Vec<_> = descriptors.collect();
    let transport = Arc::clone(&uplink) as Arc<dyn Transport>;
    let wake = Arc::clone(&doorbells) as Arc<dyn Wake>;
    // SAFETY: number, geometry and descriptors are what the node gave this process in its welcome, of one admission
    // (`Handshake::admit` in `pool.rs`), and it is attached by them here and once; the node reaps it when it has ended.
    // The uplink carries each request by an entry of the up ring, which the node serves once (`node/serve.rs`), and
    // gets the answer in a cell that is this question's until then (`ipc/src/cells.rs`).
    let store = unsafe { Client::attach(geometry, descriptors, client, transport, wake) };
    let store = store.map_err(store_error::<()>)?;
    let core = Arc::new(Core::new(
        session,
        path.map(Path::to_path_buf).into_iter().collect(),
        store,
        Link::Uplink(uplink),
        control,
        doorbells,
        GRACE,
        job,
    ));
    socket.send(&ToNode::Ready.to_bytes(), &[]).map_err(frame)?;
    socket.set_timeout(None).map_err(io)?;
    watch_node(&core, socket, role);
    core.let_go_for_room();
    current::register(&core);
    if role == Role::Driver {
        leftovers::watch(&core);
    }
    Ok(core)
}

/// Starts the thread that acts on the node's last words, or on its death. It waits for nothing else: what may take
/// longer is an errand.
fn watch_node(core: &Arc<Core>, socket: Arc<BlockingConnection>, role: Role) {
    let core = Arc::clone(core);
    let watch = move || {
        let mut errands = Errands::of(&core);
        let mut parts = Parts::default();
        while let Ok(Some(message)) = socket.recv() {
            match parts.join(&message.bytes) {
                Ok(ToClient::OnTop { words }) => core.put_on_top(words),
                Ok(ToClient::Interrupt { task }) => {
                    if let Some(running) = core.interrupt(task) {
                        errands.run(move |core| core.fail_interrupted(&running));
                    }
                }
                Ok(ToClient::InterruptCalls { calls }) => {
                    let ids = calls.into_iter();
                    let ids = ids.map(|(index, generation)| ObjectId { index, generation });
                    core.interrupt_all(ids.map(Submitter::Call));
                }
                Ok(ToClient::Bye) if role == Role::Worker => core.stop(),
                Ok(ToClient::Answer { number, token }) => {
                    if let Link::Uplink(uplink) = &core.link {
                        let token = token.map(|(index, generation)| ObjectId { index, generation });
                        uplink.answered(number, token);
                    }
                }
                Ok(ToClient::OfLines(news)) => {
                    errands.run(move |core| {
                        core.lines.hear(core, &news, Waits::Yes);
                    });
                }
                _ => {}
            }
        }
        // The node is gone.
        match role {
            Role::Worker => boot::end(0),
            Role::Driver | Role::Observer => core.close(),
        }
    };
    if let Err(error) = std::thread::Builder::new().name("rustyray-node-watch".into()).spawn(watch)
    {
        crate::notice!("rustyray: no thread to watch the node: {error}");
        boot::end(2);
    }
}
