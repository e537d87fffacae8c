//! What is computed about a group of flights, and the computation.
//!
//! All of it is integer arithmetic, so the result does not depend on the order in which parts are
//! added up, and two ways of computing it can be compared exactly.

use rkyv::{Archive, Deserialize, Serialize};

use crate::columns::{ArchivedFlights, By, Flight, Flights};

/// Sums over some flights. The tallies of two sets of flights add up to the tally of both.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) flights: u64,
    pub(crate) departed: u64,
    pub(crate) dep_delay_minutes: i64,
    pub(crate) arrived: u64,
    pub(crate) arr_delay_minutes: i64,
    pub(crate) distance_miles: i64,
    /// Flights whose time in the air is known, and the miles that they flew in it.
    pub(crate) timed: u64,
    pub(crate) timed_miles: i64,
    pub(crate) air_time_minutes: i64,
}

impl Tally {
    fn add(&mut self, flight: &Flight) {
        self.flights += 1;
        self.distance_miles += i64::from(flight.distance_miles);
        if let Some(minutes) = flight.dep_delay_minutes {
            self.departed += 1;
            self.dep_delay_minutes += i64::from(minutes);
        }
        if let Some(minutes) = flight.arr_delay_minutes {
            self.arrived += 1;
            self.arr_delay_minutes += i64::from(minutes);
        }
        if let Some(minutes) = flight.air_time_minutes {
            self.timed += 1;
            self.timed_miles += i64::from(flight.distance_miles);
            self.air_time_minutes += i64::from(minutes);
        }
    }

    pub(crate) fn merge(&mut self, other: &Tally) {
        self.flights += other.flights;
        self.departed += other.departed;
        self.dep_delay_minutes += other.dep_delay_minutes;
        self.arrived += other.arrived;
        self.arr_delay_minutes += other.arr_delay_minutes;
        self.distance_miles += other.distance_miles;
        self.timed += other.timed;
        self.timed_miles += other.timed_miles;
        self.air_time_minutes += other.air_time_minutes;
    }
}

/// Between which sums of arrival delays 95% of the resampled sums lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct Interval {
    pub(crate) low_minutes: i64,
    pub(crate) high_minutes: i64,
}

/// One row of the table.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) tally: Tally,
    /// Absent when no flight arrived, or no resampling was asked for.
    pub(crate) arrival_interval: Option<Interval>,
}

/// Summarises one group, reading the columns where they lie in shared memory.
pub(crate) fn of_group(flights: &ArchivedFlights, by: By, group: u16, resamples: u32) -> Summary {
    let mut tally = Tally::default();
    let mut delays = Vec::new();
    for flight in (0..flights.len()).map(|row| flights.flight(row)) {
        if by.group(&flight) == group {
            tally.add(&flight);
            delays.extend(flight.arr_delay_minutes);
        }
    }
    Summary { tally, arrival_interval: bootstrap(&delays, u64::from(group), resamples) }
}

/// The same for every group at once, in one pass over plain vectors on one thread.
pub(crate) fn of_all(flights: &Flights, by: By, resamples: u32) -> Vec<(u16, Summary)> {
    let mut groups: Vec<(Tally, Vec<i32>)> = Vec::new();
    for flight in (0..flights.len()).map(|row| flights.flight(row)) {
        let group = usize::from(by.group(&flight));
        if group >= groups.len() {
            groups.resize_with(group + 1, Default::default);
        }
        let (tally, delays) = &mut groups[group];
        tally.add(&flight);
        delays.extend(flight.arr_delay_minutes);
    }
    let of = |group: u16, (tally, delays): (Tally, Vec<i32>)| Summary {
        tally,
        arrival_interval: bootstrap(&delays, u64::from(group), resamples),
    };
    (0..)
        .zip(groups)
        .filter(|(_, (tally, _))| tally.flights > 0)
        .map(|(group, parts)| (group, of(group, parts)))
        .collect()
}

/// The bootstrap's 95% interval: draws as many delays as there are, with replacement, `resamples`
/// times over, and leaves out the lowest and highest 2.5% of the sums. The same seed gives the same
/// interval.
fn bootstrap(delays: &[i32], seed: u64, resamples: u32) -> Option<Interval> {
    if delays.is_empty() || resamples == 0 {
        return None;
    }
    let mut random = SplitMix64(seed);
    let mut sums: Vec<i64> = (0..resamples)
        .map(|_| {
            (0..delays.len()).map(|_| i64::from(delays[random.below(delays.len())])).sum::<i64>()
        })
        .collect();
    sums.sort_unstable();
    let left_out = sums.len() / 40;
    Some(Interval { low_minutes: sums[left_out], high_minutes: sums[sums.len() - 1 - left_out] })
}

