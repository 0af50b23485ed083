//! What a pod itself says about why it does not come: its container's state, its conditions, its events.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;

use super::client::{Cluster, call};
use super::pods::container_status;

/// How many of the last events are shown.
const EVENTS: usize = 5;

/// The state of a pod's container in one line.
pub(super) fn state(pod: &Pod, container: &str) -> String {
    let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
    let Some(state) = container_status(pod, container).and_then(|it| it.state.as_ref()) else {
        let unscheduled = pod
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
            .find(|it| it.type_ == "PodScheduled" && it.status == "False")
            .and_then(|it| it.message.clone());
        return match unscheduled {
            Some(why) => format!("the pod cannot be scheduled: {why}"),
            None => format!("the pod is {}", phase.unwrap_or("not seen by a node yet")),
        };
    };
    let words = |reason: Option<&str>, message: Option<&str>| {
        let reason = reason.unwrap_or("no reason given");
        message.map_or_else(
            || reason.to_owned(),
            |message| format!("{reason}: {message}"),
        )
    };
    if let Some(waiting) = &state.waiting {
        return format!(
            "its container waits: {}",
            words(waiting.reason.as_deref(), waiting.message.as_deref())
        );
    }
    if let Some(ended) = &state.terminated {
        return format!(
            "its container ended with code {}: {}",
            ended.exit_code,
            words(ended.reason.as_deref(), ended.message.as_deref())
        );
    }
    "its container runs".to_owned()
}

/// A pod's state and last events, one line each. What cannot be read is left out: these are words for another error.
pub(super) async fn of(cluster: &Cluster, pod: &str, container: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let pods = cluster.api::<Pod>();
    match call(format!("reading pod {pod}"), pods.get(pod)).await {
        Ok(found) => lines.push(state(&found, container)),
        Err(error) => lines.push(error.to_string()),
    }
    let events = cluster.api::<Event>();
    let params = ListParams::default().fields(&format!("involvedObject.name={pod}"));
    if let Ok(found) = call(format!("listing events of pod {pod}"), events.list(&params)).await {
        let skipped = found.items.len().saturating_sub(EVENTS);
        lines.extend(found.items.into_iter().skip(skipped).map(|event| {
            format!(
                "event {}: {}",
                event.reason.unwrap_or_default(),
                event.message.unwrap_or_default()
            )
        }));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_says_what_it_waits_for() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "bao-1"},
            "status": {"phase": "Pending", "conditions": [
                {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]}
        }))
        .unwrap();
        assert_eq!(
            state(&pod, "openbao"),
            "the pod cannot be scheduled: 0/3 nodes are available"
        );
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "status": {"containerStatuses": [{"name": "openbao", "image": "x", "imageID": "", "ready": false,
                "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}]}
        }))
        .unwrap();
        assert_eq!(
            state(&pod, "openbao"),
            "its container waits: ImagePullBackOff: not found"
        );
    }
}
