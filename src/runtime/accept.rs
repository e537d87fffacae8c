//! What a scraper takes, as its `Accept` says: of the two forms of the metrics the one that it likes best.
//!
//! Each header is a list of media types with a wish between 0 and 1 (`q`, 1 where there is none); the wish for a form is
//! that of the most exact type that has it, and 0 is a refusal. Whoever says nothing takes everything.

use axum::http::{HeaderMap, header::ACCEPT};

/// A form in which metrics are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    OpenMetrics,
    Plain,
}

/// The form for whoever sent these headers; `None` when it takes neither.
pub(super) fn form(headers: &HeaderMap) -> Option<Form> {
    let values = || headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<_> =
        values().flat_map(|value| value.split(',')).filter_map(Range::of).collect();
    if ranges.is_empty() {
        return Some(Form::Plain);
    }
    let (open, is_named) = wish(&ranges, "application", "openmetrics-text");
    let (plain, _) = wish(&ranges, "text", "plain");
    // What takes anything may know the older form only.
    if open > 0.0 && (is_named && open >= plain || plain == 0.0) {
        Some(Form::OpenMetrics)
    } else {
        (plain > 0.0).then_some(Form::Plain)
    }
}

/// What is wished of the types that it stands for.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    wish: f32,
}

impl<'a> Range<'a> {
    fn of(text: &'a str) -> Option<Range<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let wish = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().unwrap_or(0.0))
        });
        Some(Range { kind, subtype, wish: wish.unwrap_or(1.0) })
    }
}

/// How much a type is wished for, and whether it is by its own name.
fn wish(ranges: &[Range<'_>], kind: &str, subtype: &str) -> (f32, bool) {
    let is = |what: &str, name: &str| what.eq_ignore_ascii_case(name);
    let exact = ranges.iter().find(|range| is(range.kind, kind) && is(range.subtype, subtype));
    let loose = |of| ranges.iter().find(|range| is(range.kind, of) && range.subtype == "*");
    match exact {
        Some(range) => (range.wish, true),
        None => (loose(kind).or_else(|| loose("*")).map_or(0.0, |range| range.wish), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, accept.parse().expect("a value"));
        form(&headers)
    }

    #[test]
    fn each_gets_the_form_that_it_likes_best() {
        assert_eq!(form(&HeaderMap::new()), Some(Form::Plain));
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert_eq!(of(prometheus), Some(Form::OpenMetrics));
        assert_eq!(of("text/plain, Application/OpenMetrics-Text; Q=0.5"), Some(Form::Plain));
        for any in ["*/*", "text/*", "text/html, */*;q=0.8", "TEXT/PLAIN"] {
            assert_eq!(of(any), Some(Form::Plain), "{any}");
        }
    }

    #[test]
    fn what_is_refused_is_not_given() {
        assert_eq!(of("text/plain;q=0"), None);
        assert_eq!(of("text/plain; q=0.000, application/*"), Some(Form::OpenMetrics));
        assert_eq!(of("application/openmetrics-text;q=0, */*"), Some(Form::Plain));
        assert_eq!(of("*/*;q=0"), None);
        assert_eq!(of("text/html"), None);
    }
}
