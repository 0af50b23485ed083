//! What to tell when a run ends badly: what happened, what was changed, what to type next, and the exit code.

use std::collections::BTreeMap;
use std::path::Path;

use super::Exit;
use super::args::default_runbook;
use super::exit::denied;
use super::run::{FROM_SNAPSHOT, KEYS_FILE, KEYS_ONCE, LOSE_DATA, Way, keys_again};
use super::target::{Place, word};
use crate::action::{self, Context, KEEP_KEYS};
use crate::bao;
use crate::check;
use crate::engine::{Back, Error, Program, Unit};
use crate::event::{Effect, Failure, Mode, Tier};
use crate::journal::{self, ActionState, RunbookText, State};
use crate::runbook::Loaded;

const PREFLIGHT: &str = "preflight";
const PROVE: &str = "prove";
const PLACE_FOLLOWERS: &str = "place-followers";
/// Kinds of action that leave server and release as they were.
const HARMLESS: [&str; 2] = [PROVE, PLACE_FOLLOWERS];
const COMMAND: &str = "command";
const RUN_JOBS: &str = "run-jobs";
const STILL_SERVES: &str = "still-serves";
const FORSAKE_DATA: &str = "forsake-data";
/// Kinds of action whose look finds what no check of the target does.
const OWN_CURE: [&str; 4] = [COMMAND, RUN_JOBS, KEEP_KEYS, FORSAKE_DATA];

/// Where a run left things, by its journal alone.
pub(super) fn changed(program: &Program, state: Option<&State>) -> String {
    let Some((state, header)) = state.and_then(|state| Some((state, state.header()?))) else {
        return "nothing".to_owned();
    };
    let words = match serves(program, state) {
        _ if program.restores_snapshot() => restored(program, state),
        Some(Serves::Source) if state.rolling_back() => {
            "everything is taken back: the source serves from its old storage as before"
        }
        Some(Serves::Cluster) if state.intents_of(KEEP_KEYS) > 0 => {
            "the new cluster serves what it was seeded with so far; the old data is untouched, and the old key is kept"
        }
        Some(Serves::Cluster) => "the cluster serves the old data; clients can use it",
        Some(Serves::Source)
            if began(program, state, |unit, _| {
                unit.effect > Effect::Read && unit.kind != COMMAND && !HARMLESS.contains(&unit.kind)
            }) =>
        {
            "the source serves as before, but its unseal key may be parked: its hook would not unseal it after a restart"
        }
        Some(Serves::Source) if state.intents_of(PLACE_FOLLOWERS) > 0 => {
            "the source serves as before; only the run's own files, its scratch node and the followers' empty claims were made"
        }
        Some(Serves::Source) => {
            "the source serves as before; only the run's own files and scratch node were changed"
        }
        None if state.in_outage() => {
            "the source is sealed and clients are not served; its file tree and the old key are untouched, and copies of \
             both are kept"
        }
        None if header.target.platform == "kubernetes" => {
            "nothing on the server, which is as it was; the run has its journal, with a Lease and a copy in the namespace"
        }
        None => "nothing on the server, which is as it was; the run has its journal",
    };
    let own = began(program, state, |unit, action| {
        unit.effect > Effect::Read && unit.kind == COMMAND && !action.undone
    });
    if own {
        return format!("{words}; what programs of the runbook did comes on top");
    }
    words.to_owned()
}

/// Who serves clients, where a run's journal tells that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serves {
    /// The source, from its old storage.
    Source,
    /// The cluster on raft.
    Cluster,
}

/// Who serves clients now, as far as a journal tells.
pub(super) fn serves(program: &Program, state: &State) -> Option<Serves> {
    let back = state.rolling_back() && state.finished().is_some();
    if program.restores_snapshot() {
        let opened = began(program, state, |unit, _| unit.action.serves());
        return (opened && !back).then_some(Serves::Cluster);
    }
    if back {
        Some(Serves::Source)
    } else if state.outage_ended().is_some() {
        Some(Serves::Cluster)
    } else if state.in_outage() || !touched(program, state) {
        None
    } else {
        Some(Serves::Source)
    }
}

