//! The change of the release to raft by `helm`, tried or done, and the way back.

use std::path::Path;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::ListParams;
use serde_json::{Value, json};
use similar::TextDiff;

use super::client::call;
use super::config::{Peers, ServerConfig, on_raft};
use super::helm::{Chart, Rendered, Values};
use super::layout::{env, server_of};
use super::platform::KubernetesPlatform;
use super::pods::{spec_replicas, wanted_replicas};
use crate::platform::{Error, Flip, FlipPlan, Result, StorageKind};

/// The label by which a Service selects the leader, and the one that names its release.
const ACTIVE: &str = "openbao-active";
const INSTANCE: &str = "app.kubernetes.io/instance";

/// A flip that was tried in this process and found good: it need not be tried again while clients wait.
#[derive(Debug)]
pub(super) struct Rehearsal {
    flip: Flip,
    /// The revision in force at that time.
    revision: u64,
    installed: Chart,
    values: Values,
}

impl KubernetesPlatform {
    /// The members' addresses as they see each other.
    async fn peers(&self, config: &ServerConfig) -> Result<Peers> {
        let services = self.cluster.api::<Service>();
        let all = call("listing Services", services.list(&ListParams::default())).await?;
        let register = all.items.iter().any(|it| {
            let selector = it.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            selector.is_some_and(|selector| {
                selector.contains_key(ACTIVE)
                    && selector.get(INSTANCE) == Some(&self.options.release)
            })
        });
        let scheme = if config.tls { "https" } else { "http" };
        let layout = &self.layout;
        Ok(Peers {
            register,
            addresses: (0..self.options.members)
                .map(|it| {
                    format!(
                        "{scheme}://{}.{}:{}",
                        layout.member(it),
                        layout.service,
                        config.port
                    )
                })
                .collect(),
            ca_file: layout.ca_file.clone().filter(|_| config.tls),
            server_name: layout.common_host().filter(|_| config.tls),
        })
    }

    /// The values of the raft release: the user's own file, else generated from what is in force.
    async fn flip_values(&self, flip: &Flip) -> Result<Values> {
        if let Some(path) = &self.options.values {
            return Ok(Values::Own(path.clone()));
        }
        let values = self.helm.values().await?;
        let live = self.server_config().await?;
        let text = configured(&values)?;
        let config = on_raft(text, flip, &self.peers(&live).await?)?;
        Values::generated(&overlay(&config, flip.replicas))
    }

    fn chart_reference(&self, installed: &Chart) -> Result<&str> {
        self.options.chart.as_deref().ok_or_else(|| {
            Error::Refused(format!(
                "name the release's chart with --chart (a folder, repo/name or oci://...): {} {} is installed, and exactly \
                 that version is needed",
                installed.name, installed.version
            ))
        })
    }

    /// Renders the exact upgrade and refuses one that would change more than the storage, or that no cluster comes of.
    async fn rehearsed(
        &self,
        flip: &Flip,
        set: &StatefulSet,
        revision: u64,
    ) -> Result<(Rehearsal, String)> {
        let installed = self.helm.chart().await?;
        let reference = self.chart_reference(&installed)?;
        let values = self.flip_values(flip).await?;
        let rendered = self
            .helm
            .try_upgrade(reference, &installed.version, &values)
            .await?;
        if rendered.chart != installed {
            return Err(Error::Refused(format!(
                "the chart at {reference} is {} {}, but {} {} is installed: a cutover must not change the version as well; \
                 name the installed one with --chart",
                rendered.chart.name, rendered.chart.version, installed.name, installed.version
            )));
        }
        let new = rendered
            .object("StatefulSet", &self.layout.set)
            .ok_or_else(|| {
                Error::Refused(format!(
                    "the upgrade would render no StatefulSet {}",
                    self.layout.set
                ))
            })?;
        let new: StatefulSet = serde_json::from_value(new.clone()).map_err(|error| {
            Error::Refused(format!("the rendered StatefulSet cannot be read: {error}"))
        })?;
        let found = differences(set, &new, flip.replicas);
        if !found.is_empty() {
            return Err(Error::Refused(format!(
                "the upgrade would change more than the storage: {}",
                found.join("; ")
            )));
        }
        let text = self.rendered_config(&rendered)?;
        self.usable(&rendered, &text)?;
        let rehearsal = Rehearsal {
            flip: flip.clone(),
            revision,
            installed,
            values,
        };
        Ok((rehearsal, text))
    }

