//! Compares mounts, auth methods, policies and audit devices on each voter with the source's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cluster::{answers_reads, await_active, bring_up};
use super::keys::Keys;
use super::{
    Action, Context, Error, Evidence, Namespace, Observation, Outcome, Result, SameTables, Tables,
};
use crate::armed::Armed;
use crate::bao::Node;

/// See [`super::ActionSpec::CompareTables`].
pub struct CompareTables;

/// What a node says is mounted, allowed and audited.
pub async fn tables(node: &dyn Node, token: &SecretString) -> Result<Tables> {
    Ok(Tables {
        mounts: node.mounts(token).await?,
        auth: node.auth_methods(token).await?,
        policies: node.policies(token).await?,
        audit: node.audit_devices(token).await?,
        namespaces: BTreeMap::new(),
    })
}

/// The child namespaces of a node with what is mounted and allowed in each, by path.
pub async fn namespaces(
    node: &dyn Node,
    token: &SecretString,
) -> Result<BTreeMap<String, Namespace>> {
    let (mut found, mut ahead) = (BTreeMap::new(), vec![String::new()]);
    while let Some(parent) = ahead.pop() {
        for name in node.list(token, &format!("{parent}sys/namespaces")).await? {
            let row = format!("{parent}sys/namespaces/{}", name.trim_end_matches('/'));
            let path = format!("{parent}{name}");
            let named: Row = data(node, token, &row).await?;
            if named.tainted {
                return Err(Error::refused(format!(
                    "the namespace {path} is being deleted: wait until it is gone"
                )));
            }
            let mut policies = node.list(token, &format!("{path}sys/policies/acl")).await?;
            policies.sort_unstable();
            let namespace = Namespace {
                uuid: named.uuid,
                id: named.id,
                mounts: data(node, token, &format!("{path}sys/mounts")).await?,
                auth: data(node, token, &format!("{path}sys/auth")).await?,
                policies,
            };
            found.insert(path.clone(), namespace);
            ahead.push(path);
        }
    }
    Ok(found)
}

/// A row of `sys/namespaces`.
#[derive(Deserialize)]
struct Row {
    id: String,
    uuid: String,
    #[serde(default)]
    tainted: bool,
}

/// The `data` of an answer that must be there.
async fn data<T: DeserializeOwned>(node: &dyn Node, token: &SecretString, path: &str) -> Result<T> {
    let answer = node.read(token, path).await?;
    let data = answer.and_then(|mut answer| answer.get_mut("data").map(Value::take));
    // The parser's own words may quote a value.
    data.and_then(|data| serde_json::from_value(data).ok())
        .ok_or_else(|| {
            Error::refused(format!(
                "{}: GET {path}: an answer of another form",
                node.name()
            ))
        })
}

#[async_trait]
impl Action for CompareTables {
    fn title(&self, _: &Context) -> String {
        "compare mounts, auth methods, policies and audit devices on each voter".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(ctx
            .platform
            .members()
            .iter()
            .map(|member| format!("{member}: GET sys/mounts, sys/auth, sys/audit; LIST sys/policies/acl; lookup-self"))
            .collect())
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let found = ctx.find::<SameTables>();
        Ok(found.map_or(Observation::Pending, |same| {
            let summary = format!(
                "the tables of {} are as on the source",
                same.members.join(", ")
            );
            Observation::Done(Evidence::new(summary).with(&same))
        }))
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let expected: Tables = ctx.fact()?;
        let old = Keys::old(ctx).await?;
        let all = ctx.platform.members();
        bring_up(ctx, &all, &old, &armed).await?;
        await_active(ctx, Duration::from_mins(1)).await?;
        let mut members = Vec::new();
        for member in all {
            if answers_reads(ctx, &member, &old.token).await? {
                members.push(member);
            }
        }
        let (mut differences, mut new) = (Vec::new(), BTreeSet::new());
        for member in &members {
            let node = ctx.node(member)?;
            let mut found = tables(node.as_ref(), &old.token).await?;
            if !expected.namespaces.is_empty() {
                found.namespaces = namespaces(node.as_ref(), &old.token).await?;
            }
            let found_here = differences_of(&expected, &found);
            new.extend(added("mount", &expected.mounts, &found.mounts));
            new.extend(added("auth method", &expected.auth, &found.auth));
            new.extend(added("audit device", &expected.audit, &found.audit));
            new.extend(added("namespace", &expected.namespaces, &found.namespaces));
            differences.extend(
                found_here
                    .into_iter()
                    .map(|difference| format!("{member}: {difference}")),
            );
        }
        if !differences.is_empty() {
            return Err(Error::refused(format!(
                "the cluster differs from the source: {}",
                differences.join("; ")
            )));
        }
        let mut summary = format!(
            "{} mounts, {} auth methods, {} policies, {} audit devices as on the source; the old token is known",
            expected.mounts.len(),
            expected.auth.len(),
            expected.policies.len(),
            expected.audit.len()
        );
        if !expected.namespaces.is_empty() {
            summary = format!(
                "{summary}; the same in {} child namespaces",
                expected.namespaces.len()
            );
        }
        if !new.is_empty() {
            let new: Vec<String> = new.into_iter().collect();
            summary = format!("{summary}; made since: {}", new.join(", "));
        }
        Ok(Evidence::new(summary).with(&SameTables { members }).into())
    }
}

/// What is not there, or not as it was; what is there beside is no difference.
pub fn differences_of(expected: &Tables, found: &Tables) -> Vec<String> {
    let mut all = Vec::new();
    different("mount", &expected.mounts, &found.mounts, &mut all);
    different("auth method", &expected.auth, &found.auth, &mut all);
    different("audit device", &expected.audit, &found.audit, &mut all);
    lacking(&expected.policies, &found.policies, &mut all);
    for (path, was) in &expected.namespaces {
        let Some(is) = found.namespaces.get(path) else {
            all.push(format!("namespace {path} is missing"));
            continue;
        };
        let mut within = Vec::new();
        different("mount", &was.mounts, &is.mounts, &mut within);
        different("auth method", &was.auth, &is.auth, &mut within);
        lacking(&was.policies, &is.policies, &mut within);
        all.extend(
            within
                .into_iter()
                .map(|it| format!("namespace {path}: {it}")),
        );
    }
    all
}

fn lacking(expected: &[String], found: &[String], into: &mut Vec<String>) {
    let missing = expected.iter().filter(|policy| !found.contains(policy));
    into.extend(missing.map(|policy| format!("policy {policy} is missing")));
}

fn different<T: PartialEq + Debug>(
    what: &str,
    expected: &BTreeMap<String, T>,
    found: &BTreeMap<String, T>,
    into: &mut Vec<String>,
) {
    for (path, row) in expected {
        match found.get(path) {
            None => into.push(format!("{what} {path} is missing")),
            Some(other) if other != row => {
                into.push(format!("{what} {path} is {other:?}, was {row:?}"));
            }
            Some(_) => {}
        }
    }
}

/// What clients made since they are served again.
fn added<T>(
    what: &str,
    expected: &BTreeMap<String, T>,
    found: &BTreeMap<String, T>,
) -> Vec<String> {
    let new = found.keys().filter(|path| !expected.contains_key(*path));
    new.map(|path| format!("{what} {path}")).collect()
}
