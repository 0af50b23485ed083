//! Notices that a running action has stood still for a while.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long an action may stand still before a hint is given.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Watches one action: when it last moved, and whether a hint was given.
#[derive(Debug)]
pub(super) struct Stall {
    moved: Instant,
    waiting: String,
    hinted: bool,
}

impl Stall {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            moved: now,
            waiting: String::new(),
            hinted: false,
        }
    }

    /// The action got further.
    pub(super) fn progress(&mut self, now: Instant) {
        self.moved = now;
    }

    /// The action waits; the same words again are no movement.
    pub(super) fn waiting(&mut self, what: &str, now: Instant) {
        if self.waiting != what {
            what.clone_into(&mut self.waiting);
            self.moved = now;
        }
    }

    /// The hint, once, when it is time for it.
    pub(super) fn hint(&mut self, title: &str, now: Instant) -> Option<String> {
        if self.hinted || now.duration_since(self.moved) < PATIENCE {
            return None;
        }
        self.hinted = true;
        let waited = if self.waiting.is_empty() {
            format!("`{title}` has said nothing")
        } else {
            format!("still waiting: {}", self.waiting)
        };
        Some(format!(
            "no change for {} s, {waited}. Look at `baoctl status` in another terminal and at the server's log.",
            PATIENCE.as_secs()
        ))
    }
}

/// Calls `look` about twice a second until `watched` is gone.
pub(super) fn watch<T: Send + Sync + 'static>(watched: &Arc<T>, look: fn(&T)) {
    let weak: Weak<T> = Arc::downgrade(watched);
    let spawned = std::thread::Builder::new()
        .name("stall-watch".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(Duration::from_millis(500));
                let Some(watched) = weak.upgrade() else {
                    return;
                };
                look(&watched);
            }
        });
    // Without the thread there are no hints; nothing else depends on it.
    drop(spawned);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_comes_once_and_names_what_was_waited_for() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut stall = Stall::new(start);
        stall.waiting("2 of 3 voters", at(5));
        stall.waiting("2 of 3 voters", at(9));
        assert_eq!(stall.hint("Join", at(14)), None);
        let hint = stall.hint("Join", at(15)).unwrap();
        assert!(
            hint.contains("2 of 3 voters") && hint.contains("baoctl status"),
            "{hint}"
        );
        assert_eq!(stall.hint("Join", at(99)), None);
    }

    #[test]
    fn progress_puts_it_off() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut stall = Stall::new(start);
        stall.progress(at(9));
        assert_eq!(stall.hint("Copy", at(18)), None);
        assert!(
            stall
                .hint("Copy", at(19))
                .unwrap()
                .contains("`Copy` has said nothing")
        );
    }
}
