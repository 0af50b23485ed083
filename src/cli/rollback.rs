//! `baoctl rollback`.

use std::sync::Arc;

use super::Exit;
use super::args::{ConsentArgs, OutputArgs, RangeArgs, TargetArgs};
use super::migrate_raft::open;
use super::run::{self, Settings, Way};

/// Take back what a run did: the source serves from file storage again
///
/// Done as long as no client was served from the new cluster. Raft files are moved aside on each volume and kept. It can
/// be killed anywhere as well: the same command goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  baoctl rollback --dry-run                    what it would do
  baoctl rollback --confirm-outage local --json")]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// Print each call and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: ConsentArgs,
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
        range: RangeArgs::default(),
        journal: args.target.journal,
        work_dir: args.target.work_dir,
    };
    let way = Way::Back {
        dry_run: args.dry_run,
    };
    run::go_on(Arc::new(platform), way, settings).await
}
