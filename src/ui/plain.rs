//! One line per event, for logs and pipes: nothing moves, every line can be found with `grep`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

use super::look::{self, Look, Role};
use super::output::Verbosity;
use super::plain_blocks::Line;
use super::sink::{Clock, Sink, seconds_between, time_of_day};
use super::stall::{self, Stall};
use super::{outcome, plain_blocks, text};
use crate::event::{ActionStatus, CheckStatus, Event, Finding, Level, Mode, Observer, StepStatus};
use crate::meter::Unit;

/// Most time between two progress lines of an action that advances, in seconds.
const PROGRESS_EVERY: f64 = 10.0;

/// Writes `HH:MM:SS <what> <which>: <how>`, times in UTC.
pub struct Plain {
    inner: Arc<Inner>,
}

struct Inner {
    out: Sink,
    errors: Sink,
    clock: Clock,
    look: Look,
    verbosity: Verbosity,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    dry: bool,
    running: Vec<Running>,
}

struct Running {
    step: String,
    action: String,
    stall: Stall,
    waiting: String,
    counts: Vec<(Unit, Timestamp, u8)>,
}

impl Plain {
    /// Writes to `out`; the failure block goes to `errors`.
    #[must_use]
    pub fn new(out: Sink, errors: Sink, clock: Clock, look: Look, verbosity: Verbosity) -> Self {
        let inner = Arc::new(Inner {
            out,
            errors,
            clock,
            look,
            verbosity,
            state: Mutex::default(),
        });
        stall::watch(&inner, Inner::hint);
        Self { inner }
    }
}

