//! The head of a run at a terminal: banner and plan.

use std::fmt::Write;

use console::measure_text_width;

use super::look::{self, Look, Role};
use super::text;
use crate::event::{Banner, Plan, PlannedStep, StepStatus};

/// Widest that text is set, however wide the terminal.
pub(super) const MEASURE: usize = 110;

/// The box with what is run and against what.
pub(super) fn banner(banner: &Banner, look: Look, width: usize) -> String {
    let (mode, role) = look::mode(banner.mode);
    let dot = look.dot();
    let resumed = if banner.resumed { " (resumed)" } else { "" };
    let title = [
        format!("baoctl {}", text::one_line(&banner.baoctl)),
        format!("{}{resumed}", text::one_line(&banner.runbook)),
    ]
    .join(&format!(" {dot} "));
    let target = &banner.target;
    let place = if target.platform == "kubernetes" {
        "context"
    } else {
        "folder"
    };
    let cluster = if target.platform == "kubernetes" {
        format!("{} (uid of kube-system)", target.uid)
    } else {
        target.uid.clone()
    };
    let journal = banner
        .journal
        .as_deref()
        .unwrap_or("none, a dry run leaves no trace");
    let rows: [(&str, &str, Role); 8] = [
        ("mode", mode, role),
        (place, &target.context, Role::Strong),
        ("server", &banner.server, Role::None),
        ("namespace", &target.namespace, Role::Strong),
        ("release", &target.release, Role::None),
        ("cluster", &cluster, Role::None),
        ("run", &banner.run, Role::None),
        ("journal", journal, Role::None),
    ];
    boxed(&title, &rows, look, width)
}

fn boxed(title: &str, rows: &[(&str, &str, Role)], look: Look, width: usize) -> String {
    const LABEL: usize = 11;
    let widest = rows
        .iter()
        .map(|(_, value, _)| LABEL + measure_text_width(&text::one_line(value)))
        .chain([measure_text_width(title) + 2])
        .max()
        .unwrap_or(0);
    let inner = widest
        .min(MEASURE.min(width).saturating_sub(4))
        .max(LABEL + 8);
    let [tl, tr, bl, br, h, v] = if look.unicode {
        ["╭", "╮", "╰", "╯", "─", "│"]
    } else {
        ["+", "+", "+", "+", "-", "|"]
    };
    let dim = |text: &str| look.paint(Role::Dim, text);
    let title = text::wrap(title, inner.saturating_sub(2)).remove(0);
    let rule = (inner + 2).saturating_sub(measure_text_width(&title) + 3);
    let mut out = format!(
        "{}{}{}",
        dim(&format!("{tl}{h} ")),
        look.paint(Role::Strong, &title),
        dim(&format!(" {}{tr}", h.repeat(rule)))
    );
    for (label, value, role) in rows {
        for (index, line) in text::wrap(&text::one_line(value), inner - LABEL)
            .iter()
            .enumerate()
        {
            let label = if index == 0 { label } else { "" };
            let pad = " ".repeat((inner - LABEL).saturating_sub(measure_text_width(line)));
            let _ = write!(
                out,
                "\n{} {}{}{pad} {}",
                dim(v),
                dim(&format!("{label:<LABEL$}")),
                look.paint(*role, line),
                dim(v)
            );
        }
    }
    let _ = write!(
        out,
        "\n{}",
        dim(&format!("{bl}{}{br}", h.repeat(inner + 2)))
    );
    out
}

