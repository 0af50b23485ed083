//! What a release consists of as far as its change to raft is concerned: what has to be another afterwards, and what must
//! not be.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::apart::stands_apart;
use super::config::ServerConfig;
use super::layout::{CLUSTER_ADDRESS, NODE_ID, first_env, holds, server_of};
use super::pods::wanted_replicas;
use crate::platform::{Before, Error, Flip, Result, StorageKind};

/// A release at one time: as it was, as it is, or as a change would make it. It goes into the journal, so that a release
/// can be put back that nobody else keeps the history of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Form {
    /// The text of the server's configuration.
    pub(super) config: String,
    /// The members that should exist.
    pub(super) replicas: u32,
    image: String,
    /// Whether a change leaves running pods alone.
    on_delete: bool,
    claims: Value,
    service: Option<String>,
    selector: Option<BTreeMap<String, String>>,
    /// The raft address that the environment gives.
    cluster_addr: Option<String>,
    /// Whether the environment names the raft node.
    node_id: bool,
}

impl Form {
    /// Reads a StatefulSet, beside the text of its servers' configuration.
    pub(super) fn of(set: &StatefulSet, config: String) -> Self {
        let spec = set.spec.as_ref();
        let server = spec.and_then(|spec| server_of(&spec.template));
        let strategy = spec.and_then(|spec| spec.update_strategy.as_ref()?.type_.as_deref());
        Self {
            config,
            replicas: wanted_replicas(set),
            image: server.and_then(|it| it.image.clone()).unwrap_or_default(),
            on_delete: strategy == Some("OnDelete"),
            claims: claims(set),
            service: spec.and_then(|spec| spec.service_name.clone()),
            selector: spec.and_then(|spec| spec.selector.match_labels.clone()),
            cluster_addr: server.and_then(|it| first_env(it, &CLUSTER_ADDRESS)),
            node_id: server.is_some_and(|it| holds(it, &NODE_ID)),
        }
    }

    /// The one that stands in a run's record; `None` where another keeps the history.
    pub(super) fn recorded(before: &Before) -> Result<Option<Self>> {
        let Some(content) = before.content.clone() else {
            return Ok(None);
        };
        serde_json::from_value(content).map(Some).map_err(|error| {
            Error::Refused(format!(
                "the record of the release as it was cannot be read: {error}"
            ))
        })
    }

    /// The record of it, with a name that another content does not have.
    pub(super) fn record(&self) -> Before {
        let content = json!(self);
        Before {
            revision: told_by(&content.to_string()),
            content: Some(content),
        }
    }

    /// Why `after` is not this release on raft with so many members and nothing else changed; empty when it is.
    pub(super) fn faults_on_raft(&self, after: &Self, flip: &Flip) -> Vec<String> {
        let mut found = self.others(after);
        if after.replicas != flip.replicas {
            found.push(format!(
                "{} replicas instead of {} (with the chart, server.ha.replicas must be a number)",
                after.replicas, flip.replicas
            ));
        }
        if !after.on_delete {
            found.push(
                "the update strategy is not OnDelete: the source would be replaced at once"
                    .to_owned(),
            );
        }
        match (
            ServerConfig::parse(&self.config),
            ServerConfig::parse(&after.config),
        ) {
            (Ok(was), Ok(config)) => {
                found.extend(was.others(&config));
                found.extend(after.unusable(&config, flip));
                found.extend(after.misplaced(flip));
            }
            (Err(error), _) | (_, Err(error)) => found.push(error.to_string()),
        }
        found
    }

    /// Why `now` is not this release again; empty when it is.
    pub(super) fn faults_back(&self, now: &Self) -> Vec<String> {
        let mut found = self.others(now);
        if now.replicas != self.replicas {
            found.push(format!(
                "{} replicas instead of {}",
                now.replicas, self.replicas
            ));
        }
        match (
            ServerConfig::parse(&self.config),
            ServerConfig::parse(&now.config),
        ) {
            (Ok(was), Ok(config)) => {
                if was.storage != config.storage {
                    found.push(format!(
                        "the configuration is for {} storage instead of {}",
                        config.storage, was.storage
                    ));
                }
                found.extend(was.others(&config));
            }
            (Err(error), _) | (_, Err(error)) => found.push(error.to_string()),
        }
        found
    }

