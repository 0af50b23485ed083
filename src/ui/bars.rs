//! The moving lines: the running action and the outage clock.

use std::fmt::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::look::{Look, Role};
use super::screen::Screen;
use super::stall::Stall;
use super::text;
use crate::meter::Unit;

const TICK: Duration = Duration::from_millis(100);
/// Below this many columns a bar goes without its rate and the time left.
const WIDE: usize = 76;

/// How far one unit is.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    done: u64,
    total: Option<u64>,
}

/// An action that has begun and not ended.
pub(super) struct Running {
    pub(super) step: String,
    pub(super) action: String,
    pub(super) title: String,
    pub(super) started: Instant,
    pub(super) stall: Stall,
    look: Look,
    bar: Option<ProgressBar>,
    shown: Option<(Unit, bool)>,
    bytes: Count,
    entries: Count,
    waiting: String,
}

impl Running {
    pub(super) fn new(step: &str, action: &str, title: &str, look: Look) -> Self {
        let now = Instant::now();
        Self {
            step: step.to_owned(),
            action: action.to_owned(),
            title: text::one_line(title),
            started: now,
            stall: Stall::new(now),
            look,
            bar: None,
            shown: None,
            bytes: Count::default(),
            entries: Count::default(),
            waiting: String::new(),
        }
    }

    /// Shows a spinner at the top of the bars.
    pub(super) fn show(&mut self, screen: &Screen) {
        let bar = screen.add_first(ProgressBar::no_length());
        bar.set_style(spinner(self.look));
        bar.set_message(self.message());
        bar.enable_steady_tick(TICK);
        self.bar = Some(bar);
    }

    pub(super) fn hide(&mut self, screen: &Screen) {
        if let Some(bar) = self.bar.take() {
            screen.remove(&bar);
        }
    }

    pub(super) fn progress(&mut self, unit: Unit, done: u64, total: Option<u64>, width: usize) {
        let count = match unit {
            Unit::Bytes => &mut self.bytes,
            Unit::Entries => &mut self.entries,
        };
        if count.done != done || count.total != total {
            self.stall.progress(Instant::now());
        }
        *count = Count { done, total };
        let Some(bar) = &self.bar else { return };
        // Bytes tell more about the time left than entries, which differ in size.
        let main = [(Unit::Bytes, self.bytes), (Unit::Entries, self.entries)]
            .into_iter()
            .find_map(|(unit, count)| Some((unit, count.done, count.total.filter(|t| *t > 0)?)));
        if let Some((unit, done, total)) = main {
            let shape = Some((unit, width >= WIDE));
            if self.shown != shape {
                if self.shown.is_none_or(|(shown, _)| shown != unit) {
                    bar.reset_eta();
                }
                self.shown = shape;
                bar.set_style(measured(self.look, unit, width >= WIDE));
            }
            bar.set_length(total.max(done));
            bar.set_position(done);
        }
        bar.set_message(self.message());
    }

    pub(super) fn waiting(&mut self, what: &str) {
        self.stall.waiting(what, Instant::now());
        self.waiting = text::one_line(what);
        if let Some(bar) = &self.bar {
            bar.set_message(self.message());
        }
    }

    fn message(&self) -> String {
        let mut parts = Vec::new();
        if !self.waiting.is_empty() {
            parts.push(self.waiting.clone());
        }
        for (unit, count) in [(Unit::Bytes, self.bytes), (Unit::Entries, self.entries)] {
            let is_main = self.shown.is_some_and(|(shown, _)| shown == unit);
            if !is_main && count.done > 0 {
                parts.push(text::done_of(unit, count.done, count.total));
            }
        }
        if parts.is_empty() {
            return self.title.clone();
        }
        let dot = format!(" {} ", self.look.dot());
        let tail = format!("{dot}{}", parts.join(&dot));
        format!("{}{}", self.title, self.look.paint(Role::Dim, &tail))
    }
}

/// The clock that runs while clients are not served.
pub(super) fn outage_clock(screen: &Screen, look: Look, estimate: Option<f64>) -> ProgressBar {
    let bar = screen.add_last(ProgressBar::no_length());
    let mark = look.either("●", "*");
    let estimate = estimate.map_or_else(String::new, |seconds| {
        let of = format!("  of about {} estimated", text::seconds(seconds));
        look.paint(Role::Dim, &of)
    });
    let style = template("{outage}").with_key(
        "outage",
        move |state: &ProgressState, out: &mut dyn Write| {
            let clock = format!(
                "{mark} outage {}",
                text::seconds(state.elapsed().as_secs_f64())
            );
            let _ = write!(out, "{}{estimate}", look.paint(Role::Alarm, &clock));
        },
    );
    bar.set_style(style);
    bar.enable_steady_tick(TICK);
    bar
}

/// The first columns of a line about an action: a mark and the time.
pub(super) fn lead(look: Look, mark: (&str, Role), seconds: Option<f64>) -> String {
    let time = seconds.map_or_else(String::new, text::clock);
    format!(
        "  {} {}  ",
        look.paint(mark.1, mark.0),
        look.paint(Role::Dim, &format!("{time:>7}"))
    )
}

/// Columns that [`lead`] takes.
pub(super) const LEAD: usize = 13;

fn template(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn with_clock(style: ProgressStyle, look: Look) -> ProgressStyle {
    let ticks: &[&str] = if look.unicode {
        &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", " "]
    } else {
        &["|", "/", "-", "\\", " "]
    };
    style
        .tick_strings(ticks)
        .progress_chars(look.either("━╸ ", "=> "))
        .with_key(
            "clock",
            move |state: &ProgressState, out: &mut dyn Write| {
                let time = format!("{:>7}", text::clock(state.elapsed().as_secs_f64()));
                let _ = out.write_str(&look.paint(Role::Dim, &time));
            },
        )
}

fn spinner(look: Look) -> ProgressStyle {
    with_clock(template("  {spinner:.cyan} {clock}  {wide_msg}"), look)
}

fn measured(look: Look, unit: Unit, wide: bool) -> ProgressStyle {
    let second = if wide {
        "{percent:>3} %  {amount}  {rate}"
    } else {
        "{percent:>3} %"
    };
    let indent = " ".repeat(LEAD);
    let frame = (look.either("▕", "["), look.either("▏", "]"));
    let style = template(&format!(
        "  {{spinner:.cyan}} {{clock}}  {{wide_msg}}\n{indent}{}{{wide_bar:.cyan}}{} {second}",
        frame.0, frame.1
    ));
    with_clock(style, look)
        .with_key(
            "amount",
            move |state: &ProgressState, out: &mut dyn Write| {
                let _ = out.write_str(&text::done_of(unit, state.pos(), state.len()));
            },
        )
        .with_key("rate", move |state: &ProgressState, out: &mut dyn Write| {
            // A rate is far below 2^53 and not negative.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let rate = state.per_sec() as u64;
            let rate = match unit {
                Unit::Bytes => text::bytes(rate),
                Unit::Entries => text::count(rate),
            };
            let left = text::seconds(state.eta().as_secs_f64());
            let _ = out.write_str(&look.paint(Role::Dim, &format!("{rate}/s  {left} left")));
        })
}
