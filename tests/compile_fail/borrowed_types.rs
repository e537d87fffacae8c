use rustyray::prelude::*;
use std::borrow::Cow;

#[rustyray::remote]
fn greet(_name: &str, _titles: &[String], _count: &mut u64) -> &'static str {
    "hello"
}

#[rustyray::remote]
fn nested(_names: Vec<&str>, _text: Cow<'_, str>) {}

#[rustyray::remote]
fn opaque(_shown: impl std::fmt::Display) -> impl Iterator<Item = u8> {
    0..3
}

// The parameters take anything, and the results have the types that were meant: no error below.
#[rustyray::main]
async fn main() -> rustyray::Result<()> {
    let greeting: ObjectRef<String> = greet_remote::remote("you", vec![1], 3).await?;
    nested_remote::options().remote(greeting, ()).await?;
    Ok(())
}
