//! How long tasks run: an average for each sort of task, of which the latest count most.
//!
//! The table has a fixed size. Two sorts that share a place share an estimate, which makes it a worse one and
//! nothing else.

const PLACES: usize = 1024;

/// How many times the average one counts for at most.
const FAR: u32 = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Estimates {
    /// Nanoseconds; zero = unknown.
    average_ns: Box<[u32]>,
}

impl Default for Estimates {
    fn default() -> Self {
        Estimates { average_ns: vec![0; PLACES].into() }
    }
}

/// The place for tasks of this number.
#[inline]
pub(crate) fn place(alike: u64) -> u16 {
    (alike.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as u16
}

impl Estimates {
    /// How long such a task is expected to run, if some have.
    #[inline]
    pub(super) fn expected_ns(&self, place: u16) -> Option<u32> {
        Some(self.average_ns[usize::from(place)]).filter(|&average| average > 0)
    }

    /// One ran that long.
    #[inline]
    pub(super) fn learn(&mut self, place: u16, ran_ns: u64) {
        let average = &mut self.average_ns[usize::from(place)];
        let ran = u32::try_from(ran_ns).unwrap_or(u32::MAX).max(1);
        *average = match *average {
            0 => ran,
            // A quarter of the way, and not far for one that lost its core meanwhile. A sort that has become slow
            // is forgotten by a review.
            known => {
                let ran = ran.min(known.saturating_mul(FAR));
                (known - known / 4).saturating_add(ran / 4).max(1)
            }
        };
    }

    /// What was thought of it is wrong.
    pub(super) fn forget(&mut self, place: u16) {
        self.average_ns[usize::from(place)] = 0;
    }
}

#[cfg(all(test, not(rustyray_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_follows_what_was_seen() {
        let mut estimates = Estimates::default();
        let at = place(77);
        assert_eq!(estimates.expected_ns(at), None);
        estimates.learn(at, 1000);
        assert_eq!(estimates.expected_ns(at), Some(1000));
        for _ in 0..40 {
            estimates.learn(at, 5000);
        }
        let now = estimates.expected_ns(at).expect("known");
        assert!((4000..=5000).contains(&now), "{now}");
        estimates.learn(at, u64::MAX);
        let now = estimates.expected_ns(at).expect("known");
        assert!((10_000..15_000).contains(&now), "{now}: one alone is not believed");
        (0..20).for_each(|_| estimates.learn(at, u64::MAX));
        assert!(estimates.expected_ns(at).expect("known") > 1_000_000_000);
        estimates.forget(at);
        assert_eq!(estimates.expected_ns(at), None);
        assert!((0..10_000).all(|alike| usize::from(place(alike)) < PLACES));
    }
}
