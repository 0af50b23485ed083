//! Whether a StatefulSet starts its members one by one, and which version it runs.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;

use super::client::call;
use super::layout::server_of;
use super::platform::KubernetesPlatform;
use super::pods::container_status;
use crate::bao::Node;
use crate::platform::Result;

/// Endings of image tags that are no part of the version.
const FLAVOURS: [&str; 4] = ["-ubi", "-alpine", "-distroless", "-debian"];

/// Whether a member is made only when the one before it is unsealed: in order, and ready means unsealed.
pub(super) fn one_by_one(set: &StatefulSet) -> bool {
    let policy = set
        .spec
        .as_ref()
        .and_then(|spec| spec.pod_management_policy.as_deref());
    policy != Some("Parallel") && fails_while_sealed(set)
}

/// Whether the readiness probe fails while the server is sealed or not initialised.
fn fails_while_sealed(set: &StatefulSet) -> bool {
    let container = set.spec.as_ref().and_then(|spec| server_of(&spec.template));
    let Some(probe) = container.and_then(|it| it.readiness_probe.as_ref()) else {
        return false;
    };
    if let Some(http) = &probe.http_get {
        let path = http.path.as_deref().unwrap_or_default();
        return path.contains("sys/health")
            && !(passes(path, "sealedcode=") && passes(path, "uninitcode="));
    }
    // A port that answers says nothing of the seal; any program may.
    probe.exec.is_some()
}

/// Whether the kubelet restarts a server that it does not reach from outside its pod.
pub(super) fn wants_reach(set: &StatefulSet) -> bool {
    let container = set.spec.as_ref().and_then(|spec| server_of(&spec.template));
    container.is_some_and(|it| {
        let probes = [&it.liveness_probe, &it.startup_probe];
        probes.into_iter().flatten().any(|it| it.exec.is_none())
    })
}

fn passes(path: &str, name: &str) -> bool {
    let code = path
        .split(['?', '&'])
        .find_map(|word| word.strip_prefix(name));
    code.is_some_and(|code| code.starts_with(['2', '3']))
}

/// The version in an image's tag.
fn version_of_image(image: &str) -> Option<String> {
    let name = image.split('@').next()?;
    let tag = name.rsplit('/').next()?.split_once(':')?.1;
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let tag = FLAVOURS
        .iter()
        .find_map(|flavour| Some(tag.split_once(flavour)?.0))
        .unwrap_or(tag);
    let dots = tag.matches('.').count();
    (tag.starts_with(|it: char| it.is_ascii_digit()) && dots >= 2).then(|| tag.to_owned())
}

impl KubernetesPlatform {
    /// The version of the template's image. A tag that names none is looked up in the server that runs it.
    pub(super) async fn version(&self, set: &StatefulSet) -> String {
        let image = set
            .spec
            .as_ref()
            .and_then(|spec| server_of(&spec.template)?.image.clone())
            .unwrap_or_default();
        if let Some(version) = version_of_image(&image) {
            return version;
        }
        let first = self.layout.member(0);
        if let Ok(Some(pod)) = self.pod(&first).await
            && spec_image(&pod, &self.layout.container).as_deref() == Some(image.as_str())
            && let Ok(node) = self.http_node(&first)
            && let Ok(status) = node.seal_status().await
        {
            return status.version;
        }
        image
    }

    /// The last lines of a container's log; of its last run, when this one has written nothing yet.
    pub(super) async fn log_of(
        &self,
        pod: &str,
        container: &str,
        lines: usize,
    ) -> Result<Vec<String>> {
        let pods = self.cluster.api::<Pod>();
        let found = self.pod(pod).await?;
        let started = found
            .as_ref()
            .and_then(|it| container_status(it, container))
            .and_then(|it| it.state.as_ref())
            .is_some_and(|it| it.running.is_some() || it.terminated.is_some());
        let mut params = LogParams {
            container: Some(container.to_owned()),
            tail_lines: i64::try_from(lines).ok(),
            previous: !started,
            ..LogParams::default()
        };
        let doing = format!("reading the log of pod {pod}");
        let mut text = call(&doing, pods.logs(pod, &params)).await;
        if text.is_err() && params.previous {
            params.previous = false;
            text = call(&doing, pods.logs(pod, &params)).await;
        }
        Ok(text?.lines().map(str::to_owned).collect())
    }
}

/// The image that a pod's container was made from.
pub(super) fn spec_image(pod: &Pod, container: &str) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    containers
        .iter()
        .find(|it| it.name == container)?
        .image
        .clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(policy: Option<&str>, probe: &serde_json::Value) -> StatefulSet {
        serde_json::from_value(serde_json::json!({
            "spec": {"serviceName": "x", "selector": {}, "podManagementPolicy": policy, "template": {"spec": {
                "containers": [{"name": "openbao", "readinessProbe": probe}]}}}
        }))
        .unwrap()
    }

    #[test]
    fn the_probe_and_the_policy_tell_the_order() {
        let exec = serde_json::json!({"exec": {"command": ["bao", "status"]}});
        let http = |path: &str| serde_json::json!({"httpGet": {"path": path, "port": 8200}});
        assert!(one_by_one(&set(None, &exec)));
        assert!(one_by_one(&set(Some("OrderedReady"), &exec)));
        assert!(!one_by_one(&set(Some("Parallel"), &exec)));
        assert!(one_by_one(&set(
            None,
            &http("/v1/sys/health?standbyok=true")
        )));
        assert!(one_by_one(&set(
            None,
            &http("/v1/sys/health?standbyok=true&sealedcode=204")
        )));
        assert!(!one_by_one(&set(
            None,
            &http("/v1/sys/health?standbyok=true&sealedcode=204&uninitcode=204")
        )));
        assert!(!one_by_one(&set(None, &serde_json::Value::Null)));
    }

    #[test]
    fn a_probe_from_outside_the_pod_restarts_a_server_out_of_reach() {
        let with = |probe: &str, how: serde_json::Value| -> StatefulSet {
            serde_json::from_value(serde_json::json!({
                "spec": {"serviceName": "x", "selector": {}, "template": {"spec": {
                    "containers": [{"name": "openbao", probe: how}]}}}
            }))
            .unwrap()
        };
        let http = || serde_json::json!({"httpGet": {"path": "/v1/sys/health", "port": 8200}});
        assert!(wants_reach(&with("livenessProbe", http())));
        assert!(wants_reach(&with("startupProbe", http())));
        assert!(!wants_reach(&with("readinessProbe", http())));
        let exec = serde_json::json!({"exec": {"command": ["bao", "status"]}});
        assert!(!wants_reach(&with("livenessProbe", exec)));
    }

    #[test]
    fn a_tag_is_a_version_when_it_looks_like_one() {
        let version = |image| version_of_image(image);
        assert_eq!(
            version("quay.io/openbao/openbao:2.6.2").as_deref(),
            Some("2.6.2")
        );
        assert_eq!(
            version("reg:5000/bao:v2.6.2-ubi@sha256:ab").as_deref(),
            Some("2.6.2")
        );
        assert_eq!(version("reg:5000/bao"), None);
        assert_eq!(version("bao:latest"), None);
        assert_eq!(version("bao@sha256:ab"), None);
    }
}
