//! `rustyray memory`: who holds which objects, by size.

use std::collections::BTreeMap;

use clap::Args;
use rustyray::state::{Listing, ObjectInfo};
use serde::Serialize;

use crate::{
    exit::Failure,
    list::{OBJECTS, limit},
    print,
    target::Target,
};

/// What to show.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// At most that many objects; the largest are shown
    #[arg(long, short, value_name = "ROWS", default_value_t = 20, value_parser = limit, allow_negative_numbers = true)]
    limit: u64,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What one process holds.
#[derive(Debug, Default, Serialize)]
struct Holder {
    pid: u32,
    objects: u64,
    held_bytes: u64,
    pinned_bytes: u64,
}

/// What was made at one place of a program.
#[derive(Debug, Default, Serialize)]
struct Maker {
    site: String,
    objects: u64,
    bytes: u64,
}

/// How many objects are looked at.
const LOOKED_AT: u64 = 100_000;

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut inspector = options.target.inspector()?;
    let store = inspector.node()?.store;
    let objects = inspector.objects(&Listing::new().limit(LOOKED_AT))?;
    let (holders, makers) = (holders(&objects), makers(&objects));
    let largest = &objects[..objects.len().min(options.limit as usize)];
    if options.target.json {
        let all = serde_json::json!({ "store": store, "holders": holders, "sites": makers, "objects": largest });
        return print::json(&all);
    }
    print::text(&format!(
        "{} of {} used · {} pinned · {} spilled · {}\n\n",
        print::bytes(store.used_bytes),
        print::bytes(store.capacity_bytes),
        print::bytes(store.pinned_bytes),
        print::bytes(store.spilled_bytes),
        print::count(store.objects, "object")
    ))?;
    if holders.is_empty() {
        return print::text("Nobody holds any object.\n");
    }
    print::text(&print::table(
        &holders,
        &[
            ("process", |row| row.pid.to_string()),
            ("objects", |row| row.objects.to_string()),
            ("holds", |row| print::bytes(row.held_bytes)),
            ("views", |row| print::bytes(row.pinned_bytes)),
        ],
    ))?;
    print::text("\n")?;
    if !makers.is_empty() {
        print::text(&print::table(
            &makers[..makers.len().min(options.limit as usize)],
            &[
                ("made at", |row| row.site.clone()),
                ("objects", |row| row.objects.to_string()),
                ("size", |row| print::bytes(row.bytes)),
            ],
        ))?;
        print::text("\n")?;
    }
    print::text(&print::table(largest, OBJECTS))?;
    if largest.len() < objects.len() {
        let (shown, all) = (largest.len(), objects.len());
        print::aside(format_args!("(the largest {shown} of {all}; `--limit` shows more)"));
    }
    if makers.is_empty() {
        print::aside(
            "(where objects were made is known with `rustyray start --record-call-sites`, or with \
             RUSTYRAY_RECORD_CALL_SITES=1 in the environment of the program that has the node)",
        );
    }
    Ok(())
}

fn makers(objects: &[ObjectInfo]) -> Vec<Maker> {
    let mut makers: BTreeMap<&str, Maker> = BTreeMap::new();
    for object in objects {
        if let Some(site) = &object.site {
            let maker = makers.entry(site).or_default();
            maker.objects += 1;
            maker.bytes += object.size_bytes;
        }
    }
    let mut makers: Vec<Maker> =
        makers.into_iter().map(|(site, maker)| Maker { site: site.to_owned(), ..maker }).collect();
    makers.sort_by_key(|maker| std::cmp::Reverse(maker.bytes));
    makers
}

fn holders(objects: &[ObjectInfo]) -> Vec<Holder> {
    let mut holders: BTreeMap<u32, Holder> = BTreeMap::new();
    for object in objects {
        for &pid in &object.holders {
            let holder = holders.entry(pid).or_default();
            holder.objects += 1;
            holder.held_bytes += object.size_bytes;
        }
        for &pid in &object.pins {
            holders.entry(pid).or_default().pinned_bytes += object.size_bytes;
        }
    }
    let mut holders: Vec<Holder> =
        holders.into_iter().map(|(pid, holder)| Holder { pid, ..holder }).collect();
    holders.sort_by_key(|holder| std::cmp::Reverse(holder.held_bytes.max(holder.pinned_bytes)));
    holders
}
