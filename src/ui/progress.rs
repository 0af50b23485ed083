//! How far a command is that is no run, on stderr where that is a terminal.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use super::bars::Running;
use super::{Look, Screen};
use crate::meter::{Meter, Unit};

/// A bar while it lives, nothing where stderr is no terminal.
pub struct Progress(Option<(Screen, Mutex<Shown>)>);

struct Shown {
    running: Running,
    bytes: (u64, Option<u64>),
    entries: (u64, Option<u64>),
}

impl Progress {
    /// Begins to show `title`.
    #[must_use]
    pub fn new(title: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let screen = Screen::stderr();
        let mut running = Running::new("", "", title, Look::detect(true));
        running.show(&screen);
        let shown = Shown {
            running,
            bytes: (0, None),
            entries: (0, None),
        };
        Self(Some((screen, Mutex::new(shown))))
    }

    fn update(&self, unit: Unit, change: impl FnOnce(&mut (u64, Option<u64>))) {
        let Some((screen, shown)) = &self.0 else {
            return;
        };
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match unit {
            Unit::Bytes => &mut shown.bytes,
            Unit::Entries => &mut shown.entries,
        };
        change(count);
        let (done, total) = *count;
        shown.running.progress(unit, done, total, screen.width());
    }
}

impl Meter for Progress {
    fn total(&self, unit: Unit, total: u64) {
        self.update(unit, |count| *count = (0, Some(total)));
    }

    fn advance(&self, unit: Unit, more: u64) {
        self.update(unit, |count| count.0 += more);
    }

    fn waiting(&self, what: &str) {
        if let Some((_, shown)) = &self.0 {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.running.waiting(what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((screen, shown)) = &self.0 {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.running.hide(screen);
        }
    }
}
