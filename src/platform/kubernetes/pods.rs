//! The members' pods: which process runs in each, stopping, replacing, and keeping them away.
//!
//! A StatefulSet brings a deleted pod back under the same name. So a pod is always meant by its uid, and what must
//! stay away is scaled away.

use std::time::Duration;

use futures_util::future::try_join_all;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use tokio::time::{Instant, sleep};

use super::apply::MANAGER;
use super::client::{absent_ok, call};
use super::exec::Shell;
use super::platform::KubernetesPlatform;
use super::reasons;
use crate::bao::Node;
use crate::platform::{Error, Instance, Platform, Result};

/// The wanted replicas while members are kept away.
const REPLICAS: &str = "baoctl/replicas";
/// The longest that a pod may take to go: its own grace period and some.
const GONE: Duration = Duration::from_mins(3);
/// The longest that a new pod may take to answer: scheduling, volume, image, start.
const ANSWERS: Duration = Duration::from_mins(5);
/// The longest that the controller may take to see a changed StatefulSet.
const OBSERVED: Duration = Duration::from_mins(1);
/// The longest that a container takes to end, as the API server sees it; the server's own end takes as long.
const ENDS: Duration = Duration::from_secs(4);
const END_SERVER: &str = include_str!("scripts/end_server.sh");
const PAUSE: Duration = Duration::from_millis(100);
/// For one that stays away and may serve: its `preStop` hook, and giving up the lead.
const GRACE: u32 = 15;
/// What is replaced is sealed or of no more use, and clients wait: its `preStop` hook has nobody to wait for. With none at
/// all the API forgets a pod whose server may still run.
const AT_ONCE: u32 = 1;

impl KubernetesPlatform {
    /// A member's pod.
    pub(super) async fn pod(&self, name: &str) -> Result<Option<Pod>> {
        let pods = self.cluster.api::<Pod>();
        absent_ok(call(format!("reading pod {name}"), pods.get(name)).await)
    }

    /// The StatefulSet as it stands.
    pub(super) async fn stateful_set(&self) -> Result<StatefulSet> {
        let name = &self.layout.set;
        let sets = self.cluster.api::<StatefulSet>();
        call(format!("reading StatefulSet {name}"), sets.get(name)).await
    }

    /// The running server's container.
    pub(super) async fn running(&self, member: &str) -> Result<Option<Instance>> {
        self.layout.ordinal(member)?;
        Ok(self
            .pod(member)
            .await?
            .as_ref()
            .and_then(|pod| instance_of(pod, &self.layout.container)))
    }

    /// Deletes the member's pod, and waits until that very pod is gone.
    pub(super) async fn stop_pod(&self, member: &str) -> Result<()> {
        self.layout.ordinal(member)?;
        if let Some(uid) = self.pod(member).await?.and_then(|pod| pod.metadata.uid) {
            self.delete_pod(member, &uid, GRACE).await?;
            self.until_gone(member, &uid).await?;
            self.mark_renewed(member);
        }
        Ok(())
    }

