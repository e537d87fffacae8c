//! How a worker comes to be: the driver's own executable, started again, becomes a worker before `main`.
//!
//! The node starts `/proc/self/exe`, the very file that it runs even when another build has replaced it,
//! with one variable in the environment and a socket as standard input. A function in `.init_array`, which
//! the C runtime calls before `main`, sees the variable and never returns. That works unchanged in a
//! program, an example, a test binary and a bench, since none of their `main`s is reached.
//!
//! The variable holds the pid of the node and a nonce. It is removed at once, so that a process which the
//! worker starts does not take itself for one; a stale copy names another parent and is ignored. A worker
//! whose node died before it got this far names another parent too, and ends.
//!
//! Invariant: nothing but this module reads or writes the variable.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString},
    fs::File,
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, Stdio},
    sync::atomic::{Ordering, fence},
};

use parking_lot::Mutex;

use super::program::Launch;
use crate::error::{Error, Result};

const VARIABLE: &str = "RUSTYRAY_WORKER";

/// Names the gpus that libraries may use.
const GPUS: &str = "CUDA_VISIBLE_DEVICES";

/// Stands for the nonce where the process is to be a guard.
const GUARD: &str = "guard";

/// Starts one worker as `launch` says; its first word must repeat `nonce`.
///
/// `socket` becomes the worker's end of the connection. Its output comes through pipes, never through the
/// driver's own streams, so that a worker that outlives its driver for a moment holds nothing open.
///
/// Where the node gives out gpus the worker begins with none: the variable that names them is there from the start,
/// see [`show_gpus`].
pub(crate) fn spawn(
    launch: &Launch<'_>,
    socket: OwnedFd,
    nonce: u64,
    gives_gpus: bool,
) -> Result<Child> {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(&launch.executable);
    if let Some(directory) = launch.directory {
        command.current_dir(directory);
    }
    if let Some(environment) = launch.environment {
        command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    }
    if gives_gpus {
        command.env(GPUS, "");
    }
    command
        .arg0("rustyray-worker")
        .env(VARIABLE, format!("{}:{nonce}", std::process::id()))
        .stdin(Stdio::from(socket))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C goes to the foreground group; the node alone decides what it means for workers.
        .process_group(0)
        .spawn()
        .map_err(|error| {
            Error::io(format_args!("starting a worker from {}", launch.executable), &error)
        })
}

/// Starts the guard of a socket file: a process that outlives the node and removes what the node listened
/// on, should the node be killed before it can. It ends when `socket`'s other end is closed.
pub(crate) fn spawn_guard(socket: OwnedFd) -> Result<Child> {
    use std::os::unix::process::CommandExt;
    Command::new("/proc/self/exe")
        .arg0("rustyray-guard")
        .env(VARIABLE, format!("{}:{GUARD}", std::process::id()))
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| Error::io("starting the guard of the socket file", &error))
}

/// What a worker is told by its environment.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) socket: OwnedFd,
    pub(crate) nonce: u64,
}

/// Whether this process was started by [`spawn`] or [`spawn_guard`], going by its first argument: the
/// standard library may not know the arguments yet.
fn is_named_as_ours() -> bool {
    std::fs::read("/proc/self/cmdline").is_ok_and(|arguments| arguments.starts_with(b"rustyray-"))
}

#[used]
#[unsafe(link_section = ".init_array")]
static BOOT: extern "C" fn() = boot;

extern "C" fn boot() {
    let Ok(value) = std::env::var(VARIABLE) else { return };
    // SAFETY: the C runtime calls this before `main`, when the process has one thread.
    unsafe { std::env::remove_var(VARIABLE) };
    let Some((parent, nonce)) = value.split_once(':') else { return };
    if nonce == GUARD && is_named_as_ours() {
        // Also for a node that is gone already: that is what it is for.
        super::guard::run();
        end(0)
    }
    if parent.parse() != Ok(std::os::unix::process::parent_id()) {
        // Started for a node that is gone already, it must not run the program's `main` in its place.
        if is_named_as_ours() {
            end(0);
        }
        return;
    }
    let Ok(nonce) = nonce.parse() else { return };
    let code = match take_stdin() {
        Ok(socket) => crate::runtime::worker::run(Birth { socket, nonce }),
        Err(error) => {
            crate::notice!("rustyray: a worker could not take its socket: {error}");
            1
        }
    };
    end(code)
}

/// Names the gpus that libraries may use in this worker, none included.
///
/// Threads that earlier tasks left may read the environment just now, and what C code reads it with takes no lock. So
/// nothing that they may hold is freed: the variable is there from the start ([`spawn`]), the list of variables stays
/// where it is, and one pointer in it is replaced by that to another text, each of which stays for good. There are as
/// many as there are sets of gpus that this worker is ever given.
pub(crate) fn show_gpus(gpus: &[u32]) {
    static SHOWN: Mutex<BTreeMap<Box<[u32]>, &'static CStr>> = Mutex::new(BTreeMap::new());
    let mut shown = SHOWN.lock();
    let text = shown.entry(gpus.into()).or_insert_with(|| {
        let names: Vec<String> = gpus.iter().map(u32::to_string).collect();
        let text = CString::new(format!("{GPUS}={}", names.join(","))).expect("no NUL in it");
        Box::leak(text.into_boxed_c_str())
    });
    // Release: whoever finds the pointer finds the text. Its partner is the dependency of the text on the pointer.
    fence(Ordering::Release);
    // SAFETY: the text is of the form `NAME=value`, ends with a NUL, lives for ever, and nobody writes to it. Who
    // changes other variables does it under the C library's own lock, which this takes too.
    let put = unsafe { nix::libc::putenv(text.as_ptr().cast_mut()) };
    if put != 0 {
        // It would run with gpus that are not its own.
        crate::notice!("rustyray: the gpus of a worker could not be named: no memory");
        end(2);
    }
}

/// Ends the process without running the exit handlers of a program whose `main` never ran.
pub(crate) fn end(code: i32) -> ! {
    use std::io::Write;
    let _ = std::io::stdout().flush();
    // SAFETY: `_exit` has no precondition; it ends the process at once.
    unsafe { nix::libc::_exit(code) }
}

/// The same at once, whatever the other threads hold.
pub(crate) fn end_at_once(code: i32) -> ! {
    // SAFETY: `_exit` has no precondition; it ends the process at once.
    unsafe { nix::libc::_exit(code) }
}

/// Moves the socket away from standard input and puts `/dev/null` there.
fn take_stdin() -> std::io::Result<OwnedFd> {
    // What the standard library does before `main`: a broken pipe is an error, not a signal.
    // SAFETY: ignoring a signal installs no handler that could run.
    unsafe {
        nix::sys::signal::signal(
            nix::sys::signal::Signal::SIGPIPE,
            nix::sys::signal::SigHandler::SigIgn,
        )
    }?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    Ok(socket)
}
