//! The blocks of a run as single lines: banner, plan and summary.

use super::look::{self, Role};
use super::{blocks, outcome, text};
use crate::event::{Banner, Plan, StepStatus, Summary};

/// A line, and the word in it that has a colour where colours are forced.
pub(super) struct Line {
    pub(super) text: String,
    pub(super) role: Role,
    pub(super) word: &'static str,
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self {
            text,
            role: Role::None,
            word: "",
        }
    }
}

impl Line {
    fn marked(text: String, (word, role): (&'static str, Role)) -> Self {
        Self { text, role, word }
    }
}

pub(super) fn banner(banner: &Banner) -> Vec<Line> {
    let target = &banner.target;
    let mode = look::mode(banner.mode);
    let resumed = if banner.resumed { ", resumed" } else { "" };
    let run = format!(
        "run {}: {} with baoctl {} ({}{resumed})",
        banner.run, banner.runbook, banner.baoctl, mode.0
    );
    let place = format!(
        "target: platform={} context={} server={} namespace={} release={} cluster={}",
        target.platform,
        target.context,
        banner.server,
        target.namespace,
        target.release,
        target.uid
    );
    let mut lines = vec![Line::marked(run, mode), place.into()];
    if let Some(journal) = &banner.journal {
        lines.push(format!("journal: {journal}").into());
    }
    lines
}

pub(super) fn plan(plan: &Plan, actions: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    let of = plan.steps.len();
    lines.extend(blocks::steps_done(plan).map(|done| format!("plan: {done}").into()));
    for (index, step) in blocks::ahead(plan) {
        let effect = look::effect(step.effect);
        let mark = if plan.no_blind_repeat_from.as_ref() == Some(&step.id) {
            "; from here nothing is repeated blindly"
        } else {
            ""
        };
        let text = format!(
            "plan {}/{of} {}: {} ({}) {}; rollback: {}{mark}",
            index + 1,
            step.id,
            look::step_status(step.status),
            effect.0,
            step.title,
            step.rollback
        );
        lines.push(Line::marked(text, effect));
        for action in step.actions.iter().filter(|_| actions) {
            let done = if action.done { "done" } else { "pending" };
            let effect = look::effect(action.effect);
            let text = format!(
                "plan {}/{}: {done} ({}) {}",
                step.id, action.kind, effect.0, action.title
            );
            lines.push(Line::marked(text, effect));
        }
    }
    let outage = plan.outage_seconds.map_or_else(
        || "unknown".to_owned(),
        |seconds| format!("about {}", text::seconds(seconds)),
    );
    lines.push(format!("plan: estimated outage {outage}").into());
    let notes = plan.notes.iter().map(|note| format!("plan: {note}").into());
    lines.extend(notes);
    lines
}

pub(super) fn summary(summary: &Summary) -> Vec<Line> {
    let p = &summary.parity;
    let role = if p.missing == 0 && p.unexplained == 0 {
        Role::Good
    } else {
        Role::Alarm
    };
    let parity = if outcome::was_compared(summary) {
        format!(
            "summary: parity identical={} rewritten={} new={} volatile={} written={} deleted={} expired={} missing={} unexplained={}",
            p.identical,
            p.rewritten,
            p.new,
            p.volatile,
            p.written,
            p.deleted,
            p.expired,
            p.missing,
            p.unexplained
        )
    } else {
        "summary: parity not compared".to_owned()
    };
    let compared = if summary.compared.is_empty() {
        "none".to_owned()
    } else {
        summary.compared.join(" ")
    };
    let outage = text::any_outage(summary.outage_seconds, summary.outage_at_least);
    let mut lines = vec![
        format!("summary: entries={}", summary.entries).into(),
        Line::marked(parity, ("parity", role)),
        format!("summary: voters compared: {compared}").into(),
        format!("summary: outage {outage}").into(),
    ];
    for (part, seconds) in &summary.outage_parts {
        let time = text::seconds(*seconds);
        lines.push(format!("summary: outage in {part}: {time}").into());
    }
    if let (Some(expected), Some(seconds)) = (summary.expected, summary.outage_seconds) {
        let expected = text::expected(expected, seconds, summary.outage_at_least);
        lines.push(format!("summary: outage expected: {expected}").into());
    }
    for step in &summary.steps {
        let status = look::step_status(step.status);
        let time = if step.status == StepStatus::Done {
            format!(" in {}", text::seconds(step.seconds))
        } else {
            String::new()
        };
        lines.push(format!("summary: step {}: {status}{time}", step.id).into());
    }
    for (name, value) in &summary.facts {
        lines.push(format!("summary: {name}: {value}").into());
    }
    for line in &summary.left {
        lines.push(format!("summary: left: {line}").into());
    }
    for (name, path) in [("report", &summary.report), ("journal", &summary.journal)] {
        if let Some(path) = path {
            lines.push(format!("summary: {name}: {path}").into());
        }
    }
    lines
}
