//! Flags that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Where the server lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlatformKind {
    /// A release on a Kubernetes cluster.
    Kubernetes,
    /// Real `bao` processes on this machine.
    Local,
}

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

/// Which run: the journal of a target is found by itself.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// Where the server lives
    #[arg(long, value_enum, default_value = "local")]
    pub platform: PlatformKind,
    /// Folder of the local servers and of the run's files
    #[arg(long, value_name = "DIR", default_value = "baoctl-local")]
    pub work_dir: PathBuf,
    /// Journal to use instead of the target's own
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
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
