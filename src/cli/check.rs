//! `baoctl check`.

use std::sync::Arc;

use super::args::{OutputArgs, TargetArgs};
use super::exit::fail;
use super::migrate_raft::open;
use super::{Exit, run};
use crate::check;
use crate::event::CheckStatus;
use crate::ui::Output;

/// Make the checks that a migration begins with, alone; changes nothing
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: Args) -> Exit {
    let platform = match open(&args.target) {
        Ok(platform) => platform,
        Err(exit) => return exit,
    };
    let output = Output::detect(args.output.json, args.output.quiet, args.output.verbose);
    let ctx = run::looking(Arc::new(platform), output.observer());
    match check::all(&ctx).await {
        Ok(checked)
            if checked
                .findings
                .iter()
                .any(|finding| finding.status == CheckStatus::Fail) =>
        {
            Exit::Preflight
        }
        Ok(_) => Exit::Done,
        Err(error) => fail(error, &["baoctl status"], Exit::Failed),
    }
}
