//! Compares every entry of the cluster with the source.
//!
//! The reference is not the copy that was restored, which would be circular, but the digests of the values of files
//! that matched the manifest made beside the data.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use super::back_up::open;
use super::cluster::{await_active, unseal};
use super::context::blocking;
use super::final_copy::{Files, whole};
use super::keys::Keys;
use super::{
    Action, Compared, Context, Error, Evidence, Leaders, Look, Observation, Outcome, Result, Source,
};
use crate::armed::Armed;
use crate::event::{Level, ParityCounts};
use crate::platform::{Applicability, Part};
use crate::storage::archive::ArchiveDigests;
use crate::storage::{self, ArchiveReader, DigestLines, Parity, ParityOptions};

/// See [`super::ActionSpec::Compare`].
pub struct Compare {
    /// Who leads while it is compared.
    pub leaders: Leaders,
}

/// Engines that write to their storage by themselves: rotation, tidying, periodic work.
const WRITES_BY_ITSELF: [&str; 7] = [
    "database",
    "pki",
    "ldap",
    "openldap",
    "rabbitmq",
    "kubernetes",
    "ssh",
];
/// Who leads next is the servers' choice: this many times a voter steps down before that is an error.
const TURNS_EACH: usize = 6;
/// Time for an election.
const LEADS: Duration = Duration::from_mins(1);

#[async_trait]
impl Action for Compare {
    fn title(&self, _: &Context) -> String {
        match self.leaders {
            Leaders::Current => "compare every entry of the leader with the source".to_owned(),
            Leaders::Each => {
                "compare every entry with the source, each voter leading once".to_owned()
            }
        }
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let mut calls = vec![
            "leader: GET sys/storage/raft/snapshot".to_owned(),
            format!(
                "compare its entries with {}",
                ctx.file("final.snap.values").display()
            ),
        ];
        if self.leaders == Leaders::Each {
            calls.push("leader: PUT sys/step-down, then the same on the next one, until each voter has led".to_owned());
        }
        Ok(calls)
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        Ok(ctx
            .find::<Compared>()
            .map_or(Observation::Pending, |compared| {
                Observation::Done(evidence(&compared))
            }))
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let copied = whole(ctx).await?;
        let old = Keys::old(ctx).await?;
        let voters: BTreeSet<String> = match self.leaders {
            Leaders::Current => BTreeSet::from([await_active(ctx, LEADS).await?]),
            Leaders::Each => {
                // A process that was killed here may have left one of them stopped.
                for member in ctx.platform.members() {
                    bring_back(ctx, &member, &old, &armed).await?;
                }
                ctx.platform.members().into_iter().collect()
            }
        };
        let mut by_leader = BTreeMap::new();
        let mut turns = 0;
        loop {
            let leader = await_active(ctx, LEADS).await?;
            if !by_leader.contains_key(&leader) {
                let counts = compare(ctx, &leader, &old.token).await?;
                by_leader.insert(leader.clone(), counts);
            }
            if voters.iter().all(|voter| by_leader.contains_key(voter)) {
                return Ok(evidence(&Compared {
                    by_leader,
                    entries: copied.entries,
                })
                .into());
            }
            turns += 1;
            if turns > TURNS_EACH * voters.len() {
                let led: Vec<String> = by_leader.into_keys().collect();
                return Err(Error::refused(format!(
                    "after {turns} elections only {} led; the others do not win one",
                    led.join(", ")
                )));
            }
            let led = by_leader.keys().filter(|member| **member != leader);
            let had_their_turn: Vec<&String> = led.take(voters.len() / 2).collect();
            pass_on(ctx, &leader, &had_their_turn, &old, &armed).await?;
        }
    }
}

/// Lets another member lead. A leader that steps down hands over to the first peer that has all entries, whether that
/// one led before or not, and nobody is served while one that stepped down itself less than 10 s ago is chosen: those
/// that had their turn are stopped meanwhile. They come back with the old key, as after any restart.
async fn pass_on(
    ctx: &Context,
    leader: &str,
    had_their_turn: &[&String],
    old: &Keys,
    armed: &Armed,
) -> Result<()> {
    for member in had_their_turn {
        ctx.meter
            .waiting(&format!("{member} to stop, so that another one is chosen"));
        ctx.platform.stop(member, armed).await?;
    }
    let passed = step_down(ctx, leader, &old.token, armed).await;
    for member in had_their_turn {
        bring_back(ctx, member, old, armed).await?;
    }
    passed
}

