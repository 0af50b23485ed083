//! `baoctl` with real `bao` processes on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "it is all test"
)]

mod budget;
mod cleanup;
mod faults;
#[path = "../journal/common.rs"]
mod journal;
mod killed;
mod local_platform;
mod namespaces;
mod operator_migrate;
mod own_runbook;
mod pebbledb;
mod place;
mod reseed;
mod rollback;
mod runbooks;
mod snapshot;
mod terminal;
mod tokens;
mod traps;
mod watch;
mod work;
