use std::io::{self, Read};

use proptest::prelude::*;

use super::state::{put, put_length};
use super::*;
use crate::meter::Silent;
use crate::storage::digests::{Digest, DigestList};
use crate::storage::testing::{gzip, meta, read_all, sums, tar, unpacked};

fn state(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut state = Vec::new();
    for (key, value) in entries {
        put(key, value, &mut state);
    }
    state
}

fn sample() -> Vec<u8> {
    state(&[
        ("core/keyring", b"k"),
        ("core/raft/tls", b"t"),
        ("sys/token/id/h1", b""),
    ])
}

/// What is wrong with an archive around this `state.bin`.
fn wrong(state: &[u8]) -> String {
    read_all(&gzip(&unpacked(state))[..])
        .unwrap_err()
        .to_string()
}

/// What is wrong with an archive of these members.
fn wrong_members(members: &[(&str, &[u8])]) -> String {
    read_all(&gzip(&tar(members))[..]).unwrap_err().to_string()
}

#[test]
fn reads_a_whole_archive() {
    let archive = gzip(&unpacked(&sample()));
    let pairs = read_all(&archive[..]).unwrap();
    assert_eq!(pairs.len(), 3);
    assert_eq!(pairs[1], ("core/raft/tls".to_owned(), b"t".to_vec()));
    assert_eq!(
        raft_tls_of(ArchiveReader::new(&archive[..]))
            .unwrap()
            .unwrap(),
        b"t"
    );
    let told = inspect(ArchiveReader::new(&archive[..]), &Silent).unwrap();
    assert_eq!((told.verified.entries, told.verified.value_bytes), (3, 2));
    assert!(told.verified.raft_tls && !told.verified.sealed_sums);
    assert_eq!(
        told.prefixes.keys().map(String::as_str).collect::<Vec<_>>(),
        ["core/", "core/raft/", "sys/token/"]
    );
}

#[test]
fn an_archive_cut_at_any_byte_is_refused() {
    let archive = gzip(&unpacked(&sample()));
    for cut in 0..archive.len() {
        assert!(read_all(&archive[..cut]).is_err(), "cut at {cut}");
    }
    let unpacked = unpacked(&sample());
    for cut in 0..unpacked.len() {
        let error = read_all(&gzip(&unpacked[..cut])[..])
            .unwrap_err()
            .to_string();
        assert!(error.contains("cut"), "cut at {cut}: {error}");
    }
}

#[test]
fn nothing_may_follow_the_end() {
    let archive = gzip(&unpacked(&sample()));
    let longer = [&archive[..], b"x"].concat();
    let error = read_all(&longer[..]).unwrap_err().to_string();
    assert!(error.contains("data after the end of the gzip"), "{error}");
    let twice = [&archive[..], &archive[..]].concat();
    assert!(read_all(&twice[..]).is_err());
    let padded = [&unpacked(&sample())[..], &[0; 9728]].concat();
    assert!(
        read_all(&gzip(&padded)[..]).is_ok(),
        "padding to the record size"
    );
    let dirty = [&padded[..], b"x"].concat();
    let error = read_all(&gzip(&dirty)[..]).unwrap_err().to_string();
    assert!(error.contains("data after the end marker"), "{error}");
    let length = unpacked(&sample()).len();
    let lone = [&unpacked(&sample())[..length - 512], &[1; 512]].concat();
    let error = read_all(&gzip(&lone)[..]).unwrap_err().to_string();
    assert!(error.contains("single zero block"), "{error}");
}

#[test]
fn members_must_be_the_known_ones_once() {
    let (state, meta) = (sample(), meta(sample().len()));
    let sums = sums(&[("meta.json", &meta), ("state.bin", &state)]);
    let all: [(&str, &[u8]); 3] = [
        ("meta.json", &meta),
        ("state.bin", &state),
        ("SHA256SUMS", &sums),
    ];
    for left in 0..3 {
        let mut some = all.to_vec();
        some.remove(left);
        assert!(
            wrong_members(&some).contains("a member is missing"),
            "{}",
            wrong_members(&some)
        );
        let twice = [&all[..], &all[left..=left]].concat();
        let error = wrong_members(&twice);
        assert!(
            error.contains("occurs twice") && error.contains(all[left].0),
            "{error}"
        );
    }
    let error = wrong_members(&[&all[..], &[("evil", b"x")]].concat());
    assert!(
        error.contains("evil, byte") && error.contains("no such member"),
        "{error}"
    );
    assert!(
        read_all(&gzip(&tar(&[&all[..], &[("SHA256SUMS.sealed", b"x")]].concat()))[..]).is_ok()
    );
}

#[test]
fn sums_and_sizes_must_be_true() {
    let (state, right) = (sample(), meta(sample().len()));
    let lying = meta(state.len() + 1);
    let honest = sums(&[("meta.json", &lying), ("state.bin", &state)]);
    let error = wrong_members(&[
        ("meta.json", &lying),
        ("state.bin", &state),
        ("SHA256SUMS", &honest),
    ]);
    assert!(error.contains("bytes of state.bin, there are"), "{error}");
    let other = sums(&[("meta.json", &right), ("state.bin", b"other")]);
    let error = wrong_members(&[
        ("meta.json", &right),
        ("state.bin", &state),
        ("SHA256SUMS", &other),
    ]);
    assert!(error.contains("the SHA-256 of state.bin is"), "{error}");
    let short = sums(&[("meta.json", &right)]);
    let error = wrong_members(&[
        ("meta.json", &right),
        ("state.bin", &state),
        ("SHA256SUMS", &short),
    ]);
    assert!(error.contains("does not list state.bin"), "{error}");
}

