//! A place for a follower before it is there: its claims bound and its image pulled on the node where it would run, by a helper
//! pod that the scheduler treats as it will treat the follower's own.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    Affinity, Container, PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod,
    PodAffinityTerm, PodSpec, PodTemplateSpec, Volume, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::api::PostParams;

use super::client::{absent_ok, call, there_ok};
use super::helper::Site;
use super::helper_pod;
use super::layout::server_of;
use super::platform::KubernetesPlatform;
use crate::platform::Result;

/// The label of a follower's place holder; its value is the StatefulSet.
const PLACE: &str = "baoctl/place-of";
/// The label of a node that says in which zone it is.
const ZONE: &str = "topology.kubernetes.io/zone";

impl KubernetesPlatform {
    /// Makes the follower's claims, and runs a pod with them where the follower would run. Told where; `None` where that
    /// depends on the members that run by then.
    pub(super) async fn place(&self, member: &str) -> Result<Option<String>> {
        self.layout.ordinal(member)?;
        let set = self.stateful_set().await?;
        if spreads(&set) {
            return Ok(None);
        }
        for claim in claims(&set, member) {
            self.make_claim(&claim).await?;
        }
        let (claim, _) = self.layout.claim_of(&self.server_config().await?.path)?;
        let pod = holder(
            &set,
            member,
            (claim, &self.site.claim(member)),
            self.options.helper_image.as_deref(),
        )?;
        self.site.run(member, &pod).await.map(Some)
    }

    async fn make_claim(&self, claim: &PersistentVolumeClaim) -> Result<()> {
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let claims = self.cluster.api::<PersistentVolumeClaim>();
        let found = absent_ok(call(format!("reading claim {name}"), claims.get(name)).await)?;
        if found.is_some() {
            return Ok(());
        }
        let params = PostParams::default();
        let made = claims.create(&params, claim);
        there_ok(call(format!("creating claim {name}"), made).await)
    }
}

/// Whether a pod's place depends on how many run elsewhere: one that is not of the set cannot stand for one that is. Also where it
/// need not: the volume that is bound would hold the follower to the place for good.
fn spreads(set: &StatefulSet) -> bool {
    let spec = set.spec.as_ref();
    let pod = spec.and_then(|spec| spec.template.spec.as_ref());
    let spread = pod.and_then(|pod| pod.topology_spread_constraints.as_ref());
    spread.is_some_and(|it| !it.is_empty())
}

/// The claims of a member, as the StatefulSet's controller makes them.
fn claims(set: &StatefulSet, member: &str) -> Vec<PersistentVolumeClaim> {
    let Some(spec) = &set.spec else {
        return Vec::new();
    };
    let templates = spec.volume_claim_templates.iter().flatten();
    let claim = |template: &PersistentVolumeClaim| {
        let of = &template.metadata;
        let mut labels = of.labels.clone().unwrap_or_default();
        labels.extend(spec.selector.match_labels.clone().unwrap_or_default());
        PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(claim_name(template, member)),
                labels: Some(labels),
                annotations: of.annotations.clone(),
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: None,
        }
    };
    templates.map(claim).collect()
}

fn claim_name(template: &PersistentVolumeClaim, member: &str) -> String {
    let of = template.metadata.name.as_deref().unwrap_or_default();
    format!("{of}-{member}")
}

