//! The change of a release by a person: told to the last line, then awaited.

use std::fmt::Write;
use std::time::Duration;

use async_trait::async_trait;
use similar::TextDiff;
use tokio::time::{Instant, sleep};

use super::access::Right;
use super::driver::{Driver, Proposal, recorded};
use super::form::Form;
use super::platform::KubernetesPlatform;
use super::pods::spec_replicas;
use super::raft_objects::Objects;
use crate::meter::Meter;
use crate::platform::{Aim, Before, Error, Flip, Result};

/// How long a person is given: clients may be waiting all the time.
const PATIENCE: Duration = Duration::from_mins(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// See [`super::driver::DriverKind::Manual`].
#[derive(Debug)]
pub(super) struct Manual;

#[async_trait]
impl Driver for Manual {
    fn rights(&self) -> &'static [Right] {
        &[]
    }

    async fn before(&self, _: &KubernetesPlatform, now: &Form) -> Result<Before> {
        Ok(now.record())
    }

    async fn propose(&self, at: &KubernetesPlatform, flip: &Flip) -> Result<Proposal> {
        let objects = Objects::on_raft(at, flip).await?;
        let now = at.stateful_set().await?;
        let calls = objects.told(&now).into_iter();
        Ok(Proposal {
            calls: calls.map(|told| format!("left to you: {told}")).collect(),
            form: objects.form(now),
        })
    }

    fn left_to_you(&self) -> bool {
        true
    }

    fn not_apart(&self) -> Option<&'static str> {
        Some("with the driver manual nobody sees that it is so in time: use helm or manifests")
    }

    async fn by_hand(
        &self,
        at: &KubernetesPlatform,
        aim: Aim<'_>,
        before: &Before,
    ) -> Result<Option<String>> {
        let was = recorded(before)?;
        let now = at.form().await?;
        let (objects, faults, chart) = match aim {
            Aim::Raft(flip) => (
                Objects::on_raft(at, flip).await?,
                was.faults_on_raft(&now, flip),
                format!(
                    "With the chart these are the values server.standalone.enabled: false, server.ha.enabled: true, \
                     server.ha.replicas: {}, server.ha.raft.enabled: true, server.ha.raft.setNodeId: true, and the text as \
                     server.ha.raft.config.",
                    flip.replicas
                ),
            ),
            Aim::Back => (
                Objects::of(at, &was),
                was.faults_back(&now),
                "With helm that is `helm rollback` to the revision before. Take out the variables that were set for raft \
                 as well."
                    .to_owned(),
            ),
        };
        if faults.is_empty() {
            return Ok(None);
        }
        let changes = objects.told(&at.stateful_set().await?);
        Ok(Some(instructions(
            &changes,
            &now.config,
            &objects.config,
            &chart,
            &at.layout.member(0),
        )))
    }

    async fn flip(
        &self,
        at: &KubernetesPlatform,
        flip: &Flip,
        before: &Before,
        meter: &dyn Meter,
    ) -> Result<()> {
        let was = &recorded(before)?;
        if at.is_flipped(flip, before).await? {
            return Ok(());
        }
        until(meter, "the release on raft", "resume", || async move {
            Ok(was.faults_on_raft(&as_written(at).await?, flip))
        })
        .await?;
        at.forget_replicas().await
    }

    async fn revert(
        &self,
        at: &KubernetesPlatform,
        before: &Before,
        meter: &dyn Meter,
    ) -> Result<()> {
        let was = &recorded(before)?;
        if was.faults_back(&at.form().await?).is_empty() {
            // It was put back before members were scaled away: those that were noted then are wanted again.
            return at.scale(was.replicas).await;
        }
        until(meter, "the release as it was", "rollback", || async move {
            Ok(was.faults_back(&as_written(at).await?))
        })
        .await
    }
}

/// The release as the person wrote it, whatever this tool noted while it keeps members away.
async fn as_written(at: &KubernetesPlatform) -> Result<Form> {
    let set = at.stateful_set().await?;
    let mut form = Form::of(&set, at.config_text().await?);
    form.replicas = spec_replicas(&set);
    Ok(form)
}

/// What to do, with a difference that shows the whole text.
fn instructions(changes: &[String], now: &str, then: &str, chart: &str, first: &str) -> String {
    let mut text =
        "this is left to you now; the run goes on by itself when it sees it done\n".to_owned();
    for change in changes {
        let _ = writeln!(text, "  - {change}");
    }
    let _ = writeln!(
        text,
        "Delete no pod: {first} goes on as it runs until the run replaces it. The image and all else stay as they are."
    );
    let _ = writeln!(text, "{chart}");
    let diff = TextDiff::from_lines(now, then);
    let lines = now.lines().count() + then.lines().count();
    let _ = write!(
        text,
        "{}",
        diff.unified_diff()
            .context_radius(lines)
            .header("server configuration (now)", "server configuration (then)")
    );
    text
}

/// Looks until nothing is missing any more.
async fn until<F>(
    meter: &dyn Meter,
    what: &str,
    verb: &str,
    mut missing: impl FnMut() -> F + Send,
) -> Result<()>
where
    F: Future<Output = Result<Vec<String>>> + Send,
{
    let end = Instant::now() + PATIENCE;
    loop {
        let last = match missing().await {
            Ok(missing) if missing.is_empty() => return Ok(()),
            Ok(missing) => missing.join("; "),
            Err(error) if error.is_transient() => error.to_string(),
            Err(error) => return Err(error),
        };
        if Instant::now() >= end {
            return Err(Error::Refused(format!(
                "waited {} minutes for {what}, which is left to you; still missing: {last}. `baoctl {verb}` tells again what \
                 to do and goes on waiting",
                PATIENCE.as_secs() / 60
            )));
        }
        meter.waiting(&format!("{what}, by your hand: {last}"));
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::meter::{Silent, Unit};

    #[test]
    fn the_difference_is_the_whole_text() {
        let now = "some line\n".repeat(20) + "line 20\n" + &"more\n".repeat(20);
        let then = now.replace("line 20\n", "another\n");
        let text = instructions(&["one".to_owned()], &now, &then, "values", "bao-0");
        let new: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.starts_with("@@"))
            .skip(1)
            .filter(|line| !line.starts_with('-'))
            .map(|line| &line[1..])
            .collect();
        assert_eq!(new, then.lines().collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_does_not_come_is_no_endless_wait() {
        let began = Instant::now();
        let error = until(&Silent, "it", "resume", || async {
            Ok(vec!["1 replicas instead of 3".to_owned()])
        })
        .await
        .unwrap_err()
        .to_string();
        assert!(error.contains("1 replicas instead of 3"), "{error}");
        assert!(error.contains("`baoctl resume`"), "{error}");
        assert!(began.elapsed() < PATIENCE + PAUSE * 2);
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Meter for Heard {
        fn total(&self, _: Unit, _: u64) {}
        fn advance(&self, _: Unit, _: u64) {}
        fn waiting(&self, what: &str) {
            self.0.lock().unwrap().push(what.to_owned());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_seen_is_told_until_it_is_right() {
        let mut looks = vec![vec![], vec!["the image is b instead of a".to_owned()]];
        let heard = Heard::default();
        let look = || std::future::ready(Ok(looks.pop().unwrap()));
        until(&heard, "it", "resume", look).await.unwrap();
        let heard = heard.0.into_inner().unwrap();
        assert_eq!(heard, ["it, by your hand: the image is b instead of a"]);
    }
}
