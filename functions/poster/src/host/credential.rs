//! Secrets of Providers, with Flux's keys.

use std::fmt;

use reqwest::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use shared::HostKind;

use super::adapter;

const TOKEN: &str = "token";
const USERNAME: &str = "username";
const PASSWORD: &str = "password";
const APP_ID: &str = "githubAppID";

/// What stands where a secret stood.
const MASK: &str = "***";

/// What lets us in at a host: the header that goes with every request. Never printed.
#[derive(Clone)]
pub struct Credential {
    header: HeaderName,
    value: HeaderValue,
    /// What must not come back in a message, longest first.
    secrets: Vec<SecretString>,
}

/// The secret holds no credential for that host. Names keys, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// No JSON.
    #[error("the secret is not JSON: line {line}, column {column}")]
    NotJson {
        /// Line of the mistake, from 1.
        line: usize,
        /// Column of the mistake, from 1.
        column: usize,
    },
    /// JSON, but another kind of value.
    #[error("the secret is not a JSON object with Flux's keys")]
    NotAnObject,
    /// A key holds a number or the like.
    #[error("`{key}` in the secret is not text")]
    NotText {
        /// Which.
        key: &'static str,
    },
    /// A key holds nothing.
    #[error("`{key}` in the secret is empty")]
    Empty {
        /// Which.
        key: &'static str,
    },
    /// The key that is always needed is not there.
    #[error("the secret has no `{key}`; expected {expected}")]
    Missing {
        /// Which.
        key: &'static str,
        /// What would be right for that host.
        expected: &'static str,
    },
    /// Flux takes user name and password together or not at all.
    #[error("the secret has `{present}` without `{missing}`; put the token into `token`")]
    Alone {
        /// The key that is there.
        present: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// The keys of a GitHub App, from which a token would have to be fetched.
    #[error("the secret holds the keys of a GitHub App, which cannot be used here; put a token into `token`")]
    GitHubApp,
    /// Control characters, spaces or letters beyond ASCII, which no token has.
    #[error("`{key}` in the secret holds characters that no token has")]
    NotAToken {
        /// Which.
        key: &'static str,
    },
    /// Colons or what is between them.
    #[error("`token` in the secret is neither `<user>:<app password>` nor an access token without `:`")]
    NotUserAndPassword,
}

impl Credential {
    /// Reads a secret: a JSON object with the keys a Flux Provider's secret has
    /// (<https://fluxcd.io/flux/components/notification/providers/#git-commit-status-updates>). White space around a
    /// value is dropped, for secrets made from files end in a line feed.
    ///
    /// # Errors
    /// Names the key that is missing or wrong, never its value.
    pub fn from_secret(host_kind: HostKind, json: &SecretString) -> Result<Self, CredentialError> {
        // serde_json's own words quote values.
        let value: Value =
            serde_json::from_str(json.expose_secret()).map_err(|error| CredentialError::NotJson {
                line: error.line(),
                column: error.column(),
            })?;
        let Value::Object(object) = value else {
            return Err(CredentialError::NotAnObject);
        };
        (adapter(host_kind).credential)(&Keys(object))
    }

    /// Whether a host would see no difference.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.header == other.header && self.value == other.value
    }

    pub(super) fn bearer(token: &SecretString) -> Result<Self, CredentialError> {
        let value = format!("Bearer {}", token.expose_secret());
        Self::new(reqwest::header::AUTHORIZATION, &value, vec![token.clone()])
    }

    /// A header that holds the token and nothing else.
    pub(super) fn bare(header: HeaderName, token: &SecretString) -> Result<Self, CredentialError> {
        Self::new(header, token.expose_secret(), vec![token.clone()])
    }

    /// `pair` is user name and password with a colon between.
    pub(super) fn basic(pair: &SecretString, password: &str) -> Result<Self, CredentialError> {
        let encoded = base64(pair.expose_secret().as_bytes());
        let value = format!("Basic {encoded}");
        let secrets = vec![encoded.into(), pair.clone(), password.to_owned().into()];
        Self::new(reqwest::header::AUTHORIZATION, &value, secrets)
    }

    fn new(header: HeaderName, value: &str, secrets: Vec<SecretString>) -> Result<Self, CredentialError> {
        let mut value =
            HeaderValue::from_str(value).map_err(|_| CredentialError::NotAToken { key: TOKEN })?;
        value.set_sensitive(true);
        Ok(Self {
            header,
            value,
            secrets,
        })
    }

    pub(super) fn header(&self) -> &HeaderName {
        &self.header
    }

    pub(super) fn value(&self) -> &HeaderValue {
        &self.value
    }

    pub(super) fn mask(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret.expose_secret(), MASK)
        })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// The keys of a secret. Those Flux has for other purposes, proxies and certificates, are not looked at.
