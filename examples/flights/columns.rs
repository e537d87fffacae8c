//! The flights as columns: what is put into the object store once and read by every task.
//!
//! A [`Flights`] is built from a file and archived by rkyv. Tasks never build one: they read the
//! archived columns where they lie, through [`ArchivedFlights::flight`].

use clap::ValueEnum;
use rkyv::{Archive, Deserialize, Serialize};

/// Stands in a column of numbers for "did not happen" (`NA` in the file).
pub(crate) const ABSENT: i32 = i32::MIN;

/// Every flight of a file, one vector per column, all of the same length.
#[derive(Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub(crate) struct Flights {
    /// The airlines' codes, sorted; [`Flights::carrier`] has indexes into this.
    pub(crate) carriers: Vec<String>,
    pub(crate) carrier: Vec<u16>,
    /// 1 to 12.
    pub(crate) month: Vec<u8>,
    /// In minutes, [`ABSENT`] when the flight was cancelled.
    pub(crate) dep_delay: Vec<i32>,
    /// In minutes, [`ABSENT`] when the flight did not arrive where it should have.
    pub(crate) arr_delay: Vec<i32>,
    /// In minutes, or [`ABSENT`].
    pub(crate) air_time: Vec<i32>,
    /// In miles.
    pub(crate) distance: Vec<i32>,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flight {
    pub(crate) carrier: u16,
    pub(crate) month: u8,
    pub(crate) dep_delay_minutes: Option<i32>,
    pub(crate) arr_delay_minutes: Option<i32>,
    pub(crate) air_time_minutes: Option<i32>,
    pub(crate) distance_miles: i32,
}

fn present(value: i32) -> Option<i32> {
    (value != ABSENT).then_some(value)
}

impl Flights {
    pub(crate) fn len(&self) -> usize {
        self.month.len()
    }

    pub(crate) fn flight(&self, row: usize) -> Flight {
        Flight {
            carrier: self.carrier[row],
            month: self.month[row],
            dep_delay_minutes: present(self.dep_delay[row]),
            arr_delay_minutes: present(self.arr_delay[row]),
            air_time_minutes: present(self.air_time[row]),
            distance_miles: self.distance[row],
        }
    }
}

impl ArchivedFlights {
    pub(crate) fn len(&self) -> usize {
        self.month.len()
    }

    pub(crate) fn flight(&self, row: usize) -> Flight {
        Flight {
            carrier: self.carrier[row].to_native(),
            month: self.month[row],
            dep_delay_minutes: present(self.dep_delay[row].to_native()),
            arr_delay_minutes: present(self.arr_delay[row].to_native()),
            air_time_minutes: present(self.air_time[row].to_native()),
            distance_miles: self.distance[row].to_native(),
        }
    }
}

/// What the flights are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Archive, Serialize, Deserialize)]
pub(crate) enum By {
    /// The airline that operated the flight.
    Carrier,
    /// The month of departure.
    Month,
}

impl By {
    /// The group that a flight belongs to: an index among carriers, or the month's number.
    pub(crate) fn group(self, flight: &Flight) -> u16 {
        match self {
            By::Carrier => flight.carrier,
            By::Month => u16::from(flight.month),
        }
    }

    /// The groups that occur, in the order of the table.
    pub(crate) fn groups(self, flights: &Flights) -> Vec<u16> {
        match self {
            By::Carrier => (0..).take(flights.carriers.len()).collect(),
            By::Month => {
                let mut occurs = [false; 13];
                flights.month.iter().for_each(|&month| occurs[usize::from(month)] = true);
                (1..=12).filter(|&month| occurs[usize::from(month)]).collect()
            }
        }
    }

    /// What the table calls a group.
    pub(crate) fn name(self, group: u16, flights: &Flights) -> &str {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        match self {
            By::Carrier => &flights.carriers[usize::from(group)],
            By::Month => MONTHS[usize::from(group) - 1],
        }
    }
}
