//! Request bodies that are wiped, and answers that are read whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use crate::bao::InitKeys;

/// Serialises `value` into memory that is wiped once the request is sent.
pub(super) fn wiped(value: &impl serde::Serialize) -> serde_json::Result<Bytes> {
    let mut buffer = Zeroizing::new(Vec::with_capacity(4096));
    serde_json::to_writer(&mut *buffer, value)?;
    Ok(Bytes::from_owner(buffer))
}

/// Wipes an answer's memory where this is its only owner.
pub(super) fn wipe(answer: Bytes) {
    if let Ok(mut owned) = answer.try_into_mut() {
        owned.as_mut().zeroize();
    }
}

/// The frame around most answers.
#[derive(Deserialize)]
pub(super) struct Enveloped<T> {
    /// The payload.
    pub data: T,
}

/// `LIST` answers.
#[derive(Deserialize)]
pub(super) struct Keys {
    /// The names; folders end in a slash.
    pub keys: Vec<String>,
}

/// `GET sys/raw/<key>`.
#[derive(Deserialize)]
pub(super) struct Raw {
    /// The entry, base64.
    pub value: String,
}

/// `GET sys/storage/raft/configuration`, which wraps the configuration once more.
#[derive(Deserialize)]
pub(super) struct Configuration<T> {
    /// The configuration.
    pub config: T,
}

/// `GET sys/storage/raft/autopilot/state`.
#[derive(Deserialize)]
pub(super) struct Autopilot<T> {
    /// The servers by id.
    #[serde(default = "BTreeMap::new")]
    pub servers: BTreeMap<String, T>,
}

/// `PUT sys/init`.
#[derive(Deserialize)]
pub(super) struct Init {
    keys_base64: Vec<SecretString>,
    root_token: SecretString,
}

impl From<Init> for InitKeys {
    fn from(init: Init) -> Self {
        Self {
            shares: init.keys_base64,
            root_token: init.root_token,
        }
    }
}

/// `PUT sys/generate-root/attempt`.
#[derive(Deserialize)]
pub(super) struct RootAttempt {
    /// Names the attempt in each of its shares.
    pub nonce: String,
    /// What the token is encoded with: as many characters as it has.
    otp: SecretString,
}

/// `PUT sys/generate-root/update`.
#[derive(Deserialize)]
pub(super) struct RootProgress {
    /// Whether this was the last share that was needed.
    pub complete: bool,
    encoded_token: SecretString,
}

impl RootAttempt {
    /// The token: base64 without padding of its bytes, each combined with one of the `otp` by exclusive or.
    pub fn token(&self, progress: &RootProgress) -> Option<SecretString> {
        let encoded = progress.encoded_token.expose_secret().as_bytes();
        let bytes = base64_simd::STANDARD_NO_PAD.decode_to_vec(encoded).ok()?;
        let mut bytes = Zeroizing::new(bytes);
        let otp = self.otp.expose_secret().as_bytes();
        if bytes.len() != otp.len() {
            return None;
        }
        for (byte, pad) in bytes.iter_mut().zip(otp) {
            *byte ^= pad;
        }
        std::str::from_utf8(&bytes).ok().map(SecretString::from)
    }
}

/// The `errors` of an error answer. What is not the server's own kind of error is described, not quoted.
pub(super) fn errors(body: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Value>,
    }
    match serde_json::from_slice::<Errors>(body) {
        Ok(list) if list.errors.is_empty() => vec!["no reason given".to_owned()],
        Ok(list) => list
            .errors
            .into_iter()
            .map(|error| match error {
                Value::String(text) => text.trim().to_owned(),
                _ => "an error that is not a text".to_owned(),
            })
            .collect(),
        Err(_) if body.is_empty() => vec!["empty body".to_owned()],
        Err(_) => vec![format!(
            "a body of {} bytes that is not an error list",
            body.len()
        )],
    }
}

/// Why an answer does not parse, without any of its values: those may be secrets.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Io => "unreadable JSON",
            serde_json::error::Category::Syntax => "not JSON",
            serde_json::error::Category::Data => "JSON with a missing or differing field",
            serde_json::error::Category::Eof => "JSON that ends too early",
        };
        format!(
            "{kind} at line {} column {}, {} bytes",
            error.line(),
            error.column(),
            body.len()
        )
    })
}
