//! Remarks on what stands around the StatefulSet: images, networks, Services, budgets, nodes.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPort};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ListParams;

use super::client::{Cluster, absent_ok, call};
use super::inspect::{bad, good, risky};
use super::layout::server_of;
use super::platform::KubernetesPlatform;
use super::pods::container_status;
use super::probe::spec_image;
use crate::platform::{Remark, Result};

type Labels = BTreeMap<String, String>;

/// Whether the template names the image that runs.
pub(super) async fn image(platform: &KubernetesPlatform, set: &StatefulSet) -> Result<Remark> {
    let id = "cluster-image";
    let first = platform.layout.member(0);
    let wanted = set
        .spec
        .as_ref()
        .and_then(|spec| server_of(&spec.template)?.image.clone())
        .unwrap_or_default();
    let Some(pod) = platform.pod(&first).await? else {
        return Ok(bad(id, format!("{first} does not exist"), "start it first"));
    };
    Ok(image_of(&pod, &platform.layout.container, &wanted))
}

fn image_of(pod: &Pod, container: &str, wanted: &str) -> Remark {
    let id = "cluster-image";
    let runs = spec_image(pod, container).unwrap_or_default();
    if runs != wanted {
        return bad(
            id,
            format!("{runs} runs, but the template names {wanted}"),
            "a cutover must not change the version as well: delete the pod first, so that it runs the template's image",
        );
    }
    let image_id = container_status(pod, container).map_or("", |it| it.image_id.as_str());
    match (wanted.rsplit_once('@'), image_id.rsplit_once('@')) {
        (Some((_, wanted)), Some((_, running))) if wanted != running => bad(
            id,
            format!("{running} runs, but the template names {wanted}"),
            "delete the pod first, so that it runs the template's image",
        ),
        _ if wanted.ends_with(":latest") => risky(
            id,
            format!("{wanted} may be another image on each node"),
            "name a version in the release's values first",
        ),
        _ => good(id, format!("runs the template's image {wanted}")),
    }
}

/// Whether the credentials outlive a run.
pub(super) fn credentials(cluster: &Cluster) -> Option<Remark> {
    let left = cluster.expires()?.duration_since(Timestamp::now());
    Some(lasting(left))
}

fn lasting(left: SignedDuration) -> Remark {
    let id = "cluster-credentials";
    let found = format!(
        "the kubeconfig's token expires in {} minutes",
        left.as_mins().max(0)
    );
    if left < SignedDuration::from_mins(10) {
        bad(id, found, "log in again first")
    } else if left < SignedDuration::from_mins(50) {
        risky(
            id,
            found,
            "log in again, so that it outlives the run; a run that it ends is gone on with by `baoctl resume`",
        )
    } else {
        good(id, found)
    }
}

/// What becomes of the source's volume when its claim is deleted; `None` where it may not be read.
pub(super) async fn reclaim(platform: &KubernetesPlatform) -> Option<Remark> {
    let claim = platform.site.claim(&platform.layout.member(0));
    let claims = platform.cluster.api::<PersistentVolumeClaim>();
    let doing = format!("reading claim {claim}");
    let found = call(doing, claims.get(&claim)).await.ok()?;
    let volume = found.spec?.volume_name?;
    let volumes = platform.cluster.all::<PersistentVolume>();
    let doing = format!("reading volume {volume}");
    let found = call(doing, volumes.get(&volume)).await.ok()?;
    let policy = found.spec?.persistent_volume_reclaim_policy;
    Some(reclaim_of(&volume, policy.as_deref()))
}

fn reclaim_of(volume: &str, policy: Option<&str>) -> Remark {
    let id = "cluster-reclaim";
    if policy == Some("Delete") {
        return risky(
            id,
            format!("volume {volume} is deleted with its claim"),
            format!(
                r#"no run deletes a claim; to be safe from everybody else: kubectl patch pv {volume} -p '{{"spec":{{"persistentVolumeReclaimPolicy":"Retain"}}}}'"#
            ),
        );
    }
    good(id, format!("volume {volume} outlives its claim"))
}

/// `NetworkPolicy`s that select the members and let neither 8200 nor 8201 through.
pub(super) async fn network(platform: &KubernetesPlatform, set: &StatefulSet) -> Result<Remark> {
    let id = "cluster-network";
    let policies = platform.cluster.api::<NetworkPolicy>();
    let all = call(
        "listing NetworkPolicies",
        policies.list(&ListParams::default()),
    )
    .await?;
    let labels = labels_of(set);
    let selecting: Vec<&NetworkPolicy> = all
        .items
        .iter()
        .filter(|it| {
            it.spec
                .as_ref()
                .is_some_and(|spec| match &spec.pod_selector {
                    Some(selector) => selects(selector, &labels),
                    None => true,
                })
        })
        .collect();
    if selecting.is_empty() {
        return Ok(good(
            id,
            "no NetworkPolicy selects the members (policies of other kinds are not looked at)",
        ));
    }
    let names: Vec<String> = selecting
        .iter()
        .map(|it| it.metadata.name.clone().unwrap_or_default())
        .collect();
    let closed = closed_ports(&selecting, [i32::from(platform.port), 8201]);
    Ok(if closed.is_empty() {
        good(
            id,
            format!(
                "8200 and 8201 are named by NetworkPolicies {}",
                names.join(", ")
            ),
        )
    } else {
        risky(
            id,
            format!(
                "the NetworkPolicies that select the members ({}) close {}",
                names.join(", "),
                closed.join(", ")
            ),
            "open both ports between the members, in and out, before the window",
        )
    })
}

