//! Remarks on the StatefulSet's own words.

use k8s_openapi::api::apps::v1::StatefulSet;

use super::inspect::{bad, good, risky};
use super::layout::server_of;
use super::probe::one_by_one;
use crate::platform::Remark;

/// Below this a restore of much data may be killed in its middle.
const MEMORY: u64 = 256 << 20;

/// Whether an upgrade leaves running pods alone.
pub(super) fn strategy(set: &StatefulSet) -> Remark {
    let id = "cluster-strategy";
    let kind = set
        .spec
        .as_ref()
        .and_then(|spec| spec.update_strategy.as_ref()?.type_.as_deref())
        .unwrap_or("RollingUpdate");
    if kind == "OnDelete" {
        return good(
            id,
            "updateStrategy OnDelete: an upgrade leaves running pods alone",
        );
    }
    bad(
        id,
        format!("updateStrategy {kind}: the upgrade itself would replace the source"),
        "set server.updateStrategyType to OnDelete first",
    )
}

/// Whether claims outlive their pods.
pub(super) fn retention(set: &StatefulSet) -> Remark {
    let id = "cluster-retention";
    let policy = set
        .spec
        .as_ref()
        .and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
    let deletes: Vec<&str> = policy
        .into_iter()
        .flat_map(|it| {
            [
                ("whenScaled", &it.when_scaled),
                ("whenDeleted", &it.when_deleted),
            ]
        })
        .filter(|(_, value)| value.as_deref() == Some("Delete"))
        .map(|(name, _)| name)
        .collect();
    if deletes.is_empty() {
        return good(id, "claims are retained");
    }
    bad(
        id,
        format!(
            "persistentVolumeClaimRetentionPolicy deletes claims ({})",
            deletes.join(", ")
        ),
        "set both to Retain first: a scale-down would take the data with it",
    )
}

/// In which order members come up.
pub(super) fn probe(set: &StatefulSet) -> Remark {
    let id = "cluster-probe";
    if one_by_one(set) {
        good(
            id,
            "the readiness probe fails while sealed: members come up one by one, each when the one before it is unsealed",
        )
    } else {
        good(id, "members come up all at once, sealed")
    }
}

/// Whether the container's memory is enough for a restore.
pub(super) fn memory(set: &StatefulSet) -> Remark {
    let id = "cluster-memory";
    let limit = set.spec.as_ref().and_then(|spec| {
        server_of(&spec.template)?
            .resources
            .as_ref()?
            .limits
            .as_ref()?
            .get("memory")
    });
    let Some(limit) = limit else {
        return good(id, "the server has no memory limit");
    };
    match bytes(&limit.0) {
        Some(bytes) if bytes < MEMORY => risky(
            id,
            format!("the server's memory limit is {}", limit.0),
            "a restore holds up to 50,000 entries in memory, and one that is killed in its middle costs time: allow 256Mi or more",
        ),
        _ => good(id, format!("the server's memory limit is {}", limit.0)),
    }
}

/// Whether the server can unpack a snapshot into `/tmp` before it restores it.
pub(super) fn tmp(set: &StatefulSet) -> Remark {
    let id = "cluster-tmp";
    let spec = set
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref());
    let server = set.spec.as_ref().and_then(|spec| server_of(&spec.template));
    let mount = server
        .iter()
        .flat_map(|it| it.volume_mounts.iter().flatten())
        .find(|it| it.mount_path.trim_end_matches('/') == "/tmp");
    let read_only = server
        .and_then(|it| it.security_context.as_ref()?.read_only_root_filesystem)
        .unwrap_or_default();
    let Some(mount) = mount else {
        return if read_only {
            bad(
                id,
                "the server's root file system is read-only and nothing is mounted at /tmp, where it unpacks a snapshot",
                "mount an emptyDir at /tmp (server.volumes, server.volumeMounts)",
            )
        } else {
            good(id, "/tmp is in the container's own file system")
        };
    };
    let volumes = spec.into_iter().flat_map(|it| it.volumes.iter().flatten());
    let empty = volumes
        .filter(|it| it.name == mount.name)
        .find_map(|it| it.empty_dir.as_ref());
    match empty {
        Some(empty) if empty.medium.as_deref() == Some("Memory") => risky(
            id,
            "/tmp is in memory: a snapshot that is unpacked there counts against the memory limit",
            "let it be on disk, or allow for the size of the data",
        ),
        Some(empty) if empty.size_limit.is_some() => risky(
            id,
            format!(
                "/tmp may hold {}",
                empty.size_limit.as_ref().map_or("", |it| it.0.as_str())
            ),
            "a snapshot is unpacked there: the data must fit in, with room to spare",
        ),
        _ => good(id, "/tmp is a volume without a limit"),
    }
}

