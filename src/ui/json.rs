//! One JSON object per line, for programs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use super::sink::{Clock, Sink, seconds_between};
use crate::event::{Event, Observer};
use crate::meter::Unit;

/// Least time between two progress lines of one action and unit, in seconds.
const PROGRESS_EVERY: f64 = 1.0;

/// Writes each event as `{"version":1,"time":"…","event":"…", …}` and flushes. Progress is thinned out to one line per
/// second, action and unit; the first and the last are always there.
pub struct Json {
    out: Sink,
    clock: Clock,
    progress: Mutex<HashMap<(String, String, Unit), Timestamp>>,
}

#[derive(Serialize)]
struct Line<'a> {
    version: u32,
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

impl Json {
    /// Writes to `out`, with times from `clock`.
    #[must_use]
    pub fn new(out: Sink, clock: Clock) -> Self {
        Self {
            out,
            clock,
            progress: Mutex::default(),
        }
    }

    fn is_due(&self, event: &Event, now: Timestamp) -> bool {
        let mut seen = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Progress {
                step,
                action,
                unit,
                done,
                total,
            } => {
                let key = (step.clone(), action.clone(), *unit);
                let early = seen
                    .get(&key)
                    .is_some_and(|last| seconds_between(*last, now) < PROGRESS_EVERY);
                if early && *total != Some(*done) {
                    return false;
                }
                seen.insert(key, now);
            }
            Event::ActionFinished { step, action, .. } => {
                seen.retain(|(s, a, _), _| s != step || a != action);
            }
            _ => {}
        }
        true
    }
}

impl Observer for Json {
    fn observe(&self, event: &Event) {
        let now = (self.clock)();
        if !self.is_due(event, now) {
            return;
        }
        let line = Line {
            version: Event::VERSION,
            time: format!("{now:.3}"),
            event,
        };
        // Events hold only strings, numbers and maps with string keys, which always serialise.
        if let Ok(text) = serde_json::to_string(&line) {
            self.out.line(&text);
        }
    }
}
