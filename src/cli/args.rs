//! Flags that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::engine::Range;

/// How a run is shown.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// Print one JSON object per line instead of text
    #[arg(long)]
    pub json: bool,
    /// Print failures and the summary only
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print details; twice for each call
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