/// What no rule of the policies lets through. Policies add up: one that allows is enough.
fn closed_ports(policies: &[&NetworkPolicy], ports: [i32; 2]) -> Vec<String> {
    let of_kind = |kind: &str| {
        policies
            .iter()
            .filter_map(|it| it.spec.as_ref())
            .filter(|spec| {
                let kinds = spec.policy_types.as_deref().unwrap_or_default();
                kinds.iter().any(|it| it == kind)
                    || (kinds.is_empty() && (kind == "Ingress" || spec.egress.is_some()))
            })
            .collect::<Vec<_>>()
    };
    let (ingress, egress) = (of_kind("Ingress"), of_kind("Egress"));
    let mut closed = Vec::new();
    for port in ports {
        let comes_in = ingress
            .iter()
            .flat_map(|spec| spec.ingress.iter().flatten())
            .any(|rule| allows(rule.ports.as_deref(), port));
        if !ingress.is_empty() && !comes_in {
            closed.push(format!("{port} in"));
        }
        let goes_out = egress
            .iter()
            .flat_map(|spec| spec.egress.iter().flatten())
            .any(|rule| allows(rule.ports.as_deref(), port));
        if !egress.is_empty() && !goes_out {
            closed.push(format!("{port} out"));
        }
    }
    closed
}

fn allows(ports: Option<&[NetworkPolicyPort]>, port: i32) -> bool {
    let Some(ports) = ports.filter(|it| !it.is_empty()) else {
        return true;
    };
    ports.iter().any(|it| match (&it.port, it.end_port) {
        (None, _) => true,
        (Some(IntOrString::Int(first)), Some(last)) => (*first..=last).contains(&port),
        (Some(IntOrString::Int(only)), None) => *only == port,
        // The chart's own names of the two ports.
        (Some(IntOrString::String(name)), _) => match name.as_str() {
            "https-internal" => port == 8201,
            "http" | "https" => port != 8201,
            _ => false,
        },
    })
}

fn labels_of(set: &StatefulSet) -> Labels {
    set.spec
        .as_ref()
        .and_then(|spec| spec.template.metadata.as_ref()?.labels.clone())
        .unwrap_or_default()
}

fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let expressed = selector.match_expressions.iter().flatten().all(|it| {
        let value = labels.get(&it.key);
        let among = value.is_some_and(|value| it.values.iter().flatten().any(|one| one == value));
        match it.operator.as_str() {
            "In" => among,
            "NotIn" => !among,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    equal && expressed
}

/// Whether members find each other before they are ready.
pub(super) async fn services(platform: &KubernetesPlatform) -> Result<Remark> {
    let id = "cluster-services";
    let name = &platform.layout.service;
    let services = platform.cluster.api::<Service>();
    let found = absent_ok(call(format!("reading Service {name}"), services.get(name)).await)?;
    let Some(spec) = found.and_then(|it| it.spec) else {
        return Ok(bad(
            id,
            format!("the headless Service {name} does not exist"),
            "members find each other by its names; repair the release first",
        ));
    };
    let headless = spec.cluster_ip.as_deref() == Some("None");
    Ok(
        if headless && spec.publish_not_ready_addresses == Some(true) {
            good(
                id,
                format!("{name} is headless and names members before they are ready"),
            )
        } else {
            bad(
                id,
                format!("Service {name} is not headless with publishNotReadyAddresses: true"),
                "members that are sealed could not find each other; repair the release first",
            )
        },
    )
}

/// Whether one budget, and not two, covers the members.
pub(super) async fn budget(platform: &KubernetesPlatform, set: &StatefulSet) -> Result<Remark> {
    let id = "cluster-budget";
    let names: Vec<String> = budgets(platform, set)
        .await?
        .into_iter()
        .map(|it| it.metadata.name.unwrap_or_default())
        .collect();
    Ok(match names.len() {
        0 => good(id, "no PodDisruptionBudget covers the members yet"),
        1 => good(
            id,
            format!(
                "PodDisruptionBudget {} covers the members",
                names.join(", ")
            ),
        ),
        _ => risky(
            id,
            format!(
                "more than one PodDisruptionBudget covers the members: {}",
                names.join(", ")
            ),
            "no pod can be evicted then: keep one",
        ),
    })
}

/// The budgets that cover the members.
pub(super) async fn budgets(
    platform: &KubernetesPlatform,
    set: &StatefulSet,
) -> Result<Vec<PodDisruptionBudget>> {
    let budgets = platform.cluster.api::<PodDisruptionBudget>();
    let all = call(
        "listing PodDisruptionBudgets",
        budgets.list(&ListParams::default()),
    )
    .await?;
    let labels = labels_of(set);
    Ok(all
        .items
        .into_iter()
        .filter(|it| {
            let selector = it.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            selector.is_some_and(|selector| selects(selector, &labels))
        })
        .collect())
}

/// Whether there are nodes enough for members that may not share one.
pub(super) async fn nodes(platform: &KubernetesPlatform, set: &StatefulSet) -> Result<Remark> {
    let id = "cluster-nodes";
    let members = platform.options.members as usize;
    let apart = set
        .spec
        .as_ref()
        .and_then(|spec| {
            let anti = spec
                .template
                .spec
                .as_ref()?
                .affinity
                .as_ref()?
                .pod_anti_affinity
                .as_ref()?;
            anti.required_during_scheduling_ignored_during_execution
                .as_ref()
        })
        .is_some_and(|terms| !terms.is_empty());
    if !apart {
        return Ok(good(id, "members may share a node"));
    }
    let nodes = platform.cluster.all::<Node>();
    let listed = call("listing nodes", nodes.list(&ListParams::default())).await;
    if let Err(crate::platform::Error::Cluster {
        status: Some(403), ..
    }) = listed
    {
        return Ok(risky(
            id,
            format!(
                "members may not share a node, and the nodes may not be listed: whether there are {members} is not known"
            ),
            format!("make sure that {members} nodes can take a member"),
        ));
    }
    let free = listed?
        .items
        .iter()
        .filter(|node| schedulable(node))
        .count();
    Ok(if free >= members {
        good(
            id,
            format!("{free} schedulable nodes for {members} members that may not share one"),
        )
    } else {
        bad(
            id,
            format!(
                "members may not share a node, and only {free} of the {members} needed are schedulable"
            ),
            "add nodes, or relax server.affinity in the release's values",
        )
    })
}

fn schedulable(node: &Node) -> bool {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    !cordoned
        && conditions
            .into_iter()
            .flatten()
            .any(|it| it.type_ == "Ready" && it.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Grade;

    #[test]
    fn the_running_image_is_the_templates() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "spec": {"containers": [{"name": "openbao", "image": "bao:2.6.2"}]}
        }))
        .unwrap();
        assert_eq!(image_of(&pod, "openbao", "bao:2.6.2").grade, Grade::Good);
        assert_eq!(image_of(&pod, "openbao", "bao:2.7.0").grade, Grade::Bad);
    }

    #[test]
    fn credentials_must_outlive_the_run() {
        let grade = |minutes| lasting(SignedDuration::from_mins(minutes)).grade;
        assert_eq!(grade(-5), Grade::Bad);
        assert_eq!(grade(9), Grade::Bad);
        assert_eq!(grade(30), Grade::Risky);
        assert_eq!(grade(60), Grade::Good);
    }

    #[test]
    fn a_volume_that_goes_with_its_claim_is_told() {
        assert_eq!(reclaim_of("pv", Some("Delete")).grade, Grade::Risky);
        assert_eq!(reclaim_of("pv", Some("Retain")).grade, Grade::Good);
    }

    fn policy(spec: &serde_json::Value) -> NetworkPolicy {
        serde_json::from_value(serde_json::json!({"metadata": {"name": "p"}, "spec": spec}))
            .unwrap()
    }

    #[test]
    fn a_port_that_no_rule_names_is_closed() {
        let only_api = policy(
            &serde_json::json!({"podSelector": {}, "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": 8200}]}]}),
        );
        assert_eq!(closed_ports(&[&only_api], [8200, 8201]), ["8201 in"]);
        let range = policy(
            &serde_json::json!({"podSelector": {}, "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": 8200, "endPort": 8202}]}]}),
        );
        assert!(closed_ports(&[&only_api, &range], [8200, 8201]).is_empty());
        let silent = policy(&serde_json::json!({"podSelector": {}, "policyTypes": ["Egress"]}));
        assert_eq!(
            closed_ports(&[&silent], [8200, 8201]),
            ["8200 out", "8201 out"]
        );
    }

    #[test]
    fn a_selector_selects_by_labels_and_expressions() {
        let labels = Labels::from([("a".to_owned(), "b".to_owned())]);
        let selector = |json| serde_json::from_value::<LabelSelector>(json).unwrap();
        assert!(selects(&selector(serde_json::json!({})), &labels));
        assert!(!selects(
            &selector(serde_json::json!({"matchLabels": {"a": "c"}})),
            &labels
        ));
        let not_in = serde_json::json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]});
        assert!(!selects(&selector(not_in), &labels));
    }
}
