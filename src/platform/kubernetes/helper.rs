//! Where shell commands run beside a member's data: in the server's own container when that has the programs, else
//! in a helper pod that mounts the same claim on the same node.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use kube::api::{DeleteParams, PostParams};
use tokio::time::{Instant, sleep};

use super::client::{Cluster, absent_ok, call, there_ok};
use super::exec::Shell;
use super::helper_pod::{self, Made};
use super::secrets::{MANAGED_BY, OURS, labels};
use crate::platform::{Error, Result};

/// What the scripts need beside a POSIX shell.
const PROGRAMS: [&str; 9] = [
    "tar",
    "sha256sum",
    "find",
    "xargs",
    "stat",
    "df",
    "dd",
    "head",
    "sync",
];
/// The volume claim template of the chart, where none is named.
const CLAIM: &str = "data";
/// The longest that a helper pod may take to run: an image has to be pulled, perhaps.
const START: Duration = Duration::from_mins(3);
/// The longest that it may take to go.
const GONE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(500);

/// What is chosen for the whole run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The image of helper pods; `None` for the server's own.
    pub helper_image: Option<String>,
    /// A dry run: no helper pod is made.
    pub look_only: bool,
    /// The release, a label of helper pods.
    pub release: String,
    /// The volume claim template of the data; `None` for the chart's `data`.
    pub claim: Option<String>,
    /// The folder that the storage stanza names; `None` when it is where the claim is mounted.
    pub data: Option<String>,
}

/// The claims of a release and the pods that can look into them.
#[derive(Debug)]
pub struct Site {
    cluster: Cluster,
    statefulset: String,
    options: Options,
    /// Members' containers by identity, and whether they have the programs.
    known: Mutex<HashMap<String, bool>>,
}

/// A shell that sees a member's data.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where commands run.
    pub shell: Shell,
    /// The data folder there.
    pub data: String,
}

impl Site {
    /// Nothing is called yet.
    pub fn new(cluster: &Cluster, statefulset: &str, options: Options) -> Self {
        Self {
            cluster: cluster.clone(),
            statefulset: statefulset.to_owned(),
            options,
            known: Mutex::default(),
        }
    }

    /// The name of a member's helper pod.
    pub fn helper_of(member: &str) -> String {
        format!("baoctl-volume-{member}")
    }

    /// The shell beside a member's data; `None` when the member has no claim, or one that was never bound to a
    /// volume. Unless this is a dry run, it makes a helper pod where the server's container cannot be used; one that
    /// is there already is used again.
    pub fn place<'a>(&'a self, member: &'a str) -> BoxFuture<'a, Result<Option<Place>>> {
        // Pods are large, and so is a future that looks at some.
        Box::pin(self.found(member, false))
    }

    /// The shell of the member's helper pod, whatever the server's container has: it has a folder of its own, for as long as it
    /// runs.
    pub fn helper<'a>(&'a self, member: &'a str) -> BoxFuture<'a, Result<Option<Place>>> {
        Box::pin(self.found(member, true))
    }

    async fn found(&self, member: &str, apart: bool) -> Result<Option<Place>> {
        let claim = self.claim(member);
        if !self.bound(&claim).await? {
            return Ok(None);
        }
        let pod = self.pod(member).await?;
        let running = pod
            .as_ref()
            .and_then(|pod| helper_pod::container_with(pod, &claim));
        if !apart
            && let Some(own) = &running
            && self.has_programs(member, own).await?
        {
            return Ok(Some(self.at(member, own)));
        }
        let node = pod
            .as_ref()
            .and_then(|pod| pod.spec.as_ref()?.node_name.clone());
        if self.options.look_only {
            if apart {
                // Not in a run's pod either, which has its own laid out.
                return Err(unseen(
                    member,
                    "a store of pebbledb is laid out as a tree in a helper pod",
                ));
            }
            let why = if running.is_some() {
                format!(
                    "the image of pod {member} has no shell with {}",
                    PROGRAMS.join(", ")
                )
            } else {
                format!("pod {member} does not run")
            };
            return self.look_only(member, &claim, &why).await.map(Some);
        }
        let level = match &running {
            Some(own) => self.selinux_level(member, own).await?,
            None => None,
        };
        let made = self.made(member, &claim, node.as_deref(), level);
        made.await.map(Some)
    }

