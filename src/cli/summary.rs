//! What a journal's run amounts to: the last event of a run, and the sums that its report ends with.

use std::collections::BTreeMap;
use std::path::Path;

use super::left::left;
use super::replay::report_beside;
use crate::action::{Backup, Compared, FinalCopied, KeysRead, Snapshot};
use crate::engine::{Program, expected, fact};
use crate::event::{StepStatus, StepSummary, Summary};
use crate::journal::State;

/// What the copies of the data and the keys can be told by.
pub(super) fn sums(state: &State) -> Vec<(String, String)> {
    let mut sums = Vec::new();
    let mut sum = |name: &str, value: String| sums.push((name.to_owned(), value));
    if let Some(backup) = fact::<Backup>(state) {
        let (sha256, entries, bytes) = (backup.sha256, backup.entries, backup.bytes);
        let name = "backup.tar, the archive of the live tree";
        sum(
            name,
            format!("SHA-256 {sha256}, {entries} entries, {bytes} bytes"),
        );
    }
    if let Some(source) = fact::<Snapshot>(state) {
        let (name, sha256) = (source.path.display(), source.sha256);
        sum(
            &format!("{name}, the snapshot"),
            format!("SHA-256 {sha256}"),
        );
    }
    if let Some(copy) = fact::<FinalCopied>(state) {
        let (snapshot, entries) = (copy.sha256, copy.entries);
        if let Some(manifest) = copy.manifest_digest {
            sum(
                "final.manifest, of the frozen tree, made beside it",
                format!("SHA-256 {manifest}, {entries} entries"),
            );
        }
        sum(
            "final.snap, made of it for the restore",
            format!("SHA-256 {snapshot}"),
        );
    }
    if let Some(keys) = fact::<KeysRead>(state) {
        sum("keys, as this run tells them apart", keys.fingerprint);
    }
    sums
}

/// The last event of a run, made from its journal so that it covers every process of it.
pub(super) fn summary(
    program: &Program,
    state: &State,
    journal: &Path,
    facts: BTreeMap<String, String>,
) -> Summary {
    let compared: Option<Compared> = fact(state);
    let worst = compared.as_ref().map(|compared| {
        compared
            .by_voter
            .values()
            .copied()
            .max_by_key(|counts| (counts.missing + counts.unexplained, counts.volatile))
            .unwrap_or_default()
    });
    Summary {
        entries: match &compared {
            Some(compared) => compared.entries,
            None => fact::<FinalCopied>(state).map_or(0, |copied| copied.entries),
        },
        parity: worst.unwrap_or_default(),
        compared: compared
            .map(|compared| compared.by_voter.into_keys().collect())
            .unwrap_or_default(),
        outage_seconds: state.outage_seconds(),
        outage_at_least: state.outage_at_least(),
        outage_parts: state.outage_parts(),
        expected: expected(program, state),
        steps: program
            .steps
            .iter()
            .map(|step| StepSummary {
                id: step.id.clone(),
                status: if (0..step.units.len()).all(|index| state.done(&step.id, index).is_some())
                {
                    StepStatus::Done
                } else {
                    StepStatus::Pending
                },
                seconds: state.step_seconds(&step.id),
            })
            .collect(),
        left: left(state, journal),
        report: Some(report_beside(journal).display().to_string()),
        journal: Some(journal.display().to_string()),
        facts,
    }
}
