//! The `baoctl` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    baoctl::cli::main()
}
