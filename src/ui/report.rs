//! The report of a run in Markdown, for those who were not there.

use std::fmt::Write;

use jiff::Timestamp;

use super::recorder::Timed;
use super::sink::{date_and_time, time_of_day};
use super::{look, text};
use crate::event::{
    ActionStatus, Banner, Event, Failure, Level, ParityCounts, PlannedStep, StepStatus, Summary,
};

/// Sets the events of a run as Markdown. What is not among the events is left out, so a run that was cut short has a
/// report too.
#[must_use]
pub fn markdown(events: &[Timed]) -> String {
    let mut out = String::new();
    header(&mut out, events);
    outcome(&mut out, events);
    steps(&mut out, events);
    checks(&mut out, events);
    actions(&mut out, events);
    remarks(&mut out, events);
    out
}

fn header(out: &mut String, events: &[Timed]) {
    let banner = events.iter().find_map(|timed| match &timed.event {
        Event::Banner(banner) => Some(banner),
        _ => None,
    });
    let title = banner.map_or_else(
        || "run".to_owned(),
        |b| format!("{} of {}", b.runbook, b.target.namespace),
    );
    line(out, &format!("# {}", escape(&title)));
    line(out, "");
    line(out, "| | |\n|---|---|");
    if let Some(banner) = banner {
        banner_rows(out, banner);
    }
    if let (Some(first), Some(last)) = (events.first(), events.last()) {
        row(out, &["started", &date_and_time(first.at)]);
        row(out, &["ended", &date_and_time(last.at)]);
    }
}

fn banner_rows(out: &mut String, banner: &Banner) {
    let resumed = if banner.resumed { ", resumed" } else { "" };
    let rows = [
        ("mode", format!("{}{resumed}", look::mode(banner.mode).0)),
        ("platform", banner.target.platform.clone()),
        ("context", banner.target.context.clone()),
        ("server", banner.server.clone()),
        ("namespace", banner.target.namespace.clone()),
        ("release", banner.target.release.clone()),
        ("cluster uid", banner.target.uid.clone()),
        ("run", banner.run.clone()),
        ("baoctl", banner.baoctl.clone()),
        (
            "journal",
            banner.journal.clone().unwrap_or_else(|| "none".to_owned()),
        ),
    ];
    for (name, value) in rows {
        row(out, &[name, &escape(&value)]);
    }
}

fn outcome(out: &mut String, events: &[Timed]) {
    line(out, "\n## Outcome\n");
    let mut ended = false;
    for timed in events {
        match &timed.event {
            Event::Summary(summary) => {
                ended = true;
                summary_part(out, summary);
            }
            Event::Failed(failure) => {
                ended = true;
                failure_part(out, failure);
            }
            _ => {}
        }
    }
    if !ended {
        line(out, "The run had not ended when this report was written.");
    }
}

fn failure_part(out: &mut String, failure: &Failure) {
    let step = failure
        .step
        .as_deref()
        .map_or_else(String::new, |step| format!(" in step {}", escape(step)));
    line(
        out,
        &format!(
            "**Failed**{step} (exit code {}): {}\n",
            failure.exit_code,
            escape(&failure.message)
        ),
    );
    line(out, &format!("Changed: {}\n", escape(&failure.changed)));
    if !failure.next.is_empty() {
        line(out, "Next:\n");
        code(out, &failure.next, "");
    }
}

