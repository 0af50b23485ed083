//! The claim on a release in a cluster, and the copy of the journal there. Servers on this machine need neither: the locks of
//! their files do.

use std::sync::Arc;

use uuid::Uuid;

use super::Exit;
use super::exit::{fail, of_status};
use super::failure::unfinished;
use super::target::{Here, Place};
use crate::engine::Mirrored;
use crate::journal::{self, MirrorError, State};
use crate::platform::kubernetes::{
    self, Claim, ClaimError, Claimant, Cluster, ClusterMirror, Earlier, Holder, KubernetesPlatform,
    read_copy,
};
use crate::ui;

/// A claim that is held, with the copy of the journal that it lets this process write.
pub(super) struct Claimed {
    platform: Arc<KubernetesPlatform>,
    claim: Arc<Claim>,
    mirror: Arc<ClusterMirror>,
}

impl Claimed {
    /// The copy, for an engine.
    pub(super) fn mirror(&self) -> Mirrored {
        Mirrored::new(self.mirror.clone())
    }

    /// Removes the claim and the copy of the journal, which nobody goes on from any more. What cannot be removed stays, and the same
    /// command tries again.
    pub(super) async fn remove(self) {
        let removed = self.mirror.remove().await;
        let removed = match removed {
            Ok(()) => self.claim.remove().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = removed {
            ui::aside(&format!(
                "the Lease or the copy of the journal is still in the namespace: {why}"
            ));
            let _ = self.claim.release().await;
        }
    }

    /// Gives the release back, so that the next command need not wait; outside an outage without a pod beside the source. One that
    /// is not given back runs out by itself.
    pub(super) async fn give_back(self, outage: bool) {
        // Another process may have it by now, and need that pod.
        if !outage
            && self.claim.check().await.is_ok()
            && let Err(error) = self.platform.leave().await
        {
            ui::aside(&error.to_string());
        }
        let _ = self.claim.release().await;
    }
}

/// Claims the release for a run; none where the target is servers on this machine. `earlier` says what to do with the copy of
/// another run's journal.
pub(super) async fn claim(
    here: &Here,
    run: Uuid,
    earlier: Earlier,
) -> Result<Option<Claimed>, Exit> {
    let Some(platform) = &here.kubernetes else {
        return Ok(None);
    };
    let claimant = Claimant::this_process(run);
    let claim = Claim::acquire(platform.cluster(), platform.release_name(), claimant).await;
    let claim = Arc::new(claim.map_err(|error| not_claimed(&error, &here.place))?);
    if earlier == Earlier::Replace {
        // Under the claim, so that nobody begins one meanwhile.
        nothing_unfinished(here).await?;
    }
    let (cluster, name) = (platform.cluster(), platform.release_name());
    let mirror = ClusterMirror::open(cluster, name, claim.clone(), run, earlier).await;
    let mirror = Arc::new(mirror.map_err(|error| not_mirrored(&error, &here.place))?);
    let platform = platform.clone();
    Ok(Some(Claimed {
        platform,
        claim,
        mirror,
    }))
}

/// Takes the run over that the cluster has a copy of, whoever has it, and makes this machine's journal hold at least that.
pub(super) async fn take_over(here: &Here) -> Result<Claimed, Exit> {
    let Some(platform) = &here.kubernetes else {
        return Err(fail(
            "servers on this machine keep no copy of the journal elsewhere",
            &[&here.place.command("resume")],
            Exit::Usage,
        ));
    };
    let (cluster, name) = (platform.cluster(), platform.release_name());
    let run = read_copy(cluster, name)
        .await
        .map_err(|error| fail(error, &[&here.place.command("status")], Exit::Failed))?
        .and_then(|copied| Uuid::parse_str(&copied.run).ok());
    let Some(run) = run else {
        return Err(fail(
            "the cluster has no copy of a run's journal",
            &[&here.place.command("status")],
            Exit::Usage,
        ));
    };
    ui::aside("taking the run over; whoever had it stops at its next step");
    let claim = Claim::take_over(cluster, name, Claimant::this_process(run)).await;
    let claim = Arc::new(claim.map_err(|error| not_claimed(&error, &here.place))?);
    let mirror = ClusterMirror::open(cluster, name, claim.clone(), run, Earlier::Keep).await;
    let mirror = Arc::new(mirror.map_err(|error| not_mirrored(&error, &here.place))?);
    let copy = mirror
        .read_back()
        .await
        .map_err(|error| not_mirrored(&error, &here.place))?;
    // The folder is made with its first use, and this is the first command on this machine.
    here.platform.run_dir();
    journal::restore(&here.journal, &copy).map_err(|error| {
        let next = "the same command with --work-dir and an empty folder";
        fail(error, &[next], Exit::Failed)
    })?;
    let platform = platform.clone();
    Ok(Claimed {
        platform,
        claim,
        mirror,
    })
}

/// Who holds the claim on a release, where anybody does.
pub(super) async fn holder(here: &Here) -> Option<Holder> {
    let platform = here.kubernetes.as_ref()?;
    kubernetes::holder(platform.cluster(), platform.release_name())
        .await
        .ok()?
}

/// Where the run stands that the cluster has a copy of, for who only tells of it.
pub(super) async fn copied(cluster: &Cluster, release: &str) -> Option<State> {
    let copied = read_copy(cluster, release).await.ok()??;
    journal::mirrored(&copied.bytes).ok()
}

/// The same for who would write over it: one that cannot be read may be of a run that has to be gone on with.
pub(super) async fn copy_to_replace(here: &Here) -> Result<Option<State>, Exit> {
    let Some(platform) = &here.kubernetes else {
        return Ok(None);
    };
    let (status, kept) = (here.place.command("status"), "nothing was written over");
    let copied = read_copy(platform.cluster(), platform.release_name()).await;
    let copied = copied.map_err(|error| {
        let why =
            format!("the copy of a run's journal in the cluster cannot be read, {kept}: {error}");
        fail(why, &[&status], of_status(error.status()))
    })?;
    let state = copied.map(|copied| journal::mirrored(&copied.bytes));
    state.transpose().map_err(|error| {
        let why = format!(
            "the copy of a run's journal in the cluster cannot be told, {kept}: {error}. A newer baoctl may have begun it"
        );
        fail(why, &[&status], Exit::Preflight)
    })
}

/// A run that another machine left in the middle is not written over.
pub(super) async fn nothing_unfinished(here: &Here) -> Result<(), Exit> {
    let place = &here.place;
    let Some(state) = copy_to_replace(here).await? else {
        return Ok(());
    };
    match Some(&state).filter(|state| unfinished(state)) {
        None => Ok(()),
        Some(state) => Err(fail(
            format!(
                "an unfinished run of `{}` is in the cluster; a second one beside it could destroy data",
                state
                    .header()
                    .map_or_else(String::new, |header| header.runbook.name.clone())
            ),
            &[
                &place.command("resume --from-cluster"),
                &place.command("status"),
            ],
            Exit::Preflight,
        )),
    }
}

fn not_claimed(error: &ClaimError, place: &Place) -> Exit {
    let exit = match error {
        ClaimError::Held(_) | ClaimError::Lost { .. } => Exit::Locked,
        ClaimError::Cluster(error) => of_status(error.status()),
    };
    fail(error, &[&place.command("status")], exit)
}

fn not_mirrored(error: &MirrorError, place: &Place) -> Exit {
    let exit = match error {
        MirrorError::Lost { .. } => Exit::Locked,
        MirrorError::Parted { .. } => Exit::Preflight,
        MirrorError::Behind { .. } | MirrorError::Unavailable { .. } => Exit::Failed,
    };
    let next = [
        place.command("resume --from-cluster"),
        place.command("status"),
    ];
    fail(error, &[&next[0], &next[1]], exit)
}
