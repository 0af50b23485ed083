//! What a helper pod is made of, and what the API says about one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, Pod,
    PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::ObjectMeta;

use super::layout::server_of;
use super::secrets::{MANAGED_BY, OURS};
use crate::platform::{Error, Result};

const CONTAINER: &str = "volume";
/// A folder that goes with the pod, and the volume behind it.
pub(super) const WORK: &str = "/baoctl";
const WORK_VOLUME: &str = "work";
/// A forgotten helper ends by itself: it keeps the volume on its node.
const LIFETIME_SECONDS: i64 = 2 * 3600;

/// A running container that mounts the claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    pub container: String,
    pub mount: String,
    /// Changes with every restart.
    pub identity: String,
}

/// A helper pod for a claim, as close to the server's own pods as the claim's files need.
pub(super) fn build(
    template: &PodTemplateSpec,
    name: &str,
    template_claim: &str,
    claim: &str,
    node: Option<&str>,
    image: Option<&str>,
) -> Result<Pod> {
    let refused = |what: &str| Error::Refused(format!("the StatefulSet's pod template {what}"));
    let theirs = template.spec.as_ref().ok_or_else(|| refused("is empty"))?;
    let (server, mounts) = theirs
        .containers
        .iter()
        .find_map(|container| {
            let mounts = mounts_of(container, template_claim);
            (!mounts.is_empty()).then_some((container, mounts))
        })
        .ok_or_else(|| refused(&format!("mounts no volume claim `{template_claim}`")))?;
    let image = image
        .map(str::to_owned)
        .or_else(|| server.image.clone())
        .ok_or_else(|| refused("names no image"))?;

    let mut pod_security = theirs.security_context.clone().unwrap_or_default();
    pod_security
        .seccomp_profile
        .get_or_insert_with(runtime_default);
    if pod_security.fs_group.is_some() {
        // Going through all files once more would change nothing and take its time.
        pod_security.fs_group_change_policy = Some("OnRootMismatch".to_owned());
    }
    let container = Container {
        name: CONTAINER.to_owned(),
        image: Some(image),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["sleep".to_owned(), LIFETIME_SECONDS.to_string()]),
        security_context: Some(restricted(server, &pod_security)),
        volume_mounts: Some(mounts),
        resources: Some(resources()),
        ..Container::default()
    };
    let volume = Volume {
        name: template_claim.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            read_only: None,
        }),
        ..Volume::default()
    };
    Ok(Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([(MANAGED_BY.to_owned(), OURS.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![container],
            volumes: Some(vec![volume]),
            security_context: Some(pod_security),
            node_name: node.map(str::to_owned),
            tolerations: theirs.tolerations.clone(),
            image_pull_secrets: theirs.image_pull_secrets.clone(),
            restart_policy: Some("Never".to_owned()),
            active_deadline_seconds: Some(LIFETIME_SECONDS),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(1),
            ..PodSpec::default()
        }),
        status: None,
    })
}

/// The container of a pod that was built.
pub(super) fn first_container(pod: &Pod) -> Container {
    let spec = pod.spec.as_ref();
    let first = spec.and_then(|spec| spec.containers.first());
    first.cloned().unwrap_or_default()
}

