//! The report of a run in Markdown, for those who were not there.

use super::outcome::was_compared;
use super::recorder::Timed;
use super::report_markdown::{code, escape, line, row};
use super::report_steps::{actions, checks, remarks, steps};
use super::sink::date_and_time;
use super::{look, text};
use crate::event::{Banner, Event, Failure, ParityCounts, RolledBack, Summary};

/// Sets the events of a run as Markdown, with the sums that its copies can be told by. What is not among the events is
/// left out, so a run that was cut short has a report too.
#[must_use]
pub fn markdown(events: &[Timed], sums: &[(String, String)]) -> String {
    let mut out = String::new();
    header(&mut out, events);
    outcome(&mut out, events);
    table(&mut out, "Sums", sums);
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
    let ended = |timed: &&Timed| matches!(timed.event, Event::Summary(_) | Event::RolledBack(_));
    if let (Some(first), Some(last)) = (events.first(), events.last()) {
        row(out, &["started", &date_and_time(first.at)]);
        match end(events).filter(ended) {
            Some(end) => row(out, &["ended", &date_and_time(end.at)]),
            None => row(out, &["last entry", &date_and_time(last.at)]),
        }
    }
}

/// Of several processes the last one's end: what ended before it was gone on from.
fn end(events: &[Timed]) -> Option<&Timed> {
    events.iter().rev().find(|timed| {
        matches!(
            timed.event,
            Event::Summary(_)
                | Event::Failed(_)
                | Event::RolledBack(_)
                | Event::ActionStarted { .. }
        )
    })
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
        if !value.is_empty() {
            row(out, &[name, &escape(&value)]);
        }
    }
}

fn outcome(out: &mut String, events: &[Timed]) {
    line(out, "\n## Outcome\n");
    match end(events).map(|timed| &timed.event) {
        Some(Event::Summary(summary)) => summary_part(out, summary),
        Some(Event::Failed(failure)) => failure_part(out, failure),
        Some(Event::RolledBack(back)) => rolled_back_part(out, events, back),
        _ => line(out, "The run had not ended when this report was written."),
    }
}

fn rolled_back_part(out: &mut String, events: &[Timed], back: &RolledBack) {
    line(out, &format!("**Rolled back:** {}.", escape(&back.now)));
    if !back.why.is_empty() {
        line(out, &format!("\nWhy: {}.", escape(&back.why)));
    }
    let stopped = events.iter().rev().find_map(|timed| match &timed.event {
        Event::Failed(failure) => Some(&failure.message),
        _ => None,
    });
    if let Some(why) = stopped {
        let why = escape(why);
        line(out, &format!("\nBefore that it had stopped: {why}"));
    }
    line(out, "\n### Outage\n");
    let outage = back.outage_seconds.map_or_else(
        || "None".to_owned(),
        |most| text::outage(most, back.outage_at_least),
    );
    line(out, &format!("{outage}."));
    left_part(out, &back.left);
}

fn left_part(out: &mut String, left: &[String]) {
    if left.is_empty() {
        return;
    }
    line(out, "\n### Left\n");
    for one in left {
        line(out, &format!("- {}", escape(one)));
    }
}

fn table(out: &mut String, title: &str, rows: &[(String, String)]) {
    if rows.is_empty() {
        return;
    }
    line(out, &format!("\n### {title}\n\n| | |\n|---|---|"));
    for (name, value) in rows {
        row(out, &[&escape(name), &escape(value)]);
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
    for check in &failure.checks {
        let hint = if check.hint.is_empty() {
            String::new()
        } else {
            format!(" ({})", escape(&check.hint))
        };
        line(
            out,
            &format!("- {}: {}{hint}", escape(&check.id), escape(&check.message)),
        );
    }
    if !failure.checks.is_empty() {
        line(out, "");
    }
    line(out, &format!("Changed: {}\n", escape(&failure.changed)));
    if !failure.next.is_empty() {
        line(out, "Next:\n");
        code(out, &failure.next, "");
    }
}

fn summary_part(out: &mut String, summary: &Summary) {
    if was_compared(summary) {
        compared_part(out, summary);
    } else {
        line(out, "**Done.** The data was not compared in this run.");
    }
    line(out, "\n### Outage\n");
    match summary.outage_seconds {
        None => line(out, "None."),
        Some(total) => {
            let least = summary.outage_at_least;
            line(out, "| Part | Time |\n|---|---:|");
            for (part, seconds) in &summary.outage_parts {
                row(out, &[&escape(part), &text::seconds(*seconds)]);
            }
            row(
                out,
                &["**all**", &format!("**{}**", text::outage(total, least))],
            );
            if let Some(expected) = summary.expected {
                line(
                    out,
                    &format!("\nExpected: {}.", text::expected(expected, total, least)),
                );
            }
        }
    }
    left_part(out, &summary.left);
    let facts: Vec<_> = summary.facts.clone().into_iter().collect();
    table(out, "Facts", &facts);
}

fn compared_part(out: &mut String, summary: &Summary) {
    let verdict = if summary.parity.missing == 0 && summary.parity.unexplained == 0 {
        "**Done.** Nothing is missing and every difference is explained."
    } else {
        "**Done, but the data differs:** see the parity table."
    };
    let entries = summary.entries;
    line(
        out,
        &format!("{verdict} Entries in the source: {entries}.\n"),
    );
    let compared = if summary.compared.is_empty() {
        "none".to_owned()
    } else {
        escape(&summary.compared.join(", "))
    };
    line(
        out,
        &format!("Voters compared, each by a snapshot of its own store: {compared}.\n"),
    );
    line(out, "### Parity\n");
    parity_table(out, &summary.parity);
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
            "kept in another layout on raft, entries of both; compared through the API",
        ),
        ("new", parity.new.to_string(), "made by the server on raft"),
        (
            "volatile",
            parity.volatile.to_string(),
            "added or changed by the server itself: tokens, leases, engines that write by themselves",
        ),
        (
            "written",
            parity.written.to_string(),
            "added or changed by clients since they are served again",
        ),
        (
            "deleted",
            parity.deleted.to_string(),
            "deleted by clients since they are served again",
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