/// The steps, what they do to the service, and how far back each can go.
pub(super) fn plan(plan: &Plan, actions: bool, look: Look, width: usize) -> String {
    let width = width.min(MEASURE);
    let ids = plan
        .steps
        .iter()
        .map(|step| measure_text_width(&step.id))
        .max()
        .unwrap_or(4);
    let effects = plan
        .steps
        .iter()
        .map(|step| look::effect(step.effect).0.len())
        .max()
        .unwrap_or(4);
    let mut out = look.paint(Role::Strong, "Plan");
    if let Some(done) = steps_done(plan) {
        let line = format!("  {} {done}", look.tick());
        out.push('\n');
        out.push_str(&look.paint(Role::Dim, &line));
    }
    for (index, step) in ahead(plan) {
        if plan.no_blind_repeat_from.as_deref() == Some(step.id.as_str()) {
            out.push('\n');
            out.push_str(&mark(look, width));
        }
        out.push('\n');
        out.push_str(&planned(step, index + 1, (ids, effects), look, width));
        if actions {
            for action in &step.actions {
                let (word, role) = look::effect(action.effect);
                let done = if action.done { " (done)" } else { "" };
                let first = format!("        {} ", look.paint(Role::Dim, look.dot()));
                let body = format!(
                    "{}: {}{done}",
                    text::one_line(&action.kind),
                    text::one_line(&action.title)
                );
                out.push('\n');
                out.push_str(&text::hang(&first, &body, 10, width.saturating_sub(18)));
                let _ = write!(out, "  {}", look.paint(role, word));
            }
        }
    }
    out.push_str("\n\n");
    let outage = plan.outage_seconds.map_or_else(
        || look.paint(Role::Dim, "unknown before the data is counted"),
        |seconds| look.paint(Role::Strong, &format!("about {}", text::seconds(seconds))),
    );
    let _ = write!(out, "  Estimated outage: {outage}");
    for note in &plan.notes {
        let first = format!("  {} ", look.paint(Role::Accent, look.either("›", ">")));
        out.push('\n');
        out.push_str(&text::hang(&first, note, 4, width));
    }
    out
}

/// The steps that are not done yet, with their places.
pub(super) fn ahead(plan: &Plan) -> impl Iterator<Item = (usize, &PlannedStep)> {
    let steps = plan.steps.iter().enumerate();
    steps.filter(|(_, step)| step.status != StepStatus::Done)
}

/// How many are done, where any is.
pub(super) fn steps_done(plan: &Plan) -> Option<String> {
    match plan.steps.len() - ahead(plan).count() {
        0 => None,
        1 => Some("1 step done".to_owned()),
        done => Some(format!("{done} steps done")),
    }
}

fn planned(
    step: &PlannedStep,
    number: usize,
    (ids, effects): (usize, usize),
    look: Look,
    width: usize,
) -> String {
    let (glyph, role) = look.step(step.status);
    let (word, effect_role) = look::effect(step.effect);
    let id = text::one_line(&step.id);
    let id_role = match step.status {
        StepStatus::Done | StepStatus::Skipped => Role::Dim,
        _ => Role::Strong,
    };
    let status = match step.status {
        StepStatus::Pending | StepStatus::Planned => String::new(),
        status => format!(" ({})", look::step_status(status)),
    };
    let lead = format!(
        "  {} {number} {}  {}",
        look.paint(role, glyph),
        look.paint(id_role, &format!("{id:<ids$}")),
        look.paint(effect_role, &format!("{word:<effects$}")),
    );
    let body = format!("{}{status}", text::one_line(&step.title));
    let column = 6 + ids + 2 + effects + 2;
    let mut out = if width >= column + 30 {
        text::hang(&format!("{lead}  "), &body, column, width)
    } else {
        text::hang(&format!("{}\n      ", lead.trim_end()), &body, 6, width)
    };
    if !step.rollback.is_empty() {
        let indent = if width >= column + 30 { column } else { 6 };
        let arrow = look.either("↩ ", "< ");
        for (index, line) in text::wrap(
            &text::one_line(&step.rollback),
            width.saturating_sub(indent + 2),
        )
        .iter()
        .enumerate()
        {
            let line = format!("{}{line}", if index == 0 { arrow } else { "  " });
            let _ = write!(
                out,
                "\n{}{}",
                " ".repeat(indent),
                look.paint(Role::Dim, &line)
            );
        }
    }
    out
}

fn mark(look: Look, width: usize) -> String {
    let words = " from here nothing is repeated blindly ";
    let rule = look.either("─", "-");
    let left = rule.repeat(2);
    let right = rule.repeat(width.min(76).saturating_sub(4 + words.len()));
    look.paint(Role::Alarm, &format!("  {left}{words}{right}"))
}
