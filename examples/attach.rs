//! Two programs on one node: the second attaches to the first, finds its actor, and reads its data in place.
//!
//! `cargo run --example attach` plays both; a node that stands alone is started by `rustyray start`, and any
//! program attaches to it by `rustyray::connect("auto")`.

#![allow(unreachable_pub)] // what is `pub` in an actor is what other processes may call

use std::process::Command;

use rustyray::prelude::*;

#[rustyray::actor]
struct Board {
    picture: Option<ObjectRef<Vec<u8>>>,
}

#[rustyray::actor_methods]
impl Board {
    pub fn new() -> Self {
        Board { picture: None }
    }

    /// A reference within a value is passed on as it is; the data stays where it lies.
    pub fn pin(&mut self, picture: Vec<ObjectRef<Vec<u8>>>) {
        self.picture = picture.into_iter().next();
    }

    pub fn picture(&self) -> Vec<ObjectRef<Vec<u8>>> {
        self.picture.iter().cloned().collect()
    }
}

async fn first() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = rustyray::init().await?;
    let board = Board::options().name("board").remote().await?;
    let picture = rustyray::put(&vec![7_u8; 8 << 20]).await?;
    board.pin(vec![picture]).await?.get().await?;

    let socket = runtime.socket().ok_or("this node cannot be found")?;
    let second = Command::new(std::env::current_exe()?).arg(socket).status()?;
    if !second.success() {
        return Err("the second program failed".into());
    }
    rustyray::shutdown().await?;
    Ok(())
}

async fn second(socket: &str) -> Result<(), Box<dyn std::error::Error>> {
    let _runtime = rustyray::connect(socket).await?;
    let board = Board::get("board").await?;
    let pictures = board.picture().await?.get().await?;
    let picture = pictures.first().ok_or("nothing is pinned")?.view().await?;
    println!("process {} sees {} bytes of another's", std::process::id(), picture.len());
    rustyray::shutdown().await?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1) {
        None => rustyray::block_on(first()),
        Some(socket) => rustyray::block_on(second(&socket)),
    }
}
