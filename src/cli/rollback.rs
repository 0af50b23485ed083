//! `baoctl rollback`.

use super::Exit;
use super::args::{ConsentArgs, OutputArgs, RangeArgs};
use super::run::{self, GoingOn, Settings, Way};
use super::target::TargetArgs;

/// Take back what a run did: the source serves from file storage again
///
/// Done as long as no client was served from the new cluster. Raft files are moved aside on each volume and kept. It can
/// be killed anywhere as well: the same command goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  baoctl rollback --context prod --namespace vault --dry-run    what it would do
  baoctl rollback --context prod --namespace vault
  baoctl rollback --platform local --confirm-outage local --json")]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// Print each call and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    going: GoingOn,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: Args) -> Exit {
    let here = match args.target.open(args.dry_run).await {
        Ok(here) => here,
        Err(exit) => return exit,
    };
    let settings = Settings {
        output: args.output,
        consent: args.consent,
        range: RangeArgs::default(),
        max_outage: None,
    };
    let way = Way::Back {
        dry_run: args.dry_run,
    };
    run::go_on(here, way, args.going, settings).await
}
