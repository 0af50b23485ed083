//! What an action can see and use.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::keys::Keys;
use super::{Error, Fact, Result};
use crate::bao::Node;
use crate::event::{Event, Level, Observer};
use crate::journal::Mark;
use crate::meter::SharedMeter;
use crate::platform::Platform;

/// Writes a [`Mark`] into the run's journal at the moment it happens.
pub type Marker = Arc<dyn Fn(Mark) -> std::result::Result<(), String> + Send + Sync>;

/// Comes back once every record so far is where another machine would read it.
pub type Settler =
    Arc<dyn Fn() -> BoxFuture<'static, std::result::Result<(), String>> + Send + Sync>;

/// What a runbook makes of child namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Children {
    /// It brings them as they are, which this server breaks: refused.
    Broken,
    /// It has the action that moves their tables.
    Moved,
    /// None of the source's data comes along.
    LeftBehind,
}

/// What an action can see and use.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Context {
    /// The place.
    pub platform: Arc<dyn Platform>,
    /// The run's id: it labels all that the run makes.
    pub run: Uuid,
    /// Voters that the runbook ends with.
    pub replicas: u32,
    /// A file with the keys, when the operator named one in place of the release's Secret.
    pub keys_file: Option<PathBuf>,
    /// The keys themselves, when the operator gave them to this process alone.
    pub keys_given: Option<Keys>,
    /// What is restored in place of a server's data, when the operator named a snapshot.
    pub snapshot: Option<FromSnapshot>,
    /// The operator gave leave to leave the source's data behind.
    pub lose_data: bool,
    /// A file for the keys of a new cluster that is there to stay, encrypted by `sops`.
    pub sops_file: Option<PathBuf>,
    /// Where the runbook stands: its own programs are found from there, and run there.
    pub folder: PathBuf,
    /// The running action's step.
    pub step: String,
    /// The running action's place in it, from 0.
    pub place: usize,
    /// Times the running action's intent was recorded before, in this run; 0 again after a rewind, which lets go of
    /// whatever came of them.
    pub earlier_intents: u32,
    /// A restore was sent, or the data migrated in its place, or either may have been, since the last rewind: only the old
    /// key opens the cluster.
    pub restore_sent: bool,
    /// A single voter has taken it, since then.
    pub restore_taken: bool,
    /// The keys that init gave are kept, or may be: the cluster is there to stay, with none of the source's data.
    pub keys_kept: bool,
    /// What the runbook makes of child namespaces.
    pub children: Children,
    /// Their tables have been moved, since then.
    pub namespaces_moved: bool,
    /// The journal has the outage's beginning and not its end.
    pub outage_open: bool,
    /// Tells how far the running action is.
    pub meter: SharedMeter,
    /// Hears of checks and notes.
    pub observer: Arc<dyn Observer>,
    /// Writes marks.
    pub marker: Marker,
    /// Waits for the marks to be mirrored, where the run has a mirror.
    pub settled: Option<Settler>,
    /// What earlier actions found out.
    pub facts: Arc<Mutex<BTreeMap<String, Value>>>,
}

/// A snapshot that the operator named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromSnapshot {
    /// Its file.
    pub path: PathBuf,
    /// The id of the cluster that it must be of, where that is known.
    pub cluster_id: Option<String>,
}

/// One look at an awaited condition.
pub enum Look<T> {
    /// It has come about.
    Ready(T),
    /// Not yet; this is what was seen.
    NotYet(String),
}

impl Context {
    /// The first member: the source, later the one that is initialised.
    pub fn first(&self) -> Result<String> {
        let members = self.platform.members();
        members
            .into_iter()
            .next()
            .ok_or_else(|| Error::refused("the release has no members"))
    }

    /// Whether what stands on raft holds nothing that anybody needs.
    pub const fn is_throwaway(&self) -> bool {
        !self.restore_sent && !self.keys_kept
    }

    /// The other members.
    pub fn followers(&self) -> Vec<String> {
        self.platform.members().into_iter().skip(1).collect()
    }

    /// A member's API.
    pub fn node(&self, member: &str) -> Result<Arc<dyn Node>> {
        Ok(self.platform.node(member)?)
    }

    /// The members that have a running server.
    pub async fn running(&self) -> Result<Vec<String>> {
        let mut running = Vec::new();
        for member in self.platform.members() {
            if self.platform.instance(&member).await?.is_some() {
                running.push(member);
            }
        }
        Ok(running)
    }

    /// A file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.platform.run_dir().join(name)
    }

    /// A fact, or an error that says which action it comes from.
    pub fn fact<F: Fact>(&self) -> Result<F> {
        self.find::<F>().ok_or(Error::MissingFact {
            fact: F::NAME,
            from: F::FROM,
        })
    }

    /// A fact, where there is one.
    pub fn find<F: Fact>(&self) -> Option<F> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts
            .get(F::NAME)
            .and_then(|value| serde_json::from_value(value.clone()).ok())
    }

    /// A line for the operator.
    pub fn note(&self, level: Level, message: impl Into<String>) {
        self.observer.observe(&Event::Note {
            level,
            message: message.into(),
        });
    }

    /// Records a moment. Nothing takes the service away before another machine would know since when it is away.
    pub async fn mark(&self, mark: Mark) -> Result<()> {
        (self.marker)(mark).map_err(Error::Journal)?;
        let Some(settled) = self
            .settled
            .as_ref()
            .filter(|_| mark == Mark::OutageStarted)
        else {
            return Ok(());
        };
        if let Err(why) = settled().await {
            (self.marker)(Mark::OutageAverted).map_err(Error::Journal)?;
            return Err(Error::refused(format!(
                "the beginning of the outage could not be recorded in the cluster, where it must be before it begins ({why}); \
                 clients are served as before"
            )));
        }
        Ok(())
    }

    /// Looks every `pause` until the condition has come about, or `deadline` has passed. A look that fails for a
    /// transient reason counts as not yet.
    pub async fn until<T, F, L>(
        &self,
        what: &str,
        deadline: Duration,
        pause: Duration,
        mut look: L,
    ) -> Result<T>
    where
        F: Future<Output = Result<Look<T>>> + Send,
        L: FnMut() -> F + Send,
    {
        let started = Instant::now();
        loop {
            let last = match look().await {
                Ok(Look::Ready(value)) => return Ok(value),
                Ok(Look::NotYet(seen)) => seen,
                Err(error) if error.is_transient() => error.to_string(),
                Err(error) => return Err(error),
            };
            if started.elapsed() >= deadline {
                return Err(Error::Stuck {
                    what: what.to_owned(),
                    last,
                    after: deadline,
                });
            }
            self.meter.waiting(&format!("{what}: {last}"));
            tokio::time::sleep(pause).await;
        }
    }
}

/// Bytes free on the volume of a folder.
pub fn free_bytes(folder: &Path) -> Result<u64> {
    rustix::fs::statvfs(folder)
        .map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize))
        .map_err(|error| Error::refused(format!("{}: {error}", folder.display())))
}

/// Runs blocking work of the storage layer off the async threads.
pub async fn blocking<T, E, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    E: Into<Error> + Send + 'static,
    F: FnOnce() -> std::result::Result<T, E> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => Err(Error::refused(format!("an internal task failed: {error}"))),
    }
}
