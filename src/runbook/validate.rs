//! What a runbook must be beyond its shape. All findings are reported, not only the first.

use std::collections::BTreeMap;

use super::model::Runbook;
use super::order::{AFTER, AT_MOST_ONCE, BEFORE, FOLLOWED, ONCE, Subject};
use super::places::{Place, Places};
use crate::action::ActionSpec;
use crate::journal::CLEANUP;

/// An action in the order in which the run comes to it.
struct Placed<'a> {
    step: usize,
    action: &'a ActionSpec,
    at: Place,
    earlier_flips: usize,
}

/// What is wrong, each with its place.
pub(super) fn validate(runbook: &Runbook, places: &Places) -> Vec<(Place, String)> {
    let actions = flatten(runbook, places);
    let mut findings = Vec::new();
    texts(runbook, places, &mut findings);
    order(&actions, &mut findings);
    counts(runbook, places, &actions, &mut findings);
    restores(runbook, &actions, &mut findings);
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
fn texts(runbook: &Runbook, places: &Places, findings: &mut Vec<(Place, String)>) {
    let mut check = |at: Place, wrong: bool, message: String| {
        if wrong {
            findings.push((at, message));
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

fn order(actions: &[Placed], findings: &mut Vec<(Place, String)>) {
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
                findings.push((
                    placed.at,
                    format!("`{name}` must come after `{needed}`: {why}"),
                ));
            }
        }
        for limit in BEFORE {
            let too_late = limit.subject.is(placed.action, placed.earlier_flips)
                && actions[..index]
                    .iter()
                    .any(|it| limit.before.is(it.action, it.earlier_flips));
            if too_late {
                let (name, before, why) = (limit.subject.name(), limit.before.name(), limit.why);
                findings.push((
                    placed.at,
                    format!("`{name}` must come before `{before}`: {why}"),
                ));
            }
        }
        for rule in FOLLOWED {
            let left_open = rule.subject.is(placed.action, placed.earlier_flips)
                && !actions[index..]
                    .iter()
                    .any(|it| rule.by.is(it.action, it.earlier_flips));
            if left_open {
                let name = match rule.subject {
                    Subject::Data => placed.action.kind(),
                    subject => subject.name(),
                };
                let (by, why) = (rule.by.name(), rule.why);
                findings.push((placed.at, format!("`{name}` without a later `{by}`: {why}")));
            }
        }
    }
}

fn counts(
    runbook: &Runbook,
    places: &Places,
    actions: &[Placed],
    findings: &mut Vec<(Place, String)>,
) {
    let of = |kinds: &[&str]| -> Vec<&Placed> {
        let found = actions
            .iter()
            .filter(|it| kinds.contains(&it.action.kind()));
        found.collect()
    };
    for kinds in ONCE {
        if of(kinds).is_empty() && !actions.is_empty() {
            let missing = kinds.join("` or `");
            let message = format!("there is no `{missing}`; there must be one");
            findings.push((places.list, message));
        }
    }
    let at_most_one = AT_MOST_ONCE.iter().map(std::slice::from_ref);
    for kinds in ONCE.iter().copied().chain(at_most_one) {
        let found = of(kinds);
        for again in found.iter().skip(1) {
            let (first, line) = (found[0].action.kind(), found[0].at.line);
            let message = format!("`{first}` is in line {line} already; there must be one");
            findings.push((again.at, message));
        }
    }
    let mut odd = |at: Place, what: &str, number: u32| {
        if number.is_multiple_of(2) {
            let message =
                format!("`{what}: {number}` is even: a majority needs an odd number of voters");
            findings.push((at, message));
        }
    };
    odd(places.replicas, "replicas", runbook.replicas);
    for it in actions {
        match it.action {
            ActionSpec::AwaitVoters { voters } => odd(it.at, "voters", *voters),
            ActionSpec::Flip { replicas } | ActionSpec::RehearseFlip { replicas } => {
                odd(it.at, "replicas", *replicas);
            }
            _ => {}
        }
    }
}

/// Where a restore, or the move of namespaces after it, goes back to, and what they need of what comes before.
fn restores(runbook: &Runbook, actions: &[Placed], findings: &mut Vec<(Place, String)>) {
    for (index, placed) in actions.iter().enumerate() {
        let (ActionSpec::Restore { rewind_to } | ActionSpec::MoveNamespaces { rewind_to }) =
            placed.action
        else {
            continue;
        };
        let before = &actions[..index];
        let init = before.iter().find(|it| it.action.kind() == "init");
        match (runbook.position(rewind_to), init) {
            (None, _) => {
                let ids: Vec<&str> = runbook.steps.iter().map(|it| it.id.as_str()).collect();
                let hint = super::nearest::nearest(rewind_to, &ids)
                    .map(|near| format!(", did you mean `{near}`?"))
                    .unwrap_or_default();
                findings.push((
                    placed.at,
                    format!("`rewind-to: {rewind_to}` is no step{hint}"),
                ));
            }
            (Some(to), _) if to > placed.step => {
                let message = format!("`rewind-to: {rewind_to}` is a later step; it must go back");
                findings.push((placed.at, message));
            }
            (Some(to), Some(init)) if to > init.step => {
                let message = format!(
                    "`rewind-to: {rewind_to}` comes after `init` in line {}; a new restore needs a new throwaway cluster",
                    init.at.line
                );
                findings.push((placed.at, message));
            }
            (Some(to), _) => {
                let frozen = before.iter().find(|it| {
                    it.step >= to && matches!(it.action.kind(), "seal-source" | "replace-source")
                });
                if let Some(frozen) = frozen {
                    let message = format!(
                        "`rewind-to: {rewind_to}` goes back to the `{}` in line {}; the source is frozen and replaced once",
                        frozen.action.kind(),
                        frozen.at.line
                    );
                    findings.push((placed.at, message));
                }
            }
        }
        let members = before.iter().rev().find_map(|it| match it.action {
            ActionSpec::Flip { replicas } => Some(*replicas),
            _ => None,
        });
        if let (ActionSpec::MoveNamespaces { .. }, Some(members @ 2..)) = (placed.action, members) {
            let message = format!(
                "`move-namespaces` needs one member, not {members}: another one would be unsealed on what is not yet moved"
            );
            findings.push((placed.at, message));
            continue;
        }
        let bare_copy = before
            .iter()
            .rev()
            .find_map(|it| match it.action {
                ActionSpec::FinalCopy { graft } => Some((it.at, *graft)),
                _ => None,
            })
            .filter(|(_, graft)| !graft);
        if let (Some(members @ 2..), Some((at, _))) = (members, bare_copy) {
            let message = format!(
                "`final-copy` needs `graft: true`: it is restored into {members} members in line {}, which would not find each other again",
                placed.at.line
            );
            findings.push((at, message));
        }
    }
}

fn is_blank(text: &str) -> bool {
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
