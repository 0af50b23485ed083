//! A part of a step that only some platforms have.

use async_trait::async_trait;

use super::{Action, Context, Error, Observation, Outcome, Result};
use crate::armed::Armed;
use crate::platform::{Applicability, Part};

/// See [`super::ActionSpec::Part`].
pub struct PartOf {
    /// Which.
    pub part: Part,
}

impl PartOf {
    /// What it is about.
    pub const fn words(&self) -> &'static str {
        match self.part {
            Part::Network => "open 8200 and 8201 between the members",
            Part::VolumeBackup => "back the volume up off the source",
            Part::Clients => "let a client sync again",
            Part::Git => "make Git say what runs",
        }
    }
}

#[async_trait]
impl Action for PartOf {
    fn applies(&self, ctx: &Context) -> bool {
        ctx.platform.applicability(self.part) == Applicability::Applies
    }

    fn title(&self, _: &Context) -> String {
        self.words().to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(match ctx.platform.applicability(self.part) {
            Applicability::Applies => vec![self.words().to_owned()],
            Applicability::DoesNotApply(why) => vec![format!("nothing: {why}")],
            Applicability::LeftToYou(what) => vec![format!("nothing: it is left to you to {what}")],
        })
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        Ok(match ctx.platform.applicability(self.part) {
            Applicability::Applies => Observation::Pending,
            Applicability::DoesNotApply(why) => Observation::NotApplicable(why.to_owned()),
            Applicability::LeftToYou(what) => Observation::LeftToYou(what.to_owned()),
        })
    }

    async fn apply(&self, ctx: &Context, _: Armed) -> Result<Outcome> {
        Err(Error::refused(format!(
            "this version cannot {} on the platform `{}`",
            self.words(),
            ctx.platform.target().platform
        )))
    }
}
