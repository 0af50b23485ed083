//! The runbook that a run goes on by: the journal has its text, whatever became of the file.

use super::Exit;
use super::exit::fail;
use super::target::Place;
use crate::journal::{RunbookText, State};
use crate::runbook::{self, Loaded};

/// The runbook a resumed run follows: the recorded one, or an edited one that was accepted. True when it is another.
pub(super) fn the_runbook(
    recorded: &RunbookText,
    state: &State,
    accept_changed: bool,
    place: &Place,
) -> Result<(Loaded, bool), Exit> {
    if Loaded::is_unchanged(recorded) {
        return Ok((recorded_runbook(recorded)?, false));
    }
    let now = match &recorded.file {
        Some(file) => Loaded::file(file),
        None => Loaded::named(&recorded.name),
    };
    let now = match now {
        Ok(now) if now.sha256 == recorded.sha256 => return Ok((now, false)),
        Ok(now) => now,
        // A file that is gone is no edit: the journal has the text.
        Err(runbook::Error::Read { .. } | runbook::Error::Unknown { .. }) => {
            return Ok((recorded_runbook(recorded)?, false));
        }
        Err(error) => {
            return Err(fail(
                error,
                &["baoctl runbook validate FILE"],
                Exit::Preflight,
            ));
        }
    };
    let contradictions = now.runbook.contradictions(state);
    if accept_changed && contradictions.is_empty() {
        return Ok((now, true));
    }
    let why = if contradictions.is_empty() {
        String::new()
    } else {
        format!("\n{}", contradictions.join("\n"))
    };
    Err(fail(
        format!(
            "the runbook `{}` was edited since the run began; nothing was changed\n{}{why}",
            recorded.name,
            runbook::diff(&recorded.text, &now.text)
        ),
        &[
            &place.command("resume --accept-changed-runbook"),
            &format!(
                "put the runbook back as it was, then: {}",
                place.command("resume")
            ),
        ],
        Exit::Preflight,
    ))
}

pub(super) fn recorded_runbook(recorded: &RunbookText) -> Result<Loaded, Exit> {
    Loaded::recorded(recorded).map_err(|error| fail(error, &[], Exit::Failed))
}
