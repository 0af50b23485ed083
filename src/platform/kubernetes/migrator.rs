//! `bao operator migrate` in a pod of its own on a member's claim: the release's image between two scripts, one that links
//! the tree together before it and one that puts the store in its place after it.

use std::time::Duration;

use futures_util::future::try_join;
use futures_util::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::{
    Affinity, Container, ContainerState, NodeAffinity, NodeSelector, NodeSelectorRequirement,
    NodeSelectorTerm, Pod, PodTemplateSpec, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{DeleteParams, LogParams, PostParams};
use tokio::time::{Instant, sleep, timeout};

use super::client::{absent_ok, call};
use super::config::{ServerConfig, quoted};
use super::form::reachable;
use super::layout::{CLUSTER_ADDRESS, POD, first_env, server_of, with_pod};
use super::platform::KubernetesPlatform;
use super::secrets::{MANAGED_BY, OURS, labels};
use super::{helper_pod, reasons};
use crate::meter::Meter;
use crate::platform::migration::{SILENT, Said};
use crate::platform::{Error, Result};

const NAME: &str = "baoctl-migrate";
const PREPARE: &str = "prepare";
const MIGRATE: &str = "migrate";
const FINISH: &str = "finish";
/// The folder of a run's migration in the data folder; names that begin so are in no copy of the tree.
const FOLDER: &str = ".baoctl-migrate";
/// The longest that a part of the pod may take to begin, and the last one to end: a store is synced then.
const PATIENCE: Duration = Duration::from_mins(5);
const GONE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(250);

const LINK_TREE: &str = concat!(
    "folder=$2 config=$3\n",
    include_str!("scripts/tops.sh"),
    "set -eu\n",
    include_str!("scripts/link_tree.sh")
);
const PUT_IN_PLACE: &str = concat!(
    include_str!("scripts/synced.sh"),
    // It ends where there is nothing to move.
    "set -e\n(\n",
    include_str!("scripts/set_aside.sh"),
    ")\n",
    include_str!("scripts/put_in_place.sh")
);

impl KubernetesPlatform {
    /// Scales the member away and migrates its tree.
    pub(super) async fn migrate(&self, member: &str, label: &str, meter: &dyn Meter) -> Result<()> {
        // It would keep the volume on its node.
        self.helper_done(member).await?;
        self.discard_migrator().await?;
        let pod = self.migrator(member, label).await?;
        let away = [member.to_owned()];
        let migrated = async {
            let pods = self.cluster.api::<Pod>();
            let doing = format!("creating pod {NAME}");
            call(doing, pods.create(&PostParams::default(), &pod)).await?;
            self.until_migrated(meter).await
        };
        // A sealed server writes nothing: it need not be gone before its tree is read.
        try_join(self.scale_away(&away), migrated).await?;
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

    /// Removes the pod, and waits until nothing of it runs any more. What it has half written the next one removes.
    pub(super) async fn discard_migrator(&self) -> Result<()> {
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

    /// The pod: what makes the server's own pods read the claim comes from their template, what makes them serve or be seen
    /// does not.
    async fn migrator(&self, member: &str, label: &str) -> Result<Pod> {
        let set = self.stateful_set().await?;
        let template = set.spec.map(|spec| spec.template).unwrap_or_default();
        let config = self.server_config().await?;
        let (template_claim, _) = self.layout.claim_of(&config.path)?;
        let claim = self.site.claim(member);
        let build = |image| helper_pod::build(&template, NAME, template_claim, &claim, None, image);
        let mut pod = build(self.options.helper_image.as_deref())?;
        let server = self.pod(member).await?;
        let node = server.and_then(|server| server.spec?.node_name);
        pod.metadata.labels = Some(labels(&self.options.release));

        let address = self.cluster_address(&template, &config, member);
        let folder = format!("{FOLDER}/{label}");
        let place = format!("{}/{folder}", config.path);
        let text = migration(&config, member, &address, &place);
        let command = |words: &[&str]| Some(words.iter().map(|it| (*it).to_owned()).collect());
        let helper = first_container(&pod);
        let script = |name: &str, script: &str, args: [&str; 2]| Container {
            name: name.to_owned(),
            command: command(&["sh", "-c", script, "sh", &config.path, args[0], args[1]]),
            ..helper.clone()
        };
        let file = format!("-config={place}/config.hcl");
        let bao = Container {
            name: MIGRATE.to_owned(),
            command: command(&["bao", "operator", "migrate", &file]),
            resources: limits_of(&template),
            ..first_container(&build(None)?)
        };
        if let Some(spec) = &mut pod.spec {
            spec.init_containers = Some(vec![script(PREPARE, LINK_TREE, [&folder, &text]), bao]);
            spec.containers = vec![script(FINISH, PUT_IN_PLACE, [label, &folder])];
            spec.affinity = node.as_deref().map(on_node);
        }
        Ok(pod)
    }

    /// Where the other members will find this one: its server does not change what stands in the store.
    fn cluster_address(
        &self,
        template: &PodTemplateSpec,
        config: &ServerConfig,
        member: &str,
    ) -> String {
        let given = server_of(template).and_then(|server| {
            let address = first_env(server, &CLUSTER_ADDRESS)?;
            Some(with_pod(server, &address).replace(POD, member))
        });
        given
            .or_else(|| config.cluster_addr.clone())
            .filter(|it| reachable(it) && !it.contains("$(") && !it.contains("HOSTNAME"))
            .unwrap_or_else(|| format!("https://{member}.{}:8201", self.layout.service))
    }
}

fn first_container(pod: &Pod) -> Container {
    let spec = pod.spec.as_ref();
    let first = spec.and_then(|spec| spec.containers.first());
    first.cloned().unwrap_or_default()
}

/// Where the server's pod is, the volume is as well. The scheduler has the say, so that there is room for it there.
fn on_node(name: &str) -> Affinity {
    let here = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![name.to_owned()]),
    };
    let term = NodeSelectorTerm {
        match_fields: Some(vec![here]),
        ..NodeSelectorTerm::default()
    };
    Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: vec![term],
            }),
            ..NodeAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// The server's limits, and little asked for: its own pod may still be there.
