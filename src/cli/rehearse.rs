//! `baoctl rehearse`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Exit;
use super::args::{OutputArgs, RangeArgs};
use super::exit::fail;
use super::run::{self, Beginning, Settings};
use crate::action::{Keys, UNSEAL_KEY};
use crate::bao::{Health, Node};
use crate::event::{Event, Level, Mode, Observer};
use crate::journal;
use crate::meter::{Meter, Unit};
use crate::platform::local::{
    CreateOptions, Golden, LocalPlatform, SampleOptions, find_bao, from_tree, make_source, verify,
};
use crate::platform::{Platform, SecretName};
use crate::runbook::Loaded;
use crate::ui::Output;

/// Perform the whole migration for real, on servers of its own on this machine
///
/// The server holds sample data of every kind, or a copy of your own file tree. What it ends with is compared entry by
/// entry, and the sample data is read back through every member.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  baoctl rehearse
  baoctl rehearse --entries 20000 --shares 5 --threshold 3 --runbook migrate-raft-fast
  baoctl rehearse --from-tree /backup/openbao-data --keys-file keys.json
  baoctl rehearse --source-only, then: baoctl migrate-raft --platform local --dry-run")]
pub struct Args {
    /// Entries of sample data in the source's tree, at least
    #[arg(long, value_name = "N", default_value_t = 2000)]
    entries: u64,
    /// Also a value over raft's default entry size of 1 MiB
    #[arg(long)]
    large: bool,
    /// Unseal shares of the sample source
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=255))]
    shares: u32,
    /// Shares needed to unseal it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=255))]
    threshold: u32,
    /// Rehearse on a copy of this file tree (a folder, or a tar of it) instead of sample data
    #[arg(long, value_name = "DIR", requires = "keys_file")]
    from_tree: Option<PathBuf>,
    /// File with that tree's unseal keys and token, as `bao operator init -format=json` prints them
    #[arg(long, value_name = "FILE", requires = "from_tree")]
    keys_file: Option<PathBuf>,
    /// Runbook to follow: a built-in name or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "migrate-raft")]
    runbook: String,
    /// Folder for the servers and the run's files
    #[arg(long, value_name = "DIR", default_value = "baoctl-local")]
    work_dir: PathBuf,
    /// The `bao` program; default: $BAOCTL_BAO, the cache of `make bao`, then the PATH
    #[arg(long, value_name = "FILE")]
    bao: Option<PathBuf>,
    /// Leave the servers running and their data in place
    #[arg(long)]
    keep: bool,
    /// Make the source and stop there, for a `migrate-raft --platform local` of your own
    #[arg(long)]
    source_only: bool,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// In the work folder of a rehearsal that was asked to keep its servers.
const KEEP: &str = "keep";

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
    if args.threshold > args.shares || (args.threshold == 1 && args.shares > 1) {
        return fail(
            "the threshold must be at most the number of shares, and over 1 when there are several",
            &["baoctl rehearse --shares 5 --threshold 3"],
            Exit::Usage,
        );
    }
    if let Err(exit) = put_by_earlier(&args.work_dir).await {
        return exit;
    }
    let bao = match find_bao(args.bao.as_deref()) {
        Ok(bao) => bao,
        Err(error) => {
            return fail(
                error,
                &["make bao", "baoctl rehearse --bao PATH"],
                Exit::Usage,
            );
        }
    };
    let output = Output::detect(args.output.json, args.output.quiet, args.output.verbose);
    let platform = match source(&args, &bao, &output).await {
        Ok(platform) => platform,
        Err(exit) => return exit,
    };
    output.finish();
    if args.source_only {
        output.observe(&Event::Note {
            level: Level::Info,
            message: format!(
                "the source serves; next: baoctl migrate-raft --platform local --work-dir {}",
                args.work_dir.display()
            ),
        });
        return Exit::Done;
    }
    if args.keep
        && let Err(error) = std::fs::write(platform.run_dir().join(KEEP), "")
    {
        return fail(error, &[], Exit::Failed);
    }
    let settings = Settings {
        output: args.output,
        consent: super::args::ConsentArgs {
            yes: true,
            confirm_outage: None,
        },
        range: args.range,
        journal: None,
        work_dir: args.work_dir,
    };
    run::begin(
        Arc::new(platform),
        Beginning {
            loaded,
            mode: Mode::Rehearsal,
            keys_file: None,
        },
        settings,
    )
    .await
}

/// A finished rehearsal in the same folder makes room; anything else stays as it is.
async fn put_by_earlier(work_dir: &Path) -> Result<(), Exit> {
    let Ok(earlier) = LocalPlatform::open(work_dir) else {
        return Ok(());
    };
    let path = run::journal_path(&earlier, None);
    let rehearsed = journal::read(&path).is_ok_and(|state| {
        state.finished().is_some()
            && state
                .header()
                .is_some_and(|header| header.mode == Mode::Rehearsal)
    });
    let dir = work_dir.display();
    if !rehearsed {
        return Err(fail(
            format!("{dir} holds the servers of an earlier run that is not finished"),
            &[
                &format!("baoctl resume --work-dir {dir}"),
                &format!("baoctl status --work-dir {dir}"),
                "baoctl rehearse --work-dir ANOTHER",
            ],
            Exit::Preflight,
        ));
    }
    let removed = match earlier.stop_all().await {
        Ok(()) => std::fs::remove_dir_all(work_dir).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    removed.map_err(|error| {
        fail(
            format!("cannot clear the finished rehearsal in {dir}: {error}"),
            &[],
            Exit::Failed,
        )
    })
}

/// Tells how far the making of the source is, through the same events as a run.
struct Making<'a> {
    output: &'a Output,
    done: std::sync::atomic::AtomicU64,
    total: std::sync::atomic::AtomicU64,
}

