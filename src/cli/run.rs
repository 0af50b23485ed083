//! What every command that runs a runbook shares: the journal, the engine, signals, the report and the end.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use uuid::Uuid;

use super::Exit;
use super::args::{ConsentArgs, OutputArgs, RangeArgs, ReseedArgs};
use super::claim;
use super::drive::Running;
use super::exit::fail;
use super::failure::unfinished;
use super::keys::KeysArgs;
use super::target::{Here, Place, driver_of};
use crate::action::{Context, FromSnapshot, KEEP_KEYS, Keys};
use crate::check;
use crate::engine::{self, Back, Program, Range};
use crate::event::{Mode, Observer};
use crate::journal::{self, Header, Journal, Record, RunbookText, State};
use crate::meter::Silent;
use crate::platform::kubernetes::{Earlier, read_copy};
use crate::platform::{Platform, SecretName, StorageKind};
use crate::runbook::{self, Loaded};

/// How a run is shown, answered and bounded.
pub(super) struct Settings {
    pub output: OutputArgs,
    pub consent: ConsentArgs,
    pub range: RangeArgs,
    /// Another one than before, where one was given.
    pub max_outage: Option<Duration>,
    pub reseed: ReseedArgs,
}

/// A run that has no journal yet.
pub(super) struct Beginning {
    pub loaded: Loaded,
    pub mode: Mode,
    pub keys: KeysArgs,
    pub snapshot: Option<FromSnapshot>,
}

const KEYS_FILE: &str = "keys-file";
const FROM_SNAPSHOT: &str = "from-snapshot";
pub(super) const CLUSTER_ID: &str = "cluster-id";
const SOPS_FILE: &str = "sops-file";
const LOSE_DATA: &str = "lose-data";

/// A context that only looks: for commands beside a run.
pub(super) fn looking(
    platform: Arc<dyn Platform>,
    observer: Arc<dyn Observer>,
    keys_file: Option<PathBuf>,
    keys_given: Option<Keys>,
) -> Context {
    let mut ctx = context(platform, observer, Uuid::nil(), 3, keys_file);
    ctx.keys_given = keys_given;
    // Which runbook will be followed is not known yet.
    ctx.moves_namespaces = true;
    ctx
}

