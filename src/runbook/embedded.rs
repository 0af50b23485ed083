//! The runbooks that are built in, and the way from a name or a path to one.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::{Error, Finding, Result};
use super::model::Runbook;
use super::nearest::nearest;
use crate::journal::RunbookText;

/// The runbooks that are built in, as name and text.
pub const EMBEDDED: [(&str, &str); 5] = [
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
    (
        "restore-snapshot",
        include_str!("../../runbooks/restore-snapshot.yaml"),
    ),
    ("reseed", include_str!("../../runbooks/reseed.yaml")),
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
    /// Where it was read from, absolute; `None` for one that is built in.
    pub file: Option<PathBuf>,
    /// What is worth knowing of it, but no obstacle.
    pub warnings: Vec<Finding>,
}

type Reader = fn(&str, &str, Option<&Path>) -> Result<(Runbook, Vec<Finding>)>;

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
        Self::new((*text).to_owned(), name, None, Runbook::read)
    }

    /// A runbook from a file.
    pub fn file(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        // A later process may be started in another folder.
        let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self::new(text, &path.display().to_string(), Some(file), Runbook::read)
    }

    /// The runbook of a journal, as it was when the run began. The rules were another version's, perhaps: what was
    /// taken then is gone on with, and taken back.
    pub fn recorded(recorded: &RunbookText) -> Result<Self> {
        let origin = format!("{} (as recorded in the journal)", recorded.name);
        let (text, file) = (recorded.text.clone(), recorded.file.clone());
        Self::new(text, &origin, file, Runbook::examine)
    }

    /// Whether the file that it was read from still has this text.
    pub fn is_unchanged(recorded: &RunbookText) -> bool {
        let file = recorded.file.as_ref().map(std::fs::read_to_string);
        file.is_some_and(|text| text.is_ok_and(|text| text == recorded.text))
    }

    fn new(text: String, origin: &str, file: Option<PathBuf>, read: Reader) -> Result<Self> {
        let folder = file.as_deref().and_then(Path::parent);
        let (runbook, warnings) = read(&text, origin, folder)?;
        Ok(Self {
            runbook,
            sha256: hex::encode(Sha256::digest(&text)),
            text,
            file,
            warnings,
        })
    }

    /// The folder from which its programs are found.
    pub fn folder(&self) -> PathBuf {
        let folder = self.file.as_deref().and_then(Path::parent);
        folder.map_or_else(PathBuf::new, Path::to_owned)
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
