//! The parts of a report that follow the run: steps, checks, actions, remarks.

use jiff::Timestamp;

use super::recorder::Timed;
use super::report_markdown::{code, escape, line, row};
use super::sink::time_of_day;
use super::{look, text};
use crate::event::{ActionStatus, Event, Finding, Level, PlannedStep, StepStatus};

pub(super) fn steps(out: &mut String, events: &[Timed]) {
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
    let back = events
        .iter()
        .any(|timed| matches!(timed.event, Event::RolledBack(_)));
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
                match status {
                    StepStatus::Done | StepStatus::Running if back => "taken back",
                    // A report is read when nothing runs any more.
                    StepStatus::Running => "begun",
                    status => look::step_status(status),
                },
                &at(began),
                &at(ended),
                &time.map_or_else(String::new, text::seconds),
            ],
        );
    }
}

pub(super) fn checks(out: &mut String, events: &[Timed]) {
    let mut any = false;
    for timed in events {
        if let Event::Check(Finding {
            id,
            group,
            status,
            message,
            hint,
        }) = &timed.event
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

pub(super) fn actions(out: &mut String, events: &[Timed]) {
    line(out, "\n## What was done");
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
            Event::Calls { action, calls, .. } if !calls.is_empty() => {
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
                    status => look::action_status(*status).to_owned(),
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
            Event::Failed(failure) => line(
                out,
                &format!("- {at} **stopped**: {}", escape(&failure.message)),
            ),
            Event::OutageStarted => line(out, &format!("- {at} **the outage began**")),
            Event::OutageEnded { seconds, at_least } => {
                line(
                    out,
                    &format!(
                        "- {at} **the outage was over** after {}",
                        text::outage(*seconds, *at_least)
                    ),
                );
            }
            _ => {}
        }
    }
}

pub(super) fn remarks(out: &mut String, events: &[Timed]) {
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
