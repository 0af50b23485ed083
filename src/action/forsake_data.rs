//! Asks whether the source's data may stay behind.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::compare_tables::{namespaces, tables};
use super::keys::Keys;
use super::paths::{FRESH_MOUNTS, FRESH_POLICIES, Mounted};
use super::{Action, Context, Error, Evidence, Forsaken, Observation, Outcome, Result};
use crate::armed::Armed;
use crate::event::{Level, Tier};
use crate::storage::{DigestSource, Phase};

/// See [`super::ActionSpec::ForsakeData`].
pub struct ForsakeData;

/// What the source holds beyond what a server has that was only initialised, in words.
async fn held(ctx: &Context) -> Result<Vec<String>> {
    let first = ctx.first()?;
    let token = Keys::old(ctx).await?.token;
    let node = ctx.node(&first)?;
    let mut tables = tables(node.as_ref(), &token).await?;
    let manifest = ctx
        .platform
        .tree_manifest(&first, Phase::Live, ctx.meter.as_ref())
        .await?;
    let (mut keys, mut key) = (manifest.digests(), String::new());
    let mut has_children = false;
    while keys.next_digest(&mut key)?.is_some() {
        has_children |= key.starts_with("namespaces/");
    }
    if has_children {
        tables.namespaces = namespaces(node.as_ref(), &token).await?;
    }
    let (mounted, mut keys) = (Mounted::of(&tables), manifest.digests());
    let mut entries: BTreeMap<String, u64> = BTreeMap::new();
    while keys.next_digest(&mut key)?.is_some() {
        if let Some(mount) = mounted.mount_of(&key) {
            *entries.entry(mount.to_owned()).or_default() += 1;
        }
    }
    let mut held = Vec::new();
    for scope in tables.scopes() {
        if !scope.path.is_empty() {
            held.push(format!("namespace {}", scope.path));
        }
        let engines = scope
            .mounts
            .iter()
            .map(|(path, mount)| (path.clone(), mount));
        let methods = scope
            .auth
            .iter()
            .map(|(path, mount)| (format!("auth/{path}"), mount));
        for (within, mount) in engines.chain(methods) {
            let path = format!("{}{within}", scope.path);
            let count = entries.get(&path).copied().unwrap_or_default();
            if count > 0 || !FRESH_MOUNTS.contains(&within.as_str()) {
                held.push(format!("{path} ({}), {count} entries", mount.kind));
            }
        }
        let policies = scope
            .policies
            .iter()
            .filter(|name| !FRESH_POLICIES.contains(&name.as_str()));
        held.extend(policies.map(|name| scope.policy(name)));
    }
    Ok(held)
}

/// A source that held nothing when it was looked at, and does now, is not sealed: hours may have gone by.
pub(super) async fn still_nothing(ctx: &Context) -> Result<()> {
    let Some(forsaken) = ctx.find::<Forsaken>() else {
        return Ok(());
    };
    let now = if forsaken.held.is_empty() {
        held(ctx).await?
    } else {
        Vec::new()
    };
    if now.is_empty() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the source holds data that was not there when this run looked: {}. Nothing was sealed: roll back and begin a new run, \
         which asks for it",
        now.join("; ")
    )))
}

fn evidence(held: Vec<String>) -> Evidence {
    let summary = if held.is_empty() {
        "the source holds nothing that a fresh server does not have".to_owned()
    } else {
        format!("left behind, as agreed to: {}", held.join("; "))
    };
    Evidence::new(summary).with(&Forsaken { held })
}

#[async_trait]
impl Action for ForsakeData {
    fn asks(&self, ctx: &Context) -> Option<(&str, Tier)> {
        let say = "the new cluster gets none of the source's data (listed above): leave it behind";
        Some((say, Tier::TypeName(ctx.platform.target().namespace)))
    }

    fn title(&self, _: &Context) -> String {
        "look whether the source holds data, which stays behind".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let first = ctx.first()?;
        Ok(vec![format!(
            "{first}: GET sys/mounts, sys/auth, sys/audit; LIST sys/policies/acl; manifest of the file tree"
        )])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        if let Some(forsaken) = ctx.find::<Forsaken>() {
            return Ok(Observation::Done(evidence(forsaken.held)));
        }
        let held = held(ctx).await?;
        if held.is_empty() {
            return Ok(Observation::Done(evidence(held)));
        }
        if !ctx.lose_data {
            return Ok(Observation::Conflict(format!(
                "the source holds data, and this runbook brings none of it: {}. Another one does (`baoctl runbook list`); to leave it \
                 behind say --lose-data",
                held.join("; ")
            )));
        }
        for line in held {
            ctx.note(Level::Warn, format!("stays behind: {line}"));
        }
        Ok(Observation::Pending)
    }

    async fn apply(&self, ctx: &Context, _: Armed) -> Result<Outcome> {
        Ok(evidence(held(ctx).await?).into())
    }
}
