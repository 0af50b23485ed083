//! An empty raft node in a pod of its own: the release's image, an `emptyDir`, and a listener on the loopback, so that
//! only a port-forward finds it.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::client::{absent_ok, call};
use super::helper::Site;
use super::layout::server_of;
use super::platform::KubernetesPlatform;
use super::pods::instance_of;
use super::reasons;
use super::secrets::{MANAGED_BY, OURS, RELEASE, labels};
use crate::bao::{HttpNode, Node};
use crate::platform::{Error, Platform, Result};

const NAME: &str = "baoctl-scratch";
const CONTAINER: &str = "server";
const PORT: u16 = 8200;
/// The longest that it may take to answer: its image may have to be pulled.
const ANSWERS: Duration = Duration::from_mins(3);
const GONE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(250);

/// Alone, without audit devices, open for `sys/raw` and, to whoever has the shares, for a root token of its own.
const CONFIG: &str = r#"ui = false
disable_mlock = true
raw_storage_endpoint = true
api_addr = "http://127.0.0.1:8200"
cluster_addr = "https://127.0.0.1:8201"

listener "tcp" {
  address = "127.0.0.1:8200"
  cluster_address = "127.0.0.1:8201"
  tls_disable = true
  disable_unauthed_generate_root_endpoints = false
}

storage "raft" {
  path = "/scratch/data"
  node_id = "scratch"
  performance_multiplier = "1"
}
"#;

impl KubernetesPlatform {
    /// Starts the scratch node anew.
    pub(super) async fn start_scratch(&self) -> Result<HttpNode> {
        self.discard_scratch().await?;
        let set = self.stateful_set().await?;
        let maps = self.cluster.api::<ConfigMap>();
        let map: ConfigMap = made(json!({
            "metadata": {"name": NAME, "labels": labels(&self.options.release)},
            "data": {"config.hcl": CONFIG}
        }))?;
        let params = PostParams::default();
        call(
            format!("creating ConfigMap {NAME}"),
            maps.create(&params, &map),
        )
        .await?;
        let pods = self.cluster.api::<Pod>();
        let pod: Pod = made(scratch_pod(&set, &json!(labels(&self.options.release)))?)?;
        call(format!("creating pod {NAME}"), pods.create(&params, &pod)).await?;
        self.until_scratch_answers().await
    }

    async fn until_scratch_answers(&self) -> Result<HttpNode> {
        let node = self.plain_node(NAME, PORT)?;
        let end = Instant::now() + ANSWERS;
        loop {
            let pod = self.pod(NAME).await?.ok_or_else(|| {
                Error::Refused(format!("pod {NAME} was deleted while it started"))
            })?;
            let last = if instance_of(&pod, CONTAINER).is_some() {
                match node.seal_status().await {
                    Ok(_) => return Ok(node),
                    Err(error) => error.to_string(),
                }
            } else {
                reasons::state(&pod, CONTAINER)
            };
            let phase = pod.status.and_then(|status| status.phase);
            let ended = matches!(phase.as_deref(), Some("Failed" | "Succeeded"));
            if ended || Instant::now() >= end {
                let mut log = reasons::of(&self.cluster, NAME, CONTAINER).await;
                log.extend(self.log_of(NAME, CONTAINER, 5).await.unwrap_or_default());
                return Err(Error::DidNotStart {
                    member: NAME.to_owned(),
                    why: last,
                    log,
                });
            }
            sleep(PAUSE).await;
        }
    }

    /// Removes the scratch node with its data.
    pub(super) async fn discard_scratch(&self) -> Result<()> {
        discard(&self.cluster.api::<Pod>()).await?;
        discard(&self.cluster.api::<ConfigMap>()).await
    }

    /// The scratch node of this release, helper pods and copies of Jobs, as far as they are there.
    pub(super) async fn left_behind(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        let pods = self.cluster.api::<Pod>();
        let helpers = self.members().into_iter().map(|it| Site::helper_of(&it));
        for name in helpers.chain([NAME.to_owned()]) {
            let found = absent_ok(call(format!("reading pod {name}"), pods.get(&name)).await)?;
            if found.is_some_and(|pod| self.is_own(&pod, &name)) {
                left.push(format!("Pod {name}"));
            }
        }
        let maps = self.cluster.api::<ConfigMap>();
        let found = absent_ok(call(format!("reading ConfigMap {NAME}"), maps.get(NAME)).await)?;
        if found.is_some_and(|map| self.is_own(&map, NAME)) {
            left.push(format!("ConfigMap {NAME}"));
        }
        let copies = self.job_copies().await?;
        left.extend(copies.into_iter().map(|copy| format!("Job {copy}")));
        Ok(left)
    }

    pub(super) async fn remove_left_behind(&self) -> Result<()> {
        if self
            .left_behind()
            .await?
            .iter()
            .any(|it| it.ends_with(NAME))
        {
            self.discard_scratch().await?;
        }
        for copy in self.job_copies().await? {
            self.remove_copy(&copy).await?;
        }
        for member in self.members() {
            self.helper_done(&member).await?;
        }
        Ok(())
    }

