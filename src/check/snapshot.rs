//! A snapshot in place of a server: the archive, whether the keys open it, whose it is, and that nothing is where it goes.

use std::collections::BTreeMap;

use indicatif::HumanBytes;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

use super::archive::{
    AUDIT, Archive, CLUSTER, Identity, NEEDED, SALT, SEAL, SEALED_SUMS, Seal, Version, unpacked,
};
use super::data::Data;
use super::finding::{Checked, Group};
use crate::action::{Context, FromSnapshot, Result, Snapshot, Source, blocking, token};
use crate::bao::SealStatus;
use crate::platform::{Flip, Platform, Release, StorageKind};
use crate::storage::barrier::{self, Barrier, BarrierError, KEYRING, UNSEAL_KEYS};

const GROUP: &str = "snapshot";

/// Makes the checks of a run that restores a snapshot.
pub(super) async fn check(ctx: &Context, from: &FromSnapshot, checked: &mut Checked) -> Result<()> {
    let release = ctx.platform.release().await?;
    let mut group = Group::new("release", ctx, checked);
    super::release::stanzas_and_secrets(ctx, &release, &mut group).await?;

    let mut group = Group::new(GROUP, ctx, checked);
    let (path, meter) = (from.path.clone(), ctx.meter.clone());
    let archive = match blocking(move || Archive::read(&path, meter.as_ref())).await {
        Ok(archive) => archive,
        Err(error) => {
            let found = format!("{}: {error}", from.path.display());
            let hint = "it is damaged, or no raft snapshot: take another one";
            group.fail("snapshot-whole", found, hint);
            return Ok(());
        }
    };
    group.pass(
        "snapshot-whole",
        format!(
            "{}: {} entries, {}, every sum is right; saved at index {}",
            from.path.display(),
            archive.tally.entries,
            HumanBytes(archive.tally.bytes),
            archive.index
        ),
    );
    namespaces(&mut group, &archive);
    let version = version(&mut group, &archive, &release);
    let Some(seal) = sealed_by(&mut group, &archive) else {
        return Ok(());
    };
    let Some((barrier, token)) = opened(ctx, &mut group, &archive, &seal).await? else {
        return Ok(());
    };
    known(&mut group, &archive, &barrier, &token).await?;
    let Some(cluster_id) = cluster(&mut group, &archive, &barrier, from) else {
        return Ok(());
    };
    let audited = audit(&mut group, &archive, &barrier, &release);
    empty(ctx, &mut group, &cluster_id).await?;
    let mut group = Group::new("data", ctx, checked);
    let Data {
        entries,
        bytes,
        max_entry_size,
        namespaces,
    } = archive.tally.told(&mut group);
    checked.snapshot = Some(Snapshot {
        path: from.path.clone(),
        sha256: archive.sha256,
        audited,
    });
    checked.source = Some(Source {
        version,
        storage: StorageKind::Raft,
        shares: seal.secret_shares,
        threshold: seal.secret_threshold,
        cluster_id,
        entries,
        bytes,
        max_entry_size,
        namespaces,
    });
    super::room::check(ctx, bytes, checked).await?;
    super::release::rehearse(ctx, &Flip::new(ctx.replicas, max_entry_size), checked).await
}

fn namespaces(group: &mut Group<'_>, archive: &Archive) {
    let found = format!("{} child namespace(s)", archive.tally.namespaces.len());
    if archive.tally.own_seals > 0 {
        group.fail(
            "data-namespaces",
            found,
            "some have a seal of their own: their entries cannot be read with these keys",
        );
    } else if let Some(table) = &archive.whole_table {
        group.fail(
            "data-namespaces",
            format!("{found}, with the table {table}"),
            "they were moved from file storage without their tables: a server breaks at its second unseal on this snapshot",
        );
    } else {
        group.pass("data-namespaces", found);
    }
}

/// The version that the data was served with last.
fn version(group: &mut Group<'_>, archive: &Archive, release: &Release) -> String {
    let Some(version) = &archive.version else {
        group.warn(
            "snapshot-version",
            "it does not tell which version of OpenBao has run on it",
            format!(
                "restore it with the version that saved it; here runs {}",
                release.version
            ),
        );
        return release.version.clone();
    };
    let found = format!(
        "OpenBao {} ran on it, here runs {}",
        version.1, release.version
    );
    match Version::parsed(&release.version) {
        Some(here) if here.0 == version.0 => group.pass("snapshot-version", found),
        Some(here) if here.0 < version.0 => group.fail(
            "snapshot-version",
            found,
            "an older server does not know what a newer one wrote: take the version that saved the snapshot",
        ),
        _ => group.warn(
            "snapshot-version",
            found,
            "the server changes the data to its own version at the first unseal; the same version first is safer",
        ),
    }
    version.1.clone()
}

