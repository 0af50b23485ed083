//! The fold over the records: where a run stands. Pure and total, the same for live runs and replay.

mod apply;
mod outage;
mod state;

pub use apply::FoldError;
pub use state::{ActionKey, ActionState, Done, Fact, Span, State};

#[cfg(test)]
mod tests;