/// The same of a run that restores a snapshot.
fn restored(program: &Program, state: &State) -> &'static str {
    if state.rolling_back() && state.finished().is_some() {
        "everything is taken back: no member holds any data, as before"
    } else if began(program, state, |unit, _| unit.action.serves()) {
        "members were opened on the data of the snapshot, and clients may use it"
    } else if binding(program, state) {
        "the members hold nothing that anybody is served from; the snapshot and the old key are untouched"
    } else if touched(program, state) {
        "no member was touched; only the run's own files and scratch node were changed"
    } else {
        "nothing: no member was touched; the run has its journal"
    }
}

/// Whether the run did more than back up and prove, so that a new one must not begin beside it.
fn binding(program: &Program, state: &State) -> bool {
    began(program, state, |unit, _| {
        unit.effect > Effect::Read && !HARMLESS.contains(&unit.kind)
    })
}

/// Whether a run did more than back up and prove, and did not come to an end.
pub(super) fn unfinished(state: &State) -> bool {
    let recorded = state.runbook().and_then(|text| Loaded::recorded(text).ok());
    let binds = recorded.is_none_or(|loaded| binding(&Program::new(&loaded.runbook), state));
    state.header().is_some() && state.finished().is_none() && binds
}

/// Whether any action that can change something began.
pub(super) fn touched(program: &Program, state: &State) -> bool {
    began(program, state, |unit, _| unit.effect > Effect::Read)
}

fn began(program: &Program, state: &State, counts: impl Fn(&Unit, &ActionState) -> bool) -> bool {
    program.steps.iter().any(|step| {
        step.units.iter().enumerate().any(|(index, unit)| {
            let action = state.action(&step.id, index);
            action.is_some_and(|action| action.intents > 0 && counts(unit, action))
        })
    })
}

/// The command that goes on this way, with what it was given.
fn on(way: &Way) -> String {
    match way {
        Way::On { .. } => "resume".to_owned(),
        Way::Back(Back {
            export: Some(file), ..
        }) => format!("rollback --export {}", file.display()),
        Way::Back(Back {
            lose_writes: true, ..
        }) => "rollback --lose-writes".to_owned(),
        Way::Back(_) => "rollback".to_owned(),
        Way::CleanUp { .. } => "cleanup".to_owned(),
    }
}

/// What answers a question that nobody was there for; only that of this step where it is asked before the outage.
fn consent(resume: &str, early: Option<&str>, tier: &Tier) -> String {
    let until = early.map_or_else(String::new, |step| format!(" --until {step}"));
    match tier {
        Tier::TypeName(name) => format!("{resume} --yes --confirm-outage {name}{until}"),
        Tier::InPerson => format!("{resume}    at a terminal, where the question can be answered"),
        Tier::YesNo => format!("{resume} --yes"),
    }
}

/// What names the same run to a command that begins one, or checks for it: flags, each with a space before it.
fn named(runbook: &str, file: Option<&Path>, inputs: &BTreeMap<String, String>) -> String {
    let mut flags = String::new();
    let default = default_runbook(inputs.contains_key(FROM_SNAPSHOT));
    if file.is_some() || runbook != default {
        let file = file.map(|file| file.display().to_string());
        flags = format!(" --runbook {}", word(file.as_deref().unwrap_or(runbook)));
    }
    for name in [FROM_SNAPSHOT, KEYS_FILE] {
        let given = inputs
            .get(name)
            .map(|value| format!(" --{name} {}", word(value)));
        flags.extend(given);
    }
    flags + &keys_again(inputs)
}

/// The command that begins the same run anew.
pub(super) fn anew(text: &RunbookText, inputs: &BTreeMap<String, String>) -> String {
    let leave = if inputs.contains_key(LOSE_DATA) {
        " --lose-data"
    } else {
        ""
    };
    format!(
        "migrate-raft{}{leave}",
        named(&text.name, text.file.as_deref(), inputs)
    )
}

/// The flag for the keys: with the file, where it was given since the run was begun and is not recorded, or what gives them again.
fn keys_since(state: Option<&State>, ctx: &Context) -> String {
    let header = state.and_then(State::header);
    let given = header.zip(ctx.keys_file.as_ref());
    let given =
        given.map(|(header, file)| (header.inputs.get(KEYS_FILE), file.display().to_string()));
    let since = given.filter(|(begun, file)| *begun != Some(file));
    match (since, header) {
        (Some((_, file)), _) => format!(" --{KEYS_FILE} {}", word(&file)),
        (None, Some(header)) => keys_again(&header.inputs),
        (None, None) => String::new(),
    }
}

