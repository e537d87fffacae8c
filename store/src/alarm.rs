//! How a client sleeps until something that it waits for has settled: a count of alarms and a count of
//! sleepers, per client, in shared memory.
//!
//! ```text
//! sleeper:  sleepers += 1;  note the alarms;  subscribe to each object (bit, fence, look)
//!           none has settled → sleep while the alarms are as noted;  sleepers -= 1
//! sealer:   state ← sealed;  fence;  read the waiters → alarms += 1;  fence;  sleepers ≠ 0 → wake
//! ```
//! *No sealed object is slept through.* Either the sleeper's look after its bit sees the seal, or the sealer
//! reads the bit (see `Slot::subscribe`) and counts an alarm. If that comes after the note, the kernel
//! compares and does not sleep, or the wake finds the sleeper. If it comes before (the bit was there from an
//! earlier wait), the note's Acquire makes the seal visible to the look that follows.
//!
//! *No sleeper is missed.* The sealer fences between the alarm and its look at the sleepers, the sleeper
//! between entering the count and the kernel's look at the alarms: one of them sees the other.
//!
//! A sleeper that is killed leaves a count that is too high: one needless system call for each alarm, until
//! the number is given to another process.

use std::time::Duration;

use rustyray_memory::{
    Memory, futex,
    sync::{AtomicU64, Ordering, fence},
};

const ALARMS: usize = 0;
const SLEEPERS: usize = 1;

/// Words of one alarm.
pub(crate) const ALARM_WORDS: usize = 2;

/// One client's alarm.
#[derive(Debug)]
pub(crate) struct Alarm<'a> {
    alarms: &'a AtomicU64,
    sleepers: &'a AtomicU64,
}

/// A thread that is about to sleep.
#[derive(Debug)]
pub(crate) struct Drowsy<'a> {
    alarm: Alarm<'a>,
    noted: u64,
}

impl<'a> Alarm<'a> {
    /// The alarm whose words begin at `base`.
    pub(crate) fn new(memory: &'a impl Memory, base: usize) -> Self {
        Alarm { alarms: memory.word(base + ALARMS), sleepers: memory.word(base + SLEEPERS) }
    }

    /// Something that the client waits for has settled.
    pub(crate) fn ring(&self) {
        // Release: pairs with the Acquire of a sleeper's note.
        self.alarms.fetch_add(1, Ordering::AcqRel);
        // SeqCst: against a sleeper, see the module.
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) != 0 {
            futex::wake_all(self.alarms);
        }
    }

    /// Announces a sleeper, which then looks once more at everything it waits for.
    pub(crate) fn doze(self) -> Drowsy<'a> {
        self.sleepers.fetch_add(1, Ordering::AcqRel);
        // SeqCst: against whoever rings, see the module.
        fence(Ordering::SeqCst);
        let noted = self.alarms.load(Ordering::Acquire);
        Drowsy { alarm: self, noted }
    }

    /// The number is given to another process: nobody of it sleeps.
    pub(crate) fn reset(&self) {
        self.sleepers.store(0, Ordering::Relaxed);
    }
}

impl Drowsy<'_> {
    /// Sleeps until the next alarm, for at most `timeout`; at times for no reason at all.
    pub(crate) fn sleep(self, timeout: Option<Duration>) {
        let _ = futex::wait(self.alarm.alarms, self.noted as u32, timeout);
    }
}

impl Drop for Drowsy<'_> {
    fn drop(&mut self) {
        self.alarm.sleepers.fetch_sub(1, Ordering::AcqRel);
    }
}
