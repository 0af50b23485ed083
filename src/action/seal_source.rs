//! Seals the source: the outage begins.

use std::time::Duration;

use async_trait::async_trait;
use indicatif::HumanBytes;
use secrecy::SecretString;

use super::cluster::{await_active, end_of_outage, unseal};
use super::compare_tables::{namespaces, tables};
use super::context::free_bytes;
use super::final_copy::is_as_copied;
use super::forsake_data::still_nothing;
use super::keys::Keys;
use super::paths::Versioned;
use super::prove::still_young;
use super::suspend_actors::nobody_acts;
use super::{
    Action, Context, Error, Evidence, FinalCopied, Forecast, Forsaken, Frozen, Look, Observation,
    Outcome, Result, Source, token,
};
use crate::armed::Armed;
use crate::bao::Node;
use crate::journal::Mark;
use crate::meter::Silent;
use crate::storage::Phase;

/// See [`super::ActionSpec::SealSource`].
pub struct SealSource;

/// The final copy's tar, spool and archive, and some for the servers that share the volume.
const COPIES: u64 = 4;
/// Seconds that a seal takes as a rule, as seen: the server lets its requests end.
const DRAIN: f64 = 0.2;
/// Two equal manifests this far apart tell that nothing writes any more.
const QUIET: Duration = Duration::from_secs(5);

async fn evidence(ctx: &Context, first: &str) -> Result<Evidence> {
    let frozen = Frozen {
        instance: ctx.platform.instance(first).await?,
    };
    Ok(Evidence::new(format!("{first} is sealed")).with(&frozen))
}

/// Why a source that this run has not sealed serves nobody, where it does not.
pub(super) async fn serves_nobody(ctx: &Context, first: &str) -> Result<Option<String>> {
    if ctx.platform.instance(first).await?.is_none() {
        return Ok(Some(format!(
            "{first} does not run; start it and unseal it first"
        )));
    }
    let sealed = ctx.node(first)?.seal_status().await?.sealed;
    Ok(sealed.then(|| format!("{first} is sealed already, and not by this run; unseal it first")))
}

#[async_trait]
impl Action for SealSource {
    fn title(&self, ctx: &Context) -> String {
        format!(
            "seal {}: the outage begins",
            ctx.first().unwrap_or_default()
        )
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let first = ctx.first()?;
        let mut calls = vec![
            format!("{first}: GET auth/token/lookup-self; PUT sys/capabilities-self"),
            format!("{first}: GET sys/mounts, sys/auth, sys/audit; LIST sys/policies/acl"),
        ];
        if ctx.find::<Forsaken>().is_some() {
            calls.push(format!(
                "{first}: LIST the names in each versioned key-value mount, to a file of the run"
            ));
        }
        calls.push(format!("{first}: PUT sys/seal"));
        Ok(calls)
    }

    /// What is mounted and allowed may have changed since preflight, and nobody can ask a sealed server.
    async fn read_before(&self, ctx: &Context) -> Result<Evidence> {
        let node = ctx.node(&ctx.first()?)?;
        if node.seal_status().await?.sealed {
            // By an earlier try, which has read them.
            return Ok(Evidence::default());
        }
        let token = Keys::old(ctx).await?.token;
        serves_to_the_end(node.as_ref(), &token).await?;
        let mut found = tables(node.as_ref(), &token).await?;
        if ctx.fact::<Source>()?.namespaces > 0 {
            found.namespaces = namespaces(node.as_ref(), &token).await?;
        }
        if ctx.find::<Forsaken>().is_some() {
            let named = Versioned::list(ctx, node.as_ref(), &token, &found).await?;
            named.save(ctx).await?;
        }
        Ok(Evidence::default().with(&found))
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let first = ctx.first()?;
        if !ctx.outage_open {
            // The outage is marked right before the seal is sent and unmarked when it is refused: an intent alone sealed nothing.
            let why = serves_nobody(ctx, &first).await?;
            return Ok(why.map_or(Observation::Pending, Observation::Conflict));
        }
        if ctx.platform.instance(&first).await?.is_none() {
            // Stopped altogether: nothing can write, which is what the seal is for.
            return Ok(Observation::Done(evidence(ctx, &first).await?));
        }
        let sealed = ctx.node(&first)?.seal_status().await?.sealed;
        // One whose answer was not heard leaves a drain that may still write: that is awaited first.
        Ok(if sealed && ctx.find::<Frozen>().is_some() {
            Observation::Done(evidence(ctx, &first).await?)
        } else {
            Observation::Pending
        })
    }