pub(super) struct Keys(Map<String, Value>);

impl Keys {
    fn text(&self, key: &'static str) -> Result<Option<SecretString>, CredentialError> {
        let Some(value) = self.0.get(key) else {
            return Ok(None);
        };
        let text = value.as_str().ok_or(CredentialError::NotText { key })?.trim();
        if text.is_empty() {
            return Err(CredentialError::Empty { key });
        }
        Ok(Some(text.into()))
    }

    pub(super) fn token(&self) -> Result<Option<SecretString>, CredentialError> {
        self.text(TOKEN)?.map(|token| as_token(TOKEN, token)).transpose()
    }

    /// `token`, else the `password` beside a `username`.
    ///
    /// notification-controller ignores the whole secret if one of those two stands alone; here a token still counts.
    pub(super) fn token_or_password(&self, expected: &'static str) -> Result<SecretString, CredentialError> {
        if let Some(token) = self.token()? {
            return Ok(token);
        }
        match (self.text(USERNAME)?, self.text(PASSWORD)?) {
            (Some(_), Some(password)) => as_token(PASSWORD, password),
            (Some(_), None) => Err(CredentialError::Alone {
                present: USERNAME,
                missing: PASSWORD,
            }),
            (None, Some(_)) => Err(CredentialError::Alone {
                present: PASSWORD,
                missing: USERNAME,
            }),
            (None, None) => Err(CredentialError::Missing { key: TOKEN, expected }),
        }
    }

    pub(super) fn has_github_app(&self) -> bool {
        self.0.contains_key(APP_ID)
    }
}

