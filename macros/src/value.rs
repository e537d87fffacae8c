//! One argument's value: literals are checked here, and other expressions are left to the compiler.
//!
//! Options are built in constants, so an expression may name constants of the user's.

use std::ops::RangeInclusive;

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote};
use syn::{Expr, ExprLit, ExprUnary, Lit, LitInt, LitStr, UnOp, spanned::Spanned};

use crate::spelling::spelled;

/// A literal behind the parentheses and invisible groups around it, and whether it is negated.
fn literal(value: &Expr) -> Option<(bool, &Lit)> {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => Some((false, lit)),
        Expr::Paren(inner) => literal(&inner.expr),
        Expr::Group(inner) => literal(&inner.expr),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => {
            literal(expr).map(|(negative, lit)| (!negative, lit))
        }
        _ => None,
    }
}

fn wrong(value: &Expr, message: String) -> syn::Error {
    syn::Error::new_spanned(value, message)
}

/// An amount of a resource: a number that is not negative, as `f64`.
pub(crate) fn amount(what: &str, value: &Expr) -> syn::Result<TokenStream> {
    let Some((negative, literal)) = literal(value) else { return Ok(value.to_token_stream()) };
    let digits = match literal {
        Lit::Int(number) => number.base10_digits(),
        Lit::Float(number) => number.base10_digits(),
        _ => return Err(wrong(value, format!("`{what}` takes a number: `{what} = 0.5`"))),
    };
    let number: f64 = digits
        .parse()
        .map_err(|_| wrong(value, format!("`{what}` takes a number: `{what} = 0.5`")))?;
    if negative && number != 0.0 {
        return Err(wrong(value, format!("`{what}` cannot be negative")));
    }
    if number != 0.0 && number < 0.000_1 {
        return Err(wrong(
            value,
            format!("`{what}` counts in ten-thousandths; the least is 0.0001"),
        ));
    }
    let mut token = Literal::f64_unsuffixed(number);
    token.set_span(value.span());
    Ok(token.into_token_stream())
}

