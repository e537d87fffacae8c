//! A process's private count of its references to (or views of) one slot, and the only gate to the
//! shared bit that stands for them.
//!
//! ```text
//! bits 0..24   count: 0 none, 1..=MAX-2 that many, MAX-1 in transition, MAX never to be dropped
//! bits 24..64  generation that the count belongs to
//! ```
//!
//! The shared bit is touched only on 0→1 and 1→0. One thread dropping the last reference while another
//! makes the first must not reorder their two updates of the bit, so the entry is *in transition* from
//! before the shared update until after it, its undo included; whoever finds it so waits. That wait
//! lasts a handful of instructions of the other thread.
//!
//! Invariant: count > 0 and not in transition ⇒ this process's bit is set in the slot and the slot
//! holds the object of the entry's generation, hence a slot is never counted under two generations.
//!
//! A count that would overflow sticks: the object then stays until the process ends.
//!
//! References that are lent many at once are not in the count ([`crate::models::Lent`]).

use rustyray_memory::sync::{AtomicU64, Ordering, spin_loop};

use crate::state::pause;

const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const STICKY: u64 = COUNT;
const TRANSIT: u64 = COUNT - 1;
const LAST_COUNT: u64 = COUNT - 2;

/// Why nothing was acquired.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum NotAcquired<E> {
    /// This process holds another generation of the slot, so the one asked for is gone.
    OtherGeneration,
    /// The shared update was refused.
    Refused(E),
}

/// A private count.
#[derive(Debug)]
pub struct Entry(AtomicU64);

impl Default for Entry {
    fn default() -> Self {
        Entry(AtomicU64::new(0))
    }
}

impl Entry {
    /// Counts one more where some of this generation are counted, which is most often so; false when nothing was
    /// done, and [`Entry::acquire`] is to be called.
    #[inline]
    #[must_use]
    pub fn acquire_again(&self, generation: u64) -> bool {
        // Relaxed: the compare-and-swap acquires.
        let seen = self.0.load(Ordering::Relaxed);
        // Acquire: as for those after the first in `acquire`.
        Self::is_amid(seen, generation, 1) && self.swap(seen, seen + 1, Ordering::Acquire)
    }