    /// Removes a member's helper pod and waits until it is gone; absent is fine.
    pub async fn done(&self, member: &str) -> Result<()> {
        let name = Self::helper_of(member);
        match self.pod(&name).await? {
            Some(found) => {
                self.ours(&found, &name, &self.claim(member))?;
                self.delete(&name).await
            }
            None => Ok(()),
        }
    }

    /// Runs this pod as the member's helper, and tells the node that it runs on. One that is there is used where it is such a
    /// pod; one that does not come is removed.
    pub(super) async fn run(&self, member: &str, pod: &Pod) -> Result<String> {
        let (name, claim) = (Self::helper_of(member), self.claim(member));
        let there = self.pod(&name).await?;
        let such = there.is_some_and(|it| {
            it.metadata.labels == pod.metadata.labels && helper_pod::usable(&it, None)
        });
        if !such {
            self.done(member).await?;
            let pods = self.cluster.api::<Pod>();
            let doing = format!("creating helper pod {name}");
            there_ok(call(doing, pods.create(&PostParams::default(), pod)).await)?;
        }
        if let Err(why) = self.awaited(&name, &claim).await? {
            self.done(member).await?;
            return Err(Error::Refused(format!(
                "{member} could not run in the outage: a pod like its own, {name}, did not come: {why}"
            )));
        }
        let node = self.pod(&name).await?.and_then(|pod| pod.spec?.node_name);
        node.ok_or_else(|| self.useless(&name, "it is gone"))
    }

    fn template_claim(&self) -> &str {
        self.options.claim.as_deref().unwrap_or(CLAIM)
    }

    /// The name of a member's claim.
    pub(super) fn claim(&self, member: &str) -> String {
        format!("{}-{member}", self.template_claim())
    }

    async fn bound(&self, claim: &str) -> Result<bool> {
        let claims = self.cluster.api::<PersistentVolumeClaim>();
        let found = absent_ok(call(format!("reading claim {claim}"), claims.get(claim)).await)?;
        let phase = found.and_then(|found| found.status?.phase);
        match phase.as_deref() {
            None | Some("Pending") => Ok(false),
            Some("Bound") => Ok(true),
            Some(phase) => Err(Error::Refused(format!(
                "the claim {claim} is {phase}: its volume is gone; see `kubectl -n {} describe pvc {claim}`",
                self.cluster.namespace()
            ))),
        }
    }

    async fn pod(&self, name: &str) -> Result<Option<Pod>> {
        let pods = self.cluster.api::<Pod>();
        absent_ok(call(format!("reading pod {name}"), pods.get(name)).await)
    }

    fn at(&self, pod: &str, made: &Made) -> Place {
        Place {
            shell: Shell::new(&self.cluster, pod, &made.container),
            data: self
                .options
                .data
                .clone()
                .unwrap_or_else(|| made.mount.clone()),
        }
    }

