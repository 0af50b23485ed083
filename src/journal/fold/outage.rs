//! Where the time went.

use jiff::Timestamp;

use super::state::State;

/// The part of an outage that no action accounts for.
const BETWEEN: &str = "between actions";

/// The part in which it ended, where nobody saw that.
const UNSEEN: &str = "until it was found to be over";

/// A time without anybody being served.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outage {
    pub began: Timestamp,
    /// When it ended, or was found to be over.
    pub ended: Option<Timestamp>,
    /// The last record of a process that left off in it, until something is done again: it may have ended from then on.
    pub unseen: Option<Timestamp>,
}

impl State {
    /// Length of the outage in seconds, up to the last record while it lasts; `None` when there is none. At most, where
    /// [`State::outage_at_least`] is known.
    pub fn outage_seconds(&self) -> Option<f64> {
        let (from, to) = self.outage()?;
        Some(seconds(from, to))
    }

    /// The least number of seconds that the outage took, where nobody saw its end: it was found to be over, or may be by now.
    pub fn outage_at_least(&self) -> Option<f64> {
        let outage = self.outages.last()?;
        let to = match outage.ended {
            Some(ended) => outage.unseen?.min(ended),
            None => outage.unseen.or(self.last_at)?,
        };
        Some(seconds(outage.began, to))
    }

    /// The outage by action, as `step/kind` and seconds, in order of time: of each carrying out the part that lies
    /// between the marks. What lies between actions (questions, a process that was away) comes last, and after it the time in
    /// which it ended unseen.
    pub fn outage_parts(&self) -> Vec<(String, f64)> {
        let Some((from, over)) = self.outage() else {
            return Vec::new();
        };
        let outage = self.outages.last().filter(|outage| outage.ended.is_some());
        let unseen = outage.and_then(|outage| outage.unseen);
        let to = unseen.map_or(over, |unseen| unseen.min(over));
        let mut parts: Vec<(String, f64)> = Vec::new();
        let mut between = seconds(from, to);
        // Those that overlap, as of an intent that was left open, are not counted twice.
        let mut counted = from;
        for span in &self.spans {
            let (began, ended) = (span.began.max(counted), span.ended.min(to));
            let within = seconds(began, ended);
            if within <= 0.0 {
                continue;
            }
            counted = ended;
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
        if to < over {
            parts.push((UNSEEN.to_owned(), seconds(to, over)));
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
        let outage = self.outages.last()?;
        Some((outage.began, outage.ended.or(self.last_at)?))
    }
}

/// Never negative: a clock may have been set back between two records.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
