//! The store alone between processes: one owns it and listens on a socket, others join.
//!
//! `cargo run -p rustyray-store --example two_processes` starts itself a second time as the one that joins.
//! By hand, in two terminals: `… two_processes serve /run/user/1000/store` and
//! `… two_processes join /run/user/1000/store`.

use std::{
    error::Error,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use rustyray_store::{Client, Config, Node, ObjectId, View};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Lets in whoever comes, each served by a thread of its own until it has gone.
fn listen(node: &Arc<Node>, path: &Path) -> Result<()> {
    let listener = UnixListener::bind(path)?;
    let node = Arc::clone(node);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let node = Arc::clone(&node);
            std::thread::spawn(move || {
                if let Err(error) = node.host(stream) {
                    eprintln!("not let in: {error}");
                }
            });
        }
    });
    Ok(())
}

/// The one that owns the store. Ids travel as the program likes: here on the command line.
fn own(path: &Path) -> Result<()> {
    let node = Node::create(Config { capacity_bytes: 256 << 20, ..Config::default() })?;
    listen(&node, path)?;
    let client = node.client();
    let question = client.put(&(0..1_000_000).map(f64::from).collect::<Vec<f64>>())?;
    let answer = client.reserve()?;
    let mut other = Command::new(std::env::current_exe()?)
        .arg("join")
        .arg(path)
        .args([question, answer].map(|id| format!("{}-{}", id.index, id.generation)))
        .spawn()?;
    let sum = client.get::<f64>(answer, Some(Duration::from_secs(60)))?;
    println!("the other process says that the sum is {}", *sum);
    if !other.wait()?.success() {
        return Err("the other process failed".into());
    }
    drop(sum);
    client.release(question);
    client.release(answer);
    std::fs::remove_file(path)?;
    Ok(())
}

/// The one that joins: reads the numbers where they lie, and answers.
fn join(path: &Path, question: ObjectId, answer: ObjectId) -> Result<()> {
    let client = Client::join(UnixStream::connect(path)?)?;
    let numbers: View<Vec<f64>> = client.get(question, None)?;
    client.seal_value(answer, 0, &numbers.as_slice().iter().sum::<f64>())?;
    Ok(())
}

fn id(text: &str) -> Result<ObjectId> {
    let (index, generation) = text.split_once('-').ok_or("an object id has two parts")?;
    Ok(ObjectId { index: index.parse()?, generation: generation.parse()? })
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            let name = format!("rustyray-two-processes-{}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            // Private to this user: whoever can reach the socket is asked who he is all the same.
            std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
                .create(&directory)?;
            let result = own(&directory.join("store"));
            std::fs::remove_dir_all(&directory)?;
            result
        }
        ["serve", path] => {
            let node = Node::create(Config::default())?;
            listen(&node, &PathBuf::from(path))?;
            loop {
                std::thread::park();
            }
        }
        ["join", path] => {
            let client = Client::join(UnixStream::connect(path)?)?;
            let id = client.put(&"hello".to_owned())?;
            println!("client {} put {id}", client.id().get());
            Ok(())
        }
        ["join", path, question, answer] => join(Path::new(path), id(question)?, id(answer)?),
        _ => Err("usage: two_processes [serve PATH | join PATH]".into()),
    }
}