    async fn has_programs(&self, pod: &str, own: &Made) -> Result<bool> {
        let known = |known: &Mutex<HashMap<String, bool>>| {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&own.identity).copied()
        };
        if let Some(has) = known(&self.known) {
            return Ok(has);
        }
        let shell = Shell::new(&self.cluster, pod, &own.container);
        let has = shell.has(&PROGRAMS).await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(own.identity.clone(), has);
        Ok(has)
    }

    /// A helper that an earlier run left is as good as one's own.
    async fn look_only(&self, member: &str, claim: &str, why: &str) -> Result<Place> {
        let name = Self::helper_of(member);
        if let Some(found) = self.pod(&name).await?
            && self.ours(&found, &name, claim).is_ok()
            && let Some(made) = helper_pod::container_with(&found, claim)
        {
            return Ok(self.at(&name, &made));
        }
        Err(unseen(member, why))
    }

    /// The level of a container's `SELinux` label, where there is one. A pod beside it must have the same: the runtime labels the
    /// volume anew for a pod that mounts it with another, and the server could read its own files no more.
    async fn selinux_level(&self, pod: &str, own: &Made) -> Result<Option<String>> {
        const LABEL: &str = "read -r it 2>/dev/null </proc/self/attr/current; printf %s \"$it\"";
        let shell = Shell::new(&self.cluster, pod, &own.container);
        if !shell.present().await? {
            return Ok(None);
        }
        let label = shell.run(LABEL, &[]).await?;
        Ok(helper_pod::level_of(&String::from_utf8_lossy(&label)))
    }

    async fn made(
        &self,
        member: &str,
        claim: &str,
        node: Option<&str>,
        level: Option<String>,
    ) -> Result<Place> {
        let name = Self::helper_of(member);
        let mut tries = 0;
        loop {
            if let Some(found) = self.pod(&name).await? {
                self.ours(&found, &name, claim)?;
                if helper_pod::usable(&found, node) {
                    return self.until_running(&name, claim).await;
                }
                self.delete(&name).await?;
            }
            let template = self.template().await?;
            let pod = helper_pod::build(
                &template,
                &name,
                self.template_claim(),
                claim,
                node,
                self.options.helper_image.as_deref(),
            )?;
            let mut pod = helper_pod::with_room(pod, &template);
            helper_pod::at_level(&mut pod, level.as_deref());
            pod.metadata.labels = Some(labels(&self.options.release));
            let pods = self.cluster.api::<Pod>();
            let made = call(
                format!("creating helper pod {name}"),
                pods.create(&PostParams::default(), &pod),
            )
            .await;
            match made {
                Ok(_) => return self.until_running(&name, claim).await,
                // Created meanwhile, or by a call whose answer was lost: it is looked at like any other.
                Err(Error::Cluster {
                    status: Some(409), ..
                }) if tries < 3 => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn template(&self) -> Result<PodTemplateSpec> {
        let sets = self.cluster.api::<StatefulSet>();
        let doing = format!("reading StatefulSet {}", self.statefulset);
        let found = call(doing, sets.get(&self.statefulset)).await?;
        found.spec.map(|spec| spec.template).ok_or_else(|| {
            Error::Refused(format!("the StatefulSet {} has no spec", self.statefulset))
        })
    }

    async fn until_running(&self, name: &str, claim: &str) -> Result<Place> {
        let made = self.awaited(name, claim).await?;
        let made = made.map_err(|why| self.useless(name, &why))?;
        Ok(self.at(name, &made))
    }

    /// The pod's container once it runs, or why it does not.
    async fn awaited(&self, name: &str, claim: &str) -> Result<std::result::Result<Made, String>> {
        let started = Instant::now();
        loop {
            let seen = match &self.pod(name).await? {
                Some(pod) => {
                    if let Some(made) = helper_pod::container_with(pod, claim) {
                        return Ok(Ok(made));
                    }
                    match helper_pod::hopeless(pod) {
                        Ok(seen) => seen,
                        Err(why) => return Ok(Err(why)),
                    }
                }
                None => "it is not there".to_owned(),
            };
            if started.elapsed() >= START {
                return Ok(Err(seen));
            }
            sleep(PAUSE).await;
        }
    }

    fn useless(&self, name: &str, why: &str) -> Error {
        Error::Refused(format!(
            "the helper pod {name} does not run: {why}; see `kubectl -n {} describe pod {name}`, and name an image with a shell, tar and sha256sum with --helper-image if the image is the reason",
            self.cluster.namespace()
        ))
    }

    /// Nothing of somebody else's is used or removed.
    fn ours(&self, pod: &Pod, name: &str, claim: &str) -> Result<()> {
        if helper_pod::is_ours(pod, claim) {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "the pod {name} in namespace {} is not this tool's (it lacks the label {}={} or the claim {claim}); remove or rename it",
            self.cluster.namespace(),
            MANAGED_BY,
            OURS,
        )))
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let pods = self.cluster.api::<Pod>();
        let params = DeleteParams::default().grace_period(1);
        let doing = format!("deleting helper pod {name}");
        absent_ok(call(&doing, pods.delete(name, &params)).await)?;
        let started = Instant::now();
        while self.pod(name).await?.is_some() {
            if started.elapsed() >= GONE {
                return Err(Error::Cluster {
                    doing,
                    why: format!(
                        "it is still there after {}s; is its node gone? See `kubectl -n {} get pod {name} -o wide`",
                        GONE.as_secs(),
                        self.cluster.namespace()
                    ),
                    status: None,
                });
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }
}

fn unseen(member: &str, why: &str) -> Error {
    Error::Refused(format!(
        "the volume of {member} cannot be looked at: {why}, and a look alone makes no such pod; a run makes one, and one with \
         `--until snapshot` checks everything and seals nothing"
    ))
}
