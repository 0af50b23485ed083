//! Restores the converted snapshot over the throwaway cluster.
//!
//! A leader that dies before every voter has sealed itself leaves a healthy-looking, empty cluster: then nothing is
//! unsealed, every member's raft files are moved aside, and the run goes back to the init.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::time::Instant;

use super::cluster::{active, instances, may_have_served, start};
use super::context::blocking;
use super::final_copy::{Files, whole};
use super::forecast::SLEEP;
use super::keys::Keys;
use super::suspend_actors::nobody_acts;
use super::{
    Action, Context, Error, Evidence, FinalCopied, Forecast, Look, Observation, Outcome, Restored,
    Result, Source, Throwaway, Voters,
};
use crate::armed::Armed;
use crate::bao::SealStatus;
use crate::event::Level;
use crate::journal::Mark;
use crate::meter::SharedMeter;
use crate::platform::SecretName;
use crate::storage::{self, ArchiveReader};

/// See [`super::ActionSpec::Restore`].
pub struct Restore {
    /// The step to go back to when the restore did not reach every voter.
    pub rewind_to: String,
}

/// What the cluster looks like around a restore.
#[derive(Debug, PartialEq, Eq)]
enum Scene {
    /// The throwaway cluster is whole: a restore can be sent.
    Throwaway,
    /// It may be under way: some voters have sealed themselves, none was restarted.
    Sealing(String),
    /// Every voter that was there took the data: it has sealed itself, or somebody unsealed it with the old key since.
    Sealed(Restored),
    /// Neither: it did not reach every voter.
    Broken(String),
    /// A member is unsealed on data that is not the throwaway cluster's: it is not touched.
    Foreign(String),
}

/// A server that has taken a whole snapshot does not answer, or seals itself, within this time.
const SHOWS: Duration = Duration::from_secs(30);
/// Time for the voters to seal themselves after an accepted restore, beside what the data needs.
const SEALING: Duration = Duration::from_mins(3);

/// What a server logs when it has the whole snapshot. It then sleeps for five seconds before it seals itself.
const RESTORED: &str = "restored user snapshot";
const LOG: usize = 200;

