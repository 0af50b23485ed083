//! The rights that a run needs: one table, which `docs/rbac.yaml` is tested against, and what is missing of it.

use futures_util::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use super::client::call;
use super::inspect::{bad, good};
use super::platform::KubernetesPlatform;
use crate::platform::{Remark, Result};

/// Verbs on a resource of the release's namespace, or of the cluster.
#[derive(Debug)]
pub(super) struct Right {
    /// The API group, empty for the core.
    group: &'static str,
    /// The resource, with its subresource after a slash.
    resource: &'static str,
    verbs: &'static [&'static str],
    /// The one object it is about; only rights of the cluster are so narrow.
    name: Option<&'static str>,
}

const fn right(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
) -> Right {
    Right {
        group,
        resource,
        verbs,
        name: None,
    }
}

const LOOK: &[&str] = &["get", "list"];
const SUSPEND: &[&str] = &["get", "list", "patch"];
/// What `helm upgrade` does with the chart's objects.
const KEEP: &[&str] = &["get", "list", "create", "update", "patch", "delete"];

/// Everything that a run needs, whatever changes the release.
pub(super) const RIGHTS: [Right; 17] = [
    right("", "pods", &["get", "list", "create", "patch", "delete"]),
    right("", "pods/log", &["get"]),
    // A stream is opened by GET, and by POST where an API server wants that.
    right("", "pods/exec", &["get", "create"]),
    right("", "pods/portforward", &["get", "create"]),
    right("", "events", LOOK),
    right("", "persistentvolumeclaims", &["get", "list", "create"]),
    // The run's own and the release's.
    right(
        "",
        "secrets",
        &["get", "create", "update", "patch", "delete"],
    ),
    right("", "configmaps", &["get"]),
    right("", "services", LOOK),
    right("apps", "statefulsets", &["get", "list", "patch"]),
    right("apps", "statefulsets/scale", &["get", "patch"]),
    right("policy", "poddisruptionbudgets", &["get", "list"]),
    right("networking.k8s.io", "networkpolicies", LOOK),
    right("batch", "cronjobs", SUSPEND),
    right("batch", "jobs", SUSPEND),
    right(
        "coordination.k8s.io",
        "leases",
        &["get", "create", "update", "delete"],
    ),
    Right {
        group: "",
        resource: "namespaces",
        verbs: &["get"],
        name: Some("kube-system"),
    },
];

/// What the driver `helm` needs besides.
pub(super) const HELM: [Right; 9] = [
    // Those are in the Role that the chart gives its servers: only who has them may write that Role.
    right("", "pods", &["watch", "update"]),
    // In which `helm` keeps its revisions.
    right("", "secrets", LOOK),
    right("", "configmaps", KEEP),
    right("", "services", KEEP),
    right("", "serviceaccounts", KEEP),
    right("apps", "statefulsets", KEEP),
    right("policy", "poddisruptionbudgets", KEEP),
    right("rbac.authorization.k8s.io", "roles", KEEP),
    right("rbac.authorization.k8s.io", "rolebindings", KEEP),
];

/// What a runbook that runs Jobs again needs besides.
pub(super) const RESEED: [Right; 1] = [right("batch", "jobs", &["get", "create", "delete"])];

/// What the driver `manifests` needs besides.
pub(super) const MANIFESTS: [Right; 2] = [
    right("", "configmaps", &["patch"]),
    // An apply of one that is not there creates it.
    right(
        "policy",
        "poddisruptionbudgets",
        &["create", "patch", "delete"],
    ),
];

