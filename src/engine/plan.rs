//! The plan as it is shown: the program, with what an earlier run left done.

use super::Program;
use crate::action::Context;
use crate::event::{Effect, Plan, PlannedAction, PlannedStep, StepStatus};
use crate::journal::State;

/// The plan of a program against the state of its journal, where there is one.
pub fn plan(
    program: &Program,
    ctx: &Context,
    state: Option<&State>,
    outage_seconds: Option<f64>,
    notes: Vec<String>,
) -> Plan {
    let steps: Vec<PlannedStep> = program
        .steps
        .iter()
        .map(|step| {
            let actions: Vec<PlannedAction> = step
                .units
                .iter()
                .enumerate()
                .map(|(index, unit)| PlannedAction {
                    kind: unit.kind.to_owned(),
                    title: unit.action.title(ctx),
                    effect: unit.effect,
                    done: state.is_some_and(|state| state.done(&step.id, index).is_some()),
                })
                .collect();
            let done = actions.iter().filter(|action| action.done).count();
            let status = match done {
                0 => StepStatus::Pending,
                all if all == actions.len() => StepStatus::Done,
                _ => StepStatus::Running,
            };
            PlannedStep {
                id: step.id.clone(),
                title: step.title.clone(),
                effect: step.effect(),
                status,
                rollback: step.rollback.clone(),
                actions,
            }
        })
        .collect();
    let no_blind_repeat_from = steps
        .iter()
        .find(|step| step.effect == Effect::NoBlindRepeat)
        .map(|step| step.id.clone());
    Plan {
        steps,
        outage_seconds,
        no_blind_repeat_from,
        notes,
    }
}
