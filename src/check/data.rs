//! The source's entries, by their names and sizes.

use std::collections::BTreeSet;

use indicatif::HumanBytes;

use super::finding::{Checked, Group};
use crate::action::{Context, Keys, Result, namespaces, tombstone};
use crate::bao::SealStatus;
use crate::platform::StorageKind;
use crate::storage::key::MAX_ENTRY_BYTES;
use crate::storage::{DigestSource, Phase};

const GROUP: &str = "data";

/// The built-in runbook that moves child namespaces.
const MOVES_THEM: &str = "migrate-raft-fast";
/// The versions on which child namespaces were moved and found whole after restarts of each voter.
const TESTED: [&str; 1] = ["2.6.2"];

/// What the later actions need of it.
pub(super) struct Data {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) max_entry_size: Option<u64>,
    pub(super) namespaces: u64,
}

pub(super) async fn check(
    ctx: &Context,
    server: Option<&SealStatus>,
    checked: &mut Checked,
) -> Result<Data> {
    let mut group = Group::new(GROUP, ctx, checked);
    let first = ctx.first()?;
    let manifest = ctx
        .platform
        .tree_manifest(&first, Phase::Live, ctx.meter.as_ref())
        .await?;

    let mut data = Data {
        entries: manifest.len() as u64,
        bytes: 0,
        max_entry_size: None,
        namespaces: 0,
    };
    let (mut namespaces, mut own_seals) = (BTreeSet::new(), 0_u64);
    let (mut oversized, mut largest, mut leases) = (Vec::new(), 0_u64, 0_u64);
    let (mut entries, mut key) = (manifest.digests(), String::new());
    while let Some(digest) = entries.next_digest(&mut key)? {
        data.bytes += digest.bytes;
        if let Some(rest) = key.strip_prefix("namespaces/") {
            namespaces.insert(rest.split('/').next().unwrap_or_default().to_owned());
            own_seals += u64::from(rest.ends_with("/core/seal-config"));
        }
        leases += u64::from(key.starts_with("sys/expire/id/"));
        // The file holds base64 within a few bytes of JSON.
        let value = digest.bytes / 4 * 3;
        if value > MAX_ENTRY_BYTES {
            largest = largest.max(value);
            oversized.push(key.clone());
        }
    }
    if data.entries == 0 {
        group.fail(
            "data-entries",
            "the tree holds no entry",
            "is this the volume of the server?",
        );
    } else {
        group.pass(
            "data-entries",
            format!("{} entries, {}", data.entries, HumanBytes(data.bytes)),
        );
    }
    data.namespaces = namespaces.len() as u64;
    children(ctx, server, data.namespaces, own_seals, &mut group).await?;
    if ctx
        .platform
        .tree_entry(&first, tombstone::KEY)
        .await?
        .is_some()
    {
        let hint = if ctx.platform.release().await?.storage == StorageKind::Raft {
            "after a finished migration it keeps a file server from starting on the old tree: leave it"
        } else {
            "another migration is under way or was cut off: `baoctl resume` if it was one of ours. A `bao operator migrate` that \
             does not run any more left its lock there: `bao operator migrate -reset -config=FILE` removes it"
        };
        group.fail(
            "data-migration",
            format!("the tree holds an entry `{}`", tombstone::KEY),
            hint,
        );
    } else {
        group.pass("data-migration", "no other migration is under way");
    }
    if oversized.is_empty() {
        group.pass("data-sizes", "every value fits raft's entry size");
    } else {
        let size = (largest * 2).next_power_of_two();
        data.max_entry_size = Some(size);
        group.warn(
            "data-sizes",
            format!(
                "{} value(s) over 1 MiB, for example {}",
                oversized.len(),
                oversized[0]
            ),
            format!(
                "the raft values will set max_entry_size = {size}, else their next write would fail"
            ),
        );
    }
    if leases > 0 {
        group.warn(
            "data-leases",
            format!("{leases} lease(s)"),
            "those that are due during the outage are revoked at the first unseal",
        );
    }
    Ok(data)
}

/// What of so many child namespaces, some with a seal of their own.
async fn children(
    ctx: &Context,
    server: Option<&SealStatus>,
    namespaces: u64,
    own_seals: u64,
    group: &mut Group<'_>,
) -> Result<()> {
    if namespaces == 0 {
        group.pass("data-namespaces", "no child namespaces");
        return Ok(());
    }
    let found = format!("{namespaces} child namespace(s)");
    let why_not = match server {
        Some(_) if own_seals > 0 => Some(
            "some have a seal of their own: their entries cannot be read with these keys. Move or remove them first"
                .to_owned(),
        ),
        Some(server) => unmovable(ctx, server).await?,
        // What failed before this has been told.
        None => None,
    };
    match why_not {
        Some(why) => group.fail("data-namespaces", found, why),
        None => group.warn(
            "data-namespaces",
            format!("{found}, which OpenBao breaks when its storage moves"),
            format!(
                "the runbook {MOVES_THEM} moves their tables before anybody is served, and restarts the server twice for it"
            ),
        ),
    }
    Ok(())
}

/// Why the child namespaces of a server cannot be moved, where they cannot.
async fn unmovable(ctx: &Context, server: &SealStatus) -> Result<Option<String>> {
    if let Some(why) = untested(&server.version, ctx) {
        return Ok(Some(why.to_owned()));
    }
    if let Some(why) = ctx.platform.not_apart().await? {
        return Ok(Some(format!(
            "moving them takes a server that clients do not reach, which cannot be made here: {why}"
        )));
    }
    let token = Keys::old(ctx).await?.token;
    let node = ctx.node(&ctx.first()?)?;
    let granted = node.capabilities(&token, &["sys/raw/core"]).await?;
    if !granted.values().flatten().any(|name| name == "root") {
        return Ok(Some(
            "their tables are read and moved through sys/raw, in every namespace, which takes a root token: name a file with one \
             with --keys-file (`bao operator generate-root`)"
                .to_owned(),
        ));
    }
    let read = namespaces(node.as_ref(), &token).await;
    Ok(read
        .err()
        .map(|error| format!("what is mounted in each must be known before the move: {error}")))
}

/// The part that is known without asking the server.
fn untested(version: &str, ctx: &Context) -> Option<&'static str> {
    if !TESTED.contains(&version) {
        return Some(
            "moving them has not been tested on this server's version: docs/compatibility.md names those it was. Without \
             it the second unseal panics",
        );
    }
    (!ctx.moves_namespaces).then_some(
        "this runbook does not move them, and the second unseal would panic: use the runbook migrate-raft-fast",
    )
}
