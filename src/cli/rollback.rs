//! `baoctl rollback`.

use std::path::PathBuf;

use super::Exit;
use super::args::{ConsentArgs, OutputArgs, RangeArgs, ReseedArgs};
use super::exit::fail;
use super::run::{self, GoingOn, Settings, Way};
use super::target::TargetArgs;
use crate::engine::Back;

/// Take back what a run did: the source serves from its old storage again
///
/// From every step, also after the last one. Once clients may have been served from the new cluster, what they wrote since is
/// lost with that: then it says how much that is and wants --export or --lose-writes. Raft files are moved aside on each volume
/// and kept. It can be killed anywhere as well: the same command goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  baoctl rollback --context prod --namespace vault --dry-run    what it would do
  baoctl rollback --context prod --namespace vault
  baoctl rollback --context prod --namespace vault --export before-rollback.snap    after clients were served
  baoctl rollback --platform local --confirm-outage local --json")]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// Print each call and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Save the new cluster as a raft snapshot here, then lose what clients wrote to it
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Lose what clients wrote to the new cluster, and save nothing of it
    #[arg(long, conflicts_with = "export")]
    lose_writes: bool,
    #[command(flatten)]
    going: GoingOn,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: Args) -> Exit {
    let here = match args.target.open_ended(args.dry_run).await {
        Ok(here) => here,
        Err(exit) => return exit,
    };
    let settings = Settings {
        output: args.output,
        consent: args.consent,
        range: RangeArgs::default(),
        max_outage: None,
        reseed: ReseedArgs::default(),
    };
    let export = match args.export.map(std::path::absolute).transpose() {
        Ok(export) => export,
        Err(error) => return fail(format!("--export: {error}"), &[], Exit::Usage),
    };
    let way = Way::Back(Back {
        dry_run: args.dry_run,
        lose_writes: args.lose_writes,
        export,
        overrun: None,
    });
    run::go_on(here, way, args.going, settings).await
}
