//! Jobs of the platform that a run runs again, each as a copy of its own.

use std::time::Duration;

use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, PostParams};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::access::{RESEED, missing};
use super::client::{absent_ok, call};
use super::platform::KubernetesPlatform;
use super::secrets::{MANAGED_BY, OURS, RELEASE, labels};
use crate::platform::{Error, JobState, Result};

/// Labels by which a Job's controller knows the pods of that one Job.
const OF_ONE_JOB: [&str; 4] = [
    "controller-uid",
    "job-name",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
];
/// No name of a Job is longer: its pods bear it as a label.
const LONGEST: usize = 63;
/// Time for a Job's pods to go.
const GO: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(500);

/// The name of a run's copy of a Job, which no other run has.
pub(super) fn name_of(job: &str, run: Uuid) -> String {
    let run = run.simple().to_string();
    let end = &run[run.len() - 8..];
    let room = LONGEST - 1 - end.len();
    if job.len() <= room {
        return format!("{job}-{end}");
    }
    // Two that begin alike must not share a copy.
    let whole = hex::encode(&Sha256::digest(job)[..4]);
    let room = room - 1 - whole.len();
    format!("{}-{whole}-{end}", job[..room].trim_end_matches(['-', '.']))
}

/// The same work as a Job that nobody has run yet, and that stays when it has ended.
fn anew(mut spec: JobSpec) -> JobSpec {
    spec.selector = None;
    spec.manual_selector = None;
    spec.suspend = None;
    spec.ttl_seconds_after_finished = None;
    let metadata = spec.template.metadata.as_mut();
    if let Some(labels) = metadata.and_then(|it| it.labels.as_mut()) {
        labels.retain(|label, _| !OF_ONE_JOB.contains(&label.as_str()));
    }
    spec
}

fn state(job: &Job, by_hand: &str) -> JobState {
    let status = job.status.clone().unwrap_or_default();
    for condition in status
        .conditions
        .iter()
        .flatten()
        .filter(|it| it.status == "True")
    {
        match condition.type_.as_str() {
            "Complete" => return JobState::Complete,
            "Failed" => {
                let reason = condition
                    .reason
                    .as_deref()
                    .unwrap_or("for no reason that is told");
                let message = condition.message.as_deref().unwrap_or_default();
                return JobState::Failed(format!(
                    "it failed: {reason}, {message} (`{by_hand}` has its words)"
                ));
            }
            _ => {}
        }
    }
    let [active, failed] = [status.active, status.failed].map(Option::unwrap_or_default);
    JobState::Running(format!("{active} pods active, {failed} failed"))
}

impl KubernetesPlatform {
    async fn find_job(&self, name: &str) -> Result<Option<Job>> {
        let jobs = self.cluster.api::<Job>();
        absent_ok(call(format!("reading Job {name}"), jobs.get(name)).await)
    }

    /// What the Job of this name does, or the CronJob.
    async fn work_of(&self, job: &str) -> Result<Option<JobSpec>> {
        if let Some(found) = self.find_job(job).await? {
            return Ok(found.spec);
        }
        let crons = self.cluster.api::<CronJob>();
        let found = absent_ok(call(format!("reading CronJob {job}"), crons.get(job)).await)?;
        Ok(found.and_then(|cron| cron.spec?.job_template.spec))
    }

    /// Why the Job cannot be run again, where it cannot.
    pub(super) async fn why_no_job(&self, job: &str) -> Result<Option<String>> {
        let namespace = &self.options.namespace;
        if self.work_of(job).await?.is_none() {
            return Ok(Some(format!(
                "there is no Job {job} in {namespace}, and no CronJob: apply it, suspended if it must not run yet (`spec.suspend`), or \
                 name those that there are in a runbook of your own (`baoctl runbook show reseed`)"
            )));
        }
        let lacking = missing(self, &RESEED).await?;
        Ok((!lacking.is_empty()).then(|| {
            let lacking = lacking.join(", ");
            format!(
                "missing rights to run Jobs again: {lacking}; grant them, docs/rbac.yaml has them"
            )
        }))
    }

    /// How a copy stands; `None` where there is none.
    pub(super) async fn copy_state(&self, copy: &str) -> Result<Option<JobState>> {
        let by_hand = format!("kubectl -n {} logs job/{copy}", self.options.namespace);
        let found = self.find_job(copy).await?;
        Ok(found.map(|found| state(&found, &by_hand)))
    }