/// A whole number within `range`.
pub(crate) fn integer(
    what: &str,
    value: &Expr,
    range: RangeInclusive<i128>,
) -> syn::Result<TokenStream> {
    let Some((negative, literal)) = literal(value) else { return Ok(value.to_token_stream()) };
    let example = (*range.start()).max(3);
    let Lit::Int(number) = literal else {
        return Err(wrong(value, format!("`{what}` takes a whole number: `{what} = {example}`")));
    };
    let magnitude: Option<i128> = number.base10_parse().ok();
    let signed = magnitude.map(|magnitude| if negative { -magnitude } else { magnitude });
    match signed {
        Some(number) if range.contains(&number) => {
            let mut token = Literal::u128_unsuffixed(number.unsigned_abs());
            token.set_span(value.span());
            Ok(if number < 0 { quote!(-#token) } else { token.into_token_stream() })
        }
        _ if *range.start() == -1 => Err(wrong(
            value,
            format!("`{what}` takes a number of times, or -1 for as often as it takes"),
        )),
        _ => {
            let (least, most) = (range.start(), range.end());
            Err(wrong(value, format!("`{what}` lies between {least} and {most}")))
        }
    }
}

/// A number of bytes, as an integer or as text with a unit.
pub(crate) fn bytes(what: &str, value: &Expr) -> syn::Result<TokenStream> {
    match literal(value) {
        Some((false, Lit::Str(text))) => {
            let bytes = size(&text.value()).ok_or_else(|| {
                let message = format!(
                    "{} is no size; write a number and a unit out of B, KB, KiB, MB, MiB, GB, \
                    GiB, TB, TiB: \
                     `{what} = \"512MiB\"`",
                    spelled(text)
                );
                wrong(value, message)
            })?;
            let mut token = Literal::u64_unsuffixed(bytes);
            token.set_span(text.span());
            Ok(token.into_token_stream())
        }
        Some((false, Lit::Int(_))) => integer(what, value, 0..=i128::from(u64::MAX)),
        Some(_) => Err(wrong(
            value,
            format!("`{what}` takes bytes, or text with a unit: `{what} = \"512MiB\"`"),
        )),
        None => Ok(value.to_token_stream()),
    }
}

fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.trim().replace('_', "").parse().ok()?;
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "tib" | "t" => 1 << 40,
        _ => return None,
    };
    let bytes = number * unit as f64;
    (bytes >= 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// Text, or an expression that is `&'static str`.
pub(crate) fn text(what: &str, value: &Expr) -> syn::Result<TokenStream> {
    match literal(value) {
        Some((false, Lit::Str(text))) if text.value().is_empty() => {
            Err(wrong(value, format!("`{what}` is empty")))
        }
        Some((false, Lit::Str(_))) | None => Ok(value.to_token_stream()),
        Some(_) => Err(wrong(value, format!("`{what}` takes text: `{what} = \"…\"`"))),
    }
}

/// Text that must be known here and now.
pub(crate) fn literal_text(what: &str, value: &Expr) -> syn::Result<LitStr> {
    match literal(value) {
        Some((false, Lit::Str(text))) => Ok(text.clone()),
        _ => Err(wrong(value, format!("`{what}` takes text: `{what} = \"…\"`"))),
    }
}

/// `true` or `false`; the bare name says `true`.
pub(crate) fn flag(what: &str, value: Option<&Expr>) -> syn::Result<TokenStream> {
    let Some(value) = value else { return Ok(quote!(true)) };
    match literal(value) {
        Some((false, Lit::Bool(_))) | None => Ok(value.to_token_stream()),
        Some(_) => Err(wrong(value, format!("`{what}` takes `true` or `false`"))),
    }
}

/// In how many objects a function's result is stored.
#[derive(Clone)]
pub(crate) enum NumReturns {
    /// One.
    One,
    /// One for each member of a tuple, array or vector.
    Several(LitInt),
    /// One for each item of an iterator or stream.
    Streaming,
}

/// `num_returns`, which decides the generated types and so must be literal.
pub(crate) fn num_returns(value: &Expr) -> syn::Result<NumReturns> {
    match literal(value) {
        Some((false, Lit::Str(text))) if text.value() == "streaming" => Ok(NumReturns::Streaming),
        Some((false, Lit::Int(number))) => match number.base10_parse::<u16>() {
            Ok(0) => Err(wrong(
                value,
                "`num_returns` is at least 1; a function that returns \
                                       nothing still returns `()`"
                    .into(),
            )),
            Ok(1) => Ok(NumReturns::One),
            Ok(several) => {
                Ok(NumReturns::Several(LitInt::new(&several.to_string(), number.span())))
            }
            Err(_) => Err(wrong(value, format!("`num_returns` lies between 1 and {}", u16::MAX))),
        },
        _ => Err(wrong(
            value,
            "`num_returns` takes a literal number, or `\"streaming\"` for a function that returns \
            an \
             iterator or a stream"
                .into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn shown(result: syn::Result<TokenStream>) -> String {
        match result {
            Ok(tokens) => tokens.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn amounts_become_floats() {
        let amount = |value| shown(amount("num_cpus", &value));
        assert_eq!(amount(parse_quote!(2)), "2.0");
        assert_eq!(amount(parse_quote!(0.5)), "0.5");
        assert_eq!(amount(parse_quote!(1_000)), "1000.0");
        assert_eq!(amount(parse_quote!(CPUS / 2.0)), "CPUS / 2.0");
        assert_eq!(amount(parse_quote!(-1)), "error: `num_cpus` cannot be negative");
        assert_eq!(
            amount(parse_quote!("two")),
            "error: `num_cpus` takes a number: `num_cpus = 0.5`"
        );
        assert_eq!(
            amount(parse_quote!(0.00001)),
            "error: `num_cpus` counts in ten-thousandths; the least is 0.0001"
        );
    }

    #[test]
    fn integers_are_held_to_their_range() {
        let retries = |value| shown(integer("max_retries", &value, -1..=i128::from(i32::MAX)));
        assert_eq!(retries(parse_quote!(-1)), "- 1");
        assert_eq!(retries(parse_quote!(3)), "3");
        assert_eq!(retries(parse_quote!(RETRIES)), "RETRIES");
        let message =
            "error: `max_retries` takes a number of times, or -1 for as often as it takes";
        assert_eq!(retries(parse_quote!(-2)), message);
        assert_eq!(retries(parse_quote!(99999999999)), message);
        assert_eq!(
            retries(parse_quote!(1.5)),
            "error: `max_retries` takes a whole number: `max_retries = 3`"
        );
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("512MiB"), Some(512 << 20));
        assert_eq!(size("1.5 GB"), Some(1_500_000_000));
        assert_eq!(size("4096"), Some(4096));
        assert_eq!(size("10_000 kb"), Some(10_000_000));
        assert_eq!(size("-1GB"), None);
        assert_eq!(size("12 parsecs"), None);
        assert_eq!(size("1e30 TB"), None);
        assert_eq!(size(""), None);
        assert_eq!(shown(bytes("memory", &parse_quote!(4 * MIB))), "4 * MIB");
        assert!(
            shown(bytes("memory", &parse_quote!("lots"))).starts_with("error: \"lots\" is no size")
        );
        assert!(
            shown(bytes("memory", &parse_quote!(1.5))).starts_with("error: `memory` takes bytes")
        );
    }

    #[test]
    fn the_number_of_returns_is_literal() {
        assert!(matches!(num_returns(&parse_quote!(1)), Ok(NumReturns::One)));
        assert!(matches!(num_returns(&parse_quote!("streaming")), Ok(NumReturns::Streaming)));
        assert!(
            matches!(num_returns(&parse_quote!(3)), Ok(NumReturns::Several(n)) if n.base10_digits() == "3")
        );
        for wrong in [
            parse_quote!(0),
            parse_quote!(-1),
            parse_quote!("many"),
            parse_quote!(N),
            parse_quote!(70000),
        ] {
            assert!(num_returns(&wrong).is_err(), "{}", spelled(&wrong));
        }
    }
}