    /// What must be the same in any case, and is not.
    fn others(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.image != other.image {
            found.push(format!(
                "the image is {} instead of {}",
                other.image, self.image
            ));
        }
        for (what, same) in [
            ("the claims", self.claims == other.claims),
            ("the headless Service", self.service == other.service),
            ("the selector", self.selector == other.selector),
        ] {
            if !same {
                found.push(format!("{what} of the StatefulSet would be changed"));
            }
        }
        found
    }

    /// Why clients would reach a server that they must not, or the other way round.
    fn misplaced(&self, flip: &Flip) -> Option<String> {
        let why = match (flip.apart, stands_apart(&self.config)) {
            (true, false) => "clients would reach the server before its child namespaces are moved",
            (false, true) => "the configuration still keeps clients out",
            _ => return None,
        };
        Some(why.to_owned())
    }

    /// Why servers with this configuration cannot make a cluster.
    fn unusable(&self, config: &ServerConfig, flip: &Flip) -> Vec<String> {
        if config.kind().ok() != Some(StorageKind::Raft) {
            return vec![format!(
                "the configuration is for {} storage, not for raft",
                config.storage
            )];
        }
        let mut found = Vec::new();
        let cluster_addr = self.cluster_addr.as_ref().or(config.cluster_addr.as_ref());
        if !cluster_addr.is_some_and(|address| reachable(address)) {
            found.push(format!(
                "members could not reach each other: cluster_addr is {}; set BAO_CLUSTER_ADDR to \
                 https://$(HOSTNAME).{}:8201",
                cluster_addr.map_or("not set", String::as_str),
                self.service.as_deref().unwrap_or_default()
            ));
        }
        // The chart writes the pod's own name for this word.
        let own = |id: &String| id.contains("HOSTNAME");
        if !self.node_id && !config.node_id.as_ref().is_some_and(own) {
            found.push(
                "no member would have a raft node id of its own: set BAO_RAFT_NODE_ID to the pod's name (with the chart, \
                 server.ha.raft.setNodeId)"
                    .to_owned(),
            );
        }
        if !config.joins {
            found.push(
                "no follower would find its leader: the raft stanza needs a `retry_join` for each member".to_owned(),
            );
        }
        if let Some(needed) = flip.max_entry_size
            && config.max_entry_size.is_none_or(|size| size < needed)
        {
            found.push(format!(
                "the source holds entries that raft takes only with max_entry_size = \"{needed}\" in its stanza"
            ));
        }
        found
    }
}

