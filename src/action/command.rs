//! Runs a program of the operator's own.
//!
//! What it prints may hold anything, secrets as well: it goes to the terminal and into a file, never into the journal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::program::{self, find, output, shown};
use super::{
    Action, ActionSpec, CommandRan, Context, Error, Evidence, Observation, Outcome, Result,
};
use crate::armed::Armed;

/// See [`super::ActionSpec::Command`].
pub struct Command {
    /// What it does, in words.
    pub title: String,
    /// Whether it changes nothing, so that it may be run again without a question.
    pub reads: bool,
    /// The program and its arguments.
    pub run: Vec<String>,
    /// The same that tells whether there is anything left to do; empty when there is none.
    pub check: Vec<String>,
    /// The same that takes it back; empty when there is none.
    pub undo: Vec<String>,
    /// How long each of them may take.
    pub limit: Duration,
}

/// The first of these programs that is not on this machine.
fn missing<'words>(
    folder: &Path,
    programs: impl IntoIterator<Item = &'words Vec<String>>,
) -> Option<&'words str> {
    let mut names = programs.into_iter().filter_map(|words| words.first());
    names
        .find(|name| !name.trim().is_empty() && find(folder, name).is_none())
        .map(String::as_str)
}

impl ActionSpec {
    /// The first of the action's own programs that is not on this machine, for a runbook in this folder.
    pub fn missing_program(&self, folder: &Path) -> Option<&str> {
        match self {
            Self::Command {
                run, check, undo, ..
            } => missing(folder, [run, check, undo]),
            _ => None,
        }
    }
}

impl Command {
    /// Runs one of its programs and insists on a good end; what came of it, in words, and as a fact.
    async fn well(&self, ctx: &Context, words: &[String]) -> Result<Evidence> {
        let ended = program::run(ctx, words, self.limit, true).await?;
        let output = output(ctx);
        let (bytes, shown) = (ended.bytes, output.display());
        if !ended.status.success() {
            return Err(Error::Program {
                program: program::shown(words),
                how: format!(
                    "ended with {}; the {bytes} bytes that it printed are in {shown}",
                    ended.status
                ),
            });
        }
        let kept = match ended.lost {
            Some(why) => format!("kept in part in {shown}: {why}"),
            None => format!("kept in {shown}"),
        };
        let ran = CommandRan {
            step: ctx.step.clone(),
            place: ctx.place,
            bytes,
            output,
        };
        let summary = format!("exit code 0, {bytes} bytes printed, {kept}");
        Ok(Evidence::new(summary).with(&ran))
    }

    /// Whether its own check says that there is nothing left to do; an exit code of any other number is a no.
    async fn is_there(&self, ctx: &Context) -> Result<bool> {
        let ended = program::run(ctx, &self.check, self.limit, false).await?;
        if ended.status.code().is_none() {
            return Err(Error::Program {
                program: shown(&self.check),
                how: format!("ended with {}, which is no answer", ended.status),
            });
        }
        Ok(ended.status.success())
    }
}

#[async_trait]
impl Action for Command {
    async fn lacks(&self, ctx: &Context) -> Result<Option<String>> {
        let Some(name) = missing(&ctx.folder, [&self.run, &self.check, &self.undo]) else {
            return Ok(None);
        };
        let place = if name.contains('/') {
            let file: PathBuf = ctx.folder.join(name).components().collect();
            format!("`{}` is no program here", file.display())
        } else {
            format!("there is no `{name}` on the PATH")
        };
        Ok(Some(format!(
            "{place}, which \"{}\" needs: put it there, then go on",
            self.title
        )))
    }

    fn is_foreign(&self) -> bool {
        true
    }

    fn title(&self, _: &Context) -> String {
        self.title.clone()
    }

    async fn describe(&self, _: &Context) -> Result<Vec<String>> {
        Ok(vec![shown(&self.run)])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        if !self.check.is_empty() {
            return Ok(if self.is_there(ctx).await? {
                let words = format!("`{}` says that it is there", shown(&self.check));
                Observation::Done(Evidence::new(words))
            } else {
                Observation::Pending
            });
        }
        let ran = ctx.find::<CommandRan>();
        if ran.is_some_and(|ran| ran.step == ctx.step && ran.place == ctx.place) {
            return Ok(Observation::Done(Evidence::new("it ran")));
        }
        Ok(if self.reads || ctx.earlier_intents == 0 {
            Observation::Pending
        } else {
            Observation::Redo(format!(
                "`{}` was begun before and failed, or nobody knows how it ended: it may have done its work, in whole or in \
                 part, and may still run. {} has what it printed, and its process. It has no `check` that could tell. It \
                 will be run again",
                shown(&self.run),
                output(ctx).display()
            ))
        })
    }

    async fn apply(&self, ctx: &Context, _: Armed) -> Result<Outcome> {
        Ok(self.well(ctx, &self.run).await?.into())
    }

    fn describe_undo(&self, _: &Context) -> Result<Vec<String>> {
        let undo = Some(&self.undo).filter(|undo| !undo.is_empty());
        Ok(undo.into_iter().map(|undo| shown(undo)).collect())
    }

    async fn undo(&self, ctx: &Context, _: Armed) -> Result<String> {
        Ok(self.well(ctx, &self.undo).await?.summary)
    }
}
