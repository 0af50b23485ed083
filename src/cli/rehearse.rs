//! `baoctl rehearse`.

mod epilogue;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::Exit;
use super::args::{OutputArgs, RangeArgs, ReseedArgs, SnapshotArgs, readable};
use super::exit::fail;
use super::guard::{refused_by_journal, unfit};
use super::run::{self, Beginning, Settings};
use super::target::{Here, Place};
use crate::action::KEEP_KEYS;
use crate::engine::{ActionMeter, Program};
use crate::event::{ActionStatus, Event, Level, Mode, Observer};
use crate::journal;
use crate::meter::SharedMeter;
use crate::platform::local::{
    CreateOptions, LocalPlatform, SampleOptions, find_bao, from_tree, keep_keys_of, make_source,
};
use crate::platform::{Platform, StorageKind};
use crate::ui::Output;

pub(super) use epilogue::epilogue;

/// Perform the whole migration for real, on servers of its own on this machine
///
/// The server holds sample data of every kind, or a copy of your own file tree. What it ends with is compared entry by
/// entry, and the sample data is read back through every member.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag of its own.
#[command(after_help = "\
Examples:
  baoctl rehearse
  baoctl rehearse --entries 20000 --shares 5 --threshold 3 --runbook migrate-raft-fast
  baoctl rehearse --namespaces --runbook migrate-raft-fast
  baoctl rehearse --source pebbledb --bao PATH --runbook operator-migrate
  baoctl rehearse --from-tree /backup/openbao-data --keys-file keys.json
  baoctl rehearse --from-snapshot /backup/nightly.snap --keys-file keys.json    proves that it can be restored
  baoctl rehearse --source-only, then: baoctl migrate-raft --platform local --dry-run")]
pub struct Args {
    #[command(flatten)]
    sample: SampleArgs,
    /// What the source keeps its data in; pebbledb takes a `bao` of 2.7
    #[arg(
        long,
        value_name = "STORAGE",
        value_parser = sources(),
        default_value = "file",
        conflicts_with = "from_snapshot"
    )]
    source: StorageKind,
    /// Rehearse on a copy of this file tree (a folder, or a tar of it) instead of sample data; with `--source pebbledb` of this
    /// store (its folder)
    #[arg(
        long,
        value_name = "DIR",
        requires = "keys_file",
        conflicts_with = "from_snapshot"
    )]
    from_tree: Option<PathBuf>,
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// File with the unseal keys and a token of that tree or snapshot, as `bao operator init -format=json` prints them
    #[arg(long, value_name = "FILE")]
    keys_file: Option<PathBuf>,
    /// Runbook to follow: a built-in name or a file [default: migrate-raft; restore-snapshot with --from-snapshot]
    #[arg(long, value_name = "NAME|FILE")]
    runbook: Option<String>,
    /// Folder for the servers and the run's files
    #[arg(long, value_name = "DIR", default_value = "baoctl-local")]
    work_dir: PathBuf,
    /// The `bao` program; default: `$BAOCTL_BAO`, the cache of `make bao`, then the PATH
    #[arg(long, value_name = "FILE")]
    bao: Option<PathBuf>,
    /// Leave the servers running and their data in place
    #[arg(long)]
    keep: bool,
    /// Stop and remove what an earlier rehearsal left in the folder, also when it is not finished, and then rehearse anew
    #[arg(long)]
    discard: bool,
    /// Make the source and stop there, for a `migrate-raft --platform local` of your own
    #[arg(long)]
    source_only: bool,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What there is without data of one's own.
#[derive(Debug, clap::Args)]
#[group(id = "sample", multiple = true, conflicts_with_all = ["from_tree", "from_snapshot"])]
struct SampleArgs {
    /// Entries of sample data in the source's tree, at least
    #[arg(long, value_name = "N", default_value_t = 2000)]
    entries: u64,
    /// Also a value over raft's default entry size of 1 MiB
    #[arg(long)]
    large: bool,
    /// Also child namespaces, nested ones too; of the built-in runbooks only migrate-raft-fast moves them
    #[arg(long)]
    namespaces: bool,
    /// Unseal shares of the sample source
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=255))]
    shares: u32,
    /// Shares needed to unseal it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=255))]
    threshold: u32,
}

fn sources() -> impl TypedValueParser<Value = StorageKind> {
    let kinds = [StorageKind::File, StorageKind::Pebbledb];
    let named = move |word: String| kinds.into_iter().find(|kind| kind.name() == word);
    PossibleValuesParser::new(kinds.map(StorageKind::name))
        .map(move |word| named(word).unwrap_or_default())
}

/// In the run folder of a rehearsal that was asked to keep its servers.
const KEEP: &str = "keep";
/// In the work folder as long as its source is not complete.
const MAKING: &str = "making";

