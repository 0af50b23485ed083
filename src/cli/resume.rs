//! `baoctl resume`.

use std::sync::Arc;

use super::Exit;
use super::args::{ConsentArgs, OutputArgs, RangeArgs, TargetArgs};
use super::migrate_raft::open;
use super::run::{self, Settings, Way};

/// Go on with a run that failed, was killed or was stopped
///
/// It looks where things stand and never repeats blindly what an earlier process may have done.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    range: RangeArgs,
    /// Go on although the runbook was edited since the run began
    #[arg(long)]
    accept_changed_runbook: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: Args) -> Exit {
    let platform = match open(&args.target) {
        Ok(platform) => platform,
        Err(exit) => return exit,
    };
    let settings = Settings {
        output: args.output,
        consent: args.consent,
        range: args.range,
        journal: args.target.journal,
        work_dir: args.target.work_dir,
    };
    let way = Way::On {
        accept_changed: args.accept_changed_runbook,
    };
    run::go_on(Arc::new(platform), way, settings).await
}
