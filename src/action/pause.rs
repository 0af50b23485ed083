//! Waits for a person.

use async_trait::async_trait;

use super::{Action, Context, Evidence, Observation, Outcome, Result};
use crate::armed::Armed;
use crate::event::Tier;

/// See [`super::ActionSpec::Pause`].
pub struct Pause {
    /// What the person is asked.
    pub say: String,
    /// Whether `--yes` answers it.
    pub skippable: bool,
}

#[async_trait]
impl Action for Pause {
    fn is_foreign(&self) -> bool {
        true
    }

    fn asks(&self, _: &Context) -> Option<(&str, Tier)> {
        let tier = if self.skippable {
            Tier::YesNo
        } else {
            Tier::InPerson
        };
        Some((&self.say, tier))
    }

    fn title(&self, _: &Context) -> String {
        format!("wait for a person: {}", self.say)
    }

    async fn describe(&self, _: &Context) -> Result<Vec<String>> {
        Ok(vec![format!("ask: {}", self.say)])
    }

    async fn observe(&self, _: &Context) -> Result<Observation> {
        Ok(Observation::Pending)
    }

    async fn apply(&self, _: &Context, _: Armed) -> Result<Outcome> {
        Ok(Evidence::new("answered with yes").into())
    }
}
