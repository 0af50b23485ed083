//! What every command that runs a runbook shares: the journal, the engine, signals, the report and the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use uuid::Uuid;

use super::Exit;
use super::args::{ConsentArgs, OutputArgs, RangeArgs, ReseedArgs};
use super::claim;
use super::drive::Running;
use super::exit::fail;
use super::guard::{
    PutBy, another_driver, another_target, ended, finished_already, hold_target, keys_left, not_of,
    put_by, refused_by_journal, told_of_reseed, too_long, unfit, went_on_elsewhere, wrong_word,
};
use super::keys::KeysArgs;
use super::recorded::{recorded_runbook, the_runbook};
use super::target::Here;
use crate::action::{Children, Context, FromSnapshot, Keys};
use crate::engine::{Back, Program};
use crate::event::{Mode, Observer};
use crate::journal::{self, Header, Journal, Record, RunbookText};
use crate::meter::Silent;
use crate::platform::Platform;
use crate::platform::kubernetes::Earlier;
use crate::runbook::Loaded;
use crate::ui;

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

pub(super) const KEYS_FILE: &str = "keys-file";
pub(super) const KEYS_ONCE: &str = "keys-once";
pub(super) const FROM_SNAPSHOT: &str = "from-snapshot";
pub(super) const CLUSTER_ID: &str = "cluster-id";
const SOPS_FILE: &str = "sops-file";
pub(super) const LOSE_DATA: &str = "lose-data";

/// A context that only looks: for commands beside a run.
pub(super) fn looking(
    platform: Arc<dyn Platform>,
    observer: Arc<dyn Observer>,
    keys_file: Option<PathBuf>,
    keys_given: Option<Keys>,
) -> Context {
    let mut ctx = context(platform, observer, Uuid::nil(), 3, keys_file);
    ctx.keys_given = keys_given;
    ctx
}

/// A file that the run was begun with.
fn file_of(header: &Header, name: &str) -> Option<PathBuf> {
    header.inputs.get(name).map(PathBuf::from)
}

