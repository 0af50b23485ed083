//! Why a command may not begin a run here, or go on with one: told before anything is done.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::args::{ConsentArgs, RangeArgs, ReseedArgs};
use super::exit::fail;
use super::failure::{anew, unfinished};
use super::run::{Settings, Way};
use super::target::{Here, Place, driver_of};
use super::{Exit, claim};
use crate::action::{FromSnapshot, KEEP_KEYS};
use crate::check;
use crate::engine::{self, Program, Range};
use crate::journal::{self, Header, State};
use crate::platform::kubernetes::read_copy;
use crate::platform::{SecretName, StorageKind};
use crate::runbook::Loaded;

/// A wrong word is told before anything is done, not when it is asked for.
pub(super) fn wrong_word(here: &Here, consent: &ConsentArgs) -> Option<Exit> {
    let word = here.platform.target().namespace;
    let given = consent
        .confirm_outage
        .as_ref()
        .filter(|given| **given != word)?;
    Some(fail(
        format!("--confirm-outage says {given:?}, but this run is about {word:?}"),
        &[&format!("the same command with --confirm-outage {word}")],
        Exit::Usage,
    ))
}

/// Steps that the runbook does not have, or that a run cannot begin with, are told before anything is begun. `state` is that of
/// the run to go on with.
pub(super) fn unfit(
    program: &Program,
    loaded: &Loaded,
    range: &RangeArgs,
    state: Option<&State>,
) -> Option<Exit> {
    let error = Range::from(range).resolve(program, state).err()?;
    let next = match (&error, &loaded.file) {
        (engine::Error::OutOfOrder { missing, .. }, _) => {
            format!("the same command with --from {missing}, or without --from")
        }
        (_, Some(file)) => format!("baoctl runbook validate {}", file.display()),
        (_, None) => format!("baoctl runbook show {}", program.name),
    };
    Some(fail(error, &[&next], Exit::Usage))
}

/// A longest outage that is known to be too short is refused before it is recorded.
pub(super) fn too_long(
    program: &Program,
    state: &State,
    settings: &Settings,
    place: &Place,
) -> Option<Exit> {
    let (range, budget) = (Range::from(&settings.range), settings.max_outage?);
    let error = engine::outlasts(program, state, &range, budget)?;
    let next = place.command("resume --max-outage TIME");
    let next = format!("{next}    with a longer one");
    let next = [next.as_str(), &place.command("status")];
    Some(fail(error, &next, Exit::Preflight))
}

/// A runbook that restores a snapshot has one, and one that moves a server's data has none.
pub(super) fn not_of(program: &Program, of_snapshot: bool) -> Option<Exit> {
    let (why, next) = match (program.restores_snapshot(), of_snapshot) {
        (true, false) => (
            "restores a snapshot and no server's data: name it with --from-snapshot FILE",
            "the same command with --from-snapshot FILE, or with another runbook",
        ),
        (false, true) => (
            "moves a server's data and restores no snapshot: leave out --from-snapshot, or follow the runbook restore-snapshot",
            "the same command without --from-snapshot, or with --runbook restore-snapshot",
        ),
        _ => return None,
    };
    let why = format!("the runbook {} {why}", program.name);
    Some(fail(why, &[next], Exit::Usage))
}

/// What only a runbook that keeps new keys is told, for the program that it has; a later process may be started in another
/// folder.
pub(super) fn told_of_reseed(program: &Program, reseed: &mut ReseedArgs) -> Option<Exit> {
    let given = reseed.lose_data || reseed.sops_file.is_some();
    if given && !program.has(KEEP_KEYS) {
        return Some(fail(
            format!(
                "--lose-data and --sops-file are for a runbook that leaves the data behind, which {} does not",
                program.name
            ),
            &["the same command without them, or with --runbook reseed"],
            Exit::Usage,
        ));
    }
    match reseed.sops_file.take().map(std::path::absolute).transpose() {
        Ok(file) => reseed.sops_file = file,
        Err(error) => return Some(fail(format!("--sops-file: {error}"), &[], Exit::Usage)),
    }
    None
}

pub(super) fn another_target(here: &Here, header: &Header) -> Option<Exit> {
    let of = &header.target;
    (!of.is(&here.platform.target())).then(|| {
        fail(
            format!(
                "the journal is of {} in {}, not of this target",
                of.release, of.context
            ),
            &[&here.place.command("status")],
            Exit::Preflight,
        )
    })
}

/// Only the driver that a run was begun with knows how far the release is changed.
pub(super) fn another_driver(here: &Here, state: &State, way: &Way) -> Option<Exit> {
    let (began, now) = (driver_of(&state.header()?.inputs), driver_of(&here.inputs));
    let goes_on = state.finished().is_none() || !matches!(way, Way::On { .. });
    (here.kubernetes.is_some() && goes_on && began != now).then(|| {
        fail(
            format!("the run was begun with --driver {began}: --driver {now} is for another run"),
            &["the same command without --driver"],
            Exit::Preflight,
        )
    })
}

