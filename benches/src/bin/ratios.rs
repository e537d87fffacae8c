//! Copies the ratios of benches/RESULTS.md into the README: `ratios RESULTS README`, which `benches/results` calls
//! last. What stands between the two marks in the README is written anew; nothing there is written by hand.

use std::{env, fs, process::ExitCode};

const BEGIN: &str = "<!-- ratios: written by benches/results -->";
const END: &str = "<!-- end of ratios -->";

/// The section of the results that has the rows.
const SECTION: &str = "## The rows of `ray microbenchmark`";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [results, readme] = arguments.as_slice() else {
        eprintln!("usage: ratios RESULTS README");
        return ExitCode::from(2);
    };
    let read = |path: &String| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let written = read(results)
        .and_then(|results| insert(&read(readme)?, &table(&results)?))
        .and_then(|text| fs::write(readme, text).map_err(|error| format!("{readme}: {error}")));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The cells of a row of a table.
fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// What the README shows of the results: each row, how often a second, and how many times Ray that is, measured
/// here where Ray ran here, else as it was measured on a machine of this kind.
fn table(results: &str) -> Result<String, String> {
    let section = results.split_once(SECTION).ok_or("the results have no rows")?.1;
    let section = section.split("\n## ").next().unwrap_or(section);
    let mut lines = section.lines().filter(|line| line.starts_with('|'));
    let head = cells(lines.next().ok_or("the rows have no table")?);
    let column = |name: &str| head.iter().position(|cell| *cell == name);
    let (row, own) = (column("row"), column("RustyRay"));
    let (Some(row), Some(own)) = (row, own) else {
        return Err(format!("the table of the rows has the columns {}", head.join(", ")));
    };
    let ray = column("Ray here").or_else(|| column("Ray, 2 cores"));
    let ray = ray.ok_or("the table of the rows does not compare with Ray")?;
    let beside =
        if head[ray] == "Ray here" { "on this machine" } else { "on a machine of this kind" };
    let mut table =
        format!("| a second | RustyRay | times Ray, {beside} |\n| --- | ---: | ---: |\n");
    let mut rows = 0;
    for line in lines.skip(1) {
        let cells = cells(line);
        // A row that was not measured says why in two cells.
        let (Some(name), Some(own), Some(ray)) = (cells.get(row), cells.get(own), cells.get(ray))
        else {
            continue;
        };
        let (mean, unit) = own.split_once(" ± ").map_or((*own, ""), |(mean, deviation)| {
            (mean, if deviation.ends_with("GB") { " GB" } else { "" })
        });
        let times = ray.split('×').next().unwrap_or(ray).trim_start_matches("**");
        if times.is_empty() {
            return Err(format!("`{name}` does not say how many times Ray it is"));
        }
        table += &format!("| {name} | {mean}{unit} | {times}× |\n");
        rows += 1;
    }
    if rows == 0 { Err("no row was measured".to_owned()) } else { Ok(table) }
}

/// The README with `table` between its marks.
fn insert(readme: &str, table: &str) -> Result<String, String> {
    let missing = || format!("the README has no `{BEGIN}` with `{END}` after it");
    let (before, rest) = readme.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULTS: &str = "# Results\n\n## The rows of `ray microbenchmark`\n\nText.\n\n\
        | row | RustyRay | p50 | p99 | Ray here | Ray, 2 cores | Ray, 64 cores | takes |\n\
        | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n\
        | single client tasks async | 1,234,567 ± 8,900 | 0.8 µs | 2 µs | **1,800×** (686) | 2,001× | 154× | 3.1× ring |\n\
        | placement group create/removal | not measured: no room |\n\
        | single client put gigabytes | 9.10 ± 0.20 GB | 80 ms | 90 ms | **11.8×** (0.77) | 11.8× | 0.46× | 1.2× memcpy |\n\n\
        ## What this machine allows\n\n| | |\n| --- | ---: |\n| memcpy | 12 GB/s |\n";

    #[test]
    fn the_ratios_are_those_of_the_results() {
        let table = table(RESULTS).expect("well formed");
        let wanted = "| a second | RustyRay | times Ray, on this machine |\n| --- | ---: | ---: |\n\
            | single client tasks async | 1,234,567 | 1,800× |\n\
            | single client put gigabytes | 9.10 GB | 11.8× |\n";
        assert_eq!(table, wanted);
    }

    #[test]
    fn without_ray_here_the_comparison_says_so() {
        let results = RESULTS.replace(" Ray here |", "").replace(" **1,800×** (686) |", "");
        let results = results.replace(" **11.8×** (0.77) |", "");
        let table = table(&results).expect("well formed");
        assert!(
            table.starts_with("| a second | RustyRay | times Ray, on a machine of this kind |")
        );
        assert!(table.contains("| single client tasks async | 1,234,567 | 2,001× |"), "{table}");
    }

    #[test]
    fn what_is_between_the_marks_is_written_anew() {
        let readme = format!("# Title\n\n{BEGIN}\n\nold\n\n{END}\n\n## Next\n");
        let once = insert(&readme, "| new |\n").expect("marked");
        assert_eq!(once, format!("# Title\n\n{BEGIN}\n\n| new |\n\n{END}\n\n## Next\n"));
        assert_eq!(insert(&once, "| new |\n").expect("marked"), once);
        assert!(insert("# Title\n", "| new |\n").is_err());
    }

    #[test]
    fn results_without_figures_are_refused() {
        assert!(table("# Results\n").is_err());
        let head = RESULTS.lines().take(8).collect::<Vec<_>>().join("\n");
        assert!(table(&head).expect_err("no rows").contains("no row was measured"));
    }

    #[test]
    fn the_readme_has_its_place() {
        let readme = include_str!("../../../README.md");
        assert!(insert(readme, "| x |\n").is_ok(), "the marks are gone");
    }
}
