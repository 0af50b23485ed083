//! Proves on an inert scratch node that the keys open the data, and keeps its raft TLS keyring.
//!
//! Inert: its copy has no mounts, auth methods, audit devices or leases, so that it revokes and rotates nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{TryStreamExt, stream};
use secrecy::SecretString;
use tokio::time::Instant;

use super::back_up::open;
use super::cluster::unseal;
use super::context::blocking;
use super::data_keys::data_keys;
use super::keys::Keys;
use super::{
    Action, Backup, Context, Error, Evidence, Look, Observation, Outcome, Proof, Result, Snapshot,
    Source, Timings,
};
use crate::armed::Armed;
use crate::bao::{Health, Node};
use crate::meter::Unit;
use crate::storage::{self, ArchiveReader, ConvertOptions, Filter, Phase, TreeOptions};

/// See [`super::ActionSpec::Prove`].
pub struct Prove;

/// Entries that are decrypted at the same time.
const AT_ONCE: usize = 16;
/// The server answers 400 to a raw read of its own identity.
const PROTECTED: &str = "core/cluster/local/info";

#[async_trait]
impl Action for Prove {
    fn title(&self, _: &Context) -> String {
        "prove on a scratch node that the keys open every entry".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(vec![
            format!(
                "make {} of the copy, without mounts, auth methods, audit devices and leases",
                ctx.file("proof-inert.snap").display()
            ),
            "scratch: start, PUT sys/init, PUT sys/unseal".to_owned(),
            "scratch: POST sys/storage/raft/snapshot-force, then PUT sys/unseal with the old key"
                .to_owned(),
            "scratch: PUT sys/generate-root/attempt, sys/generate-root/update: a root token that dies with it".to_owned(),
            "scratch: GET sys/raw for every entry".to_owned(),
            "scratch: GET sys/storage/raft/snapshot, for its core/raft/tls".to_owned(),
            "scratch: remove".to_owned(),
        ])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        Ok(ctx.find::<Proof>().map_or(Observation::Pending, |proof| {
            Observation::Done(evidence(&proof))
        }))
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let (copy, timings) = if let Some(snapshot) = ctx.find::<Snapshot>() {
            let snapshot = snapshot.where_named(ctx);
            (ToProve::Snapshot(snapshot), Timings::default())
        } else {
            let backup: Backup = ctx.fact()?;
            let copy = ToProve::Tree {
                tar: backup.tree,
                options: TreeOptions::new(Phase::Live),
                raft_tls: None,
            };
            (copy, backup.timings)
        };
        let (proof, timings) = prove(ctx, copy, timings, &armed).await?;
        Ok(evidence(&proof).with(&timings).into())
    }

    fn describe_undo(&self, _: &Context) -> Result<Vec<String>> {
        Ok(vec!["scratch: remove".to_owned()])
    }

    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        ctx.platform.scratch_discard(&armed).await?;
        Ok("no scratch node is left".to_owned())
    }
}

fn evidence(proof: &Proof) -> Evidence {
    Evidence::new(format!(
        "{} entries decrypted with the old key, cluster id as on the source",
        proof.decrypted
    ))
    .with(proof)
}

/// What is to be proved.
pub enum ToProve {
    /// A copy of the tree.
    Tree {
        /// As a tar.
        tar: PathBuf,
        /// How it is read.
        options: TreeOptions,
        /// A keyring that is grafted into it: the scratch node leads only if the old key opens that as well.
        raft_tls: Option<Vec<u8>>,
    },
    /// The operator's snapshot.
    Snapshot(Snapshot),
}

/// The server replaces a raft TLS keyring that is 24 h old; a proof half that old is made again.
const VALID: Duration = Duration::from_hours(12);

/// Refuses a proof whose keyring the server may soon replace. Nothing has been touched then.
pub fn still_young(proof: &Proof) -> Result<()> {
    let age = jiff::Timestamp::now().duration_since(proof.at);
    if age.unsigned_abs() <= VALID {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the proof is {} hours old, and its raft TLS keyring may be replaced when it is 24; roll back and begin a new run, which \
         proves again (nothing was sealed)",
        age.as_hours()
    )))
}

/// Proves a copy on a scratch node, which goes, whatever it showed; a crash leaves it to the next try.
///
/// `timings` are those of the copy; the ones of the scratch node are added.
pub async fn prove(
    ctx: &Context,
    copy: ToProve,
    timings: Timings,
    armed: &Armed,
) -> Result<(Proof, Timings)> {
    let proved = on_scratch(ctx, copy, timings, armed).await;
    let discarded = ctx.platform.scratch_discard(armed).await;
    let proof = proved?;
    discarded?;
    Ok(proof)
}