/// Gives a pod a folder to work in, on its node, and what `bao` needs to run in it.
pub(super) fn with_room(mut pod: Pod, template: &PodTemplateSpec) -> Pod {
    let Some(spec) = &mut pod.spec else {
        return pod;
    };
    for container in &mut spec.containers {
        container
            .volume_mounts
            .get_or_insert_default()
            .push(VolumeMount {
                name: WORK_VOLUME.to_owned(),
                mount_path: WORK.to_owned(),
                ..VolumeMount::default()
            });
        let limits = limits_of(template).filter(|it| it.limits.is_some());
        container.resources = limits.or(container.resources.take());
    }
    spec.volumes.get_or_insert_default().push(Volume {
        name: WORK_VOLUME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    pod
}

/// Gives a pod the `SELinux` level of another that has the same volume, unless its template names one.
pub(super) fn at_level(pod: &mut Pod, level: Option<&str>) {
    let (Some(spec), Some(level)) = (&mut pod.spec, level) else {
        return;
    };
    let security = spec.security_context.get_or_insert_default();
    let of_pod = security.se_linux_options.get_or_insert_default();
    let inside = spec.containers.iter_mut();
    let of_containers =
        inside.filter_map(|it| it.security_context.as_mut()?.se_linux_options.as_mut());
    for options in of_containers.chain([of_pod]) {
        options.level.get_or_insert_with(|| level.to_owned());
    }
}

/// The level of a label `user:role:type:level`, as a process finds it in `/proc/self/attr/current`; other security modules write
/// other words there.
pub(super) fn level_of(label: &str) -> Option<String> {
    let label = label.trim_matches(|it: char| it == '\0' || it.is_whitespace());
    let level = label.splitn(4, ':').nth(3)?;
    let number = level.strip_prefix('s')?;
    number
        .starts_with(|it: char| it.is_ascii_digit())
        .then(|| level.to_owned())
}

/// The server's limits, and little asked for: its own pod may still be there.
pub(super) fn limits_of(template: &PodTemplateSpec) -> Option<ResourceRequirements> {
    let mut resources = server_of(template)?.resources.clone()?;
    let little = [("cpu", "10m"), ("memory", "32Mi")];
    let little = little.map(|(of, much)| (of.to_owned(), Quantity(much.to_owned())));
    resources.requests = Some(little.into());
    // What is laid out is larger than what a server writes beside its volume.
    if let Some(limits) = &mut resources.limits {
        limits.remove("ephemeral-storage");
    }
    Some(resources)
}

fn mounts_of(container: &Container, volume: &str) -> Vec<VolumeMount> {
    let mounts = container.volume_mounts.iter().flatten();
    mounts
        .filter(|mount| mount.name == volume)
        .cloned()
        .collect()
}

fn runtime_default() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        localhost_profile: None,
    }
}

/// The server's user and group with the rights that the strictest namespace allows.
fn restricted(server: &Container, pod: &PodSecurityContext) -> SecurityContext {
    let theirs = server.security_context.clone().unwrap_or_default();
    let user = theirs.run_as_user.or(pod.run_as_user);
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            add: None,
            drop: Some(vec!["ALL".to_owned()]),
        }),
        privileged: None,
        proc_mount: None,
        read_only_root_filesystem: Some(true),
        run_as_non_root: match user {
            Some(user) => Some(user != 0),
            None => theirs.run_as_non_root.or(pod.run_as_non_root),
        },
        ..theirs
    }
}

/// Namespaces with a quota ask for both.
fn resources() -> ResourceRequirements {
    let of = |cpu: &str, memory: &str| {
        Some(BTreeMap::from([
            ("cpu".to_owned(), Quantity(cpu.to_owned())),
            ("memory".to_owned(), Quantity(memory.to_owned())),
        ]))
    };
    ResourceRequirements {
        requests: of("10m", "32Mi"),
        limits: of("1", "512Mi"),
        claims: None,
    }
}

/// The container of a pod that mounts the claim, when it runs and is not on its way out.
pub(super) fn container_with(pod: &Pod, claim: &str) -> Option<Made> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let spec = pod.spec.as_ref()?;
    let volume = volume_of(spec, claim)?;
    let (container, mount) = spec.containers.iter().find_map(|container| {
        let mount = mounts_of(container, volume).into_iter().next()?;
        Some((container, mount))
    })?;
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let status = statuses.iter().find(|it| it.name == container.name)?;
    status.state.as_ref()?.running.as_ref()?;
    Some(Made {
        container: container.name.clone(),
        mount: mount.mount_path,
        identity: format!(
            "{}/{}",
            pod.metadata.uid.as_deref().unwrap_or_default(),
            status.container_id.as_deref().unwrap_or_default()
        ),
    })
}

fn volume_of<'pod>(spec: &'pod PodSpec, claim: &str) -> Option<&'pod str> {
    let mut volumes = spec.volumes.iter().flatten();
    let found = volumes.find(|volume| {
        volume
            .persistent_volume_claim
            .as_ref()
            .is_some_and(|it| it.claim_name == claim)
    })?;
    Some(&found.name)
}

/// Whether a pod of the helper's name is this tool's helper for the claim.
pub(super) fn is_ours(pod: &Pod, claim: &str) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(MANAGED_BY))
        .map(String::as_str)
        == Some(OURS)
        && pod
            .spec
            .as_ref()
            .is_some_and(|spec| volume_of(spec, claim).is_some())
}

