//! `baoctl resume`.

use std::path::PathBuf;

use super::Exit;
use super::args::{BudgetArgs, ConsentArgs, OutputArgs, RangeArgs, ReseedArgs, readable};
use super::run::{self, GoingOn, Settings, Way};
use super::target::TargetArgs;

/// Go on with a run that failed, was killed or was stopped
///
/// It looks where things stand and never repeats blindly what an earlier process may have done.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  baoctl resume --context prod --namespace vault
  baoctl resume --context prod --namespace vault --chart ./openbao --from-cluster    the first machine is gone
  baoctl resume --platform local --work-dir baoctl-local")]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    going: GoingOn,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    budget: BudgetArgs,
    #[command(flatten)]
    reseed: ReseedArgs,
    /// With --runbook reseed: go on without the SOPS file that the run was begun with
    #[arg(long, conflicts_with = "sops_file", help_heading = "Reseed")]
    no_sops_file: bool,
    /// With a run that restores a snapshot: where the file is now, for example on another machine
    #[arg(long, value_name = "FILE")]
    from_snapshot: Option<PathBuf>,
    /// Go on although the runbook was edited since the run began
    #[arg(long)]
    accept_changed_runbook: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: Args) -> Exit {
    let named = args.from_snapshot.as_deref();
    let named = named.map(|file| readable("--from-snapshot", file));
    let from_snapshot = match named.transpose() {
        Ok(file) => file,
        Err(exit) => return exit,
    };
    let here = match args.target.open(false).await {
        Ok(here) => here,
        Err(exit) => return exit,
    };
    let settings = Settings {
        output: args.output,
        consent: args.consent,
        range: args.range,
        max_outage: args.budget.max_outage,
        reseed: args.reseed,
    };
    let way = Way::On {
        accept_changed: args.accept_changed_runbook,
        no_sops_file: args.no_sops_file,
        from_snapshot,
    };
    run::go_on(here, way, args.going, settings).await
}
