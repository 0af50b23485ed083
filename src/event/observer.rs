//! Who listens to a run, and who answers it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Effect, Event};

/// Listens to a run. Called in order, from one task at a time or several; must not block for long.
pub trait Observer: Send + Sync {
    /// One event.
    fn observe(&self, event: &Event);
}

/// How hard a confirmation is to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tier {
    /// `y` or `n`; `--yes` answers it.
    YesNo,
    /// `y` or `n`, from somebody at the terminal: no flag answers it.
    InPerson,
    /// Typing this name; only `--confirm-outage NAME` answers it.
    TypeName(String),
}

/// What an operator is asked before a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The step's id.
    pub step: String,
    /// Its strongest effect.
    pub effect: Effect,
    /// The question.
    pub ask: String,
    /// What will be so afterwards, one line each.
    pub consequences: Vec<String>,
    /// How it is answered.
    pub tier: Tier,
}

/// What a yes was given with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A person at the terminal.
    Person,
    /// This flag.
    Flag(&'static str),
    /// The run itself, on servers of its own.
    Rehearsal,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person => f.write_str("at the terminal"),
            Self::Flag(flag) => write!(f, "with {flag}"),
            Self::Rehearsal => f.write_str("in a rehearsal"),
        }
    }
}

/// An operator's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Yes(By),
    /// Do not.
    No,
    /// Ctrl-C instead of an answer.
    Stopped,
    /// Nobody is there to ask: no terminal and no flag that answers this tier.
    Nobody,
}

/// Answers a run's questions.
#[async_trait]
pub trait Operator: Send + Sync {
    /// Asks, and waits for the answer as long as it takes.
    async fn ask(&self, question: &Question) -> Answer;
}

/// Agrees to everything: for a rehearsal, whose servers are its own.
#[derive(Debug, Clone, Copy)]
pub struct Agreed;

#[async_trait]
impl Operator for Agreed {
    async fn ask(&self, _: &Question) -> Answer {
        Answer::Yes(By::Rehearsal)
    }
}

/// Hands each event to several listeners.
#[derive(Default, Clone)]
pub struct Fanout(pub Vec<Arc<dyn Observer>>);

impl Observer for Fanout {
    fn observe(&self, event: &Event) {
        for observer in &self.0 {
            observer.observe(event);
        }
    }
}
