//! How long clients are without a server, by runbook, beside `bao operator migrate`: each a rehearsal on real servers.
//!
//! `BIG=1` measures 100,000 entries too, `RUNS=20` repeats each and tells how often the forecast was within 20 %.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss
)]

mod common;

use std::process::Command;

use common::{Table, Target, median};
use serde_json::Value;

const BOOKS: [&str; 2] = ["migrate-raft-fast", "migrate-raft"];
/// What a user would do instead.
const INSTEAD: &str = "operator-migrate";

/// One outage, in seconds.
struct Outage {
    was: f64,
    expected: f64,
    /// The server's own part.
    server: f64,
}

fn main() {
    let bao = common::bao();
    let runs = std::env::var("RUNS").map_or(3, |runs| runs.parse().expect("RUNS is a number"));
    let mut sizes = vec![5_000];
    if std::env::var_os("BIG").is_some() {
        sizes.push(100_000);
    }
    for entries in sizes {
        let mut of: Vec<(&str, Vec<Outage>)> = BOOKS
            .iter()
            .chain(&[INSTEAD])
            .map(|book| (*book, Vec::new()))
            .collect();
        // In turns, so that a busy moment of the machine meets each.
        for _ in 0..runs {
            for (book, outages) in &mut of {
                outages.push(rehearse(&bao, book, entries));
            }
        }
        let middle = |book: &str, figure: fn(&Outage) -> f64| {
            let (_, outages) = of.iter().find(|(of, _)| *of == book).expect("it ran");
            median(outages.iter().map(figure))
        };
        let title = format!("outage, {entries} entries, s");
        let mut table = Table::new(&title, "baoctl", INSTEAD);
        let instead = middle(INSTEAD, |it| it.was);
        for book in BOOKS {
            let was = middle(book, |it| it.was);
            let target = (book == BOOKS[0] && entries >= 100_000)
                .then(|| Target::below(was / instead, 0.5, "x"));
            table.row(book, was, instead, target);
        }
        let above = middle(BOOKS[0], |it| it.was - it.server);
        let target = (entries == 5_000).then(|| Target::below(above, 2.0, "s"));
        let instead = middle(INSTEAD, |it| it.was - it.server);
        table.row("fast, above the server's own part", above, instead, target);
        table.print();
        for (book, outages) in &of {
            let near = outages
                .iter()
                .filter(|it| (it.expected - it.was).abs() <= 0.2 * it.was)
                .count();
            println!(
                "{book}: forecast within 20 % in {near} of {}",
                outages.len()
            );
            for it in outages {
                println!(
                    "  was {:.2} s, expected {:.2} s, the server's own part {:.2} s",
                    it.was, it.expected, it.server
                );
            }
        }
    }
}

fn rehearse(bao: &std::path::Path, book: &str, entries: u64) -> Outage {
    let folder = common::folder();
    let said = Command::new(env!("CARGO_BIN_EXE_baoctl"))
        .args(["rehearse", "--json", "--runbook", book])
        .args(["--entries", &entries.to_string()])
        .arg("--work-dir")
        .arg(folder.path().join("work"))
        .env("BAOCTL_BAO", bao)
        .output()
        .expect("baoctl runs");
    let out = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{book}: {out}");
    let summary = out
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|event| event["event"] == "summary")
        .expect("a summary");
    let figure = |value: &Value| value.as_f64().expect("a figure");
    Outage {
        was: figure(&summary["outage_seconds"]),
        expected: figure(&summary["expected"]["seconds"]),
        server: figure(&summary["expected"]["server"]),
    }
}
