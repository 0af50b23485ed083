use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::meter::Silent;
use crate::storage::error::StorageError;
use crate::storage::testing::{file, plant, tar};

fn options(phase: Phase) -> TreeOptions {
    TreeOptions::new(phase)
}

fn keys(
    source: Source<'_>,
    options: &TreeOptions,
) -> Result<(Vec<String>, TreeSummary), StorageError> {
    let mut keys = Vec::new();
    let summary = read(source, options, false, &Silent, &mut |entry| {
        if entry.value.is_some() {
            keys.push(entry.key.to_owned());
        }
        Ok(())
    })?;
    Ok((keys, summary))
}

fn of(root: &Path, phase: Phase) -> (Vec<String>, TreeSummary) {
    keys(Source::Directory(root), &options(phase)).unwrap()
}

fn refusal(root: &Path) -> String {
    keys(Source::Directory(root), &options(Phase::Sealed))
        .unwrap_err()
        .to_string()
}

fn stream(bytes: &[u8]) -> Result<(Vec<String>, TreeSummary), StorageError> {
    keys(Source::Tar(Box::new(bytes)), &options(Phase::Sealed))
}

#[test]
fn a_directory_is_read_in_the_order_of_its_keys() {
    let root = tempfile::tempdir().unwrap();
    let entries: [(&str, &[u8]); 6] = [
        ("b", b"1"),
        ("a", b"2"),
        ("a/x", b"3"),
        ("a!", b"4"),
        ("a/b/c", b"5"),
        ("_d/_e", b"6"),
    ];
    plant(root.path(), &entries);
    let (keys, summary) = of(root.path(), Phase::Sealed);
    let mut expected: Vec<&str> = entries.iter().map(|(key, _)| *key).collect();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!((summary.entries, summary.value_bytes), (6, 6));
}

#[test]
fn many_files_and_large_ones_stay_in_order() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..1500 {
        let value = vec![7; if number % 500 == 0 { 3 << 20 } else { 10 }];
        plant(root.path(), &[(&format!("k/{number:04}"), &value)]);
    }
    let (keys, summary) = of(root.path(), Phase::Live);
    assert!(keys.is_sorted() && keys.len() == 1500);
    assert_eq!(summary.oversized.total, 3);
    assert_eq!(summary.largest.0[0].bytes, 3 << 20);
}

#[test]
fn what_belongs_to_others_is_ignored() {
    let root = tempfile::tempdir().unwrap();
    plant(root.path(), &[("core/keyring", b"k"), ("core/lock", b"l")]);
    for path in [
        "vault.db",
        "raft/raft.db",
        "lost+found/x",
        "raft-aside-1/vault.db",
        ".baoctl-run",
    ] {
        file(root.path(), path, b"x");
    }
    let (keys, summary) = of(root.path(), Phase::Sealed);
    assert_eq!(
        (keys, summary.skipped.total),
        (vec!["core/keyring".to_owned()], 0)
    );
}

#[test]
fn leftovers_are_skipped_and_told() {
    let root = tempfile::tempdir().unwrap();
    plant(root.path(), &[("a/done.temp", b"1"), ("a/b", b"2")]);
    file(root.path(), "a/_torn.temp", b"{\"Value\":\"aG");
    file(root.path(), "a/_empty", b"");
    let told = |summary: TreeSummary| -> Vec<(String, SkipReason)> {
        summary
            .skipped
            .first
            .into_iter()
            .map(|skipped| (skipped.key, skipped.reason))
            .collect()
    };
    let (keys, summary) = of(root.path(), Phase::Live);
    assert_eq!(keys, ["a/b"]);
    assert_eq!(
        told(summary),
        [
            ("a/done.temp".to_owned(), SkipReason::Temporary),
            ("a/empty".to_owned(), SkipReason::Empty),
            ("a/torn.temp".to_owned(), SkipReason::Temporary),
        ]
    );
    let (keys, summary) = of(root.path(), Phase::Sealed);
    assert_eq!(keys, ["a/b", "a/done.temp"]);
    assert_eq!(
        told(summary),
        [
            ("a/empty".to_owned(), SkipReason::Empty),
            ("a/torn.temp".to_owned(), SkipReason::TemporaryUnreadable),
        ]
    );
}

