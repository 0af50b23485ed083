//! Every point at which a program can die, numbered, and what shall happen at some of them.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use baoctl::engine::Interrupt;

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doom {
    /// The program dies on the spot: nothing of it runs any more.
    Die,
    /// So many signals arrive.
    Signals(u32),
}

/// What gets lost of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It never arrives; but the caller cannot know.
    Request,
    /// It is carried out, and its answer never arrives.
    Answer,
}

/// What is thrown to unwind a program that dies.
pub struct Killed;

/// Sees each mutating call just before it is made.
pub type Witness = Box<dyn Fn(&str) + Send + Sync>;

/// The course of one process.
#[derive(Default)]
pub struct Fate {
    dooms: BTreeMap<usize, Doom>,
    /// This mutating call, or its answer, gets lost.
    lost_call: Option<(usize, Loss)>,
    /// This looking call gets no answer.
    lost_look: Option<usize>,
    /// The journal's records are counted at each point.
    counting: bool,
    witness: Option<Witness>,
    pub interrupt: Interrupt,
    so_far: Mutex<SoFar>,
}

#[derive(Default)]
struct SoFar {
    journal: Option<PathBuf>,
    records: Vec<usize>,
    points: Vec<String>,
    calls: Vec<String>,
    looks: usize,
}

impl Fate {
    /// A process that is left in peace.
    pub fn kind() -> Self {
        Self::default()
    }

    /// The same, with the journal's records counted at each point.
    pub fn counting() -> Self {
        Self {
            counting: true,
            ..Self::default()
        }
    }

    pub fn at(point: usize, doom: Doom) -> Self {
        Self {
            dooms: BTreeMap::from([(point, doom)]),
            ..Self::default()
        }
    }

    pub fn losing(call: usize, loss: Loss) -> Self {
        Self {
            lost_call: Some((call, loss)),
            ..Self::default()
        }
    }

    pub fn losing_look(look: usize) -> Self {
        Self {
            lost_look: Some(look),
            ..Self::default()
        }
    }

    /// The same course, with somebody who sees each mutating call.
    pub fn seen_by(self, witness: Witness) -> Self {
        Self {
            witness: Some(witness),
            ..self
        }
    }

    /// A point has come.
    pub fn point(&self, what: impl Into<String>) {
        let number = {
            let mut so_far = self.so_far();
            so_far.points.push(what.into());
            let records = so_far.journal.as_ref().map_or(0, |path| {
                let text = std::fs::read_to_string(path).unwrap_or_default();
                text.lines().count()
            });
            so_far.records.push(records);
            so_far.points.len() - 1
        };
        match self.dooms.get(&number) {
            None => {}
            // Without the panic hook: this is no failure of the test.
            Some(Doom::Die) => resume_unwind(Box::new(Killed)),
            Some(Doom::Signals(times)) => (0..*times).for_each(|_| self.interrupt.raise(2)),
        }
    }

    /// Numbers a mutating call, and tells what gets lost of it.
    pub fn call(&self, what: &str) -> Option<Loss> {
        if let Some(witness) = &self.witness {
            witness(what);
        }
        let mut so_far = self.so_far();
        so_far.calls.push(what.to_owned());
        let (call, loss) = self.lost_call?;
        (call == so_far.calls.len() - 1).then_some(loss)
    }

    /// Numbers a looking call; true when its answer gets lost.
    pub fn look(&self) -> bool {
        let mut so_far = self.so_far();
        so_far.looks += 1;
        self.lost_look == Some(so_far.looks - 1)
    }

    pub fn points(&self) -> Vec<String> {
        self.so_far().points.clone()
    }

    /// This is the journal.
    pub fn watch(&self, journal: &Path) {
        self.so_far().journal = self.counting.then(|| journal.to_owned());
    }

    /// How many records the journal had at each point.
    pub fn records(&self) -> Vec<usize> {
        self.so_far().records.clone()
    }

    pub fn calls(&self) -> Vec<String> {
        self.so_far().calls.clone()
    }

    pub fn looks(&self) -> usize {
        self.so_far().looks
    }

    fn so_far(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