/// A release whose run has finished is on raft: a new run has nothing to do there, and must not take the place of its journal,
/// unless what it brought about is lost. That is so of the copy in the cluster as well, which another machine may go back by.
pub(super) async fn finished_already(here: &Here, snapshot: Option<&FromSnapshot>) -> Option<Exit> {
    let finished = |state: &State| state.finished().is_some() && !state.rolling_back();
    let about_this = |state: &State| {
        let header = state.header();
        header.is_some_and(|header| header.target.is(&here.platform.target()))
    };
    let own = journal::read(&here.journal).ok();
    let own = own.is_some_and(|own| finished(&own) && about_this(&own));
    let theirs = match claim::copy_to_replace(here).await {
        Ok(copy) => !own && copy.as_ref().is_some_and(finished),
        Err(exit) => return Some(exit),
    };
    let done = own || theirs;
    if let (true, Some(from)) = (done, snapshot) {
        let own = from.cluster_id.as_deref().unwrap_or_default();
        let held = check::held(here.platform.as_ref(), own).await;
        // A member that cannot be looked at may hold anything.
        let held = held.unwrap_or_else(|error| vec![error.to_string()]);
        return (!held.is_empty()).then(|| {
            let held = held.join("; ");
            let why = format!("what the last run brought about is there: {held}. A snapshot is restored where no member has data");
            fail(why, &[&here.place.command("status")], Exit::Preflight)
        });
    }
    let release = here.platform.release().await.ok()?;
    (done && release.storage == StorageKind::Raft).then(|| {
        if theirs {
            return fail(
                "the migration of this release has finished, begun on another machine or in another folder: it is on raft, and \
                 nothing is left to do. The journal of that run is the way back, so that no other one takes its place",
                &[
                    &here.place.command("status"),
                    &here.place.command("rollback --from-cluster"),
                    &here.place.command("cleanup --from-cluster"),
                ],
                Exit::Preflight,
            );
        }
        fail(
            "the migration of this release has finished: it is on raft, and nothing is left to do",
            &[&here.place.command("report"), &here.place.command("status")],
            Exit::Preflight,
        )
    })
}

/// Keys that a run left are removed by its own journal alone, which must not be put by as long as they are there.
pub(super) async fn keys_left(here: &Here) -> Option<Exit> {
    let state = journal::read(&here.journal).ok()?;
    state.finished()?;
    let mut left = false;
    for name in [SecretName::Parked, SecretName::Throwaway] {
        left |= matches!(here.platform.secret(name).await, Ok(Some(_)));
    }
    left.then(|| {
        fail(
            "the last run left Secrets with keys, and its journal alone knows what they open: clean up after it first",
            &[
                &here.place.command("cleanup --grace 0s --dry-run"),
                &here.place.command("cleanup --grace 0s"),
            ],
            Exit::Preflight,
        )
    })
}

/// A journal that somebody else went on from is left as it is: what would be written to it is no part of the run.
pub(super) async fn went_on_elsewhere(here: &Here) -> Option<Exit> {
    let cluster = here.kubernetes.as_ref()?;
    let copy = read_copy(cluster.cluster(), cluster.release_name())
        .await
        .ok()??;
    let own = std::fs::read(&here.journal).ok()?;
    (copy.bytes.len() > own.len() && copy.bytes.starts_with(&own)).then(|| {
        fail(
            format!(
                "somebody went on with this run on another machine: {} is behind the copy in the cluster",
                here.journal.display()
            ),
            &[&here.place.command("resume --from-cluster"), &here.place.command("status")],
            Exit::Preflight,
        )
    })
}

