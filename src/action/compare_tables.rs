//! Compares mounts, auth methods, policies and audit devices on each voter with the source's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use super::cluster::{answers_reads, await_active, bring_up};
use super::keys::Keys;
use super::{Action, Context, Error, Evidence, Observation, Outcome, Result, SameTables, Tables};
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
            let found = tables(node.as_ref(), &old.token).await?;
            let mut found_here = Vec::new();
            different("mount", &expected.mounts, &found.mounts, &mut found_here);
            different("auth method", &expected.auth, &found.auth, &mut found_here);
            different(
                "audit device",
                &expected.audit,
                &found.audit,
                &mut found_here,
            );
            new.extend(added("mount", &expected.mounts, &found.mounts));
            new.extend(added("auth method", &expected.auth, &found.auth));
            new.extend(added("audit device", &expected.audit, &found.audit));
            for policy in expected
                .policies
                .iter()
                .filter(|policy| !found.policies.contains(policy))
            {
                found_here.push(format!("policy {policy} is missing"));
            }
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
        if !new.is_empty() {
            let new: Vec<String> = new.into_iter().collect();
            summary = format!("{summary}; made since: {}", new.join(", "));
        }
        Ok(Evidence::new(summary).with(&SameTables { members }).into())
    }
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
