//! What several actions ask of the cluster as a whole.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use secrecy::SecretString;

use super::keys::Keys;
use super::park_key::key_of;
use super::{Context, Error, Look, Result, Source, Voters};
use crate::armed::Armed;
use crate::bao::{self, Health, Node};
use crate::event::Level;
use crate::journal::Mark;
use crate::platform::{Instance, SecretName};

/// The member that leads, where there is one.
pub async fn active(ctx: &Context) -> Result<Option<String>> {
    for member in ctx.running().await? {
        match ctx.node(&member)?.health().await {
            Ok(Health::Active) => return Ok(Some(member)),
            Ok(_) => {}
            Err(error) => {
                let error = Error::from(error);
                if !error.is_transient() {
                    return Err(error);
                }
            }
        }
    }
    Ok(None)
}

/// The member that leads, awaited.
pub async fn await_active(ctx: &Context, deadline: Duration) -> Result<String> {
    ctx.until(
        "a member to lead",
        deadline,
        Duration::from_millis(100),
        async || {
            Ok(active(ctx)
                .await?
                .map_or_else(|| Look::NotYet("none is active".to_owned()), Look::Ready))
        },
    )
    .await
}

/// The mark with which the outage ends, asked for before anything is done for that: a process that was killed, a person or
/// the release's unseal hook may have opened the cluster, and nobody saw when. `members` are asked at once, since nobody is served
/// meanwhile; `cluster_id` is that of the cluster, where it is known.
pub async fn end_of_outage(
    ctx: &Context,
    members: &[String],
    cluster_id: Option<&str>,
) -> Result<Mark> {
    let leads = members.iter().map(async |member| {
        let node = ctx.node(member).ok()?;
        matches!(node.health().await, Ok(Health::Active)).then_some(node)
    });
    let Some(leader) = join_all(leads).await.into_iter().flatten().next() else {
        return Ok(Mark::OutageEnded);
    };
    let found = leader.seal_status().await?.cluster_id;
    let over = cluster_id.is_none_or(|cluster_id| found.as_deref() == Some(cluster_id));
    Ok(if over {
        Mark::OutageFoundOver
    } else {
        Mark::OutageEnded
    })
}

