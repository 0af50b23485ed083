//! Whatever else acts on the release, found by its kind and its marks, and suspended for the time of a run.
//!
//! Each of these kinds is suspended by its own field `spec.suspend`. One that a run suspended bears the run's annotation,
//! so that exactly those are resumed, also by another process or from another machine.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
};
use kube::discovery::{self, ApiGroup};
use kube::error::DiscoveryError;
use serde_json::{Value, json};

use super::apply::MANAGER;
use super::client::{absent_ok, call};
use super::platform::KubernetesPlatform;
use crate::platform::{Actor, Error, Result, SecretName, SuspendedBy};

/// On what a run suspended: the release that the run is about.
const SUSPENDED: &str = "baoctl/suspended";

/// A reconciler whose objects bear its name: kind, API group, prefix of the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reconciler {
    HelmRelease,
    Kustomization,
}

impl Reconciler {
    const ALL: [Self; 2] = [Self::HelmRelease, Self::Kustomization];

    const fn kind(self) -> &'static str {
        match self {
            Self::HelmRelease => "HelmRelease",
            Self::Kustomization => "Kustomization",
        }
    }

    /// Its API group, which is the prefix of its labels too.
    const fn group(self) -> &'static str {
        match self {
            Self::HelmRelease => "helm.toolkit.fluxcd.io",
            Self::Kustomization => "kustomize.toolkit.fluxcd.io",
        }
    }
}

/// A reconciler's kind, namespace and name.
type Named = (Reconciler, String, String);

/// The reconcilers that an object's labels name.
fn keepers(metadata: &ObjectMeta) -> impl Iterator<Item = Named> + use<'_> {
    Reconciler::ALL.into_iter().filter_map(move |it| {
        let label = |field: &str| {
            let labels = metadata.labels.as_ref()?;
            labels.get(&format!("{}/{field}", it.group())).cloned()
        };
        Some((it, label("namespace")?, label("name")?))
    })
}

fn batch(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("batch", "v1", kind))
}

/// A Job that has ended for good or for bad acts no more.
fn ended(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|it| {
        matches!(it["type"].as_str(), Some("Complete" | "Failed")) && it["status"] == "True"
    })
}

fn actor(release: &str, kind: &str, metadata: &ObjectMeta, data: &Value) -> Actor {
    let annotations = metadata.annotations.as_ref();
    let mark = annotations.and_then(|it| it.get(SUSPENDED));
    let by = if mark.is_some_and(|by| by == release) {
        SuspendedBy::Run
    } else {
        SuspendedBy::Others
    };
    Actor {
        kind: kind.to_owned(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        suspended: (data["spec"]["suspend"] == true).then_some(by),
        // A pod that is on its way down acts until its grace period is over.
        busy: kind == "Job"
            && ["active", "terminating"]
                .iter()
                .any(|it| data["status"][it].as_u64().unwrap_or_default() > 0),
        reconciles: Reconciler::ALL.iter().any(|it| it.kind() == kind),
    }
}

impl KubernetesPlatform {
    fn dynamic(&self, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.cluster.client(), namespace, resource)
    }

    /// The resource of a reconciler in the version that the cluster prefers, `None` where it is not installed.
    async fn reconciler(&self, which: Reconciler) -> Result<Option<ApiResource>> {
        let group = which.group();
        let client = self.cluster.client();
        let asked = async {
            match discovery::group(&client, group).await {
                Err(kube::Error::Discovery(DiscoveryError::MissingApiGroup(_))) => Ok(None),
                found => found.map(Some),
            }
        };
        let found: Option<ApiGroup> = call(format!("looking for {group}"), asked).await?;
        Ok(found
            .and_then(|group| group.recommended_kind(which.kind()))
            .map(|(resource, _)| resource))
    }

    /// Every CronJob and unfinished Job of the namespace: what a job does may stand in its image. And each reconciler
    /// that keeps the release, its unseal Secret or one of them.
    pub(super) async fn find_actors(&self) -> Result<Vec<Actor>> {
        let (namespace, release) = (&self.options.namespace, &self.options.release);
        let set = self.stateful_set().await?;
        let mut marked: BTreeSet<Named> = keepers(&set.metadata).collect();
        let name = self.secrets.name(SecretName::Unseal);
        let secrets = self.cluster.api::<Secret>();
        let secret = call(format!("reading Secret {name}"), secrets.get(&name)).await;
        if let Some(secret) = absent_ok(secret)? {
            marked.extend(keepers(&secret.metadata));
        }
        let mut found = Vec::new();
        for kind in ["CronJob", "Job"] {
            let api = self.dynamic(namespace, &batch(kind));
            let all = call(format!("listing {kind}s"), api.list(&ListParams::default())).await?;
            for object in all.items.iter().filter(|it| !ended(&it.data)) {
                marked.extend(keepers(&object.metadata));
                found.push(actor(release, kind, &object.metadata, &object.data));
            }
        }
        // A HelmRelease is kept by a Kustomization in its turn. Further up nothing holds an object of the release.
        for which in Reconciler::ALL {
            let these: Vec<Named> = marked.iter().filter(|it| it.0 == which).cloned().collect();
            if these.is_empty() {
                continue;
            }
            let Some(resource) = self.reconciler(which).await? else {
                continue;
            };
            for (_, namespace, name) in these {
                let api = self.dynamic(&namespace, &resource);
                let doing = format!("reading {} {namespace}/{name}", which.kind());
                if let Some(object) = absent_ok(call(doing, api.get(&name)).await)? {
                    marked.extend(keepers(&object.metadata));
                    found.push(actor(release, which.kind(), &object.metadata, &object.data));
                }
            }
        }
        Ok(found)
    }

    /// Suspends an actor, or resumes one that a run suspended. One that is gone needs neither.
    pub(super) async fn suspend_actor(&self, actor: &Actor, suspend: bool) -> Result<()> {
        let reconciler = Reconciler::ALL
            .into_iter()
            .find(|it| it.kind() == actor.kind);
        let resource = match reconciler {
            None => batch(&actor.kind),
            Some(which) => match self.reconciler(which).await? {
                Some(resource) => resource,
                None => return Ok(()),
            },
        };
        // Of another release of the namespace, whose run goes on.
        let mark = suspend.then_some(&self.options.release);
        let patch = json!({
            "metadata": {"annotations": {SUSPENDED: mark}},
            "spec": {"suspend": suspend},
        });
        let options = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.dynamic(&actor.namespace, &resource);
        let doing = if suspend { "suspending" } else { "resuming" };
        let patched = call(
            format!("{doing} {actor}"),
            api.patch(&actor.name, &options, &Patch::Merge(patch)),
        )
        .await;
        match absent_ok(patched) {
            Err(Error::Cluster {
                status: Some(403), ..
            }) => Err(Error::Refused(format!(
                "{actor} may not be changed by you: grant the right (see docs/rbac.yaml), or let somebody do it who may: {}; \
                 then resume",
                by_hand(actor, suspend)
            ))),
            patched => patched.map(drop),
        }
    }
}