/// The snapshot that the run restores, where it was or is named to be now.
fn snapshot_of(here: &Here, way: &Way, header: &Header) -> Result<Option<FromSnapshot>, Exit> {
    let named = match way {
        Way::On { from_snapshot, .. } => from_snapshot.clone(),
        Way::Back(_) | Way::CleanUp { .. } => None,
    };
    let Some(begun) = file_of(header, FROM_SNAPSHOT) else {
        return named.map_or(Ok(None), |_| {
            let why = "the run moves a server's data and restores no snapshot: --from-snapshot is for one that does";
            Err(fail(why, &[&here.place.command("resume")], Exit::Usage))
        });
    };
    Ok(Some(FromSnapshot {
        path: named.unwrap_or(begun),
        cluster_id: header.inputs.get(CLUSTER_ID).cloned(),
    }))
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
        children: Children::Broken,
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
    let unfit = unfit(&program, &loaded, &settings.range, None);
    if let Some(exit) = unfit.or_else(|| told_of_reseed(&program, &mut settings.reseed)) {
        return exit;
    }
    let keys_given = match keys.read(&here).await {
        Ok(given) => given,
        Err(exit) => return exit,
    };
    let keys_once = keys.given_once();
    let keys_file = match keys.keys_file.map(std::path::absolute).transpose() {
        Ok(keys_file) => keys_file,
        Err(error) => return fail(format!("--keys-file: {error}"), &[], Exit::Usage),
    };
    let mut run = Running {
        way: Way::On {
            accept_changed: false,
            no_sops_file: false,
            from_snapshot: None,
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
    let put_by = match room(&run, &settings).await {
        Ok(put_by) => put_by,
        Err(exit) => return exit,
    };
    if mode == Mode::DryRun {
        if let Some(told) = put_by.and_then(|put_by| put_by.told(true)) {
            ui::aside(&told);
        }
        return run.go(settings).await;
    }
    let here = &run.here;
    let _held = match hold_target(here) {
        Ok(held) => held,
        Err(exit) => return exit,
    };
    let header = Header {
        format: journal::FORMAT,
        baoctl: env!("CARGO_PKG_VERSION").to_owned(),
        run: run.run,
        mode,
        runbook: RunbookText::from(&run.loaded),
        target: here.platform.target(),
        server: here.platform.address(),
        inputs: inputs(&run, keys_once, &settings.reseed),
        max_outage_ms: settings.max_outage.map(journal::millis),
    };
    run.claimed = match claim::claim(here, run.run, Earlier::Replace).await {
        Ok(claimed) => claimed,
        Err(exit) => return exit,
    };
    if let Some(put_by) = put_by {
        if let Err(exit) = put_by.keep() {
            return exit;
        }
        if let Some(told) = put_by.told(false) {
            ui::aside(&told);
        }
    }
    run.journal = match Journal::create(&here.journal, header) {
        Ok(journal) => Some(Arc::new(Mutex::new(journal))),
        Err(error) => return refused_by_journal(&error, &here.place),
    };
    run.go(settings).await
}

/// What a new journal takes the place of, where it may begin at all. Looks only.
async fn room(run: &Running, settings: &Settings) -> Result<Option<PutBy>, Exit> {
    let here = &run.here;
    if let Some(exit) = finished_already(here, run.snapshot.as_ref()).await {
        return Err(exit);
    }
    if let Some(exit) = keys_left(here).await {
        return Err(exit);
    }
    let put_by = put_by(&here.journal, &here.place)?;
    if run.mode == Mode::DryRun {
        // For real it is looked at under the claim.
        claim::nothing_unfinished(here).await?;
    } else if put_by.as_ref().is_some_and(PutBy::goes_on)
        && let Some(exit) = run.unready(settings).await
    {
        return Err(exit);
    }
    Ok(put_by)
}

/// The flag for keys that a run was begun with and that are kept nowhere, with a space before it; else nothing.
pub(super) fn keys_again(inputs: &BTreeMap<String, String>) -> String {
    let flag = inputs.get(KEYS_ONCE);
    flag.map_or_else(String::new, |flag| format!(" {flag}"))
}

/// What the run is begun with, for a later process.
fn inputs(run: &Running, keys_once: Option<&str>, reseed: &ReseedArgs) -> BTreeMap<String, String> {
    let mut inputs = run.here.inputs.clone();
    if let Some(file) = &run.keys_file {
        inputs.insert(KEYS_FILE.to_owned(), file.display().to_string());
    }
    inputs.extend(keys_once.map(|flag| (KEYS_ONCE.to_owned(), flag.to_owned())));
    if let Some(from) = &run.snapshot {
        let path = from.path.display().to_string();
        inputs.insert(FROM_SNAPSHOT.to_owned(), path);
        let expected = from.cluster_id.clone();
        inputs.extend(expected.map(|id| (CLUSTER_ID.to_owned(), id)));
    }
    if reseed.lose_data {
        inputs.insert(LOSE_DATA.to_owned(), "yes".to_owned());
    }
    if let Some(file) = &reseed.sops_file {
        inputs.insert(SOPS_FILE.to_owned(), file.display().to_string());
    }
    inputs
}

/// Where a run that has a journal goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// To its end; also by a runbook that was edited since, when that is accepted.
    On {
        accept_changed: bool,
        /// Without the SOPS file that it was begun with.
        no_sops_file: bool,
        /// Where the snapshot is that it restores, if that is another place than where it was.
        from_snapshot: Option<PathBuf>,
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
    let snapshot = match snapshot_of(&here, &way, &header) {
        Ok(snapshot) => snapshot,
        Err(exit) => return exit,
    };
    let recorded = journal.state().runbook().cloned();
    let recorded = recorded.unwrap_or_else(|| header.runbook.clone());
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
    // One that was edited may have become another kind.
    let edited = || changed.then(|| not_of(&program, header.inputs.contains_key(FROM_SNAPSHOT)))?;
    let unfit = unfit(&program, &loaded, &settings.range, Some(journal.state()))
        .or_else(edited)
        .or_else(|| too_long(&program, journal.state(), &settings, &here.place));
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
        snapshot,
        claimed,
        journal: Some(Arc::new(Mutex::new(journal))),
        resumed: true,
        run: header.run,
    }
    .go(settings)
    .await
}
