//! A snapshot as a server saves it: what is read of it without a server is encrypted as a server does.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use base64_simd::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::tree::{self, Entries};
use super::world::KeySet;

/// The one share of a seal with one is the key.
pub const SHARE: [u8; 32] = [7; 32];
const ROOT: [u8; 32] = [8; 32];
const DATA: [u8; 32] = [9; 32];

fn sealed(key: &[u8], bound_to: &str, text: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let (nonce, mut out) = ([5; NONCE_LEN], text.to_vec());
    let unique = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(unique, Aad::from(bound_to), &mut out)
        .unwrap();
    [nonce.as_slice(), &out].concat()
}

/// What the seal encrypts: the first field of a message, after its length.
fn blob(text: &[u8]) -> Vec<u8> {
    let sealed = sealed(&SHARE, "", text);
    let [low, high] = [sealed.len() & 0x7f, sealed.len() >> 7].map(|it| u8::try_from(it).unwrap());
    let head = match high {
        0 => vec![0x0a, low],
        _ => vec![0x0a, low | 0x80, high],
    };
    [head, sealed].concat()
}

fn entry(key: &[u8], name: &str, text: &str) -> (String, Vec<u8>) {
    let term = [0, 0, 0, 1, 2].as_slice();
    (
        name.to_owned(),
        [term, &sealed(key, name, text.as_bytes())].concat(),
    )
}

/// What a cluster on raft held that is gone.
pub fn entries(keys: &KeySet) -> Entries {
    let mut entries = tree::source(&keys.name);
    tree::lead(&mut entries);
    let root = STANDARD.encode_to_string(ROOT);
    let data = STANDARD.encode_to_string(DATA);
    let keyring = format!("{{\"Keys\":[{{\"Term\":1,\"Value\":\"{data}\"}}]}}");
    let identity = format!("{{\"id\":\"{}\"}}", keys.cluster_id);
    let table = "{\"type\":\"audit\",\"entries\":null}";
    entries.extend([
        (
            "core/seal-config".to_owned(),
            b"{\"type\":\"shamir\",\"secret_shares\":1,\"secret_threshold\":1}".to_vec(),
        ),
        (
            "core/hsm/barrier-unseal-keys".to_owned(),
            blob(format!("[\"{root}\"]").as_bytes()),
        ),
        entry(&ROOT, "core/keyring", &keyring),
        entry(&DATA, "core/cluster/local/info", &identity),
        entry(&DATA, "core/audit", table),
        entry(&DATA, "core/local-audit", table),
        ("core/versions/2.6.2".to_owned(), b"when".to_vec()),
    ]);
    entries
}

/// Writes the archive, with its sums sealed.
pub fn pack(entries: &Entries, to: &Path) {
    tree::pack(entries, to);
    let mut bytes = Vec::new();
    let file = File::open(to).unwrap();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let mut whole = tar::Builder::new(Vec::new());
    let mut put = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        whole.append_data(&mut header, name, content).unwrap();
    };
    for member in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut member = member.unwrap();
        let name = member.path().unwrap().display().to_string();
        let mut content = Vec::new();
        member.read_to_end(&mut content).unwrap();
        put(&name, &content);
        if name == "SHA256SUMS" {
            put("SHA256SUMS.sealed", &blob(&content));
        }
    }
    let mut gzip = GzEncoder::new(File::create(to).unwrap(), Compression::none());
    gzip.write_all(&whole.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap();
}
