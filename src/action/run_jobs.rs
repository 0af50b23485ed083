//! Runs Jobs of the platform again, one after the other, and waits for each.
//!
//! Each is run as a copy with a name of the run's own, made from the Job's or the CronJob's template: what is there stays as it
//! is, a copy that a killed run made is found again, and a rollback removes the copies before the source serves.

use std::iter;
use std::time::Duration;

use async_trait::async_trait;

use super::cluster::{await_active, bring_up, current_keys};
use super::{Action, Context, Error, Evidence, Look, Observation, Outcome, Result};
use crate::armed::Armed;
use crate::platform::JobState;

/// See [`super::ActionSpec::RunJobs`].
pub struct RunJobs {
    /// Their names, in order.
    pub jobs: Vec<String>,
    /// How long each of them may take.
    pub limit: Duration,
}

const PAUSE: Duration = Duration::from_millis(500);

impl RunJobs {
    fn evidence(&self) -> Evidence {
        Evidence::new(format!("completed: {}", self.jobs.join(", ")))
    }

    /// Runs one to its end; one that failed before is begun anew.
    async fn run(&self, ctx: &Context, job: &str, armed: &Armed) -> Result<()> {
        let platform = &ctx.platform;
        if let Some(JobState::Failed(_)) = platform.job_state(job, ctx.run).await? {
            platform.remove_job(job, ctx.run, armed).await?;
        }
        platform.run_job(job, ctx.run, armed).await?;
        let what = format!("the Job {job} to complete");
        let look = async || match platform.job_state(job, ctx.run).await? {
            Some(JobState::Complete) => Ok(Look::Ready(())),
            Some(JobState::Running(seen)) => Ok(Look::NotYet(seen)),
            Some(JobState::Failed(why)) => Err(Error::refused(format!(
                "{why}. When its cause is mended, `baoctl resume` runs it again"
            ))),
            None => Err(Error::refused(format!(
                "the run's copy of the Job {job} was removed while it was waited for; `baoctl resume` runs it again"
            ))),
        };
        ctx.until(&what, self.limit, PAUSE, look).await
    }
}

#[async_trait]
impl Action for RunJobs {
    fn applies(&self, ctx: &Context) -> bool {
        ctx.platform.has_jobs()
    }

    async fn lacks(&self, ctx: &Context) -> Result<Option<String>> {
        for job in &self.jobs {
            if let Some(why) = ctx.platform.job_obstacle(job).await? {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    fn title(&self, _: &Context) -> String {
        format!("run {} again", self.jobs.join(", "))
    }

    async fn describe(&self, _: &Context) -> Result<Vec<String>> {
        let run =
            |job: &String| format!("create a copy of the Job {job}; wait until it is complete");
        let up = "each member that is down or sealed: start, PUT sys/unseal".to_owned();
        Ok(iter::once(up).chain(self.jobs.iter().map(run)).collect())
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        if !self.applies(ctx) {
            return Ok(Observation::NotApplicable(
                "there are no Jobs here: seed the server yourself, or by a `command` in a runbook of your own".to_owned(),
            ));
        }
        for job in &self.jobs {
            if ctx.platform.job_state(job, ctx.run).await? != Some(JobState::Complete) {
                return Ok(Observation::Pending);
            }
        }
        Ok(Observation::Done(self.evidence()))
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        // A Job that meets no server may fail for good.
        let keys = current_keys(ctx).await?;
        bring_up(ctx, &ctx.platform.members(), &keys, &armed).await?;
        await_active(ctx, Duration::from_mins(1)).await?;
        for job in &self.jobs {
            self.run(ctx, job, &armed).await?;
        }
        Ok(self.evidence().into())
    }

    fn describe_undo(&self, ctx: &Context) -> Result<Vec<String>> {
        let remove = |job: &String| {
            format!("remove the run's copy of the Job {job}, and wait until its pods are gone")
        };
        let jobs = self.jobs.iter().filter(|_| self.applies(ctx));
        Ok(jobs.map(remove).collect())
    }

    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        for job in &self.jobs {
            ctx.platform.remove_job(job, ctx.run, &armed).await?;
        }
        Ok("no copy of a Job is left, nor a pod of one".to_owned())
    }
}
