//! The release and what stands around it.

use super::finding::{Checked, Group};
use crate::action::{Context, Result};
use crate::platform::{Flip, Grade, Release, SecretName, StorageKind};

const GROUP: &str = "release";

pub(super) async fn check(ctx: &Context, checked: &mut Checked) -> Result<()> {
    let mut group = Group::new(GROUP, ctx, checked);
    let release = ctx.platform.release().await?;
    if release.storage == StorageKind::Raft {
        group.fail(
            "release-storage",
            "configured for raft already",
            "if a migration was cut off here, `baoctl resume` goes on with it; `baoctl status` tells where it stands",
        );
    } else {
        group.pass(
            "release-storage",
            format!(
                "configured for {} storage, {} replica(s)",
                release.storage.name(),
                release.replicas
            ),
        );
    }
    stanzas_and_secrets(ctx, &release, &mut group).await?;

    let mut taken = Vec::new();
    for member in ctx.platform.members() {
        if ctx.platform.volume(&member).await?.raft_files {
            taken.push(member);
        }
    }
    if taken.is_empty() {
        group.pass("leftover-raft", "no raft files on any member's volume");
    } else {
        let hint = if release.storage == StorageKind::Raft {
            "these are the data of the release as it runs: leave them where they are"
        } else {
            "unsealed with the old key they would elect a leader beside this run: move `vault.db` and `raft/` away"
        };
        group.fail(
            "leftover-raft",
            format!("raft files on the volume of {}", taken.join(", ")),
            hint,
        );
    }
    Ok(())
}

/// What is in the way of any run: what the release is configured with, and what an earlier run left.
pub(super) async fn stanzas_and_secrets(
    ctx: &Context,
    release: &Release,
    group: &mut Group<'_>,
) -> Result<()> {
    if release.foreign_stanzas.is_empty() {
        group.pass("release-stanzas", "no `seal` and no `initialize` stanza");
    } else {
        group.fail(
            "release-stanzas",
            format!("it has {}", release.foreign_stanzas.join(", ")),
            "move to a Shamir seal first; this migration keeps unseal shares, nothing else",
        );
    }

    let mut leftovers = Vec::new();
    for (name, words) in [
        (SecretName::Parked, "a parked copy of the unseal Secret"),
        (SecretName::Throwaway, "keys that init gave"),
    ] {
        if ctx.platform.secret(name).await?.is_some() {
            leftovers.push(words);
        }
    }
    if leftovers.is_empty() {
        group.pass("leftover-secrets", "no Secret of an earlier run");
    } else {
        group.fail(
            "leftover-secrets",
            format!("{} of an earlier run", leftovers.join(" and ")),
            "`baoctl resume` goes on with that run, and `baoctl cleanup` removes what one left that was rolled back. Without its journal: if the unseal Secret is empty, write the parked \
             key back into it before you remove anything",
        );
    }
    Ok(())
}

/// What only the platform itself can look at.
pub(super) async fn place(ctx: &Context, checked: &mut Checked) -> Result<()> {
    let mut group = Group::new("place", ctx, checked);
    for remark in ctx.platform.inspect().await? {
        match remark.grade {
            Grade::Good => group.pass(remark.id, remark.found),
            Grade::Risky => group.warn(remark.id, remark.found, remark.hint),
            Grade::Bad => group.fail(remark.id, remark.found, remark.hint),
        }
    }
    Ok(())
}

/// The change of the release, tried. Needs what the other checks found out.
pub(super) async fn rehearse(ctx: &Context, flip: &Flip, checked: &mut Checked) -> Result<()> {
    let mut group = Group::new(GROUP, ctx, checked);
    match ctx.platform.rehearse_flip(flip).await {
        Ok(plan) if plan.left_to_you => group.pass(
            "release-flip",
            format!(
                "the change to raft is worked out, {} changes that are left to you",
                plan.calls.len()
            ),
        ),
        Ok(plan) => group.pass(
            "release-flip",
            format!(
                "the change to raft would be accepted, {} calls",
                plan.calls.len()
            ),
        ),
        Err(error) => group.fail("release-flip", error.to_string(), "mend that and run again"),
    }
    Ok(())
}
