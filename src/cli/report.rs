//! `baoctl report`.

use super::exit::fail;
use super::target::TargetArgs;
use super::{Exit, replay};
use crate::ui;

/// Print the report of a run as Markdown: what was done, when, and what was compared
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: &Args) -> Exit {
    let (journal, place) = match args.target.standing() {
        Ok(standing) => standing,
        Err(exit) => return exit,
    };
    match replay::report(&journal) {
        Ok(report) => {
            ui::text(&report);
            Exit::Done
        }
        Err(error) => fail(error, &[&place.command("status")], Exit::Failed),
    }
}
