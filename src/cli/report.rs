//! `baoctl report`.

use super::args::TargetArgs;
use super::exit::fail;
use super::migrate_raft::open;
use super::{Exit, replay, run};
use crate::ui;

/// Print the report of a run as Markdown: what was done, when, and what was compared
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: &Args) -> Exit {
    let platform = match open(&args.target) {
        Ok(platform) => platform,
        Err(exit) => return exit,
    };
    match replay::events(&run::journal_path(&platform, args.target.journal.as_ref())) {
        Ok(events) => {
            ui::text(&ui::markdown(&events));
            Exit::Done
        }
        Err(error) => fail(error, &["baoctl status"], Exit::Failed),
    }
}
