//! The objects of a release on raft, generated from those that run now: nothing is in them that need not change.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, EnvVar};
use serde_json::{Value, json};

use super::apply::is_applied;
use super::config::ServerConfig;
use super::form::{Form, reachable};
use super::layout::{API_ADDRESS, CLUSTER_ADDRESS, NODE_ID, first_env, server, server_of};
use super::platform::KubernetesPlatform;
use super::pods::spec_replicas;
use super::secrets::{MANAGED_BY, OURS};
use super::surroundings;
use crate::platform::{Flip, Result};

/// What of a release's objects a change sets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Objects {
    /// The StatefulSet's name, and its server's container.
    set: String,
    container: String,
    /// The `ConfigMap` and its key.
    map: String,
    key: String,
    /// The server's configuration.
    pub(super) config: String,
    /// Variables that raft needs and that only this tool gives.
    pub(super) environment: Vec<EnvVar>,
    /// The members.
    pub(super) replicas: u32,
    /// The budget for evictions, where nothing else limits them.
    pub(super) budget: Option<Value>,
}

impl Objects {
    /// The release as a flip makes it.
    pub(super) async fn on_raft(at: &KubernetesPlatform, flip: &Flip) -> Result<Self> {
        let set = at.stateful_set().await?;
        let text = at.config_text().await?;
        let config = ServerConfig::parse(&text)?;
        let container = set.spec.as_ref().and_then(|spec| server_of(&spec.template));
        let covered = surroundings::budgets(at, &set).await?;
        let of_others = covered.iter().any(|it| !is_applied(&it.metadata));
        Ok(Self {
            config: at
                .raft_text(&text, flip, at.leader_selected().await?)
                .await?,
            environment: container.map_or_else(Vec::new, |container| {
                environment(container, &config, &at.layout.service)
            }),
            replicas: flip.replicas,
            budget: (flip.replicas > 1 && !of_others)
                .then(|| budget(&set, &at.layout.set, flip.replicas)),
            ..Self::named(at)
        })
    }

    /// The release as it was.
    pub(super) fn of(at: &KubernetesPlatform, was: &Form) -> Self {
        Self {
            config: was.config.clone(),
            replicas: was.replicas,
            ..Self::named(at)
        }
    }

    fn named(at: &KubernetesPlatform) -> Self {
        Self {
            set: at.layout.set.clone(),
            container: at.layout.container.clone(),
            map: at.config_source.object.clone(),
            key: at.config_source.key.clone(),
            config: String::new(),
            environment: Vec::new(),
            replicas: 0,
            budget: None,
        }
    }

    /// The `ConfigMap`.
    pub(super) fn config_map(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": self.map},
            "data": {&self.key: self.config},
        })
    }

    /// The StatefulSet, with so many replicas.
    pub(super) fn stateful_set(&self, replicas: u32) -> Value {
        let mut set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": self.set},
            "spec": {"replicas": replicas},
        });
        if !self.environment.is_empty() {
            let server = json!({"name": self.container, "env": self.environment});
            set["spec"]["template"] = json!({"spec": {"containers": [server]}});
        }
        set
    }

    /// The release with these objects, worked out here.
    pub(super) fn form(&self, mut set: StatefulSet) -> Form {
        if let Some(spec) = &mut set.spec {
            spec.replicas = i32::try_from(self.replicas).ok();
            let name = spec
                .template
                .spec
                .as_ref()
                .and_then(server)
                .map(|it| it.name.clone());
            let pod = spec.template.spec.as_mut();
            let container = pod.and_then(|pod| {
                pod.containers
                    .iter_mut()
                    .find(|it| Some(&it.name) == name.as_ref())
            });
            if let Some(container) = container {
                container
                    .env
                    .get_or_insert_default()
                    .extend(self.environment.clone());
            }
        }
        Form::of(&set, self.config.clone())
    }

    /// The changes, one line each.
    pub(super) fn told(&self, now: &StatefulSet) -> Vec<String> {
        let mut told = vec![format!(
            "ConfigMap {}: {} as in the difference",
            self.map, self.key
        )];
        for variable in &self.environment {
            told.push(format!(
                "StatefulSet {}: in the environment of {}, {} = {}",
                self.set,
                self.container,
                variable.name,
                variable
                    .value
                    .as_deref()
                    .unwrap_or("the pod's metadata.name")
            ));
        }
        if spec_replicas(now) != self.replicas {
            told.push(format!(
                "StatefulSet {}: replicas {} instead of {}",
                self.set,
                self.replicas,
                spec_replicas(now)
            ));
        }
        if let Some(budget) = &self.budget {
            told.push(format!(
                "PodDisruptionBudget {}: at most {} of the members may be evicted at once",
                self.set, budget["spec"]["maxUnavailable"]
            ));
        }
        told
    }
}

