//! From a file to columns. Every way in which a file can be unusable is an [`InputError`] that says
//! where.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use csv::ByteRecord;

use crate::columns::{ABSENT, Flights};

const COLUMNS: [&str; 6] = ["month", "dep_delay", "arr_delay", "carrier", "air_time", "distance"];

/// How much of a strange file an error repeats.
const COLUMNS_SHOWN: usize = 40;
const CHARACTERS_SHOWN: usize = 40;

#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("cannot open {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is empty; it should begin with a header such as\n  {}", path.display(), COLUMNS.join(","))]
    Empty { path: PathBuf },
    #[error("{} has a header and no flights", path.display())]
    NoFlights { path: PathBuf },
    #[error("{} has no column `{column}`; its columns are {}", path.display(), found.join(", "))]
    MissingColumn { path: PathBuf, column: &'static str, found: Vec<String> },
    #[error("{}, line {line}: {fields} fields where the header has {expected}", path.display())]
    Ragged { path: PathBuf, line: u64, fields: u64, expected: u64 },
    #[error("{}, line {line}, column `{column}`: \"{text}\" is not {expected}", path.display())]
    Value { path: PathBuf, line: u64, column: &'static str, text: String, expected: &'static str },
    #[error("{}, line {line}: more than 65,535 different carriers", path.display())]
    TooManyCarriers { path: PathBuf, line: u64 },
}

/// Reads a CSV file, which may be compressed by gzip or zstd.
///
/// The columns of [`COLUMNS`] are found by the header's names; others are ignored.
pub(crate) fn read(path: &Path) -> Result<Flights, InputError> {
    let file = File::open(path).map_err(|source| InputError::Open { path: path.into(), source })?;
    let text =
        decompressed(file).map_err(|source| InputError::Read { path: path.into(), source })?;
    parse(text, path)
}

/// Undoes the compression that the file's first bytes announce.
fn decompressed(file: File) -> io::Result<Box<dyn Read>> {
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut start = Vec::with_capacity(4);
    file.by_ref().take(4).read_to_end(&mut start)?;
    let whole = io::Cursor::new(start.clone()).chain(file);
    Ok(match start[..] {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            Box::new(ruzstd::decoding::StreamingDecoder::new(whole).map_err(io::Error::other)?)
        }
        _ => Box::new(whole),
    })
}

fn parse(text: impl Read, path: &Path) -> Result<Flights, InputError> {
    let mut rows = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    let header = rows.byte_headers().map_err(|error| unreadable(error, path))?;
    if header.iter().all(<[u8]>::is_empty) {
        return Err(InputError::Empty { path: path.into() });
    }
    let places = COLUMNS.map(|column| header.iter().position(|name| name == column.as_bytes()));
    if let Some(missing) = places.iter().position(Option::is_none) {
        let found = header.iter().take(COLUMNS_SHOWN).map(shown).collect();
        return Err(InputError::MissingColumn {
            path: path.into(),
            column: COLUMNS[missing],
            found,
        });
    }
    let places = places.map(|place| place.expect("a missing one has been reported"));

    let mut flights = Flights::default();
    let mut carriers = Carriers::default();
    let mut record = ByteRecord::new();
    while rows.read_byte_record(&mut record).map_err(|error| unreadable(error, path))? {
        let row = Row { record: &record, places: &places, path };
        flights.month.push(row.month()?);
        flights.dep_delay.push(row.number(1)?.unwrap_or(ABSENT));
        flights.arr_delay.push(row.number(2)?.unwrap_or(ABSENT));
        flights.carrier.push(
            carriers.index(row.carrier()?).ok_or_else(|| InputError::TooManyCarriers {
                path: path.into(),
                line: row.line(),
            })?,
        );
        flights.air_time.push(row.number(4)?.unwrap_or(ABSENT));
        flights.distance.push(row.number(5)?.ok_or_else(|| row.wrong(5, "a whole number"))?);
    }
    if flights.len() == 0 {
        return Err(InputError::NoFlights { path: path.into() });
    }
    flights.carriers = carriers.sort(&mut flights.carrier);
    Ok(flights)
}

/// The carriers met so far, each with the index that it was given.
#[derive(Default)]
struct Carriers {
    indexes: HashMap<String, u16>,
}

impl Carriers {
    /// The carrier's index, a new one for a new carrier; `None` when there are too many.
    fn index(&mut self, name: &str) -> Option<u16> {
        if let Some(&index) = self.indexes.get(name) {
            return Some(index);
        }
        let index = u16::try_from(self.indexes.len()).ok().filter(|&index| index < u16::MAX)?;
        self.indexes.insert(name.into(), index);
        Some(index)
    }

