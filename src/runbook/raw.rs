//! The YAML as it is read: the model of `model.rs`, each part with its place in the text.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::model::{Runbook, Step};
use super::places::{Place, Places, StepPlaces};
use crate::action::ActionSpec;

/// What is read before anything else: a later version may have any other fields.
#[derive(Deserialize)]
pub(super) struct Versioned {
    pub version: Option<Spanned<u32>>,
}

/// The fields of a runbook and of a step.
pub(super) const RUNBOOK: [&str; 5] = ["version", "name", "title", "replicas", "steps"];
pub(super) const STEP: [&str; 4] = ["id", "title", "rollback", "actions"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRunbook {
    version: u32,
    name: Spanned<String>,
    title: Spanned<String>,
    replicas: Spanned<u32>,
    steps: Spanned<Vec<Spanned<RawStep>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    id: Spanned<String>,
    title: Spanned<String>,
    rollback: Spanned<String>,
    actions: Spanned<Vec<Spanned<RawAction>>>,
}

impl RawRunbook {
    /// The model, and where its parts stand.
    pub(super) fn split(self) -> (Runbook, Places) {
        let mut places = Places {
            name: place(&self.name.referenced),
            title: place(&self.title.referenced),
            replicas: place(&self.replicas.referenced),
            list: place(&self.steps.referenced),
            steps: Vec::new(),
        };
        let mut steps = Vec::new();
        for step in self.steps.value {
            let step = step.value;
            let (actions, at) = step
                .actions
                .value
                .into_iter()
                .map(|action| (action.value.0, place(&action.referenced)))
                .unzip();
            places.steps.push(StepPlaces {
                id: place(&step.id.referenced),
                title: place(&step.title.referenced),
                rollback: place(&step.rollback.referenced),
                list: place(&step.actions.referenced),
                actions: at,
            });
            steps.push(Step {
                id: step.id.value,
                title: step.title.value,
                rollback: step.rollback.value,
                actions,
            });
        }
        let runbook = Runbook {
            version: self.version,
            name: self.name.value,
            title: self.title.value,
            replicas: self.replicas.value,
            steps,
        };
        (runbook, places)
    }
}

pub(super) fn place(location: &Location) -> Place {
    Place {
        line: location.line(),
        column: location.column(),
    }
}

/// An action as `- kind: {...}`, or as plain `- kind` when it needs nothing.
pub(super) struct RawAction(ActionSpec);

impl<'de> Deserialize<'de> for RawAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ActionVisitor).map(Self)
    }
}

struct ActionVisitor;

impl<'de> Visitor<'de> for ActionVisitor {
    type Value = ActionSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an action such as `seal-source: {}`")
    }

    fn visit_str<E: de::Error>(self, kind: &str) -> Result<ActionSpec, E> {
        let nothing = BTreeMap::<&str, u32>::new();
        let map = BTreeMap::from([(kind, nothing)]).into_deserializer();
        ActionSpec::deserialize(MapAccessDeserializer::new(map))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ActionSpec, A::Error> {
        ActionSpec::deserialize(MapAccessDeserializer::new(map))
    }
}