/// The seal, where everything is there that one needs.
fn sealed_by(group: &mut Group<'_>, archive: &Archive) -> Option<Seal> {
    let lacks = NEEDED.iter().filter(|key| archive.entry(key).is_empty());
    let lacks: Vec<&str> = lacks.copied().collect();
    if lacks.is_empty() {
        group.pass("snapshot-entries", "every entry that opens it is there");
    } else {
        group.fail(
            "snapshot-entries",
            format!("it lacks {}", lacks.join(", ")),
            "no server can be unsealed on it: take another snapshot",
        );
    }
    let seal: Option<Seal> = serde_json::from_slice(archive.entry(SEAL)).ok();
    let shamir = seal.filter(|seal| ["", "shamir"].contains(&seal.kind.as_str()));
    match &shamir {
        Some(seal) => group.pass(
            "snapshot-seal",
            format!(
                "Shamir, {} of {} shares",
                seal.secret_threshold, seal.secret_shares
            ),
        ),
        None => group.fail(
            "snapshot-seal",
            format!("its {SEAL} is not that of a Shamir seal"),
            "only a snapshot of a cluster with unseal shares can be restored",
        ),
    }
    shamir.filter(|_| lacks.is_empty())
}

/// The data keys, where the shares open them and the sums that the server has sealed, and the token that came with the shares.
async fn opened(
    ctx: &Context,
    group: &mut Group<'_>,
    archive: &Archive,
    seal: &Seal,
) -> Result<Option<(Barrier, SecretString)>> {
    let Some(keys) = super::server::at_hand(ctx, group, seal.secret_threshold).await? else {
        return Ok(None);
    };
    let (shares, threshold) = (keys.decoded(), seal.secret_threshold as usize);
    if shares.len() < threshold {
        return Ok(None);
    }
    let (unseal_keys, keyring) = (archive.entry(UNSEAL_KEYS), archive.entry(KEYRING));
    let barrier = Barrier::open(&shares, threshold, unseal_keys, keyring);
    let barrier = match barrier {
        Ok(barrier) => {
            group.pass("snapshot-keys", "the unseal shares open its keyring");
            Some(barrier)
        }
        Err(error) => {
            group.fail(
                "snapshot-keys",
                error.to_string(),
                "find the shares that the cluster had when the snapshot was saved: a rotation of the shares leaves older \
                 snapshots to the older ones",
            );
            None
        }
    };
    let own = barrier::opened(&shares, threshold, &archive.sealed_sums, SEALED_SUMS);
    let why_not = match own {
        _ if archive.sealed_sums.is_empty() => Some(format!("it has no {SEALED_SUMS}")),
        Ok(sums) if archive.has_sums(&sums) => None,
        Ok(_) => Some(format!("its {SEALED_SUMS} tells other sums than it has")),
        Err(error) => Some(error.to_string()),
    };
    match why_not {
        None => group.pass(
            "snapshot-sealed",
            "it is as the server that saved it has sealed its sums",
        ),
        Some(why) => {
            group.fail(
                "snapshot-sealed",
                why,
                "nobody vouches for its entries: take one as `bao operator raft snapshot save` wrote it",
            );
            return Ok(None);
        }
    }
    Ok(barrier.map(|barrier| (barrier, keys.token)))
}

/// Whether the restored cluster will know the token, where that can be told: a service token of the root namespace stands there
/// under its salted id (`TokenStore.SaltID` of the server).
async fn known(
    group: &mut Group<'_>,
    archive: &Archive,
    barrier: &Barrier,
    own: &SecretString,
) -> Result<()> {
    let salt = barrier.entry(SALT, archive.entry(SALT));
    let plain = own.expose_secret().strip_prefix("s.");
    let (Ok(salt), Some(_)) = (salt, plain.filter(|id| !id.contains('.'))) else {
        let found = "whether the restored cluster will know the token cannot be told of its kind";
        let hint = "it must be one of this snapshot that has not expired";
        group.warn("snapshot-token", found, hint);
        return Ok(());
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salt);
    let id = hmac::sign(&key, own.expose_secret().as_bytes());
    let (path, id) = (archive.path.clone(), format!("h{}", hex::encode(id)));
    let there = blocking(move || Archive::has_token(&path, &id));
    if there.await? {
        group.pass("snapshot-token", "the token is one of the snapshot's");
    } else {
        group.fail(
            "snapshot-token",
            "the snapshot does not have the token: the restored cluster would refuse it",
            format!(
                "name one that was made before the snapshot was saved, with the policy in {}",
                token::POLICY
            ),
        );
    }
    Ok(())
}

