//! Runs the program against the world, one process after another, as the command line does.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use baoctl::action::{Children, Compared, Context, Fact, FromSnapshot, Lost};
use baoctl::engine::{self, Back, End, Engine, Mirrored, Program, Range};
use baoctl::event::{Answer, By, Event, Mode, Observer, Operator, Question, Tier};
use baoctl::journal::{self, FORMAT, Header, Journal, Mirror, Record, RunbookText, State};
use baoctl::meter::Silent;
use baoctl::platform::{Platform, SecretName, StorageKind};
use baoctl::runbook::Loaded;
use futures_util::FutureExt;
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::fate::{Fate, Killed};
use super::native;
use super::node::Grip;
use super::platform::ScriptedPlatform;
use super::tree;
use super::world::{MEMBERS, SCRATCH, World};

/// How one process ended.
pub enum Ended {
    Killed,
    Itself(engine::Result<End>),
}

impl Ended {
    pub fn finished(&self) -> bool {
        matches!(self, Self::Itself(Ok(End::Finished)))
    }

    pub fn words(&self) -> String {
        match self {
            Self::Killed => "killed".to_owned(),
            Self::Itself(Ok(end)) => format!("{end:?}"),
            Self::Itself(Err(error)) => error.to_string(),
        }
    }
}

/// Who answers.
#[derive(Clone)]
pub enum Consent {
    Always,
    /// To everything but the question for this step.
    NotTo(&'static str),
    /// To everything but what wants a name typed in this step.
    NotToTyped(&'static str),
    /// To everything but clearing what a failed try left.
    NotToRedo,
}

/// Threshold and number of the source's shares.
pub type Shares = (u32, u32);

/// A world with a run in it.
pub struct Lab {
    folder: tempfile::TempDir,
    loaded: Loaded,
    pub world: Arc<Mutex<World>>,
    pub range: Range,
    pub consent: Consent,
    /// Follows each process that is run.
    pub mirror: Option<Arc<dyn Mirror>>,
    /// The way back instead of the way on.
    pub back: Option<Back>,
    /// Removes what is left of the run.
    pub cleanup: bool,
    /// The leave to leave the source's data behind.
    pub lose_data: bool,
    /// The operator's file with the keys.
    pub keys_file: Option<PathBuf>,
    /// What is restored in place of a source's data.
    pub snapshot: Option<FromSnapshot>,
    /// Every question of every process.
    pub asked: Arc<Mutex<Vec<Question>>>,
    /// Every event of every process, as kind and action.
    pub heard: Arc<Mutex<Vec<String>>>,
}

impl Lab {
    pub fn new(runbook: &str, (threshold, shares): Shares) -> Self {
        // Each record of a journal is synced, which costs nothing in memory.
        let folder = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        std::fs::create_dir(folder.path().join("run")).unwrap();
        let world = World::new(folder.path(), shares, threshold);
        Self {
            folder,
            loaded: Loaded::resolve(runbook).unwrap(),
            world: Arc::new(Mutex::new(world)),
            range: Range::default(),
            consent: Consent::Always,
            mirror: None,
            back: None,
            cleanup: false,
            lose_data: true,
            keys_file: None,
            snapshot: None,
            asked: Arc::default(),
            heard: Arc::default(),
        }
    }

    /// A place where a cluster on raft was lost, and its snapshot.
    pub fn lost() -> Self {
        let mut lab = Self::new("restore-snapshot", (1, 1));
        *lab.world() = World::lost(lab.folder.path());
        let path = lab.path("nightly.snap");
        native::pack(&lab.lost_entries(), &path);
        lab.snapshot = Some(FromSnapshot {
            path,
            cluster_id: None,
        });
        lab
    }

    fn lost_entries(&self) -> tree::Entries {
        native::entries(&self.world().key_set("old"))
    }

    pub fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn journal_path(&self) -> PathBuf {
        self.folder.path().join("run/journal.jsonl")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn state(&self) -> State {
        journal::read(&self.journal_path()).unwrap()
    }

    pub fn records(&self) -> Vec<Record> {
        let records = journal::records(&self.journal_path()).unwrap();
        records.into_iter().map(|(_, record)| record).collect()
    }

    /// The journal as it would be had something else been found out.
    pub fn rewrite_journal(&self, from: &str, to: &str) {
        let mut changed = 0;
        let mut records = self.records().into_iter().map(|record| {
            let text = serde_json::to_string(&record).unwrap();
            changed += text.matches(from).count();
            serde_json::from_str(&text.replace(from, to)).unwrap()
        });
        let Some(Record::Started(header)) = records.next() else {
            panic!("a journal begins with a start");
        };
        std::fs::remove_file(self.journal_path()).unwrap();
        let mut journal = Journal::create(&self.journal_path(), header).unwrap();
        for record in records {
            journal.append(record).unwrap();
        }
        assert!(changed > 0, "no `{from}` in the journal");
    }

    pub fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap().clone()
    }

    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Goes from the step to the step.
    pub fn ranged(mut self, from: Option<&str>, until: Option<&str>) -> Self {
        self.range = Range {
            from: from.map(str::to_owned),
            until: until.map(str::to_owned),
        };
        self
    }

    /// One process: begins the run, or goes on with it.
    pub async fn process(&self, fate: &Arc<Fate>) -> Ended {
        match AssertUnwindSafe(self.run(fate)).catch_unwind().await {
            Ok(ended) => Ended::Itself(ended),
            Err(thrown) if thrown.is::<Killed>() => Ended::Killed,
            Err(thrown) => std::panic::resume_unwind(thrown),
        }
    }

    async fn run(&self, fate: &Arc<Fate>) -> engine::Result<End> {
        let platform = self.platform(fate);
        fate.watch(&self.journal_path());
        fate.point("before the journal is opened");
        let (journal, run) = match Journal::open(&self.journal_path()) {
            Ok(mut journal) => {
                let state = journal.state();
                let run = state.header().unwrap().run;
                let ended = state.finished().is_some();
                match &self.back {
                    _ if self.cleanup => {}
                    Some(_) if ended && state.rolling_back() => return Ok(End::RolledBack),
                    // It records itself, once nothing speaks against it.
                    Some(_) => {}
                    None if ended => return Ok(End::Finished),
                    None => drop(journal.append(Record::resumed(None, None, false))?),
                }
                (journal, run)
            }
            Err(journal::Error::Missing { .. }) => {
                let run = Uuid::now_v7();
                let header = Header {
                    format: FORMAT,
                    baoctl: "0.1.0".to_owned(),
                    run,
                    mode: Mode::Live,
                    runbook: RunbookText::from(&self.loaded),
                    target: platform.target(),
                    server: String::new(),
                    inputs: BTreeMap::new(),
                    max_outage_ms: None,
                };
                (Journal::create(&self.journal_path(), header)?, run)
            }
            Err(error) => return Err(error.into()),
        };
        fate.point("after the journal is opened");
        let journal = Arc::new(Mutex::new(journal));
        let mut engine = self.engine(fate, platform, run);
        let (marks, fated) = (journal.clone(), fate.clone());
        engine.ctx.marker = Arc::new(move |mark| {
            fated.point(format!("before the mark {mark:?}"));
            marks
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .append(Record::Mark { mark })
                .map_err(|error| error.to_string())?;
            fated.point(format!("after the mark {mark:?}"));
            Ok(())
        });
        engine.journal = Some(journal);
        let end = match &self.back {
            _ if self.cleanup => {
                engine.program = Program::cleanup(self.state().rolling_back());
                engine.clean_up(false).await?
            }
            Some(back) => engine.roll_back(back).await?,
            None => engine.run().await?,
        };
        fate.point("at the end");
        Ok(end)
    }

    /// A run without a journal.
    pub async fn dry_run(&self, fate: &Arc<Fate>) -> engine::Result<End> {
        let platform = self.platform(fate);
        self.engine(fate, platform, Uuid::now_v7()).run().await
    }

    fn platform(&self, fate: &Arc<Fate>) -> Arc<dyn Platform> {
        Arc::new(ScriptedPlatform {
            run_dir: self.folder.path().join("run"),
            grip: Grip {
                world: self.world.clone(),
                fate: fate.clone(),
            },
        })
    }

    fn engine(&self, fate: &Arc<Fate>, platform: Arc<dyn Platform>, run: Uuid) -> Engine {
        let observer = Arc::new(Listener {
            fate: fate.clone(),
            heard: self.heard.clone(),
        });
        Engine {
            program: Program::new(&self.loaded.runbook),
            range: self.range.clone(),
            ctx: Context {
                platform,
                run,
                replicas: self.loaded.runbook.replicas,
                keys_file: self.keys_file.clone(),
                keys_given: None,
                snapshot: self.snapshot.clone(),
                lose_data: self.lose_data,
                sops_file: None,
                folder: self.loaded.folder(),
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
                observer: observer.clone(),
                marker: Arc::new(|_| Ok(())),
                settled: None,
                facts: Arc::default(),
            },
            journal: None,
            mirror: self.mirror.clone().map(Mirrored::new),
            observer,
            operator: Arc::new(Asked {
                consent: self.consent.clone(),
                asked: self.asked.clone(),
            }),
            interrupt: fate.interrupt.clone(),
            outage_word: "vault".to_owned(),
        }
    }

    /// Panics unless everything is as an undisturbed run leaves it.
    pub fn check(&self) {
        self.check_source();
        let entries = match self.snapshot {
            Some(_) => self.lost_entries(),
            None => self.world().tree_entries(),
        };
        let mut world = self.world();
        world.tick();
        let reseeded = self.loaded.runbook.name == "reseed";
        assert_eq!(world.release.storage, StorageKind::Raft);
        assert_eq!(world.release.replicas, 3);
        let (keys, expected) = if reseeded {
            let keys = world.key_sets.last().unwrap().clone();
            let fresh = tree::fresh(&keys.name);
            (keys, fresh)
        } else {
            (world.key_set("old"), entries)
        };
        let expected = tree::essence(&expected);
        for name in MEMBERS {
            let server = world.server(name).unwrap();
            assert_eq!(server.storage, StorageKind::Raft, "{name}");
            assert_eq!(server.open.as_ref(), Some(&keys.name), "{name}");
            let group = world.group_of(name).unwrap();
            assert!(group.votes(name), "{name} does not vote");
            assert_eq!(group.peers.len(), 3);
            assert_eq!(world.group_id(name), world.group_id(MEMBERS[0]));
            let files = world.member(name).raft.as_ref().unwrap();
            assert_eq!(tree::essence(&files.entries), expected, "{name}");
        }
        assert!(MEMBERS.iter().any(|name| world.is_active(name)));
        let unseal = &world.secrets[&SecretName::Unseal];
        assert_eq!(unseal["unseal-key"].expose_secret(), keys.shares.join("\n"));
        assert_eq!(unseal["root-token"].expose_secret(), keys.token);
        if reseeded {
            // The old key is the way back, and the new one is never in one place alone.
            assert_eq!(world.secrets.len(), 3);
            assert!(world.knows("old"));
            assert_eq!(world.jobs.len(), 2);
        } else {
            assert_eq!(world.secrets.len(), 1, "a Secret of the run is left");
        }
        assert_eq!(world.job.suspended, None, "a job is left suspended");
        assert!(!world.members.contains_key(SCRATCH), "scratch is left");
        let migrating = world.members.values().any(|member| member.migrating);
        assert!(!migrating, "half of a migration is left");
        let tombstone = tree::file_of(&world.data, tree::MIGRATION).exists();
        assert_ne!(tombstone, self.snapshot.is_some());

        let state = self.state();
        assert!(state.finished().is_some());
        let outage = (state.outage_started(), state.outage_ended());
        if self.snapshot.is_none() {
            assert!(outage.0.is_some() && outage.1.is_some());
        } else {
            assert_eq!(outage, (None, None), "nobody was served before");
        }
        assert_eq!(state.open_intents().count(), 0);
        if reseeded {
            let lost: Lost =
                serde_json::from_value(state.fact(Lost::NAME).unwrap().clone()).unwrap();
            let listed = std::fs::read_to_string(lost.file).unwrap();
            assert!(listed.contains("mount kv/\n"), "{listed}");
            assert!(listed.contains("kv/metadata/one\n"), "{listed}");
            return;
        }
        let compared: Compared =
            serde_json::from_value(state.fact(Compared::NAME).unwrap().clone()).unwrap();
        let answering = if world.standbys_redirect { 1 } else { 3 };
        assert_eq!(compared.by_voter.len(), answering);
    }

    /// Panics unless the source serves from its old storage again, and nothing else does.
    pub fn check_back(&self) {
        self.check_source();
        let mut world = self.world();
        world.tick();
        assert_eq!(world.release.storage, world.source);
        if self.snapshot.is_some() {
            assert!(world.server(MEMBERS[0]).is_none());
        } else {
            let source = world.server(MEMBERS[0]).unwrap();
            assert_eq!(source.storage, world.source);
            assert_eq!(source.open.as_deref(), Some("old"));
        }
        assert!(MEMBERS[1..].iter().all(|name| world.server(name).is_none()));
        for name in MEMBERS {
            let holds_raft = world.members.get(name).is_some_and(|it| it.raft.is_some());
            assert!(!holds_raft, "{name} holds raft files");
        }
        assert_eq!(world.job.suspended, None, "a job is left suspended");
        assert!(!world.members.contains_key(SCRATCH), "scratch is left");
        let migrating = world.members.values().any(|member| member.migrating);
        assert!(!migrating, "half of a migration is left");
        assert!(!tree::file_of(&world.data, tree::MIGRATION).exists());
        let unseal = &world.secrets[&SecretName::Unseal]["unseal-key"];
        assert_eq!(
            unseal.expose_secret(),
            world.key_set("old").shares.join("\n")
        );
        let state = self.state();
        // The raft files aside are opened by nothing else.
        let kept = usize::from(state.intents_of("keep-keys") > 0);
        assert_eq!(world.secrets.len(), 1 + kept, "a Secret of the run is left");
        assert_eq!(world.jobs.len(), 0, "a Job is left that acts on the source");
        assert!(state.rolling_back() && state.finished().is_some());
        assert!(state.why_back().starts_with("asked for by "));
        assert!(!state.in_outage());
    }

    /// Panics unless all that is left of the run is removed, and nothing else.
    pub fn check_clean(&self) {
        let mut world = self.world();
        world.tick();
        assert_eq!(world.violations, [""; 0]);
        assert_eq!(tree::digests(&world.data).len(), 0);
        for name in MEMBERS {
            assert!(world.server(name).unwrap().open.is_some());
            assert_eq!(world.member(name).aside.len(), 0, "{name}");
        }
        assert_eq!(world.secrets.len(), 1, "a Secret of the run is left");
        let state = self.state();
        assert!(state.cleaning() && state.finished().is_some());
        for name in ["backup.tar", "final.tar", "final.snap", "final.manifest"] {
            assert!(!self.path("run").join(name).exists(), "{name}");
        }
    }

    /// Panics unless the source is whole and nothing dangerous was done.
    pub fn check_source(&self) {
        let world = self.world();
        assert_eq!(world.violations, [""; 0]);
        assert!(world.tree_is_whole(), "the source's tree is not as it was");
    }
}

/// Runs a test in virtual time.
pub fn in_virtual_time<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work)
}