/// Steele, Lea and Flood's generator: 64 bits of state, and good enough to draw rows with.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::ABSENT;

    /// Four flights of two carriers in two months; the third was cancelled, the fourth diverted.
    fn four() -> Flights {
        Flights {
            carriers: vec!["AA".into(), "UA".into()],
            carrier: vec![1, 0, 1, 0],
            month: vec![1, 1, 2, 2],
            dep_delay: vec![2, -4, ABSENT, 10],
            arr_delay: vec![11, -20, ABSENT, ABSENT],
            air_time: vec![227, 100, ABSENT, ABSENT],
            distance: vec![1400, 700, 500, 300],
        }
    }

    fn archived(flights: &Flights) -> rkyv::util::AlignedVec {
        rkyv::to_bytes::<rkyv::rancor::Error>(flights).unwrap()
    }

    #[test]
    fn tallies_leave_out_what_did_not_happen() {
        let rows = of_all(&four(), By::Carrier, 0);
        let aa = Tally {
            flights: 2,
            departed: 2,
            dep_delay_minutes: 6,
            arrived: 1,
            arr_delay_minutes: -20,
            distance_miles: 1000,
            timed: 1,
            timed_miles: 700,
            air_time_minutes: 100,
        };
        let ua = Tally {
            flights: 2,
            departed: 1,
            dep_delay_minutes: 2,
            arrived: 1,
            arr_delay_minutes: 11,
            distance_miles: 1900,
            timed: 1,
            timed_miles: 1400,
            air_time_minutes: 227,
        };
        let summary = |tally| Summary { tally, arrival_interval: None };
        assert_eq!(rows, [(0, summary(aa)), (1, summary(ua))]);
    }

    #[test]
    fn both_ways_agree_for_every_grouping() {
        let flights = four();
        let bytes = archived(&flights);
        let view = rkyv::access::<ArchivedFlights, rkyv::rancor::Error>(&bytes).unwrap();
        for by in [By::Carrier, By::Month] {
            let rows = of_all(&flights, by, 50);
            assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), by.groups(&flights));
            for (group, summary) in rows {
                assert_eq!(of_group(view, by, group, 50), summary);
            }
        }
    }

    #[test]
    fn groups_that_do_not_occur_have_no_row() {
        let mut flights = four();
        flights.month = vec![3, 3, 12, 12];
        assert_eq!(By::Month.groups(&flights), [3, 12]);
        let rows = of_all(&flights, By::Month, 0);
        assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [3, 12]);
    }

    #[test]
    fn merged_tallies_are_the_tally_of_the_whole() {
        let flights = four();
        let mut by_month = Tally::default();
        of_all(&flights, By::Month, 0).iter().for_each(|(_, row)| by_month.merge(&row.tally));
        let mut by_carrier = Tally::default();
        of_all(&flights, By::Carrier, 0).iter().for_each(|(_, row)| by_carrier.merge(&row.tally));
        assert_eq!(by_month, by_carrier);
        assert_eq!(by_month.flights, 4);
    }

    #[test]
    fn an_interval_lies_around_the_sum_and_within_the_possible() {
        let delays: Vec<i32> = (0..1000).map(|n| n % 100).collect();
        let sum: i64 = delays.iter().map(|&delay| i64::from(delay)).sum();
        let interval = bootstrap(&delays, 7, 400).unwrap();
        assert!(interval.low_minutes < sum && sum < interval.high_minutes, "{interval:?}");
        assert!(interval.low_minutes > 0 && interval.high_minutes < 99 * 1000, "{interval:?}");
        assert_eq!(bootstrap(&delays, 7, 400), Some(interval));
        assert_ne!(bootstrap(&delays, 8, 400), Some(interval));
    }

    #[test]
    fn equal_delays_leave_nothing_uncertain() {
        let expected = Some(Interval { low_minutes: 15, high_minutes: 15 });
        assert_eq!(bootstrap(&[5, 5, 5], 0, 10), expected);
        assert_eq!(bootstrap(&[5, 5, 5], 0, 1), expected);
        assert_eq!(bootstrap(&[], 0, 10), None);
    }
}
