//! `bao operator migrate` in a pod of its own on a member's claim: made, followed to its end, and removed.

use std::time::Duration;

use futures_util::future::try_join3;
use futures_util::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::api::{DeleteParams, LogParams, PostParams};
use tokio::time::{Instant, sleep, timeout};

use super::client::{absent_ok, call};
use super::migrator_pod::{FINISH, FOLDER, MIGRATE, Migration, NAME, PREPARE};
use super::platform::KubernetesPlatform;
use super::secrets::{MANAGED_BY, OURS, labels};
use super::{reasons, volume};
use crate::meter::Meter;
use crate::platform::migration::{SILENT, Said};
use crate::platform::{Error, Result};

/// The longest that a part of the pod may take to begin, and the last one to end: a store is synced then.
const PATIENCE: Duration = Duration::from_mins(5);
const GONE: Duration = Duration::from_mins(1);
/// Seconds that a kubelet takes to end a pod or to start one, at least, as seen.
pub(super) const POD: f64 = 1.4;
/// How many starts of a server the pod takes beside what `bao` does in it, as seen.
pub(super) const STARTS: f64 = 2.5;
const PAUSE: Duration = Duration::from_millis(250);

impl KubernetesPlatform {
    /// Scales the member away and migrates its tree.
    pub(super) async fn migrate(&self, member: &str, label: &str, meter: &dyn Meter) -> Result<()> {
        let on_pebbledb = self.on_pebbledb(member).await?;
        self.discard_migrator().await?;
        let pod = self.migrator(member, label, on_pebbledb).await?;
        let away = [member.to_owned()];
        if pod.spec.as_ref().is_none_or(|it| it.affinity.is_none()) {
            // It would keep the volume on its node.
            self.helper_done(member).await?;
        }
        let migrated = async {
            let pods = self.cluster.api::<Pod>();
            let doing = format!("creating pod {NAME}");
            call(doing, pods.create(&PostParams::default(), &pod)).await?;
            self.until_migrated(meter).await
        };
        // A sealed server writes nothing: it need not be gone before its data is read. Nor need a helper pod, on the same node.
        let looked = Box::pin(self.helper_done(member));
        try_join3(self.scale_away(&away), looked, migrated).await?;
        self.discard_migrator().await
    }

    async fn until_migrated(&self, meter: &dyn Meter) -> Result<()> {
        let (mut said, mut begun, mut since) = (Said::default(), false, Instant::now());
        loop {
            let Some(pod) = self.pod(NAME).await? else {
                return Err(said.failed(&format!("its pod {NAME} was deleted")));
            };
            let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
            match phase {
                Some("Succeeded") => return Ok(()),
                Some("Failed") => return Err(self.ended_badly(&pod, said, meter).await),
                _ => {}
            }
            if state_of(&pod, MIGRATE).is_some_and(|it| it.running.is_some()) {
                self.follow(&mut said, begun, meter).await?;
                (begun, since) = (true, Instant::now());
            } else if since.elapsed() >= PATIENCE {
                let words = reasons::of(&self.cluster, NAME, FINISH).await.join("; ");
                let why = format!("its pod {NAME} does not go on: {words}");
                return Err(said.failed(&why));
            } else {
                meter.waiting(&reasons::state(&pod, FINISH));
            }
            sleep(PAUSE).await;
        }
    }

    /// Hears what it says until its log ends or breaks off. With `again` only what is new.
    async fn follow(&self, said: &mut Said, again: bool, meter: &dyn Meter) -> Result<()> {
        let params = LogParams {
            container: Some(MIGRATE.to_owned()),
            follow: true,
            tail_lines: again.then_some(0),
            ..LogParams::default()
        };
        let pods = self.cluster.api::<Pod>();
        // What it comes to, the pod's state tells.
        let Ok(log) = pods.log_stream(NAME, &params).await else {
            return Ok(());
        };
        let mut lines = log.lines();
        loop {
            match timeout(SILENT, lines.try_next()).await {
                Ok(Ok(Some(line))) => said.hear(line, meter),
                Ok(Ok(None) | Err(_)) => return Ok(()),
                Err(_) => {
                    self.discard_migrator().await?;
                    return Err(std::mem::take(said).silent());
                }
            }
        }
    }

    async fn ended_badly(&self, pod: &Pod, mut said: Said, meter: &dyn Meter) -> Error {
        let ended = [PREPARE, MIGRATE, FINISH].into_iter().find_map(|name| {
            let ended = state_of(pod, name)?.terminated.as_ref()?;
            (ended.exit_code != 0).then_some((name, ended))
        });
        let Some((name, ended)) = ended else {
            let message = pod.status.as_ref().and_then(|it| it.message.as_deref());
            return said.failed(message.unwrap_or("its pod failed"));
        };
        let log = self.log_of(NAME, name, 5).await.unwrap_or_default();
        for line in log {
            said.hear(line, meter);
        }
        said.failed(&format!(
            "`{name}` of its pod {NAME} ended with code {}: {}",
            ended.exit_code,
            ended.reason.as_deref().unwrap_or("no reason given")
        ))
    }

    /// Removes the pod, and then what it has half written.
    pub(super) async fn discard_half(&self, member: &str) -> Result<()> {
        self.layout.ordinal(member)?;
        self.discard_migrator().await?;
        volume::remove_folder(&self.site, member, FOLDER).await?;
        // A helper that stays would keep the volume on its node.
        self.helper_done(member).await
    }

    /// Removes the pod, and waits until nothing of it runs any more. What it has half written the next one removes.
    async fn discard_migrator(&self) -> Result<()> {
        let pods = self.cluster.api::<Pod>();
        let end = Instant::now() + GONE;
        let mut asked = false;
        while let Some(found) = self.pod(NAME).await? {
            let labels = found.metadata.labels.unwrap_or_default();
            if labels.get(MANAGED_BY).map(String::as_str) != Some(OURS) {
                return Err(Error::Refused(format!(
                    "pod {NAME} stands there and is not of this tool; move it away and resume"
                )));
            }
            if !asked {
                let params = DeleteParams::default().grace_period(1);
                let doing = format!("deleting pod {NAME}");
                absent_ok(call(doing, pods.delete(NAME, &params)).await)?;
                asked = true;
            } else if Instant::now() >= end {
                return Err(Error::Refused(format!(
                    "pod {NAME} did not go within {}s",
                    GONE.as_secs()
                )));
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn migrator(&self, member: &str, label: &str, on_pebbledb: bool) -> Result<Pod> {
        let set = self.stateful_set().await?;
        let config = self.server_config().await?;
        let (template_claim, _) = self.layout.claim_of(&config.path)?;
        let server = self.pod(member).await?;
        Migration {
            template: &set.spec.map(|spec| spec.template).unwrap_or_default(),
            config: &config,
            member,
            service: &self.layout.service,
            template_claim,
            claim: &self.site.claim(member),
            helper_image: self.options.helper_image.as_deref(),
            node: server.and_then(|server| server.spec?.node_name).as_deref(),
            label,
            on_pebbledb,
        }
        .pod(labels(&self.options.release))
    }
}

/// The state of one of the pod's containers.
fn state_of<'pod>(pod: &'pod Pod, container: &str) -> Option<&'pod ContainerState> {
    let status = pod.status.as_ref()?;
    let all = status.init_container_statuses.iter().flatten();
    all.chain(status.container_statuses.iter().flatten())
        .find(|it| it.name == container)?
        .state
        .as_ref()
}
