//! Secrets of Providers, with Flux's keys.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::GitHubApp;

pub(crate) const TOKEN: &str = "token";
pub(crate) const USERNAME: &str = "username";
pub(crate) const PASSWORD: &str = "password";

/// What stands where a secret stood.
const MASK: &str = "***";

/// How to be let in, by what a Provider's secret holds.
#[derive(Debug, Clone)]
pub enum Access {
    /// What the secret holds goes with every request.
    Direct(Credential),
    /// The secret holds a key with which to ask for a token first.
    GitHubApp(Box<GitHubApp>),
}

impl Access {
    /// Whether a host would see no difference.
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Direct(one), Self::Direct(other)) => one.is_same_as(other),
            (Self::GitHubApp(one), Self::GitHubApp(other)) => one.fingerprint() == other.fingerprint(),
            (Self::Direct(_), Self::GitHubApp(_)) | (Self::GitHubApp(_), Self::Direct(_)) => false,
        }
    }
}

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
    /// A GitHub App is installed once, and named by one of the two.
    #[error("the secret has {}; expected one of the two", if *both { "both `githubAppInstallationID` and `githubAppInstallationOwner`" } else { "neither `githubAppInstallationID` nor `githubAppInstallationOwner`" })]
    Installation {
        /// Whether both are there.
        both: bool,
    },
    /// A key holds something that is no number of an installation.
    #[error("`{key}` in the secret is not a number")]
    NotANumber {
        /// Which.
        key: &'static str,
    },
    /// A key holds something that is no private key of a GitHub App.
    #[error(
        "`{key}` in the secret is not an RSA private key in PEM form (`-----BEGIN RSA PRIVATE KEY-----`)"
    )]
    NotAPrivateKey {
        /// Which.
        key: &'static str,
    },
    /// A key holds something that is no address.
    #[error("`{key}` in the secret is not an address of the form https://HOST/api/v3")]
    NotAnAddress {
        /// Which.
        key: &'static str,
    },
    /// Control characters, spaces or letters beyond ASCII, which no token has.
    #[error("`{key}` in the secret holds characters that no token has")]
    NotAToken {
        /// Which.
        key: &'static str,
    },
    /// Colons or what is between them.
    #[error("`token` in the secret is neither `<e-mail>:<API token>` nor an access token without `:`")]
    NotUserAndPassword,
}

