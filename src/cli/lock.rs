//! `baoctl lock`.

use clap::Subcommand;

use super::Exit;
use super::claim;
use super::exit::fail;
use super::target::TargetArgs;
use crate::journal;
use crate::platform::kubernetes::Holder;
use crate::ui;

/// Show or break the lock of a run
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Tell who runs the migration of this target
    Show(TargetArgs),
    /// Free a lock whose holder is gone; one that is alive keeps it
    Break(TargetArgs),
}

pub(super) async fn run(args: Args) -> Exit {
    let (Verb::Show(target) | Verb::Break(target)) = &args.command;
    let (path, place) = match target.standing() {
        Ok(standing) => standing,
        Err(exit) => return exit,
    };
    let locked = match journal::is_locked(&path) {
        Ok(locked) => locked,
        Err(error) => return fail(error, &[&place.command("status")], Exit::Failed),
    };
    if !locked {
        // The lock lives and dies with its process, so what is left is at most a note of it. On a cluster another machine
        // may hold the claim.
        let here = match target.open(true).await {
            Ok(here) => here,
            Err(exit) => return exit,
        };
        let elsewhere = claim::holder(&here).await;
        ui::line(&match elsewhere.filter(Holder::may_be_there) {
            Some(holder) => format!("not held here; {holder}"),
            None => "no process holds the lock".to_owned(),
        });
        return Exit::Done;
    }
    let holder = journal::Holder::read(&path).map_or_else(
        || "a process that left no note".to_owned(),
        |holder| holder.to_string(),
    );
    match args.command {
        Verb::Show(_) => {
            ui::line(&format!("held by {holder}"));
            Exit::Done
        }
        Verb::Break(_) => fail(
            format!(
                "{holder} is alive and holds the lock; taking it away would let two runs act on one server"
            ),
            &[&format!(
                "stop that process (Ctrl-C once lets it finish the running action), then: {}",
                place.command("resume")
            )],
            Exit::Locked,
        ),
    }
}
