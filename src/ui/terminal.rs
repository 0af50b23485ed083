//! A run at a terminal: lines that stay, bars that go.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use indicatif::ProgressBar;

use super::bars::{LEAD, Running, lead, outage_clock};
use super::blocks::{self, MEASURE};
use super::lines::Setting;
use super::look::{Look, Role};
use super::output::Verbosity;
use super::screen::Screen;
use super::sink::{Sink, time_of_day};
use super::{outcome, stall, text};
use crate::event::{CheckStatus, Event, Finding, Level, Mode, Observer};

/// Shows a run at a terminal. Dropping it takes the bars away.
pub struct Terminal {
    inner: Arc<Inner>,
}

struct Inner {
    screen: Screen,
    errors: Sink,
    look: Look,
    error_look: Look,
    verbosity: Verbosity,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    dry: bool,
    estimate: Option<f64>,
    group: Option<String>,
    running: Vec<Running>,
    clock: Option<ProgressBar>,
}

impl Terminal {
    /// Shows a run on `screen`; the failure block goes to `errors`, with its own look.
    #[must_use]
    pub fn new(
        screen: Screen,
        look: Look,
        errors: Sink,
        error_look: Look,
        verbosity: Verbosity,
    ) -> Self {
        let inner = Arc::new(Inner {
            screen,
            errors,
            look,
            error_look,
            verbosity,
            state: Mutex::default(),
        });
        stall::watch(&inner, Inner::hint);
        Self { inner }
    }