fn summary_part(out: &mut String, summary: &Summary) {
    let parity = &summary.parity;
    let verdict = if parity.missing == 0 && parity.unexplained == 0 {
        "**Done.** Nothing is missing and every difference is explained."
    } else {
        "**Done, but the data differs:** see the parity table."
    };
    line(
        out,
        &format!("{verdict} Entries in the source: {}.\n", summary.entries),
    );
    let compared = if summary.compared.is_empty() {
        "none".to_owned()
    } else {
        escape(&summary.compared.join(", "))
    };
    line(
        out,
        &format!("Voters compared, each while it led: {compared}.\n"),
    );
    line(out, "### Parity\n");
    parity_table(out, parity);
    line(out, "\n### Outage\n");
    match summary.outage_seconds {
        None => line(out, "None."),
        Some(total) => {
            line(out, "| Part | Time |\n|---|---:|");
            for (part, seconds) in &summary.outage_parts {
                row(out, &[&escape(part), &text::seconds(*seconds)]);
            }
            row(out, &["**all**", &format!("**{}**", text::seconds(total))]);
        }
    }
    if !summary.facts.is_empty() {
        line(out, "\n### Facts\n\n| | |\n|---|---|");
        for (name, value) in &summary.facts {
            row(out, &[&escape(name), &escape(value)]);
        }
    }
}

fn parity_table(out: &mut String, parity: &ParityCounts) {
    let zero = |number: u64| {
        if number == 0 {
            "0".to_owned()
        } else {
            format!("**{number}**, must be 0")
        }
    };
    line(out, "| Class | Entries | Meaning |\n|---|---:|---|");
    let rows = [
        (
            "identical",
            parity.identical.to_string(),
            "same key, same bytes",
        ),
        (
            "rewritten",
            parity.rewritten.to_string(),
            "kept in another layout on raft, compared through the API",
        ),
        ("new", parity.new.to_string(), "made by the server on raft"),
        (
            "volatile",
            parity.volatile.to_string(),
            "kept up to date by the server itself",
        ),
        (
            "expired",
            parity.expired.to_string(),
            "leases that were due",
        ),
        (
            "missing",
            zero(parity.missing),
            "in the source and not in the cluster",
        ),
        (
            "unexplained",
            zero(parity.unexplained),
            "different without a reason",
        ),
    ];
    for (class, number, meaning) in rows {
        row(out, &[class, &number, meaning]);
    }
}

fn steps(out: &mut String, events: &[Timed]) {
    let planned: &[PlannedStep] = events
        .iter()
        .rev()
        .find_map(|timed| match &timed.event {
            Event::Plan(plan) => Some(plan.steps.as_slice()),
            _ => None,
        })
        .unwrap_or_default();
    if planned.is_empty() {
        return;
    }
    line(
        out,
        "\n## Steps\n\n| # | Step | Effect | Status | Began (UTC) | Ended (UTC) | Time |\n|---:|---|---|---|---|---|---:|",
    );
    for (index, step) in planned.iter().enumerate() {
        let mut status = step.status;
        let (mut began, mut ended, mut time) = (None::<Timestamp>, None::<Timestamp>, None);
        for timed in events {
            match &timed.event {
                Event::StepStarted { step: id, .. } if *id == step.id => {
                    began = began.or(Some(timed.at));
                    ended = None;
                    status = StepStatus::Running;
                }
                Event::StepFinished {
                    step: id,
                    status: how,
                    seconds,
                } if *id == step.id => {
                    ended = Some(timed.at);
                    status = *how;
                    time = Some(time.unwrap_or(0.0) + seconds);
                }
                _ => {}
            }
        }
        let at = |time: Option<Timestamp>| time.map_or_else(String::new, time_of_day);
        row(
            out,
            &[
                &(index + 1).to_string(),
                &format!("{}: {}", escape(&step.id), escape(&step.title)),
                look::effect(step.effect).0,
                look::step_status(status),
                &at(began),
                &at(ended),
                &time.map_or_else(String::new, text::seconds),
            ],
        );
    }
}

fn checks(out: &mut String, events: &[Timed]) {
    let mut any = false;
    for timed in events {
        if let Event::Check {
            id,
            group,
            status,
            message,
            hint,
        } = &timed.event
        {
            if !any {
                line(
                    out,
                    "\n## Checks\n\n| Check | Group | Result | Found | To do |\n|---|---|---|---|---|",
                );
                any = true;
            }
            let status = look::check_status(*status);
            row(
                out,
                &[
                    &escape(id),
                    &escape(group),
                    status,
                    &escape(message),
                    &escape(hint),
                ],
            );
        }
    }
}

