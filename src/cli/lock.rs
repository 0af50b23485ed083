//! `baoctl lock`.

use clap::Subcommand;

use super::Exit;
use super::claim;
use super::exit::fail;
use super::target::TargetArgs;
use crate::journal;
use crate::platform::kubernetes::Holder;
use crate::ui;

/// Tell who holds the lock of a run, and how it becomes free
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Tell who runs the migration of this target
    Show(TargetArgs),
    /// Tell how a lock that stands in the way becomes free; it takes none away
    ///
    /// A lock ends with its process, and a Lease in the cluster 30 s after its holder was last seen. One whose holder is alive is
    /// kept: two runs would act on one server.
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
        let Some(holder) = elsewhere.filter(Holder::may_be_there) else {
            ui::line("no process holds the lock");
            return Exit::Done;
        };
        let said = format!("not held here; {holder}");
        return match args.command {
            Verb::Show(_) => {
                ui::line(&said);
                Exit::Done
            }
            Verb::Break(_) => {
                let resume = place.command("resume --from-cluster");
                let next =
                    format!("{resume}    when that machine is gone: its claim ends by itself");
                fail(said, &[&next], Exit::Locked)
            }
        };
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