/// Whether something runs in each new pod beside the server.
pub(super) fn has_hook(set: &StatefulSet) -> bool {
    let server = set.spec.as_ref().and_then(|spec| server_of(&spec.template));
    server
        .and_then(|it| it.lifecycle.as_ref()?.post_start.as_ref())
        .is_some()
}

/// Whether a hook unseals by itself.
pub(super) fn hook(set: &StatefulSet) -> Remark {
    let present = has_hook(set);
    good(
        "cluster-hook",
        if present {
            "a postStart hook runs in each new pod; the unseal Secret is emptied while that would do harm"
        } else {
            "no postStart hook: restarted servers stay sealed until somebody unseals them"
        },
    )
}

/// A quantity in bytes.
fn bytes(quantity: &str) -> Option<u64> {
    let digits = quantity.trim_end_matches(|it: char| it.is_ascii_alphabetic());
    let number: f64 = digits.parse().ok()?;
    let factor = match &quantity[digits.len()..] {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size to compare, saturating"
    )]
    Some((number * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Grade;

    fn set(spec: &serde_json::Value) -> StatefulSet {
        let mut whole =
            serde_json::json!({"spec": {"serviceName": "x", "selector": {}, "template": {}}});
        for (key, value) in spec.as_object().unwrap() {
            whole["spec"][key] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn what_would_lose_the_source_is_bad() {
        let rolling = set(&serde_json::json!({}));
        assert_eq!(strategy(&rolling).grade, Grade::Bad);
        assert_eq!(retention(&rolling).grade, Grade::Good);
        let deletes = set(&serde_json::json!({
            "updateStrategy": {"type": "OnDelete"},
            "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete", "whenDeleted": "Retain"}}));
        assert_eq!(strategy(&deletes).grade, Grade::Good);
        assert!(retention(&deletes).found.contains("whenScaled"));
    }

    #[test]
    fn little_memory_is_risky() {
        let with = |limit: &str| {
            set(&serde_json::json!({"template": {"spec": {"containers": [
                {"name": "openbao", "resources": {"limits": {"memory": limit}}}]}}}))
        };
        assert_eq!(memory(&with("128Mi")).grade, Grade::Risky);
        assert_eq!(memory(&with("256Mi")).grade, Grade::Good);
        assert_eq!(bytes("1.5Gi"), Some(1_610_612_736));
        assert_eq!(bytes("1e3"), Some(1000));
    }

    #[test]
    fn a_snapshot_needs_a_place_to_be_unpacked() {
        let with = |read_only: bool, mounts: serde_json::Value, empty: serde_json::Value| {
            let container = serde_json::json!({"name": "openbao", "volumeMounts": mounts,
                "securityContext": {"readOnlyRootFilesystem": read_only}});
            let set = set(&serde_json::json!({"template": {"spec": {
                "containers": [container], "volumes": [{"name": "tmp", "emptyDir": empty}]}}}));
            tmp(&set).grade
        };
        let none = || serde_json::json!([]);
        let mounted = || serde_json::json!([{"name": "tmp", "mountPath": "/tmp"}]);
        assert_eq!(with(false, none(), none_of()), Grade::Good);
        assert_eq!(with(true, none(), none_of()), Grade::Bad);
        assert_eq!(with(true, mounted(), none_of()), Grade::Good);
        assert_eq!(
            with(true, mounted(), serde_json::json!({"medium": "Memory"})),
            Grade::Risky
        );
        assert_eq!(
            with(true, mounted(), serde_json::json!({"sizeLimit": "1Mi"})),
            Grade::Risky
        );
    }

    fn none_of() -> serde_json::Value {
        serde_json::json!({})
    }
}
