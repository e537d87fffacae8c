//! How many instructions the store's operations take, counted by valgrind: figures that a busy machine does not
//! change.
//!
//! `cargo run --release -p rustyray-store --example instructions` runs itself again under `callgrind`, where each
//! operation is made [`TIMES`] times in the steady state, and prints what one takes, everything that it calls
//! included. All in the node's own process; a client elsewhere does the same, but that it asks for slots and
//! blocks over a socket, and leaves freeing to the node. It does not show what cache misses and contention cost.

use std::{
    hint::black_box,
    process::{Command, ExitCode},
    sync::Arc,
};

use rustyray_store::{Client, Config, Node, ObjectId, View, Writer};

/// How often each operation is made: often enough that a block is changed now and then.
const TIMES: u64 = 100_000;

/// Says that this is the program that is counted.
const COUNTED: &str = "RUSTYRAY_STORE_COUNTED";

type Words = [u64; 8];

/// One function for each operation, which valgrind tells apart by name.
macro_rules! operations {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $out:ty)? = $what:literal $body:block)*) => {
        $(#[inline(never)]
        fn $name($($argument: $type),*) $(-> $out)? $body)*

        const OPERATIONS: &[(&str, &str)] = &[$((stringify!($name), $what)),*];
    };
}

operations! {
    get(client: &Arc<Client>, id: ObjectId) -> u64 = "get: pin, check, read 64 B where they lie, unpin" {
        let view: View<Words> = client.view(id).expect("it is held");
        view[3].to_native()
    }
    view(client: &Arc<Client>, id: ObjectId) -> View<Words> = "view: pin and check" {
        client.view(id).expect("it is held")
    }
    unview(view: View<Words>) = "drop a view" {
        drop(view);
    }
    clone_view(view: &View<Words>) -> View<Words> = "clone a view" {
        view.clone()
    }
    put(client: &Arc<Client>, value: &Words) -> ObjectId = "put 64 B: reserve, place, serialise, seal" {
        client.put(value).expect("room")
    }
    reserve(client: &Arc<Client>) -> ObjectId = "reserve" {
        client.reserve().expect("a slot")
    }
    create(client: &Arc<Client>) -> Writer = "create 64 B" {
        client.create(64).expect("room")
    }
    seal(client: &Arc<Client>, id: ObjectId, writer: Writer) = "seal" {
        client.seal(id, 0, writer, 1, &[]).expect("it is reserved");
    }
    delete(client: &Arc<Client>, id: ObjectId) = "delete: drop the last reference of all" {
        client.release(id);
    }
    clone_reference(client: &Arc<Client>, id: ObjectId) = "clone a reference" {
        client.retain(id).expect("it is held");
    }
    drop_reference(client: &Arc<Client>, id: ObjectId) = "drop a reference, not the last of this process" {
        // Not the same code as `delete`, or it would be the same function.
        client.release(black_box(id));
    }
}

/// Makes every operation [`TIMES`] times, in the program that is counted.
fn count() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config { capacity_bytes: 2 << 30, reserve_bytes: Some(0), ..Config::default() };
    let node = Node::create(config)?;
    let client = node.client();
    let value = black_box([7; 8]);
    let id = client.put(&value)?;
    for _ in 0..TIMES {
        black_box(get(&client, id));
        let one = view(&client, id);
        unview(clone_view(&one));
        unview(one);
        let new = put(&client, &value);
        clone_reference(&client, new);
        drop_reference(&client, new);
        delete(&client, new);
        let new = reserve(&client);
        let writer = create(&client);
        seal(&client, new, writer);
        delete(&client, new);
    }
    client.release(id);
    Ok(())
}

/// The instructions of one call of a function, and how often it was called.
fn of_one(profile: &str, function: &str) -> Option<(f64, u64)> {
    let callee = format!("cfn=instructions::{function}");
    let (mut calls, mut instructions) = (0, 0);
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        if line != callee {
            continue;
        }
        // `calls=COUNT …`, then the line it was called from and what the calls took.
        let count: u64 = lines.next()?.strip_prefix("calls=")?.split(' ').next()?.parse().ok()?;
        let took: u64 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        calls += count;
        instructions += took;
    }
    (calls > 0).then(|| (instructions as f64 / calls as f64, calls))
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::var_os(COUNTED).is_some() {
        return count();
    }
    let written =
        std::env::temp_dir().join(format!("rustyray-instructions-{}", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--compress-strings=no"])
        .arg(format!("--callgrind-out-file={}", written.display()))
        .arg(std::env::current_exe()?)
        .env(COUNTED, "1")
        .output()
        .map_err(|error| format!("valgrind cannot be run: {error}"))?;
    let profile = std::fs::read_to_string(&written);
    let _ = std::fs::remove_file(&written);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let profile = profile?;
    for (function, what) in OPERATIONS {
        let (instructions, calls) = of_one(&profile, function)
            .ok_or_else(|| format!("`{function}` is not in the profile"))?;
        println!("{what:<52} {instructions:8.1} instructions, of {calls}");
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