    /// Tries the flip.
    pub(super) async fn try_flip(&self, flip: &Flip) -> Result<FlipPlan> {
        let history = self.helm.history().await?;
        if let Some(pending) = history.pending() {
            return Err(Error::Refused(format!(
                "revision {} of the release is {}: another helm is at work, or one died; see `helm history {}`",
                pending.number, pending.status, self.options.release
            )));
        }
        let set = self.stateful_set().await?;
        let before = self.config_text().await?;
        let revision = history.deployed().map_or(0, |it| it.number);
        let (rehearsal, after) = self.rehearsed(flip, &set, revision).await?;
        if ServerConfig::parse(&after)?.audit != ServerConfig::parse(&before)?.audit {
            return Err(Error::Refused(
                "the upgrade would change the audit stanzas: the restored server would loop for ever".to_owned(),
            ));
        }
        let diff = TextDiff::from_lines(&before, &after)
            .unified_diff()
            .header("server configuration (now)", "server configuration (raft)")
            .to_string();
        let installed = &rehearsal.installed;
        let reference = self.chart_reference(installed)?;
        let mut calls =
            vec![
                self.helm
                    .shown_upgrade(reference, &installed.version, &rehearsal.values),
            ];
        calls.push(format!(
            "leave {} as it runs until it is replaced",
            self.layout.member(0)
        ));
        for ordinal in spec_replicas(&set)..flip.replicas {
            calls.push(format!(
                "StatefulSet {} starts {}",
                self.layout.set,
                self.layout.member(ordinal)
            ));
        }
        *self.rehearsal.lock().await = Some(rehearsal);
        Ok(FlipPlan { calls, diff })
    }

    /// Refuses a rendered configuration with which servers cannot make a cluster.
    fn usable(&self, rendered: &Rendered, text: &str) -> Result<()> {
        let config = ServerConfig::parse(text)?;
        if config.kind()? != StorageKind::Raft {
            return Err(Error::Refused(
                "the upgrade would not configure raft storage; look at the values".to_owned(),
            ));
        }
        let set = rendered.object("StatefulSet", &self.layout.set);
        let set: Option<StatefulSet> = set.and_then(|it| serde_json::from_value(it.clone()).ok());
        let container = set
            .as_ref()
            .and_then(|set| server_of(&set.spec.as_ref()?.template));
        let from_env = |names: [&str; 2]| names.iter().find_map(|name| env(container?, name));
        let cluster_addr = from_env(["BAO_CLUSTER_ADDR", "VAULT_CLUSTER_ADDR"])
            .or_else(|| config.cluster_addr.clone());
        if !cluster_addr.as_deref().is_some_and(reachable) {
            return Err(Error::Refused(format!(
                "members could not reach each other: cluster_addr is {}; set BAO_CLUSTER_ADDR to \
                 https://$(HOSTNAME).{}:8201 in the release's values",
                cluster_addr.as_deref().unwrap_or("not set"),
                self.layout.service
            )));
        }
        if config.node_id.is_none()
            && from_env(["BAO_RAFT_NODE_ID", "VAULT_RAFT_NODE_ID"]).is_none()
        {
            return Err(Error::Refused(
                "no member would have a raft node id of its own: set server.ha.raft.setNodeId to true".to_owned(),
            ));
        }
        Ok(())
    }

    fn rendered_config(&self, rendered: &Rendered) -> Result<String> {
        let source = &self.config_source;
        rendered
            .object("ConfigMap", &source.object)
            .and_then(|map| map["data"][&source.key].as_str())
            .map(str::to_owned)
            .ok_or_else(|| {
                Error::Refused(format!(
                    "the upgrade would render no ConfigMap {} with {}",
                    source.object, source.key
                ))
            })
    }