    /// Counts one less where more of this generation are counted; false when nothing was done, and
    /// [`Entry::release`] is to be called.
    #[inline]
    #[must_use]
    pub fn release_one_of_many(&self, generation: u64) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        // Release: as for those before the last in `release`.
        Self::is_amid(seen, generation, 2) && self.swap(seen, seen - 1, Ordering::Release)
    }

    /// Whether some of this generation are counted, and nobody is just at the last of them.
    #[inline]
    pub fn is_counted(&self, generation: u64) -> bool {
        // Acquire: pairs with the Release of whoever counted last, so that the caller sees what that thread lent.
        Self::is_amid(self.0.load(Ordering::Acquire), generation, 1)
    }

    /// Whether at least so many of this generation are counted, and one more is no special case.
    #[inline]
    fn is_amid(seen: u64, generation: u64, least: u64) -> bool {
        // One comparison for all: what is below, in another generation or special is far above.
        seen.wrapping_sub(generation << COUNT_BITS | least) < LAST_COUNT - least
    }

    /// Counts one more; the first one runs `first`, which makes the shared update or undoes it and
    /// says why.
    ///
    /// # Errors
    /// When `first` refuses, or when another generation is counted.
    #[inline]
    pub fn acquire<E>(
        &self,
        generation: u64,
        first: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), NotAcquired<E>> {
        let mut spins = 0;
        loop {
            // Relaxed: the compare-and-swaps below acquire.
            let seen = self.0.load(Ordering::Relaxed);
            match seen & COUNT {
                0 => {
                    // Acquire: pairs with the Release that ended the last transition, so that the
                    // shared update made there comes before ours.
                    let transit = generation << COUNT_BITS | TRANSIT;
                    if !self.swap(seen, transit, Ordering::Acquire) {
                        continue;
                    }
                    let result = first();
                    let count = u64::from(result.is_ok());
                    // Release: pairs with the Acquire of whoever goes on from this entry.
                    self.0.store(generation << COUNT_BITS | count, Ordering::Release);
                    return result.map_err(NotAcquired::Refused);
                }
                TRANSIT => wait(&mut spins),
                _ if seen >> COUNT_BITS != generation => return Err(NotAcquired::OtherGeneration),
                STICKY => return Ok(()),
                count => {
                    let more = if count == LAST_COUNT { STICKY } else { count + 1 };
                    // Acquire: pairs with the Release that ended the transition, so that this thread
                    // sees what the one that made the shared update saw.
                    if self.swap(seen, seen & !COUNT | more, Ordering::Acquire) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Counts one less; the last one runs `last`, which makes the shared update. `None` when it was
    /// not the last, or when nothing of this generation is counted.
    #[inline]
    pub fn release<R>(&self, generation: u64, last: impl FnOnce() -> R) -> Option<R> {
        self.release_unless(generation, || false, last)
    }

    /// The same where something may be counted elsewhere, as long as something is counted here: `spare` takes one
    /// of that in the last one's place, if there is any, and then nothing is counted less here.
    #[inline]
    pub fn release_unless<R>(
        &self,
        generation: u64,
        spare: impl FnOnce() -> bool,
        last: impl FnOnce() -> R,
    ) -> Option<R> {
        let mut spins = 0;
        loop {
            // Relaxed: the compare-and-swaps below order.
            let seen = self.0.load(Ordering::Relaxed);
            match seen & COUNT {
                TRANSIT => wait(&mut spins),
                0 | STICKY => return None,
                _ if seen >> COUNT_BITS != generation => return None,
                1 => {
                    // AcqRel: what other threads did with the object before they dropped their counts
                    // comes before the shared update below.
                    if !self.swap(seen, seen & !COUNT | TRANSIT, Ordering::AcqRel) {
                        continue;
                    }
                    if spare() {
                        // Release: as below.
                        self.0.store(seen, Ordering::Release);
                        return None;
                    }
                    let result = last();
                    // Release: pairs with the Acquire of whoever begins anew.
                    self.0.store(seen & !COUNT, Ordering::Release);
                    return Some(result);
                }
                _ => {
                    // Release: this thread's use of the object comes before the last release.
                    if self.swap(seen, seen - 1, Ordering::Release) {
                        return None;
                    }
                }
            }
        }
    }

    /// How many of this generation are counted, as of now; more than there are once the count sticks.
    pub fn count(&self, generation: u64) -> usize {
        let seen = self.0.load(Ordering::Acquire);
        if seen >> COUNT_BITS == generation { (seen & COUNT) as usize } else { 0 }
    }

    /// Whether something of this generation is counted.
    #[inline]
    pub fn is_held(&self, generation: u64) -> bool {
        let mut spins = 0;
        loop {
            let seen = self.0.load(Ordering::Acquire);
            match seen & COUNT {
                // It may be the last that goes, or one that another stands in for.
                TRANSIT => wait(&mut spins),
                count => return count != 0 && seen >> COUNT_BITS == generation,
            }
        }
    }

    #[inline]
    fn swap(&self, from: u64, to: u64, success: Ordering) -> bool {
        self.0.compare_exchange(from, to, success, Ordering::Relaxed).is_ok()
    }
}

/// Spins at first, then lets the other thread run.
fn wait(spins: &mut u32) {
    *spins += 1;
    if cfg!(rustyray_loom) || *spins > 64 {
        pause();
    } else {
        spin_loop();
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_and_the_last_touch_the_shared_bit() {
        let entry = Entry::default();
        let mut updates = 0;
        for _ in 0..3 {
            let first = || {
                updates += 1;
                Ok::<(), ()>(())
            };
            assert_eq!(entry.acquire(5, first), Ok(()));
        }
        assert_eq!(updates, 1);
        assert_eq!(entry.release(5, || ()), None);
        assert_eq!(entry.release(5, || ()), None);
        assert_eq!(entry.release(5, || "last"), Some("last"));
        assert_eq!(entry.release(5, || ()), None);
    }

    #[test]
    fn the_short_ways_are_for_those_in_the_middle_only() {
        let of =
            |generation: u64, count: u64| Entry(AtomicU64::new(generation << COUNT_BITS | count));
        for (count, again, one_of_many) in [
            (0, false, false),
            (1, true, false),
            (2, true, true),
            (LAST_COUNT - 1, true, true),
            (LAST_COUNT, false, false),
            (TRANSIT, false, false),
            (STICKY, false, false),
        ] {
            assert_eq!(of(5, count).acquire_again(5), again, "a count of {count}");
            assert_eq!(of(5, count).release_one_of_many(5), one_of_many, "a count of {count}");
            assert_eq!(of(5, count).is_counted(5), again, "a count of {count}");
            for other in [0, 4, 6, (1 << 40) - 1] {
                assert!(!of(other, count).acquire_again(5), "{count} of generation {other}");
                assert!(!of(other, count).release_one_of_many(5), "{count} of generation {other}");
                assert!(!of(other, count).is_counted(5), "{count} of generation {other}");
            }
        }
        let entry = of(5, 1);
        assert!(entry.acquire_again(5) && entry.count(5) == 2);
        assert!(entry.release_one_of_many(5) && entry.count(5) == 1);
    }

    #[test]
    fn a_refusal_leaves_nothing_behind() {
        let entry = Entry::default();
        assert_eq!(entry.acquire(5, || Err("gone")), Err(NotAcquired::Refused("gone")));
        assert!(!entry.is_held(5));
        assert_eq!(entry.acquire(6, || Ok::<(), ()>(())), Ok(()));
        assert_eq!(entry.acquire(5, || Ok::<(), ()>(())), Err(NotAcquired::OtherGeneration));
    }

    #[test]
    fn a_count_that_would_overflow_sticks() {
        let entry = Entry(AtomicU64::new(5 << COUNT_BITS | LAST_COUNT));
        assert_eq!(entry.acquire(5, || Ok::<(), ()>(())), Ok(()));
        assert_eq!(entry.acquire(5, || Ok::<(), ()>(())), Ok(()));
        assert_eq!(entry.release(5, || ()), None);
        assert!(entry.is_held(5));
    }
}
