//! The contents of one file: `{"Value":"<base64>"}`.
//!
//! Source: `physical/file/file.go` of OpenBao (`fileEntry`), written and read with Go's `encoding/json`.

use std::borrow::Cow;
use std::fmt;

use base64_simd::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::storage::error::TreeProblem;

const HEAD: &[u8] = b"{\"Value\":\"";
const TAIL: &[u8] = b"\"}\n";

/// The file contents for a value, as the file backend writes them.
pub fn encode(value: &[u8]) -> Vec<u8> {
    let mut file = HEAD.to_vec();
    STANDARD.encode_append(value, &mut file);
    file.extend_from_slice(TAIL);
    file
}

/// Appends the value in `file` to `into`, accepting exactly what the server's decoder accepts: unknown fields,
/// any letter case, the last of several values, null, and whatever follows the object.
pub(super) fn decode(file: &[u8], into: &mut Vec<u8>) -> Result<(), TreeProblem> {
    let start = into.len();
    if let Some(text) = file
        .strip_prefix(HEAD)
        .and_then(|rest| rest.strip_suffix(TAIL))
    {
        if STANDARD.decode_append(text, into).is_ok() {
            return Ok(());
        }
        into.truncate(start);
    }
    let mut parser = serde_json::Deserializer::from_slice(file);
    let entry = GoEntry::deserialize(&mut parser).map_err(|error| TreeProblem::NotAnEntry {
        offset: offset_of(file, error.line(), error.column()),
        reason: error.to_string(),
    })?;
    let text: Vec<u8> = entry
        .value
        .bytes()
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .collect();
    let odd = text.iter().position(
        |byte| !matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'='),
    );
    let decoded = match odd {
        None if text.len().is_multiple_of(4) => base64_simd::forgiving_decode_to_vec(&text).ok(),
        _ => None,
    };
    let Some(decoded) = decoded else {
        return Err(TreeProblem::NotAnEntry {
            offset: if file.starts_with(HEAD) {
                HEAD.len() + odd.unwrap_or(text.len())
            } else {
                0
            },
            reason: "the value is not base64".to_owned(),
        });
    };
    into.extend_from_slice(&decoded);
    Ok(())
}

fn offset_of(file: &[u8], line: usize, column: usize) -> usize {
    let before: usize = file
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (before + column.saturating_sub(1)).min(file.len())
}

struct GoEntry<'a> {
    value: Cow<'a, str>,
}

impl<'de> Deserialize<'de> for GoEntry<'de> {
    fn deserialize<D: Deserializer<'de>>(parser: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = GoEntry<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a base64 `Value`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut value = None;
                while let Some(field) = map.next_key::<Cow<'de, str>>()? {
                    if field.eq_ignore_ascii_case("Value") {
                        value = Some(map.next_value::<Option<String>>()?.unwrap_or_default());
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                let value = value.ok_or_else(|| serde::de::Error::missing_field("Value"))?;
                Ok(GoEntry {
                    value: Cow::Owned(value),
                })
            }
        }
        parser.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(file: &str) -> Result<Vec<u8>, TreeProblem> {
        let mut value = Vec::new();
        decode(file.as_bytes(), &mut value).map(|()| value)
    }

    #[test]
    fn reads_what_the_server_reads() {
        assert_eq!(value("{\"Value\":\"aGk=\"}\n").unwrap(), b"hi");
        assert_eq!(value("{\"Key\":\"k\",\"Value\":\"aGk=\"}").unwrap(), b"hi");
        assert_eq!(value("{\"value\":\"aGk=\"}").unwrap(), b"hi");
        assert_eq!(value("{\"Value\":\"\",\"Value\":\"aGk=\"}").unwrap(), b"hi");
        assert_eq!(value("{\"Value\":\"aG\\nk=\"}").unwrap(), b"hi");
        assert_eq!(
            value("{\"Value\":\"aGl=\"}").unwrap(),
            b"hi",
            "Go ignores trailing bits"
        );
        assert_eq!(value("{\"Value\":\"aGk=\"}\ntrailing").unwrap(), b"hi");
        assert_eq!(value("{\"Value\":null}").unwrap(), b"");
        assert_eq!(value("{\"Value\":\"\"}\n").unwrap(), b"");
    }

    #[test]
    fn refuses_the_rest_with_the_offset() {
        let torn = value("{\"Value\":\"aGk").unwrap_err();
        assert!(torn.to_string().contains("byte 12 of the file"), "{torn}");
        let odd = value("{\"Value\":\"aG!=\"}\n").unwrap_err();
        assert!(
            odd.to_string()
                .contains("byte 12 of the file: the value is not base64"),
            "{odd}"
        );
        for file in [
            "{}",
            "[]",
            "x",
            "{\"Value\":\"aGk\"}",
            "{\"Value\":\" aGk=\"}",
            "{\"Value\":7}",
        ] {
            assert!(value(file).is_err(), "{file}");
        }
    }

    #[test]
    fn encodes_as_the_server_does() {
        assert_eq!(encode(b"hi"), b"{\"Value\":\"aGk=\"}\n");
    }
}
