//! The `rustyray` command.
//!
//! | module | subcommand |
//! | --- | --- |
//! | `start`, `stop` | `rustyray start` and `stop`: a node that programs attach to |
//! | `status` | `rustyray status`: resources, object store and work at a glance |
//! | `list` | `rustyray list` and `summary`: tasks, actors, objects, workers, placement groups |
//! | `memory` | `rustyray memory`: who holds which objects |
//! | `logs` | `rustyray logs`: what workers wrote |
//! | `timeline` | `rustyray timeline`: when which worker ran what, for Perfetto |
//! | `dashboard` | `rustyray dashboard`: all of it as a page in the browser |
//! | [`microbenchmark`] | `rustyray microbenchmark`: the rows of `ray microbenchmark`, by the same method |
//! | [`physics`] | `rustyray physics`: what this machine's memory and kernel allow at best |
//!
//! Exit codes: 0 when all went well, 1 when something failed, 2 when the command line was wrong; and for those
//! that look at a node: 3 when none is running, 4 when several are and it was not said which is meant, 5 when
//! the node at an address is gone, 6 without permission.
//!
//! It is a library besides a program so that benches and tests run the same code:
//!
//! ```
//! use std::process::ExitCode;
//!
//! assert_eq!(rustyray_cli::run(["rustyray", "microbenchmark", "--list"]), ExitCode::SUCCESS);
//! assert_eq!(rustyray_cli::run(["rustyray", "list", "dances"]), ExitCode::from(2));
//! ```

mod dashboard;
mod exit;
mod interrupt;
mod list;
mod logs;
mod memory;
pub mod microbenchmark;
pub mod physics;
mod print;
mod seconds;
mod shared;
mod start;
mod status;
mod stop;
mod target;
mod timeline;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};

/// The command line of RustyRay.
///
/// Programs embed RustyRay as a library. This command looks into them while they run, starts a node that
/// several programs share, and measures.
#[derive(Debug, Parser)]
#[command(name = "rustyray", version, arg_required_else_help = true)]
struct CommandLine {
    // Not a `Target`, whose arguments would be those of each command, and so of those that look at no node.
    /// The node's socket, of the commands that look at a node: here or behind the command
    #[arg(long, value_name = "SOCKET")]
    address: Option<PathBuf>,
    /// Print JSON, for programs: here or behind the command
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

impl CommandLine {
    /// The command, with what was said before it.
    fn command(self) -> Result<Command, clap::Error> {
        let CommandLine { address, json, mut command } = self;
        let wrong = |what: &str| {
            <CommandLine as CommandFactory>::command().error(ErrorKind::ArgumentConflict, what)
        };
        if address.is_none() && !json {
            return Ok(command);
        }
        let is_of_all = matches!(&command, Command::Stop(options) if options.all);
        let Some(target) = command.target() else {
            return Err(wrong(
                "`--address` and `--json` before the command are of those that look at a node: what another one has of \
                 that name is said behind it",
            ));
        };
        if address.is_some() && is_of_all {
            return Err(wrong("the argument '--address <SOCKET>' cannot be used with '--all'"));
        }
        // What is said last counts.
        target.address = target.address.take().or(address);
        target.json |= json;
        Ok(command)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node that programs attach to
    Start(start::Options),
    /// End a node that `rustyray start` started
    Stop(stop::Options),
    /// Show a node's resources, object store and work
    Status(target::Target),
    /// List tasks, actors, objects, workers or placement groups
    List(list::Options),
    /// Count tasks, actors, objects, workers or placement groups by name and state
    Summary(list::Summary),
    /// Show who holds which objects, by size
    Memory(memory::Options),
    /// Show what workers wrote
    Logs(logs::Options),
    /// Write when which worker ran what, as a file for Perfetto
    Timeline(timeline::Options),
    /// Serve a page that shows tasks, actors, objects and workers as they are
    Dashboard(dashboard::Options),
    /// Measure tasks, actors and objects by the rows and the method of `ray microbenchmark`
    Microbenchmark(microbenchmark::Options),
    /// Measure what this machine allows at best: round trips, copies, system calls
    Physics(physics::Options),
}

impl Command {
    /// Which node is meant, of a command that looks at one.
    fn target(&mut self) -> Option<&mut target::Target> {
        match self {
            Command::Status(target) => Some(target),
            Command::Stop(options) => Some(&mut options.target),
            Command::List(options) => Some(&mut options.target),
            Command::Summary(options) => Some(&mut options.target),
            Command::Memory(options) => Some(&mut options.target),
            Command::Logs(options) => Some(&mut options.target),
            Command::Timeline(options) => Some(&mut options.target),
            Command::Dashboard(options) => Some(&mut options.target),
            Command::Start(_) | Command::Microbenchmark(_) | Command::Physics(_) => None,
        }
    }
}

/// Runs the command that the arguments of this process name: all of the program `rustyray`.
///
/// ```standalone_crate
/// # fn main() {
/// // Without arguments it says what there is, and that this is no way to call it.
/// assert_eq!(rustyray_cli::main(), std::process::ExitCode::from(2));
/// # }
/// ```
pub fn main() -> ExitCode {
    physics::be_the_peer_if_asked();
    run(std::env::args_os())
}

/// Runs the command that `arguments` name, the first of which is the program's own name. What it says goes to standard
/// output and standard error. It blocks as long as the command takes: `dashboard` until a signal ends it.
///
/// ```
/// use std::process::ExitCode;
///
/// # let directory = tempfile::tempdir().expect("a directory");
/// let nowhere = directory.path().join("nowhere.sock");
/// let arguments = ["rustyray".as_ref(), "status".as_ref(), "--address".as_ref(), nowhere.as_os_str()];
/// assert_eq!(rustyray_cli::run(arguments), ExitCode::from(3)); // no node is there
/// ```
pub fn run(arguments: impl IntoIterator<Item: Into<OsString> + Clone>) -> ExitCode {
    let command = match CommandLine::try_parse_from(arguments).and_then(CommandLine::command) {
        Ok(command) => command,
        Err(wrong) => {
            // Somebody who does not listen any more cannot be told.
            let _ = wrong.print();
            return ExitCode::from(u8::try_from(wrong.exit_code()).unwrap_or(2));
        }
    };
    exit::end(match command {
        Command::Start(options) => start::run(&options),
        Command::Stop(options) => stop::run(&options),
        Command::Status(target) => status::run(&target),
        Command::List(options) => list::run(&options),
        Command::Summary(options) => list::summary(&options),
        Command::Memory(options) => memory::run(&options),
        Command::Logs(options) => logs::run(&options),
        Command::Timeline(options) => timeline::run(&options),
        Command::Dashboard(options) => dashboard::run(&options),
        Command::Microbenchmark(options) => return microbenchmark::main(&options),
        Command::Physics(options) => return physics::main(&options),
    })
}
