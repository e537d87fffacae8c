//! Counting system calls, for real and with no tool installed: the kernel hands every system call of the thread
//! to a signal handler (`PR_SET_SYSCALL_USER_DISPATCH`), which counts it and then makes it.
//!
//! One thread of a process at a time.

#![allow(unsafe_code)]

use std::{
    cell::UnsafeCell,
    io,
    sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering},
};

use nix::libc;

const DISPATCH: libc::c_int = 59;
const ON: libc::c_ulong = 1;
const ALLOW: u8 = 0;
const BLOCK: u8 = 1;

/// Where the kernel looks, at every system call of the thread that counts, whether to make it.
struct Selector(UnsafeCell<AtomicU8>);

// SAFETY: it is an atomic that the kernel reads too.
unsafe impl Sync for Selector {}

static SELECTOR: Selector = Selector(UnsafeCell::new(AtomicU8::new(ALLOW)));
static SEEN: AtomicU64 = AtomicU64::new(0);
static LAST: AtomicI64 = AtomicI64::new(-1);

fn selector() -> &'static AtomicU8 {
    // SAFETY: it is accessed as an atomic only.
    unsafe { &*SELECTOR.0.get() }
}

/// What was counted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// How many of the operations made a system call.
    pub(crate) operations: u64,
    /// The number of the last one; -1 when there was none.
    pub(crate) last: i64,
}

/// Runs `operation` so many times on this thread, and counts those runs that make a system call.
///
/// # Errors
/// When the system cannot count (before Linux 5.11, or on a processor other than x86_64).
pub(crate) fn count(times: u64, mut operation: impl FnMut(u64)) -> io::Result<Counted> {
    install()?;
    SEEN.store(0, Ordering::Relaxed);
    LAST.store(-1, Ordering::Relaxed);
    for at in 0..times {
        selector().store(BLOCK, Ordering::Relaxed);
        operation(at);
        selector().store(ALLOW, Ordering::Relaxed);
    }
    // SAFETY: this turns off what `install` turned on.
    unsafe { libc::prctl(DISPATCH, 0, 0, 0, 0) };
    Ok(Counted { operations: SEEN.load(Ordering::Relaxed), last: LAST.load(Ordering::Relaxed) })
}

#[cfg(not(target_arch = "x86_64"))]
fn install() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_arch = "x86_64")]
fn install() -> io::Result<()> {
    // SAFETY: all zero is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = trapped as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler makes no use of anything but atomics and system calls.
    let result = unsafe { libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the selector lives as long as the program.
    let result = unsafe { libc::prctl(DISPATCH, ON, 0, 0, SELECTOR.0.get()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Counts the system call that was trapped, makes it, and lets the operation's others pass.
#[cfg(target_arch = "x86_64")]
extern "C" fn trapped(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    selector().store(ALLOW, Ordering::Relaxed);
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes the context of the interrupted thread, which is ours alone meanwhile.
    let registers = unsafe { &mut (*context).uc_mcontext.gregs };
    let argument = |register: libc::c_int| registers[register as usize];
    let number = argument(libc::REG_RAX);
    SEEN.fetch_add(1, Ordering::Relaxed);
    LAST.store(number, Ordering::Relaxed);
    // SAFETY: the very call that the thread was about to make.
    let result = unsafe {
        libc::syscall(
            number,
            argument(libc::REG_RDI),
            argument(libc::REG_RSI),
            argument(libc::REG_RDX),
            argument(libc::REG_R10),
            argument(libc::REG_R8),
            argument(libc::REG_R9),
        )
    };
    // What the interrupted code finds in `errno` it has to set itself, as always.
    let error = i64::from(io::Error::last_os_error().raw_os_error().unwrap_or(0));
    registers[libc::REG_RAX as usize] = if result == -1 { -error } else { result };
}