pub(super) async fn run(args: Args) -> Exit {
    let loaded = match args.snapshot.runbook(args.runbook.as_deref()) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let program = Program::new(&loaded.runbook);
    if let Some(exit) = unfit(&program, &loaded, &args.range, None) {
        return exit;
    }
    if let Err(exit) = args.fit() {
        return exit;
    }
    if let Err(exit) = put_by_earlier(&args.work_dir, args.discard).await {
        return exit;
    }
    let bao = match find_bao(args.bao.as_deref(), args.source) {
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
        let dir = args.work_dir.display();
        let (stands, snapshot) = match &args.snapshot.from_snapshot {
            None => ("the source serves", String::new()),
            Some(file) => (
                "the members are empty",
                format!(" --from-snapshot {}", file.display()),
            ),
        };
        output.observe(&Event::Note {
            level: Level::Info,
            message: format!(
                "{stands}; next: baoctl migrate-raft --platform local --work-dir {dir}{snapshot}"
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
        max_outage: None,
        // They are its own servers.
        reseed: ReseedArgs {
            lose_data: Program::new(&loaded.runbook).has(KEEP_KEYS),
            sops_file: None,
        },
    };
    let here = Here::of_local(Arc::new(platform), None);
    let beginning = Beginning {
        loaded,
        mode: Mode::Rehearsal,
        keys: super::keys::KeysArgs::default(),
        snapshot: match args.snapshot.of(&here) {
            Ok(snapshot) => snapshot,
            Err(exit) => return exit,
        },
    };
    run::begin(here, beginning, settings).await
}

impl Args {
    /// Refuses what does not fit together, before anything is made.
    fn fit(&self) -> Result<(), Exit> {
        let SampleArgs {
            shares, threshold, ..
        } = self.sample;
        if threshold > shares || (threshold == 1 && shares > 1) {
            return Err(fail(
                "the threshold must be at most the number of shares, and over 1 when there are several",
                &["baoctl rehearse --shares 5 --threshold 3"],
                Exit::Usage,
            ));
        }
        let own = self.from_tree.is_some() || self.snapshot.from_snapshot.is_some();
        if own != self.keys_file.is_some() {
            return Err(fail(
                "the keys of a tree or a snapshot are named with it, and with nothing else: --keys-file FILE",
                &[
                    "baoctl rehearse --from-tree DIR --keys-file FILE",
                    "baoctl rehearse --from-snapshot FILE --keys-file FILE",
                ],
                Exit::Usage,
            ));
        }
        let snapshot = self.snapshot.file()?;
        for (option, path) in [
            ("--from-tree", &self.from_tree),
            ("--keys-file", &self.keys_file),
        ] {
            path.as_ref()
                .map(|path| readable(option, path))
                .transpose()?;
        }
        let inside = |path: &PathBuf| {
            let resolved = (path.canonicalize(), self.work_dir.canonicalize());
            matches!(resolved, (Ok(path), Ok(dir)) if path.starts_with(&dir))
        };
        if let Some(path) = [&self.from_tree, &snapshot, &self.keys_file]
            .into_iter()
            .flatten()
            .find(|path| inside(path))
        {
            return Err(fail(
                format!(
                    "{} lies in the work folder, which a new rehearsal clears",
                    path.display()
                ),
                &["the same command with --work-dir ANOTHER"],
                Exit::Usage,
            ));
        }
        Ok(())
    }

    /// What to type where no source could be made, and whether what was given is to blame.
    fn cure(&self, error: &crate::platform::Error) -> (&'static str, Exit) {
        use crate::platform::Error;
        let own = |path: &Path| {
            let given = [&self.from_tree, &self.keys_file];
            given
                .into_iter()
                .flatten()
                .any(|given| path.starts_with(given))
        };
        match error {
            Error::MissingProgram { .. } => ("the same command with --bao PATH", Exit::Usage),
            Error::Refused(_) if self.keys_file.is_none() => (
                "the same command with --bao PATH, or with another --source",
                Exit::Usage,
            ),
            Error::Io { path, .. } if !own(path) => ("the same command", Exit::Failed),
            Error::Refused(_) | Error::Storage(_) | Error::Io { .. } => (
                "the same command with data and a --keys-file that fit each other",
                Exit::Usage,
            ),
            _ => ("the same command", Exit::Failed),
        }
    }
}

/// A rehearsal that is finished, or that died before its run began, makes room for the next in the same folder.
/// Anything else stays as it is unless `discard` says otherwise.
async fn put_by_earlier(work_dir: &Path, discard: bool) -> Result<(), Exit> {
    let Ok(earlier) = LocalPlatform::open(work_dir).map(Arc::new) else {
        return Ok(());
    };
    let path = Here::of_local(earlier.clone(), None).journal;
    if journal::is_locked(&path).unwrap_or(false) {
        let holder = journal::Holder::read(&path);
        return Err(refused_by_journal(
            &journal::Error::Locked { path, holder },
            &Place::local(work_dir),
        ));
    }
    let over = journal::read(&path).is_ok_and(|state| {
        let mode = state.header().map(|header| header.mode);
        state.finished().is_some() && mode == Some(Mode::Rehearsal)
    });
    let live = journal::read(&path).is_ok_and(|state| {
        let mode = state.header().map(|header| header.mode);
        mode == Some(Mode::Live) && state.finished().is_none()
    });
    if live {
        let dir = work_dir.display();
        return Err(fail(
            format!(
                "{dir} holds a migration that is not finished, with the only copy of its data; it is not discarded"
            ),
            &[
                &format!("baoctl status --work-dir {dir}"),
                "baoctl rehearse --work-dir ANOTHER",
            ],
            Exit::Preflight,
        ));
    }
    let kept = earlier.run_dir().join(KEEP).is_file();
    let half_made = work_dir.join(MAKING).is_file();
    let dir = work_dir.display();
    if !(discard || half_made || over && !kept) {
        let why = if over {
            format!("{dir} holds a finished rehearsal that was asked to keep its servers")
        } else {
            format!("{dir} holds servers whose migration is not finished")
        };
        return Err(fail(
            why,
            &[
                &format!("baoctl status --work-dir {dir}"),
                &format!("baoctl rehearse --work-dir {dir} --discard"),
                "baoctl rehearse --work-dir ANOTHER",
            ],
            Exit::Preflight,
        ));
    }
    let removed = match earlier.kill_all().await {
        Ok(()) => std::fs::remove_dir_all(work_dir).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    removed.map_err(|error| {
        let why = format!("cannot clear the earlier rehearsal in {dir}: {error}");
        fail(why, &[], Exit::Failed)
    })
}

/// Tells of a part of a rehearsal that belongs to no step of the runbook.
async fn told<T, E>(
    observer: &Arc<dyn Observer>,
    (step, action, title): (&str, &str, &str),
    work: impl AsyncFnOnce(SharedMeter) -> Result<(T, String), E>,
) -> Result<T, E> {
    let started = std::time::Instant::now();
    observer.observe(&Event::ActionStarted {
        step: step.to_owned(),
        action: action.to_owned(),
        title: title.to_owned(),
    });
    let (value, summary) = work(Arc::new(ActionMeter::new(step, action, observer.clone()))).await?;
    observer.observe(&Event::ActionFinished {
        step: step.to_owned(),
        action: action.to_owned(),
        status: ActionStatus::Done,
        seconds: started.elapsed().as_secs_f64(),
        summary,
    });
    Ok(value)
}

async fn source(args: &Args, bao: &Path, output: &Output) -> Result<LocalPlatform, Exit> {
    let another = ["baoctl rehearse --work-dir ANOTHER"];
    let restores = args.snapshot.from_snapshot.is_some();
    let mut options = CreateOptions {
        storage: args.source,
        ..CreateOptions::default()
    };
    if restores {
        // Nothing of a rehearsal is written to where the old cluster wrote.
        options.audit.clear();
    }
    let platform = LocalPlatform::create(&args.work_dir, bao, options)
        .map_err(|error| fail(error, &another, Exit::Usage))?;
    let making = args.work_dir.join(MAKING);
    std::fs::write(&making, "").map_err(|error| fail(error, &another, Exit::Failed))?;
    let title = if restores {
        "make room for three empty members".to_owned()
    } else {
        format!("make a source on {} storage", args.source.name())
    };
    let head = ("source", "make-source", title.as_str());
    let made = told(&output.observer(), head, async |meter| {
        if let (Some(tree), Some(keys)) = (&args.from_tree, &args.keys_file) {
            from_tree(&platform, tree, keys, meter.as_ref()).await?;
            return Ok(((), format!("a copy of {}", tree.display())));
        }
        if let (true, Some(keys)) = (restores, &args.keys_file) {
            keep_keys_of(&platform, keys).await?;
            return Ok(((), "nothing runs yet".to_owned()));
        }
        let options = SampleOptions {
            entries: args.sample.entries,
            shares: args.sample.shares,
            threshold: args.sample.threshold,
            large: args.sample.large,
            namespaces: args.sample.namespaces,
        };
        let golden = make_source(&platform, options, meter.as_ref()).await?;
        Ok(((), format!("{} entries of sample data", golden.entries)))
    })
    .await;
    match made {
        Ok(()) => {
            std::fs::remove_file(&making).map_err(|error| fail(error, &another, Exit::Failed))?;
            Ok(platform)
        }
        Err(error) => {
            let error: crate::platform::Error = error;
            // Nothing but this process' own sample is in there.
            let _ = platform.kill_all().await;
            let _ = std::fs::remove_dir_all(&args.work_dir);
            let (next, exit) = args.cure(&error);
            Err(fail(error, &[next], exit))
        }
    }
}