impl Observer for Plain {
    fn observe(&self, event: &Event) {
        self.inner.observe(event);
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observe(&self, event: &Event) {
        let state = &mut *self.state();
        match event {
            Event::Banner(banner) => {
                state.dry = banner.mode == Mode::DryRun;
                self.block(plain_blocks::banner(banner));
            }
            Event::Plan(plan) => {
                let actions = self.verbosity >= Verbosity::Verbose;
                self.block(plain_blocks::plan(plan, actions));
            }
            Event::StepStarted {
                step,
                title,
                effect,
                index,
                of,
            } => {
                let (word, role) = look::effect(*effect);
                let line = format!("step {step}: started ({word}) [{index}/{of}] {title}");
                self.say_marked(&line, role, word);
            }
            Event::Check(Finding {
                id,
                group,
                status,
                message,
                hint,
            }) => {
                let (_, role) = self.look.check(*status);
                let word = look::check_status(*status);
                let hint = if hint.is_empty() {
                    String::new()
                } else {
                    format!(" (hint: {hint})")
                };
                let line = format!("check {id}: {word} [{group}] {message}{hint}");
                if matches!(status, CheckStatus::Warn | CheckStatus::Fail) {
                    self.always(&line, role, word);
                } else {
                    self.say_marked(&line, role, word);
                }
            }
            Event::Note { level, message } => match level {
                Level::Detail if self.verbosity >= Verbosity::Verbose => {
                    self.say(&format!("detail: {message}"));
                }
                Level::Detail => {}
                Level::Info => self.say(&format!("note: {message}")),
                Level::Warn => self.always(&format!("warning: {message}"), Role::Warn, "warning"),
            },
            Event::Output { step, line } => self.say(&format!("output {step}: {line}")),
            Event::StepFinished {
                step,
                status,
                seconds,
            } => self.say(&match status {
                StepStatus::Done => format!("step {step}: done in {}", text::seconds(*seconds)),
                status => format!("step {step}: {}", look::step_status(*status)),
            }),
            Event::OutageStarted => self.say("outage: started, clients are not served"),
            Event::OutageEnded { seconds, at_least } => {
                let time = text::outage(*seconds, *at_least);
                self.say(&format!("outage: ended after {time}"));
            }
            Event::Rewound { from, to, why } => {
                self.say(&format!("step {from}: going back to {to}: {why}"));
            }
            Event::Failed(failure) => {
                state.running.clear();
                let step = failure
                    .step
                    .as_deref()
                    .map_or_else(String::new, |step| format!("step {step}: "));
                let line = format!(
                    "failed: {step}{} (exit code {})",
                    failure.message, failure.exit_code
                );
                self.always(&line, Role::Alarm, "failed");
                self.errors
                    .line(&outcome::failure(failure, self.look, usize::MAX));
            }
            Event::RolledBack(back) => {
                let line = format!("rolled back: {}", back.now);
                self.always(&line, Role::Good, "rolled back");
                for (label, line) in outcome::rolled_back_rows(back) {
                    self.say(&format!("{label}: {line}"));
                }
            }
            Event::Summary(summary) if self.verbosity == Verbosity::Quiet => {
                self.out.line(&outcome::brief(summary));
            }
            Event::Summary(summary) => self.block(plain_blocks::summary(summary)),
            Event::ActionStarted { .. }
            | Event::Calls { .. }
            | Event::Progress { .. }
            | Event::Waiting { .. }
            | Event::ActionFinished { .. }
            | Event::Retry { .. } => self.action(state, event),
        }
    }

    fn action(&self, state: &mut State, event: &Event) {
        match event {
            Event::ActionStarted {
                step,
                action,
                title,
            } => {
                state.running.push(Running {
                    step: step.clone(),
                    action: action.clone(),
                    stall: Stall::new(Instant::now()),
                    waiting: String::new(),
                    counts: Vec::new(),
                });
                self.say(&format!("action {step}/{action}: started: {title}"));
            }
            Event::Calls {
                step,
                action,
                calls,
            } if state.dry || self.verbosity >= Verbosity::Verbose => {
                for call in calls {
                    self.say(&format!("action {step}/{action}: call: {call}"));
                }
            }
            Event::Progress {
                step,
                action,
                unit,
                done,
                total,
            } => {
                let now = (self.clock)();
                let Some(running) = find(state, step, action) else {
                    return;
                };
                running.stall.progress(Instant::now());
                if let Some(part) = running.due(*unit, *done, *total, now) {
                    let amount = text::done_of(*unit, *done, *total);
                    self.say(&format!("action {step}/{action}: progress: {part}{amount}"));
                }
            }
            Event::Waiting { step, action, what } => {
                let Some(running) = find(state, step, action) else {
                    return;
                };
                running.stall.waiting(what, Instant::now());
                if running.waiting != *what {
                    running.waiting.clone_from(what);
                    self.say(&format!("action {step}/{action}: waiting: {what}"));
                }
            }
            Event::Retry {
                step,
                action,
                attempt,
                why,
            } => {
                if let Some(running) = find(state, step, action) {
                    running.stall.progress(Instant::now());
                }
                self.say(&format!(
                    "action {step}/{action}: try {attempt} failed, trying again: {why}"
                ));
            }
            Event::ActionFinished {
                step,
                action,
                status,
                seconds,
                summary,
            } => {
                state
                    .running
                    .retain(|r| r.step != *step || r.action != *action);
                let how = match status {
                    ActionStatus::Done => format!("done in {}", text::seconds(*seconds)),
                    status => look::action_status(*status).to_owned(),
                };
                let summary = if summary.is_empty() {
                    String::new()
                } else {
                    format!(": {summary}")
                };
                self.say(&format!("action {step}/{action}: {how}{summary}"));
            }
            _ => {}
        }
    }

    fn block(&self, lines: Vec<Line>) {
        for line in lines {
            self.say_marked(&line.text, line.role, line.word);
        }
    }

    fn hint(&self) {
        let now = Instant::now();
        for running in &mut self.state().running {
            let title = format!("{}/{}", running.step, running.action);
            if let Some(hint) = running.stall.hint(&title, now) {
                self.say(&format!("action {title}: {hint}"));
            }
        }
    }

    fn say(&self, line: &str) {
        self.say_marked(line, Role::None, "");
    }

    fn say_marked(&self, line: &str, role: Role, word: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.always(line, role, word);
        }
    }

    /// Writes a line with `word` in the colour of `role`, where colours are forced into a pipe.
    fn always(&self, line: &str, role: Role, word: &str) {
        let mut line = text::one_line(line);
        if self.look.color && !word.is_empty() {
            line = line.replacen(word, &self.look.paint(role, word), 1);
        }
        self.out
            .line(&format!("{} {line}", time_of_day((self.clock)())));
    }
}

impl Running {
    /// The words before the amount when it is time for a line: after 10 s, or when another quarter is done.
    fn due(&mut self, unit: Unit, done: u64, total: Option<u64>, now: Timestamp) -> Option<String> {
        let percent = total.map(|total| text::percent(done, total));
        let quarter = percent.map_or(0, |percent| percent / 25);
        let words = percent.map_or_else(String::new, |percent| format!("{percent} %, "));
        if let Some((_, at, last)) = self.counts.iter_mut().find(|(known, ..)| *known == unit) {
            if quarter <= *last && seconds_between(*at, now) < PROGRESS_EVERY {
                return None;
            }
            (*at, *last) = (now, quarter.max(*last));
            return Some(words);
        }
        self.counts.push((unit, now, quarter));
        (quarter > 0).then_some(words)
    }
}

fn find<'a>(state: &'a mut State, step: &str, action: &str) -> Option<&'a mut Running> {
    state
        .running
        .iter_mut()
        .find(|running| running.step == step && running.action == action)
}