    /// The names in alphabetical order; `column` is changed to match.
    fn sort(self, column: &mut [u16]) -> Vec<String> {
        let mut names: Vec<(String, u16)> = self.indexes.into_iter().collect();
        names.sort_unstable();
        let mut place = vec![0; names.len()];
        for (new, (_, old)) in (0..).zip(&names) {
            place[usize::from(*old)] = new;
        }
        column.iter_mut().for_each(|index| *index = place[usize::from(*index)]);
        names.into_iter().map(|(name, _)| name).collect()
    }
}

/// One row of the file; fields are named by their index in [`COLUMNS`].
struct Row<'a> {
    record: &'a ByteRecord,
    places: &'a [usize; COLUMNS.len()],
    path: &'a Path,
}

impl Row<'_> {
    fn field(&self, column: usize) -> &[u8] {
        &self.record[self.places[column]]
    }

    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    fn wrong(&self, column: usize, expected: &'static str) -> InputError {
        InputError::Value {
            path: self.path.into(),
            line: self.line(),
            column: COLUMNS[column],
            text: shown(self.field(column)),
            expected,
        }
    }

    fn month(&self) -> Result<u8, InputError> {
        self.number(0)?
            .and_then(|month| u8::try_from(month).ok())
            .filter(|month| (1..=12).contains(month))
            .ok_or_else(|| self.wrong(0, "a month from 1 to 12"))
    }

    fn carrier(&self) -> Result<&str, InputError> {
        std::str::from_utf8(self.field(3))
            .ok()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| self.wrong(3, "an airline's code"))
    }

    /// A whole number, also written with a fraction of zero ("2.0", as pandas does); `None` for
    /// `NA` or nothing.
    fn number(&self, column: usize) -> Result<Option<i32>, InputError> {
        let field = self.field(column);
        if field.is_empty() || field == b"NA" {
            return Ok(None);
        }
        std::str::from_utf8(field)
            .ok()
            .and_then(|text| {
                let whole = match text.split_once('.') {
                    Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
                    _ => text,
                };
                whole.parse().ok().filter(|&number| number != ABSENT)
            })
            .map(Some)
            .ok_or_else(|| self.wrong(column, "a whole number or NA"))
    }
}

