//! Compares every entry of each voter with the source.
//!
//! The reference is not the copy that was restored, which would be circular, but the digests of the values of files
//! that matched the manifest made beside the data. A snapshot that a standby gives is of its own store: nobody has to
//! step down.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use super::back_up::open;
use super::cluster::{answers_reads, await_active, bring_up};
use super::compare_tables::{namespaces, tables};
use super::context::blocking;
use super::final_copy::{Files, whole};
use super::keys::Keys;
use super::{
    Action, Compared, Context, Error, Evidence, Look, Observation, Outcome, Result, Source, Tables,
};
use crate::armed::Armed;
use crate::bao;
use crate::event::{Level, ParityCounts};
use crate::storage::archive::ArchiveDigests;
use crate::storage::{self, ArchiveReader, Bounded, DigestLines, Parity, ParityOptions};

/// See [`super::ActionSpec::Compare`].
pub struct Compare;

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
/// What is not lost, whatever is.
const STILL: &str = "The source, a file tree on its volume or a snapshot, is as it was";
/// Time for an election, and for a voter to have all entries.
const DEADLINE: Duration = Duration::from_mins(1);

#[async_trait]
impl Action for Compare {
    fn title(&self, _: &Context) -> String {
        "compare every entry of each voter with the source".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let values = ctx.file("final.snap.values");
        let mut calls: Vec<String> = ctx
            .platform
            .members()
            .iter()
            .map(|member| format!("{member}: GET sys/leader, sys/storage/raft/snapshot"))
            .collect();
        calls.insert(0, "leader: PUT sys/wrapping/wrap, for a second".to_owned());
        if ctx.snapshot.is_some() {
            calls.insert(1, "leader: what is mounted".to_owned());
        }
        calls.push(
            "each follower that does not read its own store: start anew, PUT sys/unseal".to_owned(),
        );
        calls.push(format!("compare their entries with {}", values.display()));
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
        let members = ctx.platform.members();
        bring_up(ctx, &members, &old, &armed).await?;
        let leader = await_active(ctx, DEADLINE).await?;
        let node = ctx.node(&leader)?;
        // A voter that has applied nothing since its start answers 500 `nothing new to snapshot`.
        node.touch(&old.token, &armed).await?;
        let index = node.leader().await?.raft_applied_index;
        let tables = mounted(ctx, &leader, &old.token).await?;
        let (mut by_voter, mut deleted) = (BTreeMap::new(), BTreeMap::new());
        // The leader last: what clients deleted on another voter they had deleted there before.
        let followers = members.iter().filter(|member| **member != leader);
        for member in followers.chain([&leader]) {
            caught_up(ctx, member, index).await?;
            if answers_reads(ctx, member, &old.token).await? {
                let mut compared = compare(ctx, member, &old.token, &tables).await;
                if *member != leader
                    && let Err(Error::Node(bao::Error::Redirected { .. })) = &compared
                {
                    // One that had got a part of the entries when it was unsealed gave up its reads until it restarts: `read-only
                    // post-unseal setup failed`.
                    ctx.note(
                        Level::Info,
                        format!("{member} does not read its own store yet: it is started anew"),
                    );
                    ctx.platform.replace(member, &armed).await?;
                    bring_up(ctx, std::slice::from_ref(member), &old, &armed).await?;
                    node.touch(&old.token, &armed).await?;
                    let index = node.leader().await?.raft_applied_index;
                    caught_up(ctx, member, index).await?;
                    compared = compare(ctx, member, &old.token, &tables).await;
                }
                let parity = compared?;
                deleted.insert(member.clone(), parity.deleted.clone());
                by_voter.insert(member.clone(), counts(&parity));
            }
        }
        by_clients(ctx, &leader, &deleted, copied.entries)?;
        Ok(evidence(&Compared {
            by_voter,
            entries: copied.entries,
        })
        .into())
    }
}

/// Waits until a voter has applied what the leader had.
async fn caught_up(ctx: &Context, member: &str, index: u64) -> Result<()> {
    let node = ctx.node(member)?;
    ctx.until(
        &format!("{member} to have all entries"),
        DEADLINE,
        Duration::from_millis(200),
        async || {
            let applied = node.leader().await?.raft_applied_index;
            Ok(if applied >= index {
                Look::Ready(())
            } else {
                Look::NotYet(format!("it has applied {applied} of {index}"))
            })
        },
    )
    .await
}

