//! Where the parts of a runbook stand in its text.

/// A place in a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1; 0 when it is not known.
    pub line: u64,
    /// The column, from 1; 0 when it is not known.
    pub column: u64,
}

/// The places of a runbook's parts.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    pub name: Place,
    pub title: Place,
    pub replicas: Place,
    /// The list of steps.
    pub list: Place,
    pub steps: Vec<StepPlaces>,
}

/// The places of a step's parts.
#[derive(Debug, Clone, Default)]
pub(super) struct StepPlaces {
    pub id: Place,
    pub title: Place,
    pub rollback: Place,
    /// The list of actions.
    pub list: Place,
    pub actions: Vec<Place>,
}
