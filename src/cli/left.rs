//! What is left of a run when it has ended, and what is left to do, as far as its journal tells.

use std::path::Path;

use crate::action::cleanup::COPIES;
use crate::action::{Held, KEEP_KEYS, Lost, PRINTED, Snapshot, Source};
use crate::engine::fact;
use crate::event::{ActionStatus, Event, Mode, RolledBack};
use crate::journal::State;
use crate::platform::{StorageKind, TOMBSTONE};

const FLIP: &str = "flip";

/// Where a rollback leads.
fn where_back(state: &State) -> &'static str {
    if fact::<Snapshot>(state).is_some() {
        "no member holds any data, as before"
    } else {
        "the source serves from its old storage as before"
    }
}

/// The end of a cleanup.
pub(super) fn cleaned_up(state: &State) -> String {
    let now = if state.rolling_back() {
        where_back(state)
    } else {
        "there is no way back any more"
    };
    format!("what was left of the run is removed; {now}")
}

/// The end of a run whose effects are all taken back; `but` is what the servers say against that.
pub(super) fn rolled_back(state: &State, journal: &Path, but: Option<String>) -> Event {
    let now = where_back(state);
    Event::RolledBack(RolledBack {
        now: but.map_or_else(|| now.to_owned(), |but| format!("{now}, {but}")),
        why: state.why_back().to_owned(),
        outage_seconds: state.outage_seconds(),
        outage_at_least: state.outage_at_least(),
        left: left(state, journal),
    })
}

/// A sentence for each, what is to be done first.
pub(super) fn left(state: &State, journal: &Path) -> Vec<String> {
    let Some(header) = state.header() else {
        return Vec::new();
    };
    let folder = journal.parent().unwrap_or(Path::new("."));
    let copies: Vec<&str> = COPIES
        .into_iter()
        .filter(|name| folder.join(name).is_file())
        .collect();
    if header.mode == Mode::Rehearsal && copies.is_empty() {
        // It cleared up after itself, the tree with the rest.
        return Vec::new();
    }
    let mut left = if state.cleaning() {
        Vec::new()
    } else if state.rolling_back() {
        // No server stood on raft before the release was changed to it.
        let aside = (state.intents_of(FLIP) > 0).then_some(
            "raft files that stood on a volume lie aside there, until `baoctl cleanup` removes them",
        );
        aside.into_iter().map(str::to_owned).collect()
    } else {
        of_the_way_on(state)
    };
    if !copies.is_empty() {
        left.push(format!(
            "copies of the data, as ciphertext, in {}: {}",
            folder.display(),
            copies.join(", ")
        ));
    }
    let printed = folder.join(PRINTED);
    if printed.is_dir() {
        left.push(format!(
            "what programs of the runbook printed, secrets as well if they did, in {}",
            printed.display()
        ));
    }
    if header.target.platform == "kubernetes" && !state.cleaning() {
        left.push(
            "Lease and copy of the journal in the namespace, until `baoctl cleanup` removes them"
                .to_owned(),
        );
    }
    left
}

fn of_the_way_on(state: &State) -> Vec<String> {
    let done = || {
        state
            .actions()
            .values()
            .filter_map(|it| Some((it, it.done.as_ref()?)))
    };
    // What is to be done before the outage is no news after it.
    let still = |at| state.outage_ended().is_some_and(|ended| at > ended);
    let mut left: Vec<String> = done()
        .filter(|(_, done)| done.status == ActionStatus::LeftToYou && still(done.at))
        .map(|(_, done)| format!("to do: {}", done.summary))
        .collect();
    let held: Option<Held> = fact(state);
    left.extend(held.into_iter().flat_map(|held| held.actors));
    let lost: Option<Lost> = fact(state);
    left.extend(lost.map(|lost| lost.words()));
    if state.intents_of(KEEP_KEYS) > 0 {
        left.push(
            "to do: write the new keys into whatever the unseal Secret comes from (Git, SOPS, an operator that syncs it), before that is \
             resumed: it would put the old ones back"
                .to_owned(),
        );
        left.push(
            "the old keys, which alone open the old data, and a second copy of the new ones, in Secrets of the run \
             until `baoctl cleanup` removes them"
                .to_owned(),
        );
    }
    if done().any(|(action, _)| action.kind == "write-tombstone") {
        let store = fact::<Source>(state).is_some_and(|it| it.storage == StorageKind::Pebbledb);
        let (what, mark) = if store {
            ("store", TOMBSTONE)
        } else {
            ("file tree", "core/_migration")
        };
        left.push(format!(
            "the old {what} on the volume of the first member, your way back until `baoctl cleanup` removes it (docs/rollback.md); \
             its file {mark} keeps servers from starting on it"
        ));
    }
    left
}
