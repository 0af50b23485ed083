//! A native raft snapshot is restored: rehearsed beside the cluster, and for real where the cluster was lost.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use baoctl::bao::{Health, Node};
use baoctl::meter::Silent;
use baoctl::platform::local::{Golden, verify};
use baoctl::platform::{Platform, SecretName};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::place::{MIGRATE, Place, RESUME, Said, wait};

const SIGKILL: i32 = 9;

type Members = Vec<(String, Vec<u8>)>;

const SEALED: &str = "SHA256SUMS.sealed";

fn members(archive: &Path) -> Members {
    let mut bytes = Vec::new();
    let file = File::open(archive).unwrap();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let mut tar = tar::Archive::new(bytes.as_slice());
    let read = tar.entries().unwrap().map(|member| {
        let mut member = member.unwrap();
        let mut content = Vec::new();
        member.read_to_end(&mut content).unwrap();
        (member.path().unwrap().display().to_string(), content)
    });
    read.collect()
}

fn pack(members: Members, to: &Path) {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        tar.append_data(&mut header, name, content.as_slice())
            .unwrap();
    }
    let mut gzip = GzEncoder::new(File::create(to).unwrap(), Compression::none());
    gzip.write_all(&tar.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap();
}

/// The same entries without one, as an archive whose sums are right.
fn lacking(from: &Path, to: &Path, key: &str) {
    use baoctl::storage::key::path_of_key;
    use baoctl::storage::tree::encode;
    use baoctl::storage::{ArchiveReader, ConvertOptions, Phase, Source, TreeOptions, convert};
    let tree = tempfile::tempdir().unwrap();
    let plant = |entry: &str, value: &[u8]| {
        if entry != key {
            let path = tree.path().join(path_of_key(entry).unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, encode(value)).unwrap();
        }
        Ok(())
    };
    ArchiveReader::open(from).unwrap().for_each(plant).unwrap();
    let options = ConvertOptions::new(TreeOptions::new(Phase::Sealed), tree.path());
    convert(Source::Directory(tree.path()), to, &options, &Silent).unwrap();
}

/// A cluster of three voters with its snapshot and the file with its keys.
struct Cluster {
    place: Place,
    snapshot: PathBuf,
    keys: PathBuf,
}

impl Cluster {
    fn new() -> Self {
        let place = Place::new();
        let args = ["rehearse", "--keep", "--entries", "200", "--namespaces"];
        let shares = ["--shares", "5", "--threshold", "3"];
        let fast = ["--runbook", "migrate-raft-fast"];
        place
            .run(&[&args[..], &shares, &fast].concat())
            .expect_code(0);
        let keys = place.keys(SecretName::Unseal).unwrap();
        let snapshot = place.path("nightly.snap");
        let leader = place.node(&place.leader());
        wait(leader.snapshot_save(&keys.token, &snapshot, &Silent)).unwrap();
        let shares: Vec<&str> = keys
            .shares
            .iter()
            .map(ExposeSecret::expose_secret)
            .collect();
        let file = place.path("keys.json");
        let output = json!({"unseal_keys_b64": shares, "root_token": keys.token.expose_secret()});
        fs::write(&file, output.to_string()).unwrap();
        Self {
            place,
            snapshot,
            keys: file,
        }
    }

    /// Everything is there, through each member.
    fn assert_data(&self, place: &Place) {
        let golden = Golden::load(&self.place.platform().golden_file()).unwrap();
        let token = place.keys(SecretName::Unseal).expect("the old key").token;
        for member in place.platform().members() {
            let node = place.node(&member);
            let active = wait(node.health()).unwrap() == Health::Active;
            let checked = wait(verify(&golden, &node, &token, active)).unwrap();
            assert!(checked > 20, "{checked}");
        }
    }
}

fn rehearse(place: &Place, snapshot: &Path, keys: &Path, more: &[&str]) -> Said {
    let (snapshot, keys) = (snapshot.to_str().unwrap(), keys.to_str().unwrap());
    let args = ["rehearse", "--json", "--discard", "--from-snapshot"];
    place.run(&[&args[..], &[snapshot, "--keys-file", keys], more].concat())
}

#[track_caller]
fn assert_whole(said: &Said) {
    said.expect_code(0);
    let summary = said.summary();
    assert_eq!(summary["parity"]["missing"], 0, "{summary:#}");
    assert_eq!(summary["parity"]["unexplained"], 0, "{summary:#}");
    assert_eq!(summary["compared"].as_array().unwrap().len(), 3);
    assert!(summary["entries"].as_u64() > Some(200));
}

