//! `baoctl migrate-raft`.

use super::Exit;
use super::args::{BudgetArgs, ConsentArgs, OutputArgs, RangeArgs, ReseedArgs, SnapshotArgs};
use super::keys::KeysArgs;
use super::run::{self, Beginning, Settings};
use super::target::TargetArgs;
use crate::event::Mode;

/// Take a server from one replica on file storage to a three-voter Raft cluster
///
/// It proves before the outage that the keys and the data will work afterwards, asks before each thing that cannot be
/// undone, and can be killed anywhere: `baoctl resume` goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  baoctl migrate-raft --context prod --namespace vault --chart openbao/openbao --dry-run
  baoctl migrate-raft --context prod --namespace vault --chart openbao/openbao
  baoctl migrate-raft --context prod -n vault --chart openbao/openbao --until record-keys    stop before the outage
  baoctl migrate-raft --context prod -n vault --chart openbao/openbao --runbook migrate-raft-fast
  baoctl migrate-raft --context prod -n vault --driver manifests    a release that no helm manages
  baoctl migrate-raft --platform local --yes --confirm-outage local --json    on servers of `baoctl rehearse --source-only`
  baoctl migrate-raft --context prod -n vault --chart openbao/openbao --from-snapshot FILE    where the cluster was lost")]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// Runbook to follow: a built-in name or a file [default: migrate-raft; restore-snapshot with --from-snapshot]
    #[arg(long, value_name = "NAME|FILE")]
    runbook: Option<String>,
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// Print each call and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    keys: KeysArgs,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    budget: BudgetArgs,
    #[command(flatten)]
    reseed: ReseedArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: Args) -> Exit {
    let loaded = match args.snapshot.runbook(args.runbook.as_deref()) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if let Err(exit) = args.snapshot.file() {
        return exit;
    }
    let here = match args.target.open(args.dry_run).await {
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
    let mode = if args.dry_run {
        Mode::DryRun
    } else {
        Mode::Live
    };
    let beginning = Beginning {
        loaded,
        mode,
        keys: args.keys,
        snapshot: match args.snapshot.of(&here) {
            Ok(snapshot) => snapshot,
            Err(exit) => return exit,
        },
    };
    run::begin(here, beginning, settings).await
}