#[test]
fn entries_must_be_well_formed_and_the_error_says_where() {
    let first = state(&[("a", b"1")]);
    let at = first.len();
    let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            vec![0x03, 0x12, 0x01, b'v'],
            "the first field is not the key",
        ),
        (vec![0x06, 0x0a, 0x01, b'b', 0x0a, 0x01, b'c'], "two keys"),
        (
            vec![0x05, 0x0a, 0x01, b'b', 0x18, 0x01],
            "unknown field 3 of type 0",
        ),
        (
            vec![0x09, 0x0a, 0x01, b'b', 0x12, 0x01, b'v', 0x12, 0x01, b'w'],
            "more than a key and a value",
        ),
        (
            vec![0x09, 0x0a, 0x01, b'b', 0x12, 0x01, b'v', 0x12, 0x01],
            "a message of 9 bytes where 8",
        ),
        (
            vec![0x08, 0x0a, 0x01, b'b', 0x12, 0x01, b'v', 0x12, 0x00],
            "more than a key and a value",
        ),
        (
            vec![0x06, 0x0a, 0x01, b'b', 0x12, 0x09, b'v'],
            "a value of 9 bytes where 1",
        ),
        (vec![0x02, 0x0a, 0x00], "a key of 0 bytes"),
        (vec![0x03, 0x0a, 0x01, 0xff], "the key is not UTF-8"),
        (vec![0x83, 0x00, 0x0a, 0x01, b'b'], "not a canonical varint"),
        (vec![0xff; 12], "not a canonical varint"),
        (vec![0x83], "a number is cut"),
        (
            huge.to_vec(),
            "a message of 1152921504606846976 bytes where 0",
        ),
        (
            [&[0x0a, 0x0a][..], &huge].concat(),
            "a key of 1152921504606846976 bytes where 0",
        ),
    ];
    for (bytes, problem) in cases {
        let error = wrong(&[&first[..], &bytes].concat());
        assert!(error.contains(problem), "{bytes:x?}: {error}");
        assert!(error.contains("entry 1 ("), "{error}");
        assert!(
            error.contains(&format!("at byte {at} of state.bin")),
            "{error}"
        );
    }
    let long = "k".repeat(32_769);
    assert!(wrong(&state(&[(&long, b"")])).contains("a key of 32769 bytes"));
}

#[test]
fn keys_must_ascend() {
    let error = wrong(&state(&[("b", b"1"), ("a", b"2")]));
    assert!(
        error.contains("entry 1 (a) at byte 7")
            && error.contains("not above the entry before it (b)"),
        "{error}"
    );
    let error = wrong(&state(&[("a", b"1"), ("a", b"2")]));
    assert!(
        error.contains("the same key as the entry before it (a)"),
        "{error}"
    );
}

#[test]
fn a_claimed_size_allocates_nothing() {
    // The header claims 2^40 bytes of state.bin and an entry of nearly as many; a few arrive.
    let state = [
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x10][..],
        &[0x0a, 0x01, b'a', 0x12, 0x80, 0x80, 0x80, 0x80, 0x10],
    ]
    .concat();
    let mut header = tar::Header::new_ustar();
    header.set_path("state.bin").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    let cut = [&header.as_bytes()[..], &state, &[7; 1000]].concat();
    let error = read_all(&gzip(&cut)[..]).unwrap_err().to_string();
    assert!(error.contains("the archive is cut"), "{error}");
}

#[test]
fn a_reader_that_fails_ends_it() {
    struct Cancelled;
    impl Read for Cancelled {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("cancelled by the caller"))
        }
    }
    let archive = gzip(&unpacked(&sample()));
    let error = read_all((&archive[..200]).chain(Cancelled))
        .unwrap_err()
        .to_string();
    assert!(error.contains("cancelled by the caller"), "{error}");
}

fn digests(pairs: &[(String, Vec<u8>)]) -> DigestList {
    let mut list = DigestList::default();
    for (key, value) in pairs {
        list.push(key, Digest::of(value)).unwrap();
    }
    list.sort().unwrap();
    list
}

proptest! {
    #[test]
    fn length_is_what_is_put(key in "[a-z]{1,200}", value in 0_usize..20_000) {
        let mut into = Vec::new();
        put(&key, &vec![0; value], &mut into);
        prop_assert_eq!(into.len(), put_length(key.len(), value));
    }

    #[test]
    fn diff_is_symmetric(
        left in proptest::collection::btree_map("[a-d]{1,2}", proptest::collection::vec(0_u8..3, 0..2), 0..12),
        right in proptest::collection::btree_map("[a-d]{1,2}", proptest::collection::vec(0_u8..3, 0..2), 0..12),
    ) {
        let (left, right): (Vec<_>, Vec<_>) = (left.into_iter().collect(), right.into_iter().collect());
        let (left, right) = (digests(&left), digests(&right));
        let there = diff(&mut left.digests(), &mut right.digests()).unwrap();
        let back = diff(&mut right.digests(), &mut left.digests()).unwrap();
        prop_assert_eq!(there.identical, back.identical);
        prop_assert_eq!(&there.changed, &back.changed);
        prop_assert_eq!(&there.only_left, &back.only_right);
        prop_assert_eq!(&there.only_right, &back.only_left);
        prop_assert_eq!(there.is_empty(), left == right);
    }
}
