//! What a person is asked before a step, and what an action itself has asked.

use super::program::{Step, Unit};
use super::run::Engine;
use super::{Error, Result};
use crate::action::Context;
use crate::event::{Answer, By, Effect, Question, Tier};
use crate::journal::{self, Record};

/// The signal that Ctrl-C is where nobody reads the terminal.
const CTRL_C: i32 = 2;

/// Who agreed, as far as this process knows, and with what.
pub(super) fn who(by: By) -> String {
    format!("{} {by}", journal::whoami())
}

impl Engine {
    /// Asks before a step, by the strongest effect that is still ahead in it.
    pub(super) async fn confirm(&self, step: &Step, place: usize) -> Result<()> {
        let Some(effect) = self.journal().and_then(|journal| {
            let ahead = step
                .units
                .iter()
                .enumerate()
                .filter(|(index, _)| journal.state().done(&step.id, *index).is_none());
            ahead.map(|(_, unit)| unit.effect).max()
        }) else {
            return Ok(());
        };
        self.fits(effect)?;
        let tier = match effect {
            Effect::Read => return Ok(()),
            Effect::Change => Tier::YesNo,
            Effect::Outage | Effect::NoBlindRepeat => Tier::TypeName(self.outage_word.clone()),
        };
        let ask = format!(
            "step {} of {}, {}: {}",
            place + 1,
            self.program.steps.len(),
            step.id,
            step.title
        );
        let consequences = vec![
            match effect {
                Effect::Outage if self.outage_is_over() => {
                    "the cluster goes on serving meanwhile".to_owned()
                }
                Effect::Outage => match self.ahead() {
                    None => "clients are not served until the new cluster serves".to_owned(),
                    Some(expected) => format!(
                        "clients are not served until the new cluster serves: about {:.0}s by what its parts took in \
                         the proof, and as long as you take to answer",
                        expected.seconds
                    ),
                },
                Effect::NoBlindRepeat => {
                    "it is not repeated without a look at what came of it".to_owned()
                }
                Effect::Change | Effect::Read if self.in_outage() => {
                    "the outage goes on; clients are not served meanwhile".to_owned()
                }
                Effect::Change | Effect::Read => {
                    "clients go on being served as they are now".to_owned()
                }
            },
            format!("way back: {}", step.rollback),
        ];
        self.ask(Question {
            step: step.id.clone(),
            effect,
            ask,
            consequences,
            tier,
        })
        .await
    }

    pub(super) async fn ask(&self, question: Question) -> Result<()> {
        let by = self.agreed(&question).await?;
        self.confirmed(question, by)
    }

    /// Records that it was agreed to.
    pub(super) fn confirmed(&self, question: Question, by: By) -> Result<()> {
        self.record(Record::Confirmed {
            step: question.step,
            asked: question.ask,
            by: who(by),
        })
    }

    /// Asks and records nothing.
    pub(super) async fn agreed(&self, question: &Question) -> Result<By> {
        let answer = tokio::select! {
            answer = self.operator.ask(question) => answer,
            signal = self.interrupt.wait(1) => return Err(Error::Interrupted { signal, midway: false }),
        };
        let step = Some(question.step.clone());
        match answer {
            Answer::Yes(by) => Ok(by),
            Answer::Stopped => Err(Error::Interrupted {
                signal: CTRL_C,
                midway: false,
            }),
            Answer::No => Err(Error::Declined { step }),
            Answer::Nobody => Err(Error::Nobody {
                step,
                tier: question.tier.clone(),
            }),
        }
    }

    /// What the action itself has a person asked; not again what was agreed to.
    pub(super) async fn ask_for(&self, step: &Step, unit: &Unit, ctx: &Context) -> Result<()> {
        let Some((say, tier)) = unit.action.asks(ctx) else {
            return Ok(());
        };
        let answered = self
            .journal()
            .is_some_and(|journal| journal.state().confirmed(&step.id, say));
        if answered {
            return Ok(());
        }
        let meanwhile = if self.in_outage() {
            "the outage goes on until this is answered; clients are not served meanwhile"
        } else {
            "nothing is done until this is answered"
        };
        self.ask(Question {
            step: step.id.clone(),
            effect: unit.effect,
            ask: say.to_owned(),
            consequences: vec![meanwhile.to_owned()],
            tier,
        })
        .await
    }

    pub(super) async fn confirm_redo(&self, step: &Step, unit: &Unit, why: String) -> Result<()> {
        self.ask(Question {
            step: step.id.clone(),
            effect: unit.effect,
            ask: format!(
                "{}, {}: begin it anew, over what an earlier try left?",
                step.id, unit.kind
            ),
            consequences: vec![why],
            tier: Tier::TypeName(self.outage_word.clone()),
        })
        .await
    }
}
