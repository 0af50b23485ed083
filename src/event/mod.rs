//! What a run tells its listeners: the terminal, plain lines, JSON lines and the report are all fed by these.

mod model;
mod observer;

pub use model::{
    ActionStatus, Banner, CheckStatus, Effect, Event, Expected, Failure, Finding, Level, Mode,
    ParityCounts, Plan, PlannedAction, PlannedStep, RolledBack, StepStatus, StepSummary, Summary,
};
pub use observer::{Agreed, Answer, By, Fanout, Observer, Operator, Question, Tier};