    fn forecast(&self, forecast: &mut Forecast) {
        forecast.begin();
        forecast.add(DRAIN, 0.0);
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let first = ctx.first()?;
        let node = ctx.node(&first)?;
        if ctx.outage_open && node.seal_status().await?.sealed {
            settle(ctx, &first).await?;
            return Ok(evidence(ctx, &first).await?.into());
        }
        nobody_acts(ctx).await?;
        still_young(&ctx.fact()?)?;
        let storage = ctx.fact::<Source>()?.storage;
        if ctx.platform.release().await?.storage != storage {
            return Err(Error::refused(format!(
                "the release is no longer configured for {} storage; nothing was sealed",
                storage.name()
            )));
        }
        room(ctx)?;
        still_nothing(ctx).await?;
        let token = Keys::old(ctx).await?.token;
        ctx.mark(Mark::OutageStarted).await?;
        if let Err(error) = node.seal(&token, &armed).await {
            if !error.outcome_unknown() {
                ctx.mark(Mark::OutageAverted).await?;
                return Err(error.into());
            }
            ctx.until(
                "the source to be sealed",
                Duration::from_mins(2),
                Duration::from_millis(500),
                async || {
                    Ok(if node.seal_status().await?.sealed {
                        Look::Ready(())
                    } else {
                        Look::NotYet("unsealed".to_owned())
                    })
                },
            )
            .await?;
            settle(ctx, &first).await?;
        }
        Ok(evidence(ctx, &first).await?.into())
    }

    fn describe_undo(&self, ctx: &Context) -> Result<Vec<String>> {
        let first = ctx.first()?;
        Ok(vec![
            format!(
                "{first}: where it does not run, manifest of the file tree, compared with the one after the seal, and start on \
                 its old storage"
            ),
            format!("{first}: PUT sys/unseal with the old key"),
        ])
    }

    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        let first = ctx.first()?;
        let source: Source = ctx.fact()?;
        let node = ctx.node(&first)?;
        let storage = source.storage.name();
        if ctx.platform.release().await?.storage != source.storage {
            return Err(Error::refused(format!(
                "the release is not configured for {storage} storage"
            )));
        }
        // A server that runs on its files may have been unsealed behind the run and have written: nothing was restored, so
        // that its tree is the newest data there is.
        let mut served = format!("{first} serves from {storage} storage");
        if ctx.platform.instance(&first).await?.is_none() {
            if let Some(entries) = same_tree(ctx, &first).await? {
                served = format!("{served}, {entries} entries byte for byte as they were sealed");
            }
            ctx.platform.replace(&first, &armed).await?;
        }
        let old = Keys::old(ctx).await?;
        let end =
            end_of_outage(ctx, std::slice::from_ref(&first), Some(&source.cluster_id)).await?;
        unseal(ctx, node.as_ref(), &old, &armed).await?;
        await_active(ctx, Duration::from_mins(1)).await?;
        let status = node.seal_status().await?;
        if status.storage_type != storage || status.cluster_id.as_ref() != Some(&source.cluster_id)
        {
            return Err(Error::refused(format!(
                "{first} serves cluster {} from {} storage, not the source's",
                status.cluster_id.unwrap_or_default(),
                status.storage_type
            )));
        }
        if ctx.outage_open {
            ctx.mark(end).await?;
        }
        Ok(served)
    }
}

/// Hours may have gone by since preflight, or another token was given to this process: a sealed source gives none.
async fn serves_to_the_end(node: &dyn Node, token: &SecretString) -> Result<()> {
    let details = node.lookup_self(token).await?;
    let other = "then resume, with --keys-file FILE if it is another one (nothing was sealed)";
    if let Some((why, next)) = token::short_of(&details, token::FOR_THE_OUTAGE) {
        return Err(Error::refused(format!("{why}; {next}; {other}")));
    }
    let lacks = token::denied(node, token).await?;
    if lacks.is_empty() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the token may not: {}; give it the policy in {}, {other}",
        lacks.join("; "),
        token::POLICY
    )))
}

/// Nothing wrote to the tree since it was copied: its entries, where it was.
async fn same_tree(ctx: &Context, first: &str) -> Result<Option<u64>> {
    let Some(copied) = ctx.find::<FinalCopied>() else {
        return Ok(None);
    };
    if is_as_copied(ctx).await? {
        return Ok(Some(copied.entries));
    }
    Err(Error::refused(format!(
        "the file tree of {first} is not the one that was sealed, and no server runs on it. The tree as it was sealed is in \
         {}. If a server wrote to it since, start {first} on it and roll back again: its data is kept then",
        ctx.file("final.tar").display()
    )))
}

/// The final copy is made while clients wait: it must not stop for want of room then.
fn room(ctx: &Context) -> Result<()> {
    let source: Source = ctx.fact()?;
    let folder = ctx.platform.run_dir();
    let free = free_bytes(folder)?;
    let need = source.bytes * COPIES;
    if free < need {
        return Err(Error::refused(format!(
            "{} has {} free, and the final copy needs {}; make room there and resume (nothing was sealed)",
            folder.display(),
            HumanBytes(free),
            HumanBytes(need)
        )));
    }
    Ok(())
}

/// After a seal without an answer the drain may still write: two equal manifests say that it has ended.
async fn settle(ctx: &Context, first: &str) -> Result<()> {
    let mut before = ctx
        .platform
        .tree_manifest(first, Phase::Live, &Silent)
        .await?;
    for _ in 0..24 {
        ctx.meter.waiting("two equal manifests of the tree");
        tokio::time::sleep(QUIET).await;
        let now = ctx
            .platform
            .tree_manifest(first, Phase::Live, &Silent)
            .await?;
        if now == before {
            return Ok(());
        }
        before = now;
    }
    Err(Error::refused(
        "the tree of the sealed source goes on changing; find out what writes to it",
    ))
}
