//! Makes the snapshot that is restored out of the operator's: all of its entries, with the proof's `core/raft/tls` in place of
//! its own.
//!
//! The server replaces a raft TLS keyring that is 24 h old, and a snapshot may be a month old: voters that come up one after
//! the other would lose each other. The keyring of the proof is new.

use std::fs::File;

use async_trait::async_trait;

use super::context::blocking;
use super::final_copy::{Files, tls_of};
use super::prove::still_young;
use super::{
    Action, Context, Error, Evidence, FinalCopied, Observation, Outcome, Proof, Result, Snapshot,
};
use crate::armed::Armed;
use crate::storage::{self, ArchiveReader, ConvertOptions, Filter, Phase, TreeOptions};

/// See [`super::ActionSpec::GraftSnapshot`].
pub struct GraftSnapshot;

#[async_trait]
impl Action for GraftSnapshot {
    fn title(&self, _: &Context) -> String {
        "put the proof's core/raft/tls into the snapshot".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let from = ctx
            .snapshot
            .as_ref()
            .map(|from| from.path.display().to_string());
        Ok(vec![
            format!(
                "read {} again, which must be the file that was checked",
                from.unwrap_or_default()
            ),
            format!(
                "write {}, with the proof's core/raft/tls in place of its own",
                ctx.file("final.snap").display()
            ),
        ])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        Ok(match ctx.find::<FinalCopied>() {
            Some(copied) if Files::of(ctx).all_there(&copied) => {
                Observation::Done(evidence(&copied))
            }
            _ => Observation::Pending,
        })
    }

    async fn apply(&self, ctx: &Context, _: Armed) -> Result<Outcome> {
        still_young(&ctx.fact()?)?;
        Ok(evidence(&graft(ctx).await?).into())
    }
}

fn evidence(copied: &FinalCopied) -> Evidence {
    Evidence::new(format!("{} entries, ready to be restored", copied.entries)).with(copied)
}

/// What is restored, made of the operator's snapshot; without its audit devices where the release declares none.
pub async fn graft(ctx: &Context) -> Result<FinalCopied> {
    let snapshot = ctx.fact::<Snapshot>()?.where_named(ctx);
    let raft_tls = tls_of(&ctx.fact::<Proof>()?)?;
    let (out, scratch) = (Files::of(ctx).snapshot, ctx.platform.run_dir().to_owned());
    let meter = ctx.meter.clone();
    let made = blocking(move || -> Result<_> {
        let options = ConvertOptions {
            filter: if snapshot.audited {
                Filter::Everything
            } else {
                Filter::Unaudited
            },
            raft_tls: Some(raft_tls),
            write_values: true,
            ..ConvertOptions::new(TreeOptions::new(Phase::Sealed), &scratch)
        };
        let archive = snapshot.open()?;
        Ok(storage::rewrite(archive, &out, &options, meter.as_ref())?)
    })
    .await?;
    Ok(FinalCopied {
        manifest_digest: None,
        sha256: made.archive.sha256,
        // The keyring that was put in is nobody's entry.
        entries: made.entries - 1,
        grafted: made.grafted,
    })
}

impl Snapshot {
    /// Where this process was told that the file is: another machine may have it elsewhere.
    pub(super) fn where_named(mut self, ctx: &Context) -> Self {
        if let Some(from) = &ctx.snapshot {
            self.path.clone_from(&from.path);
        }
        self
    }

    /// Opens the file, which must still be the one that was checked.
    pub(super) fn open(&self) -> Result<ArchiveReader<File>> {
        let sha256 = storage::sha256_of(&self.path).map_err(|error| {
            Error::refused(format!(
                "{error}. Where the snapshot is elsewhere on this machine, name it: `baoctl resume --from-snapshot FILE`"
            ))
        })?;
        if sha256 != self.sha256 {
            return Err(Error::refused(format!(
                "{} is not the file that was checked any more: put that back and resume, or begin a new run with this one",
                self.path.display()
            )));
        }
        Ok(ArchiveReader::open(&self.path)?)
    }
}