/// Whether a helper that is there runs or will, on the node where it is needed.
pub(super) fn usable(pod: &Pod, node: Option<&str>) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let place = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    pod.metadata.deletion_timestamp.is_none()
        && matches!(phase, None | Some("Pending" | "Running"))
        && hopeless(pod).is_ok()
        && (node.is_none() || place == node)
}

/// What a pod that does not run yet waits for; an error when it waits in vain.
pub(super) fn hopeless(pod: &Pod) -> std::result::Result<String, String> {
    let Some(status) = &pod.status else {
        return Ok("it has no status yet".to_owned());
    };
    let said = |reason: Option<&String>, message: Option<&String>| {
        let words: Vec<&str> = [reason, message]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        words.join(": ")
    };
    let all = || {
        let before = status.init_container_statuses.iter().flatten();
        before.chain(status.container_statuses.iter().flatten())
    };
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        let ended = all().find_map(|it| {
            let ended = it.state.as_ref()?.terminated.as_ref()?;
            (ended.exit_code != 0).then(|| said(ended.reason.as_ref(), ended.message.as_ref()))
        });
        let why = ended.unwrap_or_else(|| said(status.reason.as_ref(), status.message.as_ref()));
        return Err(format!("it ended: {why}"));
    }
    let waiting = all().find_map(|it| {
        let waiting = it.state.as_ref()?.waiting.as_ref()?;
        Some((
            waiting.reason.clone().unwrap_or_default(),
            said(waiting.reason.as_ref(), waiting.message.as_ref()),
        ))
    });
    match waiting {
        Some((reason, text)) if IN_VAIN.contains(&reason.as_str()) => Err(text),
        Some((_, text)) => Ok(text),
        None => {
            let condition = status
                .conditions
                .iter()
                .flatten()
                .find(|it| it.type_ == "PodScheduled" && it.status == "False");
            Ok(condition.map_or_else(
                || "it is being started".to_owned(),
                |it| said(it.reason.as_ref(), it.message.as_ref()),
            ))
        }
    }
}

