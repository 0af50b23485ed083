//! The Secrets of a run: two of its own, and the one of the release, of which only fields change.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroize;

use super::client::{Cluster, absent_ok, call};
use crate::platform::{Error, Result, SecretData, SecretName, UNSEAL_KEY};

/// The label by which this tool knows its own objects.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub(super) const OURS: &str = "baoctl";
/// The label that tells what one release's run made from another's in the same namespace.
pub(super) const RELEASE: &str = "baoctl/release";

/// The labels of what a run keeps for a release.
pub(super) fn labels(release: &str) -> BTreeMap<String, String> {
    [(MANAGED_BY, OURS), (RELEASE, release)]
        .map(|(label, value)| (label.to_owned(), value.to_owned()))
        .into()
}
/// Touched on a pod: its kubelet then looks at once whether a mounted Secret changed.
const TOUCHED: &str = "baoctl/touched";

/// Where the Secrets of a release are.
#[derive(Debug, Clone)]
pub(super) struct Secrets {
    cluster: Cluster,
    release: String,
    /// The release's own Secret.
    pub(super) unseal: String,
    /// Its field with the unseal shares.
    pub(super) field: String,
}

impl Secrets {
    /// `unseal` is the release's Secret, as `NAME` or `NAME:FIELD`. Nothing is called yet.
    pub(super) fn new(cluster: &Cluster, release: &str, unseal: &str) -> Self {
        let (unseal, field) = unseal.split_once(':').unwrap_or((unseal, UNSEAL_KEY));
        Self {
            cluster: cluster.clone(),
            release: release.to_owned(),
            unseal: unseal.to_owned(),
            field: field.to_owned(),
        }
    }

    /// A Secret's name in the cluster.
    pub(super) fn name(&self, name: SecretName) -> String {
        match name {
            SecretName::Unseal => self.unseal.clone(),
            SecretName::Parked => format!("baoctl-{}-parked", self.release),
            SecretName::Throwaway => format!("baoctl-{}-throwaway", self.release),
        }
    }

    async fn find(&self, name: &str) -> Result<Option<Secret>> {
        let secrets = self.cluster.api::<Secret>();
        absent_ok(call(format!("reading Secret {name}"), secrets.get(name)).await)
    }

    /// The fields that are text; no key or token is anything else.
    pub(super) async fn read(&self, name: SecretName) -> Result<Option<SecretData>> {
        let found = self.find(&self.name(name)).await?.map(fields);
        Ok(found.map(|data| renamed(name, data, &self.field, UNSEAL_KEY)))
    }

