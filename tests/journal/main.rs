//! The journal file: its records, its damage, its lock, its mirror.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "it is all test"
)]

mod api;
mod common;
mod damage;
mod disk;
mod lock;
mod mirror;
mod property;