/// How long a member that runs may stay silent before it is started anew: its port-forward, or an election.
const SILENT: Duration = Duration::from_secs(5);

async fn bring_back(ctx: &Context, member: &str, old: &Keys, armed: &Armed) -> Result<()> {
    let node = ctx.node(member)?;
    // One that was asked to stop by a process that died then may be on its way down: it runs and does not answer.
    let answers = ctx.platform.instance(member).await?.is_some()
        && match ctx
            .until(
                &format!("{member} to answer"),
                SILENT,
                Duration::from_millis(500),
                async || Ok(Look::Ready(node.seal_status().await?)),
            )
            .await
        {
            Ok(_) => true,
            Err(Error::Stuck { .. }) => false,
            Err(error) => return Err(error),
        };
    if !answers {
        ctx.platform.replace(member, armed).await?;
    }
    unseal(ctx, node.as_ref(), old, armed).await
}

fn evidence(compared: &Compared) -> Evidence {
    let leaders: Vec<&str> = compared.by_leader.keys().map(String::as_str).collect();
    Evidence::new(format!(
        "{} entries: none missing, none unexplained, with {} leading",
        compared.entries,
        leaders.join(", ")
    ))
    .with(compared)
}

async fn step_down(ctx: &Context, leader: &str, token: &SecretString, armed: &Armed) -> Result<()> {
    let node = ctx.node(leader)?;
    if let Err(error) = node.step_down(token, armed).await
        && !error.outcome_unknown()
    {
        return Err(error.into());
    }
    // It may answer as active for a moment more.
    tokio::time::sleep(Duration::from_millis(500)).await;
    await_active(ctx, LEADS).await.map(|_| ())
}

async fn compare(ctx: &Context, leader: &str, token: &SecretString) -> Result<ParityCounts> {
    let source: Source = ctx.fact()?;
    let path = ctx.file(&format!("verify-{leader}.snap"));
    ctx.meter.waiting(&format!("the snapshot of {leader}"));
    ctx.node(leader)?
        .snapshot_save(token, &path, ctx.meter.as_ref())
        .await?;
    let prefix = |uuid: &str| format!("logical/{uuid}/");
    let options = ParityOptions {
        volatile_prefixes: source
            .tables
            .mounts
            .values()
            .filter(|mount| WRITES_BY_ITSELF.contains(&mount.kind.as_str()))
            .map(|mount| prefix(&mount.uuid))
            .collect(),
        cubbyhole: source
            .tables
            .mounts
            .get("cubbyhole/")
            .map(|mount| prefix(&mount.uuid)),
        served: ctx.platform.applicability(Part::Clients) == Applicability::Applies,
    };
    let (snapshot, values) = (path.clone(), Files::of(ctx).values);
    let parity = blocking(move || -> Result<Parity> {
        let mut reference = DigestLines::new(BufReader::new(open(&values)?));
        let mut found = ArchiveDigests(ArchiveReader::open(&snapshot)?);
        Ok(storage::parity(&mut reference, &mut found, &options)?)
    })
    .await?;
    let _ = std::fs::remove_file(&path);
    for (prefix, count) in &parity.volatile_by_prefix {
        ctx.note(
            Level::Detail,
            format!("{leader}: {count} entries under {prefix} changed by the server itself"),
        );
    }
    if !parity.passed() {
        let names: Vec<&str> = parity
            .missing
            .first
            .iter()
            .chain(&parity.unexplained.first)
            .take(5)
            .map(String::as_str)
            .collect();
        return Err(Error::refused(format!(
            "with {leader} leading, {} entries are missing and {} differ without a reason, for example {}. The old file \
             tree is whole on its volume; do not let clients write, and compare again or roll back",
            parity.missing.total,
            parity.unexplained.total,
            names.join(", ")
        )));
    }
    Ok(ParityCounts {
        identical: parity.identical,
        rewritten: parity.rewritten.total,
        new: parity.new.total,
        volatile: parity.volatile.total,
        expired: parity.expired.total,
        missing: parity.missing.total,
        unexplained: parity.unexplained.total,
    })
}
