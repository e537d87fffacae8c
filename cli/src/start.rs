//! `rustyray start`: a node of its own, to which programs attach.
//!
//! The node has no functions of its own to run; the workers of a program that attaches are started from that
//! program's executable. In the background the command starts itself once more, in a session of its own, and
//! waits until that process says that it is ready.

use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

use clap::Args;
use rustyray::{Builder, Runtime, state::Inspector};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::{exit::Failure, print};

/// How a node is started.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Go on in the background; the process id and the socket are printed
    #[arg(long, short = 'd', visible_alias = "detach")]
    daemon: bool,
    /// Cpus to give out [default: as many as this process may use]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    num_cpus: Option<f64>,
    /// Gpus to give out
    #[arg(long, value_name = "N", default_value_t = 0.0, allow_negative_numbers = true)]
    num_gpus: f64,
    /// Another resource to give out; may be repeated
    #[arg(long, value_name = "NAME=AMOUNT", value_parser = resource)]
    resource: Vec<(String, f64)>,
    /// Bytes of objects to keep in memory, with K, M, G or T if you like [default: 30% of the machine's]
    #[arg(long, value_name = "BYTES", value_parser = size)]
    object_store_memory: Option<u64>,
    /// Where objects go that memory has no room for [default: the directory for temporary files, or /var/tmp, if
    /// that is on a disk]
    #[arg(long, value_name = "DIRECTORY")]
    spill_dir: Option<PathBuf>,
    /// Where to listen, besides the node's place among this user's nodes
    #[arg(long, value_name = "PATH", visible_alias = "address")]
    socket: Option<PathBuf>,
    /// In the background: append what the node and its workers write to this file
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Record from the beginning when tasks begin and end, for `rustyray timeline`
    #[arg(long)]
    record: bool,
    /// Record where in programs objects are made, for `rustyray memory`
    #[arg(long)]
    record_call_sites: bool,
    /// Serve metrics for Prometheus on this loopback port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    metrics_port: Option<u16>,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    /// This is the process in the background
    #[arg(long, hide = true)]
    detached: bool,
}

/// `NAME=AMOUNT`.
fn resource(text: &str) -> Result<(String, f64), String> {
    let (name, amount) = text.split_once('=').ok_or("it is NAME=AMOUNT")?;
    let amount = amount.parse().map_err(|_| format!("`{amount}` is no amount"))?;
    Ok((name.to_owned(), amount))
}

/// A number of bytes, perhaps with a unit.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        unit => return Err(format!("`{unit}` is no unit; there are K, M, G and T")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("`{digits}` is no number"))?;
    let bytes = number * factor as f64;
    if (0.0..1e18).contains(&bytes) { Ok(bytes as u64) } else { Err("too large".into()) }
}

/// What is said of a node that runs.
#[derive(Debug, Serialize)]
struct Started {
    pid: u32,
    socket: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
}

impl Started {
    fn new(pid: u32, socket: String, options: &Options) -> Started {
        let metrics = options.metrics_port.map(|port| format!("http://127.0.0.1:{port}/metrics"));
        Started { pid, socket, metrics }
    }

    fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return print::json(self);
        }
        let metrics = self.metrics.as_ref().map(|url| format!("Its metrics are at {url}\n"));
        print::text(&format!(
            "A node is running, in process {}.\n\
             Its socket is {}\n{}\n\
             Attach a program with rustyray::connect(\"auto\"), look with `rustyray status`,\n\
             end it with `rustyray stop`.\n",
            self.pid,
            self.socket,
            metrics.unwrap_or_default()
        ))
    }
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if options.daemon && !options.detached {
        return detach(options);
    }
    if options.detached {
        // Away from the terminal, which may be closed before the node ends.
        nix::unistd::setsid().map_err(|errno| Failure::io("leaving the session", &errno.into()))?;
    }
    let mut builder = Builder::new().daemon().first_workers(0).num_gpus(options.num_gpus);
    if let Some(cpus) = options.num_cpus {
        builder = builder.num_cpus(cpus);
    }
    for (name, amount) in &options.resource {
        builder = builder.resource(name, *amount);
    }
    if let Some(bytes) = options.object_store_memory {
        builder = builder.object_store_memory(bytes);
    }
    builder = builder.record(options.record);
    if options.record_call_sites {
        builder = builder.record_call_sites(true);
    }
    if let Some(port) = options.metrics_port {
        builder = builder.metrics((std::net::Ipv4Addr::LOCALHOST, port).into());
    }
    if let Some(path) = &options.spill_dir {
        builder = builder.spill_dir(path);
    }
    if let Some(path) = &options.socket {
        builder = builder.socket(path);
    }
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("starting", &error))?;
    tokio.block_on(async {
        let failed = |error: std::io::Error| Failure::io("listening for signals", &error);
        let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
        let runtime = builder.start().await?;
        announce(&runtime, options)?;
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        runtime.shutdown().await?;
        Ok(())
    })
}

