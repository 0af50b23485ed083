//! The token that every mutating call asks for.

/// Proof that the intent of an effect is on disk.
///
/// Only `journal` makes one for a run, as the return value of a synced intent record; an action gets it by value and
/// lends it to each mutating call, so that nothing can act without a record, nor after its action ended.
#[derive(Debug)]
pub struct Armed {
    sequence: u64,
}

impl Armed {
    /// Called by `journal` alone (a test over the sources holds that), after the intent's `fsync`.
    pub(crate) const fn by_record(sequence: u64) -> Self {
        Self { sequence }
    }

    /// For the maker of a rehearsal's source alone (the same test holds that): there is no journal yet, and
    /// nobody but this process has data on that server.
    pub(crate) const fn for_own_server() -> Self {
        Self { sequence: 0 }
    }

    /// The sequence number of the journal's intent record behind this token.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }
}