/// The id of the cluster that it is of.
fn cluster(
    group: &mut Group<'_>,
    archive: &Archive,
    barrier: &Barrier,
    from: &FromSnapshot,
) -> Option<String> {
    let info = barrier.entry(CLUSTER, archive.entry(CLUSTER));
    let identity = info.and_then(|info| {
        serde_json::from_slice::<Identity>(&info).map_err(|_| BarrierError::Form(CLUSTER))
    });
    let id = match identity {
        Ok(identity) => identity.id,
        Err(error) => {
            let hint =
                "nobody could tell whether the right cluster was restored: take another snapshot";
            group.fail("snapshot-cluster", error.to_string(), hint);
            return None;
        }
    };
    match &from.cluster_id {
        Some(expected) if *expected != id => group.fail(
            "snapshot-cluster",
            format!("it is of cluster {id}, and not of {expected}, which --cluster-id or the last run here names"),
            format!(
                "take one of that cluster; if this is the one you want, say so: --cluster-id {id}"
            ),
        ),
        Some(_) => group.pass("snapshot-cluster", format!("of cluster {id}, as expected")),
        None => group.pass("snapshot-cluster", format!("of cluster {id}")),
    }
    Some(id)
}

/// Whether its audit devices stay: those that the release declares, option by option. Without a stanza the server would disable
/// a device by itself, after it has opened it.
fn audit(group: &mut Group<'_>, archive: &Archive, barrier: &Barrier, release: &Release) -> bool {
    let mut devices = BTreeMap::new();
    for name in AUDIT {
        let Some(value) = archive.entries.get(name) else {
            continue;
        };
        let table = barrier.entry(name, value);
        match table.and_then(|table| unpacked(&table).ok_or(BarrierError::Form(name))) {
            Ok(found) => devices.extend(found),
            Err(error) => {
                let hint = "its audit devices cannot be compared with the release's stanzas";
                group.fail("snapshot-audit", error.to_string(), hint);
                return false;
            }
        }
    }
    let found = format!("{} audit device(s)", devices.len());
    if devices == release.audit {
        group.pass("snapshot-audit", format!("{found}, as configured"));
    } else if release.audit.is_empty() {
        group.warn(
            "snapshot-audit",
            format!("{found}, and the release declares none"),
            "they are left out, so that nothing is written to where the old cluster wrote",
        );
    } else {
        group.fail(
            "snapshot-audit",
            format!(
                "the configuration declares {:?}, the snapshot has {:?}",
                release.audit.keys(),
                devices.keys()
            ),
            "each audit stanza must be the same in every option, or the restored server loops for ever",
        );
    }
    devices == release.audit
}

/// A snapshot is restored over nothing.
async fn empty(ctx: &Context, group: &mut Group<'_>, cluster_id: &str) -> Result<()> {
    let held = held(ctx.platform.as_ref(), cluster_id).await?;
    if held.is_empty() {
        group.pass("target-empty", "no member has any data");
    } else {
        group.fail(
            "target-empty",
            held.join("; "),
            "a snapshot is restored over no data, nor beside it. If that data is lost for good, stop the members and move \
             `vault.db`, `raft/`, the file tree and the files of a store away; a running server is not touched",
        );
    }
    Ok(())
}

/// What data each member has, where it has any; `own` is the cluster that is to be restored.
pub async fn held(platform: &dyn Platform, own: &str) -> Result<Vec<String>> {
    let mut held = Vec::new();
    for member in platform.members() {
        let volume = platform.volume(&member).await?;
        if volume.file_tree {
            held.push(format!("a file tree on the volume of {member}"));
        }
        let status = match platform.instance(&member).await? {
            Some(_) => Some(platform.node(&member)?.seal_status().await?),
            None => None,
        };
        let unused =
            |it: &SealStatus| it.storage_type == StorageKind::Pebbledb.name() && !it.initialized;
        // The store is there as soon as a server opens it.
        if volume.store && !status.as_ref().is_some_and(unused) {
            held.push(format!("a store of pebbledb on the volume of {member}"));
        }
        // A server on raft makes them as soon as it starts, and tells what is in them.
        let elsewhere = match &status {
            Some(status) if status.storage_type == StorageKind::Raft.name() => None,
            Some(status) => Some(format!(
                ", which runs on {} storage: a server on raft would open them",
                status.storage_type
            )),
            None => Some(String::new()),
        };
        held.extend(
            elsewhere
                .filter(|_| volume.raft_files)
                .map(|it| format!("raft files on the volume of {member}{it}")),
        );
        let Some(status) = status else {
            continue;
        };
        held.extend(match status.cluster_id {
            Some(id) if id == own => Some(format!(
                "{member} serves the cluster that the snapshot is of"
            )),
            Some(id) => Some(format!("{member} serves another cluster, {id}")),
            None if status.initialized => Some(format!("{member} is initialised and sealed")),
            None => None,
        });
    }
    Ok(held)
}