impl Credential {
    /// Whether a host would see no difference.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.header == other.header && self.value == other.value
    }

    pub(crate) fn bearer(token: &SecretString) -> Result<Self, CredentialError> {
        Self::prefixed("Bearer", token)
    }

    /// A token after a word, in `Authorization`.
    pub(crate) fn prefixed(word: &str, token: &SecretString) -> Result<Self, CredentialError> {
        let value = format!("{word} {}", token.expose_secret());
        Self::new(AUTHORIZATION, &value, vec![token.clone()])
    }

    /// A header that holds the token and nothing else.
    pub(crate) fn bare(header: HeaderName, token: &SecretString) -> Result<Self, CredentialError> {
        Self::new(header, token.expose_secret(), vec![token.clone()])
    }

    /// User name and password, of which only the second is a secret.
    pub(crate) fn basic(user: &str, password: &SecretString) -> Result<Self, CredentialError> {
        let pair = format!("{user}:{}", password.expose_secret());
        let encoded = STANDARD.encode(&pair);
        let value = format!("Basic {encoded}");
        let secrets = vec![encoded.into(), pair.into(), password.clone()];
        Self::new(AUTHORIZATION, &value, secrets)
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

    /// The header it goes in.
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// What the header holds, marked as sensitive.
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// The text with nothing of it in it.
    pub fn mask(&self, text: &str) -> String {
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

/// The keys of a secret. Those Flux has for other purposes are not looked at.
pub(crate) struct Keys(Map<String, Value>);

impl Keys {
    pub(crate) fn read(json: &SecretString) -> Result<Self, CredentialError> {
        // serde_json's own words quote values.
        let value: Value =
            serde_json::from_str(json.expose_secret()).map_err(|error| CredentialError::NotJson {
                line: error.line(),
                column: error.column(),
            })?;
        match value {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(CredentialError::NotAnObject),
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn text(&self, key: &'static str) -> Result<Option<SecretString>, CredentialError> {
        let Some(value) = self.0.get(key) else {
            return Ok(None);
        };
        let text = value.as_str().ok_or(CredentialError::NotText { key })?.trim();
        if text.is_empty() {
            return Err(CredentialError::Empty { key });
        }
        Ok(Some(text.into()))
    }

    /// A number that may stand there as one, or as text.
    pub(crate) fn id(&self, key: &'static str) -> Result<Option<String>, CredentialError> {
        if let Some(number) = self.0.get(key).and_then(Value::as_u64) {
            return Ok(Some(number.to_string()));
        }
        Ok(self.text(key)?.map(|text| text.expose_secret().to_owned()))
    }

    pub(crate) fn token(&self) -> Result<Option<SecretString>, CredentialError> {
        self.text(TOKEN)?.map(|token| as_token(TOKEN, token)).transpose()
    }

    /// `token`, else the `password` beside a `username`.
    ///
    /// notification-controller ignores the whole secret if one of those two stands alone; here a token still counts.
    pub(crate) fn token_or_password(&self, expected: &'static str) -> Result<SecretString, CredentialError> {
        if let Some(token) = self.token()? {
            return Ok(token);
        }
        match self.user_and_password(None)? {
            Some((_, password)) => as_token(PASSWORD, password),
            None => Err(CredentialError::Missing { key: TOKEN, expected }),
        }
    }

    /// `username` and `password`, together or not at all. Another user name may be named elsewhere.
    pub(crate) fn user_and_password(
        &self,
        username: Option<&str>,
    ) -> Result<Option<(String, SecretString)>, CredentialError> {
        let user = self.text(USERNAME)?.map(|user| user.expose_secret().to_owned());
        match (user.or(username.map(str::to_owned)), self.text(PASSWORD)?) {
            (Some(user), Some(password)) => Ok(Some((user, password))),
            (Some(_), None) if self.has(USERNAME) => Err(CredentialError::Alone {
                present: USERNAME,
                missing: PASSWORD,
            }),
            (None, Some(_)) => Err(CredentialError::Alone {
                present: PASSWORD,
                missing: USERNAME,
            }),
            (_, None) => Ok(None),
        }
    }
}

fn as_token(key: &'static str, token: SecretString) -> Result<SecretString, CredentialError> {
    if token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(token)
    } else {
        Err(CredentialError::NotAToken { key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostKind;
    use HostKind::{AzureDevOps, Bitbucket, BitbucketServer, GitHub, GitLab, Gitea};

    const CANARY: &str = "c4n4ry-0f-the-m1ne";

    fn read(host_kind: HostKind, json: &str) -> Result<(String, String), CredentialError> {
        match host_kind.access(&json.into(), None)? {
            Access::Direct(credential) => Ok((
                credential.header().to_string(),
                credential.value().to_str().unwrap().to_owned(),
            )),
            Access::GitHubApp(app) => Ok(("app".into(), format!("{app:?}"))),
        }
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
            (Gitea, r#"{"token":"t"}"#, "authorization", "token t"),
            (
                Gitea,
                r#"{"username":"u","password":"p"}"#,
                "authorization",
                "token p",
            ),
            (BitbucketServer, r#"{"token":"t"}"#, "authorization", "Bearer t"),
            (
                BitbucketServer,
                r#"{"token":"t","username":"u","password":"p"}"#,
                "authorization",
                "Bearer t",
            ),
            (
                BitbucketServer,
                r#"{"username":"user","password":"password"}"#,
                "authorization",
                "Basic dXNlcjpwYXNzd29yZA==",
            ),
            (AzureDevOps, r#"{"token":"t"}"#, "authorization", "Basic OnQ="),
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
                "the secret has no `token`; expected a token that may write commit statuses, or the keys of a GitHub App",
            ),
            (
                GitLab,
                r#"{"tokn":"T"}"#,
                "the secret has no `token`; expected an access token with scope `api`",
            ),
            (
                Bitbucket,
                r#"{"username":"T","password":"T"}"#,
                "the secret has no `token`; expected `<e-mail>:<API token>` or an access token",
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
            // github_test.go: the cases of App secrets, which upstream words in its own way.
            (
                GitHub,
                r#"{"githubAppInstallationID":"1","githubAppPrivateKey":"T"}"#,
                "the secret has no `githubAppID`; expected the number of the GitHub App",
            ),
            (
                GitHub,
                r#"{"githubAppID":"1","githubAppInstallationID":"1"}"#,
                "the secret has no `githubAppPrivateKey`; expected the private key of the GitHub App",
            ),
            (
                GitHub,
                r#"{"githubAppID":"1","githubAppPrivateKey":"T"}"#,
                "the secret has neither `githubAppInstallationID` nor `githubAppInstallationOwner`; expected one of the two",
            ),
            (
                GitHub,
                r#"{"githubAppID":1,"githubAppPrivateKey":"T","githubAppInstallationID":2,"githubAppInstallationOwner":"acme"}"#,
                "the secret has both `githubAppInstallationID` and `githubAppInstallationOwner`; expected one of the two",
            ),
            (
                GitHub,
                r#"{"githubAppID":"1","githubAppPrivateKey":"T","githubAppInstallationID":"acme"}"#,
                "`githubAppInstallationID` in the secret is not a number",
            ),
            (
                GitHub,
                r#"{"githubAppID":"1","githubAppPrivateKey":"T","githubAppInstallationID":"2","githubAppBaseURL":"http://ghes.acme.com"}"#,
                "`githubAppBaseURL` in the secret is not an address of the form https://HOST/api/v3",
            ),
            (
                GitHub,
                r#"{"githubAppID":"1","githubAppPrivateKey":"T","githubAppInstallationID":"2"}"#,
                "`githubAppPrivateKey` in the secret is not an RSA private key in PEM form (`-----BEGIN RSA PRIVATE KEY-----`)",
            ),
            (
                GitHub,
                r#"{"githubAppID":"1","githubAppPrivateKey":"-----BEGIN RSA PRIVATE KEY-----\nYzRuNHJ5\n-----END RSA PRIVATE KEY-----","githubAppInstallationID":"2"}"#,
                "`githubAppPrivateKey` in the secret is not an RSA private key in PEM form (`-----BEGIN RSA PRIVATE KEY-----`)",
            ),
            (
                Gitea,
                "{}",
                "the secret has no `token`; expected an access token with permission `write:repository`",
            ),
            (
                AzureDevOps,
                r#"{"username":"u","password":"T"}"#,
                "the secret has no `token`; expected a personal access token with scope `Code (status)`",
            ),
            (
                BitbucketServer,
                "{}",
                "the secret has no `token`; expected an HTTP access token with permission to read the repository, or `username` and `password`",
            ),
            (
                BitbucketServer,
                r#"{"password":"T"}"#,
                "the secret has `password` without `username`; put the token into `token`",
            ),
            (
                Bitbucket,
                r#"{"token":"T:b:c"}"#,
                "`token` in the secret is neither `<e-mail>:<API token>` nor an access token without `:`",
            ),
            (
                Bitbucket,
                r#"{"token":"T:"}"#,
                "`token` in the secret is neither `<e-mail>:<API token>` nor an access token without `:`",
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
            (BitbucketServer, CANARY.to_owned()),
            (Gitea, CANARY.to_owned()),
            (AzureDevOps, CANARY.to_owned()),
        ] {
            let json = format!(r#"{{"token":"{token}"}}"#);
            let Access::Direct(credential) = host_kind.access(&json.into(), None).unwrap() else {
                panic!("{host_kind}");
            };
            assert!(!format!("{credential:?}").contains(CANARY));

            let value = credential.value().to_str().unwrap().to_owned();
            let sent = value.split(' ').next_back().unwrap();
            let echo = credential.mask(&format!("token {CANARY}, header {value}"));
            assert!(!echo.contains(CANARY), "{echo}");
            assert!(!echo.contains(sent), "{echo}");
        }
    }

    #[test]
    fn a_user_name_may_be_named_by_the_provider() {
        let password = r#"{"password":"password"}"#;
        let named = |json: &str, username| match BitbucketServer.access(&json.into(), username)? {
            Access::Direct(credential) => Ok(credential.value().to_str().unwrap().to_owned()),
            Access::GitHubApp(_) => unreachable!(),
        };
        assert_eq!(
            named(password, Some("user")),
            Ok("Basic dXNlcjpwYXNzd29yZA==".into())
        );
        assert_eq!(
            named(r#"{"username":"user","password":"password"}"#, Some("other")),
            Ok("Basic dXNlcjpwYXNzd29yZA==".into()),
            "the secret's comes first"
        );
        let expected: Result<String, CredentialError> = Err(CredentialError::Missing {
            key: "token",
            expected: "an HTTP access token with permission to read the repository, or `username` and `password`",
        });
        assert_eq!(named("{}", Some("user")), expected);
    }

    #[test]
    fn is_the_same_if_it_is_sent_alike() {
        let credential = |host_kind: HostKind, json: &str| host_kind.access(&json.into(), None).unwrap();
        let token = credential(GitHub, r#"{"token":"t"}"#);

        assert!(token.is_same_as(&credential(GitHub, r#"{"token":"t\n","username":"u"}"#)));
        assert!(!token.is_same_as(&credential(GitHub, r#"{"token":"other"}"#)));
        assert!(!token.is_same_as(&credential(GitLab, r#"{"token":"t"}"#)));
    }
}