fn limits_of(template: &PodTemplateSpec) -> Option<ResourceRequirements> {
    let mut resources = server_of(template)?.resources.clone()?;
    let little = [("cpu", "10m"), ("memory", "32Mi")];
    let little = little.map(|(of, much)| (of.to_owned(), Quantity(much.to_owned())));
    resources.requests = Some(little.into());
    Some(resources)
}

/// What `bao operator migrate` is told.
fn migration(config: &ServerConfig, member: &str, address: &str, place: &str) -> String {
    let entry_size = config.max_entry_size.map_or_else(String::new, |size| {
        format!("  max_entry_size = \"{size}\"\n")
    });
    format!(
        "storage_source \"file\" {{\n  path = {}\n}}\n\nstorage_destination \"raft\" {{\n  path = {}\n  node_id = {}\n  \
         performance_multiplier = \"1\"\n{entry_size}}}\n\ncluster_addr = {}\n",
        quoted(&format!("{place}/source")),
        quoted(&format!("{place}/store")),
        quoted(member),
        quoted(address),
    )
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn run(script: &str, args: &[&str]) -> bool {
        let status = Command::new("sh")
            .args(["-c", script, "sh"])
            .args(args)
            .status();
        status.unwrap().success()
    }

    fn put(data: &Path, file: &str) {
        let file = data.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "x").unwrap();
    }

    #[test]
    fn the_scripts_show_the_tree_without_its_tombstone_and_put_the_store_in_place() {
        let work = tempfile::tempdir().unwrap();
        let data = work.path().join("data");
        for file in [
            "core/_keyring",
            "core/_migration",
            "core/wal/_one",
            "core/.dotted/_x",
            "logical/a b/_x",
            "_top",
            "raft-aside-x/vault.db",
            ".baoctl-migrate/earlier/store/vault.db",
        ] {
            put(&data, file);
        }
        let folder = ".baoctl-migrate/run";
        let text = "path = \"x\"\n";
        let path = data.to_str().unwrap();
        assert!(run(LINK_TREE, &[path, folder, text]));
        let made = data.join(folder);
        let source = made.join("source");
        for there in [
            "core/_keyring",
            "core/wal/_one",
            "core/.dotted/_x",
            "logical/a b/_x",
            "_top",
        ] {
            assert!(source.join(there).exists(), "{there}");
        }
        for gone in ["core/_migration", "raft-aside-x", ".baoctl-migrate"] {
            assert!(!source.join(gone).exists(), "{gone}");
        }
        assert_eq!(fs::read_to_string(made.join("config.hcl")).unwrap(), text);
        assert!(!data.join(".baoctl-migrate/earlier").exists());
        put(&source, "core/_lock");
        assert!(!data.join("core/_lock").exists());

        // Without a store nothing is moved into its place.
        assert!(!run(PUT_IN_PLACE, &[path, "run", folder]));
        assert!(!data.join("vault.db").exists());
        // What an earlier try put there is kept.
        put(&data, "vault.db");
        put(&data, "raft/earlier");
        put(&made, "store/vault.db");
        put(&made, "store/raft/raft.db");
        assert!(run(PUT_IN_PLACE, &[path, "run", folder]));
        assert!(data.join("vault.db").exists() && data.join("raft/raft.db").exists());
        assert!(data.join("raft-aside-run/raft/earlier").exists());
        assert!(!data.join(".baoctl-migrate").exists());
        assert!(data.join("core/_migration").exists());
    }

    #[test]
    fn bao_is_told_source_store_and_peer() {
        let text = "storage \"raft\" {\n  path = \"/d\"\n  max_entry_size = \"4194304\"\n}\n";
        let config = ServerConfig::parse(text).unwrap();
        let told = migration(&config, "bao-0", "https://bao-0.bao-internal:8201", "/d/.x");
        for line in [
            "path = \"/d/.x/source\"",
            "path = \"/d/.x/store\"",
            "node_id = \"bao-0\"",
            "max_entry_size = \"4194304\"",
            "cluster_addr = \"https://bao-0.bao-internal:8201\"",
        ] {
            assert!(told.contains(line), "{told}");
        }
    }
}
