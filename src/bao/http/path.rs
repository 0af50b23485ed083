//! Storage keys and API paths as URL paths.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986 and the slash that parts the segments.
const SEGMENTS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// Percent-encodes each segment of `path`; the slashes stay.
pub(super) fn encode(path: &str) -> String {
    utf8_percent_encode(path, SEGMENTS).to_string()
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn keeps_slashes_and_escapes_what_a_url_would_swallow() {
        assert_eq!(
            encode("logical/5f-3a/weird name?x#y%z+é"),
            "logical/5f-3a/weird%20name%3Fx%23y%25z%2B%C3%A9"
        );
        assert_eq!(encode("core/raft/tls"), "core/raft/tls");
        assert_eq!(encode("a_b.c~d-e"), "a_b.c~d-e");
    }
}
