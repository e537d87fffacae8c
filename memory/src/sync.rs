//! The atomics that shared words are made of: `core`'s, or loom's when a model runs.
//!
//! Every lock-free module of the workspace takes its atomics, its fence and its spin hint from here,
//! so that the code which runs over a mapping is the code that loom explores.

#[cfg(not(rustyray_loom))]
pub use core::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(rustyray_loom)]
pub use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

/// Whether this build explores interleavings under loom; constants shrink when it does.
pub const LOOM: bool = cfg!(rustyray_loom);
