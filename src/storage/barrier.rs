//! The keys that the server encrypts its entries with, as the unseal shares open them.
//!
//! A server that is written to saves its keyring every few minutes, with how often each key was used: the same keys in
//! other bytes. This tells them from other keys, and reads entries of a snapshot that no server has opened. Sources: OpenBao's `shamir` package, `writeStoredKeys` of its seal,
//! `BlobInfo` of go-kms-wrapping, `keyring.go` and `barrier_aes_gcm.go`.

use std::collections::BTreeMap;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

/// The root key, encrypted with what the shares make up.
pub const UNSEAL_KEYS: &str = "core/hsm/barrier-unseal-keys";
/// The data keys, encrypted with the root key.
pub const KEYRING: &str = "core/keyring";
/// The root key once more, encrypted with the newest data key.
pub const ROOT_KEY: &str = "core/root-key";

/// Term of four bytes, then a version.
const HEADER: usize = 5;
/// The version whose ciphertext is bound to its entry's name.
const BOUND: u8 = 2;

type Secret = Zeroizing<Vec<u8>>;

/// Why the data keys could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BarrierError {
    /// Too few, or of another seal.
    #[error("the shares do not open {0}")]
    Shares(&'static str),
    /// Not as this version of the tool knows it.
    #[error("{0} is in a form that is not known")]
    Form(&'static str),
}

#[derive(Deserialize)]
struct Keyring<'text> {
    #[serde(rename = "Keys", borrow)]
    keys: Vec<DataKey<'text>>,
}

#[derive(Deserialize)]
struct DataKey<'text> {
    #[serde(rename = "Term")]
    term: u32,
    #[serde(rename = "Value")]
    value: &'text str,
}

/// The data keys, by their terms.
pub struct Barrier(BTreeMap<u32, Secret>);

impl Barrier {
    /// Opens them. `unseal_keys` and `keyring` are the values of [`UNSEAL_KEYS`] and [`KEYRING`]; of `shares` as many as the
    /// threshold are used.
    pub fn open(
        shares: &[Secret],
        threshold: usize,
        unseal_keys: &[u8],
        keyring: &[u8],
    ) -> Result<Self, BarrierError> {
        let stored = opened(shares, threshold, unseal_keys, UNSEAL_KEYS)?;
        let root: Vec<&str> =
            serde_json::from_slice(&stored).map_err(|_| BarrierError::Form(UNSEAL_KEYS))?;
        let root = root.first().ok_or(BarrierError::Form(UNSEAL_KEYS))?;
        let root = base64_simd::STANDARD
            .decode_to_vec(root.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| BarrierError::Form(UNSEAL_KEYS))?;
        let keyring = bound(&root, keyring, KEYRING)?;
        let keyring: Keyring =
            serde_json::from_slice(&keyring).map_err(|_| BarrierError::Form(KEYRING))?;
        let keys = keyring.keys.into_iter();
        Ok(Self(
            keys.map(|key| (key.term, Zeroizing::new(key.value.as_bytes().to_vec())))
                .collect(),
        ))
    }

    /// A fingerprint of each data key by its term, keyed with `salt`.
    pub fn fingerprints(&self, salt: &[u8]) -> BTreeMap<u32, String> {
        let fingerprint = |key: &Secret| {
            let mut hash = Sha256::new();
            hash.update(salt);
            hash.update(key);
            hex::encode(hash.finalize())
        };
        let keys = self.0.iter();
        keys.map(|(term, key)| (*term, fingerprint(key))).collect()
    }

    /// Opens the value of the entry `name`.
    pub fn entry(&self, name: &'static str, value: &[u8]) -> Result<Secret, BarrierError> {
        let key = value
            .first_chunk()
            .and_then(|term| self.0.get(&u32::from_be_bytes(*term)))
            .and_then(|key| base64_simd::STANDARD.decode_to_vec(key).ok())
            .map(Zeroizing::new)
            .ok_or(BarrierError::Form(name))?;
        bound(&key, value, name)
    }
}

/// Opens what the seal itself has encrypted, which is called `name`: the root key, the sealed sums of a snapshot.
pub fn opened(
    shares: &[Secret],
    threshold: usize,
    sealed: &[u8],
    name: &'static str,
) -> Result<Secret, BarrierError> {
    let shares = shares.get(..threshold).ok_or(BarrierError::Shares(name))?;
    let sealed = blob(sealed).ok_or(BarrierError::Form(name))?;
    decrypted(&combined(shares)?, sealed, &[], name)
}

/// Opens the value of an entry whose ciphertext is bound to its name.
fn bound(key: &[u8], value: &[u8], name: &'static str) -> Result<Secret, BarrierError> {
    if value.get(HEADER - 1) != Some(&BOUND) {
        return Err(BarrierError::Form(name));
    }
    decrypted(key, &value[HEADER..], name.as_bytes(), name)
}

