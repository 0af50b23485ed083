//! Remarks on whatever else acts on the release: reconcilers, jobs, the keepers of its unseal Secret.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::client::{absent_ok, call};
use super::inspect::{bad, good, risky};
use super::platform::KubernetesPlatform;
use super::template::has_hook;
use crate::platform::{Actor, Remark, Result, SecretName};

/// Labels and annotations by which a reconciler that no run can suspend marks what is its own.
const RECONCILERS: [(&str, &str); 4] = [
    ("argocd.argoproj.io/instance", "Argo CD application"),
    ("argocd.argoproj.io/tracking-id", "Argo CD application"),
    ("reconcile.external-secrets.io/managed", "External Secrets"),
    (
        "reconcile.external-secrets.io/created-by",
        "External Secrets",
    ),
];

/// Names of managers that write a Secret by themselves.
const KEEPERS: [&str; 3] = ["external-secrets", "sealed-secrets", "argocd"];

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
        return good(
            id,
            "no reconciler that cannot be suspended has marked the StatefulSet",
        );
    }
    bad(
        id,
        format!("the StatefulSet belongs to {}", found.join(", ")),
        "it would bring the file server back in the middle of the run: turn its automated sync off, and take its mark off \
         the StatefulSet for the run",
    )
}

/// Whether the unseal Secret can be emptied and stays so.
pub(super) async fn unseal_secret(platform: &KubernetesPlatform) -> Result<Remark> {
    let id = "cluster-unseal-secret";
    let name = &platform.secrets.name(SecretName::Unseal);
    let secrets = platform.cluster.api::<Secret>();
    let Some(found) = absent_ok(call(format!("reading Secret {name}"), secrets.get(name)).await)?
    else {
        let set = platform.stateful_set().await?;
        return Ok(if has_hook(&set) {
            bad(
                id,
                format!(
                    "a hook runs in each new pod, and there is no Secret {name} that it could read"
                ),
                "name the Secret that it reads with --unseal-secret NAME or NAME:FIELD: its key must be parked, else followers \
                 are given the wrong one",
            )
        } else {
            good(id, format!("the release has no Secret {name}"))
        });
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

/// What the run will suspend.
pub(super) async fn others(platform: &KubernetesPlatform) -> Result<Remark> {
    let id = "cluster-actors";
    let acting: Vec<String> = platform
        .find_actors()
        .await?
        .iter()
        .filter(|it| it.acts())
        .map(Actor::to_string)
        .collect();
    Ok(if acting.is_empty() {
        good(
            id,
            "no active CronJob, Job or Flux reconciler of the release",
        )
    } else {
        risky(
            id,
            format!("may act on the servers: {}", acting.join(", ")),
            "nothing to do: the run suspends each before the outage and resumes the jobs at its end",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Grade;

    #[test]
    fn a_mark_of_a_reconciler_is_bad() {
        let mut set = StatefulSet::default();
        assert_eq!(reconciler(&set).grade, Grade::Good);
        set.metadata.labels = Some(BTreeMap::from([(
            "argocd.argoproj.io/instance".to_owned(),
            "openbao".to_owned(),
        )]));
        let remark = reconciler(&set);
        assert_eq!(remark.grade, Grade::Bad);
        assert!(remark.found.contains("Argo CD application openbao"));
    }
}
