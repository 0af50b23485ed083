//! The engine against a scripted platform, in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "it is all test"
)]

mod cleanup;
mod crashes;
mod meddling;
mod mirror;
mod operator;
mod own;
mod reseed;
mod restored;
mod rollback;
mod scene;
mod scripted;
