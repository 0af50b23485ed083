//! Where the time went.

use jiff::Timestamp;

use super::state::State;

impl State {
    /// Length of the outage in seconds, up to the last record while it lasts; `None` when there is none.
    pub fn outage_seconds(&self) -> Option<f64> {
        let (from, to) = self.outage()?;
        Some(seconds(from, to))
    }

    /// The outage by action, as kind and seconds, in order of time: of each carrying out the part that lies
    /// between the marks. Time between actions is in none of them.
    pub fn outage_parts(&self) -> Vec<(String, f64)> {
        let Some((from, to)) = self.outage() else {
            return Vec::new();
        };
        self.spans
            .iter()
            .map(|span| {
                let within = seconds(span.began.max(from), span.ended.min(to));
                (span.kind.clone(), within)
            })
            .filter(|(_, within)| *within > 0.0)
            .collect()
    }

    /// Seconds that the actions of a step took, over all their carryings out.
    pub fn step_seconds(&self, step: &str) -> f64 {
        self.spans
            .iter()
            .filter(|span| span.action.0 == step)
            .map(|span| span.seconds)
            .sum()
    }

    fn outage(&self) -> Option<(Timestamp, Timestamp)> {
        let from = self.outage_started?;
        Some((from, self.outage_ended.or(self.last_at)?))
    }
}

/// Never negative: a clock may have been set back between two records.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
