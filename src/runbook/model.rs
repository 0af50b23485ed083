//! A runbook: steps in order, each with its actions in order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::action::ActionSpec;
use crate::event::Effect;

/// The version of the runbook format that this tool reads.
pub const VERSION: u32 = 1;

/// A migration as a list of steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Runbook {
    /// Version of the format: 1.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// Short name, kebab-case.
    #[schemars(regex(pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub name: String,
    /// What it does, in words.
    #[schemars(length(min = 1))]
    pub title: String,
    /// Voters that the cluster has in the end; odd.
    #[schemars(range(min = 1))]
    pub replicas: u32,
    /// Its steps, in order.
    #[schemars(length(min = 1))]
    pub steps: Vec<Step>,
}

/// What is confirmed, resumed and rolled back as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name in the journal and on the command line, kebab-case, unique.
    #[schemars(regex(pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub id: String,
    /// What it does, in words.
    #[schemars(length(min = 1))]
    pub title: String,
    /// Until when and how it can be rolled back, in words.
    #[schemars(length(min = 1))]
    pub rollback: String,
    /// Its actions, in order.
    #[schemars(length(min = 1))]
    pub actions: Vec<ActionSpec>,
}

impl Step {
    /// The strongest effect of its actions.
    pub fn effect(&self) -> Effect {
        let effects = self.actions.iter().map(ActionSpec::effect);
        effects.max().unwrap_or(Effect::Read)
    }
}

impl Runbook {
    /// Where a step stands, from 0.
    pub fn position(&self, step: &str) -> Option<usize> {
        self.steps.iter().position(|it| it.id == step)
    }

    /// The step of this id.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|it| it.id == id)
    }

    /// The ids of a step and of all that follow it: what a rewind to it invalidates. Empty for an unknown step.
    pub fn from_step(&self, id: &str) -> Vec<String> {
        let from = self.position(id).unwrap_or(self.steps.len());
        self.steps[from..].iter().map(|it| it.id.clone()).collect()
    }

    /// Every action with its step and its place in it, in order.
    pub fn actions(&self) -> impl Iterator<Item = (&Step, usize, &ActionSpec)> {
        self.steps.iter().flat_map(|step| {
            let actions = step.actions.iter().enumerate();
            actions.map(move |(place, action)| (step, place, action))
        })
    }

    /// The first step with an effect that must not be repeated blindly.
    pub fn no_blind_repeat_from(&self) -> Option<&str> {
        let step = self
            .steps
            .iter()
            .find(|step| step.effect() == Effect::NoBlindRepeat)?;
        Some(&step.id)
    }
}
