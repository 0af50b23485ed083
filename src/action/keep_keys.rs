//! Stores the keys of the new cluster where the old ones were, before anything is opened with them.

use std::ffi::OsStr;
use std::path::Path;

use async_trait::async_trait;
use secrecy::ExposeSecret;

use super::keys::{Keys, ROOT_TOKEN, UNSEAL_KEY};
use super::park_key::{has_new_key, key_of};
use super::{Action, Context, Error, Evidence, Observation, Outcome, Result, sops};
use crate::armed::Armed;
use crate::platform::{SecretData, SecretName};

/// See [`super::ActionSpec::KeepKeys`].
pub struct KeepKeys;

/// Ends of names by which `sops` takes JSON for what it is.
const FORMS: [&str; 3] = ["json", "yaml", "yml"];

/// In the run's Secret: the SOPS file that it is about to write. Any other that is there is somebody else's.
const SOPS_FILE: &str = "sops-file";

/// What stands where the SOPS file goes.
#[derive(PartialEq, Eq)]
enum Filed {
    /// None was asked for, or it is written: it appears whole or not at all.
    Done,
    /// Nothing.
    Not,
    /// A file of somebody else.
    Taken,
}

fn filed(ctx: &Context, own: Option<&SecretData>) -> Filed {
    let Some(file) = &ctx.sops_file else {
        return Filed::Done;
    };
    let begun = own.and_then(|own| own.get(SOPS_FILE));
    match (file.exists(), begun) {
        (false, _) => Filed::Not,
        (true, Some(begun)) if *begun.expose_secret() == *file.display().to_string() => Filed::Done,
        (true, _) => Filed::Taken,
    }
}

fn taken(file: &Path) -> String {
    format!(
        "{} is there already and is not written over: name another file, or none (--no-sops-file)",
        file.display()
    )
}

const GONE: &str = "the Secret of the run with the new keys is gone, and nobody else has them: `baoctl rollback` lets the source serve again";
const FOREIGN: &str = "somebody wrote another key into the unseal Secret while it was parked: find out who does, empty the field, then resume";

/// Whether a key stands there that is neither parked nor the new one.
fn foreign(live: Option<&SecretData>, own: &SecretData) -> bool {
    let key = key_of(live);
    key.is_some() && key != key_of(Some(own))
}

fn evidence(ctx: &Context, secret: bool) -> Evidence {
    let mut places = vec!["in a Secret of the run"];
    if secret {
        places.insert(0, "in the unseal Secret");
    }
    let file = ctx
        .sops_file
        .as_ref()
        .map(|file| format!("in {}", file.display()));
    places.extend(file.as_deref());
    Evidence::new(format!("the new keys are {}", places.join(" and ")))
}

#[async_trait]
impl Action for KeepKeys {
    async fn lacks(&self, ctx: &Context) -> Result<Option<String>> {
        let Some(file) = &ctx.sops_file else {
            return Ok(None);
        };
        let end = file.extension().and_then(OsStr::to_str);
        if !end.is_some_and(|end| FORMS.contains(&end)) {
            return Ok(Some(format!(
                "{}: name a file that ends in .json or .yaml, by which `sops` knows its form",
                file.display()
            )));
        }
        let own = ctx.platform.secret(SecretName::Throwaway).await?;
        if filed(ctx, own.as_ref()) == Filed::Taken {
            return Ok(Some(taken(file)));
        }
        // Its rules and its keys are tried before the outage, on nothing.
        let trial = sops::encrypted(file, b"{}".to_vec()).await;
        let without = "`baoctl resume --no-sops-file` goes on without that file";
        Ok(trial.err().map(|error| format!("{error} ({without})")))
    }