    /// A helper's name tells its release, the scratch node's label does.
    fn is_own(&self, object: &impl ResourceExt, name: &str) -> bool {
        let is = |label: &str, value: &str| {
            object.labels().get(label).map(String::as_str) == Some(value)
        };
        is(MANAGED_BY, OURS) && (name != NAME || is(RELEASE, &self.options.release))
    }
}

/// Removes the object of that name if it is of this tool, and waits until it is gone.
async fn discard<K>(api: &Api<K>) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let what = format!("{} {NAME}", K::kind(&()));
    let end = Instant::now() + GONE;
    let mut asked = false;
    loop {
        let Some(found) = absent_ok(call(format!("reading {what}"), api.get(NAME)).await)? else {
            return Ok(());
        };
        if found.labels().get(MANAGED_BY).map(String::as_str) != Some(OURS) {
            return Err(Error::Refused(format!(
                "{what} stands there and is not of this tool; move it away and resume"
            )));
        }
        if !asked {
            let params = DeleteParams::default().grace_period(0);
            absent_ok(call(format!("deleting {what}"), api.delete(NAME, &params)).await)?;
            asked = true;
        } else if Instant::now() >= end {
            return Err(Error::Refused(format!(
                "{what} did not go within {}s",
                GONE.as_secs()
            )));
        } else {
            sleep(PAUSE).await;
        }
    }
}

fn made<K: DeserializeOwned>(object: Value) -> Result<K> {
    serde_json::from_value(object).map_err(|error| {
        Error::Refused(format!("the scratch node's objects are malformed: {error}"))
    })
}

/// The pod: what makes the server run comes from the template, what makes it serve or be seen does not.
fn scratch_pod(set: &StatefulSet, labels: &Value) -> Result<Value> {
    let template = set.spec.as_ref().map(|spec| &spec.template);
    let pod = template.and_then(|template| template.spec.as_ref());
    let (Some(pod), Some(server)) = (pod, template.and_then(server_of)) else {
        return Err(Error::Refused(
            "the StatefulSet has no container".to_owned(),
        ));
    };
    let mut security = serde_json::to_value(&pod.security_context).unwrap_or_default();
    if security.is_null() {
        security = json!({});
    }
    security["seccompProfile"] = json!({"type": "RuntimeDefault"});
    let mut inside = serde_json::to_value(&server.security_context).unwrap_or_default();
    if inside.is_null() {
        inside = json!({});
    }
    inside["allowPrivilegeEscalation"] = json!(false);
    inside["privileged"] = json!(false);
    inside["capabilities"] = json!({"drop": ["ALL"]});
    Ok(json!({
        "metadata": {"name": NAME, "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": security,
            "imagePullSecrets": pod.image_pull_secrets,
            "nodeSelector": pod.node_selector,
            "tolerations": pod.tolerations,
            "priorityClassName": pod.priority_class_name,
            "containers": [{
                "name": CONTAINER,
                "image": server.image,
                "imagePullPolicy": server.image_pull_policy,
                "command": ["bao", "server", "-config=/scratch/config/config.hcl"],
                "env": [{"name": "HOME", "value": "/tmp"}],
                "securityContext": inside,
                "resources": server.resources,
                "volumeMounts": [
                    {"name": "config", "mountPath": "/scratch/config", "readOnly": true},
                    {"name": "data", "mountPath": "/scratch/data"},
                    {"name": "tmp", "mountPath": "/tmp"}
                ]
            }],
            "volumes": [
                {"name": "config", "configMap": {"name": NAME}},
                {"name": "data", "emptyDir": {}},
                {"name": "tmp", "emptyDir": {}}
            ]
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scratch_pod_serves_nobody() {
        let set: StatefulSet = serde_json::from_value(json!({
            "spec": {"serviceName": "x", "selector": {}, "template": {
                "metadata": {"labels": {"component": "server"}},
                "spec": {"serviceAccountName": "bao", "securityContext": {"runAsUser": 100, "fsGroup": 1000},
                    "containers": [{"name": "openbao", "image": "bao:2.6.2",
                        "securityContext": {"capabilities": {"add": ["IPC_LOCK"]}}}]}}}
        }))
        .unwrap();
        let pod: Pod = made(scratch_pod(&set, &json!({MANAGED_BY: OURS})).unwrap()).unwrap();
        let labels = pod.metadata.labels.as_ref().unwrap();
        assert_eq!(labels.len(), 1, "{labels:?}");
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(spec.automount_service_account_token, Some(false));
        assert!(spec.service_account_name.is_none());
        assert_eq!(
            spec.security_context.as_ref().unwrap().run_as_user,
            Some(100)
        );
        let server = &spec.containers[0];
        assert_eq!(server.image.as_deref(), Some("bao:2.6.2"));
        let capabilities = server
            .security_context
            .as_ref()
            .unwrap()
            .capabilities
            .as_ref()
            .unwrap();
        assert!(capabilities.add.is_none());
        assert!(CONFIG.contains("address = \"127.0.0.1:8200\""));
    }
}