#[test]
fn a_snapshot_is_rehearsed_and_then_restored_where_the_cluster_was_lost() {
    let cluster = Cluster::new();
    let own = &cluster.place;
    refused_before_anything_starts(&cluster);

    let beside = Place::new();
    let said = rehearse(&beside, &cluster.snapshot, &cluster.keys, &["--keep"]);
    assert_whole(&said);
    cluster.assert_data(&beside);

    let snapshot = cluster.snapshot.to_str().unwrap();
    let restore = [&MIGRATE[..], &["--from-snapshot", snapshot]].concat();
    let serves = "serves the cluster that the snapshot is of";
    own.run(&["resume", "--from-snapshot", snapshot])
        .expect_code(2)
        .expect_words(&["restores no snapshot"]);
    own.run(&restore)
        .expect_code(5)
        .expect_words(&["what the last run brought about is there", serves]);
    let way_back = own.run(&["rollback", "--dry-run", "--lose-writes"]);
    way_back.expect_code(0);
    cluster.assert_data(own);

    // It is lost, and so is the process that restores it; another machine has the snapshot elsewhere.
    wait(own.platform().kill_all()).unwrap();
    for member in own.platform().members() {
        let data = own.work().join("nodes").join(member).join("data");
        fs::remove_dir_all(data).unwrap();
    }
    let mut run = own.start(&restore);
    run.until_action("restore", "restore");
    run.signal(SIGKILL);
    assert_eq!(run.end(), -SIGKILL);
    let moved = own.path("moved.snap");
    fs::rename(&cluster.snapshot, &moved).unwrap();
    fs::remove_file(own.work().join("run/final.snap")).unwrap();
    let named = ["--json", "--from-snapshot", moved.to_str().unwrap()];
    let said = own.run(&[&RESUME[..], &named].concat());
    said.expect_code(0);
    let summary = said.summary();
    assert_eq!(summary["parity"]["missing"], 0, "{summary:#}");
    assert_eq!(summary["parity"]["unexplained"], 0, "{summary:#}");
    cluster.assert_data(own);
    let audited = own.work().join("nodes/openbao-0/audit/audit.log");
    assert!(audited.metadata().unwrap().len() > 0);
}

fn refused_before_anything_starts(cluster: &Cluster) {
    let place = Place::new();
    let good = &cluster.snapshot;
    let whole = fs::read(good).unwrap();
    let bad = place.path("bad.snap");
    let refused = |keys: &Path, more: &[&str], words: &[&str]| {
        let said = rehearse(&place, &bad, keys, more);
        said.expect_code(5).expect_words(words);
        let servers = place.platform().status().unwrap();
        assert!(servers.iter().all(|server| server.instance.is_none()));
        assert!(!place.work().join("nodes").exists());
    };

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&bad, flipped).unwrap();
    refused(&cluster.keys, &[], &["snapshot-whole"]);

    fs::write(&bad, &whole[..whole.len() - 700]).unwrap();
    refused(&cluster.keys, &[], &["snapshot-whole"]);

    lacking(good, &bad, "core/keyring");
    refused(
        &cluster.keys,
        &[],
        &["snapshot-entries", "it lacks core/keyring"],
    );

    let (sealed, plain): (Members, Members) = members(good)
        .into_iter()
        .partition(|(name, _)| name == SEALED);
    pack(plain, &bad);
    refused(
        &cluster.keys,
        &[],
        &["snapshot-sealed", "it has no SHA256SUMS.sealed"],
    );

    // Its sums are right, and other ones than the server has sealed.
    lacking(good, &bad, "sys/policy/default");
    pack([members(&bad), sealed].concat(), &bad);
    refused(&cluster.keys, &[], &["tells other sums than it has"]);

    let other = place.path("other-keys.json");
    let share = |number: u8| base64_simd::STANDARD.encode_to_string([number; 33]);
    let shares = [share(1), share(2), share(3)];
    let keys = json!({"unseal_keys_b64": shares, "root_token": "s.none"});
    fs::write(&other, keys.to_string()).unwrap();
    fs::write(&bad, &whole).unwrap();
    refused(
        &other,
        &[],
        &["the shares do not open core/hsm/barrier-unseal-keys"],
    );

    // A token that was made after the snapshot, or is nobody's.
    let mut keys: serde_json::Value =
        serde_json::from_slice(&fs::read(&cluster.keys).unwrap()).unwrap();
    keys["root_token"] = "s.0123456789abcdefghijklmn".into();
    fs::write(&other, keys.to_string()).unwrap();
    refused(&other, &[], &["snapshot-token", "does not have the token"]);

    let another = ["--cluster-id", "5f0e4c8e-0000-4000-8000-000000000000"];
    refused(&cluster.keys, &another, &["snapshot-cluster"]);
}
