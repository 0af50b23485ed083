//! The pod of `bao operator migrate`: the release's image between two scripts, one that links the tree together before it, or
//! copies the store, and one that puts the store in its place after it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Container, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm,
    Pod, PodTemplateSpec,
};

use super::config::{ServerConfig, quoted};
use super::form::reachable;
use super::helper_pod;
use super::layout::{CLUSTER_ADDRESS, POD, first_env, server_of, with_pod};
use crate::platform::Result;
use crate::platform::migration::AT_ONCE;

pub(super) const NAME: &str = "baoctl-migrate";
pub(super) const PREPARE: &str = "prepare";
pub(super) const MIGRATE: &str = "migrate";
pub(super) const FINISH: &str = "finish";
/// The folder of a run's migration in the data folder; names that begin so are in no copy of the tree.
pub(super) const FOLDER: &str = ".baoctl-migrate";

const LINK_TREE: &str = concat!(
    "folder=$2 config=$3\n",
    include_str!("scripts/tops.sh"),
    "set -eu\n",
    include_str!("scripts/link_tree.sh")
);
const COPY_STORE: &str = concat!(
    "folder=$2 config=$3\nset -eu\n",
    include_str!("scripts/store.sh"),
    include_str!("scripts/copy_store.sh")
);
const PUT_IN_PLACE: &str = concat!(
    include_str!("scripts/synced.sh"),
    // It ends where there is nothing to move.
    "set -e\n(\n",
    include_str!("scripts/set_aside.sh"),
    ")\n",
    include_str!("scripts/put_in_place.sh")
);

/// A migration of a member's tree, on the release as it is now.
pub(super) struct Migration<'a> {
    pub template: &'a PodTemplateSpec,
    /// On raft.
    pub config: &'a ServerConfig,
    pub member: &'a str,
    /// The headless Service.
    pub service: &'a str,
    /// The volume claim template of the data, and the member's claim.
    pub template_claim: &'a str,
    pub claim: &'a str,
    /// Another image for the scripts.
    pub helper_image: Option<&'a str>,
    /// The node of the member's pod.
    pub node: Option<&'a str>,
    /// Names what it makes.
    pub label: &'a str,
    /// The data is in a store of `pebbledb` and in no tree.
    pub on_pebbledb: bool,
}

