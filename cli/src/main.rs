//! The `rustyray` command; see the library of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    rustyray_cli::main()
}
