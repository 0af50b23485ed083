//! Moves the tables of child namespaces to where a server on raft looks for them.
//!
//! A server that is unsealed for the first time on raft splits each mount table into a row per mount, and writes those of
//! the child namespaces below the root's prefix. It serves well, and does not survive the next unseal: it takes the tables
//! that it left in the children for all that there is, misses the root's and panics (openbao#3921). So this happens
//! between the first and the second unseal, through the raw endpoint of a server that no client reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::Deserialize;

use super::cluster::{await_active, instances, unseal};
use super::compare_tables::{differences_of, namespaces, tables};
use super::flip::values;
use super::keys::Keys;
use super::restore::begin_anew;
use super::{
    Action, Context, Error, Evidence, Forecast, Namespace, Observation, Outcome, Result, Source,
    Tables, Voters,
};
use crate::armed::Armed;
use crate::bao::Node;
use crate::journal::Mark;
use crate::meter::Unit;
use crate::platform::{Before, Flip};

/// See [`super::ActionSpec::MoveNamespaces`].
pub struct MoveNamespaces {
    /// The step to go back to when the server was restarted before all were moved.
    pub rewind_to: String,
}

/// The tables of a namespace, below its prefix.
const TABLES: [&str; 4] = [
    "core/mounts",
    "core/local-mounts",
    "core/auth",
    "core/local-auth",
];
/// Nobody was served from raft, whatever happened to it.
const WAY_BACK: &str =
    "No client has reached it, and the file tree is whole: `baoctl rollback` lets it serve again";

/// What a row of a mount table says of where it belongs.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    namespace_id: String,
}

impl Namespace {
    /// The keys that a server on raft has for its mounts and auth methods.
    fn rows(&self) -> BTreeSet<String> {
        let row = |table: &str, local, uuid: &str| {
            let local = if local { "local-" } else { "" };
            format!("{}core/{local}{table}/{uuid}", self.prefix())
        };
        let mounts = self.mounts.values();
        let auth = self.auth.values();
        mounts
            .map(|mount| row("mounts", mount.local, &mount.uuid))
            .chain(auth.map(|mount| row("auth", mount.local, &mount.uuid)))
            .collect()
    }
}

#[async_trait]
impl Action for MoveNamespaces {
    fn title(&self, _: &Context) -> String {
        "move the tables of the child namespaces, with clients kept out".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let first = ctx.first()?;
        let mut calls = vec![format!("{first}: PUT sys/unseal, with the old key")];
        // What is there stands in the journal since the source was sealed.
        for namespace in ctx.find::<Tables>().unwrap_or_default().namespaces.values() {
            let prefix = namespace.prefix();
            for to in namespace.rows() {
                let from = to.strip_prefix(&prefix).unwrap_or(&to);
                calls.push(format!(
                    "{first}: GET sys/raw/{from}; PUT and GET sys/raw/{to}; DELETE sys/raw/{from}"
                ));
            }
            calls.extend(TABLES.map(|table| format!("{first}: DELETE sys/raw/{prefix}{table}")));
        }
        calls.extend([
            format!("{first}: restart, PUT sys/unseal; GET the tables of each namespace"),
            format!("{first}: stop; change the release so that clients reach it; start"),
        ]);
        Ok(calls)
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        if ctx.fact::<Source>()?.namespaces == 0 {
            return Ok(Observation::NotApplicable(
                "the source has no child namespaces".to_owned(),
            ));
        }
        if !ctx.namespaces_moved {
            let lost = self.lost(ctx).await?;
            return Ok(lost.map_or(Observation::Pending, Observation::Redo));
        }
        let runs = ctx.platform.instance(&ctx.first()?).await?.is_some();
        Ok(if runs && !ctx.platform.stands_apart().await? {
            Observation::Done(evidence(ctx).await?)
        } else {
            Observation::Pending
        })
    }