#[test]
fn only_the_own_tombstone_is_accepted() {
    let root = tempfile::tempdir().unwrap();
    plant(root.path(), &[("core/migration", b"mine")]);
    let error = refusal(root.path());
    assert!(
        error.starts_with("core/_migration: a storage migration's mark"),
        "{error}"
    );
    let mut options = options(Phase::Sealed);
    options.tombstone = Some(encode(b"other"));
    assert!(keys(Source::Directory(root.path()), &options).is_err());
    options.tombstone = Some(encode(b"mine"));
    let (keys, summary) = keys(Source::Directory(root.path()), &options).unwrap();
    assert!(keys.is_empty() && summary.skipped.first[0].reason == SkipReason::Tombstone);
}

#[test]
fn namespaces_are_told() {
    let root = tempfile::tempdir().unwrap();
    plant(
        root.path(),
        &[
            ("namespaces/n1/core/mounts", b"1"),
            ("namespaces/n1/x", b"1"),
            ("core/namespaces/n2", b"2"),
        ],
    );
    assert_eq!(
        of(root.path(), Phase::Sealed).1.child_namespaces,
        ["n1", "n2"]
    );
}

#[test]
fn strange_files_are_refused_by_name() {
    type Plant = fn(&Path);
    let cases: [(Plant, &str); 6] = [
        (
            |root| file(root, "core/keyring", b"x"),
            "core/keyring: not a file of the file backend",
        ),
        (|root| file(root, "core/_", b"x"), "core/_: not a path"),
        (
            |root| file(root, "core/_a", b"{\"Value\":\"!\"}\n"),
            "core/_a: not an entry of the file backend, at byte 10",
        ),
        (
            |root| symlink("/etc/passwd", root.join("_a")).unwrap(),
            "_a: a symbolic link",
        ),
        (
            |root| symlink("/etc", root.join("a")).unwrap(),
            "a: a symbolic link",
        ),
        (
            |root| fs::write(root.join(std::ffi::OsStr::from_bytes(b"_\xff")), b"x").unwrap(),
            "_\u{fffd}: the name is not UTF-8",
        ),
    ];
    for (plant, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        plant(root.path());
        let error = refusal(root.path());
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_tar_stream_gives_the_same_entries() {
    let members: Vec<(&str, Vec<u8>)> = vec![
        ("./core/_lock", b"x".to_vec()),
        ("vault.db", b"x".to_vec()),
        ("./b/_c", encode(b"1")),
        ("a/_b", encode(b"2")),
    ];
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, content)| (*name, &content[..]))
        .collect();
    assert_eq!(stream(&tar(&members)).unwrap().0, ["b/c", "a/b"]);
    assert_eq!(
        stream(&[&tar(&members)[..], &[0; 8192]].concat())
            .unwrap()
            .0
            .len(),
        2
    );
}

#[test]
fn a_tar_stream_cut_anywhere_is_refused() {
    let (one, two) = (encode(b"1"), encode(&[2; 700]));
    let whole = tar(&[("a/_b", &one), ("a/_c", &two)]);
    for cut in 0..whole.len() {
        let error = stream(&whole[..cut]).unwrap_err().to_string();
        assert!(
            error.starts_with("the tar stream of the tree is not whole"),
            "cut at {cut}: {error}"
        );
    }
    let error = stream(&[&whole[..], b"x"].concat())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("data after the end-of-archive marker"),
        "{error}"
    );
}

#[test]
fn a_tar_stream_may_not_leave_the_tree_or_repeat() {
    let content = encode(b"1");
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..5].copy_from_slice(b"../_a");
    header.set_size(0);
    header.set_cksum();
    let error = stream(&[&header.as_bytes()[..], &[0; 1024]].concat())
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("../_a: not a path"), "{error}");
    let twice = tar(&[("a/_b", &content), ("a/_c", &content), ("a/_b", &content)]);
    let error = entries(
        Source::Tar(Box::new(&twice[..])),
        &options(Phase::Sealed),
        &Silent,
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "the key a/b occurs twice");
}
