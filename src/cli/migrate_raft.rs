//! `baoctl migrate-raft`.

use std::path::PathBuf;
use std::sync::Arc;

use super::Exit;
use super::args::{ConsentArgs, OutputArgs, PlatformKind, RangeArgs, TargetArgs};
use super::exit::fail;
use super::run::{self, Beginning, Settings};
use crate::event::Mode;
use crate::platform::local::LocalPlatform;
use crate::runbook::Loaded;

/// Take a server from one replica on file storage to a three-voter Raft cluster
///
/// It proves before the outage that the keys and the data will work afterwards, asks before each thing that cannot be
/// undone, and can be killed anywhere: `baoctl resume` goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  baoctl migrate-raft --platform local --dry-run
  baoctl migrate-raft --platform local --runbook migrate-raft-fast
  baoctl migrate-raft --platform local --until record-keys    stop before the outage
  baoctl migrate-raft --platform local --yes --confirm-outage openbao --json")]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// Runbook to follow: a built-in name or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "migrate-raft")]
    runbook: String,
    /// Print each call and change nothing
    #[arg(long)]
    dry_run: bool,
    /// File with unseal keys and token, as `bao operator init -format=json` prints them; default: the release's Secret
    #[arg(long, value_name = "FILE")]
    keys_file: Option<PathBuf>,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: Args) -> Exit {
    let loaded = match Loaded::resolve(&args.runbook) {
        Ok(loaded) => loaded,
        Err(error) => {
            return fail(
                error,
                &["baoctl runbook list", "baoctl runbook validate FILE"],
                Exit::Usage,
            );
        }
    };
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
    let mode = if args.dry_run {
        Mode::DryRun
    } else {
        Mode::Live
    };
    let beginning = Beginning {
        loaded,
        mode,
        keys_file: args.keys_file,
    };
    run::begin(Arc::new(platform), beginning, settings).await
}

/// Opens the place that the flags name.
pub(super) fn open(target: &TargetArgs) -> Result<LocalPlatform, Exit> {
    match target.platform {
        PlatformKind::Local => LocalPlatform::open(&target.work_dir).map_err(|error| {
            let work_dir = target.work_dir.display();
            let next = format!("baoctl rehearse --source-only --work-dir {work_dir}");
            fail(error, &[&next], Exit::Usage)
        }),
        PlatformKind::Kubernetes => Err(fail(
            "this version migrates servers on this machine only",
            &["baoctl migrate-raft --platform local"],
            Exit::Usage,
        )),
    }
}