fn announce(runtime: &Runtime, options: &Options) -> Result<(), Failure> {
    let socket = runtime.socket().ok_or_else(|| {
        Failure::with_help(
            "the node has no place where it could be found",
            "give it one with `--socket`, or set RUSTYRAY_DIR to a directory of yours",
        )
    })?;
    let started = Started::new(std::process::id(), socket.display().to_string(), options);
    if !options.detached {
        return started.print(options.json);
    }
    let line = serde_json::to_string(&started).map_err(|error| Failure::new(error.to_string()))?;
    // Whoever waits for it may be gone; then nobody waits.
    let _ = writeln!(std::io::stdout(), "{line}");
    // Nobody reads the pipes from here on.
    let failed = |error: std::io::Error| Failure::io("leaving the terminal", &error);
    if options.log.is_some() {
        // Standard error is the log already.
        return nix::unistd::dup2_stdout(std::io::stderr()).map_err(|errno| failed(errno.into()));
    }
    let null = OpenOptions::new().write(true).open("/dev/null").map_err(failed)?;
    nix::unistd::dup2_stdout(&null).map_err(|errno| failed(errno.into()))?;
    nix::unistd::dup2_stderr(&null).map_err(|errno| failed(errno.into()))
}

/// Starts the same command in the background and waits until it is ready.
fn detach(options: &Options) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::io("starting the node's process", &error);
    let errors = match &options.log {
        Some(path) => OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|error| Failure::io(&format!("opening {}", path.display()), &error))?
            .into(),
        None => Stdio::piped(),
    };
    let mut child = Command::new("/proc/self/exe")
        .arg0_and_args()
        .arg("--detached")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(failed)?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
    }
    let Ok(started) = serde_json::from_str::<serde_json::Value>(&line) else {
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut said);
        }
        let code = child.wait().ok().and_then(|status| status.code());
        let said = said.trim().trim_start_matches("error: ").to_owned();
        let log = options.log.as_ref().map(|path| format!("look into {}", path.display()));
        let failure = match log {
            Some(log) => Failure::with_help("the node did not start", log),
            None => Failure::new(format!("the node did not start: {said}")),
        };
        return Err(failure.and_code(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)));
    };
    let text = |name: &str| started[name].as_str().unwrap_or_default().to_owned();
    let started = Started::new(child.id(), text("socket"), options);
    // It answers, and not only listens.
    Inspector::connect(&started.socket)?;
    started.print(options.json)
}

/// The arguments of this process, once more.
trait Again {
    fn arg0_and_args(&mut self) -> &mut Self;
}

impl Again for Command {
    fn arg0_and_args(&mut self) -> &mut Self {
        use std::os::unix::process::CommandExt;
        let mut arguments = std::env::args_os();
        if let Some(name) = arguments.next() {
            self.arg0(name);
        }
        self.args(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("1024"), Ok(1024));
        assert_eq!(size("1.5G"), Ok(3 << 29));
        assert_eq!(size("2MiB"), Ok(2 << 20));
        assert!(size("2X").is_err());
        assert!(size("").is_err());
        assert!(size("-1").is_err());
        assert_eq!(resource("tpu=0.5"), Ok(("tpu".to_owned(), 0.5)));
        assert!(resource("tpu").is_err());
    }
}