    /// Writes a Secret, reads it back and compares. Of the release's own only the fields change that differ.
    pub(super) async fn write(&self, which: SecretName, data: &SecretData) -> Result<()> {
        let name = self.name(which);
        let data = &renamed(which, data.clone(), UNSEAL_KEY, &self.field);
        match (self.find(&name).await?, which) {
            (Some(found), SecretName::Unseal) => self.change(&name, found, data).await?,
            (Some(found), _) => self.replace(&name, found, data).await?,
            (None, _) => self.create(&name, which, data).await?,
        }
        let written = self.find(&name).await?.map(fields).unwrap_or_default();
        if holds(&written, data) {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "Secret {name} does not read back as it was written: something else writes it as well; find and suspend that, \
             then resume"
        )))
    }

    async fn create(&self, name: &str, which: SecretName, data: &SecretData) -> Result<()> {
        let mut secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: (which != SecretName::Unseal).then(|| labels(&self.release)),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            data: Some(encoded(data)),
            ..Secret::default()
        };
        let secrets = self.cluster.api::<Secret>();
        let made = call(
            format!("creating Secret {name}"),
            secrets.create(&PostParams::default(), &secret),
        )
        .await;
        wipe(&mut secret);
        made.map(|mut made| wipe(&mut made))
    }

    async fn replace(&self, name: &str, mut found: Secret, data: &SecretData) -> Result<()> {
        ours(name, &found)?;
        wipe(&mut found);
        found.data = Some(encoded(data));
        let secrets = self.cluster.api::<Secret>();
        // The version in it makes this fail when somebody else wrote meanwhile.
        let replaced = call(
            format!("writing Secret {name}"),
            secrets.replace(name, &PostParams::default(), &found),
        )
        .await;
        wipe(&mut found);
        replaced.map(|mut it| wipe(&mut it))
    }

    async fn change(&self, name: &str, mut found: Secret, data: &SecretData) -> Result<()> {
        let changed: BTreeMap<String, ByteString> = encoded(data)
            .into_iter()
            .filter(|(key, value)| {
                found
                    .data
                    .as_ref()
                    .and_then(|data| data.get(key))
                    .is_none_or(|now| now.0 != value.0)
            })
            .collect();
        let immutable = found.immutable == Some(true);
        wipe(&mut found);
        if changed.is_empty() {
            return Ok(());
        }
        if immutable {
            return Err(Error::Refused(format!(
                "Secret {name} is immutable: its key cannot be parked; replace it by one that is not"
            )));
        }
        let mut patch = Secret {
            metadata: ObjectMeta {
                resource_version: found.metadata.resource_version,
                ..ObjectMeta::default()
            },
            data: Some(changed),
            ..Secret::default()
        };
        let secrets = self.cluster.api::<Secret>();
        let patched = call(
            format!("changing Secret {name}"),
            secrets.patch(name, &PatchParams::default(), &Patch::Merge(&patch)),
        )
        .await;
        wipe(&mut patch);
        patched.map(|mut it| wipe(&mut it))
    }

    /// Removes one of the run's own Secrets; absent is fine.
    pub(super) async fn remove(&self, which: SecretName) -> Result<()> {
        let name = self.name(which);
        if which == SecretName::Unseal {
            return Err(Error::Refused(format!(
                "the Secret {name} belongs to the release and is never removed"
            )));
        }
        let Some(mut found) = self.find(&name).await? else {
            return Ok(());
        };
        wipe(&mut found);
        ours(&name, &found)?;
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: found.metadata.uid,
            resource_version: None,
        });
        let secrets = self.cluster.api::<Secret>();
        let removed = call(
            format!("deleting Secret {name}"),
            secrets.delete(&name, &params),
        )
        .await;
        absent_ok(removed).map(drop)
    }

    /// Makes the kubelets of these pods look at what they mount. Best effort: they look by themselves within minutes.
    pub(super) async fn refresh_mounts(&self, pods: &[String]) {
        let now = jiff::Timestamp::now().to_string();
        let patch = serde_json::json!({"metadata": {"annotations": {TOUCHED: now}}});
        for pod in pods {
            let api = self.cluster.api::<Pod>();
            let params = PatchParams::default();
            let patch = Patch::Merge(&patch);
            let _ = call(
                format!("touching pod {pod}"),
                api.patch(pod, &params, &patch),
            )
            .await;
        }
    }
}

/// Moves a value from one field to another, in the release's own Secret alone.
fn renamed<T>(
    which: SecretName,
    mut data: BTreeMap<String, T>,
    from: &str,
    to: &str,
) -> BTreeMap<String, T> {
    if which == SecretName::Unseal
        && from != to
        && let Some(value) = data.remove(from)
    {
        data.insert(to.to_owned(), value);
    }
    data
}

fn ours(name: &str, found: &Secret) -> Result<()> {
    let label = found
        .metadata
        .labels
        .as_ref()
        .and_then(|it| it.get(MANAGED_BY));
    if label.is_some_and(|it| it == OURS) {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "a Secret {name} stands there that is not of this tool (no label {MANAGED_BY}={OURS}); move it away and resume"
    )))
}

fn encoded(data: &SecretData) -> BTreeMap<String, ByteString> {
    data.iter()
        .map(|(key, value)| {
            let value = ByteString(value.expose_secret().as_bytes().to_vec());
            (key.clone(), value)
        })
        .collect()
}

/// Takes the text fields out of a Secret and wipes the rest.
fn fields(mut secret: Secret) -> SecretData {
    let mut fields = SecretData::new();
    for (key, value) in secret.data.iter_mut().flatten() {
        if let Ok(text) = std::str::from_utf8(&value.0) {
            fields.insert(key.clone(), SecretString::from(text));
        }
    }
    wipe(&mut secret);
    fields
}

/// Overwrites what a Secret holds.
pub(super) fn wipe(secret: &mut Secret) {
    for value in secret.data.iter_mut().flat_map(BTreeMap::values_mut) {
        value.0.zeroize();
    }
}

/// Whether every wanted field stands there with its value.
fn holds(written: &SecretData, wanted: &SecretData) -> bool {
    wanted.iter().all(|(name, value)| {
        written
            .get(name)
            .is_some_and(|now| now.expose_secret() == value.expose_secret())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_go_there_and_back() {
        let data = SecretData::from([("key".to_owned(), "one\ntwo".into())]);
        let secret = Secret {
            data: Some(encoded(&data)),
            ..Secret::default()
        };
        let read = fields(secret);
        assert!(holds(&read, &data));
        assert!(!holds(&SecretData::new(), &data));
    }

    #[test]
    fn only_what_bears_the_label_is_of_this_tool() {
        let mut secret = Secret::default();
        assert!(ours("x", &secret).is_err());
        secret.metadata.labels = Some(labels("openbao"));
        ours("x", &secret).unwrap();
    }
}
