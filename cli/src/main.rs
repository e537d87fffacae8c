//! The `rustyray` command.
//!
//! So far it knows who it is: `--version` and `--help`. Anything else is an error with exit code 2.

use std::process::ExitCode;

const HELP: &str = "\
The command line of RustyRay.

Usage: rustyray [--version | --help]

Programs embed RustyRay as a library; see its README.";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("--version" | "-V"), None) => println!("rustyray {}", env!("CARGO_PKG_VERSION")),
        (Some("--help" | "-h"), None) => println!("{HELP}"),
        (None, _) => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
        (Some(unknown), _) => {
            eprintln!("error: `{unknown}` is no command that rustyray knows\n\n{HELP}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