/// A name for a text that another one does not have: the beginning of its SHA-256, hex.
pub(super) fn told_by(text: &str) -> String {
    hex::encode(Sha256::digest(text))[..12].to_owned()
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
pub(super) fn reachable(address: &str) -> bool {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    !host.is_empty()
        && !["0.0.0.0", "127.", "localhost", "[::]", "[::1]"]
            .iter()
            .any(|own| host.starts_with(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "storage \"file\" {\n  path = \"/data\"\n}\naudit \"file\" \"file\" {\n  options = { file_path = \"/a\" }\n}\n";

    fn on_raft() -> String {
        FILE.replace(
            "storage \"file\" {",
            "storage \"raft\" {\n  retry_join {\n    leader_api_addr = \"http://bao-0:8200\"\n  }",
        )
    }

    fn flip() -> Flip {
        Flip::new(3, None)
    }

    fn form(image: &str, replicas: u32, size: &str, config: &str) -> Form {
        let set: StatefulSet = serde_json::from_value(json!({
            "metadata": {"name": "bao"},
            "spec": {
                "replicas": replicas, "serviceName": "bao-internal",
                "updateStrategy": {"type": "OnDelete"},
                "selector": {"matchLabels": {"a": "b"}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}}],
                "template": {"spec": {"containers": [{"name": "openbao", "image": image, "env": [
                    {"name": "BAO_RAFT_NODE_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "BAO_CLUSTER_ADDR", "value": "https://$(BAO_RAFT_NODE_ID).bao-internal:8201"}]}]}}
            }
        }))
        .unwrap();
        Form::of(&set, config.to_owned())
    }

    #[test]
    fn a_change_of_the_storage_alone_has_no_fault() {
        let was = form("bao:2.6.2", 1, "10Gi", FILE);
        let after = form("bao:2.6.2", 3, "10Gi", &on_raft());
        assert!(was.faults_on_raft(&after, &flip()).is_empty());
        assert!(was.faults_back(&was).is_empty());
        assert_eq!(was.faults_back(&after).len(), 2);
    }

    #[test]
    fn a_change_of_more_is_told_apart() {
        let was = form("bao:2.6.2", 1, "10Gi", FILE);
        let found = was.faults_on_raft(&form("bao:2.7.0", 1, "20Gi", FILE), &flip());
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].contains("bao:2.7.0 instead of bao:2.6.2"));
        let audit = on_raft().replace("\"/a\"", "\"/b\"");
        let found = was.faults_on_raft(&form("bao:2.6.2", 3, "10Gi", &audit), &flip());
        assert!(found[0].contains("audit"), "{found:?}");
        let broken = form("bao:2.6.2", 3, "10Gi", "storage \"raft\" {");
        assert_eq!(was.faults_on_raft(&broken, &flip()).len(), 1);
    }

    #[test]
    fn members_that_cannot_find_each_other_are_a_fault() {
        let was = form("bao:2.6.2", 1, "10Gi", FILE);
        let mut after = form("bao:2.6.2", 3, "10Gi", &on_raft());
        after.cluster_addr = Some("https://0.0.0.0:8201".to_owned());
        after.node_id = false;
        assert_eq!(was.faults_on_raft(&after, &flip()).len(), 2);
        // A literal is the same for each; the chart's word is not.
        for (id, faults) in [("bao-0", 2), ("HOSTNAME", 1)] {
            let own = format!("\n  node_id = \"{id}\"\n  retry_join");
            after.config = on_raft().replace("\n  retry_join", &own);
            assert_eq!(was.faults_on_raft(&after, &flip()).len(), faults, "{id}");
        }
    }

    #[test]
    fn a_stanza_of_ones_own_must_let_followers_join_and_large_entries_in() {
        let was = form("bao:2.6.2", 1, "10Gi", FILE);
        let bare = FILE.replace("\"file\" {\n  path", "\"raft\" {\n  path");
        let found = was.faults_on_raft(&form("bao:2.6.2", 3, "10Gi", &bare), &flip());
        assert!(found[0].contains("retry_join"), "{found:?}");
        let large = Flip {
            max_entry_size: Some(2_000_000),
            ..flip()
        };
        for (size, faults) in [
            ("", 1),
            ("max_entry_size = 1500000", 1),
            ("max_entry_size = \"2000000\"", 0),
        ] {
            let own = on_raft().replace("  path", &format!("  {size}\n  path"));
            let found = was.faults_on_raft(&form("bao:2.6.2", 3, "10Gi", &own), &large);
            assert_eq!(found.len(), faults, "{size}: {found:?}");
        }
    }

    #[test]
    fn a_record_gives_the_release_back() {
        let was = form("bao:2.6.2", 1, "10Gi", FILE);
        let record = was.record();
        assert_eq!(record.revision.len(), 12);
        let text = serde_json::to_string(&record).unwrap();
        let read: Before = serde_json::from_str(&text).unwrap();
        assert_eq!(Form::recorded(&read).unwrap(), Some(was));
        let of_helm = Before {
            revision: "3".to_owned(),
            content: None,
        };
        assert_eq!(Form::recorded(&of_helm).unwrap(), None);
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