/// The ciphertext of a `BlobInfo`: its first field, shorter than 16 KiB.
fn blob(message: &[u8]) -> Option<&[u8]> {
    let (&[0x0a, low], rest) = message.split_first_chunk()? else {
        return None;
    };
    if low < 0x80 {
        return rest.get(..usize::from(low));
    }
    let (&[high @ 1..=0x7f], rest) = rest.split_first_chunk()? else {
        return None;
    };
    rest.get(..usize::from(low & 0x7f) | usize::from(high) << 7)
}

/// Opens a nonce with a ciphertext and its tag behind it.
fn decrypted(
    key: &[u8],
    sealed: &[u8],
    bound_to: &[u8],
    entry: &'static str,
) -> Result<Secret, BarrierError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| BarrierError::Shares(entry))?;
    let (nonce, sealed) = sealed
        .split_first_chunk::<NONCE_LEN>()
        .ok_or(BarrierError::Form(entry))?;
    let mut opened = Zeroizing::new(sealed.to_vec());
    let length = LessSafeKey::new(key)
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(bound_to),
            &mut opened,
        )
        .map_err(|_| BarrierError::Shares(entry))?
        .len();
    opened.truncate(length);
    Ok(opened)
}

/// The secret that the shares make up: the polynomials' values at 0. A share ends with the place that it is the value at;
/// the only share of a seal with one is the secret itself.
fn combined(shares: &[Secret]) -> Result<Secret, BarrierError> {
    if let [only] = shares {
        return Ok(only.clone());
    }
    let mut places = Vec::new();
    for share in shares {
        let place = *share.last().ok_or(BarrierError::Shares(UNSEAL_KEYS))?;
        if place == 0 || places.contains(&place) || share.len() != shares[0].len() {
            return Err(BarrierError::Shares(UNSEAL_KEYS));
        }
        places.push(place);
    }
    let weight = |own: u8| {
        let others = places.iter().filter(|place| **place != own);
        others.fold(1, |weight, place| times(weight, over(*place, place ^ own)))
    };
    let weights: Vec<u8> = places.iter().map(|place| weight(*place)).collect();
    let length = shares
        .first()
        .map_or(0, |share| share.len().saturating_sub(1));
    let secret = (0..length).map(|at| {
        let values = shares.iter().map(|share| share[at]);
        values
            .zip(&weights)
            .fold(0, |sum, (value, weight)| sum ^ times(value, *weight))
    });
    Ok(Zeroizing::new(secret.collect()))
}

/// A product in the field of 256 elements that AES uses, in constant time.
fn times(left: u8, right: u8) -> u8 {
    let (mut product, mut left) = (0, left);
    for bit in 0..8 {
        product ^= left & 0_u8.wrapping_sub(right >> bit & 1);
        left = left << 1 ^ (0x1b & 0_u8.wrapping_sub(left >> 7));
    }
    product
}

/// A quotient there: the inverse is the 254th power.
fn over(left: u8, right: u8) -> u8 {
    let mut inverse = 1;
    for _ in 0..254 {
        inverse = times(inverse, right);
    }
    times(left, inverse)
}

#[cfg(test)]
mod tests {
    use ring::aead::MAX_TAG_LEN;

    use super::*;

