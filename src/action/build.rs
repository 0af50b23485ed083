//! From what a runbook says to what acts.

use std::time::Duration;

use super::{Action, ActionSpec};
use super::{
    await_storage::AwaitStorage, await_voters::AwaitVoters, back_up::BackUp, command::Command,
    compare::Compare, compare_tables::CompareTables, destroy_throwaway::DestroyThrowaway,
    final_copy::FinalCopy, flip::Flip, flip::RehearseFlip, forsake_data::ForsakeData,
    graft_snapshot::GraftSnapshot, init::Init, join::Join, keep_keys::KeepKeys,
    list_lost::ListLost, move_namespaces::MoveNamespaces, operator_migrate::OperatorMigrate,
    park_key::ParkKey, park_key::ReturnKey, part::PartOf, pause::Pause,
    place_followers::PlaceFollowers, preflight::Preflight, prove::Prove, read_keys::ReadKeys,
    replace_source::ReplaceSource, restore::Restore, run_jobs::RunJobs, seal_source::SealSource,
    suspend_actors::ResumeActors, suspend_actors::SuspendActors, tombstone::WriteTombstone,
    unseal::Unseal,
};
use crate::event::Effect;

impl ActionSpec {
    /// The action behind the words.
    pub fn build(&self) -> Box<dyn Action> {
        match self.clone() {
            Self::Preflight {} => Box::new(Preflight),
            Self::BackUp {} => Box::new(BackUp),
            Self::Part { part } => Box::new(PartOf { part }),
            Self::ForsakeData {} => Box::new(ForsakeData),
            Self::ReadKeys {} => Box::new(ReadKeys),
            Self::Prove {} => Box::new(Prove),
            Self::RehearseFlip { replicas } => Box::new(RehearseFlip { replicas }),
            Self::PlaceFollowers {} => Box::new(PlaceFollowers),
            Self::SuspendActors {} => Box::new(SuspendActors),
            Self::ParkKey {} => Box::new(ParkKey),
            Self::SealSource {} => Box::new(SealSource),
            Self::WriteTombstone {} => Box::new(WriteTombstone),
            Self::FinalCopy { graft } => Box::new(FinalCopy { graft }),
            Self::GraftSnapshot {} => Box::new(GraftSnapshot),
            Self::Flip { replicas } => Box::new(Flip { replicas }),
            Self::OperatorMigrate {} => Box::new(OperatorMigrate),
            Self::ReplaceSource {} => Box::new(ReplaceSource),
            Self::AwaitStorage { storage } => Box::new(AwaitStorage { storage }),
            Self::Init {} => Box::new(Init),
            Self::KeepKeys {} => Box::new(KeepKeys),
            Self::Join {} => Box::new(Join),
            Self::Unseal { members, key } => Box::new(Unseal { members, key }),
            Self::AwaitVoters { voters } => Box::new(AwaitVoters { voters }),
            Self::Restore { rewind_to } => Box::new(Restore { rewind_to }),
            Self::MoveNamespaces { rewind_to } => Box::new(MoveNamespaces { rewind_to }),
            Self::ReturnKey {} => Box::new(ReturnKey),
            Self::DestroyThrowaway {} => Box::new(DestroyThrowaway),
            Self::Compare {} => Box::new(Compare),
            Self::CompareTables {} => Box::new(CompareTables),
            Self::RunJobs { jobs, timeout } => Box::new(RunJobs {
                jobs,
                limit: Duration::from_secs(timeout.into()),
            }),
            Self::ListLost {} => Box::new(ListLost),
            Self::ResumeActors {} => Box::new(ResumeActors),
            Self::Command {
                title,
                run,
                effect: _,
                check,
                undo,
                timeout,
            } => Box::new(Command {
                title,
                reads: self.effect() == Effect::Read,
                run,
                check,
                undo,
                limit: Duration::from_secs(timeout.into()),
            }),
            Self::Pause { say, skippable } => Box::new(Pause { say, skippable }),
        }
    }
}
