//! What a runbook can ask for: one file per kind, each a small struct that is read from the runbook.

mod await_storage;
mod await_voters;
mod back_up;
mod build;
pub mod cleanup;
mod cluster;
mod command;
mod compare;
mod compare_tables;
mod context;
mod contract;
mod data_keys;
mod destroy_throwaway;
mod error;
mod facts;
mod final_copy;
mod flip;
mod forecast;
mod forsake_data;
mod graft_snapshot;
mod init;
mod join;
mod keep_keys;
mod keys;
mod list_lost;
mod move_namespaces;
pub mod newer;
mod operator_migrate;
mod park_key;
mod part;
mod paths;
mod pause;
mod place_followers;
mod preflight;
mod program;
mod prove;
mod read_keys;
mod replace_source;
mod restore;
mod run_jobs;
mod seal_source;
mod sops;
mod spec;
mod suspend_actors;
pub mod token;
pub mod tombstone;
mod unseal;

pub use back_up::copy_live;
pub use compare_tables::{namespaces, tables};
pub use context::{Children, Context, FromSnapshot, Look, Marker, Settler, blocking, free_bytes};
pub use contract::{Action, Evidence, Fact, Observation, Outcome};
pub use error::{Error, Result};
pub use facts::{
    Backup, Checks, CommandRan, Compared, FinalCopied, Forsaken, Frozen, Held, KeysRead, Lost,
    Namespace, Placed, Proof, Reseeded, Restored, SameTables, Snapshot, Source, Tables, Throwaway,
    Voters,
};
pub use forecast::{Forecast, Timings};
pub use keys::{Keys, ROOT_TOKEN, UNSEAL_KEY};
use park_key::ReturnKey;
pub use part::PartOf;
use paths::SOURCE_PATHS;
pub use program::PRINTED;
pub use spec::{ActionSpec, Declared, KEEP_KEYS, Key, Members};
