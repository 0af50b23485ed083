//! `baoctl cleanup`.

use jiff::SignedDuration;

use super::Exit;
use super::args::{ConsentArgs, OutputArgs, RangeArgs, ReseedArgs};
use super::run::{self, GoingOn, Settings, Way};
use super::target::TargetArgs;

/// Remove what is left of a run that has ended: the old file tree, raft files aside, copies of the data
///
/// After that there is no way back. Only when the new cluster serves with all its voters, and some time after the end of the run. It
/// removes exactly what it lists: of the file tree each file that is as it was sealed, and nothing else on the volume. After a rollback
/// the tree serves and stays. It can be killed anywhere: the same command goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  baoctl cleanup --context prod --namespace vault --dry-run    the list
  baoctl cleanup --context prod --namespace vault
  baoctl cleanup --platform local --grace 0s --confirm-outage local")]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// Print the list and change nothing
    #[arg(long)]
    dry_run: bool,
    /// How long ago the run must have ended, for example 90m or 3d
    #[arg(long, value_name = "TIME", default_value = "24h")]
    grace: SignedDuration,
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
    let way = Way::CleanUp {
        dry_run: args.dry_run,
        grace: args.grace,
    };
    run::go_on(here, way, args.going, settings).await
}
