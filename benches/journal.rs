//! What a record costs in a short journal and in a long one, beside a bare write and `fdatasync` of the same bytes.
//!
//! `BENCH_DIR` names a folder for the files, on the disk to be measured.
#![allow(clippy::expect_used, missing_docs)]

mod common;
#[path = "../tests/journal/common.rs"]
mod journal_common;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

use baoctl::event::ActionStatus;
use baoctl::journal::{Journal, Record};
use common::{Table, Target, median};
use journal_common::{header, result};

const SHORT: usize = 10;
const LONG: usize = 10_000;
/// Records measured in a row, and how often: the short journal is made anew each time and stays short.
const RECORDS: usize = 10;
const ROUNDS: usize = 30;

fn main() {
    let folder = common::folder();
    let mut long = Subject::new(&folder.path().join("long"), LONG);
    let mut costs = Vec::new();
    // In turns, so that a slow moment of the disk meets all of them.
    for round in 0..ROUNDS {
        let mut short = Subject::new(&folder.path().join(format!("short-{round}")), SHORT);
        for _ in 0..RECORDS {
            costs.push((long.add(), short.add()));
        }
    }
    let at = |cost: fn(Cost) -> f64| {
        let long = median(costs.iter().map(|(long, _)| cost(*long)));
        let short = median(costs.iter().map(|(_, short)| cost(*short)));
        (long, short)
    };
    let mut table = Table::new("journal, one record", "at 10,000 records", "at 10 records");
    let (long, short) = at(|cost| cost.journal);
    let flat = Target::below(long / short, 1.5, "x");
    table.row("append, µs", long, short, Some(flat));
    let (long, short) = at(|cost| cost.bare);
    table.row("bare write + fdatasync, µs", long, short, None);
    let (long, short) = at(|cost| cost.journal - cost.bare);
    table.row("difference, µs", long, short, None);
    table.print();
}

/// Microseconds that the same bytes took.
#[derive(Clone, Copy)]
struct Cost {
    journal: f64,
    bare: f64,
}

/// A journal, and a plain file that gets the same bytes.
struct Subject {
    journal: Journal,
    records: usize,
    reader: File,
    bare: File,
}

impl Subject {
    /// With so many records in it.
    fn new(path: &Path, records: usize) -> Self {
        let journal = Journal::create(path, header()).expect("a journal");
        let mut subject = Self {
            journal,
            records: 1,
            reader: File::open(path).expect("the journal's file"),
            bare: File::create(path.with_extension("bare")).expect("a file"),
        };
        while subject.records < records {
            subject.append();
        }
        subject.copy();
        subject
    }

    /// Adds a record to both.
    fn add(&mut self) -> Cost {
        Cost {
            journal: self.append(),
            bare: self.copy(),
        }
    }

    /// An intent or the result of it, of one new action after another, so that the state grows too.
    fn append(&mut self) -> f64 {
        let action = self.records / 2;
        let record = if self.records.is_multiple_of(2) {
            result("apply", action - 1, "restore", ActionStatus::Done)
        } else {
            Record::Intent {
                step: "apply".into(),
                action,
                kind: "restore".into(),
                calls: vec!["PUT /v1/sys/storage/raft/snapshot-force".into()],
                facts: std::collections::BTreeMap::new(),
            }
        };
        let begin = Instant::now();
        self.journal.append(record).expect("the record is written");
        let time = begin.elapsed();
        self.records += 1;
        time.as_secs_f64() * 1e6
    }

    /// Writes what the journal has grown by.
    fn copy(&mut self) -> f64 {
        let mut bytes = Vec::new();
        self.reader
            .read_to_end(&mut bytes)
            .expect("the journal reads");
        let begin = Instant::now();
        self.bare
            .write_all(&bytes)
            .and_then(|()| self.bare.sync_data())
            .expect("the bytes are written");
        begin.elapsed().as_secs_f64() * 1e6
    }
}