struct Listener {
    fate: Arc<Fate>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Observer for Listener {
    fn observe(&self, event: &Event) {
        let what = match event {
            // They come as often as time allows, and nothing happens between two of them.
            Event::Progress { .. } | Event::Waiting { .. } | Event::Check(_)
            // It comes from another thread, which cannot die for all.
            | Event::Output { .. } => return,
            Event::StepStarted { step, .. } => format!("step started: {step}"),
            Event::StepFinished { step, .. } => format!("step finished: {step}"),
            Event::ActionStarted { action, .. } => format!("started: {action}"),
            Event::Calls { action, .. } => format!("calls: {action}"),
            Event::ActionFinished { action, status, .. } => {
                format!("finished: {action}: {status:?}")
            }
            Event::Retry { action, .. } => format!("retry: {action}"),
            Event::Rewound { to, .. } => format!("rewound to {to}"),
            Event::Note { message, .. } => format!("note: {message}"),
            other => format!("{other:?}"),
        };
        self.heard.lock().unwrap().push(what.clone());
        self.fate.point(format!("event {what}"));
    }
}

/// Hears what is asked and answers.
struct Asked {
    consent: Consent,
    asked: Arc<Mutex<Vec<Question>>>,
}

#[async_trait]
impl Operator for Asked {
    async fn ask(&self, question: &Question) -> Answer {
        self.asked.lock().unwrap().push(question.clone());
        match self.consent {
            Consent::NotTo(step) if step == question.step => Answer::No,
            Consent::NotToTyped(step) if step == question.step => match question.tier {
                Tier::TypeName(_) => Answer::No,
                _ => Answer::Yes(By::Person),
            },
            Consent::NotToRedo if question.ask.contains("begin it anew") => {
                assert_eq!(question.tier, Tier::TypeName("vault".to_owned()));
                Answer::No
            }
            _ => Answer::Yes(By::Person),
        }
    }
}