    fn forecast(&self, forecast: &mut Forecast) {
        forecast.add(forecast.timings.namespaces, 0.0);
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let first = ctx.first()?;
        if !ctx.namespaces_moved {
            if let Some(why) = self.lost(ctx).await? {
                begin_anew(ctx, &armed).await?;
                let to = self.rewind_to.clone();
                return Ok(Outcome::Rewind { to, why });
            }
            if !ctx.platform.stands_apart().await? {
                return Err(Error::refused(
                    "the release is not the one that keeps clients out any more: something changed it; nothing was unsealed",
                ));
            }
            move_all(ctx, &first, &armed).await.map_err(way_back)?;
            ctx.mark(Mark::NamespacesMoved).await?;
        }
        if ctx.platform.stands_apart().await? {
            ctx.platform.replace(&first, &armed).await?;
            same_tables(ctx, &first, &armed).await.map_err(way_back)?;
            // Stopped first: a server that runs is always where the release says.
            ctx.platform.stop(&first, &armed).await?;
            let before: Before = ctx.fact()?;
            let flip = Flip {
                apart: false,
                ..values(ctx, 1)
            };
            ctx.platform
                .flip(&flip, &before, ctx.meter.as_ref(), &armed)
                .await?;
        }
        if ctx.platform.instance(&first).await?.is_none() {
            ctx.platform.replace(&first, &armed).await?;
        }
        Ok(evidence(ctx).await?.into())
    }
}

impl MoveNamespaces {
    /// Why the move cannot go on, where it cannot: only the server that took the restore may be unsealed as it is.
    async fn lost(&self, ctx: &Context) -> Result<Option<String>> {
        let (first, before) = (ctx.first()?, ctx.fact::<Voters>()?);
        let now = ctx.platform.instance(&first).await?;
        Ok((now.as_ref() != before.instances.get(&first)).then(|| {
            format!(
                "{first} was restarted before the tables of its child namespaces were moved, and may break when it is \
                 unsealed. Its raft files are moved aside, and the run goes back to `{}`. {WAY_BACK}",
                self.rewind_to
            )
        }))
    }
}

/// A refusal with what is still open; anything else may be tried again.
fn way_back(error: Error) -> Error {
    match error {
        Error::Refused { why } => Error::refused(format!("{why}. {WAY_BACK}")),
        other => other,
    }
}

async fn evidence(ctx: &Context) -> Result<Evidence> {
    let tables: Tables = ctx.fact()?;
    let rows: usize = tables.namespaces.values().map(|it| it.rows().len()).sum();
    let summary = format!(
        "{rows} mounts and auth methods of {} child namespaces are where raft has them; proven by a restart",
        tables.namespaces.len()
    );
    // One that is restarted from here on was not restarted by this run.
    Ok(Evidence::new(summary).with(&instances(ctx).await?))
}

/// Unseals the server with the old key, once it leads.
async fn open(ctx: &Context, first: &str, keys: &Keys, armed: &Armed) -> Result<()> {
    let source: Source = ctx.fact()?;
    let node = ctx.node(first)?;
    let opened = async {
        unseal(ctx, node.as_ref(), keys, armed).await?;
        await_active(ctx, Duration::from_mins(1)).await?;
        Ok(node.seal_status().await?.cluster_id)
    };
    let found = tokio::select! {
        opened = opened => opened,
        gone = gone(ctx, first) => Err(gone?),
    }?;
    if found.as_ref() == Some(&source.cluster_id) {
        return Ok(());
    }
    Err(Error::refused(format!(
        "{first} is unsealed as cluster {}, but the source's is {}: it did not take the restore",
        found.unwrap_or_default(),
        source.cluster_id
    )))
}

