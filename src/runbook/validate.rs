//! What a runbook must be beyond its shape. All findings are reported, not only the first.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::Severity;
use super::model::Runbook;
use super::order::{AFTER, AT_MOST_ONCE, BEFORE, BRING_DATA, FOLLOWED, ONCE, Subject};
use super::places::{Place, Places};
use super::{members, own};
use crate::action::ActionSpec;
use crate::journal::CLEANUP;

/// An action in the order in which the run comes to it.
pub(super) struct Placed<'a> {
    pub step: usize,
    pub action: &'a ActionSpec,
    pub at: Place,
    earlier_flips: usize,
}

impl Placed<'_> {
    pub(super) fn kind(&self) -> &'static str {
        self.action.kind()
    }
}

/// What was found, each with its place.
#[derive(Default)]
pub(super) struct Findings(pub Vec<(Place, Severity, String)>);

impl Findings {
    /// The runbook cannot be run.
    pub(super) fn error(&mut self, at: Place, message: impl Into<String>) {
        self.0.push((at, Severity::Error, message.into()));
    }

    /// It can, and its author should know.
    pub(super) fn warn(&mut self, at: Place, message: impl Into<String>) {
        self.0.push((at, Severity::Warning, message.into()));
    }
}

/// All that is to be said of a runbook, whose programs are found from `folder`.
pub(super) fn validate(runbook: &Runbook, places: &Places, folder: Option<&Path>) -> Findings {
    let actions = flatten(runbook, places);
    let mut findings = Findings::default();
    texts(runbook, places, &mut findings);
    order(&actions, &mut findings);
    counts(places, &actions, &mut findings);
    rewinds(runbook, &actions, &mut findings);
    members::validate(runbook, places, &actions, &mut findings);
    own::validate(runbook, &actions, folder, &mut findings);
    findings
}

fn flatten<'a>(runbook: &'a Runbook, places: &Places) -> Vec<Placed<'a>> {
    let mut earlier_flips = 0;
    let mut all = Vec::new();
    for (step, (it, at)) in runbook.steps.iter().zip(&places.steps).enumerate() {
        for (action, at) in it.actions.iter().zip(&at.actions) {
            all.push(Placed {
                step,
                action,
                at: *at,
                earlier_flips,
            });
            earlier_flips += usize::from(matches!(action, ActionSpec::Flip { .. }));
        }
    }
    all
}

/// Names, titles and lists.
fn texts(runbook: &Runbook, places: &Places, findings: &mut Findings) {
    let mut check = |at: Place, wrong: bool, message: String| {
        if wrong {
            findings.error(at, message);
        }
    };
    let kebab =
        |what: &str, it: &str| format!("{what} `{it}` is not kebab-case, such as `my-{what}`");
    let empty = |what: &str| format!("`{what}` is empty");
    check(
        places.name,
        !is_kebab(&runbook.name),
        kebab("name", &runbook.name),
    );
    check(places.title, is_blank(&runbook.title), empty("title"));
    check(places.list, runbook.steps.is_empty(), empty("steps"));
    let mut first: BTreeMap<&str, Place> = BTreeMap::new();
    for (step, at) in runbook.steps.iter().zip(&places.steps) {
        check(at.id, !is_kebab(&step.id), kebab("id", &step.id));
        check(
            at.id,
            step.id == CLEANUP,
            format!("the step `{CLEANUP}` is that of `baoctl cleanup`"),
        );
        check(at.title, is_blank(&step.title), empty("title"));
        check(at.rollback, is_blank(&step.rollback), empty("rollback"));
        check(at.list, step.actions.is_empty(), empty("actions"));
        let earlier = *first.entry(&step.id).or_insert(at.id);
        check(
            at.id,
            earlier != at.id,
            format!(
                "there is a step `{}` already, in line {}",
                step.id, earlier.line
            ),
        );
    }
}

