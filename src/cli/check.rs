//! `baoctl check`.

use super::args::{OutputArgs, SnapshotArgs};
use super::exit::{fail, of_status};
use super::keys::KeysArgs;
use super::target::{Here, TargetArgs};
use super::{Exit, run};
use crate::engine::Program;
use crate::event::{CheckStatus, Event, Level, Observer};
use crate::ui::Output;
use crate::{action, check, journal};

/// Make the checks that a migration begins with, alone; changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  baoctl check --context prod --namespace vault --chart openbao/openbao
  baoctl check --context prod -n vault --chart openbao/openbao --json
  baoctl check --context prod -n vault --chart openbao/openbao --runbook migrate-raft-fast    what this one needs
  baoctl check --context prod -n vault --driver manifests    no helm manages the release
  baoctl check --platform local
  baoctl check --platform local --from-snapshot FILE --keys-file FILE    whether it could be restored here")]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// Runbook that would be followed: a built-in name or a file [default: migrate-raft; restore-snapshot with --from-snapshot]
    #[arg(long, value_name = "NAME|FILE")]
    runbook: Option<String>,
    #[command(flatten)]
    snapshot: SnapshotArgs,
    #[command(flatten)]
    keys: KeysArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: Args) -> Exit {
    let loaded = match args.snapshot.runbook(args.runbook.as_deref()) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if let Err(exit) = args.snapshot.file() {
        return exit;
    }
    let here = match args.target.open(true).await {
        Ok(here) => here,
        Err(exit) => return exit,
    };
    if let Some(exit) = in_outage(&here) {
        return exit;
    }
    let output = Output::detect(args.output.json, args.output.quiet, args.output.verbose);
    let given = match args.keys.read(&here).await {
        Ok(given) => given,
        Err(exit) => return exit,
    };
    let snapshot = match args.snapshot.of(&here) {
        Ok(snapshot) => snapshot,
        Err(exit) => return exit,
    };
    let mut ctx = run::looking(here.platform, output.observer(), args.keys.keys_file, given);
    ctx.snapshot = snapshot;
    ctx.replicas = loaded.runbook.replicas;
    ctx.folder = loaded.folder();
    let program = Program::new(&loaded.runbook);
    ctx.children = program.children();
    let unmade = |error: &action::Error| {
        let exit = exit_of(error);
        fail(error, &[&here.place.command("status")], exit)
    };
    let mut checked = match check::all(&ctx).await {
        Ok(checked) => checked,
        Err(error) => return unmade(&error),
    };
    for unit in program.steps.iter().flat_map(|step| &step.units) {
        match unit.action.lacks(&ctx).await {
            Ok(None) => {}
            Ok(Some(why)) => check::lacking(&ctx, why, &mut checked),
            Err(error) => return unmade(&error),
        }
    }
    let of = checked.findings.len();
    let failed = checked
        .findings
        .iter()
        .filter(|finding| finding.status == CheckStatus::Fail)
        .count();
    let (level, message, exit) = if failed == 0 {
        (Level::Info, check::passed(&checked.findings), Exit::Done)
    } else {
        (
            Level::Warn,
            format!("{failed} of {of} checks failed"),
            Exit::Preflight,
        )
    };
    output.observe(&Event::Note { level, message });
    exit
}

/// A source that a run has sealed is no source to look at: whoever follows a hint that it gives disturbs the run.
pub(super) fn in_outage(here: &Here) -> Option<Exit> {
    let state = journal::read(&here.journal).ok()?;
    state.in_outage().then(|| {
        let next = ["resume", "rollback", "status"].map(|verb| here.place.command(verb));
        fail(
            "a run of this target has sealed the source and has not ended: go on with it, or back",
            &next.each_ref().map(String::as_str),
            Exit::Preflight,
        )
    })
}

/// How it ends when a check could not be made at all.
fn exit_of(error: &action::Error) -> Exit {
    of_status(error.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_that_is_missing_has_its_exit_code() {
        let answered = |status| {
            action::Error::Platform(crate::platform::Error::Cluster {
                doing: "running a script in pod openbao-0 (pods/exec)".to_owned(),
                why: "no".to_owned(),
                status,
            })
        };
        assert_eq!(exit_of(&answered(Some(403))), Exit::NotAuthorised);
        assert_eq!(exit_of(&answered(None)), Exit::Failed);
    }
}