/// The command that begins a run anew that went back for its outage.
fn longer(runbook: &Loaded, state: Option<&State>, place: &Place) -> Option<String> {
    let begin = anew(&RunbookText::from(runbook), &state?.header()?.inputs);
    let or = if runbook.runbook.name == default_runbook(false) {
        ", or --runbook migrate-raft-fast"
    } else {
        ""
    };
    let begin = place.command(&begin);
    Some(format!(
        "{begin} --max-outage TIME    with a longer one{or}"
    ))
}

/// What to type where checks have failed: the checks alone, for this runbook, or another one that they do not fail for.
fn checks_of(
    error: &Error,
    runbook: &Loaded,
    state: Option<&State>,
    ctx: &Context,
    place: &Place,
) -> Vec<String> {
    if let Error::Action {
        source: action::Error::Preflight { failed, .. },
        ..
    } = error
        && failed.iter().any(|it| it.hint == check::NOT_MOVED)
    {
        let with = format!("--runbook {}", check::MOVES_NAMESPACES);
        return ["check", "migrate-raft"]
            .map(|verb| place.command(&format!("{verb} {with}")))
            .to_vec();
    }
    let mut inputs = BTreeMap::new();
    let snapshot = ctx.snapshot.as_ref().map(|from| &from.path);
    let given = [
        (FROM_SNAPSHOT, snapshot),
        (KEYS_FILE, ctx.keys_file.as_ref()),
    ];
    for (name, path) in given {
        inputs.extend(path.map(|path| (name.to_owned(), path.display().to_string())));
    }
    let begun = state.and_then(State::header);
    let once = begun.and_then(|header| header.inputs.get(KEYS_ONCE));
    if let (None, Some(flag)) = (&ctx.keys_file, once) {
        inputs.insert(KEYS_ONCE.to_owned(), flag.clone());
    }
    let rehearsed = begun.is_some_and(|header| header.mode == Mode::Rehearsal);
    if rehearsed && snapshot.is_some() {
        // It has made its own place for the file, which another one cannot use.
        let named = named(&runbook.runbook.name, runbook.file.as_deref(), &inputs);
        return vec![place.command(&format!("rehearse{named} --keys-file FILE --discard"))];
    }
    if snapshot.is_some() && ctx.keys_file.is_none() {
        inputs.insert(KEYS_FILE.to_owned(), "FILE".to_owned());
    }
    let named = named(&runbook.runbook.name, runbook.file.as_deref(), &inputs);
    vec![place.command(&format!("check{named}"))]
}

/// What to type where the cure is none that `check` would tell.
fn cure(kind: &str, state: Option<&State>, resume: String, place: &Place) -> Vec<String> {
    if kind != FORSAKE_DATA {
        // What is missing is put there, and a dry run is repeated.
        return state.map(|_| resume).into_iter().collect();
    }
    let leave = match state {
        Some(_) => format!("{resume} --lose-data"),
        None => place.command("migrate-raft --runbook reseed --lose-data"),
    };
    vec![leave, place.command("migrate-raft")]
}