impl Migration<'_> {
    /// The pod: what makes the server's own pods read the claim comes from their template, what makes them serve or be seen
    /// does not.
    pub fn pod(&self, labels: BTreeMap<String, String>) -> Result<Pod> {
        let build = |image| {
            helper_pod::build(
                self.template,
                NAME,
                self.template_claim,
                self.claim,
                None,
                image,
            )
        };
        let mut pod = build(self.helper_image)?;
        pod.metadata.labels = Some(labels);
        let data = &self.config.path;
        let folder = format!("{FOLDER}/{}", self.label);
        let text = self.told(&format!("{data}/{folder}"));
        let command = |words: &[&str]| Some(words.iter().map(|it| (*it).to_owned()).collect());
        let helper = helper_pod::first_container(&pod);
        let script = |name: &str, script: &str, args: [&str; 2]| Container {
            name: name.to_owned(),
            command: command(&["sh", "-c", script, "sh", data, args[0], args[1]]),
            ..helper.clone()
        };
        let file = format!("-config={data}/{folder}/config.hcl");
        let bao = Container {
            name: MIGRATE.to_owned(),
            command: command(&["bao", "operator", "migrate", AT_ONCE, &file]),
            resources: helper_pod::limits_of(self.template),
            ..helper_pod::first_container(&build(None)?)
        };
        if let Some(spec) = &mut pod.spec {
            let prepare = if self.on_pebbledb {
                COPY_STORE
            } else {
                LINK_TREE
            };
            spec.init_containers = Some(vec![script(PREPARE, prepare, [&folder, &text]), bao]);
            spec.containers = vec![script(FINISH, PUT_IN_PLACE, [self.label, &folder])];
            spec.affinity = self.node.map(on_node);
        }
        Ok(pod)
    }

    /// What `bao` is told of a migration in this folder.
    fn told(&self, folder: &str) -> String {
        let entry_size = self.config.max_entry_size;
        let entry_size = entry_size.map_or_else(String::new, |size| {
            format!("  max_entry_size = \"{size}\"\n")
        });
        format!(
            "storage_source {} {{\n  path = {}\n}}\n\nstorage_destination \"raft\" {{\n  path = {}\n  node_id = {}\n  \
             performance_multiplier = \"1\"\n{entry_size}}}\n\ncluster_addr = {}\n",
            quoted(if self.on_pebbledb { "pebbledb" } else { "file" }),
            quoted(&format!("{folder}/source")),
            quoted(&format!("{folder}/store")),
            quoted(self.member),
            quoted(&self.address()),
        )
    }

    /// Where the other members will find this one: its server does not change what stands in the store.
    fn address(&self) -> String {
        let given = server_of(self.template).and_then(|server| {
            let address = first_env(server, &CLUSTER_ADDRESS)?;
            Some(with_pod(server, &address).replace(POD, self.member))
        });
        given
            .or_else(|| self.config.cluster_addr.clone())
            .filter(|it| reachable(it) && !it.contains("$(") && !it.contains("HOSTNAME"))
            .unwrap_or_else(|| format!("https://{}.{}:8201", self.member, self.service))
    }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::super::volume::REMOVE_FOLDER;
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
        // What it is made of is the tree's own.
        for _ in 0..2 {
            assert!(run(REMOVE_FOLDER, &[path, FOLDER]));
            assert!(!data.join(FOLDER).exists() && data.join("core/_keyring").exists());
        }
        assert!(run(LINK_TREE, &[path, folder, text]));

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
    fn a_store_is_copied_without_its_tombstone() {
        let work = tempfile::tempdir().unwrap();
        let data = work.path().join("data");
        for file in [
            "000002.log",
            "000008.sst",
            "CURRENT",
            "LOCK",
            "MANIFEST-000001",
            "marker.format-version.000001.013",
            "marker.format-version.999999.moved-to-raft",
            "vault.db",
            "raft/raft.db",
            "notes.txt",
        ] {
            put(&data, file);
        }
        let folder = ".baoctl-migrate/run";
        assert!(run(COPY_STORE, &[data.to_str().unwrap(), folder, "told"]));
        let made = data.join(folder);
        let mut copied: Vec<_> = fs::read_dir(made.join("source"))
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        copied.sort();
        assert_eq!(
            copied,
            [
                "000002.log",
                "000008.sst",
                "CURRENT",
                "MANIFEST-000001",
                "marker.format-version.000001.013"
            ]
        );
        assert_eq!(fs::read_to_string(made.join("config.hcl")).unwrap(), "told");
        assert!(made.join("store").is_dir());
    }

    #[test]
    fn the_pod_runs_the_servers_program_and_matches_no_service() {
        let template: PodTemplateSpec = serde_json::from_value(serde_json::json!({
            "metadata": {"labels": {"component": "server"}},
            "spec": {"serviceAccountName": "bao", "containers": [{"name": "openbao", "image": "bao:2.6.2",
                "resources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}},
                "env": [
                    {"name": "HOSTNAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "BAO_CLUSTER_ADDR", "value": "https://$(HOSTNAME).bao-internal:8201"}],
                "volumeMounts": [{"name": "data", "mountPath": "/d"}]}]}
        }))
        .unwrap();
        let text = "storage \"raft\" {\n  path = \"/d\"\n  max_entry_size = \"4194304\"\n}\n";
        let config = ServerConfig::parse(text).unwrap();
        let migration = Migration {
            template: &template,
            config: &config,
            member: "bao-0",
            service: "headless",
            template_claim: "data",
            claim: "data-bao-0",
            helper_image: Some("tools"),
            node: Some("n1"),
            label: "run",
            on_pebbledb: false,
        };
        let ours = BTreeMap::from([("ours".to_owned(), "yes".to_owned())]);
        let pod = serde_json::to_value(migration.pod(ours).unwrap()).unwrap();
        assert_eq!(
            pod["metadata"]["labels"],
            serde_json::json!({"ours": "yes"})
        );
        let spec = &pod["spec"];
        assert!(spec.get("serviceAccountName").is_none());
        assert_eq!(spec["restartPolicy"], "Never");
        assert_eq!(
            spec["volumes"][0]["persistentVolumeClaim"]["claimName"],
            "data-bao-0"
        );
        let images = ["initContainers", "containers"].map(|of| {
            let all = spec[of].as_array().unwrap().iter();
            all.map(|it| it["image"].as_str().unwrap())
                .collect::<Vec<_>>()
        });
        assert_eq!(images.concat(), ["tools", "bao:2.6.2", "tools"]);
        let bao = &spec["initContainers"][1];
        let file = "-config=/d/.baoctl-migrate/run/config.hcl";
        assert_eq!(
            bao["command"],
            serde_json::json!(["bao", "operator", "migrate", AT_ONCE, file])
        );
        assert_eq!(bao["resources"]["limits"]["memory"], "1Gi");
        assert_eq!(bao["resources"]["requests"]["memory"], "32Mi");
        assert!(spec["affinity"].to_string().contains("n1"));

        let told = migration.told("/d/.x");
        for line in [
            "storage_source \"file\" {",
            "path = \"/d/.x/source\"",
            "path = \"/d/.x/store\"",
            "node_id = \"bao-0\"",
            "max_entry_size = \"4194304\"",
            "cluster_addr = \"https://bao-0.bao-internal:8201\"",
        ] {
            assert!(told.contains(line), "{told}");
        }
        let of_store = Migration {
            on_pebbledb: true,
            ..migration
        };
        let told = of_store.told("/d/.x");
        assert!(told.starts_with("storage_source \"pebbledb\" {"), "{told}");
        let pod = serde_json::to_value(of_store.pod(BTreeMap::new()).unwrap()).unwrap();
        let prepare = &pod["spec"]["initContainers"][0]["command"][2];
        assert_eq!(prepare, COPY_STORE);
        // An address of the pod itself would be another one after the next restart.
        for bad in ["https://$(POD_IP):8201", "https://0.0.0.0:8201", ""] {
            let mut template = template.clone();
            let server = &mut template.spec.as_mut().unwrap().containers[0];
            server.env.as_mut().unwrap()[1].value = Some(bad.to_owned());
            let address = Migration {
                template: &template,
                ..migration
            }
            .address();
            assert_eq!(address, "https://bao-0.headless:8201", "{bad}");
        }
    }
}
