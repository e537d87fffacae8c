//! The atomics that shared words are made of: `core`'s, or loom's when a model runs.
//!
//! Every lock-free module of the workspace takes its atomics, its fence and its spin hint from here,
//! so that the code which runs over a mapping is the code that loom explores. Whoever has a [`Memory`](crate::Memory)
//! finds the type of its words and their orderings here; what is hidden is for the workspace's own modules, which
//! models explore.

#[cfg(not(rustyray_loom))]
pub use core::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

/// Variables of a thread: `std`'s, or loom's.
#[cfg(not(rustyray_loom))]
pub use std::thread_local;

#[cfg(rustyray_loom)]
pub use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    thread_local,
};

/// Whether this build explores interleavings under loom; constants shrink when it does.
#[doc(hidden)]
pub const LOOM: bool = cfg!(rustyray_loom);

/// Stands between a `SeqCst` read-modify-write and the `SeqCst` loads that follow it, where a protocol
/// needs both sides to announce first and look second.
///
/// All `SeqCst` operations are in one total order that every thread agrees on, so nothing more is needed
/// between the two: of two threads that each announce and then look, one sees the other. A fence there
/// would only wait once more for the store buffer, which the read-modify-write has waited for already. Loom
/// takes `SeqCst` operations for acquire and release, so it gets the fence.
#[doc(hidden)]
#[inline(always)]
pub fn total_order() {
    #[cfg(rustyray_loom)]
    fence(Ordering::SeqCst);
}