/// Those that the API server does not grant, each as verb and resource.
pub(super) async fn missing(
    platform: &KubernetesPlatform,
    rights: impl IntoIterator<Item = &'static Right>,
) -> Result<Vec<String>> {
    let namespace = &platform.options.namespace;
    let asked = rights.into_iter().flat_map(|right| {
        right.verbs.iter().map(move |verb| async move {
            let review = review(right, verb, namespace);
            let reviews: Api<SelfSubjectAccessReview> = Api::all(platform.cluster.client());
            let answer = call(
                format!("asking whether {verb} {} is permitted", right.resource),
                reviews.create(&PostParams::default(), &review),
            )
            .await?;
            let allowed = answer.status.is_some_and(|status| status.allowed);
            Ok((!allowed).then(|| format!("{verb} {}", right.resource)))
        })
    });
    let answers: Vec<Result<Option<String>>> = join_all(asked).await;
    answers.into_iter().filter_map(Result::transpose).collect()
}

/// Asks the API server for each right.
pub(super) async fn check(platform: &KubernetesPlatform) -> Result<Remark> {
    let id = "cluster-access";
    let missing = missing(platform, RIGHTS.iter().chain(platform.driver.rights())).await?;
    Ok(if missing.is_empty() {
        good(id, "every right that a run needs is there")
    } else {
        bad(
            id,
            format!("missing rights: {}", missing.join(", ")),
            "grant them; docs/rbac.yaml is the least Role",
        )
    })
}

fn review(right: &Right, verb: &str, namespace: &str) -> SelfSubjectAccessReview {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, sub)) => (resource, Some(sub.to_owned())),
        None => (right.resource, None),
    };
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(right.group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
                verb: Some(verb.to_owned()),
                namespace: right.name.is_none().then(|| namespace.to_owned()),
                name: right.name.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn words(value: &Value) -> Vec<String> {
        let words = value.as_array().into_iter().flatten();
        words
            .filter_map(|it| it.as_str().map(str::to_owned))
            .collect()
    }

    /// Kind of role, group, resource and verb of each rule.
    fn granted() -> BTreeSet<(String, String, String, String)> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rbac.yaml");
        let text = std::fs::read_to_string(path).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let mut all = BTreeSet::new();
        for object in objects {
            let kind = object["kind"].as_str().unwrap_or_default().to_owned();
            for rule in object["rules"].as_array().into_iter().flatten() {
                for group in words(&rule["apiGroups"]) {
                    for resource in words(&rule["resources"]) {
                        for verb in words(&rule["verbs"]) {
                            all.insert((kind.clone(), group.clone(), resource.clone(), verb));
                        }
                    }
                }
            }
        }
        all
    }

    #[test]
    fn the_documented_role_is_the_table() {
        let mut wanted = BTreeSet::new();
        for right in RIGHTS.iter().chain(&HELM).chain(&MANIFESTS).chain(&RESEED) {
            let kind = if right.name.is_some() {
                "ClusterRole"
            } else {
                "Role"
            };
            for verb in right.verbs {
                wanted.insert((
                    kind.to_owned(),
                    right.group.to_owned(),
                    right.resource.to_owned(),
                    (*verb).to_owned(),
                ));
            }
        }
        // Looked at where it is permitted; a run goes on without.
        let nodes = (
            "ClusterRole".to_owned(),
            String::new(),
            "nodes".to_owned(),
            "list".to_owned(),
        );
        wanted.insert(nodes);
        // Needed where Flux keeps the release, which has no such objects elsewhere.
        for (group, resource) in [
            ("helm.toolkit.fluxcd.io", "helmreleases"),
            ("kustomize.toolkit.fluxcd.io", "kustomizations"),
        ] {
            for verb in ["get", "patch"] {
                wanted.insert((
                    "Role".to_owned(),
                    group.to_owned(),
                    resource.to_owned(),
                    verb.to_owned(),
                ));
            }
        }
        assert_eq!(granted(), wanted);
    }

    #[test]
    fn a_subresource_is_asked_for_as_one() {
        let review = review(&RIGHTS[2], "create", "bao");
        let asked = review.spec.resource_attributes.unwrap();
        assert_eq!(asked.resource.as_deref(), Some("pods"));
        assert_eq!(asked.subresource.as_deref(), Some("exec"));
        assert_eq!(asked.namespace.as_deref(), Some("bao"));
    }
}