    /// Deletes a pod if it is still the one with this uid.
    async fn delete_pod(&self, name: &str, uid: &str, grace: u32) -> Result<()> {
        let params = DeleteParams::default()
            .grace_period(grace)
            .preconditions(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            });
        let pods = self.cluster.api::<Pod>();
        match call(format!("deleting pod {name}"), pods.delete(name, &params)).await {
            // Another one bears the name already: this one is gone.
            Err(Error::Cluster {
                status: Some(404 | 409),
                ..
            }) => Ok(()),
            other => other.map(drop),
        }
    }

    async fn until_gone(&self, name: &str, uid: &str) -> Result<()> {
        let end = Instant::now() + GONE;
        loop {
            let found = self.pod(name).await;
            match found {
                Ok(found) => {
                    if found.and_then(|pod| pod.metadata.uid).as_deref() != Some(uid) {
                        return Ok(());
                    }
                }
                Err(error) if error.is_transient() && Instant::now() < end => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= end {
                return Err(self
                    .did_not(
                        name,
                        format!("the pod did not go within {}s", GONE.as_secs()),
                    )
                    .await);
            }
            sleep(PAUSE).await;
        }
    }

    /// Gives the member a new pod with the release's configuration, and waits until its server answers.
    pub(super) async fn replace_pod(&self, member: &str) -> Result<()> {
        let ordinal = self.layout.ordinal(member)?;
        self.helper_done(member).await?;
        self.bring_back(ordinal).await?;
        self.until_observed().await?;
        let renewed = self.take_renewed(member);
        if let Some(pod) = self.pod(member).await?
            && let Some(uid) = pod.metadata.uid.as_deref()
        {
            let new = renewed || never_ran(&pod, &self.layout.container);
            if pod.metadata.deletion_timestamp.is_some() {
                self.until_gone(member, uid).await?;
            } else if !(new && self.is_current(&pod).await?) {
                self.delete_pod(member, uid, AT_ONCE).await?;
                self.until_gone(member, uid).await?;
            }
        }
        self.until_answers(member, None).await
    }

    /// Ends the server from within its container, which the kubelet starts again at once, in the same pod. Not a second time:
    /// the kubelet would wait.
    pub(super) async fn restart_container(&self, member: &str) -> Result<bool> {
        let Some(before) = self.running(member).await?.filter(|it| it.restarts == 0) else {
            return Ok(false);
        };
        let shell = Shell::new(&self.cluster, member, &self.layout.container);
        // The shell ends with the container: only what becomes of that tells.
        let _ = shell.run(END_SERVER, &[]).await;
        let end = Instant::now() + ENDS;
        while self.running(member).await?.as_ref() == Some(&before) {
            if Instant::now() >= end {
                return Ok(false);
            }
            sleep(PAUSE).await;
        }
        self.until_answers(member, None).await?;
        Ok(true)
    }

    /// Whether a pod was made from the template as it is now.
    async fn is_current(&self, pod: &Pod) -> Result<bool> {
        let set = self.stateful_set().await?;
        let wanted = set.status.and_then(|status| status.update_revision);
        let labels = pod.metadata.labels.as_ref();
        let label = labels.and_then(|labels| labels.get("controller-revision-hash"));
        Ok(wanted.is_some() && wanted.as_ref() == label)
    }

    /// Waits until the controller knows the StatefulSet as it is now: until then it makes pods as they were before.
    async fn until_observed(&self) -> Result<()> {
        let end = Instant::now() + OBSERVED;
        loop {
            let set = self.stateful_set().await?;
            let seen = set.status.and_then(|status| status.observed_generation);
            if seen >= set.metadata.generation {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(Error::Refused(format!(
                    "the controller did not look at StatefulSet {} within {}s: is the controller manager running?",
                    self.layout.set,
                    OBSERVED.as_secs()
                )));
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until the member's server answers `sys/seal-status`, sealed or not, in a pod other than `old`.
    async fn until_answers(&self, member: &str, old: Option<&str>) -> Result<()> {
        let node = self.http_node(member)?;
        let end = Instant::now() + ANSWERS;
        loop {
            let last = match self.answers(member, &node, old).await {
                Ok(None) => return Ok(()),
                Ok(Some(why)) => why,
                Err(error) if error.is_transient() => error.to_string(),
                Err(error) => return Err(error),
            };
            if Instant::now() >= end {
                let why = format!(
                    "its server did not answer within {}s: {last}",
                    ANSWERS.as_secs()
                );
                return Err(self.did_not(member, why).await);
            }
            sleep(PAUSE).await;
        }
    }

    async fn answers(
        &self,
        member: &str,
        node: &dyn Node,
        old: Option<&str>,
    ) -> Result<Option<String>> {
        let Some(pod) = self.pod(member).await? else {
            return Ok(Some("the pod does not exist yet".to_owned()));
        };
        if pod.metadata.deletion_timestamp.is_some()
            || (old.is_some() && pod.metadata.uid.as_deref() == old)
        {
            return Ok(Some("the old pod is not gone yet".to_owned()));
        }
        if instance_of(&pod, &self.layout.container).is_none() {
            return Ok(Some(reasons::state(&pod, &self.layout.container)));
        }
        Ok(node
            .seal_status()
            .await
            .err()
            .map(|error| error.to_string()))
    }

    /// Scales members away from the lowest of these on, and moves the raft files of these aside.
    pub(super) async fn put_pods_away(&self, members: &[String], label: &str) -> Result<()> {
        self.scale_away(members).await?;
        let moves = members.iter().map(|member| async move {
            self.raft_aside(member, label).await?;
            // A helper that stays would keep the volume on its node.
            self.helper_done(member).await
        });
        try_join_all(moves).await.map(drop)
    }

    /// Scales members away from the lowest of these on, and waits until their pods are gone.
    pub(super) async fn scale_away(&self, members: &[String]) -> Result<()> {
        let mut lowest = u32::MAX;
        for member in members {
            lowest = lowest.min(self.layout.ordinal(member)?);
        }
        if members.is_empty() {
            return Ok(());
        }
        let set = self.stateful_set().await?;
        if spec_replicas(&set) > lowest {
            // First what is wanted, then what is done: a run that is cut off in between loses nothing.
            if noted(&set).is_none() {
                self.note_replicas(Some(spec_replicas(&set))).await?;
            }
            self.scale(lowest).await?;
        }
        let ordinals = lowest..self.options.members.max(spec_replicas(&set));
        let gone: Vec<String> = ordinals.map(|it| self.layout.member(it)).collect();
        // All at once: the controller would take them one by one.
        let stops = gone.iter().map(|member| self.stop_pod(member));
        try_join_all(stops).await?;
        for member in &gone {
            self.mark_renewed(member);
        }
        Ok(())
    }

    /// Empties a member whose server may run, and gives it a new pod at once.
    pub(super) async fn replace_pod_empty(&self, member: &str, label: &str) -> Result<()> {
        self.layout.ordinal(member)?;
        let old = self.pod(member).await?.and_then(|pod| pod.metadata.uid);
        self.raft_aside(member, label).await?;
        if let Some(uid) = &old {
            // What it holds open was moved away: it must not write one more word.
            self.delete_pod(member, uid, AT_ONCE).await?;
            self.until_gone(member, uid).await?;
        }
        self.helper_done(member).await?;
        self.bring_back(self.layout.ordinal(member)?).await?;
        self.until_answers(member, old.as_deref()).await
    }

    /// Scales up again to what was wanted before members were kept away.
    async fn bring_back(&self, ordinal: u32) -> Result<()> {
        let set = self.stateful_set().await?;
        let wanted = noted(&set);
        let replicas = wanted.unwrap_or(0).max(spec_replicas(&set));
        if ordinal >= replicas {
            return Err(Error::Refused(format!(
                "StatefulSet {} has {replicas} replicas: {} is none of them",
                self.layout.set,
                self.layout.member(ordinal)
            )));
        }
        if replicas > spec_replicas(&set) {
            self.scale(replicas).await?;
        }
        if wanted.is_some() {
            self.note_replicas(None).await?;
        }
        Ok(())
    }

    /// Members that were kept away are no more: the release is what it was before. Where that is not another one than it was
    /// just now, nothing but this scales it up again.
    pub(super) async fn release_replicas(&self) -> Result<()> {
        let set = self.stateful_set().await?;
        match (noted(&set), spec_replicas(&set)) {
            (None, _) => Ok(()),
            (Some(_), 0) => self.bring_back(0).await,
            (Some(_), _) => self.note_replicas(None).await,
        }
    }

    /// Forgets what was wanted: the release was changed to something else.
    pub(super) async fn forget_replicas(&self) -> Result<()> {
        if noted(&self.stateful_set().await?).is_some() {
            self.note_replicas(None).await?;
        }
        Ok(())
    }

    async fn note_replicas(&self, replicas: Option<u32>) -> Result<()> {
        let value = replicas.map(|it| it.to_string());
        let patch = serde_json::json!({"metadata": {"annotations": {REPLICAS: value}}});
        let name = &self.layout.set;
        let sets = self.cluster.api::<StatefulSet>();
        call(
            format!("noting the replicas on StatefulSet {name}"),
            sets.patch(name, &PatchParams::apply(MANAGER), &Patch::Merge(&patch)),
        )
        .await
        .map(drop)
    }

    pub(super) async fn scale(&self, replicas: u32) -> Result<()> {
        let patch = serde_json::json!({"spec": {"replicas": replicas}});
        let name = &self.layout.set;
        let sets = self.cluster.api::<StatefulSet>();
        call(
            format!("scaling StatefulSet {name} to {replicas}"),
            sets.patch_scale(name, &PatchParams::apply(MANAGER), &Patch::Merge(&patch)),
        )
        .await
        .map(drop)
    }

    /// Waits until no pod of these ordinals exists: they were scaled away.
    pub(super) async fn until_scaled_away(&self, from: u32) -> Result<()> {
        for ordinal in from..self.options.members {
            let name = self.layout.member(ordinal);
            if let Some(uid) = self.pod(&name).await?.and_then(|pod| pod.metadata.uid) {
                self.until_gone(&name, &uid).await?;
            }
        }
        Ok(())
    }

    /// Why a pod did not do what was awaited, in the pod's own words.
    async fn did_not(&self, member: &str, why: String) -> Error {
        let mut log = reasons::of(&self.cluster, member, &self.layout.container).await;
        log.extend(self.log_tail(member, 5).await.unwrap_or_default());
        Error::DidNotStart {
            member: member.to_owned(),
            why,
            log,
        }
    }
}

/// The replicas that the spec asks for.
pub(super) fn spec_replicas(set: &StatefulSet) -> u32 {
    let replicas = set
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    u32::try_from(replicas).unwrap_or(0)
}

fn noted(set: &StatefulSet) -> Option<u32> {
    set.metadata
        .annotations
        .as_ref()?
        .get(REPLICAS)?
        .parse()
        .ok()
}

/// The replicas that should exist, even while members are kept away.
pub(super) fn wanted_replicas(set: &StatefulSet) -> u32 {
    noted(set).unwrap_or_else(|| spec_replicas(set))
}

/// The status of a pod's container.
pub(super) fn container_status<'pod>(
    pod: &'pod Pod,
    container: &str,
) -> Option<&'pod ContainerStatus> {
    pod.status
        .as_ref()?
        .container_statuses
        .as_ref()?
        .iter()
        .find(|it| it.name == container)
}

/// The container that runs in a pod. A pod that is being deleted counts as long as its container runs.
pub(super) fn instance_of(pod: &Pod, container: &str) -> Option<Instance> {
    let status = container_status(pod, container)?;
    status.state.as_ref()?.running.as_ref()?;
    Some(Instance {
        id: status.container_id.clone()?,
        restarts: u32::try_from(status.restart_count).unwrap_or(0),
    })
}

/// A pod whose server has not run: nothing is gained by another one.
fn never_ran(pod: &Pod, container: &str) -> bool {
    container_status(pod, container).is_none_or(|status| {
        let waits = status
            .state
            .as_ref()
            .is_none_or(|state| state.running.is_none() && state.terminated.is_none());
        waits && status.restart_count == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(state: &serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "bao-0", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"containerStatuses": [
                {"name": "openbao", "image": "x", "imageID": "y", "ready": false, "restartCount": 2,
                 "containerID": "containerd://abc", "state": state}]}
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_runs_as_long_as_its_container_does() {
        let running = pod(&serde_json::json!({"running": {}}));
        let instance = instance_of(&running, "openbao").unwrap();
        assert_eq!(
            (instance.id.as_str(), instance.restarts),
            ("containerd://abc", 2)
        );
        let waiting = pod(&serde_json::json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        assert!(instance_of(&waiting, "openbao").is_none());
        assert!(instance_of(&running, "sidecar").is_none());
    }

    #[test]
    fn members_that_are_kept_away_are_wanted_all_the_same() {
        let mut set: StatefulSet = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "bao"},
            "spec": {"replicas": 0, "selector": {}, "serviceName": "x", "template": {}}
        }))
        .unwrap();
        assert_eq!(wanted_replicas(&set), 0);
        set.metadata.annotations = Some([(REPLICAS.to_owned(), "3".to_owned())].into());
        assert_eq!(wanted_replicas(&set), 3);
    }
}
