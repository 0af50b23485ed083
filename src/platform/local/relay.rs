//! Carries the progress of blocking work to a meter that cannot follow it to another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::meter::{Meter, Unit};
use crate::platform::{Error, Result};

/// How often the meter hears of it.
const EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Counter {
    total: AtomicU64,
    done: AtomicU64,
}

/// The blocking side: a meter that may cross threads, and the word that nobody waits any more.
#[derive(Debug, Default)]
pub(super) struct Relay {
    bytes: Counter,
    entries: Counter,
    cancelled: AtomicBool,
}

impl Relay {
    /// True when the caller is gone and the work should end.
    pub fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn counter(&self, unit: Unit) -> &Counter {
        match unit {
            Unit::Bytes => &self.bytes,
            Unit::Entries => &self.entries,
        }
    }
}

impl Meter for Relay {
    fn total(&self, unit: Unit, total: u64) {
        self.counter(unit).total.store(total, Ordering::Relaxed);
    }

    fn advance(&self, unit: Unit, more: u64) {
        self.counter(unit).done.fetch_add(more, Ordering::Relaxed);
    }

    fn waiting(&self, _: &str) {}
}

/// Tells the meter what is new since the last time.
#[derive(Default)]
struct Teller {
    totals: [u64; 2],
    done: [u64; 2],
}

impl Teller {
    fn tell(&mut self, relay: &Relay, meter: &dyn Meter) {
        for (index, unit) in [Unit::Bytes, Unit::Entries].into_iter().enumerate() {
            let counter = relay.counter(unit);
            let total = counter.total.load(Ordering::Relaxed);
            if total != self.totals[index] {
                self.totals[index] = total;
                meter.total(unit, total);
            }
            let done = counter.done.load(Ordering::Relaxed);
            if done > self.done[index] {
                meter.advance(unit, done - self.done[index]);
                self.done[index] = done;
            }
        }
    }
}

struct CancelOnDrop(Arc<Relay>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on a blocking thread and tells `meter` how far it is.
pub(super) async fn blocking<T: Send + 'static>(
    meter: &dyn Meter,
    work: impl FnOnce(&Relay) -> Result<T> + Send + 'static,
) -> Result<T> {
    let relay = Arc::new(Relay::default());
    let _guard = CancelOnDrop(Arc::clone(&relay));
    let theirs = Arc::clone(&relay);
    let mut running = tokio::task::spawn_blocking(move || work(&theirs));
    let mut teller = Teller::default();
    loop {
        let ended = tokio::time::timeout(EVERY, &mut running).await;
        teller.tell(&relay, meter);
        if let Ok(joined) = ended {
            return joined
                .map_err(|error| Error::Refused(format!("the work ended early: {error}")))?;
        }
    }
}