/// A field as an error may show it, whatever bytes it has.
fn shown(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let mut shown: String =
        text.chars().take(CHARACTERS_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARACTERS_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn unreadable(error: csv::Error, path: &Path) -> InputError {
    let path = path.into();
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => InputError::Ragged {
            path,
            line: pos.as_ref().map_or(0, csv::Position::line),
            fields: *len,
            expected: *expected_len,
        },
        _ => InputError::Read { path, source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const HEADER: &str = "month,dep_delay,arr_delay,carrier,air_time,distance\n";

    fn parsed(text: &str) -> Result<Flights, String> {
        parse(text.as_bytes(), Path::new("f.csv")).map_err(|error| error.to_string())
    }

    fn refused(row: &str) -> String {
        parsed(&format!("{HEADER}1,2,11,UA,227,1400\n{row}\n")).unwrap_err()
    }

    #[test]
    fn columns_are_found_by_name_among_others() {
        let text = "year,carrier,distance,air_time,arr_delay,dep_delay,month\n\
                    2013,UA,1400,227,11,2,1\n\
                    2013,AA,733,NA,NA,NA,12\n\
                    2013,UA,1400,227.0,-3.0,,2\n";
        let expected = Flights {
            carriers: vec!["AA".into(), "UA".into()],
            carrier: vec![1, 0, 1],
            month: vec![1, 12, 2],
            dep_delay: vec![2, ABSENT, ABSENT],
            arr_delay: vec![11, ABSENT, -3],
            air_time: vec![227, ABSENT, 227],
            distance: vec![1400, 733, 1400],
        };
        assert_eq!(parsed(text), Ok(expected));
    }

    #[test]
    fn spaces_byte_order_mark_and_carriage_returns_do_not_matter() {
        let text = "\u{feff}month, dep_delay,arr_delay,carrier,air_time,distance\r\n 1 , 2,11,\"UA\",227,1400\r\n";
        assert_eq!(parsed(text), parsed(&format!("{HEADER}1,2,11,UA,227,1400")));
    }

    #[test]
    fn an_empty_file_and_a_file_without_flights_say_so() {
        let empty = parsed("").unwrap_err();
        assert!(
            empty.starts_with("f.csv is empty") && empty.contains("month,dep_delay"),
            "{empty}"
        );
        assert_eq!(parsed("\n\n").unwrap_err(), empty);
        assert_eq!(parsed(HEADER).unwrap_err(), "f.csv has a header and no flights");
    }

    #[test]
    fn a_missing_column_is_named_with_those_there_are() {
        let error = parsed("month,dep_delay,carrier\n1,2,UA\n").unwrap_err();
        let expected = "f.csv has no column `arr_delay`; its columns are month, dep_delay, carrier";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_bad_value_is_told_with_line_and_column() {
        for (row, expected) in [
            ("1,2,late,UA,227,1", r#"column `arr_delay`: "late" is not a whole number or NA"#),
            ("1,2.5,1,UA,227,1", r#"column `dep_delay`: "2.5" is not a whole number or NA"#),
            (
                "1,99999999999,1,UA,2,1",
                r#"column `dep_delay`: "99999999999" is not a whole number or NA"#,
            ),
            (
                "1,-2147483648,1,UA,2,1",
                r#"column `dep_delay`: "-2147483648" is not a whole number or NA"#,
            ),
            ("1,.,1,UA,2,1", r#"column `dep_delay`: "." is not a whole number or NA"#),
            ("13,2,1,UA,227,1", r#"column `month`: "13" is not a month from 1 to 12"#),
            ("NA,2,1,UA,227,1", r#"column `month`: "NA" is not a month from 1 to 12"#),
            ("1,2,1,,227,1", r#"column `carrier`: "" is not an airline's code"#),
            ("1,2,1,UA,227,NA", r#"column `distance`: "NA" is not a whole number"#),
        ] {
            assert_eq!(refused(row), format!("f.csv, line 3, {expected}"));
        }
    }

    #[test]
    fn what_is_no_table_is_shown_in_part_and_without_control_characters() {
        let error = parsed(&format!("PAR1\u{7},{}", "x".repeat(1 << 20))).unwrap_err();
        let expected = format!(
            "f.csv has no column `month`; its columns are PAR1\\u{{7}}, {}…",
            "x".repeat(CHARACTERS_SHOWN)
        );
        assert_eq!(error, expected);
    }

    #[test]
    fn a_row_of_another_length_is_told_with_its_line() {
        assert_eq!(refused("1,2,3"), "f.csv, line 3: 3 fields where the header has 6");
    }

    #[test]
    fn missing_files_and_directories_are_told_by_path() {
        let missing = read(Path::new("/nowhere/at/all.csv")).unwrap_err();
        assert_eq!(missing.to_string(), "cannot open /nowhere/at/all.csv");
        let directory = tempfile::tempdir().unwrap();
        let error = read(directory.path()).unwrap_err();
        assert!(matches!(error, InputError::Read { .. }), "{error:?}");
    }

    #[test]
    fn compressed_files_give_the_same_flights() {
        let text = format!("{HEADER}1,2,11,UA,227,1400\n2,3,4,AA,5,6\n");
        let directory = tempfile::tempdir().unwrap();
        let plain = directory.path().join("plain");
        std::fs::write(&plain, &text).unwrap();
        let expected = read(&plain).unwrap();

        let gzip = directory.path().join("gzip");
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(&gzip).unwrap(), Default::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap();
        assert_eq!(read(&gzip).unwrap(), expected);

        let zstd = directory.path().join("zstd");
        ruzstd::encoding::compress(
            text.as_bytes(),
            File::create(&zstd).unwrap(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        assert_eq!(read(&zstd).unwrap(), expected);
    }

    #[test]
    fn a_file_cut_short_is_an_error() {
        let whole = std::fs::read(crate::DEFAULT_INPUT).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let cut = directory.path().join("cut.csv.gz");
        std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
        assert!(matches!(read(&cut).unwrap_err(), InputError::Read { .. }));
    }

    #[test]
    fn the_flights_in_the_repository_are_all_there() {
        let flights = read(Path::new(crate::DEFAULT_INPUT)).unwrap();
        assert_eq!(flights.len(), 336_776);
        assert_eq!(flights.carriers.len(), 16);
        assert_eq!(flights.dep_delay.iter().filter(|&&delay| delay == ABSENT).count(), 8_255);
        assert_eq!(flights.arr_delay.iter().filter(|&&delay| delay == ABSENT).count(), 9_430);
    }
}