/// The variables that raft needs and that are not there. One that stands there just so counts as ours: what an earlier try
/// applied must be applied again, or it would go.
fn environment(container: &Container, config: &ServerConfig, service: &str) -> Vec<EnvVar> {
    let of_pod = |it: &&EnvVar| {
        let field = it
            .value_from
            .as_ref()
            .and_then(|from| from.field_ref.as_ref());
        field.is_some_and(|field| field.field_path == "metadata.name") && it.name != NODE_ID[0]
    };
    let pod = container
        .env
        .iter()
        .flatten()
        .find(of_pod)
        .map_or(NODE_ID[0], |it| it.name.as_str());
    let scheme = if config.tls { "https" } else { "http" };
    let literal = |name: &str, value: String| EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    };
    let cluster_addr = first_env(container, &CLUSTER_ADDRESS).or(config.cluster_addr.clone());
    let wanted = [
        (
            &NODE_ID,
            false,
            serde_json::from_value(json!({
                "name": NODE_ID[0],
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
            }))
            .unwrap_or_default(),
        ),
        (
            &API_ADDRESS,
            config.api_addr.is_some(),
            literal(
                API_ADDRESS[0],
                format!("{scheme}://$({pod}).{service}:{}", config.port),
            ),
        ),
        (
            &CLUSTER_ADDRESS,
            cluster_addr.is_some_and(|address| reachable(&address)),
            literal(
                CLUSTER_ADDRESS[0],
                format!("https://$({pod}).{service}:8201"),
            ),
        ),
    ];
    let missing = |names: &[&str; 2], known: bool, variable: &EnvVar| {
        let there = container
            .env
            .iter()
            .flatten()
            .find(|it| names.contains(&it.name.as_str()));
        match there {
            Some(there) => there == variable,
            None => !known,
        }
    };
    wanted
        .into_iter()
        .filter(|(names, known, variable)| missing(names, *known, variable))
        .map(|(_, _, variable)| variable)
        .collect()
}

/// As many members may be away as leave a majority.
fn budget(set: &StatefulSet, name: &str, replicas: u32) -> Value {
    let selector = set.spec.as_ref().map(|spec| spec.selector.clone());
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "labels": {MANAGED_BY: OURS}},
        "spec": {"maxUnavailable": (replicas - 1) / 2, "selector": selector},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str =
        "listener \"tcp\" {\n  tls_disable = 1\n}\nstorage \"file\" {\n  path = \"/data\"\n}\n";

    fn set(environment: &Value) -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": {"name": "bao"},
            "spec": {"serviceName": "bao-internal", "replicas": 1, "selector": {"matchLabels": {"app": "bao"}},
                "template": {"spec": {"containers": [
                    {"name": "sidecar"}, {"name": "openbao", "image": "bao:2.6.2", "env": environment}]}}}
        }))
        .unwrap()
    }

    fn objects(set: &StatefulSet) -> Objects {
        let container = server_of(&set.spec.as_ref().unwrap().template).unwrap();
        let config = ServerConfig::parse(CONFIG).unwrap();
        Objects {
            set: "bao".to_owned(),
            container: "openbao".to_owned(),
            map: "bao-config".to_owned(),
            key: "server.hcl".to_owned(),
            config: CONFIG.replace("file", "raft"),
            environment: environment(container, &config, "bao-internal"),
            replicas: 3,
            budget: Some(budget(set, "bao", 3)),
        }
    }

    fn names(objects: &Objects) -> Vec<&str> {
        objects
            .environment
            .iter()
            .map(|it| it.name.as_str())
            .collect()
    }

    #[test]
    fn a_server_without_addresses_is_given_them() {
        let now = set(&json!([]));
        let objects = objects(&now);
        assert_eq!(
            names(&objects),
            ["BAO_RAFT_NODE_ID", "BAO_API_ADDR", "BAO_CLUSTER_ADDR"]
        );
        assert_eq!(
            objects.environment[1].value.as_deref(),
            Some("http://$(BAO_RAFT_NODE_ID).bao-internal:8200")
        );
        let form = objects.form(now.clone());
        assert_eq!(form.replicas, 3);
        let was = Form::of(&now, CONFIG.to_owned());
        let flip = Flip::new(3, None);
        let found = was.faults_on_raft(&form, &flip);
        // The strategy is not the driver's to change; the text of these objects is no generated one.
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("OnDelete") && found[1].contains("retry_join"));
    }

    #[test]
    fn what_is_there_stays_and_what_is_ours_is_applied_again() {
        let theirs = json!([
            {"name": "HOSTNAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "VAULT_API_ADDR", "value": "http://$(POD_IP):8200"},
            {"name": "BAO_CLUSTER_ADDR", "value": "https://$(HOSTNAME).bao-internal:8201"}]);
        let first = objects(&set(&theirs));
        // The address stands there just as it would be applied: to own it as well takes it from nobody.
        assert_eq!(names(&first), ["BAO_RAFT_NODE_ID", "BAO_CLUSTER_ADDR"]);
        let mut all = theirs.as_array().unwrap().clone();
        all.push(serde_json::to_value(&first.environment[0]).unwrap());
        let again = objects(&set(&Value::Array(all)));
        assert_eq!(again.environment, first.environment);
    }

    #[test]
    fn the_objects_hold_nothing_that_need_not_change() {
        let now = set(&json!([]));
        let objects = objects(&now);
        let map = objects.config_map();
        assert_eq!(map["data"].as_object().unwrap().len(), 1);
        let applied = objects.stateful_set(1);
        assert_eq!(applied["spec"]["replicas"], 1);
        let containers = &applied["spec"]["template"]["spec"]["containers"];
        assert_eq!(containers[0]["name"], "openbao");
        assert!(containers[0]["image"].is_null());
        let budget = objects.budget.as_ref().unwrap();
        assert_eq!(budget["spec"]["maxUnavailable"], 1);
        assert_eq!(budget["spec"]["selector"]["matchLabels"]["app"], "bao");
        assert_eq!(objects.told(&now).len(), 6);
    }

    #[test]
    fn the_way_back_has_no_environment() {
        let mut objects = objects(&set(&json!([])));
        objects.environment.clear();
        assert!(objects.stateful_set(1)["spec"]["template"].is_null());
    }
}