    /// Applies the flip; nothing to do when the release is so already.
    pub(super) async fn do_flip(&self, flip: &Flip) -> Result<()> {
        let mut history = self.helm.settled_history().await?;
        let set = self.stateful_set().await?;
        if history.settled()
            && self.server_config().await?.kind()? == StorageKind::Raft
            && wanted_replicas(&set) == flip.replicas
        {
            return Ok(());
        }
        if history.pending().is_some() {
            // Its helm is dead. Only a rollback is allowed then; the upgrade comes after it, as if it were the first.
            let last = history
                .deployed()
                .ok_or_else(|| Error::Refused("the release was never deployed".to_owned()))?;
            self.helm.rollback(last.number).await?;
            history = self.helm.history().await?;
        }
        if !history.settled() && history.deployed().is_none() {
            return Err(Error::Refused(format!(
                "the release has no deployed revision; see `helm history {}`",
                self.options.release
            )));
        }
        let revision = history.deployed().map_or(0, |it| it.number);
        let tried = self.rehearsal.lock().await.take();
        let rehearsal = match tried {
            Some(tried) if tried.flip == *flip && tried.revision == revision => tried,
            _ => {
                self.rehearsed(flip, &self.stateful_set().await?, revision)
                    .await?
                    .0
            }
        };
        let reference = self.chart_reference(&rehearsal.installed)?;
        self.helm
            .upgrade(reference, &rehearsal.installed.version, &rehearsal.values)
            .await?;
        self.forget_replicas().await
    }

    /// Goes back to an earlier revision.
    pub(super) async fn do_revert(&self, revision: &str) -> Result<()> {
        let number: u64 = revision.trim().parse().map_err(|_| {
            Error::Refused(format!("{revision:?} is no revision of a helm release"))
        })?;
        let history = self.helm.settled_history().await?;
        if !history.is_of(number) {
            self.helm.rollback(number).await?;
        }
        self.forget_replicas().await?;
        let set = self.stateful_set().await?;
        self.until_scaled_away(spec_replicas(&set)).await
    }

    /// The number of the revision in force.
    pub(super) async fn revision(&self) -> Result<String> {
        if let Some(revision) = self.noted_revision().await? {
            return Ok(revision);
        }
        let history = self.helm.history().await?;
        history
            .deployed()
            .map(|it| it.number.to_string())
            .ok_or_else(|| {
                Error::Refused(format!(
                    "the release {} has no deployed revision; see `helm history {}`",
                    self.options.release, self.options.release
                ))
            })
    }
}

impl KubernetesPlatform {
    /// The same from the labels of the Secrets that `helm` keeps by default: faster than the program, and asked for often.
    async fn noted_revision(&self) -> Result<Option<String>> {
        let release = &self.options.release;
        let params =
            ListParams::default().labels(&format!("owner=helm,name={release},status=deployed"));
        let secrets = self.cluster.api::<Secret>();
        let found = call(
            "listing the release's revisions",
            secrets.list_metadata(&params),
        )
        .await?;
        Ok(found
            .items
            .iter()
            .filter_map(|it| {
                it.metadata
                    .labels
                    .as_ref()?
                    .get("version")?
                    .parse::<u64>()
                    .ok()
            })
            .max()
            .map(|revision| revision.to_string()))
    }
}

/// The configuration that the values hold, templates and all: rendering it again must not render what was rendered.
fn configured(values: &Value) -> Result<&str> {
    let server = &values["server"];
    let on = |value: &Value| value == true || value == "true";
    let text = if on(&server["ha"]["enabled"]) && on(&server["ha"]["raft"]["enabled"]) {
        &server["ha"]["raft"]["config"]
    } else {
        &server["standalone"]["config"]
    };
    text.as_str().ok_or_else(|| {
        Error::Refused(
            "the release's values hold no server configuration as text (server.standalone.config); give the values of \
             the raft release with --values"
                .to_owned(),
        )
    })
}

fn overlay(config: &str, replicas: u32) -> Value {
    json!({"server": {
        "standalone": {"enabled": false},
        "ha": {
            "enabled": true,
            "replicas": replicas,
            "raft": {"enabled": true, "setNodeId": true, "config": config}
        }
    }})
}

