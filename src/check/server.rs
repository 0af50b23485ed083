//! The running source: its version, seal, keys and tables.

use super::finding::{Checked, Group};
use crate::action::{Context, Error, Keys, Result, tables};
use crate::bao::SealStatus;

const GROUP: &str = "server";

pub(super) async fn check(ctx: &Context, checked: &mut Checked) -> Result<Option<SealStatus>> {
    let mut group = Group::new(GROUP, ctx, checked);
    let first = ctx.first()?;
    let node = ctx.node(&first)?;
    let status = match node.seal_status().await {
        Ok(status) => status,
        Err(error) => {
            let tail = ctx
                .platform
                .log_tail(&first, 3)
                .await
                .unwrap_or_default()
                .join(" | ");
            group.fail(
                "server-answers",
                error.to_string(),
                format!("start {first} and unseal it first; its log ends: {tail}"),
            );
            return Ok(None);
        }
    };
    group.pass(
        "server-answers",
        format!("{first}, OpenBao {}", status.version),
    );
    seal(&mut group, &first, &status);
    let configured = ctx.platform.release().await?.version;
    if status.version == configured {
        group.pass(
            "server-version",
            format!("runs the configured version {configured}"),
        );
    } else {
        group.fail(
            "server-version",
            format!("runs {}, but {configured} is configured", status.version),
            "a cutover must not change the version as well: restart the server with its configured version first",
        );
    }
    if status.sealed || !status.initialized {
        return Ok(None);
    }
    keys(ctx, &mut group, status).await
}

fn seal(group: &mut Group<'_>, first: &str, status: &SealStatus) {
    if status.storage_type == "file" {
        group.pass("server-storage", "serves from file storage");
    } else {
        group.fail(
            "server-storage",
            format!("serves from {} storage", status.storage_type),
            "this runbook moves file storage only",
        );
    }
    if status.version.starts_with("2.5.0") {
        group.fail(
            "server-release",
            "OpenBao 2.5.0 cannot migrate",
            "go to 2.5.1 or later first",
        );
    }
    if status.kind == "shamir" && !status.recovery_seal && !status.migration {
        group.pass(
            "server-seal",
            format!("Shamir, {} of {} shares", status.t, status.n),
        );
    } else {
        group.fail(
            "server-seal",
            format!(
                "seal type {}, recovery seal {}, seal migration {}",
                status.kind, status.recovery_seal, status.migration
            ),
            "only a Shamir seal with no seal migration under way is supported",
        );
    }
    if status.initialized && !status.sealed {
        group.pass("server-unsealed", format!("{first} is unsealed"));
    } else {
        group.fail(
            "server-unsealed",
            if status.initialized {
                "it is sealed"
            } else {
                "it is not initialised"
            },
            "unseal it first: the proof compares with a serving source",
        );
    }
}

async fn keys(
    ctx: &Context,
    group: &mut Group<'_>,
    status: SealStatus,
) -> Result<Option<SealStatus>> {
    let node = ctx.node(&ctx.first()?)?;
    let keys = match Keys::old(ctx).await {
        Ok(keys) => keys,
        Err(Error::Refused { why }) => {
            group.fail("keys-present", why, "name a file with --keys-file");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if keys.shares.len() >= status.t as usize {
        group.pass(
            "keys-present",
            format!("{} unseal share(s), {} needed", keys.shares.len(), status.t),
        );
    } else {
        group.fail(
            "keys-present",
            format!(
                "{} unseal share(s), but {} are needed",
                keys.shares.len(),
                status.t
            ),
            "gather the other key holders' shares",
        );
    }
    if let Err(error) = node.lookup_self(&keys.token).await {
        group.fail(
            "keys-token",
            format!("the server refuses the token: {error}"),
            "name a file with a valid token with --keys-file",
        );
        return Ok(None);
    }
    group.pass("keys-token", "the token is known to the server");
    let tables = match tables(node.as_ref(), &keys.token).await {
        Ok(tables) => tables,
        Err(error) => {
            group.fail(
                "keys-policy",
                error.to_string(),
                "the token needs to read mounts, auth methods, policies and audit devices",
            );
            return Ok(None);
        }
    };
    let rendered = ctx.platform.release().await?.audit;
    if rendered == tables.audit {
        group.pass(
            "server-audit",
            format!("{} audit device(s), as configured", rendered.len()),
        );
    } else {
        group.fail(
            "server-audit",
            format!("the configuration declares {:?}, the server has {:?}", rendered.keys(), tables.audit.keys()),
            "each audit stanza must be the same in every option, or the restored server loops for ever",
        );
    }
    Ok(Some(status))
}
