//! Does the first program work for somebody who has nothing but `rustyray`?
//!
//! `tests/first_program` is a crate outside the workspace whose only dependency is `rustyray`, by
//! path. It is built apart, in a target directory of its own, so that nothing of the workspace (dev
//! dependencies, unified features) can help it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn program() -> PathBuf {
    root().join("tests/first_program")
}

/// Builds the program with the versions of `Cargo.lock` and returns its executable.
fn build() -> PathBuf {
    // A crate outside the workspace has a lock file of its own. Beginning with ours, cargo keeps
    // what is needed of it and has nothing to look up or download.
    fs::copy(root().join("Cargo.lock"), program().join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("first-program");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--manifest-path"])
        .arg(program().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        // So small a program needs nothing of the prelude that it imports, as programs do.
        .env("RUSTFLAGS", "-A unused_imports")
        .output()
        .unwrap();
    assert!(built.status.success(), "it does not compile:\n{}", text(&built.stderr));
    assert_eq!(text(&built.stderr), "", "it compiles with warnings");
    target.join("debug/first-program")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn it_compiles_as_written_and_runs_again_and_again() {
    let executable = build();
    for run in 1..=3 {
        let Output { status, stdout, stderr } = Command::new(&executable).output().unwrap();
        assert!(status.success(), "run {run} ended with {status}:\n{}", text(&stderr));
        assert_eq!((text(&stdout), text(&stderr)), (String::new(), String::new()), "run {run}");
    }
}

#[test]
fn the_readme_shows_this_program() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let program = fs::read_to_string(program().join("src/main.rs")).unwrap();
    let shown = format!("```rust\n{program}```\n");
    assert!(readme.contains(&shown), "README.md does not have tests/first_program/src/main.rs");
}
