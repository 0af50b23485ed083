//! Remarks on whatever else acts on the release: reconcilers, jobs, the keepers of its unseal Secret.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;

use super::client::{absent_ok, call};
use super::inspect::{bad, good, risky};
use super::platform::KubernetesPlatform;
use crate::platform::{Remark, Result, SecretName};

/// Labels and annotations by which a reconciler marks what is its own.
const RECONCILERS: [(&str, &str); 6] = [
    ("helm.toolkit.fluxcd.io/name", "Flux HelmRelease"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux Kustomization"),
    ("argocd.argoproj.io/instance", "Argo CD application"),
    ("argocd.argoproj.io/tracking-id", "Argo CD application"),
    ("reconcile.external-secrets.io/managed", "External Secrets"),
    (
        "reconcile.external-secrets.io/created-by",
        "External Secrets",
    ),
];

/// Names of managers that write a Secret by themselves.
const KEEPERS: [&str; 4] = [
    "external-secrets",
    "sealed-secrets",
    "kustomize-controller",
    "argocd",
];

fn marks(metadata: &ObjectMeta) -> Vec<String> {
    let all: BTreeMap<&String, &String> = metadata
        .labels
        .iter()
        .chain(&metadata.annotations)
        .flatten()
        .collect();
    RECONCILERS
        .iter()
        .filter_map(|(key, what)| {
            let value = all.iter().find(|(name, _)| name.as_str() == *key)?.1;
            Some(format!("{what} {value}"))
        })
        .collect()
}

/// Whether a reconciler would change the release back.
pub(super) fn reconciler(set: &StatefulSet) -> Remark {
    let id = "cluster-reconciler";
    let found = marks(&set.metadata);
    if found.is_empty() {
        return good(id, "no reconciler has marked the StatefulSet");
    }
    bad(
        id,
        format!("the StatefulSet belongs to {}", found.join(", ")),
        "whether that is suspended is not looked at yet: it would bring the file server back in the middle of the run, so \
         suspend it and everything above it first, and take its mark off the StatefulSet for the run",
    )
}

/// Whether the unseal Secret can be emptied and stays so.
pub(super) async fn unseal_secret(platform: &KubernetesPlatform) -> Result<Remark> {
    let id = "cluster-unseal-secret";
    let name = &platform.secrets.name(SecretName::Unseal);
    let secrets = platform.cluster.api::<Secret>();
    let Some(found) = absent_ok(call(format!("reading Secret {name}"), secrets.get(name)).await)?
    else {
        return Ok(good(id, format!("the release has no Secret {name}")));
    };
    if found.immutable == Some(true) {
        return Ok(bad(
            id,
            format!("Secret {name} is immutable: its key cannot be parked"),
            "replace it by one that is not",
        ));
    }
    let metadata = &found.metadata;
    let owners = metadata
        .owner_references
        .iter()
        .flatten()
        .map(|owner| format!("{} {}", owner.kind, owner.name));
    let managers = metadata
        .managed_fields
        .iter()
        .flatten()
        .filter_map(|it| it.manager.clone())
        .filter(|manager| KEEPERS.iter().any(|keeper| manager.contains(keeper)));
    let mut keepers: Vec<String> = marks(metadata)
        .into_iter()
        .chain(owners)
        .chain(managers)
        .collect();
    keepers.sort_unstable();
    keepers.dedup();
    Ok(if keepers.is_empty() {
        good(id, format!("Secret {name} is kept by nobody else"))
    } else {
        bad(
            id,
            format!("Secret {name} is kept by {}", keepers.join(", ")),
            "suspend what keeps it: it would write the key back while that is parked",
        )
    })
}

/// Jobs that could initialise, unseal or change the servers.
pub(super) async fn jobs(platform: &KubernetesPlatform) -> Result<Remark> {
    let id = "cluster-actors";
    let all = ListParams::default();
    let cluster = &platform.cluster;
    let cron = call("listing CronJobs", cluster.api::<CronJob>().list(&all)).await?;
    let jobs = call("listing Jobs", cluster.api::<Job>().list(&all)).await?;
    let services = call("listing Services", cluster.api::<Service>().list(&all)).await?;
    let words = words(platform, &services.items);
    let mut found = Vec::new();
    for it in cron.items.iter().filter(|it| {
        let suspended = it.spec.as_ref().and_then(|spec| spec.suspend);
        suspended != Some(true)
    }) {
        if mentions(it, &words) {
            found.push(format!(
                "CronJob {}",
                it.metadata.name.as_deref().unwrap_or_default()
            ));
        }
    }
    for it in jobs.items.iter().filter(|it| {
        let status = it.status.as_ref();
        let suspended = it.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
        !suspended && status.is_none_or(|status| status.completion_time.is_none())
    }) {
        if mentions(it, &words) {
            found.push(format!(
                "Job {}",
                it.metadata.name.as_deref().unwrap_or_default()
            ));
        }
    }
    Ok(if found.is_empty() {
        good(
            id,
            "no active Job or CronJob of the namespace mentions the release",
        )
    } else {
        risky(
            id,
            format!("may act on the servers: {}", found.join(", ")),
            "suspend each until the run has ended: one that initialises an empty server makes a blank vault",
        )
    })
}

/// What a job that acts on the release has in its text.
fn words(platform: &KubernetesPlatform, services: &[Service]) -> Vec<String> {
    let set = &platform.layout.set;
    let release = &platform.options.release;
    let of_release = services.iter().filter_map(|service| {
        let name = service.metadata.name.clone()?;
        (name == *set || name == *release || name.starts_with(&format!("{set}-"))).then_some(name)
    });
    let mut words: Vec<String> = of_release
        .chain([platform.secrets.name(SecretName::Unseal), set.clone()])
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// Whether any of these stands in the object as a word of its own.
fn mentions(object: &impl serde::Serialize, words: &[String]) -> bool {
    let Ok(text) = serde_json::to_value(object).map(|it| it["spec"].to_string()) else {
        return false;
    };
    let inside = |it: Option<char>| it.is_some_and(|it| it.is_ascii_alphanumeric() || it == '-');
    words.iter().any(|word| {
        text.match_indices(word.as_str()).any(|(at, found)| {
            let before = text[..at].chars().next_back();
            let after = text[at + found.len()..].chars().next();
            // `/openbao` is a path or an image more often than a host.
            !inside(before) && !inside(after) && before != Some('.') && !image_like(before, after)
        })
    })
}

fn image_like(before: Option<char>, after: Option<char>) -> bool {
    before == Some('/') && matches!(after, Some('/' | '@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Grade;

    #[test]
    fn a_job_is_found_by_what_it_mentions() {
        let words = ["openbao-unseal".to_owned(), "bao-active".to_owned()];
        let job = |text: &str| serde_json::json!({"spec": {"args": [text]}});
        assert!(mentions(&job("curl http://bao-active:8200/v1"), &words));
        assert!(mentions(&job("openbao-unseal"), &words));
        assert!(!mentions(&job("openbao-unseal-copy"), &words));
        assert!(!mentions(&job("x"), &words));
    }

    #[test]
    fn a_mark_of_a_reconciler_is_bad() {
        let mut set = StatefulSet::default();
        assert_eq!(reconciler(&set).grade, Grade::Good);
        set.metadata.labels = Some(BTreeMap::from([(
            "helm.toolkit.fluxcd.io/name".to_owned(),
            "openbao".to_owned(),
        )]));
        let remark = reconciler(&set);
        assert_eq!(remark.grade, Grade::Bad);
        assert!(remark.found.contains("Flux HelmRelease openbao"));
    }
}
