//! The end of a run for people: the failure block and the summary.

use std::fmt::Write;

use super::blocks::MEASURE;
use super::look::{self, Look, Role};
use super::text;
use crate::event::{Failure, ParityCounts, RolledBack, StepStatus, Summary};

/// What happened, what was changed, and what to type next.
pub(super) fn failure(failure: &Failure, look: Look, width: usize) -> String {
    let width = width.min(MEASURE);
    let step = failure.step.as_ref().map_or_else(String::new, |step| {
        format!("step {}: ", text::one_line(step))
    });
    let mut out = text::hang(
        &format!("{} ", look.paint(Role::Alarm, "error:")),
        &format!("{step}{}", text::clean(&failure.message)),
        9,
        width,
    );
    if !failure.changed.is_empty() {
        let first = format!("\n{} ", look.paint(Role::Warn, "changed:"));
        out.push_str(&text::hang(&first, &failure.changed, 9, width));
    }
    for (index, command) in failure.next.iter().enumerate() {
        let label = if index == 0 { "next:" } else { "or:" };
        let pad = " ".repeat(8 - label.len());
        // Never wrapped, so that it can be copied.
        let command = text::one_line(command);
        let _ = write!(
            out,
            "\n{}{pad} {}",
            look.paint(Role::Accent, label),
            look.paint(Role::Strong, &command)
        );
    }
    out
}

/// Whether the data was compared at all: zeros of a run that did not look prove nothing.
pub(super) fn was_compared(summary: &Summary) -> bool {
    !summary.compared.is_empty() || summary.parity != ParityCounts::default()
}

/// A labelled line of the summary.
#[derive(Clone, Copy)]
struct Rows {
    look: Look,
    width: usize,
}

impl Rows {
    /// A value that is not wrapped, for paths and painted text.
    fn whole(self, label: &str, value: &str) -> String {
        let label = self.look.paint(Role::Dim, &format!("{label:<10} "));
        format!("\n  {label}{value}")
    }

    fn wrapped(self, label: &str, value: &str) -> String {
        text::hang(&self.whole(label, ""), value, 13, self.width)
    }
}

/// What came of the run.
pub(super) fn summary(summary: &Summary, look: Look, width: usize) -> String {
    let width = width.min(MEASURE);
    let rows = Rows { look, width };
    let dot = format!(" {} ", look.dot());
    let (mark, role) = if summary.parity.missing == 0 && summary.parity.unexplained == 0 {
        (look.tick(), Role::Good)
    } else {
        (look.cross(), Role::Bad)
    };
    let mut out = format!(
        "{} {}",
        look.paint(role, mark),
        look.paint(Role::Strong, "Summary")
    );
    out.push_str(&rows.whole(
        "entries",
        &format!("{} in the source", text::count(summary.entries)),
    ));
    if was_compared(summary) {
        out.push_str(&parity(summary, rows, &dot));
    } else {
        out.push_str(&rows.whole("parity", "not compared in this run"));
    }
    match summary.outage_seconds {
        None => out.push_str(&rows.whole("outage", "none")),
        Some(seconds) => {
            let least = summary.outage_at_least;
            out.push_str(&rows.whole(
                "outage",
                &look.paint(Role::Strong, &text::outage(seconds, least)),
            ));
            out.push_str(&parts(summary, seconds, look, width));
            if let Some(expected) = summary.expected {
                out.push_str(&rows.whole("expected", &text::expected(expected, seconds, least)));
            }
        }
    }
    let steps = summary
        .steps
        .iter()
        .map(|step| match step.status {
            StepStatus::Done => format!(
                "{} {}",
                text::one_line(&step.id),
                text::seconds(step.seconds)
            ),
            status => format!("{} {}", text::one_line(&step.id), look::step_status(status)),
        })
        .collect::<Vec<_>>()
        .join(&dot);
    if !steps.is_empty() {
        out.push_str(&rows.wrapped("steps", &steps));
    }
    for (name, value) in &summary.facts {
        out.push_str(&rows.wrapped(&text::one_line(name), value));
    }
    for (index, line) in summary.left.iter().enumerate() {
        out.push_str(&rows.wrapped(if index == 0 { "left" } else { "" }, line));
    }
    for (label, path) in [("report", &summary.report), ("journal", &summary.journal)] {
        if let Some(path) = path {
            out.push_str(&rows.whole(label, &text::one_line(path)));
        }
    }
    out
}