/// A wrong word is told before anything is done, not when it is asked for.
fn wrong_word(here: &Here, consent: &ConsentArgs) -> Option<Exit> {
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

/// A step that the runbook does not have is told before anything is begun.
pub(super) fn unknown_step(program: &Program, loaded: &Loaded, range: &RangeArgs) -> Option<Exit> {
    let error = Range::from(range).resolve(program).err()?;
    let next = match &loaded.file {
        Some(file) => format!("baoctl runbook validate {}", file.display()),
        None => format!("baoctl runbook show {}", program.name),
    };
    Some(fail(error, &[&next], Exit::Usage))
}

/// What only a runbook that keeps new keys is told, for the program that it has; a later process may be started in another
/// folder.
fn told_of_reseed(program: &Program, reseed: &mut ReseedArgs) -> Option<Exit> {
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

/// A file that the run was begun with.
fn file_of(header: &Header, name: &str) -> Option<PathBuf> {
    header.inputs.get(name).map(PathBuf::from)
}

/// What was told when the run was begun holds, unless it is told anew.
fn as_begun(reseed: &mut ReseedArgs, way: &Way, header: &Header) {
    reseed.lose_data |= header.inputs.contains_key(LOSE_DATA);
    let without = matches!(
        way,
        Way::On {
            no_sops_file: true,
            ..
        }
    );
    if reseed.sops_file.is_none() && !without {
        reseed.sops_file = file_of(header, SOPS_FILE);
    }
}

fn another_target(here: &Here, header: &Header) -> Option<Exit> {
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
fn another_driver(here: &Here, state: &State, way: &Way) -> Option<Exit> {
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

pub(super) fn context(
    platform: Arc<dyn Platform>,
    observer: Arc<dyn Observer>,
    run: Uuid,
    replicas: u32,
    keys_file: Option<PathBuf>,
) -> Context {
    Context {
        platform,
        run,
        replicas,
        keys_file,
        keys_given: None,
        snapshot: None,
        lose_data: false,
        sops_file: None,
        folder: PathBuf::new(),
        step: String::new(),
        place: 0,
        earlier_intents: 0,
        restore_sent: false,
        restore_taken: false,
        keys_kept: false,
        moves_namespaces: false,
        namespaces_moved: false,
        outage_open: false,
        meter: Arc::new(Silent),
        observer,
        marker: Arc::new(|_| Ok(())),
        settled: None,
        facts: Arc::default(),
    }
}

/// Begins a run: a new journal, or none for a dry run.
pub(super) async fn begin(here: Here, beginning: Beginning, mut settings: Settings) -> Exit {
    if let Some(exit) = wrong_word(&here, &settings.consent) {
        return exit;
    }
    let Beginning {
        loaded,
        mode,
        keys,
        snapshot,
    } = beginning;
    let program = Program::new(&loaded.runbook);
    let unfit = unknown_step(&program, &loaded, &settings.range);
    if let Some(exit) = unfit.or_else(|| told_of_reseed(&program, &mut settings.reseed)) {
        return exit;
    }
    let keys_given = match keys.read(&here).await {
        Ok(given) => given,
        Err(exit) => return exit,
    };
    let keys_file = match keys.keys_file.map(std::path::absolute).transpose() {
        Ok(keys_file) => keys_file,
        Err(error) => return fail(format!("--keys-file: {error}"), &[], Exit::Usage),
    };
    let mut run = Running {
        way: Way::On {
            accept_changed: false,
            no_sops_file: false,
        },
        program,
        loaded,
        mode,
        keys_file,
        keys_given,
        snapshot,
        journal: None,
        claimed: None,
        resumed: false,
        run: Uuid::now_v7(),
        here,
    };
    if mode == Mode::DryRun {
        return run.go(settings).await;
    }
    let here = &run.here;
    if let Some(exit) = finished_already(here, run.snapshot.as_ref()).await {
        return exit;
    }
    if let Some(exit) = keys_left(here).await {
        return exit;
    }
    if let Err(exit) = put_by(&here.journal, &here.place) {
        return exit;
    }
    let _held = match hold_target(here) {
        Ok(held) => held,
        Err(exit) => return exit,
    };
    let mut inputs = here.inputs.clone();
    if let Some(file) = &run.keys_file {
        inputs.insert(KEYS_FILE.to_owned(), file.display().to_string());
    }
    if let Some(from) = &run.snapshot {
        let path = from.path.display().to_string();
        inputs.insert(FROM_SNAPSHOT.to_owned(), path);
        let expected = from.cluster_id.clone();
        inputs.extend(expected.map(|id| (CLUSTER_ID.to_owned(), id)));
    }
    if settings.reseed.lose_data {
        inputs.insert(LOSE_DATA.to_owned(), "yes".to_owned());
    }
    if let Some(file) = &settings.reseed.sops_file {
        inputs.insert(SOPS_FILE.to_owned(), file.display().to_string());
    }
    let header = Header {
        format: journal::FORMAT,
        baoctl: env!("CARGO_PKG_VERSION").to_owned(),
        run: run.run,
        mode,
        runbook: RunbookText::from(&run.loaded),
        target: here.platform.target(),
        server: here.platform.address(),
        inputs,
        max_outage_ms: settings.max_outage.map(journal::millis),
    };
    run.claimed = match claim::claim(here, run.run, Earlier::Replace).await {
        Ok(claimed) => claimed,
        Err(exit) => return exit,
    };
    run.journal = match Journal::create(&here.journal, header) {
        Ok(journal) => Some(Arc::new(Mutex::new(journal))),
        Err(error) => return refused_by_journal(&error, &here.place),
    };
    run.go(settings).await
}

/// A release whose run has finished is on raft: a new run has nothing to do there, and must not take the place of its journal,
/// unless what it brought about is lost.
async fn finished_already(here: &Here, snapshot: Option<&FromSnapshot>) -> Option<Exit> {
    let state = journal::read(&here.journal).ok()?;
    let done = state.finished().is_some()
        && !state.rolling_back()
        && state.header()?.target.is(&here.platform.target());
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
        fail(
            "the migration of this release has finished: it is on raft, and nothing is left to do",
            &[&here.place.command("report"), &here.place.command("status")],
            Exit::Preflight,
        )
    })
}

/// Keys that a run left are removed by its own journal alone, which must not be put by as long as they are there.
async fn keys_left(here: &Here) -> Option<Exit> {
    let state = journal::read(&here.journal).ok()?;
    state.finished()?;
    let mut left = false;
    for name in [SecretName::Parked, SecretName::Throwaway] {
        left |= matches!(here.platform.secret(name).await, Ok(Some(_)));
    }
    left.then(|| {
        fail(
            "the last run left Secrets with keys, and its journal alone knows what they open: clean up after it first",
            &[&here.place.command("cleanup --dry-run"), &here.place.command("cleanup")],
            Exit::Preflight,
        )
    })
}

/// A journal that somebody else went on from is left as it is: what would be written to it is no part of the run.
async fn went_on_elsewhere(here: &Here) -> Option<Exit> {
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
fn hold_target(here: &Here) -> Result<File, Exit> {
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

/// Makes room for a new journal: one that is finished, or that changed nothing, is kept under its run's id.
fn put_by(path: &Path, place: &Place) -> Result<(), Exit> {
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
        Err(journal::Error::Missing { .. } | journal::Error::Empty { .. }) => return Ok(()),
        Err(error) => {
            return Err(fail(error, &[&place.command("status")], Exit::Preflight));
        }
    };
    let Some(header) = state.header() else {
        return Ok(());
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
    let kept = path.with_file_name(format!("journal-{}.jsonl", header.run));
    std::fs::rename(path, &kept).map_err(|error| {
        fail(
            format!("cannot keep {}: {error}", kept.display()),
            &[],
            Exit::Failed,
        )
    })
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

/// Where a run that has a journal goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// To its end; also by a runbook that was edited since, when that is accepted.
    On {
        accept_changed: bool,
        /// Without the SOPS file that it was begun with.
        no_sops_file: bool,
    },
    /// Back to file storage.
    Back(Back),
    /// What is left of it is removed, when it ended so long ago.
    CleanUp {
        dry_run: bool,
        grace: SignedDuration,
    },
}

impl Way {
    /// Whether it changes nothing.
    pub(super) const fn only_looks(&self) -> bool {
        matches!(
            self,
            Self::Back(Back { dry_run: true, .. }) | Self::CleanUp { dry_run: true, .. }
        )
    }
}

/// What a command that goes on with a run is told beside its target.
#[derive(Debug, Default, clap::Args)]
pub struct GoingOn {
    #[command(flatten)]
    keys: KeysArgs,
    /// Take the run over from another machine, from the copy of its journal in the cluster
    #[arg(long)]
    from_cluster: bool,
}

/// Goes on with the target's run, or back.
pub(super) async fn go_on(here: Here, way: Way, going: GoingOn, mut settings: Settings) -> Exit {
    if let Some(exit) = wrong_word(&here, &settings.consent) {
        return exit;
    }
    let keys_given = match going.keys.read(&here).await {
        Ok(given) => given,
        Err(exit) => return exit,
    };
    let mut claimed = None;
    if going.from_cluster {
        claimed = match claim::take_over(&here).await {
            Ok(claimed) => Some(claimed),
            Err(exit) => return exit,
        };
    }
    if claimed.is_none()
        && let Some(exit) = went_on_elsewhere(&here).await
    {
        return exit;
    }
    let mut journal = match Journal::open(&here.journal) {
        Ok(journal) => journal,
        Err(error) => return refused_by_journal(&error, &here.place),
    };
    let _held = match hold_target(&here) {
        Ok(held) => held,
        Err(exit) => return exit,
    };
    let Some(header) = journal.state().header().cloned() else {
        return fail("the journal has no first record", &[], Exit::Failed);
    };
    if let Some(exit) =
        another_target(&here, &header).or_else(|| another_driver(&here, journal.state(), &way))
    {
        return exit;
    }
    let recorded = journal
        .state()
        .runbook()
        .cloned()
        .unwrap_or_else(|| header.runbook.clone());
    if let Some(exit) = ended(journal.state(), &way, &here.place) {
        return exit;
    }
    let found = match &way {
        Way::On { accept_changed, .. } => {
            the_runbook(&recorded, journal.state(), *accept_changed, &here.place)
        }
        // What was done is taken back as it was done, whatever became of the file.
        Way::Back(_) | Way::CleanUp { .. } => {
            recorded_runbook(&recorded).map(|loaded| (loaded, false))
        }
    };
    let (loaded, changed) = match found {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let program = match way {
        Way::CleanUp { .. } => Program::cleanup(journal.state().rolling_back()),
        _ => Program::new(&loaded.runbook),
    };
    let unfit = unknown_step(&program, &loaded, &settings.range);
    if let Some(exit) = unfit.or_else(|| told_of_reseed(&program, &mut settings.reseed)) {
        return exit;
    }
    as_begun(&mut settings.reseed, &way, &header);
    if claimed.is_none() && !way.only_looks() {
        claimed = match claim::claim(&here, header.run, Earlier::Keep).await {
            Ok(claimed) => claimed,
            Err(exit) => return exit,
        };
    }
    let runbook = changed.then(|| RunbookText::from(&loaded));
    let resumed = Record::resumed(runbook, settings.max_outage, false);
    // A rollback records itself, once nothing speaks against it.
    if matches!(way, Way::On { .. })
        && let Err(error) = journal.append(resumed)
    {
        return refused_by_journal(&error, &here.place);
    }
    Running {
        way,
        here,
        program,
        loaded,
        mode: header.mode,
        keys_given,
        keys_file: going.keys.keys_file.or_else(|| file_of(&header, KEYS_FILE)),
        snapshot: file_of(&header, FROM_SNAPSHOT).map(|path| FromSnapshot {
            path,
            cluster_id: header.inputs.get(CLUSTER_ID).cloned(),
        }),
        claimed,
        journal: Some(Arc::new(Mutex::new(journal))),
        resumed: true,
        run: header.run,
    }
    .go(settings)
    .await
}

/// A run that has ended goes on in few ways, and one that has not is not cleaned up after.
fn ended(state: &State, way: &Way, place: &Place) -> Option<Exit> {
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
        (Way::CleanUp { grace, .. }, Some(ended), _) => {
            let since = jiff::Timestamp::now().duration_since(ended);
            let why = format!(
                "the run ended at {ended:.0}, less than {grace:#} ago; until then the old file tree is kept as the way back: wait, or say --grace TIME"
            );
            (since < *grace).then(|| fail(why, &[&place.command("status")], Exit::Preflight))
        }
        (Way::On { .. }, None, _) if state.cleaning() => refuse(
            "this run has ended, and what is left of it is being removed",
            "cleanup",
        ),
        (Way::On { .. } | Way::Back(_), Some(_), true) => {
            refuse("this run was rolled back, and is over", "migrate-raft")
        }
        _ => None,
    }
}

/// The runbook a resumed run follows: the recorded one, or an edited one that was accepted. True when it is another.
fn the_runbook(
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

fn recorded_runbook(recorded: &RunbookText) -> Result<Loaded, Exit> {
    Loaded::recorded(recorded).map_err(|error| fail(error, &[], Exit::Failed))
}
