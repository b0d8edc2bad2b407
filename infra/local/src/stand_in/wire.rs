//! What goes over the wire, without a wire.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// A request as it came.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// In capitals.
    pub method: &'a str,
    /// Path and query, encoded as they were sent.
    pub target: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
    /// When it arrived.
    pub now: Timestamp,
}

/// Why a body is no JSON object.
pub(super) enum BodyError {
    NotJson,
    NotAnObject,
}

impl<'a> Request<'a> {
    /// What stands between the slashes of the path, decoded: an encoded slash is part of its segment. Empty for a path
    /// that has an empty segment, which leads nowhere.
    pub(super) fn segments(&self) -> Vec<String> {
        let (path, _) = self.target.split_once('?').unwrap_or((self.target, ""));
        let segments: Vec<String> = path.split('/').skip(1).map(decoded).collect();
        if segments.iter().any(String::is_empty) {
            return Vec::new();
        }
        segments
    }

    /// What the segments of the path say, if this is a `POST` and they say something.
    pub(super) fn posted<T>(&self, read: impl FnOnce(&[&str]) -> Option<T>) -> Option<T> {
        if self.method != "POST" {
            return None;
        }
        let segments = self.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        read(&segments)
    }

    /// The first parameter of the query that is called so, whatever the case.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            decoded(key)
                .eq_ignore_ascii_case(name)
                .then(|| decoded(&value.replace('+', " ")))
        })
    }

    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `Authorization: <scheme> <what follows>`, for any of these schemes.
    pub(super) fn authorization(&self, schemes: &[&str]) -> Option<&'a str> {
        let (scheme, rest) = self.header(header::AUTHORIZATION.as_str())?.split_once(' ')?;
        let is_one = schemes.iter().any(|known| scheme.eq_ignore_ascii_case(known));
        is_one.then(|| rest.trim())
    }

    /// User and password: <https://www.rfc-editor.org/rfc/rfc7617>.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let decoded = STANDARD.decode(self.authorization(&["basic"])?).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    pub(super) fn says_json(&self) -> bool {
        let value = self.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let (kind, _) = value.split_once(';').unwrap_or((value, ""));
        kind.trim().eq_ignore_ascii_case("application/json")
    }

    pub(super) fn fields(&self) -> Result<Fields, BodyError> {
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(_) => Err(BodyError::NotAnObject),
            Err(_) => Err(BodyError::NotJson),
        }
    }
}

/// A body.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// A text, if there is one; the value if it is something else.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, &Value> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(other),
        }
    }

    /// A text if there is one, and nothing for all else.
    pub(super) fn text_or_nothing(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }
}

/// What the host answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers, with the body's type.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Empty,
    /// What an API says.
    Json(Value),
    /// What a person is to read: a page or a line.
    Text(String),
}

impl std::fmt::Display for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => Ok(()),
            Self::Json(value) => value.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Answer {
    pub(super) fn json(status: StatusCode, body: Value) -> Self {
        Self::with(status, "application/json; charset=utf-8", Body::Json(body))
    }

    pub(super) fn html(status: StatusCode, page: &str) -> Self {
        Self::with(status, "text/html; charset=utf-8", Body::Text(page.to_owned()))
    }

    pub(super) fn plain(status: StatusCode, line: &str) -> Self {
        Self::with(status, "text/plain; charset=utf-8", Body::Text(line.to_owned()))
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Empty,
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn with(status: StatusCode, content_type: &str, body: Body) -> Self {
        let answer = Self {
            body,
            ..Self::empty(status)
        };
        answer.header("content-type", content_type)
    }
}

/// As little as every host asks of an address that people are to follow.
pub(super) fn is_web_address(address: &str) -> bool {
    let rest = address
        .strip_prefix("https://")
        .or_else(|| address.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}

/// The whole name of a commit.
pub(super) fn is_sha(text: &str) -> bool {
    text.len() == 40 && is_hex(text)
}

pub(super) fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn is_longer(text: &str, chars: usize) -> bool {
    text.chars().count() > chars
}

/// Percent-decoded; what is no encoding stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let encoded = match (first, tail) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match encoded {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(target: &'a str, headers: &'a HeaderMap) -> Request<'a> {
        Request {
            method: "GET",
            target,
            headers,
            body: b"",
            now: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn an_encoded_slash_divides_nothing() {
        let cases: [(&str, &[&str]); 6] = [
            ("/a/b", &["a", "b"]),
            ("/a%2Fb%2fc/d?e=/f", &["a/b/c", "d"]),
            ("/a%20b/%C3%BC", &["a b", "ü"]),
            ("/100%/a%2/%zz", &["100%", "a%2", "%zz"]),
            ("/a//b", &[]),
            ("/a/", &[]),
        ];
        for (target, segments) in cases {
            assert_eq!(
                request(target, &HeaderMap::new()).segments(),
                segments,
                "{target}"
            );
        }
    }

    #[test]
    fn a_parameter_is_found_whatever_its_case() {
        let cases = [
            ("/x", None),
            ("/x?api-versio=1", None),
            ("/x?a=b&API-Version=7.1", Some("7.1")),
            ("/x?api%2Dversion=7.2%2Dpreview+1", Some("7.2-preview 1")),
            ("/x?api-version", Some("")),
        ];
        for (target, expected) in cases {
            let value = request(target, &HeaderMap::new()).query("api-version");
            assert_eq!(value.as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn a_credential_is_read_as_it_was_sent() {
        let cases = [
            ("Basic dTpwOnE=", Some(("u", "p:q")), None),
            ("basic OnA=", Some(("", "p")), None),
            ("Basic dTpwOnE", None, None),
            ("Basic dQ==", None, None),
            ("Bearer x", None, Some("x")),
            ("TOKEN  x ", None, Some("x")),
            ("Digest x", None, None),
            ("Bearer", None, None),
        ];
        for (value, basic, token) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            let request = request("/", &headers);
            let basic = basic.map(|(user, password): (&str, &str)| (user.to_owned(), password.to_owned()));
            assert_eq!(request.basic(), basic, "{value}");
            assert_eq!(request.authorization(&["bearer", "token"]), token, "{value}");
        }
    }

    #[test]
    fn an_answer_says_what_its_body_is() {
        let cases = [
            (
                Answer::json(StatusCode::OK, Value::Null),
                Some("application/json; charset=utf-8"),
                "null",
            ),
            (
                Answer::html(StatusCode::OK, "<p>"),
                Some("text/html; charset=utf-8"),
                "<p>",
            ),
            (
                Answer::plain(StatusCode::OK, "x"),
                Some("text/plain; charset=utf-8"),
                "x",
            ),
            (Answer::empty(StatusCode::OK), None, ""),
        ];
        for (answer, content_type, body) in cases {
            let said = answer
                .headers
                .first()
                .map(|(name, value)| (*name, value.as_str()));
            assert_eq!(said, content_type.map(|value| ("content-type", value)));
            assert_eq!(answer.body.to_string(), body);
        }
    }

    #[test]
    fn an_address_is_one_of_the_web() {
        let cases = [
            ("https://example.com/x", true),
            ("http://h", true),
            ("", false),
            ("https://", false),
            ("https:///x", false),
            ("https://a b", false),
            ("ftp://example.com", false),
            ("example.com", false),
        ];
        for (address, expected) in cases {
            assert_eq!(is_web_address(address), expected, "{address}");
        }
    }
}
