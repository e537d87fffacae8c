//! How names and types are written in messages.

use quote::ToTokens;

/// A type or another piece of code as a person would write it.
pub(crate) fn spelled(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" as::", " as ::"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" ,", ","),
        (" ;", ";"),
        ("( ", "("),
        (" )", ")"),
        ("[ ", "["),
        (" ]", "]"),
    ] {
        text = text.replace(from, to);
    }
    text
}

/// The name among `known` that `name` was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let contained = |candidate: &&&'a str| {
        name.len() >= 3 && (candidate.contains(name) || name.contains(**candidate))
    };
    let (near, edits) = known
        .iter()
        .map(|candidate| (candidate, distance(name, candidate)))
        .min_by_key(|&(_, d)| d)?;
    if edits <= name.len().max(near.len()) / 3 {
        return Some(near);
    }
    known.iter().find(contained).copied()
}

/// How many insertions, deletions and replacements turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn listed(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::{Type, parse_quote};

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let known = ["num_cpus", "num_gpus", "max_retries", "timeout_ms"];
        assert_eq!(nearest("num_cpu", &known), Some("num_cpus"));
        assert_eq!(nearest("max_retry", &known), Some("max_retries"));
        assert_eq!(nearest("timeout", &known), Some("timeout_ms"));
        assert_eq!(nearest("cpus", &known), Some("num_cpus"));
        assert_eq!(nearest("colour", &known), None);
    }

    #[test]
    fn distances_count_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn types_are_spelled_as_written() {
        let ty: Type = parse_quote!(std::collections::HashMap<String, Vec<&'static [u8; 4]>>);
        assert_eq!(spelled(&ty), "std::collections::HashMap<String, Vec<&'static [u8; 4]>>");
    }

    #[test]
    fn names_are_listed_in_words() {
        assert_eq!(listed(&["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(listed(&["a"]), "`a`");
    }
}
