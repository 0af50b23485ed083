//! What holds of the sources and of what is generated from them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "it is all test"
)]

mod armed;
mod generated;
mod layers;
