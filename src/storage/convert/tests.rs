use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;
use crate::meter::Silent;
use crate::storage::archive::{ArchiveDigests, ArchiveReader, diff, raft_tls_of, verify};
use crate::storage::digests::DigestLines;
use crate::storage::manifest::manifest;
use crate::storage::testing::{file, plant, read_all, tar};
use crate::storage::tree::{Phase, encode, entries};

const SEALED: TreeOptions = TreeOptions::new(Phase::Sealed);

struct Case {
    place: tempfile::TempDir,
}

impl Case {
    fn new(entries: &[(&str, &[u8])]) -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("tree")).unwrap();
        plant(&place.path().join("tree"), entries);
        Self { place }
    }

    fn tree(&self) -> PathBuf {
        self.place.path().join("tree")
    }

    fn out(&self) -> PathBuf {
        self.place.path().join("out.snap")
    }

    fn options(&self) -> ConvertOptions<'static> {
        ConvertOptions::new(SEALED, self.place.path())
    }

    fn convert(&self, options: &ConvertOptions<'_>) -> Result<Conversion, StorageError> {
        convert(
            Source::Directory(&self.tree()),
            &self.out(),
            options,
            &Silent,
        )
    }

    fn pairs(&self) -> Vec<(String, Vec<u8>)> {
        read_all(fs::File::open(self.out()).unwrap()).unwrap()
    }
}

const SAMPLE: [(&str, &[u8]); 6] = [
    ("core/keyring", b"ring"),
    ("core/mounts", b"m"),
    ("core/mountsx", b"x"),
    ("core/seal-config", b"{}"),
    ("logical/u/k", b"v"),
    ("sys/expire/id/l", b"l"),
];

#[test]
fn tells_what_it_did() {
    let case = Case::new(&SAMPLE);
    let mut options = case.options();
    options.write_values = true;
    let done = case.convert(&options).unwrap();
    assert_eq!((done.entries, done.filtered, done.value_bytes), (6, 0, 10));
    assert_eq!(
        done.seal_material.keys().collect::<Vec<_>>(),
        ["core/keyring", "core/seal-config"]
    );
    let bytes = fs::read(case.out()).unwrap();
    assert_eq!(
        done.archive,
        Written {
            bytes: bytes.len() as u64,
            sha256: hex::encode(Digest::of(&bytes).sha256)
        }
    );
    assert_eq!(
        fs::metadata(case.out()).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let told = verify(ArchiveReader::open(&case.out()).unwrap(), &Silent).unwrap();
    assert_eq!((told.entries, told.meta.size), (6, done.state_bytes));
    let values = std::io::BufReader::new(fs::File::open(values_path(&case.out())).unwrap());
    let mut archive = ArchiveDigests(ArchiveReader::open(&case.out()).unwrap());
    let same = diff(&mut DigestLines::new(values), &mut archive).unwrap();
    assert!(same.is_empty() && same.identical == 6);
    let mut names: Vec<_> = fs::read_dir(case.place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["out.snap", "out.snap.values", "tree"]);
}

#[test]
fn an_inert_copy_has_nothing_that_acts() {
    let case = Case::new(&SAMPLE);
    let mut options = case.options();
    options.filter = Filter::Inert;
    assert_eq!(case.convert(&options).unwrap().filtered, 2);
    let keys: Vec<String> = case.pairs().into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        [
            "core/keyring",
            "core/mountsx",
            "core/seal-config",
            "logical/u/k"
        ]
    );
    for key in [
        "core/mounts/u",
        "core/local-auth",
        "core/local-audit/u",
        "core/namespaces/n",
        "sys/expire/token/x/y",
        "core/leader/u",
        "core/lock",
        "core/raft/tls",
    ] {
        assert!(!Filter::Inert.keeps(key) && Filter::Everything.keeps(key));
    }
}

#[test]
fn an_archive_is_written_anew_with_another_keyring_and_without_audit_devices() {
    let entries: [(&str, &[u8]); 4] = [
        ("core/audit", b"table"),
        ("core/keyring", b"keys"),
        ("core/raft/tls", b"old"),
        ("logical/u/k", b"value"),
    ];
    let case = Case::new(&entries);
    case.convert(&case.options()).unwrap();
    let out = case.out().with_extension("again");
    let mut options = case.options();
    options.filter = Filter::Unaudited;
    options.raft_tls = Some(b"new".to_vec());
    options.write_values = true;
    let archive = || ArchiveReader::open(&case.out()).unwrap();
    let done = rewrite(archive(), &out, &options, &Silent).unwrap();
    assert_eq!((done.tree.entries, done.filtered, done.entries), (4, 2, 3));
    let mut found = Vec::new();
    let again = ArchiveReader::open(&out).unwrap();
    let take = |key: &str, value: &[u8]| {
        found.push((key.to_owned(), value.to_vec()));
        Ok(())
    };
    again.for_each(take).unwrap();
    let expected: [(&str, &[u8]); 3] = [
        ("core/keyring", b"keys"),
        ("core/raft/tls", b"new"),
        ("logical/u/k", b"value"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_vec()));
    assert_eq!(found, expected);
    let values = DigestList::load(&values_path(&out)).unwrap();
    assert_eq!(values.len(), 2, "the keyring is no reference");

    let whole = fs::read(case.out()).unwrap();
    fs::write(case.out(), &whole[..whole.len() - 600]).unwrap();
    let never = out.with_extension("never");
    assert!(rewrite(archive(), &never, &options, &Silent).is_err());
    assert!(!never.exists());
}

