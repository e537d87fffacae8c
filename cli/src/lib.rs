//! The `rustyray` command.
//!
//! | module | subcommand |
//! | --- | --- |
//! | [`microbenchmark`] | `rustyray microbenchmark`: the rows of `ray microbenchmark`, by the same method |
//! | [`physics`] | `rustyray physics`: what this machine's memory and kernel allow at best |
//!
//! Exit codes: 0 when all went well, 1 when something failed, 2 when the command line was wrong.
//!
//! It is a library besides a program so that benches and tests run the same code.

pub mod microbenchmark;
pub mod physics;
mod shared;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The command line of RustyRay.
#[derive(Debug, Parser)]
#[command(name = "rustyray", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure tasks, actors and objects by the rows and the method of `ray microbenchmark`
    Microbenchmark(microbenchmark::Options),
    /// Measure what this machine allows at best: round trips, copies, system calls
    Physics(physics::Options),
}

/// Runs the command that the arguments of this process name.
pub fn main() -> ExitCode {
    physics::be_the_peer_if_asked();
    match CommandLine::parse().command {
        Command::Microbenchmark(options) => microbenchmark::main(&options),
        Command::Physics(options) => physics::main(&options),
    }
}
