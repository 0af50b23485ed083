//! Keeps the events of a run for its report.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::sink::{Clock, system_clock};
use crate::event::{Event, Observer};

/// An event and when it happened.
#[derive(Debug, Clone)]
pub struct Timed {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}

/// Collects every event but progress, waiting and what programs printed, of which there are many and a report needs none.
pub struct Recorder {
    clock: Clock,
    events: Mutex<Vec<Timed>>,
}

impl Recorder {
    /// Times from the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(system_clock())
    }

    /// Times from `clock`.
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        Self {
            clock,
            events: Mutex::default(),
        }
    }

    /// The events so far, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Timed> {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Recorder {
    fn observe(&self, event: &Event) {
        if matches!(
            event,
            Event::Progress { .. } | Event::Waiting { .. } | Event::Output { .. }
        ) {
            return;
        }
        let timed = Timed {
            at: (self.clock)(),
            event: event.clone(),
        };
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(timed);
    }
}