async fn on_scratch(
    ctx: &Context,
    copy: ToProve,
    mut timings: Timings,
    armed: &Armed,
) -> Result<(Proof, Timings)> {
    let source: Source = ctx.fact()?;
    let old = Keys::old(ctx).await?;
    let inert = ctx.file("proof-inert.snap");
    let (seal_material, keys) = convert_inert(ctx, copy, inert.clone()).await?;

    let began = Instant::now();
    let node = ctx.platform.scratch_start(armed).await?;
    timings.start = began.elapsed().as_secs_f64();
    (timings.end, timings.migrator) = ctx.platform.tolls(timings.start);
    let node = node.as_ref();
    ctx.meter.waiting("the scratch node to initialise");
    let began = Instant::now();
    let throwaway = node.init(source.shares, source.threshold, armed).await?;
    timings.init = began.elapsed().as_secs_f64();
    let throwaway = Keys {
        shares: throwaway.shares,
        token: throwaway.root_token,
    };
    let began = Instant::now();
    unseal(ctx, node, &throwaway, armed).await?;
    await_leading(ctx, node).await?;
    timings.lead = began.elapsed().as_secs_f64();
    let began = Instant::now();
    node.snapshot_force(&throwaway.token, &inert, ctx.meter.as_ref(), armed)
        .await?;
    ctx.until(
        "the scratch node to seal itself after the restore",
        Duration::from_mins(2),
        Duration::from_millis(200),
        async || {
            Ok(if node.seal_status().await?.sealed {
                Look::Ready(())
            } else {
                Look::NotYet("restoring".to_owned())
            })
        },
    )
    .await?;
    timings.restore = began.elapsed().as_secs_f64();
    let began = Instant::now();
    unseal(ctx, node, &old, armed).await?;
    await_leading(ctx, node).await?;
    timings.reopen = began.elapsed().as_secs_f64();
    if source.namespaces > 0 {
        timings.namespaces = 2.0 * (timings.start + timings.reopen);
    }

    let cluster_id = node.seal_status().await?.cluster_id.unwrap_or_default();
    if cluster_id != source.cluster_id {
        return Err(Error::refused(format!(
            "the scratch node shows cluster {cluster_id}, the source {}: the copy is not the source's",
            source.cluster_id
        )));
    }
    // The operator's token has a lease unless it is root, and the copy has none: the server refuses such a token, and
    // with the leases it would act on them.
    let token = node.generate_root(&old.shares, armed).await?;
    let decrypted = decrypt_all(ctx, node, &token, keys).await?;
    let snapshot = ctx.file("proof.snap");
    node.snapshot_save(&token, &snapshot, ctx.meter.as_ref())
        .await?;
    let tls = blocking(move || -> Result<_> {
        let found = storage::raft_tls_of(ArchiveReader::open(&snapshot)?)?;
        // Nothing else of it is needed.
        let _ = std::fs::remove_file(&snapshot);
        Ok(found)
    })
    .await?;
    let Some(tls) = tls else {
        return Err(Error::refused(
            "the scratch node made no core/raft/tls; three voters cannot be restored without one",
        ));
    };
    let proof = Proof {
        at: jiff::Timestamp::now(),
        decrypted,
        seal_material,
        data_keys: data_keys(ctx, &old, inert).await?,
        raft_tls: hex::encode(tls),
    };
    Ok((proof, timings))
}

async fn convert_inert(
    ctx: &Context,
    copy: ToProve,
    out: PathBuf,
) -> Result<(BTreeMap<String, String>, Vec<String>)> {
    let (scratch, meter) = (ctx.platform.run_dir().to_owned(), ctx.meter.clone());
    blocking(move || -> Result<_> {
        let inert = |options| ConvertOptions {
            filter: Filter::Inert,
            ..ConvertOptions::new(options, &scratch)
        };
        let converted = match copy {
            ToProve::Tree {
                tar,
                options,
                raft_tls,
            } => {
                let options = ConvertOptions {
                    raft_tls,
                    ..inert(options)
                };
                let tree = storage::Source::Tar(Box::new(open(&tar)?));
                storage::convert(tree, &out, &options, meter.as_ref())?
            }
            ToProve::Snapshot(snapshot) => {
                let options = inert(TreeOptions::new(Phase::Sealed));
                storage::rewrite(snapshot.open()?, &out, &options, meter.as_ref())?
            }
        };
        let mut keys = Vec::new();
        ArchiveReader::open(&out)?.for_each(|key, _| {
            keys.push(key.to_owned());
            Ok(())
        })?;
        Ok((converted.seal_material, keys))
    })
    .await
}

async fn await_leading(ctx: &Context, node: &dyn Node) -> Result<()> {
    ctx.until(
        "the scratch node to lead",
        Duration::from_mins(1),
        Duration::from_millis(100),
        async || {
            Ok(match node.health().await? {
                Health::Active => Look::Ready(()),
                other => Look::NotYet(format!("{other:?}").to_lowercase()),
            })
        },
    )
    .await
}

async fn decrypt_all(
    ctx: &Context,
    node: &dyn Node,
    token: &SecretString,
    keys: Vec<String>,
) -> Result<u64> {
    ctx.meter.total(Unit::Entries, keys.len() as u64);
    stream::iter(
        keys.into_iter()
            .filter(|key| readable(key))
            .map(Ok::<_, Error>),
    )
    .map_ok(|key| async move {
        let length = node.raw_len(token, &key).await?;
        ctx.meter.advance(Unit::Entries, 1);
        match length {
            Some(_) => Ok(1_u64),
            None => Err(Error::refused(format!(
                "the entry {key} is in the copy, but the scratch node does not find it"
            ))),
        }
    })
    .try_buffer_unordered(AT_ONCE)
    .try_fold(0_u64, |sum, one| async move { Ok(sum + one) })
    .await
}

/// The few entries that are not behind the barrier, or that the raw endpoint keeps to itself.
fn readable(key: &str) -> bool {
    key != PROTECTED
        && !matches!(
            key,
            "core/seal-config"
                | "core/keyring"
                | "core/hsm/barrier-unseal-keys"
                | "core/shamir-kek"
                | "core/raft/tls"
        )
}
