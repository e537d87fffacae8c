use rustyray::prelude::*;

struct Opaque(std::net::TcpStream);

#[rustyray::remote]
fn takes(opaque: Opaque) -> u64 {
    0
}

#[rustyray::remote]
fn gives(count: u64) -> Vec<Opaque> {
    Vec::new()
}

#[rustyray::remote]
fn may_give(count: u64) -> Result<Opaque, String> {
    Err(String::new())
}

#[rustyray::remote(num_returns = 2)]
fn gives_two(count: u64) -> (u64, Opaque) {
    unreachable!()
}

#[rustyray::remote(num_returns = "streaming")]
fn streams(count: u64) -> impl Iterator<Item = Opaque> {
    std::iter::empty()
}

#[rustyray::main]
async fn main() -> rustyray::Result<()> {
    takes_remote::remote(1u8);
    Ok(())
}