async fn scene(ctx: &Context) -> Result<Scene> {
    let before: Voters = ctx.fact()?;
    let (source, throwaway): (Source, Throwaway) = (ctx.fact()?, ctx.fact()?);
    let now = instances(ctx).await?;
    let (mut sealed, mut unsealed, mut absent, mut serving) = (vec![], vec![], vec![], vec![]);
    for (member, instance) in &before.instances {
        let Some(found) = now.instances.get(member) else {
            absent.push(member.clone());
            continue;
        };
        let status = ctx.node(member)?.seal_status().await;
        match status {
            Ok(SealStatus {
                sealed: false,
                cluster_id: Some(id),
                ..
            }) if id == source.cluster_id => serving.push(member.clone()),
            Ok(SealStatus {
                sealed: false,
                cluster_id: Some(id),
                ..
            }) if id != throwaway.cluster_id => {
                let why = format!(
                    "{member} is unsealed as cluster {id}, neither the throwaway one nor the source: find out whose it is"
                );
                return Ok(Scene::Foreign(why));
            }
            // One that has the data whole may have been restarted: by this run, which does, or by anybody.
            Ok(SealStatus { sealed: true, .. }) if found == instance || ctx.restore_taken => {
                sealed.push(member.clone());
            }
            _ if found != instance => absent.push(member.clone()),
            Ok(_) => unsealed.push(member.clone()),
            // The server answers late while it swaps its data in: that is no dead member.
            Err(error) if error.status().is_none() => return Ok(Scene::Sealing(error.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
    let quorum = before.instances.len() / 2 + 1;
    if !serving.is_empty() {
        if unsealed.is_empty() && absent.is_empty() {
            sealed.extend(serving);
            return Ok(Scene::Sealed(Restored { sealed, absent }));
        }
        return Ok(Scene::Foreign(format!(
            "{} serves the old data already, and clients may have written; {} restarted or gone, {} still on the \
             throwaway data",
            words(&serving),
            words(&absent),
            words(&unsealed)
        )));
    }
    Ok(
        match (sealed.is_empty(), unsealed.is_empty(), absent.is_empty()) {
            (true, false, true) => Scene::Throwaway,
            (false, true, _) if sealed.len() >= quorum => {
                Scene::Sealed(Restored { sealed, absent })
            }
            (false, false, true) => Scene::Sealing(format!(
                "{} sealed, {} not yet",
                sealed.join(", "),
                unsealed.join(", ")
            )),
            _ => Scene::Broken(format!(
                "{} restarted or gone, {} sealed, {} still on the throwaway data",
                words(&absent),
                words(&sealed),
                words(&unsealed)
            )),
        },
    )
}

/// The scene once a restore that was sent has shown. One that a killed run sent may still be under way, and for a while
/// every voter looks untouched then.
async fn settled(ctx: &Context) -> Result<Scene> {
    let started = Instant::now();
    loop {
        let seen = scene(ctx).await?;
        let patience = match &seen {
            Scene::Sealed(_) | Scene::Broken(_) | Scene::Foreign(_) => return Ok(seen),
            Scene::Throwaway => SHOWS,
            Scene::Sealing(_) => SEALING,
        };
        if started.elapsed() >= patience {
            return Ok(seen);
        }
        ctx.meter
            .waiting("the restore that was sent before to show");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The snapshot was sent: no refusal, after which nothing would have been done.
fn stuck(last: String, started: Instant) -> Error {
    Error::Stuck {
        what: "every voter to seal itself after the restore".to_owned(),
        last,
        after: started.elapsed(),
    }
}

fn words(members: &[String]) -> String {
    if members.is_empty() {
        "none".to_owned()
    } else {
        members.join(", ")
    }
}

#[async_trait]
impl Action for Restore {
    fn title(&self, _: &Context) -> String {
        "restore the data over the throwaway cluster".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(vec![
            format!(
                "verify {} and that the cluster is the throwaway one",
                ctx.file("final.snap").display()
            ),
            "leader: POST sys/storage/raft/snapshot-force".to_owned(),
            "each voter: GET sys/seal-status until it says sealed".to_owned(),
        ])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        if ctx.restore_taken && ctx.platform.instance(&ctx.first()?).await?.is_none() {
            return Ok(Observation::Pending);
        }
        let seen = if ctx.restore_sent {
            settled(ctx).await?
        } else {
            scene(ctx).await?
        };
        let why = match seen {
            Scene::Throwaway => return Ok(Observation::Pending),
            Scene::Foreign(why) => return Ok(Observation::Conflict(why)),
            // Before it is sent, the guards have the last word.
            Scene::Sealing(_) | Scene::Sealed(_) if !ctx.restore_sent => {
                return Ok(Observation::Pending);
            }
            Scene::Sealed(restored) => {
                let mut evidence = evidence(&restored);
                if ctx.restore_taken {
                    // A process that was killed after it restarted the voter by itself could not say so.
                    evidence = evidence.with(&instances(ctx).await?);
                }
                return Ok(Observation::Done(evidence));
            }
            Scene::Broken(_) if !ctx.restore_sent && Keys::throwaway(ctx).await?.is_none() => {
                return Ok(Observation::Conflict(
                    "the throwaway keys are gone, so a restore was sent that this journal does not know of".to_owned(),
                ));
            }
            Scene::Broken(seen) if !ctx.restore_sent => {
                format!("a voter went away before the restore ({seen}) and would miss it")
            }
            Scene::Broken(seen) | Scene::Sealing(seen) => format!(
                "the restore did not reach every voter ({seen}), and unsealing now would serve an empty cluster"
            ),
        };
        Ok(Observation::Redo(format!(
            "{why}. All members are stopped, their raft files are moved aside, and the run goes back to `{}`. The source, \
             the copies of its data and the old key are untouched",
            self.rewind_to
        )))
    }

    fn forecast(&self, forecast: &mut Forecast) {
        let timings = forecast.timings;
        let work = (timings.restore - SLEEP).max(0.0);
        let server = if forecast.members == 1 {
            work + timings.start
        } else {
            // The followers take the data from the leader once it has it.
            2.0 * work + SLEEP
        };
        forecast.add(server, 0.0);
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let first = ctx.first()?;
        if ctx.restore_taken {
            start(ctx, std::slice::from_ref(&first), &armed).await?;
            return Ok(taken(ctx, &first).await?.into());
        }
        if scene(ctx).await? != Scene::Throwaway
            && let Observation::Redo(why) = self.observe(ctx).await?
        {
            begin_anew(ctx, &armed).await?;
            return Ok(Outcome::Rewind {
                to: self.rewind_to.clone(),
                why,
            });
        }
        let copied = whole(ctx).await?;
        // Nothing was sent yet: a look that got lost is made again.
        let guarded = async || {
            nobody_acts(ctx).await?;
            Ok(Look::Ready(guard(ctx, &copied).await?))
        };
        let what = "the throwaway cluster to be as it must be for a restore";
        let (leader, token) = ctx
            .until(what, SHOWS, Duration::from_millis(200), guarded)
            .await?;
        // With others it is never cut short: one that dies before they have the data leaves them on the throwaway data.
        let alone = ctx.running().await?.len() == 1;
        let node = ctx.node(&leader)?;
        let snapshot = Files::of(ctx).snapshot;
        let said = if alone {
            restores_told(ctx, &leader).await
        } else {
            0
        };
        match node
            .snapshot_force(&token, &snapshot, ctx.meter.as_ref(), &armed)
            .await
        {
            Ok(()) => {}
            Err(error) if error.outcome_unknown() => {
                ctx.note(Level::Warn, format!("{error}; looking at what came of it"));
            }
            // An answer with an error left the node unharmed: the guards hold for another try.
            Err(error) => return Err(error.into()),
        }
        // The server answers nothing until it has slept, and its log tells more.
        if alone {
            tokio::select! {
                restored = until_sealed(ctx, &leader) => return Ok(evidence(&restored?).into()),
                () = until_told(ctx, &leader, said) => {}
            }
            ctx.mark(Mark::RestoreTaken).await?;
            let ctx = &Context {
                restore_taken: true,
                ..ctx.clone()
            };
            match ctx.platform.restart_at_once(&leader, &armed).await {
                Ok(true) => return Ok(taken(ctx, &leader).await?.into()),
                Err(error) if !error.is_transient() => return Err(error.into()),
                // It seals itself all the same.
                Ok(false) | Err(_) => {}
            }
            return Ok(evidence(&until_sealed(ctx, &leader).await?).into());
        }
        Ok(evidence(&until_sealed(ctx, &leader).await?).into())
    }

    async fn irrevocable(&self, ctx: &Context) -> Result<Option<String>> {
        may_have_served(ctx).await
    }
}

/// Waits until every voter has taken the data and sealed itself.
async fn until_sealed(ctx: &Context, leader: &str) -> Result<Restored> {
    let started = Instant::now();
    loop {
        let seen = match scene(ctx).await {
            // It was sent: only a later look tells what came of it.
            Err(error) if error.is_transient() => Scene::Sealing(error.to_string()),
            seen => seen?,
        };
        match seen {
            Scene::Sealed(restored) if restored.sealed.iter().any(|it| it == leader) => {
                return Ok(restored);
            }
            Scene::Sealed(Restored { absent, .. }) => {
                return Err(stuck(format!("{} went away", words(&absent)), started));
            }
            Scene::Broken(seen) | Scene::Foreign(seen) => return Err(stuck(seen, started)),
            Scene::Throwaway => ctx
                .meter
                .waiting("every voter to seal itself: none has yet"),
            Scene::Sealing(seen) => ctx
                .meter
                .waiting(&format!("every voter to seal itself: {seen}")),
        }
        if started.elapsed() > SEALING {
            return Err(stuck("see `baoctl status`".to_owned(), started));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the member's log tells of one more restore than it did.
async fn until_told(ctx: &Context, member: &str, said: usize) {
    while restores_told(ctx, member).await <= said {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How often the member's log says that a snapshot was restored; its last lines are looked at.
async fn restores_told(ctx: &Context, member: &str) -> usize {
    // A log that cannot be read tells nothing: the server's own end is awaited then.
    let log = ctx.platform.log_tail(member, LOG).await;
    log.unwrap_or_default()
        .iter()
        .filter(|line| line.contains(RESTORED))
        .count()
}

/// The evidence of a single voter that was restarted with the data.
async fn taken(ctx: &Context, member: &str) -> Result<Evidence> {
    let node = ctx.node(member)?;
    let what = format!("{member} to come back sealed with the data");
    let look = async || {
        let status = node.seal_status().await?;
        Ok(if status.sealed && status.initialized {
            Look::Ready(())
        } else {
            Look::NotYet("not yet".to_owned())
        })
    };
    ctx.until(&what, SHOWS, Duration::from_millis(50), look)
        .await?;
    let restored = Restored {
        sealed: vec![member.to_owned()],
        absent: Vec::new(),
    };
    // One that is restarted from here on was not restarted by this run.
    let runs = async || Ok(Look::Ready(instances(ctx).await?));
    let instances = ctx
        .until(&what, SHOWS, Duration::from_millis(50), runs)
        .await?;
    Ok(evidence(&restored).with(&instances))
}

fn evidence(restored: &Restored) -> Evidence {
    let mut summary = format!(
        "{} took the data and sealed themselves",
        restored.sealed.join(", ")
    );
    if !restored.absent.is_empty() {
        summary = format!(
            "{summary}; {} was absent and will join anew",
            restored.absent.join(", ")
        );
    }
    Evidence::new(summary).with(restored)
}

/// Everything that must be so before a restore, whatever the journal says. Returns the leader and the token.
async fn guard(ctx: &Context, copied: &FinalCopied) -> Result<(String, SecretString)> {
    let source: Source = ctx.fact()?;
    let throwaway: Throwaway = ctx.fact()?;
    let keys = Keys::throwaway(ctx).await?.ok_or_else(|| {
        Error::refused("the throwaway keys are gone: a restore is only ever sent with the throwaway cluster's own token")
    })?;
    if throwaway.cluster_id == source.cluster_id {
        return Err(Error::refused(
            "the target already is the source's cluster; nothing is restored over live data",
        ));
    }
    let members = ctx.running().await?;
    let voters = members.len();
    for member in &members {
        let status = ctx.node(member)?.seal_status().await?;
        if status.sealed || status.cluster_id.as_ref() != Some(&throwaway.cluster_id) {
            return Err(Error::refused(format!(
                "{member} is {}, not an unsealed member of the throwaway cluster {}: nothing was restored",
                status
                    .cluster_id
                    .map_or_else(|| "sealed".to_owned(), |id| format!("in cluster {id}")),
                throwaway.cluster_id
            )));
        }
        if (status.n, status.t) != (source.shares, source.threshold) {
            return Err(Error::refused(format!(
                "{member} has {} of {} shares, the source {} of {}: the server would refuse every share after the restore",
                status.t, status.n, source.threshold, source.shares
            )));
        }
    }
    let leader = active(ctx)
        .await?
        .ok_or_else(|| Error::refused("no member leads; nothing was restored"))?;
    let node = ctx.node(&leader)?;
    // The token dies with the first restore, so this also keeps a second one out.
    node.lookup_self(&keys.token).await?;
    let mounts = node.mounts(&keys.token).await?;
    if let Some(path) = mounts
        .keys()
        .find(|path| !matches!(path.as_str(), "cubbyhole/" | "identity/" | "sys/"))
    {
        return Err(Error::refused(format!(
            "the target has a mount `{path}`: somebody uses it; nothing was restored"
        )));
    }
    let servers = node.raft_configuration(&keys.token).await?.servers;
    if servers.len() != voters || servers.iter().any(|server| !server.voter) {
        return Err(Error::refused(format!(
            "the cluster has {} raft peers, {} of them voters, but {voters} members run: every voter must be there for a restore",
            servers.len(),
            servers.iter().filter(|server| server.voter).count()
        )));
    }
    let snapshot = Files::of(ctx).snapshot;
    let (path, meter): (_, SharedMeter) = (snapshot.clone(), ctx.meter.clone());
    let (found, sum) = blocking(move || -> Result<_> {
        let sum = storage::sha256_of(&path)?;
        Ok((
            storage::verify(ArchiveReader::open(&path)?, meter.as_ref())?,
            sum,
        ))
    })
    .await?;
    if sum != copied.sha256 {
        return Err(Error::refused(format!(
            "{} is not the file that was converted",
            snapshot.display()
        )));
    }
    if voters > 1 && !found.raft_tls {
        return Err(Error::refused(format!(
            "{} has no core/raft/tls: restored into {voters} voters it would brick them for good; convert it with a graft",
            snapshot.display()
        )));
    }
    Ok((leader, keys.token))
}

/// Stops every member, moves its raft files aside and starts it empty. Each part may be done already.
pub async fn begin_anew(ctx: &Context, armed: &Armed) -> Result<()> {
    let members = ctx.running().await?;
    let before: Voters = ctx.fact()?;
    let all: Vec<String> = before
        .instances
        .into_keys()
        .chain(members)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    let label = format!("broken-restore-{}-{}", ctx.run, armed.sequence());
    ctx.platform.put_away(&all, &label, armed).await?;
    ctx.platform
        .remove_secret(SecretName::Throwaway, armed)
        .await?;
    // Where each waits for the one before it to be unsealed, the others come up as the run goes on.
    let first = if ctx.platform.one_by_one().await? {
        1
    } else {
        all.len()
    };
    for member in &all[..first] {
        ctx.platform.replace(member, armed).await?;
    }
    Ok(())
}
