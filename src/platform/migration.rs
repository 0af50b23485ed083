//! What `bao operator migrate` says while it runs, wherever that is.

use std::collections::VecDeque;
use std::time::Duration;

use super::Error;
use crate::meter::{Meter, Unit};

/// Entries that it copies at the same time: as many as raft takes in one batch, each of which is synced. With the ten that are its
/// default it takes five times as long.
pub(super) const AT_ONCE: &str = "-max-parallel=64";
/// What it says of each entry that it has copied.
const COPIED: &str = "copied key";
/// The longest that it may say nothing: it makes a raft of its own first.
pub(super) const SILENT: Duration = Duration::from_mins(2);
/// How much of what it said an error shows.
const SHOWN: usize = 5;

/// Its last lines, those of the entries left out.
#[derive(Debug, Default)]
pub(super) struct Said(VecDeque<String>);

impl Said {
    /// One more line.
    pub fn hear(&mut self, line: String, meter: &dyn Meter) {
        if line.contains(COPIED) {
            meter.advance(Unit::Entries, 1);
            return;
        }
        if self.0.len() == SHOWN {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// It said nothing for too long.
    pub fn silent(self) -> Error {
        self.failed(&format!(
            "it said nothing for {} s and was ended",
            SILENT.as_secs()
        ))
    }

    /// It failed.
    pub fn failed(self, why: &str) -> Error {
        Error::Migration {
            why: why.to_owned(),
            log: self.0.into(),
        }
    }
}
