//! Where the time went.

use jiff::Timestamp;

use super::state::State;

/// The part of an outage that no action accounts for.
const BETWEEN: &str = "between actions";

impl State {
    /// Length of the outage in seconds, up to the last record while it lasts; `None` when there is none.
    pub fn outage_seconds(&self) -> Option<f64> {
        let (from, to) = self.outage()?;
        Some(seconds(from, to))
    }

    /// The outage by action, as `step/kind` and seconds, in order of time: of each carrying out the part that lies
    /// between the marks. What lies between actions (questions, a process that was away) comes last.
    pub fn outage_parts(&self) -> Vec<(String, f64)> {
        let Some((from, to)) = self.outage() else {
            return Vec::new();
        };
        let mut parts: Vec<(String, f64)> = Vec::new();
        let mut between = seconds(from, to);
        for span in &self.spans {
            let within = seconds(span.began.max(from), span.ended.min(to));
            if within <= 0.0 {
                continue;
            }
            between -= within;
            let name = format!("{}/{}", span.action.0, span.kind);
            match parts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += within,
                None => parts.push((name, within)),
            }
        }
        if between >= 0.05 {
            parts.push((BETWEEN.to_owned(), between));
        }
        parts
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
        let (from, ended) = *self.outages.last()?;
        Some((from, ended.or(self.last_at)?))
    }
}

/// Never negative: a clock may have been set back between two records.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
