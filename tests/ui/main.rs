//! What a run looks like: at a terminal, in lines, as JSON.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "it is all test"
)]

mod forms;
mod scene;
mod terminal;
mod words;