impl Making<'_> {
    fn tell(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        self.output.observe(&Event::Progress {
            step: "source".to_owned(),
            action: "make-source".to_owned(),
            unit: Unit::Entries,
            done: self.done.load(Relaxed),
            total: Some(self.total.load(Relaxed)).filter(|total| *total > 0),
        });
    }
}

impl Meter for Making<'_> {
    fn total(&self, unit: Unit, total: u64) {
        if unit == Unit::Entries {
            self.total
                .store(total, std::sync::atomic::Ordering::Relaxed);
            self.tell();
        }
    }

    fn advance(&self, unit: Unit, more: u64) {
        if unit == Unit::Entries {
            self.done
                .fetch_add(more, std::sync::atomic::Ordering::Relaxed);
            self.tell();
        }
    }

    fn waiting(&self, what: &str) {
        self.output.observe(&Event::Waiting {
            step: "source".to_owned(),
            action: "make-source".to_owned(),
            what: what.to_owned(),
        });
    }
}

async fn source(args: &Args, bao: &Path, output: &Output) -> Result<LocalPlatform, Exit> {
    let failed = |error: crate::platform::Error| {
        fail(error, &["baoctl rehearse --work-dir ANOTHER"], Exit::Failed)
    };
    let platform = LocalPlatform::create(&args.work_dir, bao, CreateOptions::default())
        .map_err(|error| fail(error, &["baoctl rehearse --work-dir ANOTHER"], Exit::Usage))?;
    let started = std::time::Instant::now();
    output.observe(&Event::ActionStarted {
        step: "source".to_owned(),
        action: "make-source".to_owned(),
        title: "make a source on file storage".to_owned(),
    });
    let meter = Making {
        output,
        done: 0.into(),
        total: 0.into(),
    };
    let made = match (&args.from_tree, &args.keys_file) {
        (Some(tree), Some(keys)) => from_tree(&platform, tree, keys, &meter)
            .await
            .map(|()| format!("a copy of {}", tree.display())),
        _ => {
            let options = SampleOptions {
                entries: args.entries,
                shares: args.shares,
                threshold: args.threshold,
                large: args.large,
            };
            make_source(&platform, options, &meter)
                .await
                .map(|golden| format!("{} entries of sample data", golden.entries))
        }
    };
    let summary = match made {
        Ok(summary) => summary,
        Err(error) => {
            // Nothing but this process' own sample is in there.
            let _ = platform.stop_all().await;
            let _ = std::fs::remove_dir_all(&args.work_dir);
            return Err(failed(error));
        }
    };
    output.observe(&Event::ActionFinished {
        step: "source".to_owned(),
        action: "make-source".to_owned(),
        status: crate::event::ActionStatus::Done,
        seconds: started.elapsed().as_secs_f64(),
        summary,
    });
    Ok(platform)
}

/// After the last step: reads the sample back through every member, then clears up.
pub(super) async fn epilogue(
    platform: &LocalPlatform,
) -> crate::platform::Result<BTreeMap<String, String>> {
    let mut facts = BTreeMap::new();
    let keys = platform
        .secret(SecretName::Unseal)
        .await?
        .as_ref()
        .and_then(Keys::from_secret)
        .ok_or_else(|| {
            crate::platform::Error::Refused(format!(
                "the unseal Secret has no `{UNSEAL_KEY}` after the migration"
            ))
        })?;
    if platform.golden_file().is_file() {
        let golden = Golden::load(&platform.golden_file())?;
        let mut checked = 0;
        for member in platform.members() {
            let node = platform.http_node(&member)?;
            let active = node.health().await? == Health::Active;
            checked += verify(&golden, &node, &keys.token, active).await?;
        }
        facts.insert(
            "sample data read back with the old token".to_owned(),
            format!("{checked} things, through every member"),
        );
    }
    if platform.run_dir().join(KEEP).is_file() {
        facts.insert(
            "servers".to_owned(),
            format!("left running in {}", platform.work_dir().display()),
        );
    } else {
        platform.stop_all().await?;
        for member in platform.members() {
            let data = platform.work_dir().join("nodes").join(&member).join("data");
            let _ = std::fs::remove_dir_all(data);
        }
        for name in [
            "backup.tar",
            "backup.snap",
            "final.tar",
            "final.snap",
            "proof.snap",
            "proof-inert.snap",
        ] {
            let _ = std::fs::remove_file(platform.run_dir().join(name));
        }
    }
    Ok(facts)
}