/// The lock of the target itself: a journal of another name must not let two runs act on one target. It lives as long
/// as the file that is handed out.
pub(super) fn hold_target(here: &Here) -> Result<File, Exit> {
    let path = here.platform.run_dir().join("target.lock");
    let unusable = |error: std::io::Error| {
        let why = format!("cannot lock {}: {error}", path.display());
        fail(why, &[], Exit::Failed)
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(fail(
            "another process runs a migration of this target, with a journal of another name",
            &[&here.place.command("status")],
            Exit::Locked,
        )),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// A journal in whose place a new one is begun: of a run that is finished, or that changed nothing.
pub(super) struct PutBy {
    from: PathBuf,
    to: PathBuf,
    /// What a run had come to that did not end.
    left: Option<String>,
}

impl PutBy {
    /// Whether its run could be gone on with.
    pub(super) const fn goes_on(&self) -> bool {
        self.left.is_some()
    }

    /// What the new run leaves behind, where that is worth a word.
    pub(super) fn told(&self, would: bool) -> Option<String> {
        let (left, to) = (self.left.as_ref()?, self.to.display());
        Some(if would {
            format!("{left} goes on with it; a new run sets it aside, its journal as {to}")
        } else {
            format!("{left} would have gone on with it; it is set aside, its journal as {to}")
        })
    }

    /// Keeps it under its run's id.
    pub(super) fn keep(&self) -> Result<(), Exit> {
        std::fs::rename(&self.from, &self.to).map_err(|error| {
            let why = format!("cannot keep {}: {error}", self.to.display());
            fail(why, &[], Exit::Failed)
        })
    }
}

/// The journal that a new one takes the place of, where there is one. Refused where its run has to be gone on with.
pub(super) fn put_by(path: &Path, place: &Place) -> Result<Option<PutBy>, Exit> {
    let resume = place.command("resume");
    match journal::is_locked(path) {
        Ok(true) => {
            return Err(refused_by_journal(
                &journal::Error::Locked {
                    path: path.to_owned(),
                    holder: journal::Holder::read(path),
                },
                place,
            ));
        }
        Ok(false) | Err(journal::Error::Missing { .. }) => {}
        Err(error) => return Err(fail(error, &[&resume], Exit::Failed)),
    }
    let state = match journal::read(path) {
        Ok(state) => state,
        Err(journal::Error::Missing { .. } | journal::Error::Empty { .. }) => return Ok(None),
        Err(error) => {
            return Err(fail(error, &[&place.command("status")], Exit::Preflight));
        }
    };
    let Some(header) = state.header() else {
        return Ok(None);
    };
    if unfinished(&state) {
        let next = if state.cleaning() {
            vec![place.command("cleanup")]
        } else {
            vec![resume, place.command("rollback")]
        };
        return Err(fail(
            format!(
                "an unfinished run of `{}` is in {}; a second one beside it could destroy data",
                header.runbook.name,
                path.display()
            ),
            &next
                .iter()
                .chain(&[place.command("status")])
                .map(String::as_str)
                .collect::<Vec<_>>(),
            Exit::Preflight,
        ));
    }
    let last = state.spans().iter().rfind(|span| span.ok);
    let left = last.filter(|_| state.finished().is_none()).map(|last| {
        let (run, runbook, step) = (header.run, &header.runbook.name, &last.action.0);
        format!("the run {run} of `{runbook}` has come to step {step}, and `{resume}`")
    });
    Ok(Some(PutBy {
        from: path.to_owned(),
        to: path.with_file_name(format!("journal-{}.jsonl", header.run)),
        left,
    }))
}

pub(super) fn refused_by_journal(error: &journal::Error, place: &Place) -> Exit {
    match error {
        journal::Error::Locked { .. } => fail(error, &[&place.command("lock show")], Exit::Locked),
        journal::Error::Missing { .. } | journal::Error::Empty { .. } => {
            fail(error, &[&place.command("migrate-raft")], Exit::Usage)
        }
        _ => fail(error, &[&place.command("status")], Exit::Failed),
    }
}

/// A run that has ended goes on in few ways, and one that has not is not cleaned up after.
pub(super) fn ended(state: &State, way: &Way, place: &Place) -> Option<Exit> {
    let refuse = |why: &str, next: &str| Some(fail(why, &[&place.command(next)], Exit::Preflight));
    match (way, state.finished(), state.rolling_back()) {
        (Way::Back(_), ..) if state.cleaning() => {
            refuse(&engine::Error::CleanedUp.to_string(), "report")
        }
        (Way::CleanUp { .. }, None, _) if state.cleaning() => None,
        (Way::CleanUp { .. }, None, back) => refuse(
            "the run has not ended: nothing that is left of it may be removed",
            if back { "rollback" } else { "resume" },
        ),
        (Way::CleanUp { grace, .. }, Some(ended), back) => {
            let since = jiff::Timestamp::now().duration_since(ended);
            let kept = if back {
                "the raft files that it put aside, and the keys that open them, are kept"
            } else {
                "the old file tree is kept as the way back"
            };
            let why =
                format!("the run ended at {ended:.0}, less than {grace:#} ago; until then {kept}");
            let at_once = place.command("cleanup --grace 0s");
            let next = [
                &format!("{at_once}    without waiting"),
                &place.command("status"),
            ];
            (since < *grace).then(|| fail(why, &next.map(String::as_str), Exit::Preflight))
        }
        (Way::On { .. }, None, _) if state.cleaning() => refuse(
            "this run has ended, and what is left of it is being removed",
            "cleanup",
        ),
        (Way::On { .. }, None, true) => refuse(&engine::Error::RollingBack.to_string(), "rollback"),
        (Way::On { .. } | Way::Back(_), Some(_), true) => {
            let begun = state.runbook().zip(state.header());
            let again = begun.map(|(text, header)| anew(text, &header.inputs))?;
            refuse("this run was rolled back, and is over", &again)
        }
        _ => None,
    }
}
