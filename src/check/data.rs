//! The source's entries, by their names and sizes.

use std::collections::BTreeSet;

use indicatif::HumanBytes;

use super::finding::{Checked, Group};
use crate::action::{Children, Context, Keys, Result, namespaces, tombstone};
use crate::bao::SealStatus;
use crate::platform::{StorageKind, TOMBSTONE};
use crate::storage::key::MAX_ENTRY_BYTES;
use crate::storage::{DigestSource, Phase};

const GROUP: &str = "data";

/// The built-in runbook that moves child namespaces.
pub const MOVES_NAMESPACES: &str = "migrate-raft-fast";
/// The hint where they could be moved, by that runbook alone.
pub const NOT_MOVED: &str = "this runbook does not move them, and the second unseal would panic: use the runbook migrate-raft-fast";
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

    let mut tally = Tally::default();
    let (mut entries, mut key) = (manifest.digests(), String::new());
    while let Some(digest) = entries.next_digest(&mut key)? {
        // The file holds base64 within a few bytes of JSON.
        tally.take(&key, digest.bytes, digest.bytes / 4 * 3);
    }
    if tally.entries == 0 {
        group.fail(
            "data-entries",
            "the tree holds no entry",
            "is this the volume of the server?",
        );
    } else {
        group.pass(
            "data-entries",
            format!("{} entries, {}", tally.entries, HumanBytes(tally.bytes)),
        );
    }
    let namespaces = tally.namespaces.len() as u64;
    children(ctx, server, namespaces, tally.own_seals, &mut group).await?;
    if ctx
        .platform
        .tree_entry(&first, tombstone::KEY)
        .await?
        .is_some()
    {
        let unfinished =
            "another migration is under way or was cut off: `baoctl resume` if it was one of ours";
        let hint = match ctx.platform.release().await?.storage {
            StorageKind::Raft => {
                "after a finished migration it keeps a server from starting on the old data: leave it".to_owned()
            }
            StorageKind::File => format!(
                "{unfinished}. A `bao operator migrate` that does not run any more left its lock there: `bao operator migrate -reset \
                 -config=FILE` removes it"
            ),
            StorageKind::Pebbledb => format!(
                "{unfinished}. No server and no `bao` opens the store as long as the file `{TOMBSTONE}` is in it: remove it once \
                 you know that nobody has moved this data"
            ),
        };
        group.fail(
            "data-migration",
            format!("the tree holds an entry `{}`", tombstone::KEY),
            hint,
        );
    } else {
        group.pass("data-migration", "no other migration is under way");
    }
    Ok(tally.told(&mut group))
}

/// What entries tell by their names and sizes.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) namespaces: BTreeSet<String>,
    pub(super) own_seals: u64,
    oversized: Vec<String>,
    largest: u64,
    leases: u64,
}

impl Tally {
    /// Counts an entry that takes so many bytes where it stands, its value so many.
    pub(super) fn take(&mut self, key: &str, bytes: u64, value: u64) {
        self.entries += 1;
        self.bytes += bytes;
        if let Some(rest) = key.strip_prefix("namespaces/") {
            let id = rest.split('/').next().unwrap_or_default();
            self.namespaces.insert(id.to_owned());
            self.own_seals += u64::from(rest.ends_with("/core/seal-config"));
        }
        self.leases += u64::from(key.starts_with("sys/expire/id/"));
        if value > MAX_ENTRY_BYTES {
            self.largest = self.largest.max(value);
            self.oversized.push(key.to_owned());
        }
    }

    /// Tells of sizes and leases.
    pub(super) fn told(self, group: &mut Group<'_>) -> Data {
        let mut data = Data {
            entries: self.entries,
            bytes: self.bytes,
            max_entry_size: None,
            namespaces: self.namespaces.len() as u64,
        };
        if self.oversized.is_empty() {
            group.pass("data-sizes", "every value fits raft's entry size");
        } else {
            let size = (self.largest * 2).next_power_of_two();
            data.max_entry_size = Some(size);
            group.warn(
            "data-sizes",
            format!(
                "{} value(s) over 1 MiB, for example {}",
                self.oversized.len(),
                self.oversized[0]
            ),
            format!(
                "the raft values will set max_entry_size = {size}, else their next write would fail"
            ),
        );
        }
        if self.leases > 0 {
            group.warn(
                "data-leases",
                format!("{} lease(s)", self.leases),
                "those that are due by then are revoked at the first unseal",
            );
        }
        data
    }
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
        None if ctx.children == Children::LeftBehind => group.pass(
            "data-namespaces",
            format!("{found}, which stay behind with the rest of the data"),
        ),
        None => group.warn(
            "data-namespaces",
            format!("{found}, which OpenBao breaks when its storage moves"),
            format!(
                "the runbook {MOVES_NAMESPACES} moves their tables before anybody is served, and restarts the server twice for it"
            ),
        ),
    }
    Ok(())
}

/// Why the child namespaces of a server cannot be moved, where they cannot.
async fn unmovable(ctx: &Context, server: &SealStatus) -> Result<Option<String>> {
    let token = Keys::old(ctx).await?.token;
    let node = ctx.node(&ctx.first()?)?;
    let unread = async || {
        let read = namespaces(node.as_ref(), &token).await;
        read.err()
            .map(|error| format!("what is mounted in each must be known beforehand: {error}"))
    };
    if ctx.children == Children::LeftBehind {
        return Ok(unread().await);
    }
    if !TESTED.contains(&server.version.as_str()) {
        return Ok(Some(
            "moving them has not been tested on this server's version: docs/compatibility.md names those it was. Without \
             it the second unseal panics"
                .to_owned(),
        ));
    }
    if let Some(why) = ctx.platform.not_apart().await? {
        return Ok(Some(format!(
            "moving them takes a server that clients do not reach, which cannot be made here: {why}"
        )));
    }
    let granted = node.capabilities(&token, &["sys/raw/core"]).await?;
    if !granted.values().flatten().any(|name| name == "root") {
        return Ok(Some(
            "their tables are read and moved through sys/raw, in every namespace, which takes a root token: name a file with one \
             with --keys-file (`bao operator generate-root`)"
                .to_owned(),
        ));
    }
    let not_moved = || (ctx.children == Children::Broken).then(|| NOT_MOVED.to_owned());
    Ok(unread().await.or_else(not_moved))
}
