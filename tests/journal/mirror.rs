//! A copy of the journal becomes a journal again, whole or not at all, and never over other records.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::{all_kinds, folder, header};
use baoctl::journal::{self, Error, Journal, Record, Restored, mirrored, restore};

/// A journal with a record of every kind, and its bytes.
fn whole() -> Vec<u8> {
    let (_folder, path) = folder();
    let mut journal = Journal::create(&path, header()).unwrap();
    for record in all_kinds().into_iter().skip(1) {
        journal.append(record).unwrap();
    }
    let bytes = fs::read(&path).unwrap();
    assert_eq!(journal.lines(0).unwrap(), bytes);
    let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    assert_eq!(journal.lines(first as u64).unwrap(), bytes[first..]);
    assert_eq!(journal.lines(bytes.len() as u64).unwrap(), b"");
    drop(journal);
    let journal = Journal::open(&path).unwrap();
    assert_eq!(journal.lines(0).unwrap(), bytes);
    bytes
}

#[test]
fn a_copy_that_ends_anywhere_extends_a_file_that_ends_anywhere() {
    let bytes = whole();
    let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for copied in (first..=bytes.len()).step_by(97).chain([bytes.len()]) {
        for there in (0..=bytes.len()).step_by(89) {
            let (_folder, path) = folder();
            if there > 0 {
                fs::write(&path, &bytes[..there]).unwrap();
            }
            let copy = &bytes[..copied];
            let longer = mirrored(copy).unwrap().records();
            let before = journal::read(&path).map_or(0, |state| state.records());
            let what = restore(&path, copy).unwrap();
            let state = journal::read(&path).unwrap();
            assert_eq!(state.records(), longer.max(before));
            assert_eq!(what == Restored::Kept, before >= longer);
            assert_eq!(what == Restored::Written, before == 0);
            // It can be gone on with, and is the same as ever.
            let journal = Journal::open(&path).unwrap();
            let lines = journal.lines(0).unwrap();
            assert_eq!(lines, bytes[..lines.len()]);
        }
    }
}

#[test]
fn a_file_with_other_records_or_other_bytes_stays_as_it_is() {
    let bytes = whole();
    let (_folder, path) = folder();
    let mut other = Journal::create(&path, header()).unwrap();
    other.append(Record::Finished).unwrap();
    // Somebody writes to it.
    assert!(matches!(restore(&path, &bytes), Err(Error::Locked { .. })));
    drop(other);
    let before = fs::read(&path).unwrap();
    let error = restore(&path, &bytes).unwrap_err();
    assert!(matches!(error, Error::Parted { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::write(&path, "a letter").unwrap();
    assert!(restore(&path, &bytes).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "a letter");
}

#[test]
fn a_damaged_copy_makes_no_file() {
    let mut bytes = whole();
    bytes[40] ^= 1;
    let (_folder, path) = folder();
    assert!(matches!(
        restore(&path, &bytes),
        Err(Error::Damaged { line: 1, .. })
    ));
    assert!(matches!(restore(&path, b""), Err(Error::Empty { .. })));
    assert!(!path.exists());
}

#[test]
fn a_restored_journal_is_its_owners_alone() {
    let (_folder, path) = folder();
    assert_eq!(restore(&path, &whole()).unwrap(), Restored::Written);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