    fn sealed(key: &[u8], bound_to: &[u8], text: &str) -> Vec<u8> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
        let mut out = text.as_bytes().to_vec();
        let nonce = [7; NONCE_LEN];
        let unique = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(unique, Aad::from(bound_to), &mut out)
            .unwrap();
        [nonce.as_slice(), &out].concat()
    }

    /// The value of a polynomial per byte, with the place behind it.
    fn share(secret: &[u8], place: u8) -> Secret {
        let value = |byte: u8| byte ^ times(byte ^ 0x5a, place) ^ times(0x33, times(place, place));
        let mut share: Vec<u8> = secret.iter().map(|byte| value(*byte)).collect();
        share.push(place);
        Zeroizing::new(share)
    }

    /// What the tests ask of a barrier.
    fn data_keys(
        shares: &[Secret],
        threshold: usize,
        unseal_keys: &[u8],
        keyring: &[u8],
        salt: &[u8],
    ) -> Result<BTreeMap<u32, String>, BarrierError> {
        let barrier = Barrier::open(shares, threshold, unseal_keys, keyring)?;
        Ok(barrier.fingerprints(salt))
    }

    fn entries(kek: &[u8], root: &[u8], used: u32) -> (Vec<u8>, Vec<u8>) {
        let root64 = base64_simd::STANDARD.encode_to_string(root);
        let ciphertext = sealed(kek, &[], &format!("[\"{root64}\"]"));
        assert_eq!(ciphertext.len(), NONCE_LEN + 48 + MAX_TAG_LEN);
        let length = u8::try_from(ciphertext.len()).unwrap();
        let blob = [[0x0a, length].as_slice(), &ciphertext, &[0x2a, 0]].concat();
        let keyring = format!(
            "{{\"MasterKey\":\"\",\"Keys\":[{{\"Term\":1,\"Value\":\"one\",\"Encryptions\":{used}}},{{\"Term\":2,\"Value\":\"two\"}}]}}"
        );
        let keyring = sealed(root, KEYRING.as_bytes(), &keyring);
        (blob, [[0, 0, 0, 1, BOUND].as_slice(), &keyring].concat())
    }

    #[test]
    fn the_same_keys_are_told_whatever_their_use() {
        let (kek, root) = ([1; 32], [2; 32]);
        let shares: Vec<Secret> = [9, 200, 3].map(|place| share(&kek, place)).to_vec();
        let (blob, keyring) = entries(&kek, &root, 1);
        let first = data_keys(&shares, 3, &blob, &keyring, b"salt").unwrap();
        assert_eq!(first.keys().copied().collect::<Vec<_>>(), [1, 2]);
        let (blob, later) = entries(&kek, &root, 999);
        assert_ne!(keyring, later);
        let again = data_keys(&shares[..3], 3, &blob, &later, b"salt").unwrap();
        assert_eq!(first, again);
        let other = data_keys(&shares, 3, &blob, &later, b"other").unwrap();
        assert_ne!(first, other, "it tells nothing without its salt");
    }

    #[test]
    fn entries_and_what_the_seal_encrypts_are_read() {
        let (kek, root, data) = ([1; 32], [2; 32], [3; 32]);
        let root64 = base64_simd::STANDARD.encode_to_string(root);
        let data64 = base64_simd::STANDARD.encode_to_string(data);
        let only = [Zeroizing::new(kek.to_vec())];
        // As long as the sums of a snapshot: over 127 bytes.
        let message = |text: &str| {
            let ciphertext = sealed(&kek, &[], text);
            let [low, high] = [ciphertext.len() & 0x7f, ciphertext.len() >> 7];
            let (low, high) = (u8::try_from(low).unwrap(), u8::try_from(high).unwrap());
            [[0x0a, low | 0x80, high].as_slice(), &ciphertext].concat()
        };
        let sums = "0123456789abcdef".repeat(10);
        let own = opened(&only, 1, &message(&sums), "sums").unwrap();
        assert_eq!(own.as_slice(), sums.as_bytes());
        let other = [Zeroizing::new(root.to_vec())];
        let no = opened(&other, 1, &message(&sums), "sums").unwrap_err();
        assert_eq!(no, BarrierError::Shares("sums"));
        assert_eq!(
            opened(&only, 1, &[], "sums"),
            Err(BarrierError::Form("sums"))
        );

        let bound = |key: &[u8], term: u8, name: &str, text: &str| {
            let ciphertext = sealed(key, name.as_bytes(), text);
            [[0, 0, 0, term, BOUND].as_slice(), &ciphertext].concat()
        };
        let keyring = format!("{{\"Keys\":[{{\"Term\":7,\"Value\":\"{data64}\"}}]}}");
        let keyring = bound(&root, 1, KEYRING, &keyring);
        let pad = " ".repeat(100);
        let stored = message(&format!("[{pad}\"{root64}\"]"));
        let barrier = Barrier::open(&only, 1, &stored, &keyring).unwrap();
        let value = bound(&data, 7, "core/x", "text");
        assert_eq!(barrier.entry("core/x", &value).unwrap().as_slice(), b"text");
        let moved = barrier.entry("core/y", &value).unwrap_err();
        assert_eq!(moved, BarrierError::Shares("core/y"), "bound to its name");
        let unknown = barrier.entry("core/x", &bound(&data, 8, "core/x", "text"));
        assert_eq!(unknown, Err(BarrierError::Form("core/x")), "no such term");
        assert!((0..value.len()).all(|cut| barrier.entry("core/x", &value[..cut]).is_err()));
    }

    #[test]
    fn other_shares_and_other_forms_are_refused() {
        let (kek, root) = ([1; 32], [2; 32]);
        let (blob, keyring) = entries(&kek, &root, 1);
        let only = [Zeroizing::new(kek.to_vec())];
        data_keys(&only, 1, &blob, &keyring, b"").unwrap();
        let shares: Vec<Secret> = [1, 2].map(|place| share(&kek, place)).to_vec();
        let no = |shares: &[Secret], threshold, blob: &[u8], keyring: &[u8]| {
            data_keys(shares, threshold, blob, keyring, b"").unwrap_err()
        };
        let shut = BarrierError::Shares(UNSEAL_KEYS);
        assert_eq!(no(&shares, 2, &blob, &keyring), shut, "two of three");
        assert_eq!(no(&shares, 3, &blob, &keyring), shut, "too few");
        let twice = [shares[0].clone(), shares[0].clone()];
        assert_eq!(no(&twice, 2, &blob, &keyring), shut);
        let (_, foreign) = entries(&kek, &[3; 32], 1);
        assert_eq!(no(&only, 1, &blob, &foreign), BarrierError::Shares(KEYRING));
        for cut in 0..blob.len().min(keyring.len()) {
            assert!(data_keys(&only, 1, &blob[..cut], &keyring, b"").is_err() || cut >= 78);
            assert!(data_keys(&only, 1, &blob, &keyring[..cut], b"").is_err());
        }
    }
}
