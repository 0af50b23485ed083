//! Server-side apply under a field manager of our own, and what it would take from other managers.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::{Patch, PatchParams};
use kube::core::Status;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client::{Cluster, call};
use crate::platform::{Error, Result};

/// The name under which this tool owns fields.
pub(super) const MANAGER: &str = "baoctl";
const CONFLICT: &str = "FieldManagerConflict";

/// A field that somebody else owns, and would lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    /// Where it is, for example `.spec.replicas of StatefulSet openbao`.
    pub(super) field: String,
    /// Whose it is.
    pub(super) manager: String,
}

/// How an object is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Tried: nothing is changed, and what would be taken from others is told.
    Tried,
    /// Really, taking nothing from others.
    Kindly,
    /// Really, taking what is needed.
    Forced,
}

/// Applies an object. Gives it back, with the fields that this takes from others. What an `Update` of this tool's own wrote, as
/// a scaling does, is nobody else's.
pub(super) async fn apply<K>(cluster: &Cluster, body: &Value, how: How) -> Result<(K, Vec<Owned>)>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    K::DynamicType: Default,
{
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&body["metadata"]["name"]);
    let object = format!("{} {name}", text(&body["kind"]));
    let objects = cluster.api::<K>();
    let send = async |force| {
        let params = PatchParams {
            dry_run: how == How::Tried,
            force,
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Apply(body);
        let sent = async {
            match objects.patch(&name, &params, &patch).await {
                Ok(applied) => Ok(Ok(applied)),
                Err(kube::Error::Api(status)) if !owned(&status, &object).is_empty() => {
                    Ok(Err(owned(&status, &object)))
                }
                Err(error) => Err(error),
            }
        };
        call(format!("applying {object}"), sent).await
    };
    let mut owned = match send(false).await? {
        Ok(applied) => return Ok((applied, Vec::new())),
        Err(owned) => owned,
    };
    owned.retain(|it| it.manager != MANAGER);
    if how == How::Kindly && !owned.is_empty() {
        return Err(refusal(&owned));
    }
    match send(true).await? {
        Ok(applied) => Ok((applied, owned)),
        Err(owned) => Err(refusal(&owned)),
    }
}

/// The conflicts in an answer, one per field and manager.
fn owned(status: &Status, object: &str) -> Vec<Owned> {
    let causes = status.details.iter().flat_map(|it| &it.causes);
    causes
        .filter(|cause| cause.reason == CONFLICT)
        .map(|cause| {
            let manager = cause.message.split('"').nth(1);
            Owned {
                field: format!("{} of {object}", cause.field),
                manager: manager.unwrap_or(&cause.message).to_owned(),
            }
        })
        .collect()
}

/// What to do about fields of others.
pub(super) fn refusal(owned: &[Owned]) -> Error {
    let fields: Vec<String> = owned
        .iter()
        .map(|it| format!("{} belongs to {}", it.field, it.manager))
        .collect();
    let helm = if owned.iter().any(|it| it.manager == "helm") {
        " For a release that helm manages there is --driver helm."
    } else {
        ""
    };
    Error::Refused(format!(
        "other field managers own what has to be changed: {}. Suspend whatever applies these objects until the run has \
         ended, as it would bring the file server back; then type the same command with --force-conflicts, which makes \
         the fields those of {MANAGER}.{helm}",
        fields.join(", ")
    ))
}

/// Whether this tool has applied the object before.
pub(super) fn is_applied(metadata: &ObjectMeta) -> bool {
    metadata.managed_fields.iter().flatten().any(|it| {
        it.manager.as_deref() == Some(MANAGER) && it.operation.as_deref() == Some("Apply")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_field_and_manager() {
        let status: Status = serde_json::from_value(serde_json::json!({
            "status": "Failure", "code": 409, "reason": "Conflict", "message": "Apply failed with 2 conflicts",
            "details": {"causes": [
                {"reason": "FieldManagerConflict", "field": ".spec.replicas",
                    "message": "conflict with \"kubectl-client-side-apply\" using apps/v1"},
                {"reason": "FieldManagerConflict", "field": ".spec.replicas",
                    "message": "conflict with \"baoctl\" with subresource \"scale\" using apps/v1"}]}
        }))
        .unwrap();
        let found = owned(&status, "StatefulSet bao");
        assert_eq!(found[0].field, ".spec.replicas of StatefulSet bao");
        assert_eq!(found[0].manager, "kubectl-client-side-apply");
        assert_eq!(found[1].manager, MANAGER);
        let said = refusal(&found[..1]).to_string();
        assert!(
            said.contains("belongs to kubectl-client-side-apply"),
            "{said}"
        );
        assert!(said.contains("--force-conflicts") && !said.contains("--driver helm"));
    }

    #[test]
    fn another_conflict_is_none_of_fields() {
        let status: Status = serde_json::from_value(serde_json::json!({
            "status": "Failure", "code": 409, "reason": "Conflict", "message": "the object has been modified"
        }))
        .unwrap();
        assert!(owned(&status, "x").is_empty());
    }
}