/// Reasons that time does not cure.
const IN_VAIN: [&str; 5] = [
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::SELinuxOptions;

    use serde_json::json;

    use super::*;

    fn template() -> PodTemplateSpec {
        serde_json::from_value(json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "openbao", "component": "server"}},
            "spec": {
                "serviceAccountName": "openbao",
                "securityContext": {"runAsUser": 100, "runAsGroup": 1000, "fsGroup": 1000, "runAsNonRoot": true},
                "tolerations": [{"key": "vault", "operator": "Exists"}],
                "containers": [
                    {"name": "sidecar", "image": "other"},
                    {"name": "openbao", "image": "openbao:2.6.2",
                     "securityContext": {"capabilities": {"add": ["IPC_LOCK"]}},
                     "env": [{"name": "BAO_K8S_POD_NAME", "value": "x"}],
                     "volumeMounts": [{"name": "config", "mountPath": "/c"}, {"name": "data", "mountPath": "/openbao/data"}]}
                ]
            }
        }))
        .unwrap()
    }

    #[test]
    fn a_helper_is_like_the_server_and_matches_no_service() {
        let pod = build(
            &template(),
            "baoctl-volume-openbao-1",
            "data",
            "data-openbao-1",
            Some("n2"),
            None,
        )
        .unwrap();
        assert!(is_ours(&pod, "data-openbao-1") && !is_ours(&pod, "data-openbao-2"));
        let value = serde_json::to_value(&pod).unwrap();
        assert_eq!(
            value["metadata"]["labels"],
            json!({"app.kubernetes.io/managed-by": "baoctl"})
        );
        let spec = &value["spec"];
        assert_eq!(spec["nodeName"], "n2");
        assert_eq!(spec["automountServiceAccountToken"], false);
        assert_eq!(spec["restartPolicy"], "Never");
        assert_eq!(spec["securityContext"]["fsGroup"], 1000);
        assert_eq!(spec["securityContext"]["runAsUser"], 100);
        assert_eq!(
            spec["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        assert_eq!(spec["tolerations"][0]["key"], "vault");
        assert!(spec.get("serviceAccountName").is_none());
        let container = &spec["containers"][0];
        assert_eq!(container["image"], "openbao:2.6.2");
        assert_eq!(container["volumeMounts"][0]["mountPath"], "/openbao/data");
        assert_eq!(container["volumeMounts"].as_array().unwrap().len(), 1);
        assert_eq!(
            container["securityContext"]["capabilities"],
            json!({"drop": ["ALL"]})
        );
        assert_eq!(
            container["securityContext"]["allowPrivilegeEscalation"],
            false
        );
        assert_eq!(container["securityContext"]["runAsNonRoot"], true);
        assert!(container.get("env").is_none());
        assert_eq!(container["resources"]["limits"]["memory"], "512Mi");
        let mut labelled = pod.clone();
        at_level(&mut labelled, Some("s0:c1,c2"));
        let spec = labelled.spec.unwrap();
        let level = |options: Option<SELinuxOptions>| options.unwrap().level;
        let of_pod = level(spec.security_context.unwrap().se_linux_options);
        assert_eq!(of_pod.as_deref(), Some("s0:c1,c2"));
        let mut template = template();
        let server = &mut template.spec.as_mut().unwrap().containers[1];
        server.resources = serde_json::from_value(json!({"limits": {"memory": "2Gi"}})).unwrap();
        let pod = serde_json::to_value(with_room(pod, &template)).unwrap();
        let spec = &pod["spec"];
        assert_eq!(
            spec["volumes"][1],
            json!({"name": "work", "emptyDir": {}}),
            "{spec}"
        );
        let container = &spec["containers"][0];
        assert_eq!(
            container["volumeMounts"][1],
            json!({"name": "work", "mountPath": "/baoctl"})
        );
        assert_eq!(container["resources"]["limits"]["memory"], "2Gi");
        assert_eq!(container["resources"]["requests"]["memory"], "32Mi");
        let other = build(&template, "n", "data", "c", None, Some("busybox")).unwrap();
        let spec = other.spec.unwrap();
        assert_eq!(spec.containers[0].image.as_deref(), Some("busybox"));
        assert_eq!(spec.node_name, None);
    }

    fn running(state: &serde_json::Value, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"uid": "u", "labels": {"app.kubernetes.io/managed-by": "baoctl"}},
            "spec": {
                "nodeName": "n1",
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-openbao-0"}}],
                "containers": [{"name": "openbao", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}]
            },
            "status": {"phase": phase, "containerStatuses": [{
                "name": "openbao", "image": "i", "imageID": "i", "ready": false, "restartCount": 0,
                "containerID": "containerd://1", "state": state
            }]}
        }))
        .unwrap()
    }

    #[test]
    fn only_a_running_container_with_the_claim_will_do() {
        let runs = running(&json!({"running": {}}), "Running");
        let made = container_with(&runs, "data-openbao-0").unwrap();
        assert_eq!(
            (made.container.as_str(), made.mount.as_str()),
            ("openbao", "/d")
        );
        assert_eq!(made.identity, "u/containerd://1");
        assert!(container_with(&runs, "data-openbao-1").is_none());
        assert!(usable(&runs, Some("n1")) && usable(&runs, None) && !usable(&runs, Some("n2")));
        let waits = running(
            &json!({"waiting": {"reason": "ContainerCreating"}}),
            "Pending",
        );
        assert!(container_with(&waits, "data-openbao-0").is_none());
        assert!(usable(&waits, Some("n1")));
        let ended = running(
            &json!({"terminated": {"reason": "StartError", "message": "no sleep", "exitCode": 128}}),
            "Failed",
        );
        assert!(!usable(&ended, None));
        assert_eq!(
            hopeless(&ended).unwrap_err(),
            "it ended: StartError: no sleep"
        );
        let pulls = running(
            &json!({"waiting": {"reason": "ImagePullBackOff", "message": "x"}}),
            "Pending",
        );
        assert!(hopeless(&pulls).is_err());
    }

    #[test]
    fn a_level_is_told_from_what_other_modules_say() {
        let label = "system_u:system_r:container_t:s0:c123,c456\0";
        assert_eq!(level_of(label).as_deref(), Some("s0:c123,c456"));
        for other in [
            "",
            "unconfined",
            "cri-containerd.apparmor.d (enforce)\n",
            "a:b:c:d",
            "system_u:system_r:container_t",
        ] {
            assert_eq!(level_of(other), None, "{other}");
        }
    }
}
