//! Objects of an upgrade tried on the API server: `helm --dry-run=server` renders them there and sends none.

use std::collections::BTreeMap;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery::{self, Scope};
use serde_json::Value;

use super::apply::MANAGER;
use super::client::{Cluster, absent_ok, call};
use crate::platform::{Error, Result};

/// Has the API server judge each object as it would be after the upgrade, without changing any: whether it may be read,
/// made or changed by this user, and whether it is taken. `helm` reads every object it keeps, also one that it leaves.
pub(super) async fn try_objects(cluster: &Cluster, objects: &[Value]) -> Result<()> {
    let mut kinds: BTreeMap<Kind, (ApiResource, Scope)> = BTreeMap::new();
    let mut refused = Vec::new();
    for object in objects {
        let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let key = (text("apiVersion"), text("kind"));
        if !kinds.contains_key(&key) {
            kinds.insert(key.clone(), resource(cluster, &key).await?);
        }
        let (resource, scope) = &kinds[&key];
        if let Err(error) = try_one(cluster, object, resource, scope).await {
            match error {
                Error::Cluster {
                    doing,
                    why,
                    status: Some(400..=499),
                } => refused.push(format!("{doing}: {why}")),
                error => return Err(error),
            }
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "the upgrade would fail in the middle of the outage: {}. Nothing was changed; grant what is missing (docs/rbac.yaml \
         says more), or mend the values, and try again",
        refused.join("; ")
    )))
}

/// API version and kind.
type Kind = (String, String);

async fn resource(cluster: &Cluster, key: &Kind) -> Result<(ApiResource, Scope)> {
    let (api_version, kind) = key;
    let meta = TypeMeta {
        api_version: api_version.clone(),
        kind: kind.clone(),
    };
    let kind = GroupVersionKind::try_from(meta)
        .map_err(|error| Error::Refused(format!("{api_version} {kind}: {error}")))?;
    let client = cluster.client();
    let doing = format!("looking for {api_version} {}", kind.kind);
    let (resource, capabilities) = call(doing, discovery::pinned_kind(&client, &kind)).await?;
    Ok((resource, capabilities.scope))
}

async fn try_one(
    cluster: &Cluster,
    object: &Value,
    resource: &ApiResource,
    scope: &Scope,
) -> Result<()> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let api: Api<DynamicObject> = match scope {
        Scope::Cluster => Api::all_with(cluster.client(), resource),
        Scope::Namespaced => {
            let namespace = metadata["namespace"].as_str();
            let namespace = namespace.unwrap_or(cluster.namespace());
            Api::namespaced_with(cluster.client(), namespace, resource)
        }
    };
    let what = format!("{} {name}", resource.kind);
    let found = absent_ok(call(format!("reading {what}"), api.get(name)).await)?;
    let Some(live) = found else {
        let new: DynamicObject = serde_json::from_value(object.clone())
            .map_err(|error| Error::Refused(format!("{what} cannot be read: {error}")))?;
        let options = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let made = call(
            format!("trying to create {what}"),
            api.create(&options, &new),
        );
        // A RoleBinding whose Role the same upgrade makes: it is permitted, and the Role is tried by itself.
        return absent_ok(made.await).map(drop);
    };
    let live = serde_json::to_value(live).unwrap_or_default();
    if holds(&live, object) {
        return Ok(());
    }
    // Applied as a whole object, because only the server knows how its lists merge. The fields of whoever has them now.
    let options = PatchParams {
        dry_run: true,
        force: true,
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let whole = Patch::Apply(object);
    let changed = api.patch(name, &options, &whole);
    call(format!("trying to change {what}"), changed)
        .await
        .map(drop)
}

/// Whether everything that is wanted is there.
fn holds(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            wanted.is_null() || live.get(key).is_some_and(|live| holds(live, wanted))
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len()
                && live
                    .iter()
                    .zip(wanted)
                    .all(|(live, wanted)| holds(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_server_adds_is_no_difference() {
        let wanted = json!({"spec": {"ports": [{"port": 8200}], "selector": null}});
        let live = |port: u16| json!({"spec": {"ports": [{"port": port, "protocol": "TCP"}]}, "status": {}});
        assert!(holds(&live(8200), &wanted));
        assert!(!holds(&live(8201), &wanted));
        assert!(!holds(&json!({}), &wanted));
    }
}