fn order(actions: &[Placed], findings: &mut Findings) {
    for (index, placed) in actions.iter().enumerate() {
        for rule in AFTER {
            if !rule.subject.is(placed.action, placed.earlier_flips) {
                continue;
            }
            let missing = rule.after.iter().filter(|needed| {
                !actions[..index]
                    .iter()
                    .any(|it| needed.is(it.action, it.earlier_flips))
            });
            for needed in missing {
                let (name, needed, why) = (rule.subject.name(), needed.name(), rule.why);
                findings.error(
                    placed.at,
                    format!("`{name}` must come after `{needed}`: {why}"),
                );
            }
        }
        for limit in BEFORE {
            let too_late = limit.subject.is(placed.action, placed.earlier_flips)
                && actions[..index]
                    .iter()
                    .any(|it| limit.before.is(it.action, it.earlier_flips));
            if too_late {
                let (name, before, why) = (limit.subject.name(), limit.before.name(), limit.why);
                findings.error(
                    placed.at,
                    format!("`{name}` must come before `{before}`: {why}"),
                );
            }
        }
        for rule in FOLLOWED {
            let left_open = rule.subject.is(placed.action, placed.earlier_flips)
                && !actions[index..]
                    .iter()
                    .any(|it| rule.by.is(it.action, it.earlier_flips));
            if left_open {
                let name = match rule.subject {
                    Subject::OneOf(_) => placed.kind().into(),
                    subject => subject.name(),
                };
                let (by, why) = (rule.by.name(), rule.why);
                findings.error(placed.at, format!("`{name}` without a later `{by}`: {why}"));
            }
        }
    }
}

fn counts(places: &Places, actions: &[Placed], findings: &mut Findings) {
    let of = |kinds: &[&str]| -> Vec<&Placed> {
        let found = actions.iter().filter(|it| kinds.contains(&it.kind()));
        found.collect()
    };
    for kinds in ONCE {
        if of(kinds).is_empty() && !actions.is_empty() {
            let missing = kinds.join("` or `");
            let message = format!("there is no `{missing}`; there must be one");
            findings.error(places.list, message);
        }
    }
    let once = ONCE.iter().map(|kinds| (*kinds, "there must be one"));
    let at_most = AT_MOST_ONCE.iter().map(std::slice::from_ref);
    let at_most = at_most.map(|kinds| (kinds, "a second one has nothing left to do"));
    for (kinds, why) in once.chain(at_most) {
        let found = of(kinds);
        for again in found.iter().skip(1) {
            let (first, line) = (found[0].kind(), found[0].at.line);
            findings.error(
                again.at,
                format!("`{first}` is in line {line} already; {why}"),
            );
        }
    }
    // A snapshot has its tables as entries, which are compared.
    let unseen = of(&["compare-tables", "graft-snapshot"]).is_empty();
    if let (Some(data), true) = (of(BRING_DATA).first(), unseen) {
        findings.warn(
            data.at,
            format!(
                "`{}` without a later `compare-tables`: nobody would know whether mounts, auth methods, policies and audit \
                 devices are as they were",
                data.kind()
            ),
        );
    }
}

/// What is not done a second time, and why.
const NOT_AGAIN: [(&str, &str); 6] = [
    ("seal-source", "the source is frozen and replaced once"),
    ("replace-source", "the source is frozen and replaced once"),
    (
        "rehearse-flip",
        "a rollback goes back to what it found before the change",
    ),
    ("park-key", "the key is parked by then"),
    ("suspend-actors", "a rollback resumes what it found running"),
    ("preflight", "it checks a release that nobody has changed"),
];

/// Where a restore, or the move of namespaces after it, goes back to.
fn rewinds(runbook: &Runbook, actions: &[Placed], findings: &mut Findings) {
    for (index, placed) in actions.iter().enumerate() {
        let (ActionSpec::Restore { rewind_to } | ActionSpec::MoveNamespaces { rewind_to }) =
            placed.action
        else {
            continue;
        };
        let before = &actions[..index];
        let init = before.iter().find(|it| it.kind() == "init");
        let wrong = match (runbook.position(rewind_to), init) {
            (None, _) => {
                let ids: Vec<&str> = runbook.steps.iter().map(|it| it.id.as_str()).collect();
                let hint = super::nearest::nearest(rewind_to, &ids)
                    .map(|near| format!(", did you mean `{near}`?"))
                    .unwrap_or_default();
                format!("is no step{hint}")
            }
            (Some(to), _) if to > placed.step => "is a later step; it must go back".to_owned(),
            (Some(to), Some(init)) if to > init.step => format!(
                "comes after `init` in line {}; a new restore needs a new throwaway cluster",
                init.at.line
            ),
            (Some(to), _) => {
                let again = NOT_AGAIN.iter().find_map(|(kind, why)| {
                    let mut there = before.iter().filter(|it| it.step >= to);
                    Some((there.find(|it| it.kind() == *kind)?, why))
                });
                let Some((once, why)) = again else { continue };
                format!(
                    "goes back to the `{}` in line {}; {why}",
                    once.kind(),
                    once.at.line
                )
            }
        };
        findings.error(placed.at, format!("`rewind-to: {rewind_to}` {wrong}"));
    }
}

pub(super) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn is_kebab(text: &str) -> bool {
    text.split('-').all(|word| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}
