//! What do other systems take for a part of the same work?
//!
//! Between two processes: iceoryx2, ipc-channel, and a Unix socket with postcard. Within one, where nothing
//! has to cross to another process, the floors: kameo, tokio, rayon. Each figure is the median of batches,
//! with the fastest and the slowest; each rival's text says what it does not do, which RustyRay's rows do.
//! Payloads are written by one side and read by the other.
//!
//! It does not show the rivals beside other programs: those that poll want a core of their own each.
//!
//! ```text
//! cargo run --release --manifest-path benches/rivals/Cargo.toml -- [PATTERN] [--seconds S] [--json]
//! ```

mod channels;
mod floors;
mod iceoryx;
mod peer;
mod sample;
mod sockets;

use std::{error::Error, time::Duration};

use clap::Parser;
use sample::Figure;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Measures systems that do a part of what RustyRay does.
#[derive(Debug, Parser)]
struct Options {
    /// Only the rivals whose name contains this
    pattern: Option<String>,
    /// How long each figure is measured, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[arg(long, hide = true, num_args = 2)]
    peer: Option<Vec<String>>,
}

/// One system, and what it leaves to others.
struct Rival {
    name: &'static str,
    does_not: &'static str,
    measure: fn(Duration) -> Outcome<Vec<Figure>>,
}

const RIVALS: [Rival; 6] = [
    Rival {
        name: "iceoryx2, two processes",
        does_not: "runs no tasks or actors, resolves no references, keeps no object after its readers; both \
                   sides poll, which takes a core each also when there is nothing to do",
        measure: iceoryx::measure,
    },
    Rival {
        name: "ipc-channel, two processes",
        does_not: "serialises and copies every message through a socket; no shared objects, no scheduling",
        measure: channels::measure,
    },
    Rival {
        name: "Unix socket + postcard, two processes",
        does_not: "is what one writes by hand: two system calls and two copies a message, and nothing else",
        measure: sockets::measure,
    },
    Rival {
        name: "kameo, one process",
        does_not: "crosses to no other process: a crash ends all, messages are moved and not serialised",
        measure: floors::kameo,
    },
    Rival {
        name: "tokio, one process",
        does_not: "crosses to no other process: closures are moved, results are not shared objects",
        measure: floors::tokio,
    },
    Rival {
        name: "rayon, one process",
        does_not: "crosses to no other process, returns no futures, and blocks until all is done",
        measure: floors::rayon,
    },
];

fn main() -> Outcome {
    let options = Options::parse();
    if let Some([what, name]) = options.peer.as_deref() {
        peer::dies_with_its_parent();
        return match what.as_str() {
            "publish-subscribe" => iceoryx::echo_messages(name),
            "request-response" => iceoryx::answer_requests(name),
            "ipc-channel" => channels::echo(name),
            "socket" => sockets::echo(name),
            _ => Err(format!("no peer is called {what}").into()),
        };
    }
    let time = Duration::from_secs_f64(options.seconds.clamp(0.001, 3600.0));
    let pattern = options.pattern.unwrap_or_default();
    let mut report = Vec::new();
    for rival in RIVALS.iter().filter(|rival| rival.name.contains(&pattern)) {
        let figures = (rival.measure)(time)?;
        if options.json {
            report.push(serde_json::json!({
                "rival": rival.name, "does_not": rival.does_not, "figures": figures,
            }));
            continue;
        }
        println!("{}\n  It {}.", rival.name, rival.does_not);
        figures.iter().for_each(|figure| println!("    {figure}"));
    }
    if options.json {
        println!("{}", serde_json::Value::from(report));
    }
    Ok(())
}
