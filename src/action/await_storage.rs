//! Waits until every member that exists reports the storage it should.

use std::time::Duration;

use async_trait::async_trait;

use super::cluster::{holds_no_raft, start};
use super::{Action, Context, Evidence, Look, Observation, Outcome, Result};
use crate::armed::Armed;
use crate::event::Level;
use crate::platform::StorageKind;

/// See [`super::ActionSpec::AwaitStorage`].
pub struct AwaitStorage {
    /// Which.
    pub storage: StorageKind,
}

impl AwaitStorage {
    /// Gives a server that was never initialised the release's configuration: there is nothing that it could lose, and it
    /// takes the new storage only with a new process. What it never opened is not its own: see [`holds_no_raft`].
    async fn renew_unused(&self, ctx: &Context, armed: &Armed) -> Result<()> {
        for member in ctx.running().await? {
            let status = ctx.node(&member)?.seal_status().await?;
            if status.storage_type == self.storage.name() || status.initialized {
                continue;
            }
            if self.storage == StorageKind::Raft {
                holds_no_raft(ctx, &member).await?;
            }
            let was = &status.storage_type;
            ctx.note(
                Level::Info,
                format!("{member} is empty, on {was} storage: it is replaced"),
            );
            ctx.platform.replace(&member, armed).await?;
        }
        Ok(())
    }

    async fn look(&self, ctx: &Context) -> Result<Look<Evidence>> {
        let members = ctx.running().await?;
        for member in &members {
            let found = ctx.node(member)?.seal_status().await?.storage_type;
            if found != self.storage.name() {
                return Ok(Look::NotYet(format!("{member} reports {found}")));
            }
        }
        // The others may have to wait for it.
        let first = ctx.first()?;
        if !members.contains(&first) {
            return Ok(Look::NotYet(format!("{first} does not run")));
        }
        Ok(Look::Ready(Evidence::new(format!(
            "{} on {}",
            members.join(", "),
            self.storage.name()
        ))))
    }
}

#[async_trait]
impl Action for AwaitStorage {
    fn title(&self, _: &Context) -> String {
        format!(
            "wait until every member reports {} storage",
            self.storage.name()
        )
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(ctx
            .platform
            .members()
            .iter()
            .map(|member| format!("{member}: start where it is down or empty on other storage; GET sys/seal-status"))
            .collect())
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        Ok(match self.look(ctx).await {
            Ok(Look::Ready(evidence)) => Observation::Done(evidence),
            Ok(Look::NotYet(_)) => Observation::Pending,
            Err(error) if error.is_transient() => Observation::Pending,
            Err(error) => return Err(error),
        })
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let release = ctx.platform.release().await?;
        if release.storage == self.storage {
            let mut members = ctx.platform.members();
            members.truncate(release.replicas as usize);
            start(ctx, &members, &armed).await?;
        }
        let what = format!("every member to report {} storage", self.storage.name());
        let evidence = ctx
            .until(
                &what,
                Duration::from_mins(5),
                Duration::from_millis(200),
                async || {
                    if release.storage == self.storage {
                        self.renew_unused(ctx, &armed).await?;
                    }
                    self.look(ctx).await
                },
            )
            .await?;
        Ok(evidence.into())
    }
}