/// Whether a member answers reads whoever leads. Told where it does not.
pub async fn answers_reads(ctx: &Context, member: &str, token: &SecretString) -> Result<bool> {
    match ctx.node(member)?.lookup_self(token).await {
        Ok(_) => Ok(true),
        Err(bao::Error::Redirected { .. }) => {
            ctx.note(
                Level::Warn,
                format!(
                    "{member} answers no reads while another one leads (`disable_standby_reads`): its own store is not \
                     compared"
                ),
            );
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Which process each running member runs.
pub async fn instances(ctx: &Context) -> Result<Voters> {
    let mut instances: BTreeMap<String, Instance> = BTreeMap::new();
    for member in ctx.platform.members() {
        if let Some(instance) = ctx.platform.instance(&member).await? {
            instances.insert(member, instance);
        }
    }
    Ok(Voters { instances })
}

/// The keys that the cluster knows now: those that init gave until a restore is sent, the old ones after it.
pub async fn current_keys(ctx: &Context) -> Result<Keys> {
    if ctx.restore_sent {
        return Keys::old(ctx).await;
    }
    let own = Keys::throwaway(ctx).await?;
    if ctx.keys_kept {
        return kept_keys(ctx, own).await;
    }
    own.ok_or_else(|| Error::refused(NO_KEYS))
}

const NO_KEYS: &str =
    "the keys that init gave are gone; go back (`baoctl rollback`) and begin anew";

/// Of what the operator gives, the unseal Secret and the run's own copy the first whose token the leader takes: shares may
/// have been rotated since init, and its root token revoked. Without a leader the first. An old key that somebody put back
/// into the Secret is none of them: a follower that is given it never joins.
async fn kept_keys(ctx: &Context, own: Option<Keys>) -> Result<Keys> {
    let mut found = Keys::given_since(ctx);
    let unseal = ctx.platform.secret(SecretName::Unseal).await?;
    let parked = ctx.platform.secret(SecretName::Parked).await?;
    let unseal = unseal.filter(|live| key_of(Some(live)) != key_of(parked.as_ref()));
    found.extend(unseal.as_ref().and_then(Keys::from_secret).map(Ok));
    found.extend(own.map(Ok));
    let leader = active(ctx).await?;
    let leader = leader.map(|leader| ctx.node(&leader)).transpose()?;
    let mut refused = None;
    for keys in found {
        let error = match (keys, &leader) {
            (Ok(keys), None) => return Ok(keys),
            (Ok(keys), Some(leader)) => match leader.lookup_self(&keys.token).await {
                Ok(_) => return Ok(keys),
                Err(error) if error.status() == Some(403) => error.into(),
                Err(error) => return Err(error.into()),
            },
            // A file that was named for the source may be gone.
            (Err(error), _) => error,
        };
        refused = Some(error);
    }
    Err(refused.unwrap_or_else(|| Error::refused(NO_KEYS)))
}

/// Starts the members that are down, and anew the misled ones. Where each waits for the one before it to be unsealed, the
/// platform starts them.
pub async fn start(ctx: &Context, members: &[String], armed: &Armed) -> Result<()> {
    let one_by_one = ctx.platform.one_by_one().await?;
    for member in members {
        if ctx.platform.instance(member).await?.is_some() {
            if misled(ctx, member).await? {
                let why = "took another key for its join challenge and never joins: it is replaced";
                ctx.note(Level::Warn, format!("{member} {why}"));
                ctx.platform.replace(member, armed).await?;
            }
        } else if !one_by_one {
            ctx.note(Level::Info, format!("{member} does not run: it is started"));
            ctx.platform.replace(member, armed).await?;
        }
    }
    Ok(())
}

/// Starts and unseals the members that are down or sealed, whoever stopped them: a machine that was started anew, a hook
/// that has no key. Done already where they serve.
pub async fn bring_up(ctx: &Context, members: &[String], keys: &Keys, armed: &Armed) -> Result<()> {
    start(ctx, members, armed).await?;
    let (mut known, mut new) = (Vec::new(), Vec::new());
    for member in members {
        let status = ctx.node(member)?.seal_status().await;
        let initialized = status.is_ok_and(|status| status.initialized);
        if initialized { &mut known } else { &mut new }.push(member);
    }
    // One that has data of the cluster needs no leader to be unsealed, and a new one finds none before a majority is.
    for member in known.into_iter().chain(new) {
        let node = ctx.node(member)?;
        ctx.until(
            &format!("{member} to find its leader"),
            Duration::from_mins(2),
            Duration::from_millis(200),
            async || {
                Ok(if node.seal_status().await?.initialized {
                    Look::Ready(())
                } else {
                    Look::NotYet("not joined".to_owned())
                })
            },
        )
        .await?;
        unseal(ctx, node.as_ref(), keys, armed).await?;
    }
    Ok(())
}

/// A follower that was given another cluster's key tries it for ever on the challenge of its leader, takes no other and
/// answers nothing. It holds no data yet.
async fn misled(ctx: &Context, member: &str) -> Result<bool> {
    let status = ctx.node(member)?.seal_status().await;
    if status.is_ok_and(|status| !status.sealed) {
        return Ok(false);
    }
    let log = ctx.platform.log_tail(member, 40).await.unwrap_or_default();
    let says = |line: &String| line.contains("error decrypting challenge");
    Ok(log.iter().any(says))
}

/// How often a node is given its shares that answers with an error of its own.
const TRIES: u32 = 10;

/// Gives a sealed node its shares, and waits until it says that it is unsealed: a 200 may still say `sealed`.
pub async fn unseal(ctx: &Context, node: &dyn Node, keys: &Keys, armed: &Armed) -> Result<()> {
    let mut tries = 1;
    while let Err(error) = give_shares(ctx, node, keys, armed).await {
        // A follower whose join was cut off with the process that gave it the key answers 500 to the next one
        // (`crypto/aes: invalid key size 0`), until its leader has sent it the barrier: within a second.
        if !matches!(error.status(), Some(500 | 503)) || tries >= TRIES {
            return Err(error);
        }
        tries += 1;
        ctx.meter.waiting(&error.to_string());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    ctx.until(
        &format!("{} to be unsealed", node.name()),
        Duration::from_mins(2),
        Duration::from_millis(100),
        async || {
            let status = node.seal_status().await?;
            Ok(if status.sealed {
                Look::NotYet(format!(
                    "sealed, {} of {} shares taken",
                    status.progress, status.t
                ))
            } else {
                Look::Ready(())
            })
        },
    )
    .await
}

async fn give_shares(ctx: &Context, node: &dyn Node, keys: &Keys, armed: &Armed) -> Result<()> {
    let given = try_shares(ctx, node, keys, armed).await;
    match given {
        // An unseal hook may have been quicker: the server refuses whatever else it is given then.
        Err(error) if matches!(error, Error::WrongKey { .. }) || error.status() == Some(400) => {
            if node.seal_status().await?.sealed {
                return Err(error);
            }
            Ok(())
        }
        given => given,
    }
}

async fn try_shares(ctx: &Context, node: &dyn Node, keys: &Keys, armed: &Armed) -> Result<()> {
    let status = node.seal_status().await?;
    if !status.sealed {
        return Ok(());
    }
    if status.progress > 0 {
        // Shares of an attempt that was cut off; a mix of two attempts is refused as a whole.
        node.reset_unseal(armed).await?;
    }
    let needed = status.t.max(1) as usize;
    for (given, share) in keys.shares.iter().take(needed).enumerate() {
        ctx.meter.waiting(&format!(
            "{} takes share {} of {needed}",
            node.name(),
            given + 1
        ));
        if let Err(error) = node.unseal(share, Duration::from_mins(1), armed).await {
            if let Some(400) = error.status() {
                return Err(Error::WrongKey {
                    member: node.name().to_owned(),
                    why: error.to_string(),
                });
            }
            if !error.outcome_unknown() {
                return Err(error.into());
            }
            // The last key of a joining follower blocks until the join completes: the caller's look tells.
        }
    }
    Ok(())
}

/// Why clients may have written to the new cluster, where that is so: its raft files are then the only ones with what they
/// wrote.
pub async fn may_have_served(ctx: &Context) -> Result<Option<String>> {
    let Some(source) = ctx.find::<Source>() else {
        return Ok(None);
    };
    if ctx.platform.stands_apart().await? {
        // Whatever it serves, no client has reached it.
        return Ok(None);
    }
    for member in ctx.running().await? {
        // One that does not answer serves nobody.
        let Ok(status) = ctx.node(&member)?.seal_status().await else {
            continue;
        };
        if status.storage_type == "raft" && status.cluster_id.as_ref() == Some(&source.cluster_id) {
            return Ok(Some(format!("{member} serves the old data from raft")));
        }
        // Its raft files are the only ones with what clients wrote, if anybody opened it by hand.
        let before = ctx.find::<Voters>();
        let taken = before.and_then(|mut before| before.instances.remove(&member));
        if ctx.restore_sent
            && let Some(taken) = taken
            && status.initialized
            && ctx
                .platform
                .instance(&member)
                .await?
                .is_some_and(|now| now != taken)
        {
            return Ok(Some(format!(
                "{member} was restarted since it got the data, and may have been unsealed with the old key and \
                 have served before that: `baoctl resume` goes on; docs/rollback.md says how to go back by hand"
            )));
        }
    }
    Ok(None)
}

/// Refuses a member whose volume has raft files, which a server would pick up when it starts on raft.
pub async fn holds_no_raft(ctx: &Context, member: &str) -> Result<()> {
    if ctx.platform.volume(member).await?.raft_files {
        return Err(Error::refused(format!(
            "the volume of {member} holds raft files that are not of this run; a server would pick them up. Move `vault.db` and \
             `raft/` away and resume"
        )));
    }
    Ok(())
}

/// The calls of [`clear`].
pub fn clear_calls(members: &[String]) -> Vec<String> {
    members
        .iter()
        .map(|member| format!("{member}: stop; move its raft files aside"))
        .collect()
}

/// Stops members and moves their raft files aside, where there are any.
pub async fn clear(ctx: &Context, members: &[String], armed: &Armed) -> Result<()> {
    let label = format!("rolled-back-{}", ctx.run);
    Ok(ctx.platform.put_away(members, &label, armed).await?)
}
