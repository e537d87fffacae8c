//! Text in parallel: a task for each file counts its words, and a tree of tasks adds up the counts.
//!
//! `cargo run --example words -- FILE…`, or without files over the documents of this repository.

use std::{collections::HashMap, path::PathBuf};

use rustyray::prelude::*;

type Counts = HashMap<String, u64>;

#[rustyray::remote]
fn count(path: String) -> Result<Counts, String> {
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let mut counts = Counts::new();
    let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| word.len() > 3);
    for word in words {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    Ok(counts)
}

#[rustyray::remote]
fn merge(mut one: Counts, other: Counts) -> Counts {
    for (word, count) in other {
        *one.entry(word).or_default() += count;
    }
    one
}

#[rustyray::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if files.is_empty() {
        for directory in [".", "docs/guide", "examples/data"] {
            let entries =
                std::fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(directory));
            let paths = entries?.filter_map(|entry| Some(entry.ok()?.path()));
            files.extend(paths.filter(|path| path.extension().is_some_and(|kind| kind == "md")));
        }
    }
    let mut level: Vec<ObjectRef<Counts>> = Vec::new();
    for file in &files {
        level.push(count_remote::remote(file.display().to_string()).await?);
    }
    while level.len() > 1 {
        let mut next = Vec::new();
        for pair in level.chunks(2) {
            next.push(match pair {
                [one, other] => merge_remote::remote(one, other).await?,
                rest => rest[0].clone(),
            });
        }
        level = next;
    }
    let Some(total) = level.first() else { return Err("there are no files".into()) };
    let mut counts: Vec<(String, u64)> = total.get().await?.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    println!("the most used words of {} files:", files.len());
    counts.iter().take(10).for_each(|(word, count)| println!("{count:6} {word}"));
    Ok(())
}