    /// Makes a copy of this name, if it is not there.
    pub(super) async fn copy_job(&self, job: &str, copy: &str) -> Result<()> {
        if self.find_job(copy).await?.is_some() {
            return Ok(());
        }
        let work = self.work_of(job).await?;
        let gone = || Error::Refused(format!("there is no Job {job} any more, and no CronJob"));
        let made = Job {
            metadata: ObjectMeta {
                name: Some(copy.to_owned()),
                labels: Some(labels(&self.options.release)),
                ..ObjectMeta::default()
            },
            spec: Some(anew(work.ok_or_else(gone)?)),
            ..Job::default()
        };
        let jobs = self.cluster.api::<Job>();
        let params = PostParams::default();
        let created = call(format!("creating Job {copy}"), jobs.create(&params, &made));
        created.await.map(drop)
    }

    /// Removes a copy with its pods, and waits until they are gone; absent is fine.
    pub(super) async fn remove_copy(&self, name: &str) -> Result<()> {
        let jobs = self.cluster.api::<Job>();
        let end = Instant::now() + GO;
        let (mut asked, params) = (false, DeleteParams::foreground());
        while self.find_job(name).await?.is_some() {
            if !asked {
                let removed = jobs.delete(name, &params);
                absent_ok(call(format!("deleting Job {name}"), removed).await)?;
                asked = true;
            } else if Instant::now() >= end {
                return Err(Error::Refused(format!(
                    "Job {name} is still there after {}s, and its pods may act on the servers: find out why they do not end, then go on",
                    GO.as_secs()
                )));
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// The copies that runs of this release made.
    pub(super) async fn job_copies(&self) -> Result<Vec<String>> {
        let selector = format!("{MANAGED_BY}={OURS},{RELEASE}={}", self.options.release);
        let params = ListParams::default().labels(&selector);
        let jobs = self.cluster.api::<Job>();
        let all = call("listing Jobs", jobs.list(&params)).await?;
        Ok(all
            .items
            .into_iter()
            .filter_map(|job| job.metadata.name)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_copy_is_a_job_that_nobody_has_run() {
        let spec: JobSpec = serde_json::from_value(json!({
            "suspend": true, "backoffLimit": 2, "ttlSecondsAfterFinished": 60,
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "one"}},
            "template": {
                "metadata": {"labels": {"app": "seed", "job-name": "vault-seed", "controller-uid": "one",
                    "batch.kubernetes.io/job-name": "vault-seed", "batch.kubernetes.io/controller-uid": "one"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "it", "image": "x"}]},
            },
        }))
        .unwrap();
        let copy = serde_json::to_value(anew(spec)).unwrap();
        assert_eq!(
            copy,
            json!({"backoffLimit": 2, "template": {"metadata": {"labels": {"app": "seed"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "it", "image": "x"}]}}})
        );
    }

    #[test]
    fn no_name_is_too_long_nor_another_runs() {
        let run = Uuid::parse_str("01890000-0000-7000-8000-0000deadbeef").unwrap();
        assert_eq!(name_of("vault-seed", run), "vault-seed-deadbeef");
        let long = name_of(&"x".repeat(63), run);
        assert!(long.len() <= 63, "{long}");
        assert_ne!(name_of(&format!("{}a", "x".repeat(62)), run), long);
        assert_ne!(name_of("a", Uuid::now_v7()), name_of("a", Uuid::now_v7()));
    }

    #[test]
    fn the_end_of_a_job_is_told_by_its_conditions() {
        let job = |status| -> Job {
            serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap()
        };
        let of = |kind: &str, status: &str| json!({"conditions": [{"type": kind, "status": status, "reason": "BackoffLimitExceeded"}]});
        assert_eq!(state(&job(of("Complete", "True")), ""), JobState::Complete);
        assert!(matches!(
            state(&job(of("Complete", "False")), ""),
            JobState::Running(_)
        ));
        let failed = state(&job(of("Failed", "True")), "kubectl logs");
        assert!(
            matches!(failed, JobState::Failed(why) if why.contains("BackoffLimitExceeded") && why.contains("kubectl logs"))
        );
        let seen = state(&job(json!({"active": 1})), "");
        assert_eq!(
            seen,
            JobState::Running("1 pods active, 0 failed".to_owned())
        );
    }
}
