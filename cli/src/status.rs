//! `rustyray status`: the node at a glance.

use rustyray::state::NodeInfo;

use crate::{exit::Failure, print, target::Target};

/// Runs the command.
pub(crate) fn run(target: &Target) -> Result<(), Failure> {
    let node = target.inspector()?.node()?;
    if target.json { print::json(&node) } else { print::text(&render(&node)) }
}

fn render(node: &NodeInfo) -> String {
    let mut said = format!(
        "Node {} · process {} · up {} · rustyray {}\n",
        node.session,
        node.pid,
        print::duration(node.uptime_ms * 1_000_000),
        node.version
    );
    let kind = if node.daemon { "started by `rustyray start`" } else { "in a program" };
    said += &format!("  {kind}: {}\n", node.program);
    node.sockets.iter().for_each(|socket| said += &format!("  listens on {socket}\n"));

    said += "\nResources\n";
    for resource in &node.resources {
        let (used, total) = match resource.name.as_str() {
            "memory" => (print::bytes(resource.used as u64), print::bytes(resource.total as u64)),
            _ => (print::amount(resource.used), print::amount(resource.total)),
        };
        let share = if resource.total > 0.0 { resource.used / resource.total } else { 0.0 };
        said += &format!("  {:<10} {} {used} of {total} used\n", resource.name, bar(share));
    }

    let store = &node.store;
    let share = store.used_bytes as f64 / store.capacity_bytes.max(1) as f64;
    said += "\nObject store\n";
    said += &format!(
        "  {:<10} {} {} of {} used\n",
        "memory",
        bar(share),
        print::bytes(store.used_bytes),
        print::bytes(store.capacity_bytes)
    );
    said += &format!(
        "  {} · {} pinned · {} spilled · {} at most so far\n",
        print::count(store.objects, "object"),
        print::bytes(store.pinned_bytes),
        print::bytes(store.spilled_bytes),
        print::bytes(store.peak_used_bytes)
    );

    let totals = &node.totals;
    said += "\nWork\n";
    said += &format!(
        "  {} under way, {} waiting for a worker · {} finished · {} failed · {} run again\n",
        print::count(totals.tasks, "task"),
        totals.queued_tasks,
        totals.finished_tasks,
        totals.failed_tasks,
        totals.retried_tasks
    );
    said += &format!(
        "  {}, {} idle · {} · {}\n",
        print::count(totals.workers, "worker"),
        totals.idle_workers,
        print::count(totals.actors, "actor"),
        print::count(totals.drivers, "attached program"),
    );
    if totals.crowded_out > 0 {
        said += &format!(
            "  actors live in all workers in which they may: {} of these cannot begin until one ends\n",
            totals.crowded_out
        );
    }
    if totals.crashed_workers > 0 {
        let died = print::count(totals.crashed_workers, "worker");
        said += &format!("  {died} died (`rustyray logs` may say why)\n");
    }
    said
}

/// A share of a whole as a bar.
fn bar(share: f64) -> String {
    const WIDTH: usize = 20;
    let full = (share.clamp(0.0, 1.0) * WIDTH as f64).round() as usize;
    format!("[{}{}]", "█".repeat(full), "·".repeat(WIDTH - full))
}