/// The member's helper pod, with all of its claims and with the server's image, where the server's pod would run. `data` is the
/// volume claim template with the data, and the member's claim of it.
fn holder(
    set: &StatefulSet,
    member: &str,
    data: (&str, &str),
    helper_image: Option<&str>,
) -> Result<Pod> {
    let spec = set.spec.clone().unwrap_or_default();
    let template: PodTemplateSpec = spec.template;
    let name = Site::helper_of(member);
    let build = |image| helper_pod::build(&template, &name, data.0, data.1, None, image);
    let mut pod = build(helper_image)?;
    let theirs = template.spec.clone().unwrap_or_default();
    let server = server_of(&template);
    // It pulls the image, whatever a helper's is, and takes the room that the server will.
    let pulled = Container {
        name: "image".to_owned(),
        command: Some(vec!["bao".to_owned(), "version".to_owned()]),
        resources: server.and_then(|server| server.resources.clone()),
        image_pull_policy: server.and_then(|server| server.image_pull_policy.clone()),
        ..helper_pod::first_container(&build(None)?)
    };
    let own = BTreeMap::from([(
        PLACE.to_owned(),
        set.metadata.name.clone().unwrap_or_default(),
    )]);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.extend(own.clone());
    let others = spec.volume_claim_templates.iter().flatten();
    let others = others.filter(|it| it.metadata.name.as_deref() != Some(data.0));
    let volumes = others.map(|template| Volume {
        name: template.metadata.name.clone().unwrap_or_default(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim_name(template, member),
            read_only: None,
        }),
        ..Volume::default()
    });
    if let Some(made) = &mut pod.spec {
        made.init_containers = Some(vec![pulled]);
        made.volumes.get_or_insert_default().extend(volumes);
        *made = PodSpec {
            affinity: Some(apart(
                by_zone(theirs.affinity.unwrap_or_default(), spec.selector),
                &own,
            )),
            node_selector: theirs.node_selector,
            scheduler_name: theirs.scheduler_name,
            priority_class_name: theirs.priority_class_name,
            runtime_class_name: theirs.runtime_class_name,
            ..made.clone()
        };
    }
    Ok(pod)
}

/// The scheduler spreads the pods of a set over zones where it can, unless told otherwise; of pods that are of none it does not know.
fn by_zone(mut affinity: Affinity, set: LabelSelector) -> Affinity {
    let anti = affinity.pod_anti_affinity.get_or_insert_default();
    let preferred = &mut anti.preferred_during_scheduling_ignored_during_execution;
    preferred
        .get_or_insert_default()
        .push(WeightedPodAffinityTerm {
            weight: 1,
            pod_affinity_term: PodAffinityTerm {
                label_selector: Some(set),
                topology_key: ZONE.to_owned(),
                ..PodAffinityTerm::default()
            },
        });
    affinity
}

