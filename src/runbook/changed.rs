//! What a changed runbook changes.

use similar::TextDiff;

use super::model::Runbook;
use crate::journal::State;

/// A unified diff of two runbooks; empty when they are the same.
pub fn diff(old: &str, new: &str) -> String {
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .header("runbook of the journal", "runbook now")
        .to_string()
}

impl Runbook {
    /// Where this runbook does not fit what a journal has recorded, one line each. A changed runbook may
    /// change what is still to come, but not where in it the actions stand that have acted.
    pub fn contradictions(&self, state: &State) -> Vec<String> {
        let acted = state
            .actions()
            .iter()
            .filter(|(_, it)| it.intents > 0 || it.done.is_some());
        acted
            .filter_map(|((step, place), it)| {
                let now = self.step(step).and_then(|its| its.actions.get(*place));
                match now {
                    Some(action) if action.kind() == it.kind => None,
                    Some(action) => Some(format!(
                        "action {place} of step `{step}` was `{}` and is `{}` now",
                        it.kind,
                        action.kind()
                    )),
                    None => Some(format!(
                        "action {place} of step `{step}` was `{}` and is gone",
                        it.kind
                    )),
                }
            })
            .collect()
    }
}
