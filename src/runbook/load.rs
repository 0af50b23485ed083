//! From text to a runbook: the format's version first, then its shape, then its meaning.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_saphyr::{DefaultMessageFormatter, Error as YamlError, MessageFormatter};

use super::error::{Error, Finding, Result, Severity};
use super::model::{Runbook, VERSION};
use super::nearest::nearest;
use super::places::Place;
use super::raw::{RawRunbook, Versioned, place};
use super::validate::validate;

impl Runbook {
    /// Reads and validates a runbook. `origin` is what errors call the text: its path or its built-in name.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        Ok(Self::read(text, origin, None)?.0)
    }

    /// The same with what is worth knowing of it; its programs are looked for from `folder`, where that is known.
    pub(super) fn read(
        text: &str,
        origin: &str,
        folder: Option<&Path>,
    ) -> Result<(Self, Vec<Finding>)> {
        let (runbook, findings) = Self::examine(text, origin, folder)?;
        if findings.iter().any(|it| it.severity == Severity::Error) {
            return Err(Error::Invalid(findings));
        }
        Ok((runbook, findings))
    }

    /// The same with all that is found, errors as well.
    pub(super) fn examine(
        text: &str,
        origin: &str,
        folder: Option<&Path>,
    ) -> Result<(Self, Vec<Finding>)> {
        let found = |(at, severity, message): (Place, Severity, String)| Finding {
            origin: origin.to_owned(),
            line: at.line.max(1),
            column: at.column.max(1),
            severity,
            message,
        };
        let (runbook, places) = shape(text)
            .map_err(|(at, message)| Error::Invalid(vec![found((at, Severity::Error, message))]))?;
        let all = validate(&runbook, &places, folder);
        let mut findings: Vec<Finding> = all.0.into_iter().map(found).collect();
        findings.sort();
        findings.dedup();
        Ok((runbook, findings))
    }
}

fn shape(text: &str) -> std::result::Result<(Runbook, super::places::Places), (Place, String)> {
    let versioned: Versioned = yaml(text)?;
    let Some(version) = versioned.version else {
        let message = format!("`version: {VERSION}` is missing: it says how to read the rest");
        return Err((Place::default(), message));
    };
    if version.value != VERSION {
        let message = format!(
            "version {} is not known: baoctl {} reads version {VERSION}",
            version.value,
            env!("CARGO_PKG_VERSION")
        );
        return Err((place(&version.referenced), message));
    }
    yaml::<RawRunbook>(text).map(RawRunbook::split)
}

fn yaml<T: DeserializeOwned>(text: &str) -> std::result::Result<T, (Place, String)> {
    serde_saphyr::from_str(text).map_err(|error| {
        let at = error.location().map(|it| place(&it)).unwrap_or_default();
        (at, words(error.without_snippet()))
    })
}

fn words(error: &YamlError) -> String {
    let (what, found, expected) = match error {
        YamlError::SerdeUnknownField {
            field, expected, ..
        } => ("field", field, expected),
        YamlError::SerdeUnknownVariant {
            variant, expected, ..
        } => ("value", variant, expected),
        YamlError::SerdeMissingField { field, .. } => return format!("`{field}` is missing"),
        YamlError::SerdeInvalidType {
            unexpected,
            expected,
            ..
        } => return format!("here is {unexpected}, expected {expected}"),
        YamlError::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("this key");
            return format!("`{key}` is here twice");
        }
        YamlError::InvalidScalar { ty: "u32", .. } => {
            return "expected a whole number from 0".to_owned();
        }
        YamlError::InvalidScalar { ty: "boolean", .. } => {
            return "expected `true` or `false`".to_owned();
        }
        YamlError::Unexpected { expected, .. } => return structure(expected),
        other => return DefaultMessageFormatter.format_message(other).into_owned(),
    };
    match nearest(found, expected) {
        Some(near) => format!("unknown {what} `{found}`, did you mean `{near}`?"),
        None if expected.is_empty() => format!("unknown {what} `{found}`, there are none here"),
        None => format!(
            "unknown {what} `{found}`, known are {}",
            expected.join(", ")
        ),
    }
}

/// The parser speaks of its own events.
fn structure(expected: &str) -> String {
    match expected {
        "mapping start" => "expected a mapping, such as `{}` when nothing is needed".to_owned(),
        "mapping end" => "this second key has no meaning here; begin a new `- ` line".to_owned(),
        "sequence start" => "expected a list of `- ` lines".to_owned(),
        other => format!("expected {other}"),
    }
}
