//! What each member says of itself, beside what a journal tells of who serves: a run that was killed saw no end of its outage, and
//! one that has ended sees nothing more.

use std::time::Duration;

use futures_util::future::join_all;

use super::failure::{self, Serves};
use crate::action::{KEEP_KEYS, Source};
use crate::bao::SealStatus;
use crate::engine::{Program, fact};
use crate::journal::State;
use crate::platform::{Platform, StorageKind};

/// The longest that is waited for what only completes a sentence.
const PATIENCE: Duration = Duration::from_secs(10);
pub(super) const STOPPED: &str = "stopped";
const ACTIVE: &str = "active";

/// What one member says of itself.
pub(super) struct Row {
    pub member: String,
    pub process: String,
    pub says: Option<SealStatus>,
    pub role: String,
}

impl Row {
    fn is_active(&self) -> bool {
        self.process != STOPPED && self.role == ACTIVE
    }

    fn cluster(&self) -> Option<&str> {
        self.says.as_ref()?.cluster_id.as_deref()
    }

    fn on_raft(&self) -> bool {
        let raft = StorageKind::Raft.name();
        self.says.as_ref().is_some_and(|it| it.storage_type == raft)
    }

    /// Why it does not serve.
    fn why(&self) -> &str {
        match &self.says {
            _ if self.process == STOPPED => "does not run",
            Some(says) if !says.initialized => "is empty",
            Some(says) if says.sealed => "is sealed",
            Some(_) => "has no leader",
            None => "does not answer",
        }
    }
}

/// All members of the target.
pub(super) async fn all(platform: &dyn Platform) -> Vec<Row> {
    let members = platform.members().into_iter();
    join_all(members.map(|it| look(platform, it))).await
}

async fn look(platform: &dyn Platform, member: String) -> Row {
    let process = match platform.instance(&member).await {
        Ok(Some(instance)) => instance.id,
        Ok(None) => STOPPED.to_owned(),
        Err(error) => error.to_string(),
    };
    let node = platform.node(&member).ok();
    let (mut says, mut role) = (None, "-".to_owned());
    if let Some(node) = node.filter(|_| process != STOPPED) {
        says = node.seal_status().await.ok();
        role = node.health().await.map_or_else(
            |_| "unreachable".to_owned(),
            |health| format!("{health:?}").to_lowercase(),
        );
    }
    Row {
        member,
        process,
        says,
        role,
    }
}

/// The same for what only completes a sentence: none where they do not say in time.
pub(super) async fn in_time(platform: &dyn Platform) -> Vec<Row> {
    let all = tokio::time::timeout(PATIENCE, all(platform));
    all.await.unwrap_or_default()
}

/// The member that leads the cluster on raft which the run has made of the old data, or in its place.
pub(super) fn leader<'rows>(state: &State, rows: &'rows [Row]) -> Option<&'rows Row> {
    let old = fact::<Source>(state).map(|source| source.cluster_id);
    let reseeded = state.intents_of(KEEP_KEYS) > 0;
    let its_own = |row: &&Row| reseeded || row.cluster() == old.as_deref();
    let mut leaders = rows.iter().filter(|row| row.is_active() && row.on_raft());
    leaders.find(its_own)
}

/// Whether a journal tells who serves, or that nobody is served, which the members may say otherwise.
pub(super) fn tells(program: &Program, state: &State) -> bool {
    failure::serves(program, state).is_some() || state.in_outage()
}

/// What the members say against what the journal tells of who serves.
pub(super) fn but(program: &Program, state: &State, rows: &[Row]) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    match failure::serves(program, state) {
        Some(Serves::Cluster) if !state.rolling_back() && leader(state, rows).is_none() => {
            Some("but no member serves it now: clients cannot use it".to_owned())
        }
        Some(Serves::Source) => {
            let first = rows.first().filter(|row| !row.is_active())?;
            let (member, why) = (&first.member, first.why());
            Some(format!(
                "but {member} {why} now: clients are not served until it is started and unsealed"
            ))
        }
        None if state.in_outage() && !state.rolling_back() => leader(state, rows).map(|row| {
            format!(
                "but {} serves the old data from raft: the outage is over, and a `resume` notes that",
                row.member
            )
        }),
        _ => None,
    }
}