    fn title(&self, _: &Context) -> String {
        "store the new keys".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let file = ctx.sops_file.as_ref();
        let mut calls: Vec<String> = file
            .map(|file| format!("sops encrypt, from its input to {}", file.display()))
            .into_iter()
            .collect();
        calls.push(format!(
            "write `{UNSEAL_KEY}` and `{ROOT_TOKEN}` of the new cluster into the unseal Secret, read it back and compare"
        ));
        Ok(calls)
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let Some(own) = ctx.platform.secret(SecretName::Throwaway).await? else {
            return Ok(Observation::Conflict(GONE.to_owned()));
        };
        let live = ctx.platform.secret(SecretName::Unseal).await?;
        if foreign(live.as_ref(), &own) {
            return Ok(Observation::Conflict(FOREIGN.to_owned()));
        }
        let stored = live.is_none() || has_new_key(ctx).await?;
        Ok(match (filed(ctx, Some(&own)), &ctx.sops_file) {
            (Filed::Taken, Some(file)) => Observation::Conflict(taken(file)),
            // Without an intent nothing would know that the keys are of a cluster that stays.
            (Filed::Done, _) if stored && ctx.keys_kept => {
                Observation::Done(evidence(ctx, live.is_some()))
            }
            _ => Observation::Pending,
        })
    }

    /// A hook opens the new cluster as soon as the Secret has its key.
    fn serves(&self) -> bool {
        true
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let refused = || Error::refused(GONE);
        let own = ctx.platform.secret(SecretName::Throwaway).await?;
        let mut own = own.ok_or_else(refused)?;
        let keys = Keys::from_secret(&own).ok_or_else(refused)?;
        if let Some(file) = &ctx.sops_file {
            match filed(ctx, Some(&own)) {
                Filed::Taken => return Err(Error::refused(taken(file))),
                Filed::Done => {}
                Filed::Not => {
                    own.insert(SOPS_FILE.to_owned(), file.display().to_string().into());
                    ctx.platform
                        .write_secret(SecretName::Throwaway, &own, &armed)
                        .await?;
                    sops::store(file, &keys).await?;
                }
            }
        }
        let live = ctx.platform.secret(SecretName::Unseal).await?;
        if foreign(live.as_ref(), &own) {
            return Err(Error::refused(FOREIGN));
        }
        let there = live.is_some();
        if let Some(mut live) = live {
            live.extend(keys.to_secret());
            ctx.platform
                .write_secret(SecretName::Unseal, &live, &armed)
                .await?;
        }
        Ok(evidence(ctx, there).into())
    }

    async fn irrevocable(&self, ctx: &Context) -> Result<Option<String>> {
        let live = ctx.platform.secret(SecretName::Unseal).await?;
        let parked = ctx.platform.secret(SecretName::Parked).await?;
        let own = ctx.platform.secret(SecretName::Throwaway).await?;
        let [live, old, new] = [&live, &parked, &own].map(|it| key_of(it.as_ref()));
        // Not only what init gave: shares may have been rotated since.
        let stored = live.is_some() && (live == new || old.is_some() && live != old);
        Ok(stored.then(|| {
            "the unseal Secret has other keys than the old ones, so that the new cluster may have been opened and have served".to_owned()
        }))
    }

    fn describe_undo(&self, _: &Context) -> Result<Vec<String>> {
        Ok(vec![format!(
            "empty `{UNSEAL_KEY}` of the unseal Secret, and put `{ROOT_TOKEN}` of the parked copy back"
        )])
    }

    /// As it was parked: that is taken back next. The run's own copy of the new keys stays, for the raft files aside.
    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        if !has_new_key(ctx).await? {
            return Ok("the unseal Secret does not have the new keys".to_owned());
        }
        let parked = ctx
            .platform
            .secret(SecretName::Parked)
            .await?
            .unwrap_or_default();
        let mut live = ctx
            .platform
            .secret(SecretName::Unseal)
            .await?
            .unwrap_or_default();
        let token = parked.get(ROOT_TOKEN).cloned().unwrap_or_default();
        live.extend(SecretData::from([
            (UNSEAL_KEY.to_owned(), "".into()),
            (ROOT_TOKEN.to_owned(), token),
        ]));
        ctx.platform
            .write_secret(SecretName::Unseal, &live, &armed)
            .await?;
        Ok("the new keys are out of the unseal Secret, and kept in a Secret of the run until `baoctl cleanup`".to_owned())
    }
}
