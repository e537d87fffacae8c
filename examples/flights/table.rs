//! The rows as text, and how two computations of them differ.

use std::fmt::Write;

use crate::columns::{By, Flights};
use crate::summary::{Summary, Tally};

/// The table as lines of text, with a last line for all flights.
pub(crate) fn text(flights: &Flights, by: By, rows: &[(u16, Summary)], total: &Tally) -> String {
    let mut text = String::new();
    let group = match by {
        By::Carrier => "carrier",
        By::Month => "month",
    };
    line(
        &mut text,
        [
            group,
            "flights",
            "dep. delay",
            "arr. delay",
            "95% interval",
            "cancelled",
            "distance",
            "speed",
        ]
        .map(String::from),
    );
    line(&mut text, ["", "", "min", "min", "min", "%", "miles", "mph"].map(String::from));
    for (group, summary) in rows {
        line(&mut text, cells(by.name(*group, flights), summary));
    }
    line(&mut text, cells("all", &Summary { tally: *total, arrival_interval: None }));
    text
}

fn cells(name: &str, summary: &Summary) -> [String; 8] {
    let tally = &summary.tally;
    let cancelled = tally.flights - tally.departed;
    let interval = summary.arrival_interval.and_then(|interval| {
        let low = mean(interval.low_minutes, tally.arrived)?;
        let high = mean(interval.high_minutes, tally.arrived)?;
        Some(format!("{low:.2} – {high:.2}"))
    });
    [
        name.into(),
        tally.flights.to_string(),
        number(mean(tally.dep_delay_minutes, tally.departed), 2),
        number(mean(tally.arr_delay_minutes, tally.arrived), 2),
        interval.unwrap_or_else(|| "–".into()),
        number(mean(100 * cancelled as i64, tally.flights), 2),
        number(mean(tally.distance_miles, tally.flights), 0),
        number(mean(60 * tally.timed_miles, tally.air_time_minutes as u64), 0),
    ]
}

fn line(text: &mut String, cells: [String; 8]) {
    let [group, flights, dep_delay, arr_delay, interval, cancelled, distance, speed] = cells;
    writeln!(
        text,
        "{group:<8}{flights:>9}{dep_delay:>12}{arr_delay:>12}{interval:>18}{cancelled:>11}{distance:>10}{speed:>7}"
    )
    .expect("writing to a string does not fail");
}

fn mean(sum: i64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum as f64 / count as f64)
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.decimals$}"))
}

/// One sentence for each group on which the two computations do not agree.
pub(crate) fn differences(
    ours: &[(u16, Summary)],
    checked: &[(u16, Summary)],
    name: impl Fn(u16) -> String,
) -> Vec<String> {
    let find =
        |rows: &[(u16, Summary)], group| rows.iter().find(|row| row.0 == group).map(|row| row.1);
    let mut groups: Vec<u16> = ours.iter().chain(checked).map(|row| row.0).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
        .into_iter()
        .filter_map(|group| match (find(ours, group), find(checked, group)) {
            (Some(one), Some(other)) if one == other => None,
            (Some(one), Some(other)) => {
                Some(format!("{}: the tasks found {one:?}, one thread {other:?}", name(group)))
            }
            (Some(_), None) => Some(format!("{}: only the tasks found it", name(group))),
            _ => Some(format!("{}: only one thread found it", name(group))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::Interval;

    fn ten() -> Summary {
        Summary {
            tally: Tally {
                flights: 10,
                departed: 8,
                dep_delay_minutes: 20,
                arrived: 4,
                arr_delay_minutes: -6,
                distance_miles: 5000,
                timed: 4,
                timed_miles: 2000,
                air_time_minutes: 300,
            },
            arrival_interval: Some(Interval { low_minutes: -8, high_minutes: -4 }),
        }
    }

    #[test]
    fn a_row_has_means_and_shares() {
        assert_eq!(
            cells("UA", &ten()),
            ["UA", "10", "2.50", "-1.50", "-2.00 – -1.00", "20.00", "500", "400"]
        );
    }

    #[test]
    fn what_cannot_be_known_is_a_dash() {
        let tally = Tally { flights: 2, distance_miles: 900, ..Tally::default() };
        let summary = Summary { tally, arrival_interval: None };
        assert_eq!(cells("UA", &summary), ["UA", "2", "–", "–", "–", "100.00", "450", "–"]);
    }

    #[test]
    fn columns_line_up() {
        let flights = Flights { carriers: vec!["UA".into()], ..Flights::default() };
        let text = text(&flights, By::Carrier, &[(0, ten())], &ten().tally);
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), 4);
        assert!(widths.iter().all(|&width| width == widths[0]), "{text}");
    }

    #[test]
    fn differences_name_the_group() {
        let name = |group: u16| format!("group {group}");
        let mut other = ten();
        assert_eq!(differences(&[(1, ten())], &[(1, other)], name), [""; 0]);
        other.tally.flights += 1;
        let found = differences(&[(1, ten()), (2, ten())], &[(1, other), (3, ten())], name);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("group 1: the tasks found"), "{found:?}");
        assert_eq!(
            found[1..],
            ["group 2: only the tasks found it", "group 3: only one thread found it"]
        );
    }
}
