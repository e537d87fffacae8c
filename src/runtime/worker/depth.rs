//! How far down a thread's stack the code is that waits, and whether another task is to be run on top of it there.
//!
//! What runs on top of a task waits in turn, and has the next on top of it: as many as wait for each other, and no
//! stack has room for all. So a thread runs them while a quarter of its stack is in use. Beyond that the next one gets
//! a thread of its own, with as much of a stack as the main thread has, and this one waits for it.

use std::{cell::Cell, hint::black_box, sync::OnceLock};

use nix::sys::resource::{Resource, getrlimit};

/// What is taken for a stack whose size nobody limits, or limits to nothing sensible.
const ORDINARY: usize = 8 << 20;
const LEAST: usize = 1 << 20;
const MOST: usize = 256 << 20;

thread_local! {
    /// Where the stack of this thread begins, if it is as large as [`stack_bytes`]; else 0.
    static BOTTOM: Cell<usize> = const { Cell::new(0) };
}

/// The stack of this thread, which has [`stack_bytes`], begins about here.
pub(super) fn begin() {
    BOTTOM.set(here());
}

/// What the main thread has of a stack.
pub(super) fn stack_bytes() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let limit = getrlimit(Resource::RLIMIT_STACK).map_or(0, |(soft, _)| soft);
        usize::try_from(limit)
            .ok()
            .filter(|bytes| (LEAST..=MOST).contains(bytes))
            .unwrap_or(ORDINARY)
    })
}

/// Whether it is known how deep this thread is.
pub(super) fn is_known() -> bool {
    BOTTOM.get() != 0
}

/// Whether a task that waits here is to have no other on top of it on this thread.
pub(super) fn is_deep() -> bool {
    let bottom = BOTTOM.get();
    !is_known() || bottom.abs_diff(here()) > stack_bytes() / 4
}

#[inline(never)]
fn here() -> usize {
    let mark = 0_u8;
    (&raw const *black_box(&mark)).addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes down until it is deep; how far that was.
    fn descend(levels: usize) -> usize {
        let ballast = black_box([0_u8; 16 << 10]);
        if is_deep() { levels } else { descend(levels + 1) + usize::from(black_box(&ballast)[0]) }
    }

    #[test]
    fn a_thread_is_deep_before_its_stack_is_used_up() {
        assert!(is_deep(), "nothing is known of this thread");
        let thread = std::thread::Builder::new().stack_size(stack_bytes());
        let levels = thread.spawn(|| {
            begin();
            descend(0)
        });
        let levels = levels.expect("a thread").join().expect("its stack is enough");
        assert!((2..=stack_bytes() / 4 / (16 << 10)).contains(&levels), "{levels} levels");
    }
}
