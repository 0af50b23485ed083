//! `baoctl completions`.

use std::io;

use clap::Command;
use clap_complete::Shell;

use super::Exit;

/// Print the completion script of a shell
///
/// Bash: `baoctl completions bash > ~/.local/share/bash-completion/completions/baoctl`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args, command: &mut Command) -> Exit {
    clap_complete::generate(args.shell, command, "baoctl", &mut io::stdout().lock());
    Exit::Done
}
