//! A journal that was cut or changed anywhere gives the right prefix or a refusal, never another record.

use std::fs;
use std::path::Path;

use crate::common::{all_kinds, folder, header};
use baoctl::journal::{self, Error, Journal, Record};

fn write(path: &Path, records: Vec<Record>) -> Vec<u8> {
    let mut records = records.into_iter();
    let Some(Record::Started(first)) = records.next() else {
        panic!("a run starts");
    };
    let mut journal = Journal::create(path, first).unwrap();
    for record in records {
        journal.append(record).unwrap();
    }
    drop(journal);
    fs::read(path).unwrap()
}

fn records(path: &Path) -> Result<Vec<Record>, Error> {
    Ok(journal::records(path)?.into_iter().map(|it| it.1).collect())
}

fn line_ends(bytes: &[u8]) -> Vec<usize> {
    let ends = bytes.iter().enumerate().filter(|it| *it.1 == b'\n');
    ends.map(|it| it.0).collect()
}

#[test]
fn every_kind_of_record_reads_back() {
    let (_folder, path) = folder();
    write(&path, all_kinds());
    assert_eq!(records(&path).unwrap(), all_kinds());
}

#[test]
fn cut_at_every_byte() {
    let (_folder, path) = folder();
    let all = all_kinds();
    let bytes = write(&path, all.clone());
    let ends = line_ends(&bytes);
    for length in 0..=bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        // A line counts once its last byte before the line end is there.
        let whole = ends.iter().filter(|end| **end <= length).count();
        assert_eq!(records(&path).unwrap(), all[..whole], "cut at {length}");
        if whole == 0 {
            assert!(matches!(Journal::open(&path), Err(Error::Empty { .. })));
            assert!(matches!(journal::read(&path), Err(Error::Empty { .. })));
            let journal = Journal::create(&path, header()).unwrap();
            assert_eq!(journal.state().records(), 1);
            continue;
        }
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.state(), &journal::read(&path).unwrap());
        let resumed = Record::Resumed {
            baoctl: "0.1.0".into(),
            pid: 1,
            runbook: None,
            max_outage_ms: None,
            cleanup: false,
        };
        assert_eq!(journal.append(resumed.clone()).unwrap(), whole as u64 + 1);
        drop(journal);
        let mut expected = all[..whole].to_vec();
        expected.push(resumed);
        assert_eq!(records(&path).unwrap(), expected, "cut at {length}");
    }
}

#[test]
fn flipped_at_every_byte() {
    let (_folder, path) = folder();
    let all = all_kinds();
    let whole = write(&path, all.clone());
    let without_line_end = &whole[..whole.len() - 1];
    for bytes in [&whole[..], without_line_end] {
        let last = line_ends(&bytes[..bytes.len() - 1]).last().unwrap() + 1;
        for at in 0..bytes.len() {
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut changed = bytes.to_vec();
                changed[at] ^= flip;
                fs::write(&path, &changed).unwrap();
                match records(&path) {
                    Ok(found) => {
                        assert!(at >= last - 1 && bytes.len() < whole.len(), "{at} ^ {flip}");
                        assert!(all.starts_with(&found), "{at} ^ {flip}");
                    }
                    Err(Error::Damaged { line, .. }) => {
                        let lines = line_ends(&bytes[..at]).len() as u64;
                        assert_eq!(line, lines + 1, "{at} ^ {flip}");
                    }
                    Err(error) => panic!("{at} ^ {flip}: {error}"),
                }
            }
        }
    }
}

#[test]
fn lines_removed_doubled_or_swapped_are_refused_by_number() {
    let (_folder, path) = folder();
    let bytes = write(&path, all_kinds());
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for at in 0..lines.len() - 1 {
        let mut removed = lines.clone();
        removed.remove(at);
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        for (changed, line) in [(removed, at + 1), (doubled, at + 2), (swapped, at + 1)] {
            fs::write(&path, changed.concat()).unwrap();
            let error = Journal::open(&path).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains(&format!("damaged in line {line}:")),
                "{error}"
            );
        }
    }
}

#[test]
fn a_refused_file_is_left_as_it_is() {
    let (_folder, path) = folder();
    for text in [
        "notes of mine",
        "notes of mine\n",
        "\n",
        "{}\n",
        "{\"seq\":2,",
    ] {
        fs::write(&path, text).unwrap();
        assert!(matches!(
            Journal::create(&path, header()),
            Err(Error::Exists { .. })
        ));
        assert!(Journal::open(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn what_a_later_version_writes_is_refused_with_its_version() {
    let (_folder, path) = folder();
    let mut later = header();
    later.format = 2;
    later.baoctl = "9.1.0".into();
    let line = |crc_before: u32, body: String| {
        let crc = crc32c::crc32c_append(crc_before, body.as_bytes());
        (format!("{body},\"crc\":\"{crc:08x}\"}}\n"), crc)
    };
    let started = |header| serde_json::to_string(&Record::Started(header)).unwrap();
    let head = "{\"seq\":1,\"time\":\"2030-01-01T00:00:00.000Z\",\"entry\":";
    let (text, _) = line(0, format!("{head}{}", started(later)));
    fs::write(&path, text).unwrap();
    let error = journal::read(&path).unwrap_err().to_string();
    assert!(error.contains("format 2 in line 1"), "{error}");
    assert!(error.contains("use baoctl 9.1.0 or later"), "{error}");

    let mut known = header();
    known.baoctl = "0.9.0".into();
    let (first, crc) = line(0, format!("{head}{}", started(known)));
    let unknown =
        "{\"seq\":2,\"time\":\"2030-01-01T00:00:00.000Z\",\"entry\":{\"record\":\"paused\"}";
    fs::write(&path, first + &line(crc, unknown.into()).0).unwrap();
    let error = journal::read(&path).unwrap_err().to_string();
    assert!(error.contains("a record `paused` in line 2"), "{error}");
    assert!(error.contains("use baoctl 0.9.0 or later"), "{error}");
}

/// Written by 0.1.0; stays as it is for ever.
#[test]
fn the_first_released_format_stays_readable() {
    let path = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/journal/golden/journal-v1.jsonl"
    ));
    let mut then = all_kinds();
    // A kind that came later.
    then.retain(|record| !matches!(record, Record::Stopped(_)));
    assert_eq!(records(path).unwrap(), then);
    let state = journal::read(path).unwrap();
    assert!(state.finished().is_some());
    assert_eq!(state.rewinds(), 1);
}
