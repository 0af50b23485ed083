//! `baoctl man`.

use std::path::PathBuf;

use clap::Command;

use super::Exit;
use super::exit::fail;

/// Print the manual page, or write one for each command
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the pages into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args, command: &Command) -> Exit {
    // The default version line would make every page of a release differ.
    let command = command.clone().disable_help_subcommand(true);
    let written = match &args.out {
        Some(folder) => {
            std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder))
        }
        None => clap_mangen::Man::new(command).render(&mut std::io::stdout().lock()),
    };
    match written {
        Ok(()) => Exit::Done,
        Err(error) => fail(
            format!("cannot write the manual: {error}"),
            &["baoctl man --out DIR"],
            Exit::Failed,
        ),
    }
}
