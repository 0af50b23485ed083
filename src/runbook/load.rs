//! From text to a runbook: the format's version first, then its shape, then its meaning.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_saphyr::{DefaultMessageFormatter, Error as YamlError, MessageFormatter};

use super::error::{Error, Finding, Result, Severity};
use super::model::{Runbook, VERSION};
use super::nearest::nearest;
use super::parts::ill_typed;
use super::places::{Place, Places};
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
        let told = |all: Vec<(Place, Severity, String)>| {
            let mut findings: Vec<Finding> = all.into_iter().map(found).collect();
            findings.sort();
            findings.dedup();
            findings
        };
        let (runbook, places) = shape(text).map_err(|wrong| {
            let wrong = wrong.into_iter();
            Error::Invalid(told(
                wrong
                    .map(|(at, message)| (at, Severity::Error, message))
                    .collect(),
            ))
        })?;
        let all = validate(&runbook, &places, folder);
        Ok((runbook, told(all.0)))
    }
}

/// The runbook, or all that is ill-typed in it.
fn shape(text: &str) -> std::result::Result<(Runbook, Places), Vec<(Place, String)>> {
    let versioned: Versioned = yaml(text).map_err(|wrong| vec![wrong])?;
    let Some(version) = versioned.version else {
        let message = format!("`version: {VERSION}` is missing: it says how to read the rest");
        return Err(vec![(Place::default(), message)]);
    };
    if version.value != VERSION {
        let message = format!(
            "version {} is not known: baoctl {} reads version {VERSION}",
            version.value,
            env!("CARGO_PKG_VERSION")
        );
        return Err(vec![(place(&version.referenced), message)]);
    }
    yaml::<RawRunbook>(text)
        .map(RawRunbook::split)
        .map_err(|first| ill_typed(text, first))
}

fn yaml<T: DeserializeOwned>(text: &str) -> std::result::Result<T, (Place, String)> {
    serde_saphyr::from_str(text).map_err(|error| located(&error))
}

/// An error of the parser, with its place.
pub(super) fn located(error: &YamlError) -> (Place, String) {
    let at = error.location().map(|it| place(&it)).unwrap_or_default();
    (at, words(error.without_snippet()))
}

fn words(error: &YamlError) -> String {
    match error {
        YamlError::SerdeUnknownField {
            field, expected, ..
        } => unknown("field", field, expected),
        YamlError::SerdeUnknownVariant {
            variant, expected, ..
        } => unknown("value", variant, expected),
        YamlError::SerdeMissingField { field, .. } => missing(field),
        YamlError::SerdeInvalidType {
            unexpected,
            expected,
            ..
        } => format!("here is {unexpected}, expected {expected}"),
        YamlError::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("this key");
            format!("`{key}` is here twice")
        }
        YamlError::InvalidScalar { ty: "u32", .. } => "expected a whole number from 0".to_owned(),
        YamlError::InvalidScalar { ty: "boolean", .. } => "expected `true` or `false`".to_owned(),
        YamlError::Unexpected { expected, .. } => structure(expected),
        other => DefaultMessageFormatter.format_message(other).into_owned(),
    }
}

pub(super) fn missing(field: &str) -> String {
    format!("`{field}` is missing")
}

pub(super) fn unknown(what: &str, found: &str, expected: &[&'static str]) -> String {
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
