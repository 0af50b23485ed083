//! How long it takes until `baoctl --version` has ended, beside `bao version`.
#![allow(clippy::expect_used, missing_docs)]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{Table, Target, median};

const RUNS: usize = 50;

fn main() {
    let bao = common::bao();
    let ours = Path::new(env!("CARGO_BIN_EXE_baoctl"));
    let (mut own, mut others) = (Vec::new(), Vec::new());
    // In turns, so that a busy moment of the machine meets both.
    for _ in 0..RUNS {
        own.push(milliseconds(ours, "--version"));
        others.push(milliseconds(&bao, "version"));
    }
    let (own, others) = (median(own), median(others));
    let mut table = Table::new("start-up", "baoctl --version", "bao version");
    table.row(
        &format!("ms, median of {RUNS}"),
        own,
        others,
        Some(Target::below(own, 20.0, "ms")),
    );
    table.print();
}

fn milliseconds(program: &Path, argument: &str) -> f64 {
    let begin = Instant::now();
    let status = Command::new(program)
        .arg(argument)
        .stdout(Stdio::null())
        .status()
        .expect("the program runs");
    let time = begin.elapsed();
    assert!(status.success(), "{} failed", program.display());
    time.as_secs_f64() * 1000.0
}
