//! Flags that several commands share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::Exit;
use super::exit::fail;
use super::guard::not_of;
use super::run::CLUSTER_ID;
use super::target::Here;
use crate::action::{FromSnapshot, Source};
use crate::engine::{Program, Range, fact};
use crate::journal;
use crate::runbook::Loaded;

/// How a run is shown.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// Print one JSON object per line instead of text
    #[arg(long)]
    pub json: bool,
    /// Print failures and the summary only
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print each call and detail too
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Agreement given beforehand.
#[derive(Debug, Clone, Args)]
pub struct ConsentArgs {
    /// Agree to every change that can be changed back
    #[arg(short, long)]
    pub yes: bool,
    /// Agree to the outage and to all that is not repeated blindly, by the namespace's name
    #[arg(long, value_name = "NAME")]
    pub confirm_outage: Option<String>,
}

/// A snapshot in place of a server's data.
#[derive(Debug, Clone, Default, Args)]
pub struct SnapshotArgs {
    /// Restore this raft snapshot, as `bao operator raft snapshot save` wrote it, where no member has any data
    #[arg(long, value_name = "FILE")]
    pub from_snapshot: Option<PathBuf>,
    /// Cluster that the snapshot must be of; default: the one that the target's last run was about, where there was one
    #[arg(long, value_name = "ID", requires = "from_snapshot")]
    pub cluster_id: Option<String>,
}

impl SnapshotArgs {
    /// The runbook that is followed: the one that is named, else the one for what is moved. It fits what is moved.
    pub(super) fn runbook(&self, named: Option<&str>) -> Result<Loaded, Exit> {
        let of_snapshot = self.from_snapshot.is_some();
        let named = named.unwrap_or(default_runbook(of_snapshot));
        let loaded = Loaded::resolve(named).map_err(|error| {
            let next = ["baoctl runbook list", "baoctl runbook validate FILE"];
            fail(error, &next, Exit::Usage)
        })?;
        match not_of(&Program::new(&loaded.runbook), of_snapshot) {
            Some(exit) => Err(exit),
            None => Ok(loaded),
        }
    }

    /// The file, which can be opened.
    pub(super) fn file(&self) -> Result<Option<PathBuf>, Exit> {
        let file = self.from_snapshot.as_deref();
        file.map(|file| readable("--from-snapshot", file))
            .transpose()
    }

    /// What is restored into a target.
    pub(super) fn of(self, here: &Here) -> Result<Option<FromSnapshot>, Exit> {
        let Some(path) = self.file()? else {
            return Ok(None);
        };
        // One that was refused has looked at no source, and knew of it from the one before.
        let last_run = || {
            let state = journal::read(&here.journal).ok()?;
            let source = fact::<Source>(&state).map(|source| source.cluster_id);
            source.or_else(|| state.header()?.inputs.get(CLUSTER_ID).cloned())
        };
        let cluster_id = self.cluster_id.or_else(last_run);
        Ok(Some(FromSnapshot { path, cluster_id }))
    }
}

/// The whole path of what an option names, which can be opened. A pipe is not: it may be read once.
pub(super) fn readable(option: &str, path: &Path) -> Result<PathBuf, Exit> {
    std::fs::metadata(path)
        .and_then(|it| {
            if it.is_file() || it.is_dir() {
                std::fs::File::open(path)?;
            }
            Ok(())
        })
        .and_then(|()| std::path::absolute(path))
        .map_err(|error| {
            fail(
                format!("{option} {}: {error}", path.display()),
                &[&format!("the same command with {option} PATH")],
                Exit::Usage,
            )
        })
}

/// The runbook that is followed where none is named.
pub(super) const fn default_runbook(of_snapshot: bool) -> &'static str {
    if of_snapshot {
        "restore-snapshot"
    } else {
        "migrate-raft"
    }
}

/// What a runbook that leaves the source's data behind is told.
#[derive(Debug, Clone, Default, Args)]
pub struct ReseedArgs {
    /// With --runbook reseed: leave the source's data behind; its file tree is kept until `baoctl cleanup`
    #[arg(long, help_heading = "Reseed")]
    pub lose_data: bool,
    /// With --runbook reseed: write the new keys to this file as well (.json or .yaml), encrypted by `sops` with the rules that it
    /// finds beside it or above
    #[arg(long, value_name = "FILE", help_heading = "Reseed")]
    pub sops_file: Option<PathBuf>,
}

/// How long an outage may be.
#[derive(Debug, Clone, Default, Args)]
pub struct BudgetArgs {
    /// Go back to file storage when the outage gets longer than this, for example 60s; refuse to begin one that is expected to
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_outage: Option<Duration>,
}

/// `90s`, `2m`, `1m 30s`.
pub(super) fn duration(given: &str) -> Result<Duration, String> {
    let parsed = given.parse::<jiff::SignedDuration>();
    let why = "write a time as 90s, 2m or 1m 30s";
    let parsed = parsed.map_err(|_| why.to_owned())?;
    Duration::try_from(parsed).map_err(|_| why.to_owned())
}

/// Which part of a runbook.
#[derive(Debug, Clone, Default, Args)]
pub struct RangeArgs {
    /// First step to run
    #[arg(long, value_name = "STEP")]
    pub from: Option<String>,
    /// Last step to run
    #[arg(long, value_name = "STEP")]
    pub until: Option<String>,
}

impl From<&RangeArgs> for Range {
    fn from(args: &RangeArgs) -> Self {
        Self {
            from: args.from.clone(),
            until: args.until.clone(),
        }
    }
}