fn as_token(key: &'static str, token: SecretString) -> Result<SecretString, CredentialError> {
    if token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(token)
    } else {
        Err(CredentialError::NotAToken { key })
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| usize::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            encoded.push(if digit <= group.len() {
                char::from(ALPHABET[bits >> (18 - 6 * digit) & 0x3F])
            } else {
                '='
            });
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use HostKind::{Bitbucket, GitHub, GitLab};

    const CANARY: &str = "c4n4ry-0f-the-m1ne";

    fn read(host_kind: HostKind, json: &str) -> Result<(String, String), CredentialError> {
        let credential = Credential::from_secret(host_kind, &json.into())?;
        Ok((
            credential.header().to_string(),
            credential.value().to_str().unwrap().to_owned(),
        ))
    }

    // notification-controller internal/notifier/github_test.go, gitlab_test.go, bitbucket_test.go, util_test.go
    // (basicAuth), and the keys of internal/server/event_handlers.go extractAuthFromSecret.
    #[test]
    fn reads_the_keys_of_flux() {
        let cases = [
            (GitHub, r#"{"token":"t"}"#, "authorization", "Bearer t"),
            (
                GitHub,
                r#"{"username":"u","password":"p"}"#,
                "authorization",
                "Bearer p",
            ),
            (
                GitHub,
                r#"{"token":"t","username":"u","password":"p"}"#,
                "authorization",
                "Bearer t",
            ),
            (
                GitHub,
                r#"{"token":"t","username":"u"}"#,
                "authorization",
                "Bearer t",
            ),
            (
                GitHub,
                r#"{"token":"t","githubAppID":"1"}"#,
                "authorization",
                "Bearer t",
            ),
            (
                GitHub,
                r#"{"token":"t\n","ca.crt":7}"#,
                "authorization",
                "Bearer t",
            ),
            (GitLab, r#"{"token":"glpat-1"}"#, "private-token", "glpat-1"),
            (GitLab, r#"{"username":"u","password":"p"}"#, "private-token", "p"),
            (
                Bitbucket,
                r#"{"token":"user:password"}"#,
                "authorization",
                "Basic dXNlcjpwYXNzd29yZA==",
            ),
            (
                Bitbucket,
                r#"{"token":"ATCTT3x"}"#,
                "authorization",
                "Bearer ATCTT3x",
            ),
        ];
        for (host_kind, json, header, value) in cases {
            assert_eq!(
                read(host_kind, json),
                Ok((header.into(), value.into())),
                "{host_kind} {json}"
            );
        }
    }

    #[test]
    fn names_the_key_that_is_missing_or_wrong() {
        let cases = [
            (
                GitHub,
                "{}",
                "the secret has no `token`; expected a token that may write commit statuses",
            ),
            (
                GitLab,
                r#"{"tokn":"T"}"#,
                "the secret has no `token`; expected an access token with scope `api`",
            ),
            (
                Bitbucket,
                r#"{"username":"T","password":"T"}"#,
                "the secret has no `token`; expected `<user>:<app password>` or an access token",
            ),
            (GitHub, r#"{"token":" "}"#, "`token` in the secret is empty"),
            (GitHub, r#"{"token":5}"#, "`token` in the secret is not text"),
            (
                GitHub,
                r#"{"token":"a T"}"#,
                "`token` in the secret holds characters that no token has",
            ),
            (
                GitLab,
                r#"{"token":"a\r\nT: x"}"#,
                "`token` in the secret holds characters that no token has",
            ),
            (
                GitHub,
                r#"{"username":"u","password":"T é"}"#,
                "`password` in the secret holds characters that no token has",
            ),
            (
                GitHub,
                r#"{"password":"T"}"#,
                "the secret has `password` without `username`; put the token into `token`",
            ),
            (
                GitLab,
                r#"{"username":"T"}"#,
                "the secret has `username` without `password`; put the token into `token`",
            ),
            (
                GitHub,
                r#"{"githubAppID":"1","githubAppPrivateKey":"T"}"#,
                "the secret holds the keys of a GitHub App, which cannot be used here; put a token into `token`",
            ),
            (
                Bitbucket,
                r#"{"token":"T:b:c"}"#,
                "`token` in the secret is neither `<user>:<app password>` nor an access token without `:`",
            ),
            (
                Bitbucket,
                r#"{"token":"T:"}"#,
                "`token` in the secret is neither `<user>:<app password>` nor an access token without `:`",
            ),
            (GitHub, "T", "the secret is not JSON: line 1, column 1"),
            (
                GitHub,
                r#"{"token":"T"#,
                "the secret is not JSON: line 1, column 28",
            ),
            (
                GitHub,
                r#""T""#,
                "the secret is not a JSON object with Flux's keys",
            ),
        ];
        for (host_kind, json, message) in cases {
            let error = read(host_kind, &json.replace('T', CANARY)).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(!format!("{error:?}").contains(CANARY), "{error:?}");
        }
    }

    #[test]
    fn is_never_printed_and_masked_in_every_form() {
        for (host_kind, token) in [
            (GitHub, CANARY.to_owned()),
            (GitLab, CANARY.to_owned()),
            (Bitbucket, CANARY.to_owned()),
            (Bitbucket, format!("user:{CANARY}")),
        ] {
            let json = format!(r#"{{"token":"{token}"}}"#);
            let credential = Credential::from_secret(host_kind, &json.into()).unwrap();
            assert!(!format!("{credential:?}").contains(CANARY));

            let value = credential.value().to_str().unwrap().to_owned();
            let sent = value.split(' ').next_back().unwrap();
            let echo = credential.mask(&format!("token {CANARY}, header {value}"));
            assert!(!echo.contains(CANARY), "{echo}");
            assert!(!echo.contains(sent), "{echo}");
        }
    }

    #[test]
    fn is_the_same_if_it_is_sent_alike() {
        let credential = |host_kind, json: &str| Credential::from_secret(host_kind, &json.into()).unwrap();
        let token = credential(GitHub, r#"{"token":"t"}"#);

        assert!(token.is_same_as(&credential(GitHub, r#"{"token":"t\n","username":"u"}"#)));
        assert!(!token.is_same_as(&credential(GitHub, r#"{"token":"other"}"#)));
        assert!(!token.is_same_as(&credential(GitLab, r#"{"token":"t"}"#)));
    }

    // RFC 4648, section 10.
    #[test]
    fn encodes_base64() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
            ("user:password", "dXNlcjpwYXNzd29yZA=="),
        ];
        for (text, encoded) in cases {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xFB, 0xFF]), "+/8=");
    }
}