#[test]
fn grafts_the_keyring_and_leaves_it_out_of_the_values() {
    let donor = Case::new(&[("core/raft/tls", b"tls")]);
    donor.convert(&donor.options()).unwrap();
    let case = Case::new(&SAMPLE);
    let mut options = case.options();
    options.raft_tls = raft_tls_of(ArchiveReader::open(&donor.out()).unwrap()).unwrap();
    options.write_values = true;
    let done = case.convert(&options).unwrap();
    assert_eq!((done.entries, done.grafted), (7, true));
    assert!(
        case.pairs()
            .contains(&("core/raft/tls".to_owned(), b"tls".to_vec()))
    );
    let values = DigestList::load(&values_path(&case.out())).unwrap();
    assert_eq!((values.len(), values.get("core/raft/tls")), (6, None));
}

type Change = fn(&Path);

#[test]
fn every_file_must_match_the_manifest() {
    let case = Case::new(&SAMPLE);
    file(&case.tree(), "a/_empty", b"");
    let (list, _) = manifest(Source::Directory(&case.tree()), &SEALED, &Silent).unwrap();
    assert_eq!(list.len(), 7);
    let mut options = case.options();
    options.manifest = Some(&list);
    case.convert(&options).unwrap();
    fs::remove_file(case.out()).unwrap();
    let cases: [(Change, &str); 4] = [
        (
            |tree| fs::remove_file(tree.join("core/_keyring")).unwrap(),
            "core/keyring is missing",
        ),
        (
            |tree| fs::remove_file(tree.join("a/_empty")).unwrap(),
            "a/empty is missing",
        ),
        (|tree| file(tree, "a/_new", &encode(b"1")), "a/new is new"),
        // The same value, another file.
        (
            |tree| file(tree, "core/_keyring", b"{\"Value\":\"cmluZw==\"}"),
            "core/keyring is different",
        ),
    ];
    for (change, expected) in cases {
        let tree = tempfile::tempdir().unwrap();
        plant(tree.path(), &SAMPLE);
        file(tree.path(), "a/_empty", b"");
        change(tree.path());
        let error = convert(
            Source::Directory(tree.path()),
            &case.out(),
            &options,
            &Silent,
        )
        .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(
            !case.out().exists(),
            "nothing is written for a tree that differs"
        );
    }
}

#[test]
fn a_failure_leaves_no_file() {
    let case = Case::new(&SAMPLE);
    let cut = tar(&[("a/_b", &encode(b"1"))]);
    let source = Source::Tar(Box::new(&cut[..cut.len() - 1024]));
    assert!(convert(source, &case.out(), &case.options(), &Silent).is_err());
    let mut options = case.options();
    options.scratch = case.place.path().join("absent");
    let error = case.convert(&options).unwrap_err().to_string();
    assert!(error.contains("absent"), "{error}");
    let far = case.place.path().join("absent/out.snap");
    assert!(
        convert(
            Source::Directory(&case.tree()),
            &far,
            &case.options(),
            &Silent
        )
        .is_err()
    );
    assert_eq!(fs::read_dir(case.place.path()).unwrap().count(), 1);
}

#[test]
fn a_full_volume_is_named_with_what_to_do() {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = StorageError::io("write", Path::new("out.snap.partial"))(full).to_string();
    assert!(
        error.contains("no room left on the volume of out.snap.partial"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn what_goes_in_comes_out(
        tree in proptest::collection::btree_map(
            "[a-c!\u{e9}]{1,3}(/[a-c!\u{e9}]{1,3}){0,3}",
            proptest::collection::vec(any::<u8>(), 0..300),
            0..40,
        ),
        shuffle in any::<u64>(),
    ) {
        let pairs: Vec<(&str, &[u8])> = tree.iter().map(|(key, value)| (key.as_str(), &value[..])).collect();
        let case = Case::new(&pairs);
        case.convert(&case.options()).unwrap();
        let expected: Vec<(String, Vec<u8>)> = tree.clone().into_iter().collect();
        prop_assert_eq!(&case.pairs(), &expected);

        // The same tree as a tar stream in another order gives the same bytes.
        let from_directory = fs::read(case.out()).unwrap();
        let mut files: Vec<(String, Vec<u8>)> =
            pairs.iter().map(|(key, value)| (crate::storage::key::path_of_key(key).unwrap(), encode(value))).collect();
        files.sort_by_key(|(path, _)| Digest::of(format!("{shuffle}{path}").as_bytes()).sha256);
        let members: Vec<(&str, &[u8])> = files.iter().map(|(path, content)| (path.as_str(), &content[..])).collect();
        let stream = tar(&members);
        convert(Source::Tar(Box::new(&stream[..])), &case.out(), &case.options(), &Silent).unwrap();
        prop_assert_eq!(fs::read(case.out()).unwrap(), from_directory);

        let (values, summary) = entries(Source::Tar(Box::new(&stream[..])), &SEALED, &Silent).unwrap();
        let mut archive = ArchiveDigests(ArchiveReader::open(&case.out()).unwrap());
        let same = diff(&mut values.digests(), &mut archive).unwrap();
        prop_assert!(same.is_empty() && same.identical == summary.entries);
    }
}