fn evidence(compared: &Compared) -> Evidence {
    let voters: Vec<&str> = compared.by_voter.keys().map(String::as_str).collect();
    let most = |of: fn(&ParityCounts) -> u64| compared.by_voter.values().map(of).max().unwrap_or(0);
    Evidence::new(format!(
        "{} entries: none missing, none unexplained; since then {} changed by the server, {} written and {} deleted by \
         clients; on {}",
        compared.entries,
        most(|counts| counts.volatile),
        most(|counts| counts.written),
        most(|counts| counts.deleted),
        voters.join(", ")
    ))
    .with(compared)
}

/// Entries that are gone may be clients' doing when these are served again. They are taken for that where they are few, and
/// where no voter lacks more than the leader does, which was compared last; and they are named.
fn by_clients(
    ctx: &Context,
    leader: &str,
    deleted: &BTreeMap<String, Bounded<String>>,
    entries: u64,
) -> Result<()> {
    let Some(worst) = deleted.values().max_by_key(|gone| gone.total) else {
        return Ok(());
    };
    let most = worst.total;
    if most == 0 {
        return Ok(());
    }
    // One that does not answer any more vouches for nothing.
    let gone_there = deleted.get(leader).map_or(0, |gone| gone.total);
    let names = worst
        .first
        .iter()
        .take(5)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if most > gone_there || most > entries / 10 {
        let each: Vec<String> = deleted
            .iter()
            .map(|(voter, gone)| format!("{} on {voter}", gone.total))
            .collect();
        return Err(Error::refused(format!(
            "entries of the source are missing ({}), for example {names}: more than clients may have deleted. {STILL}",
            each.join(", ")
        )));
    }
    ctx.note(
        Level::Warn,
        format!(
            "{most} entries of the source are gone from every voter, for example {names}: deleted by clients since they are \
             served again"
        ),
    );
    Ok(())
}

pub(super) fn counts(parity: &Parity) -> ParityCounts {
    ParityCounts {
        identical: parity.identical,
        rewritten: parity.rewritten.total,
        new: parity.new.total,
        volatile: parity.volatile.total,
        written: parity.written.total,
        deleted: parity.deleted.total,
        expired: parity.expired.total,
        missing: parity.missing.total,
        unexplained: parity.unexplained.total,
    }
}

/// A snapshot of the new cluster against the source's values.
pub(super) async fn against_source(
    ctx: &Context,
    snapshot: &Path,
    tables: &Tables,
    served: bool,
) -> Result<Parity> {
    let options = ParityOptions {
        volatile_prefixes: tables
            .prefixes(|_, mount| WRITES_BY_ITSELF.contains(&mount.kind.as_str())),
        cubbyholes: tables.prefixes(|path, _| path == "cubbyhole/"),
        served,
    };
    let (snapshot, values) = (snapshot.to_owned(), Files::of(ctx).values);
    blocking(move || -> Result<Parity> {
        let mut reference = DigestLines::new(BufReader::new(open(&values)?));
        let mut found = ArchiveDigests(ArchiveReader::open(&snapshot)?);
        Ok(storage::parity(&mut reference, &mut found, &options)?)
    })
    .await
}

/// What the source had mounted. Of a snapshot the new leader tells: the rows of its tables are among the entries compared.
pub(super) async fn mounted(ctx: &Context, leader: &str, token: &SecretString) -> Result<Tables> {
    if let Some(tables) = ctx.find::<Tables>() {
        return Ok(tables);
    }
    let node = ctx.node(leader)?;
    let mut found = tables(node.as_ref(), token).await?;
    if ctx.fact::<Source>()?.namespaces > 0 {
        found.namespaces = namespaces(node.as_ref(), token).await?;
    }
    Ok(found)
}

async fn compare(
    ctx: &Context,
    voter: &str,
    token: &SecretString,
    tables: &Tables,
) -> Result<Parity> {
    let path = ctx.file(&format!("verify-{voter}.snap"));
    ctx.meter.waiting(&format!("the snapshot of {voter}"));
    ctx.node(voter)?
        .snapshot_save(token, &path, ctx.meter.as_ref())
        .await?;
    let parity = against_source(ctx, &path, tables, !ctx.outage_open).await?;
    let _ = std::fs::remove_file(&path);
    for (prefix, count) in &parity.volatile_by_prefix {
        ctx.note(
            Level::Detail,
            format!("{voter}: {count} entries under {prefix} written since, by clients or by the server itself"),
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
            "on {voter} {} entries are missing and {} differ without a reason, for example {}. {STILL}; do not let clients \
             write, and compare again (`baoctl resume`); docs/rollback.md has the way back",
            parity.missing.total,
            parity.unexplained.total,
            names.join(", ")
        )));
    }
    Ok(parity)
}
