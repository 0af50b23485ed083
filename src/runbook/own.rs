//! What `command`, `pause` and `run-jobs` must be, and where they do harm.

use std::path::Path;

use super::model::Runbook;
use super::validate::{Findings, Placed, is_blank};
use crate::action::{ActionSpec, Key};
use crate::event::Effect;

const NO_TIME: &str = "`timeout` is a number of seconds from 1 to 86400";

/// At most a day.
const fn is_a_time(seconds: u32) -> bool {
    seconds > 0 && seconds <= 86_400
}

pub(super) fn validate(
    runbook: &Runbook,
    actions: &[Placed],
    folder: Option<&Path>,
    findings: &mut Findings,
) {
    for it in actions {
        shape(it, findings);
        if let Some(name) = folder.and_then(|folder| it.action.missing_program(folder)) {
            let place = if name.contains('/') {
                "from the folder of this file"
            } else {
                "on the PATH"
            };
            let message =
                format!("the program `{name}` is not found {place}; a run would refuse to begin");
            findings.warn(it.at, message);
        }
    }
    twice(actions, findings);
    outage(actions, findings);
    rewound(runbook, actions, findings);
}

/// What does not depend on where it stands.
fn shape(it: &Placed, findings: &mut Findings) {
    let mut check = |wrong: bool, message: &str| {
        if wrong {
            findings.error(it.at, message);
        }
    };
    match it.action {
        ActionSpec::Command {
            title,
            run,
            check: checks,
            undo,
            timeout,
            ..
        } => {
            let nameless = |words: &[String]| words.first().is_some_and(|name| is_blank(name));
            let reads = it.action.effect() == Effect::Read;
            check(is_blank(title), "`title` is empty");
            check(
                run.is_empty(),
                "`run` is empty: it begins with a program, such as `[./my-check, --fast]`",
            );
            check(
                [run, checks, undo].into_iter().any(|words| nameless(words)),
                "the name of a program is empty",
            );
            check(
                reads && !(checks.is_empty() && undo.is_empty()),
                "`check` and `undo` are for what changes something: `effect: read` does not; say `effect: change` where it does",
            );
            check(!is_a_time(*timeout), NO_TIME);
        }
        ActionSpec::Pause { say, .. } => {
            check(
                is_blank(say),
                "`say` is empty: it is what the person is asked",
            );
        }
        ActionSpec::RunJobs { jobs, timeout } => {
            check(
                jobs.is_empty() || jobs.iter().any(|name| is_blank(name)),
                "`jobs` names the Jobs to run, such as `[vault-config, vault-seed]`",
            );
            check(!is_a_time(*timeout), NO_TIME);
        }
        _ => {}
    }
}

/// An answer is known again by what was asked.
fn twice(actions: &[Placed], findings: &mut Findings) {
    let said = |it: &Placed| match it.action {
        ActionSpec::Pause { say, .. } => Some((it.step, say.clone())),
        _ => None,
    };
    for (index, it) in actions.iter().enumerate() {
        let Some(asked) = said(it) else { continue };
        let same = actions[..index]
            .iter()
            .find(|earlier| said(earlier).as_ref() == Some(&asked));
        if let Some(same) = same {
            let message = format!(
                "this `pause` asks what the one in line {} asks; one answer would count for both",
                same.at.line
            );
            findings.error(it.at, message);
        }
    }
}

/// What stands between the seal of the source and the first unseal that lets clients in.
fn outage(actions: &[Placed], findings: &mut Findings) {
    let place = |is: fn(&ActionSpec) -> bool| actions.iter().position(|it| is(it.action));
    let Some(sealed) = place(|it| matches!(it, ActionSpec::SealSource {})) else {
        return;
    };
    let serves = |it: &ActionSpec| {
        matches!(
            it,
            ActionSpec::Unseal {
                key: Key::Old | Key::New,
                ..
            }
        )
    };
    let opened = place(serves);
    let opened = opened.unwrap_or(actions.len());
    for (index, it) in actions.iter().enumerate() {
        let within = (sealed..opened).contains(&index);
        match it.action {
            ActionSpec::Pause { .. } if within => findings.warn(
                it.at,
                "this `pause` is within the outage, which goes on until a person answers",
            ),
            ActionSpec::Command { timeout, .. } if within => {
                let message = format!(
                    "this `command` is within the outage, and can lengthen it by its `timeout` of {timeout} s"
                );
                findings.warn(it.at, message);
            }
            _ => {}
        }
    }
}

/// What is done again when a restore goes back.
fn rewound(runbook: &Runbook, actions: &[Placed], findings: &mut Findings) {
    for restore in actions {
        let ActionSpec::Restore { rewind_to } = restore.action else {
            continue;
        };
        let Some(to) = runbook.position(rewind_to) else {
            continue;
        };
        for it in actions {
            let again = (to..=restore.step).contains(&it.step);
            if let ActionSpec::Command { check, .. } = it.action
                && again
                && it.action.effect() > Effect::Read
                && check.is_empty()
            {
                let message = format!(
                    "this `command` is run again when the `restore` in line {} goes back to `{rewind_to}`; a `check` would \
                     keep it from acting twice",
                    restore.at.line
                );
                findings.warn(it.at, message);
            }
        }
    }
}
