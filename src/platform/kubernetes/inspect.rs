//! What is worth knowing of the cluster before a run. Each look is for itself: one that is not permitted is a remark too.

use k8s_openapi::api::apps::v1::StatefulSet;

use super::platform::KubernetesPlatform;
use super::{access, actors, surroundings, template};
use crate::platform::{Error, Grade, Remark, Result};

/// Every remark.
pub(super) async fn all(platform: &KubernetesPlatform) -> Result<Vec<Remark>> {
    let set: StatefulSet = platform.stateful_set().await?;
    let mut remarks = vec![
        template::strategy(&set),
        template::retention(&set),
        template::probe(&set),
        template::memory(&set),
        template::tmp(&set),
        template::hook(&set),
        actors::reconciler(&set),
    ];
    remarks.extend(surroundings::credentials(&platform.cluster));
    remarks.extend(surroundings::reclaim(platform).await);
    remarks.push(seen("cluster-access", access::check(platform).await));
    remarks.push(seen(
        "cluster-image",
        surroundings::image(platform, &set).await,
    ));
    remarks.push(seen(
        "cluster-unseal-secret",
        actors::unseal_secret(platform).await,
    ));
    remarks.push(seen("cluster-actors", actors::others(platform).await));
    remarks.push(seen(
        "cluster-network",
        surroundings::network(platform, &set).await,
    ));
    remarks.push(seen(
        "cluster-services",
        surroundings::services(platform).await,
    ));
    remarks.push(seen(
        "cluster-budget",
        surroundings::budget(platform, &set).await,
    ));
    remarks.push(seen(
        "cluster-nodes",
        surroundings::nodes(platform, &set).await,
    ));
    Ok(remarks)
}

/// A look that failed is itself something to know.
fn seen(id: &'static str, looked: Result<Remark>) -> Remark {
    looked.unwrap_or_else(|error| {
        let hint = if matches!(
            error,
            Error::Cluster {
                status: Some(403),
                ..
            }
        ) {
            "grant the right (see docs/rbac.yaml), or look yourself"
        } else {
            "look again, or look yourself"
        };
        risky(id, format!("could not be looked at: {error}"), hint)
    })
}

pub(super) fn good(id: &'static str, found: impl Into<String>) -> Remark {
    remark(id, Grade::Good, found.into(), String::new())
}

pub(super) fn risky(id: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Remark {
    remark(id, Grade::Risky, found.into(), hint.into())
}

pub(super) fn bad(id: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Remark {
    remark(id, Grade::Bad, found.into(), hint.into())
}

const fn remark(id: &'static str, grade: Grade, found: String, hint: String) -> Remark {
    Remark {
        id,
        grade,
        found,
        hint,
    }
}
