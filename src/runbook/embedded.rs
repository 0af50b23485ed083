//! The runbooks that are built in, and the way from a name or a path to one.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::{Error, Result};
use super::model::Runbook;
use super::nearest::nearest;
use crate::journal::RunbookText;

/// The runbooks that are built in, as name and text.
pub const EMBEDDED: [(&str, &str); 3] = [
    (
        "migrate-raft",
        include_str!("../../runbooks/migrate-raft.yaml"),
    ),
    (
        "migrate-raft-fast",
        include_str!("../../runbooks/migrate-raft-fast.yaml"),
    ),
    (
        "operator-migrate",
        include_str!("../../runbooks/operator-migrate.yaml"),
    ),
];

/// A valid runbook with the text it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The runbook.
    pub runbook: Runbook,
    /// The YAML, as it is in the journal.
    pub text: String,
    /// SHA-256 of the text, hex.
    pub sha256: String,
    /// Where it was read from; `None` for one that is built in.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// A runbook by its name or its path: a word without `/` and `.yaml` is a built-in name.
    pub fn resolve(name_or_file: &str) -> Result<Self> {
        let is_path = name_or_file.contains('/')
            || [".yaml", ".yml"]
                .iter()
                .any(|end| name_or_file.ends_with(end));
        if is_path {
            Self::file(Path::new(name_or_file))
        } else {
            Self::named(name_or_file)
        }
    }

    /// A built-in runbook.
    pub fn named(name: &str) -> Result<Self> {
        let (name, text) = EMBEDDED
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| {
                let known = EMBEDDED.map(|(known, _)| known);
                let near = nearest(name, &known);
                Error::Unknown {
                    name: name.to_owned(),
                    hint: near.map(|near| format!(", did you mean `{near}`?")),
                    known: known.to_vec(),
                }
            })?;
        Self::new((*text).to_owned(), name, None)
    }

    /// A runbook from a file.
    pub fn file(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::new(text, &path.display().to_string(), Some(path.to_owned()))
    }

    /// The runbook of a journal, as it was when the run began.
    pub fn recorded(recorded: &RunbookText) -> Result<Self> {
        let origin = format!("{} (as recorded in the journal)", recorded.name);
        Self::new(recorded.text.clone(), &origin, recorded.file.clone())
    }

    fn new(text: String, origin: &str, file: Option<PathBuf>) -> Result<Self> {
        Ok(Self {
            runbook: Runbook::parse(&text, origin)?,
            sha256: hex::encode(Sha256::digest(&text)),
            text,
            file,
        })
    }
}

impl From<&Loaded> for RunbookText {
    fn from(loaded: &Loaded) -> Self {
        Self {
            name: loaded.runbook.name.clone(),
            file: loaded.file.clone(),
            sha256: loaded.sha256.clone(),
            text: loaded.text.clone(),
        }
    }
}
