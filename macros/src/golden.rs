//! What the macros expand to, compared with files that a person has read.
//!
//! `tests/golden/NAME.rs` is written by the user, `NAME.expanded.rs` is what becomes of it.
//! `RUSTYRAY_BLESS=1 cargo test -p rustyray-macros` writes the latter anew.

use std::{fs, path::PathBuf};

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Item, Meta};

fn check(name: &str) {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let source =
        fs::read_to_string(directory.join(format!("{name}.rs"))).expect("the source exists");
    let file = syn::parse_file(&source).expect("the source is Rust");
    let expanded: TokenStream = file.items.into_iter().map(expand).collect();
    let expanded = syn::parse2(expanded).expect("the expansion is Rust");
    let expanded = prettyplease::unparse(&expanded);
    let golden = directory.join(format!("{name}.expanded.rs"));
    if std::env::var_os("RUSTYRAY_BLESS").is_some() {
        fs::write(&golden, &expanded).expect("the golden file can be written");
        return;
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    if let Some((line, (is, was))) =
        expanded.lines().zip(expected.lines()).enumerate().find(|(_, (is, was))| is != was)
    {
        panic!("line {} of {} is now\n{is}\nand was\n{was}", line + 1, golden.display());
    }
    assert_eq!(expanded.lines().count(), expected.lines().count(), "{}", golden.display());
}

/// Expands the first attribute of an item, as the compiler does.
fn expand(mut item: Item) -> TokenStream {
    let attributes: &mut Vec<Attribute> = match &mut item {
        Item::Fn(item) => &mut item.attrs,
        Item::Struct(item) => &mut item.attrs,
        Item::Impl(item) => &mut item.attrs,
        _ => return item.into_token_stream(),
    };
    let ours =
        attributes.iter().position(|attribute| attribute.path().segments[0].ident == "rustyray");
    let Some(at) = ours else { return item.into_token_stream() };
    let attribute = attributes.remove(at);
    let arguments = match &attribute.meta {
        Meta::List(list) => list.tokens.clone(),
        _ => quote!(),
    };
    let item = item.into_token_stream();
    match attribute.path().segments[1].ident.to_string().as_str() {
        "remote" => crate::remote::expand(arguments, item),
        "actor" => crate::actor::expand(arguments, item),
        "actor_methods" => crate::methods::expand(arguments, item),
        "main" => crate::entry::main(arguments, item),
        "test" => crate::entry::test(arguments, item),
        other => panic!("there is no macro `{other}`"),
    }
}

#[test]
fn a_function() {
    check("function");
}

#[test]
fn functions_of_every_shape() {
    check("shapes");
}

#[test]
fn an_actor() {
    check("actor");
}

#[test]
fn entry_points() {
    check("entry");
}

#[test]
fn stand_ins() {
    check("stand_ins");
}
