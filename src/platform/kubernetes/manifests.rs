//! The change of a release that no helm manages: what runs now, with raft in it, applied on the server's side.

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, Preconditions};

use super::access::{self, Right};
use super::apply::{How, MANAGER, apply, is_applied, refusal};
use super::client::{absent_ok, call};
use super::driver::{Driver, Proposal, recorded};
use super::form::Form;
use super::platform::KubernetesPlatform;
use super::pods::spec_replicas;
use super::raft_objects::Objects;
use crate::meter::Meter;
use crate::platform::{Before, Flip, Result};

/// See [`super::driver::DriverKind::Manifests`].
#[derive(Debug)]
pub(super) struct Manifests {
    /// Takes fields from their managers.
    pub(super) force: bool,
}

impl Manifests {
    const fn how(&self) -> How {
        if self.force { How::Forced } else { How::Kindly }
    }

    /// Applies them, so that at no time more members may start than should with the configuration that stands there. The
    /// replicas come last: a change that was cut off before them is not taken for a whole one.
    async fn carry_out(&self, at: &KubernetesPlatform, objects: &Objects) -> Result<()> {
        let how = self.how();
        let now = spec_replicas(&at.stateful_set().await?);
        let meanwhile = now.min(objects.replicas);
        let set = objects.stateful_set(meanwhile);
        apply::<StatefulSet>(&at.cluster, &set, how).await?;
        apply::<ConfigMap>(&at.cluster, &objects.config_map(), how).await?;
        if let Some(budget) = &objects.budget {
            apply::<PodDisruptionBudget>(&at.cluster, budget, how).await?;
        }
        if meanwhile < objects.replicas {
            let set = objects.stateful_set(objects.replicas);
            apply::<StatefulSet>(&at.cluster, &set, how).await?;
        }
        at.forget_replicas().await
    }

    /// Removes the budget that came with raft; one of somebody else's stays.
    async fn remove_budget(at: &KubernetesPlatform) -> Result<()> {
        let name = &at.layout.set;
        let budgets = at.cluster.api::<PodDisruptionBudget>();
        let doing = format!("PodDisruptionBudget {name}");
        let found = call(format!("reading {doing}"), budgets.get(name)).await;
        let Some(found) = absent_ok(found)?.filter(|it| is_applied(&it.metadata)) else {
            return Ok(());
        };
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: found.metadata.uid,
            resource_version: None,
        });
        let removed = call(format!("deleting {doing}"), budgets.delete(name, &params)).await;
        absent_ok(removed).map(drop)
    }
}

#[async_trait]
impl Driver for Manifests {
    fn rights(&self) -> &'static [Right] {
        &access::MANIFESTS
    }

    async fn before(&self, _: &KubernetesPlatform, now: &Form) -> Result<Before> {
        Ok(now.record())
    }

    /// Tries each object on the server.
    async fn propose(&self, at: &KubernetesPlatform, flip: &Flip) -> Result<Proposal> {
        let objects = Objects::on_raft(at, flip).await?;
        let now = at.stateful_set().await?;
        let set = objects.stateful_set(flip.replicas);
        let (tried, mut owned) = apply::<StatefulSet>(&at.cluster, &set, How::Tried).await?;
        let map = objects.config_map();
        owned.extend(apply::<ConfigMap>(&at.cluster, &map, How::Tried).await?.1);
        if let Some(budget) = &objects.budget {
            let tried = apply::<PodDisruptionBudget>(&at.cluster, budget, How::Tried).await?;
            owned.extend(tried.1);
        }
        if !owned.is_empty() && !self.force {
            return Err(refusal(&owned));
        }
        let mut calls: Vec<String> = objects
            .told(&now)
            .into_iter()
            .map(|told| format!("server-side apply as {MANAGER}: {told}"))
            .collect();
        for it in owned {
            calls.push(format!(
                "take {} from {} (--force-conflicts)",
                it.field, it.manager
            ));
        }
        Ok(Proposal {
            form: Form::of(&tried, objects.config),
            calls,
        })
    }

    async fn flip(
        &self,
        at: &KubernetesPlatform,
        flip: &Flip,
        before: &Before,
        _: &dyn Meter,
    ) -> Result<()> {
        if at.is_flipped(flip, before).await? {
            return Ok(());
        }
        self.carry_out(at, &Objects::on_raft(at, flip).await?).await
    }

    /// Applies what was: what came with raft goes, because nobody applies it any more.
    async fn revert(&self, at: &KubernetesPlatform, before: &Before, _: &dyn Meter) -> Result<()> {
        let was = recorded(before)?;
        // One that was never applied is left to those whose it is.
        if is_applied(&at.stateful_set().await?.metadata) {
            self.carry_out(at, &Objects::of(at, &was)).await?;
        }
        Self::remove_budget(at).await
    }
}
