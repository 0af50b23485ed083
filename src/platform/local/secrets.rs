//! Secrets as files: one JSON object of strings each, readable by their owner alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::files;
use crate::platform::{Error, Result, SecretData, SecretName};

/// A Secret's file.
pub(super) fn file(folder: &Path, name: SecretName) -> PathBuf {
    folder.join(match name {
        SecretName::Unseal => "openbao-unseal.json",
        SecretName::Parked => "parked.json",
        SecretName::Throwaway => "throwaway.json",
    })
}

/// Reads a Secret.
pub(super) fn read(path: &Path) -> Result<Option<SecretData>> {
    let Some(bytes) = files::read(path)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let fields: BTreeMap<String, SecretString> =
        serde_json::from_slice(&bytes).map_err(|error| {
            // The parser's own words may quote a value.
            Error::Refused(format!(
                "{} is not a JSON object of strings (line {} column {})",
                path.display(),
                error.line(),
                error.column()
            ))
        })?;
    Ok(Some(fields))
}

/// Writes a Secret whole, reads it back and compares.
pub(super) fn write(path: &Path, data: &SecretData) -> Result<()> {
    let exposed: BTreeMap<&str, &str> = data
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose_secret()))
        .collect();
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let room: usize = exposed
        .iter()
        .map(|(name, value)| 6 * (name.len() + value.len()) + 16)
        .sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 16));
    serde_json::to_writer(&mut *bytes, &exposed)
        .map_err(|error| files::io("writing", path)(std::io::Error::other(error)))?;
    if let Some(folder) = path.parent() {
        files::make_folder(folder)?;
    }
    files::replace(path, &bytes)?;
    match read(path)? {
        Some(written) if same(&written, data) => Ok(()),
        _ => Err(Error::Refused(format!(
            "{} does not read back as it was written",
            path.display()
        ))),
    }
}

fn same(left: &SecretData, right: &SecretData) -> bool {
    left.len() == right.len()
        && left.iter().all(|(name, value)| {
            right
                .get(name)
                .is_some_and(|other| other.expose_secret() == value.expose_secret())
        })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_private_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder.path().join("secrets"), SecretName::Unseal);
        assert!(read(&path).unwrap().is_none());
        let data = SecretData::from([("unseal-key".to_owned(), "one\ntwo".into())]);
        write(&path, &data).unwrap();
        write(&path, &data).unwrap();
        assert!(same(&read(&path).unwrap().unwrap(), &data));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_secret_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("parked.json");
        std::fs::write(&path, r#"{"root-token": {"s.canary": 1}}"#).unwrap();
        let error = read(&path).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