/// What must be the same before and after, and is not.
fn differences(now: &StatefulSet, new: &StatefulSet, replicas: u32) -> Vec<String> {
    let mut found = Vec::new();
    let image = |set: &StatefulSet| {
        set.spec
            .as_ref()
            .and_then(|spec| server_of(&spec.template)?.image.clone())
            .unwrap_or_default()
    };
    if image(now) != image(new) {
        found.push(format!("the image from {} to {}", image(now), image(new)));
    }
    if spec_replicas(new) != replicas {
        found.push(format!(
            "{} replicas instead of {replicas} (server.ha.replicas must be a number)",
            spec_replicas(new)
        ));
    }
    let strategy = new
        .spec
        .as_ref()
        .and_then(|spec| spec.update_strategy.as_ref()?.type_.clone());
    if strategy.as_deref() != Some("OnDelete") {
        found.push(
            "the update strategy is not OnDelete: the source would be replaced at once".to_owned(),
        );
    }
    for (what, fixed) in [
        ("the claims", claims as fn(&StatefulSet) -> Value),
        ("the headless Service", |set| {
            json!(set.spec.as_ref().and_then(|spec| spec.service_name.clone()))
        }),
        ("the selector", |set| {
            json!(
                set.spec
                    .as_ref()
                    .and_then(|spec| spec.selector.match_labels.clone())
            )
        }),
    ] {
        if fixed(now) != fixed(new) {
            found.push(format!("{what} of the StatefulSet"));
        }
    }
    found
}

/// Names and sizes of the claims: what the API server adds by itself is no difference.
fn claims(set: &StatefulSet) -> Value {
    let claims = set
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_claim_templates.as_ref());
    claims
        .into_iter()
        .flatten()
        .map(|claim| {
            let spec = claim.spec.as_ref();
            json!({
                "name": claim.metadata.name,
                "modes": spec.and_then(|it| it.access_modes.clone()),
                "size": spec.and_then(|it| it.resources.as_ref()?.requests.clone()),
                "class": spec.and_then(|it| it.storage_class_name.clone()),
            })
        })
        .collect()
}

/// An address that another member can use.
fn reachable(address: &str) -> bool {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    !host.is_empty()
        && !["0.0.0.0", "127.", "localhost", "[::]", "[::1]"]
            .iter()
            .any(|own| host.starts_with(own))
}

/// Whether a file of the user's can be read at all, before anything else happens.
pub(super) fn check_values(path: Option<&Path>) -> Result<()> {
    match path {
        Some(path) => std::fs::File::open(path)
            .map(drop)
            .map_err(|source| Error::Io {
                doing: "reading the values of",
                path: path.to_owned(),
                source,
            }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(image: &str, replicas: u32, size: &str) -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": {"name": "bao"},
            "spec": {
                "replicas": replicas, "serviceName": "bao-internal",
                "updateStrategy": {"type": "OnDelete"},
                "selector": {"matchLabels": {"a": "b"}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}}],
                "template": {"spec": {"containers": [{"name": "openbao", "image": image}]}}
            }
        }))
        .unwrap()
    }

    #[test]
    fn an_upgrade_that_changes_more_is_told_apart() {
        let now = set("bao:2.6.2", 1, "10Gi");
        assert!(differences(&now, &set("bao:2.6.2", 3, "10Gi"), 3).is_empty());
        let found = differences(&now, &set("bao:2.7.0", 1, "20Gi"), 3);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("2.7.0"));
    }

    #[test]
    fn the_replicas_are_a_number() {
        let values = overlay("x", 3);
        assert!(values["server"]["ha"]["replicas"].is_u64());
        assert_eq!(configured(&values).unwrap(), "x");
        assert!(configured(&json!({})).is_err());
    }

    #[test]
    fn a_loopback_is_no_address_for_others() {
        for own in [
            "https://127.0.0.1:8201",
            "https://0.0.0.0:8201",
            "https://[::]:8201",
            "",
        ] {
            assert!(!reachable(own), "{own}");
        }
        assert!(reachable("https://$(HOSTNAME).bao-internal:8201"));
    }
}
