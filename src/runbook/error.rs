//! What is wrong with a runbook, and where.

use std::path::PathBuf;

use serde::Serialize;

/// The result of a runbook call.
pub type Result<T> = std::result::Result<T, Error>;

/// A refused runbook.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Everything that is wrong with it.
    #[error("{}", lines(.0))]
    Invalid(Vec<Finding>),
    /// The file could not be read.
    #[error("reading the runbook {}: {source}", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Neither a built-in runbook nor a file.
    #[error("there is no runbook `{name}`{}; built in are {}, anything else is the path of a file", hint.as_deref().unwrap_or_default(), known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The built-in runbooks.
        known: Vec<&'static str>,
        /// A name that is close, as an addition to the text.
        hint: Option<String>,
    },
}

/// One thing that is wrong. Errors come before warnings, each in the order of their lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file's path, or the name of what is built in.
    pub origin: String,
    /// How much it matters.
    pub severity: Severity,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The runbook is refused.
    Error,
    /// It is taken, and its author should know.
    Warning,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            origin,
            severity,
            line,
            column,
            message,
        } = self;
        let severity = match severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        write!(f, "{origin}:{line}:{column}: {severity}{message}")
    }
}

fn lines(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
