//! Which crate may depend on which: the graph of ARCHITECTURE.md, held against `cargo metadata`.
//!
//! Only what is built into a crate counts (normal and build dependencies, on every platform and
//! under every feature); tests may use what they like.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Each crate with its directory, the crates that it needs, and those that it may use besides.
const CRATES: [(&str, &str, &[&str], &[&str]); 9] = [
    ("rustyray-memory", "memory", &[], &[]),
    ("rustyray-store", "store", &[], &["rustyray-memory"]),
    ("rustyray-scheduler", "scheduler", &[], &["rustyray-memory"]),
    ("rustyray-ipc", "ipc", &[], &["rustyray-memory"]),
    ("rustyray-macros", "macros", &[], &[]),
    (
        "rustyray",
        "",
        &["rustyray-store", "rustyray-scheduler", "rustyray-ipc", "rustyray-macros"],
        &["rustyray-memory"],
    ),
    ("rustyray-cli", "cli", &["rustyray"], &[]),
    ("rustyray-benches", "benches", &["rustyray"], &[]),
    (
        "rustyray-loom-tests",
        "loom-tests",
        &["rustyray-store", "rustyray-scheduler", "rustyray-ipc"],
        &["rustyray-memory"],
    ),
];

/// What a crate must do without, whatever else it uses.
const WITHOUT: [(&str, &[&str]); 4] = [
    // No sockets, no mappings, no executor: it runs on any `Host`.
    ("rustyray-scheduler", &["nix", "libc", "rustix", "memmap2", "shared_memory", "tokio"]),
    // Its callers may wait; it waits for nobody.
    ("rustyray-store", &["tokio"]),
    // It moves words and descriptors, and knows no values.
    ("rustyray-ipc", &["rkyv", "bytes"]),
    // It writes code that uses the rest, and uses nothing itself.
    ("rustyray-macros", &["tokio", "rkyv", "nix"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap()
}

/// The names of all that is built into each crate of the workspace.
fn dependencies(metadata: &Metadata) -> BTreeMap<&str, BTreeSet<&str>> {
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| {
            let names = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind != DependencyKind::Development)
                .map(|dependency| dependency.name.as_str());
            (package.name.as_str(), names.collect())
        })
        .collect()
}

#[test]
fn the_workspace_has_these_crates_in_these_directories() {
    let metadata = metadata();
    let found: BTreeSet<(&str, String)> = metadata
        .workspace_packages()
        .into_iter()
        .map(|package| {
            let directory = package.manifest_path.parent().unwrap();
            let directory = directory.strip_prefix(&metadata.workspace_root).unwrap();
            (package.name.as_str(), directory.to_string())
        })
        .collect();
    let expected = CRATES.map(|(name, directory, ..)| (name, directory.to_string()));
    assert_eq!(found, BTreeSet::from(expected));
}

#[test]
fn crates_depend_on_each_other_only_as_drawn() {
    let metadata = metadata();
    let dependencies = dependencies(&metadata);
    for (name, _, needs, may_use) in CRATES {
        let ours: BTreeSet<&str> = dependencies[name]
            .iter()
            .copied()
            .filter(|dependency| dependencies.contains_key(dependency))
            .collect();
        let needs = BTreeSet::from_iter(needs.iter().copied());
        let allowed = &needs | &BTreeSet::from_iter(may_use.iter().copied());
        let missing = &needs - &ours;
        let forbidden = &ours - &allowed;
        assert!(missing.is_empty(), "{name} should depend on {missing:?}");
        assert!(forbidden.is_empty(), "{name} must not depend on {forbidden:?}");
    }
}

#[test]
fn crates_do_without_what_is_none_of_their_business() {
    let metadata = metadata();
    let dependencies = dependencies(&metadata);
    for (name, without) in WITHOUT {
        let without = BTreeSet::from_iter(without.iter().copied());
        let found = &dependencies[name] & &without;
        assert!(found.is_empty(), "{name} must not depend on {found:?}");
    }
}
