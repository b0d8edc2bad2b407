//! What the requests of all hosts are made of.

use http::Method;
use serde_json::Value;

/// A request without its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRequest {
    /// How.
    pub method: Method,
    /// Where to.
    pub url: String,
    /// Besides those that every request has.
    pub headers: &'static [(&'static str, &'static str)],
    /// Sent as JSON; `null` for none.
    pub body: Value,
}

/// At most `max_chars` characters, the last an ellipsis if some are missing.
pub(crate) fn cut(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    let kept = text.chars().take(max_chars.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// A path whose slashes stay.
pub(crate) fn encode_path(path: &str) -> String {
    let segments: Vec<String> = path.split('/').map(|segment| encode(segment, b"-._~")).collect();
    segments.join("/")
}

/// Text of which all but letters, digits and these bytes is percent-encoded.
pub(crate) fn encode(text: &str, kept: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 0xF)]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters() {
        let cases = [
            ("", 3, ""),
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("äöü", 3, "äöü"),
            ("äöüß", 3, "äö…"),
            ("😀😀", 1, "…"),
        ];
        for (text, max_chars, expected) in cases {
            assert_eq!(cut(text, max_chars), expected, "{text}");
        }
    }

    #[test]
    fn encodes_what_would_change_the_address() {
        let cases = [
            ("acme/fleet-infra_2.0~x", "acme/fleet-infra_2.0~x"),
            ("acme/a?b#c%d", "acme/a%3Fb%23c%25d"),
            ("ac me/a;b@c:d", "ac%20me/a%3Bb%40c%3Ad"),
            ("grüppe/a\\b", "gr%C3%BCppe/a%5Cb"),
        ];
        for (path, expected) in cases {
            assert_eq!(encode_path(path), expected);
        }
        assert_eq!(encode("group/a.b", b"-_~"), "group%2Fa%2Eb");
    }
}
