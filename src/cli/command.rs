//! The commands, and the way from `main` to one of them.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use super::exit::fail;
use super::{
    Exit, check, cleanup, completions, lock, man, migrate_raft, rehearse, report, resume, rollback,
    runbook, signals, snapshot, status, watch,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done (snapshot diff: no difference)
  1  failed (snapshot diff: different; one that cannot be read is 2)
  2  the command line or an input file is wrong
  3  declined, or nobody was there to agree
  4  not authorised
  5  a check failed before anything was changed, or the command does not fit the run's state
  6  another process runs this migration
  7  it is unknown whether a call was carried out; `baoctl resume` looks
  129, 130, 143  stopped by SIGHUP, SIGINT, SIGTERM; `baoctl resume` goes on

Examples:
  baoctl rehearse                              a whole migration, for real, on a sample server on this machine
  baoctl rehearse --from-tree DIR --keys-file KEYS   the same on a copy of your own data
  baoctl migrate-raft --platform local --dry-run     what a migration would do, with nothing changed
  baoctl resume                                go on after a failure, a kill or a Ctrl-C
  baoctl snapshot convert TREE --out FILE      turn a file tree into a raft snapshot";

/// Move an OpenBao server from file storage to a three-voter Raft cluster, with nothing lost.
#[derive(Debug, Parser)]
#[command(name = "baoctl", version, about, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    MigrateRaft(migrate_raft::Args),
    Rehearse(rehearse::Args),
    Resume(resume::Args),
    Rollback(rollback::Args),
    Cleanup(cleanup::Args),
    Status(status::Args),
    Check(check::Args),
    Watch(watch::Args),
    Report(report::Args),
    Snapshot(snapshot::Args),
    Runbook(runbook::Args),
    Lock(lock::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Parses the command line, runs the command, and tells how the process ends.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; a closed pipe is no reason to panic.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Done.into()
            };
        }
    };
    let exit = match cli.command {
        Command::Completions(args) => completions::run(&args, &mut Cli::command()),
        Command::Man(args) => man::run(&args, &Cli::command()),
        Command::Runbook(args) => runbook::run(args),
        Command::Snapshot(args) => snapshot::run(&args),
        Command::Lock(args) => wait_for(lock::run(args)),
        Command::Report(args) => report::run(&args),
        Command::MigrateRaft(args) => wait_for(migrate_raft::run(args)),
        Command::Rehearse(args) => wait_for(rehearse::run(args)),
        Command::Resume(args) => wait_for(resume::run(args)),
        Command::Rollback(args) => wait_for(rollback::run(args)),
        Command::Cleanup(args) => wait_for(cleanup::run(args)),
        Command::Status(args) => wait_for(status::run(args)),
        Command::Check(args) => wait_for(check::run(args)),
        Command::Watch(args) => wait_for(watch::run(args)),
    };
    exit.into()
}

/// Commands that talk to servers get a runtime; the others start without one.
fn wait_for(command: impl Future<Output = Exit>) -> Exit {
    crate::bao::install_crypto();
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let exit = runtime.block_on(signals::or_stopped(command));
            // A storage task that was cut off by a signal must not hold the process up.
            runtime.shutdown_background();
            exit
        }
        Err(error) => fail(format!("cannot start: {error}"), &[], Exit::Failed),
    }
}
