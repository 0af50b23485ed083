//! `baoctl` moves an OpenBao server from one replica on file storage to a three-voter Raft cluster.
//!
//! The layers only look downwards (a test holds that):
//!
//! ```text
//! cli  ->  ui, engine  ->  runbook, journal, event, action, check  ->  platform  ->  bao, storage
//! ```
//!
//! See `docs/architecture.md` for what each may know.

pub mod action;
pub mod armed;
pub mod bao;
pub mod check;
pub mod cli;
pub mod engine;
pub mod event;
pub mod journal;
pub mod meter;
pub mod platform;
pub mod runbook;
pub mod storage;
pub mod ui;
