//! How many times faster than Ray? See `rustyray_cli::microbenchmark`.
//!
//! ```text
//! cargo bench -p rustyray-cli --bench ray_suite -- [PATTERN] [--quick] [--json]
//! ```

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
struct CommandLine {
    #[command(flatten)]
    options: rustyray_cli::microbenchmark::Options,
    /// Given by `cargo bench`; without it there is nothing to measure
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    rustyray_cli::physics::be_the_peer_if_asked();
    let CommandLine { options, bench } = CommandLine::parse();
    if !bench {
        println!("nothing is measured without --bench");
        return ExitCode::SUCCESS;
    }
    rustyray_cli::microbenchmark::main(&options)
}
