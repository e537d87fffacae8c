//! Many hands: a large piece of memory is populated by several threads.
//!
//! A page that nobody had before is zeroed by the kernel, and on a virtual machine whose host backs memory only when
//! it is touched, by the host as well: seconds for each gibibyte, in which one thread waits for one page after the
//! other. As many threads as there are cores wait at the same time.
//!
//! The piece is divided into *shares*. Each thread takes the next one until there is none or one of them failed; the
//! caller is one of the threads, so that it goes on where no other can be had, and returns when all have ended.

use std::thread;

use rustyray_memory::sync::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::{Error, geometry::HUGE_PAGE_BYTES};

/// What a thread takes at a time: a few milliseconds of work at the least, beside which starting a thread costs nothing.
const SHARE_BYTES: u64 = 16 * HUGE_PAGE_BYTES;

/// However many cores there are: others have work for them, too.
const MOST_THREADS: u64 = 8;

/// Calls `work` with where each share begins and how long it is, on several threads if there is enough of it.
///
/// # Errors
/// The first error of `work`; there may be shares then that it was not called for.
pub(crate) fn divide(
    offset_bytes: u64,
    len_bytes: u64,
    work: impl Fn(u64, u64) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let end = offset_bytes + len_bytes;
    if len_bytes < 2 * SHARE_BYTES {
        return work(offset_bytes, len_bytes);
    }
    // Shares end where huge pages do.
    let (first, last) = (offset_bytes / SHARE_BYTES, end.div_ceil(SHARE_BYTES));
    // Relaxed, both: whoever takes a number has its share, and what the threads did is seen when they are joined.
    let next = AtomicU64::new(first);
    let has_failed = AtomicBool::new(false);
    let take_shares = || -> Result<(), Error> {
        while !has_failed.load(Relaxed) {
            let share = next.fetch_add(1, Relaxed);
            if share >= last {
                break;
            }
            let from = (share * SHARE_BYTES).max(offset_bytes);
            let to = ((share + 1) * SHARE_BYTES).min(end);
            work(from, to - from).inspect_err(|_| has_failed.store(true, Relaxed))?;
        }
        Ok(())
    };
    let cores = thread::available_parallelism().map_or(1, usize::from) as u64;
    thread::scope(|scope| {
        let others: Vec<_> = (1..cores.min(MOST_THREADS).min(last - first))
            .map_while(|_| {
                let thread = thread::Builder::new().name("rustyray-pages".into());
                thread.spawn_scoped(scope, take_shares).ok()
            })
            .collect();
        let done = take_shares();
        others.into_iter().fold(done, |done, other| match other.join() {
            Ok(theirs) => done.and(theirs),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Mutex};

    use super::*;

    #[test]
    fn shares_cover_the_piece_and_end_where_huge_pages_do() {
        for (offset_bytes, shares) in [(0, 1), (4096, 1), (0, 3), (4096, 3), (5 * SHARE_BYTES, 40)]
        {
            let len_bytes = shares * SHARE_BYTES - offset_bytes % SHARE_BYTES - 8192;
            let taken = Mutex::new(Vec::new());
            divide(offset_bytes, len_bytes, |from, len| {
                taken.lock().expect("no panic").push((from, len));
                Ok(())
            })
            .expect("no share fails");
            let mut taken = taken.into_inner().expect("no panic");
            taken.sort_unstable();
            assert_eq!(taken.len() as u64, shares);
            let mut at = offset_bytes;
            for &(from, len) in &taken {
                assert!(from == at && len > 0);
                assert!(from == offset_bytes || from.is_multiple_of(HUGE_PAGE_BYTES));
                at += len;
            }
            assert_eq!(at, offset_bytes + len_bytes);
        }
    }

    #[test]
    fn a_share_that_fails_ends_it_with_its_error() {
        let begun = AtomicU64::new(0);
        let result = divide(0, 1000 * SHARE_BYTES, |from, _| {
            begun.fetch_add(1, Relaxed);
            if from < 3 * SHARE_BYTES {
                return Ok(());
            }
            Err(Error::Os { doing: "a share", source: io::ErrorKind::OutOfMemory.into() })
        });
        assert!(matches!(result, Err(Error::Os { doing: "a share", .. })), "{result:?}");
        assert!(begun.into_inner() <= 3 + MOST_THREADS);
    }
}