/// Comes back when the server has ended, and maybe another has begun: a panic comes after the answer to the last share.
async fn gone(ctx: &Context, first: &str) -> Result<Error> {
    let before = ctx.platform.instance(first).await?;
    while before.is_some() && ctx.platform.instance(first).await? == before {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let log = ctx.platform.log_tail(first, 200).await.unwrap_or_default();
    let said = log.into_iter().find(|line| line.starts_with("panic:"));
    Ok(Error::refused(format!(
        "{first} ended when it was unsealed ({})",
        said.unwrap_or_else(|| "its log says no panic".to_owned())
    )))
}

/// Moves what is not yet moved. Each row names its namespace, and a table goes only when all its rows are in their place.
async fn move_all(ctx: &Context, first: &str, armed: &Armed) -> Result<()> {
    let old = Keys::old(ctx).await?;
    open(ctx, first, &old, armed).await?;
    let (node, token) = (ctx.node(first)?, &old.token);
    let node = node.as_ref();
    let children: Vec<Namespace> = namespaces(node, token).await?.into_values().collect();
    let homes: BTreeMap<&str, String> = children
        .iter()
        .map(|child| (child.id.as_str(), child.prefix()))
        .collect();
    let rows = children
        .iter()
        .map(|child| child.rows().len())
        .sum::<usize>();
    ctx.meter.total(Unit::Entries, rows as u64);
    for table in TABLES {
        for uuid in node.list(token, &format!("sys/raw/{table}/")).await? {
            if move_row(node, token, &format!("{table}/{uuid}"), &homes, armed).await? {
                ctx.meter.advance(Unit::Entries, 1);
            }
        }
    }
    for child in &children {
        let there = rows_of(node, token, child).await?;
        if there != child.rows() {
            let odd: Vec<String> = there.symmetric_difference(&child.rows()).cloned().collect();
            return Err(Error::refused(format!(
                "the rows of the namespace {} and its mounts differ: {}",
                child.uuid,
                odd.join(", ")
            )));
        }
    }
    for child in &children {
        for table in TABLES {
            let key = format!("{}{table}", child.prefix());
            node.raw_delete(token, &key, armed).await?;
            if node.raw(token, &key).await?.is_some() {
                return Err(Error::refused(format!("{key} is still there")));
            }
        }
    }
    Ok(())
}

/// Puts a row where it belongs, where that is a child; it is removed only when its copy was read back.
async fn move_row(
    node: &dyn Node,
    token: &SecretString,
    key: &str,
    homes: &BTreeMap<&str, String>,
    armed: &Armed,
) -> Result<bool> {
    let odd = |why: &str| Error::refused(format!("the entry {key} {why}"));
    let value = node.raw(token, key).await?;
    let value = value.ok_or_else(|| odd("went away"))?;
    let row: Row = serde_json::from_slice(&value).map_err(|_| odd("is no row of a mount table"))?;
    if matches!(row.namespace_id.as_str(), "" | "root") {
        return Ok(false);
    }
    let home = homes.get(row.namespace_id.as_str());
    let home = home.ok_or_else(|| odd("belongs to a namespace that is not there"))?;
    let to = format!("{home}{key}");
    node.raw_write(token, &to, &value, armed).await?;
    if node.raw(token, &to).await?.as_ref() != Some(&value) {
        return Err(odd("does not read back as it was written"));
    }
    node.raw_delete(token, key, armed).await?;
    Ok(true)
}

/// The rows that are below a child's own prefix.
async fn rows_of(
    node: &dyn Node,
    token: &SecretString,
    child: &Namespace,
) -> Result<BTreeSet<String>> {
    let mut rows = BTreeSet::new();
    for table in TABLES {
        let table = format!("{}{table}", child.prefix());
        let listed = node.list(token, &format!("sys/raw/{table}/")).await?;
        rows.extend(listed.into_iter().map(|uuid| format!("{table}/{uuid}")));
    }
    Ok(rows)
}

/// Unseals the restarted server, and holds its tables against the source's.
async fn same_tables(ctx: &Context, first: &str, armed: &Armed) -> Result<()> {
    let old = Keys::old(ctx).await?;
    open(ctx, first, &old, armed).await?;
    let node = ctx.node(first)?;
    let mut found = tables(node.as_ref(), &old.token).await?;
    found.namespaces = namespaces(node.as_ref(), &old.token).await?;
    let differences = differences_of(&ctx.fact()?, &found);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the tables of the restarted server differ from the source's: {}",
        differences.join("; ")
    )))
}
