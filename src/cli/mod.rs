//! The command line: one file per command, the exit codes, and nothing about how anything is done.

mod args;
mod check;
mod claim;
mod cleanup;
mod command;
mod completions;
mod drive;
mod exit;
mod failure;
mod guard;
mod keys;
mod left;
mod lock;
mod man;
mod members;
mod migrate_raft;
mod recorded;
mod rehearse;
mod replay;
mod report;
mod resume;
mod rollback;
mod run;
mod runbook;
mod signals;
mod snapshot;
mod status;
mod summary;
mod target;
mod watch;

pub use command::{Cli, main};
pub use exit::Exit;
