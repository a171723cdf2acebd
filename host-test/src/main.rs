//! `portcullis`: argv → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    host_test::cli::main()
}
