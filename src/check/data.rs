//! The source's entries, by their names and sizes.

use std::collections::BTreeSet;

use indicatif::HumanBytes;

use super::finding::{Checked, Group};
use crate::action::{Context, Result, tombstone};
use crate::platform::StorageKind;
use crate::storage::key::MAX_ENTRY_BYTES;
use crate::storage::{DigestSource, Phase};

const GROUP: &str = "data";

/// What the later actions need of it.
pub(super) struct Data {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) max_entry_size: Option<u64>,
}

pub(super) async fn check(ctx: &Context, checked: &mut Checked) -> Result<Data> {
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
    };
    let mut namespaces = BTreeSet::new();
    let (mut oversized, mut largest, mut leases) = (Vec::new(), 0_u64, 0_u64);
    let (mut entries, mut key) = (manifest.digests(), String::new());
    while let Some(digest) = entries.next_digest(&mut key)? {
        data.bytes += digest.bytes;
        if let Some(rest) = key.strip_prefix("namespaces/") {
            namespaces.insert(rest.split('/').next().unwrap_or_default().to_owned());
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
    if namespaces.is_empty() {
        group.pass("data-namespaces", "no child namespaces");
    } else {
        group.fail(
            "data-namespaces",
            format!("{} child namespace(s)", namespaces.len()),
            "this server version breaks child namespaces when its storage moves: the second unseal panics. Move or remove them first",
        );
    }
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
