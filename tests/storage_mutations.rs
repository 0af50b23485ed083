//! Damaged archives and tree streams: the readers refuse them or give exactly what was in the whole ones, and never
//! panic or allocate by what a damaged length claims. Seeded, so each run tries the same damage.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use baoctl::meter::Silent;
use baoctl::storage::archive::Meta;
use baoctl::storage::tree::encode;
use baoctl::storage::{ArchiveReader, Phase, Source, TreeOptions, manifest, tree};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

type Pairs = Vec<(String, Vec<u8>)>;

/// Random flips, insertions and removals for each of the kinds below.
const ROUNDS: usize = 3000;
/// In KiB; a claimed length of even 1 GiB would show.
const PEAK: u64 = 200 * 1024;

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Cut(usize),
}

impl Damage {
    fn random(random: &mut Random, length: usize) -> Self {
        let at = random.below(length);
        match random.below(4) {
            0 => Self::Insert(at, u8::try_from(random.below(256)).unwrap()),
            1 => Self::Remove(at),
            _ => Self::Flip(at, 1 << random.below(8)),
        }
    }

    fn apply(self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        match self {
            Self::Flip(at, bit) => bytes[at] ^= bit,
            Self::Insert(at, byte) => bytes.insert(at, byte),
            Self::Remove(at) => {
                bytes.remove(at);
            }
            Self::Cut(at) => bytes.truncate(at),
        }
        bytes
    }
}

fn each_damage(seed: u64, whole: &[u8], mut check: impl FnMut(Damage, Vec<u8>)) {
    let mut random = Random(seed);
    let cuts = (0..whole.len()).map(Damage::Cut);
    let flips = (0..whole.len()).map(|at| Damage::Flip(at, 1 << (at % 8)));
    for damage in cuts.chain(flips) {
        check(damage, damage.apply(whole));
    }
    for _ in 0..ROUNDS {
        let damage = Damage::random(&mut random, whole.len());
        let bytes = damage.apply(whole);
        if bytes != whole {
            check(damage, bytes);
        }
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(peak < PEAK, "peak memory {peak} KiB");
}

fn sample() -> Pairs {
    let mut random = Random(7);
    let mut pairs: Pairs = (0..12)
        .map(|number| {
            let length = if number == 5 { 700 } else { random.below(90) };
            let value = (0..length)
                .map(|_| u8::try_from(random.below(256)).unwrap())
                .collect();
            (format!("logical/5b1f9d0c/{number:02}"), value)
        })
        .collect();
    pairs.push(("sys/policy/empty".to_owned(), Vec::new()));
    pairs
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

/// `state.bin` as a server writes it, made independently of the library.
fn state(pairs: &Pairs) -> Vec<u8> {
    let field = |tag: u8, content: &[u8]| [&[tag][..], &varint(content.len()), content].concat();
    let mut state = Vec::new();
    for (key, value) in pairs {
        let mut message = field(0x0a, key.as_bytes());
        if !value.is_empty() {
            message.extend(field(0x12, value));
        }
        state.extend(varint(message.len()));
        state.extend(message);
    }
    state
}

fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        builder
            .append_data(&mut header, name, &content[..])
            .unwrap();
    }
    builder.into_inner().unwrap()
}

fn unpacked(state: &[u8]) -> Vec<u8> {
    let meta = serde_json::to_vec(&Meta::converted(
        "openbao-0",
        "127.0.0.1:8201",
        state.len() as u64,
    ))
    .unwrap();
    let mut members = vec![
        ("meta.json".to_owned(), meta),
        ("state.bin".to_owned(), state.to_vec()),
    ];
    let mut sums = String::new();
    for (name, content) in &members {
        writeln!(sums, "{}  {name}", hex::encode(Sha256::digest(content))).unwrap();
    }
    members.push(("SHA256SUMS".to_owned(), sums.into_bytes()));
    tar(&members)
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn read(archive: &[u8]) -> Option<Pairs> {
    let mut pairs = Pairs::new();
    let read = ArchiveReader::new(archive).for_each(|key, value| {
        pairs.push((key.to_owned(), value.to_vec()));
        Ok(())
    });
    read.is_ok().then_some(pairs)
}

#[test]
fn a_damaged_archive_is_refused() {
    let whole = gzip(&unpacked(&state(&sample())));
    assert_eq!(read(&whole).unwrap(), sample());
    each_damage(1, &whole, |damage, bytes| {
        if let Some(pairs) = read(&bytes) {
            // The gzip header's flags, time, level and system say nothing about the content.
            let harmless = matches!(damage, Damage::Flip(3..10, _));
            assert!(harmless && pairs == sample(), "accepted {damage:?}");
        }
    });
}

#[test]
fn a_damaged_tar_in_a_sound_gzip_is_refused() {
    let whole = unpacked(&state(&sample()));
    let headers: Vec<usize> = (0..whole.len())
        .step_by(512)
        .filter(|at| whole[at + 257..].starts_with(b"ustar"))
        .collect();
    assert_eq!(headers.len(), 3);
    each_damage(2, &whole, |damage, bytes| {
        if let Some(pairs) = read(&gzip(&bytes)) {
            let harmless = match damage {
                // Another spelling of the same checksum.
                Damage::Flip(at, _) => headers
                    .iter()
                    .any(|header| (header + 148..header + 156).contains(&at)),
                // More zeros behind the end marker.
                Damage::Insert(at, 0) => at >= whole.len() - 1024,
                _ => false,
            };
            assert!(harmless && pairs == sample(), "accepted {damage:?}");
        }
    });
}

#[test]
fn a_damaged_state_with_true_sums_is_read_exactly_or_refused() {
    let whole = state(&sample());
    let mut accepted = 0;
    each_damage(3, &whole, |damage, bytes| {
        if let Some(pairs) = read(&gzip(&unpacked(&bytes))) {
            accepted += 1;
            assert_eq!(
                state(&pairs),
                bytes,
                "{damage:?} was read as something else"
            );
            assert!(pairs.is_sorted_by(|a, b| a.0 < b.0), "{damage:?}");
        }
    });
    assert!(accepted > 100, "flips inside values are fine: {accepted}");
}

#[test]
fn a_damaged_stream_of_a_tree_is_refused_or_differs_from_its_manifest() {
    let files: Pairs = sample()
        .into_iter()
        .map(|(key, value)| {
            (
                baoctl::storage::key::path_of_key(&key).unwrap(),
                encode(&value),
            )
        })
        .collect();
    let options = TreeOptions::new(Phase::Sealed);
    let listed = |bytes: &[u8]| manifest::manifest(Source::Tar(Box::new(bytes)), &options, &Silent);
    let values = |bytes: &[u8]| {
        tree::entries(Source::Tar(Box::new(bytes)), &options, &Silent)
            .unwrap()
            .0
    };
    let whole = tar(&files);
    let manifest = listed(&whole).unwrap().0;
    let reference = values(&whole);
    let mut equal = 0;
    each_damage(4, &whole, |damage, bytes| {
        let Ok((now, _)) = listed(&bytes) else { return };
        assert!(!matches!(damage, Damage::Cut(_)), "accepted {damage:?}");
        if now == manifest {
            equal += 1;
            assert_eq!(values(&bytes), reference, "{damage:?}");
        }
    });
    assert!(equal > 0, "flips in the padding change nothing");
}