/// The failure as it is told.
pub(super) fn failure(
    error: &Error,
    program: &Program,
    runbook: &Loaded,
    state: Option<&State>,
    ctx: &Context,
    (place, way): (&Place, &Way),
) -> Failure {
    let exit = exit_of(error, state.is_some_and(|state| touched(program, state)));
    let bare = place.command(&on(way));
    let resume = place.command(&format!("{}{}", on(way), keys_since(state, ctx)));
    let rolling_back = matches!(way, Way::Back(_));
    let within = state.is_some_and(State::in_outage);
    // Clients are served: a flag must not agree to more than was asked.
    let asked_early = |step: &str| {
        !within && matches!(way, Way::On { .. }) && program.effect(step) < Some(Effect::Outage)
    };
    let mut next = match (error, exit) {
        (Error::NoSuchStep { .. }, _) => vec![format!("baoctl runbook show {}", program.name)],
        (Error::OutOfOrder { missing, .. }, _) => vec![format!("{resume} --from {missing}")],
        (Error::Nobody { step, tier }, _) => {
            let early = step.as_deref().filter(|step| asked_early(step));
            vec![consent(&resume, early, tier)]
        }
        (Error::Parted { .. } | Error::Lost { .. }, _) => vec![format!("{resume} --from-cluster")],
        (Error::TooLong { .. }, _) => {
            vec![format!("{resume} --max-outage TIME    with a longer one")]
        }
        (Error::Overrun { back: true, .. }, _) => {
            let mut next = vec![place.command("report")];
            next.extend(longer(runbook, state, place));
            next
        }
        (Error::RollingBack, _) => vec![place.command("rollback")],
        (Error::Served { .. }, _) => vec![
            place.command("rollback --export FILE"),
            place.command("rollback --lose-writes"),
            place.command("report"),
        ],
        (Error::Unsaved { .. }, _) => vec![
            place.command("rollback --export FILE"),
            place.command("rollback --lose-writes"),
        ],
        (Error::NoWayBack { .. } | Error::CleanedUp, _) => vec![place.command("report")],
        (Error::Conflict { kind, .. }, _) if OWN_CURE.contains(&kind.as_str()) => {
            cure(kind, state, resume, place)
        }
        (Error::Conflict { kind, .. }, _) if kind == STILL_SERVES => {
            vec![format!("when all members serve again: {resume}")]
        }
        (_, Exit::Preflight) => checks_of(error, runbook, state, ctx, place),
        (_, Exit::Locked) => vec![place.command("lock show")],
        (
            Error::Action {
                source: action::Error::WrongKey { .. },
                ..
            },
            _,
        ) => {
            vec![
                format!("{bare} --keys-file FILE    with shares that open it"),
                format!("put the right keys where they were read from, then: {resume}"),
            ]
        }
        // A server's no is about the token; one of the Kubernetes API is not.
        (
            Error::Action {
                source: action::Error::Node(_),
                ..
            },
            Exit::NotAuthorised,
        ) => vec![format!(
            "{bare} --keys-file FILE    with the same shares and a token that is allowed it ({})",
            action::token::POLICY
        )],
        _ => vec![resume],
    };
    if within && !rolling_back {
        next.push(place.command("rollback"));
    }
    if state.is_some() {
        next.push(place.command("status"));
    }
    Failure {
        step: error.step().map(str::to_owned),
        message: error.to_string(),
        checks: match error {
            Error::Action {
                source: action::Error::Preflight { failed, .. },
                ..
            } => failed.clone(),
            _ => Vec::new(),
        },
        changed: changed(program, state),
        next,
        exit_code: exit.code(),
    }
}

/// The exit code of an engine's error.
pub(super) fn exit_of(error: &Error, touched: bool) -> Exit {
    match error {
        Error::NoSuchStep { .. } | Error::OutOfOrder { .. } | Error::Nothing { .. } => Exit::Usage,
        Error::Declined { .. } | Error::Nobody { .. } => Exit::Declined,
        Error::Interrupted { signal, .. } => Exit::Signal(u8::try_from(*signal).unwrap_or(2)),
        Error::Lost { .. } | Error::Journal(journal::Error::Locked { .. }) => Exit::Locked,
        Error::Action { source, .. } | Error::NoWayBack { source } if denied(source.status()) => {
            Exit::NotAuthorised
        }
        Error::NoWayBack { .. }
        | Error::RollingBack
        | Error::Served { .. }
        | Error::Unsaved { .. }
        | Error::CleanedUp
        | Error::NothingToTakeBack
        | Error::TooLong { .. } => Exit::Preflight,
        Error::Action { kind, .. } if kind == PREFLIGHT => Exit::Preflight,
        Error::Conflict { .. } if !touched => Exit::Preflight,
        Error::Action {
            source: action::Error::Node(node),
            ..
        } if bao::Error::outcome_unknown(node) => Exit::Unknown,
        Error::Overrun { .. }
        | Error::Action { .. }
        | Error::Conflict { .. }
        | Error::NotThere { .. }
        | Error::Parted { .. }
        | Error::Uncovered { .. }
        | Error::Journal(_) => Exit::Failed,
    }
}