    /// Takes the bars away, for the end of the program.
    pub fn finish(&self) {
        self.inner.clear(&mut self.inner.state());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Observer for Terminal {
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
        if !matches!(
            event,
            Event::Check(_) | Event::Progress { .. } | Event::Waiting { .. }
        ) {
            state.group = None;
        }
        match event {
            Event::Banner(banner) => {
                state.dry = banner.mode == Mode::DryRun;
                self.say(&blocks::banner(banner, self.look, self.screen.width()));
            }
            Event::Plan(plan) => {
                state.estimate = plan.outage_seconds;
                let actions = self.verbosity >= Verbosity::Verbose;
                self.say(&format!(
                    "\n{}",
                    blocks::plan(plan, actions, self.look, self.screen.width())
                ));
            }
            Event::StepStarted {
                step,
                title,
                effect,
                index,
                of,
            } => self.say(
                &self
                    .lines()
                    .step_started((*index, *of), step, *effect, title),
            ),
            Event::Check(Finding {
                id,
                group,
                status,
                message,
                hint,
            }) => self.check(state, (id, group), *status, message, hint),
            Event::Note { level, message } => self.note(*level, message),
            Event::Output { line, .. } => {
                self.say(&self.lines().output(self.look.either("│", "|"), line));
            }
            Event::Rewound { from, to, why } => {
                let line = format!("going back from {from} to {to}: {why}");
                self.say(
                    &self
                        .lines()
                        .remark(self.look.either("↩", "<"), Role::Warn, &line),
                );
            }
            Event::OutageStarted => self.outage_started(state),
            Event::OutageEnded { seconds, at_least } => {
                self.stop_clock(state);
                let line = format!("outage over after {}", text::outage(*seconds, *at_least));
                self.say(&self.look.paint(
                    Role::Good,
                    &format!("{} {line}", self.look.either("●", "*")),
                ));
            }
            Event::StepFinished {
                step,
                status,
                seconds,
            } => self.say(&self.lines().step_finished(step, *status, *seconds)),
            Event::Failed(failure) => {
                self.clear(state);
                self.errors.line(&format!(
                    "\n{}",
                    outcome::failure(failure, self.error_look, self.screen.width())
                ));
            }
            Event::RolledBack(back) => {
                self.clear(state);
                self.say(&format!(
                    "\n{}",
                    outcome::rolled_back(back, self.look, self.screen.width())
                ));
            }
            Event::Summary(summary) => {
                self.clear(state);
                if self.verbosity == Verbosity::Quiet {
                    self.screen.print(&outcome::brief(summary));
                } else {
                    self.say(&format!(
                        "\n{}",
                        outcome::summary(summary, self.look, self.screen.width())
                    ));
                }
            }
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
                let mut running = Running::new(step, action, title, self.look);
                if self.verbosity > Verbosity::Quiet {
                    running.show(&self.screen);
                }
                state.running.push(running);
            }
            Event::Calls { calls, .. } if state.dry || self.verbosity >= Verbosity::Verbose => {
                for call in calls {
                    self.say(&self.lines().call(call));
                }
            }
            Event::Progress {
                step,
                action,
                unit,
                done,
                total,
            } => {
                let width = self.screen.width();
                if let Some(running) = find(state, step, action) {
                    running.progress(*unit, *done, *total, width);
                }
            }
            Event::Waiting { step, action, what } => {
                if let Some(running) = find(state, step, action) {
                    running.waiting(what);
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
                let line = format!(
                    "try {attempt} failed, trying again: {}",
                    text::one_line(why)
                );
                self.say(
                    &self
                        .lines()
                        .remark(self.look.either("↻", "~"), Role::Warn, &line),
                );
            }
            Event::ActionFinished {
                step,
                action,
                status,
                seconds,
                summary,
            } => {
                let place = state
                    .running
                    .iter()
                    .position(|r| r.step == *step && r.action == *action);
                let title = place.map_or_else(
                    || text::one_line(action),
                    |place| {
                        let mut running = state.running.remove(place);
                        running.hide(&self.screen);
                        running.title
                    },
                );
                self.say(
                    &self
                        .lines()
                        .action_finished(&title, *status, *seconds, summary),
                );
            }
            _ => {}
        }
    }

    fn check(
        &self,
        state: &mut State,
        (id, group): (&str, &str),
        status: CheckStatus,
        message: &str,
        hint: &str,
    ) {
        let loud = matches!(status, CheckStatus::Warn | CheckStatus::Fail);
        if self.verbosity == Verbosity::Quiet && !loud {
            return;
        }
        let mut out = String::new();
        if state.group.as_deref() != Some(group) {
            state.group = Some(group.to_owned());
            out = format!(
                "  {}\n",
                self.look.paint(Role::Strong, &text::one_line(group))
            );
        }
        out.push_str(&self.lines().check(id, status, message, hint));
        self.screen.print(&out);
    }

    fn note(&self, level: Level, message: &str) {
        match level {
            Level::Detail if self.verbosity >= Verbosity::Verbose => {
                self.screen
                    .print(&self.lines().remark(self.look.dot(), Role::Dim, message));
            }
            Level::Info => {
                self.say(
                    &self
                        .lines()
                        .remark(self.look.either("›", ">"), Role::Accent, message),
                );
            }
            Level::Warn => self
                .screen
                .print(&self.lines().remark("!", Role::Warn, message)),
            Level::Detail => {}
        }
    }

    fn outage_started(&self, state: &mut State) {
        let at = time_of_day(jiff::Timestamp::now());
        let line = format!(
            "{} outage began {at} UTC: clients are not served",
            self.look.either("●", "*")
        );
        self.say(&self.look.paint(Role::Alarm, &line));
        self.stop_clock(state);
        self.screen.set_outage(Some(Instant::now()));
        if self.verbosity > Verbosity::Quiet {
            state.clock = Some(outage_clock(&self.screen, self.look, state.estimate));
        }
    }

    fn stop_clock(&self, state: &mut State) {
        self.screen.set_outage(None);
        if let Some(clock) = state.clock.take() {
            self.screen.remove(&clock);
        }
    }

    /// Takes all bars away; an action that still runs leaves a line that says it did not end.
    fn clear(&self, state: &mut State) {
        for mut running in std::mem::take(&mut state.running) {
            running.hide(&self.screen);
            let seconds = running.started.elapsed().as_secs_f64();
            let first = lead(self.look, (self.look.cross(), Role::Bad), Some(seconds));
            self.say(&text::hang(
                &first,
                &running.title,
                LEAD,
                self.lines().width,
            ));
        }
        self.stop_clock(state);
    }

    fn hint(&self) {
        let now = Instant::now();
        let hints: Vec<_> = self
            .state()
            .running
            .iter_mut()
            .filter_map(|running| running.stall.hint(&running.title, now))
            .collect();
        for hint in hints {
            self.say(
                &self
                    .lines()
                    .remark(self.look.either("⋯", "."), Role::Warn, &hint),
            );
        }
    }

    fn lines(&self) -> Setting {
        Setting {
            look: self.look,
            width: self.screen.width().min(MEASURE),
        }
    }

    fn say(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.screen.print(text);
        }
    }
}

fn find<'a>(state: &'a mut State, step: &str, action: &str) -> Option<&'a mut Running> {
    state
        .running
        .iter_mut()
        .find(|running| running.step == step && running.action == action)
}