/// What a person types to suspend or resume an actor.
pub(super) fn by_hand(actor: &Actor, suspend: bool) -> String {
    let Actor {
        kind,
        namespace,
        name,
        ..
    } = actor;
    let kind = kind.to_lowercase();
    if actor.reconciles {
        let verb = if suspend { "suspend" } else { "resume" };
        return format!("flux {verb} {kind} {name} -n {namespace}");
    }
    format!(
        r#"kubectl -n {namespace} patch {kind} {name} --type=merge -p '{{"spec":{{"suspend":{suspend}}}}}'"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_who_keeps_an_object() {
        let metadata: ObjectMeta = serde_json::from_value(json!({"labels": {
            "helm.toolkit.fluxcd.io/name": "openbao", "helm.toolkit.fluxcd.io/namespace": "vault",
            "kustomize.toolkit.fluxcd.io/name": "without a namespace it is another label",
        }}))
        .unwrap();
        let found: Vec<Named> = keepers(&metadata).collect();
        let named = |text: &str| text.to_owned();
        assert_eq!(
            found,
            [(Reconciler::HelmRelease, named("vault"), named("openbao"))]
        );
        assert_eq!(keepers(&ObjectMeta::default()).count(), 0);
    }

    #[test]
    fn only_what_the_run_suspended_is_the_runs() {
        let named = |annotations: Value| -> ObjectMeta {
            serde_json::from_value(
                json!({"name": "job", "namespace": "vault", "annotations": annotations}),
            )
            .unwrap()
        };
        let busy = json!({"spec": {"suspend": false}, "status": {"active": 1}});
        let asleep = json!({"spec": {"suspend": true}, "status": {}});
        let (ours, others) = (named(json!({SUSPENDED: "x"})), named(json!({})));
        let of = |metadata, data| actor("x", "Job", metadata, data);
        let of_another = actor("y", "Job", &ours, &asleep);
        assert_eq!(of_another.suspended, Some(SuspendedBy::Others));
        let going = json!({"spec": {"suspend": true}, "status": {"terminating": 1}});
        assert!(of(&ours, &going).acts());
        // The mark of an earlier run says nothing of one that acts.
        assert_eq!(of(&ours, &busy).suspended, None);
        assert!(of(&ours, &busy).busy && !of(&ours, &asleep).busy);
        assert_eq!(of(&ours, &asleep).suspended, Some(SuspendedBy::Run));
        assert_eq!(of(&others, &asleep).suspended, Some(SuspendedBy::Others));
        assert_eq!(of(&ours, &busy).to_string(), "Job vault/job");
    }

    #[test]
    fn a_job_that_has_ended_acts_no_more() {
        let job = |kind: &str, status: &str| json!({"status": {"conditions": [{"type": kind, "status": status}]}});
        assert!(ended(&job("Complete", "True")) && ended(&job("Failed", "True")));
        assert!(!ended(&job("Complete", "False")) && !ended(&job("Suspended", "True")));
        assert!(!ended(&json!({})));
    }
}