/// What keeps the set's pods apart keeps the place holders apart as well: those have another label.
fn apart(mut affinity: Affinity, own: &BTreeMap<String, String>) -> Affinity {
    let selector = LabelSelector {
        match_labels: Some(own.clone()),
        match_expressions: None,
    };
    let of_own = |term: &PodAffinityTerm| PodAffinityTerm {
        label_selector: Some(selector.clone()),
        match_label_keys: None,
        mismatch_label_keys: None,
        namespace_selector: None,
        namespaces: None,
        topology_key: term.topology_key.clone(),
    };
    if let Some(anti) = &mut affinity.pod_anti_affinity {
        if let Some(terms) = &mut anti.required_during_scheduling_ignored_during_execution {
            let more: Vec<_> = terms.iter().map(of_own).collect();
            terms.extend(more);
        }
        if let Some(terms) = &mut anti.preferred_during_scheduling_ignored_during_execution {
            let mut more = terms.clone();
            for it in &mut more {
                it.pod_affinity_term = of_own(&it.pod_affinity_term);
            }
            terms.extend(more);
        }
    }
    affinity
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set() -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": {"name": "bao"},
            "spec": {
                "serviceName": "bao-internal", "selector": {"matchLabels": {"app": "bao"}},
                "volumeClaimTemplates": [
                    {"metadata": {"name": "data", "labels": {"tier": "gold"}}, "spec": {"accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": "10Gi"}}, "storageClassName": "fast"}},
                    {"metadata": {"name": "audit"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
                "template": {"metadata": {"labels": {"app": "bao"}}, "spec": {
                    "nodeSelector": {"pool": "secrets"}, "priorityClassName": "high",
                    "affinity": {"podAntiAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [
                            {"labelSelector": {"matchLabels": {"app": "bao"}}, "topologyKey": "kubernetes.io/hostname"}],
                        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 7, "podAffinityTerm":
                            {"labelSelector": {"matchLabels": {"app": "bao"}}, "topologyKey": "topology.kubernetes.io/zone"}}]}},
                    "containers": [{"name": "openbao", "image": "bao:2.6.2",
                        "resources": {"requests": {"memory": "1Gi"}},
                        "volumeMounts": [{"name": "data", "mountPath": "/openbao/data"}]}]}}
            }
        }))
        .unwrap()
    }

    #[test]
    fn the_claims_are_those_that_the_controller_would_make() {
        let made = claims(&set(), "bao-1");
        let names: Vec<_> = made.iter().map(|it| it.metadata.name.as_deref()).collect();
        assert_eq!(names, [Some("data-bao-1"), Some("audit-bao-1")]);
        let labels = made[0].metadata.labels.as_ref().unwrap();
        assert_eq!((&*labels["app"], &*labels["tier"]), ("bao", "gold"));
        assert_eq!(
            made[0].spec,
            set().spec.unwrap().volume_claim_templates.unwrap()[0].spec
        );
    }

    #[test]
    fn the_holder_is_scheduled_as_the_follower_and_away_from_the_others() {
        let pod = holder(&set(), "bao-1", ("data", "data-bao-1"), Some("tools:1")).unwrap();
        let labels = pod.metadata.labels.as_ref().unwrap();
        assert!(
            labels.get("app").is_none(),
            "no Service may find it: {labels:?}"
        );
        let spec = pod.spec.unwrap();
        assert_eq!(spec.node_name, None);
        assert_eq!(spec.node_selector.unwrap()["pool"], "secrets");
        assert_eq!(spec.priority_class_name.as_deref(), Some("high"));
        let volumes = spec.volumes.iter().flatten();
        let claims: Vec<_> = volumes
            .map(|it| {
                it.persistent_volume_claim
                    .as_ref()
                    .unwrap()
                    .claim_name
                    .as_str()
            })
            .collect();
        assert_eq!(claims, ["data-bao-1", "audit-bao-1"]);
        let first = &spec.init_containers.unwrap()[0];
        assert_eq!(first.image.as_deref(), Some("bao:2.6.2"));
        assert_eq!(
            first.resources.as_ref().unwrap().requests.as_ref().unwrap()["memory"].0,
            "1Gi"
        );
        assert_eq!(spec.containers[0].image.as_deref(), Some("tools:1"));
        let anti = spec.affinity.unwrap().pod_anti_affinity.unwrap();
        let required = anti
            .required_during_scheduling_ignored_during_execution
            .unwrap();
        let own = |term: &PodAffinityTerm| {
            let labels = term
                .label_selector
                .as_ref()
                .and_then(|it| it.match_labels.clone());
            labels.is_some_and(|labels| labels.get(PLACE).map(String::as_str) == Some("bao"))
        };
        assert_eq!(required.iter().map(own).collect::<Vec<_>>(), [false, true]);
        let preferred = anti
            .preferred_during_scheduling_ignored_during_execution
            .unwrap();
        // The set's own wish, and the scheduler's default, of its pods and of place holders.
        let wishes = preferred
            .iter()
            .map(|it| (it.weight, own(&it.pod_affinity_term)));
        let expected = [(7, false), (1, false), (7, true), (1, true)];
        assert_eq!(wishes.collect::<Vec<_>>(), expected);
        let zones = preferred
            .iter()
            .all(|it| it.pod_affinity_term.topology_key == ZONE);
        assert!(zones, "{preferred:?}");
    }

    #[test]
    fn a_spread_is_left_to_the_scheduler() {
        for kind in ["DoNotSchedule", "ScheduleAnyway"] {
            let mut set = set();
            assert!(!spreads(&set));
            let pod = set.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
            pod.topology_spread_constraints = serde_json::from_value(json!([
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": kind}]))
            .unwrap();
            assert!(spreads(&set), "{kind}");
        }
    }
}
