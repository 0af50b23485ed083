//! Turns what the lower layers tell into events of the running action.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Event, Observer};
use crate::meter::{Meter, Unit};

/// Often enough for a bar to look alive, seldom enough to cost nothing.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);

#[derive(Default, Clone, Copy)]
struct Count {
    done: u64,
    total: Option<u64>,
    told: Option<Instant>,
}

#[derive(Default)]
struct Counts {
    bytes: Count,
    entries: Count,
    waiting: String,
}

/// A meter that speaks for one action.
pub struct ActionMeter {
    step: String,
    action: String,
    observer: Arc<dyn Observer>,
    counts: Mutex<Counts>,
}

impl ActionMeter {
    /// For an action of a step, to this listener.
    pub fn new(step: &str, action: &str, observer: Arc<dyn Observer>) -> Self {
        Self {
            step: step.to_owned(),
            action: action.to_owned(),
            observer,
            counts: Mutex::default(),
        }
    }

    fn update(&self, unit: Unit, change: impl FnOnce(&mut Count) -> bool) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match unit {
            Unit::Bytes => &mut counts.bytes,
            Unit::Entries => &mut counts.entries,
        };
        let at_once = change(count);
        let complete = count.total == Some(count.done);
        if at_once
            || complete
            || count
                .told
                .is_none_or(|told| told.elapsed() >= AT_MOST_EVERY)
        {
            count.told = Some(Instant::now());
            let (done, total) = (count.done, count.total);
            drop(counts);
            self.observer.observe(&Event::Progress {
                step: self.step.clone(),
                action: self.action.clone(),
                unit,
                done,
                total,
            });
        }
    }
}

impl Meter for ActionMeter {
    /// A new total begins a new count: one action may copy, then convert.
    fn total(&self, unit: Unit, total: u64) {
        self.update(unit, |count| {
            count.total = Some(total);
            count.done = 0;
            true
        });
    }

    fn advance(&self, unit: Unit, more: u64) {
        self.update(unit, |count| {
            count.done += more;
            false
        });
    }

    fn waiting(&self, what: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.waiting != what {
            what.clone_into(&mut counts.waiting);
            drop(counts);
            self.observer.observe(&Event::Waiting {
                step: self.step.clone(),
                action: self.action.clone(),
                what: what.to_owned(),
            });
        }
    }
}