fn parity(summary: &Summary, rows: Rows, dot: &str) -> String {
    let look = rows.look;
    let parity = &summary.parity;
    let classes = [
        ("identical", parity.identical),
        ("rewritten", parity.rewritten),
        ("new", parity.new),
        ("volatile", parity.volatile),
        ("written", parity.written),
        ("deleted", parity.deleted),
        ("expired", parity.expired),
    ]
    .map(|(class, number)| format!("{} {class}", text::count(number)))
    .join(dot);
    let mut out = rows.wrapped("parity", &classes);
    let must_be_zero = [
        ("missing", parity.missing),
        ("unexplained", parity.unexplained),
    ]
    .map(|(class, number)| {
        let role = if number == 0 { Role::Good } else { Role::Alarm };
        look.paint(role, &format!("{} {class}", text::count(number)))
    })
    .join(dot);
    out.push_str(&rows.whole("", &must_be_zero));
    if summary.compared.is_empty() {
        out.push_str(&rows.whole("voters", &look.paint(Role::Warn, "none compared")));
    } else {
        let names = format!(
            "{} compared, each by its own store: {}",
            summary.compared.len(),
            text::one_line(&summary.compared.join(", "))
        );
        out.push_str(&rows.wrapped("voters", &names));
    }
    out
}

fn parts(summary: &Summary, total: f64, look: Look, width: usize) -> String {
    const BAR: f64 = 24.0;
    let names = summary
        .outage_parts
        .iter()
        .map(|(name, _)| console::measure_text_width(&text::one_line(name)))
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for (name, seconds) in &summary.outage_parts {
        let name = text::one_line(name);
        let pad = " ".repeat(names.saturating_sub(console::measure_text_width(&name)));
        let _ = write!(
            out,
            "\n             {name}{pad} {:>11}",
            text::seconds(*seconds)
        );
        if width >= 13 + names + 12 + 28 && total > 0.0 {
            // Between 0 and `BAR`.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let length = (seconds / total * BAR).clamp(0.0, BAR).round() as usize;
            let _ = write!(
                out,
                "  {}",
                look.paint(Role::Bad, &look.either("━", "=").repeat(length))
            );
        }
    }
    out
}

/// What is told of a run that went back, line by line with its label.
pub(super) fn rolled_back_rows(back: &RolledBack) -> Vec<(&'static str, String)> {
    let outage = text::any_outage(back.outage_seconds, back.outage_at_least);
    let why = Some(&back.why).filter(|why| !why.is_empty());
    let why = why.map(|why| ("why", why.clone()));
    let left = back.left.iter().map(|line| ("left", line.clone()));
    why.into_iter()
        .chain([("outage", outage)])
        .chain(left)
        .collect()
}

/// That all is taken back, why, and what is left of the run.
pub(super) fn rolled_back(back: &RolledBack, look: Look, width: usize) -> String {
    let width = width.min(MEASURE);
    let rows = Rows { look, width };
    let mut out = format!(
        "{} {}",
        look.paint(Role::Good, look.tick()),
        look.paint(Role::Strong, &format!("rolled back: {}", back.now))
    );
    let mut last = "";
    for (label, line) in rolled_back_rows(back) {
        out.push_str(&rows.wrapped(if label == last { "" } else { label }, &line));
        last = label;
    }
    out
}

/// The summary in one line, for `--quiet`.
pub(super) fn brief(summary: &Summary) -> String {
    let parity = if was_compared(summary) {
        let parity = &summary.parity;
        format!(
            "missing {}, unexplained {}",
            parity.missing, parity.unexplained
        )
    } else {
        "not compared".to_owned()
    };
    let outage = summary.outage_seconds.map_or_else(
        || "no outage".to_owned(),
        |seconds| format!("outage {}", text::outage(seconds, summary.outage_at_least)),
    );
    format!("done: {} entries, {parity}, {outage}", summary.entries)
}
