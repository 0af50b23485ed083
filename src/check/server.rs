//! The running source: its version, seal, keys and tables.

use secrecy::SecretString;

use super::finding::{Checked, Group};
use crate::action::{Context, Error, Keys, Result, tables, token};
use crate::bao::{self, Node, SealStatus, TokenDetails};
use crate::platform::StorageKind;

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
    let sources = [StorageKind::File, StorageKind::Pebbledb];
    let serves = |kind: &StorageKind| status.storage_type == kind.name();
    if sources.iter().any(serves) {
        group.pass(
            "server-storage",
            format!("serves from {} storage", status.storage_type),
        );
    } else {
        group.fail(
            "server-storage",
            format!("serves from {} storage", status.storage_type),
            "only `file` and `pebbledb` are moved",
        );
    }
    if status.version.starts_with("2.5.0") {
        group.fail(
            "server-release",
            "OpenBao 2.5.0 cannot migrate: its raft store is read-only until a server opens it (`cannot write to readonly storage`)",
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
    let Some(keys) = at_hand(ctx, group, status.t).await? else {
        return Ok(None);
    };
    if !usable(group, node.as_ref(), &keys.token).await? {
        return Ok(None);
    }
    let tables = tables(node.as_ref(), &keys.token).await?;
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

/// The old keys, where there are any; fewer shares than are needed fail, and are handed out.
pub(super) async fn at_hand(
    ctx: &Context,
    group: &mut Group<'_>,
    needed: u32,
) -> Result<Option<Keys>> {
    let keys = match Keys::old(ctx).await {
        Ok(keys) => keys,
        Err(Error::Refused { why }) => {
            group.fail("keys-present", why, "name a file with --keys-file");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let shares = keys.different();
    let of = match keys.shares.len() - shares {
        0 => "",
        _ => " different",
    };
    if shares >= needed as usize {
        group.pass(
            "keys-present",
            format!("{shares}{of} unseal share(s), {needed} needed"),
        );
    } else {
        group.fail(
            "keys-present",
            format!("{shares}{of} unseal share(s), but {needed} are needed"),
            "gather the other key holders' shares",
        );
    }
    if !keys.fit_the_hooks(ctx).await? {
        let [why, next] = Keys::UNFIT;
        group.fail("keys-hook", why, next);
    }
    Ok(Some(keys))
}

/// Whether the token will do to the end of the run: it is known, lasts, and may make each call.
async fn usable(group: &mut Group<'_>, node: &dyn Node, token: &SecretString) -> Result<bool> {
    let no = |error: &bao::Error| matches!(error.status(), Some(400..500));
    let details = match node.lookup_self(token).await {
        Ok(details) => details,
        Err(error) if no(&error) => {
            group.fail(
                "keys-token",
                format!("the server refuses the token: {error}"),
                format!(
                    "name a file with a valid token with --keys-file; what it must be allowed stands in {}",
                    token::POLICY
                ),
            );
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    let short = token::short_of(&details, token::FOR_A_RUN);
    let lasts = short.is_none();
    match short {
        Some((why, next)) => group.fail("keys-token", why, next),
        None => group.pass("keys-token", described(&details)),
    }
    if !details.orphan {
        group.warn(
            "keys-parent",
            "the token goes when the one goes that it was made with",
            "make it with `bao token create -orphan`, unless you know how long that one lives",
        );
    }
    let lacks = match token::denied(node, token).await {
        Ok(lacks) => lacks,
        Err(Error::Node(error)) if no(&error) => vec![format!("ask what it may do: {error}")],
        Err(error) => return Err(error),
    };
    if lacks.is_empty() {
        group.pass("keys-policy", "the token may make each call of a run");
    } else {
        group.fail(
            "keys-policy",
            format!("the token may not: {}", lacks.join("; ")),
            format!(
                "give it the policy in {0}: `bao policy write baoctl {0}`",
                token::POLICY
            ),
        );
    }
    Ok(lasts && lacks.is_empty())
}

fn described(token: &TokenDetails) -> String {
    let lasts = token.left().map_or_else(
        || "does not expire".to_owned(),
        |left| {
            let minutes = left.as_secs() / 60;
            format!("expires in {} h {} min", minutes / 60, minutes % 60)
        },
    );
    let policies = if token.policies.is_empty() {
        "no policy of its own".to_owned()
    } else {
        token.policies.join(", ")
    };
    format!("a {} token with {policies}, {lasts}", token.kind)
}
