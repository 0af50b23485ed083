//! The runbooks: the built-in ones, their rules and what is written of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "it is all test"
)]

mod changed;
mod docs;
mod embedded;
mod errors;
#[path = "../journal/common.rs"]
mod journal;
