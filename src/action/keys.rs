//! The operator's keys: where they are read from, and the throwaway cluster's beside them.

use std::collections::BTreeSet;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Context, Error, KeysRead, Result};
pub use crate::platform::UNSEAL_KEY;
use crate::platform::{SecretData, SecretName};

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
    // Any token will do that may make the calls.
    #[serde(alias = "token")]
    root_token: SecretString,
}

impl Keys {
    /// The source's keys: of the operator's file, the parked copy and the release's Secret the first that has those which
    /// this run read before. When none has, or none were read yet, the first of them: another set of the shares opens the
    /// data as well, and the server knows.
    pub async fn old(ctx: &Context) -> Result<Self> {
        let read = ctx.find::<KeysRead>().map(|read| read.fingerprint);
        let mut found = Self::given(ctx);
        for name in [SecretName::Parked, SecretName::Unseal] {
            let data = ctx.platform.secret(name).await?;
            found.extend(data.as_ref().and_then(Self::from_secret).map(Ok));
        }
        if found.is_empty() {
            let unseal = ctx.platform.secret(SecretName::Unseal).await?;
            if unseal.is_some_and(|data| !shares_of(&data).is_empty()) {
                return Err(Error::refused(format!(
                    "the release's Secret holds unseal shares, but no token (field `{ROOT_TOKEN}`): add one, or give shares and \
                     token another way, for example --ask-keys or --keys-file FILE"
                )));
            }
            return Err(Error::refused(
                "no unseal key was found: neither the release's Secret nor a parked copy holds one; name a file with --keys-file, or \
                 give them again where they came from --keys-command, --keys-fd or --ask-keys, which keep nothing",
            ));
        }
        let read_before = found.iter().position(|keys| {
            let keys = keys.as_ref().map(|keys| keys.fingerprint(ctx.run));
            keys.is_ok_and(|fingerprint| Some(fingerprint) == read)
        });
        let keys = found.swap_remove(read_before.unwrap_or_default())?;
        match keys
            .shares
            .iter()
            .position(|share| decoded(share).is_none())
        {
            None => Ok(keys),
            Some(at) => Err(Error::refused(format!(
                "unseal share {} of {} is neither hex nor base64, so that no server can take it: give it as `bao operator init` \
                 printed it",
                at + 1,
                keys.shares.len()
            ))),
        }
    }

    /// What the operator gives: with the command, or in a file that may have been named when the run was begun.
    fn given(ctx: &Context) -> Vec<Result<Self>> {
        let given = ctx.keys_given.clone().map(Ok);
        let file = ctx.keys_file.as_deref().map(Self::from_file);
        given.into_iter().chain(file).collect()
    }

    /// Those that the operator gives for a cluster that `init` made to stay, whose shares and token change in time; the
    /// source's are none of it.
    pub(super) fn given_since(ctx: &Context) -> Vec<Result<Self>> {
        let old = ctx.find::<KeysRead>().map(|read| read.fingerprint);
        let mut given = Self::given(ctx);
        given.retain(|keys| {
            keys.as_ref()
                .map_or(true, |keys| Some(keys.fingerprint(ctx.run)) != old)
        });
        given
    }

    /// Reads a file with what `bao operator init -format=json` prints. Errors name it and never quote it.
    pub fn from_file(path: &Path) -> Result<Self> {
        let fail = |why: String| Error::refused(format!("the keys file {}: {why}", path.display()));
        // A pipe would be read once and waited for ever after: the keys are needed again and again.
        let regular = std::fs::metadata(path).map(|meta| meta.is_file());
        if !regular.map_err(|error| fail(error.to_string()))? {
            return Err(fail("it is not a regular file".to_owned()));
        }
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|error| fail(error.to_string()))?;
        Self::from_json(&text, &format!("the keys file {}", path.display()))
    }

    /// Reads what `bao operator init -format=json` prints; `whence` names it in an error, which never quotes it.
    pub fn from_json(text: &str, whence: &str) -> Result<Self> {
        let output: InitOutput = serde_json::from_str(text).map_err(|error| {
            Error::refused(format!(
                "{whence}: line {}: this is not the JSON that `bao operator init -format=json` prints (`unseal_keys_b64` \
                 and `root_token` are needed; `token` is a name for the latter as well)",
                error.line(),
            ))
        })?;
        Ok(Self {
            shares: output.unseal_keys_b64,
            token: output.root_token,
        })
    }

    /// The keys that init gave, where the run has them: those of a throwaway cluster, or of a new one that is there to stay.
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
        let shares = shares_of(data);
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

    /// The bytes of the shares.
    pub fn decoded(&self) -> Vec<Zeroizing<Vec<u8>>> {
        self.shares.iter().filter_map(decoded).collect()
    }

    /// Why keys do not [fit the hook's](Self::fit_the_hooks), and what to do about it.
    pub const UNFIT: [&str; 2] = [
        "the release's unseal Secret holds other shares than the keys that were given: after the run its hook could not open \
         the servers with a key that nobody proved",
        "Find out which is right; of several sets of shares give one that has the Secret's in it",
    ];

    /// The hook's key is the one that opens restarted servers after the run: where the operator gave another copy, both must be
    /// the same key.
    pub async fn fit_the_hooks(&self, ctx: &Context) -> Result<bool> {
        let Some(secret) = ctx.platform.secret(SecretName::Unseal).await? else {
            return Ok(true);
        };
        let given: Vec<_> = self.shares.iter().map(decoded).collect();
        let hooks = shares_of(&secret);
        let mut hooks = hooks.iter().map(decoded);
        Ok(hooks.all(|share| given.contains(&share)))
    }

    /// How many different shares there are: one that is given twice opens nothing more.
    pub fn different(&self) -> usize {
        let shares = self.decoded();
        let shares: BTreeSet<&[u8]> = shares.iter().map(|share| share.as_slice()).collect();
        shares.len()
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

/// The unseal shares of a Secret, one a line; none where the key is parked.
pub fn shares_of(data: &SecretData) -> Vec<SecretString> {
    let text = data.get(UNSEAL_KEY).map(ExposeSecret::expose_secret);
    text.unwrap_or_default()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(SecretString::from)
        .collect()
}

/// The bytes of a share, which servers take as hex and as base64.
pub(super) fn decoded(share: &SecretString) -> Option<Zeroizing<Vec<u8>>> {
    let text = share.expose_secret();
    let bytes = hex::decode(text)
        .ok()
        .or_else(|| base64_simd::STANDARD.decode_to_vec(text).ok())?;
    (!bytes.is_empty()).then(|| Zeroizing::new(bytes))
}