fn actions(out: &mut String, events: &[Timed]) {
    line(out, "\n## What was done\n");
    let mut titles: Vec<(&str, &str, &str)> = Vec::new();
    for timed in events {
        let at = time_of_day(timed.at);
        match &timed.event {
            Event::StepStarted { step, title, .. } => {
                line(out, &format!("\n### {}: {}\n", escape(step), escape(title)));
            }
            Event::ActionStarted {
                step,
                action,
                title,
            } => titles.push((step, action, title)),
            Event::Calls { action, calls, .. } => {
                line(out, &format!("- {at} {}: calls\n", escape(action)));
                code(out, calls, "  ");
            }
            Event::ActionFinished {
                step,
                action,
                status,
                seconds,
                summary,
            } => {
                let title = titles
                    .iter()
                    .rev()
                    .find(|(s, a, _)| s == step && a == action)
                    .map_or(action.as_str(), |(.., title)| title);
                let how = match status {
                    ActionStatus::Done => format!("done in {}", text::seconds(*seconds)),
                    ActionStatus::AlreadyDone => "already done".to_owned(),
                    ActionStatus::NotApplicable => "does not apply here".to_owned(),
                    ActionStatus::WouldRun => "would run".to_owned(),
                };
                let colon = if summary.is_empty() { "" } else { ": " };
                line(
                    out,
                    &format!("- {at} {}: {how}{colon}{}", escape(title), escape(summary)),
                );
            }
            Event::Retry {
                action,
                attempt,
                why,
                ..
            } => {
                line(
                    out,
                    &format!(
                        "- {at} {}: try {attempt} failed, tried again: {}",
                        escape(action),
                        escape(why)
                    ),
                );
            }
            Event::Rewound { from, to, why } => {
                line(
                    out,
                    &format!(
                        "- {at} went back from {} to {}: {}",
                        escape(from),
                        escape(to),
                        escape(why)
                    ),
                );
            }
            Event::OutageStarted => line(out, &format!("- {at} **the outage began**")),
            Event::OutageEnded { seconds } => {
                line(
                    out,
                    &format!(
                        "- {at} **the outage was over** after {}",
                        text::seconds(*seconds)
                    ),
                );
            }
            _ => {}
        }
    }
}

fn remarks(out: &mut String, events: &[Timed]) {
    let mut any = false;
    for timed in events {
        if let Event::Note { level, message } = &timed.event {
            if *level == Level::Detail {
                continue;
            }
            if !any {
                line(out, "\n## Notes and warnings\n");
                any = true;
            }
            let loud = if *level == Level::Warn {
                "**Warning:** "
            } else {
                ""
            };
            line(
                out,
                &format!("- {} {loud}{}", time_of_day(timed.at), escape(message)),
            );
        }
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(out, "{text}");
}

fn row(out: &mut String, cells: &[&str]) {
    line(out, &format!("| {} |", cells.join(" | ")));
}

/// A code block whose fence is longer than any run of backticks within it.
fn code(out: &mut String, lines: &[String], indent: &str) {
    let lines: Vec<_> = lines.iter().map(|text| text::clean(text)).collect();
    let longest = lines
        .iter()
        .flat_map(|text| text.split(|c| c != '`').map(str::len))
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    line(out, &format!("{indent}{fence}text"));
    for text in &lines {
        for part in text.lines() {
            line(out, &format!("{indent}{part}"));
        }
    }
    line(out, &format!("{indent}{fence}\n"));
}

/// Text from elsewhere, on one line, with everything that means something in Markdown or HTML taken literally.
fn escape(text: &str) -> String {
    let text = text::one_line(text);
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' | '>' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}
