//! The operator's keys: where they are read from, and the throwaway cluster's beside them.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Context, Error, Result};
use crate::platform::{SecretData, SecretName};

/// The Secret's field with the unseal shares, one per line.
pub const UNSEAL_KEY: &str = "unseal-key";
/// The Secret's field with the root token.
pub const ROOT_TOKEN: &str = "root-token";

/// Unseal shares and a token.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Shares, in the order they were given.
    pub shares: Vec<SecretString>,
    /// A token.
    pub token: SecretString,
}

/// What `bao operator init -format=json` prints, as far as it is needed.
#[derive(Deserialize)]
struct InitOutput {
    unseal_keys_b64: Vec<SecretString>,
    root_token: SecretString,
}

impl Keys {
    /// The source's keys: the operator's file, else the parked copy, else the release's Secret.
    pub async fn old(ctx: &Context) -> Result<Self> {
        if let Some(path) = &ctx.keys_file {
            let text = std::fs::read_to_string(path)
                .map(Zeroizing::new)
                .map_err(|source| {
                    Error::refused(format!(
                        "cannot read the keys file {}: {source}",
                        path.display()
                    ))
                })?;
            let output: InitOutput = serde_json::from_str(&text).map_err(|error| {
                Error::refused(format!(
                    "{}: line {}: this is not the JSON that `bao operator init -format=json` prints \
                     (`unseal_keys_b64` and `root_token` are needed)",
                    path.display(),
                    error.line(),
                ))
            })?;
            return Ok(Self {
                shares: output.unseal_keys_b64,
                token: output.root_token,
            });
        }
        for name in [SecretName::Parked, SecretName::Unseal] {
            if let Some(keys) = ctx
                .platform
                .secret(name)
                .await?
                .as_ref()
                .and_then(Self::from_secret)
            {
                return Ok(keys);
            }
        }
        Err(Error::refused(
            "no unseal key was found: neither the release's Secret nor a parked copy holds one; name a file with --keys-file",
        ))
    }

    /// The throwaway cluster's keys, where there are any.
    pub async fn throwaway(ctx: &Context) -> Result<Option<Self>> {
        Ok(ctx
            .platform
            .secret(SecretName::Throwaway)
            .await?
            .as_ref()
            .and_then(Self::from_secret))
    }

    /// Reads the two fields; `None` when either is absent or empty.
    pub fn from_secret(data: &SecretData) -> Option<Self> {
        let shares: Vec<SecretString> = data
            .get(UNSEAL_KEY)?
            .expose_secret()
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(SecretString::from)
            .collect();
        let token = data
            .get(ROOT_TOKEN)
            .filter(|token| !token.expose_secret().is_empty())?;
        (!shares.is_empty()).then(|| Self {
            shares,
            token: token.clone(),
        })
    }

    /// The two fields.
    pub fn to_secret(&self) -> SecretData {
        let lines: Vec<&str> = self
            .shares
            .iter()
            .map(SecretString::expose_secret)
            .collect();
        SecretData::from([
            (UNSEAL_KEY.to_owned(), SecretString::from(lines.join("\n"))),
            (ROOT_TOKEN.to_owned(), self.token.clone()),
        ])
    }

    /// A fingerprint for the journal: it tells two sets of keys apart and tells nothing else.
    pub fn fingerprint(&self, run: uuid::Uuid) -> String {
        let mut hash = Sha256::new();
        hash.update(run.as_bytes());
        for share in &self.shares {
            hash.update(share.expose_secret().as_bytes());
            hash.update([0]);
        }
        hex::encode(&hash.finalize()[..8])
    }
}
