//! GitHub Apps: a key with which to ask for a token that may write the statuses of one repository for an hour.
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation>

use std::fmt;

use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::{HEADERS, api, classify, text};
use crate::answer::Answer;
use crate::credential::{Credential, CredentialError, Keys};
use crate::request::encode;
use crate::{HostRequest, PostError, Repository, refusal};

const APP_ID: &str = "githubAppID";
const PRIVATE_KEY: &str = "githubAppPrivateKey";
const INSTALLATION_ID: &str = "githubAppInstallationID";
const INSTALLATION_OWNER: &str = "githubAppInstallationOwner";
const BASE_URL: &str = "githubAppBaseURL";

/// How long before now a request for a token says that it was made, for clocks that differ, and how long it counts; in
/// seconds, as Flux has them. GitHub takes ten minutes at most.
const ISSUED_BEFORE: i64 = 30;
const COUNTS_FOR: i64 = 120;

/// The keys of a GitHub App, as in a Provider's secret
/// (<https://fluxcd.io/flux/components/notification/providers/#github-app>). Never printed.
#[derive(Clone)]
pub struct GitHubApp {
    /// Number or client id.
    id: String,
    key: EncodingKey,
    installation: Installation,
    /// Where the API is, if the address of the repository does not tell.
    base_url: Option<String>,
    /// Tells it from any other; nobody learns the key from it.
    fingerprint: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Installation {
    Id(u64),
    /// A user or an organization.
    Owner(String),
}

/// What an App was given.
#[derive(Debug, Clone)]
pub struct InstallationToken {
    /// May write commit statuses of the one repository.
    pub credential: Credential,
    /// Until when.
    pub expires_at: Timestamp,
}

impl GitHubApp {
    pub(crate) fn is_in(keys: &Keys) -> bool {
        [APP_ID, PRIVATE_KEY, INSTALLATION_ID, INSTALLATION_OWNER]
            .iter()
            .any(|key| keys.has(key))
    }

    pub(crate) fn read(keys: &Keys) -> Result<Self, CredentialError> {
        let missing = |key, expected| CredentialError::Missing { key, expected };
        let id = keys
            .id(APP_ID)?
            .ok_or(missing(APP_ID, "the number of the GitHub App"))?;
        let pem = keys
            .text(PRIVATE_KEY)?
            .ok_or(missing(PRIVATE_KEY, "the private key of the GitHub App"))?;
        let (number, owner) = (keys.id(INSTALLATION_ID)?, keys.text(INSTALLATION_OWNER)?);
        let installation = match (number, owner) {
            (Some(number), None) => Installation::Id(
                number
                    .parse()
                    .map_err(|_| CredentialError::NotANumber { key: INSTALLATION_ID })?,
            ),
            (None, Some(owner)) => Installation::Owner(owner.expose_secret().to_owned()),
            (number, _) => {
                return Err(CredentialError::Installation {
                    both: number.is_some(),
                });
            }
        };
        let base_url = keys
            .text(BASE_URL)?
            .map(|url| base_url(url.expose_secret()))
            .transpose()?;
        let not_a_key = |_| CredentialError::NotAPrivateKey { key: PRIVATE_KEY };
        let key = EncodingKey::from_rsa_pem(pem.expose_secret().as_bytes()).map_err(not_a_key)?;
        let mut digest = Sha256::new();
        for part in [
            id.as_str(),
            pem.expose_secret(),
            &format!("{installation:?}"),
            base_url.as_deref().unwrap_or_default(),
        ] {
            digest.update(part);
            digest.update([0]);
        }
        let app = Self {
            id,
            key,
            installation,
            base_url,
            fingerprint: hex::encode(digest.finalize()),
        };
        // What is inside the PEM is looked at only when something is signed.
        app.sign(Timestamp::UNIX_EPOCH).map_err(not_a_key)?;
        Ok(app)
    }

    /// Tells it from any other, and is no secret.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn sign(&self, now: Timestamp) -> Result<SecretString, jsonwebtoken::errors::Error> {
        let issued = now.as_second() - ISSUED_BEFORE;
        let claims = json!({ "iat": issued, "exp": issued + COUNTS_FOR, "iss": self.id });
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key).map(SecretString::from)
    }

    /// What the App asks for a token with.
    ///
    /// # Errors
    /// If the key does not sign.
    pub fn credential(&self, now: Timestamp) -> Result<Credential, PostError> {
        let refused = |_| PostError::Unauthorized("the private key of the GitHub App does not sign".into());
        Credential::bearer(&self.sign(now).map_err(refused)?)
            .map_err(|error| PostError::Unauthorized(error.to_string()))
    }

    /// The installation, if its number is known. Otherwise [`GitHubApp::lookups`] find it.
    pub fn installation(&self) -> Option<u64> {
        match self.installation {
            Installation::Id(id) => Some(id),
            Installation::Owner(_) => None,
        }
    }

    /// Where the installation may be found, to be asked one after the other: the owner is an organization, or a user.
    pub fn lookups(&self, repository: &Repository) -> Vec<HostRequest> {
        let Installation::Owner(owner) = &self.installation else {
            return Vec::new();
        };
        ["orgs", "users"]
            .map(|owners| HostRequest {
                method: Method::GET,
                url: format!(
                    "{}/{owners}/{}/installation",
                    self.api(repository),
                    encode(owner, b"-._~")
                ),
                headers: HEADERS,
                body: Value::Null,
            })
            .into()
    }

    /// What an answer to a lookup says; `None` if the installation is not there.
    ///
    /// # Errors
    /// As [`crate::HostKind::classify`].
    pub fn found(
        status: StatusCode,
        headers: &HeaderMap,
        body: &str,
        arrived: Timestamp,
    ) -> Result<Option<u64>, PostError> {
        let answer = Answer {
            status,
            headers,
            body,
        };
        let json = answer.json();
        let text = text(&json);
        if status == StatusCode::NOT_FOUND {
            return match text.contains("Integration not found") {
                true => Err(PostError::Unauthorized(answer.message(&text))),
                false => Ok(None),
            };
        }
        classify(&answer, arrived)?;
        match json["id"].as_u64() {
            Some(id) => Ok(Some(id)),
            None => Err(no_such_answer(&answer, "no number of an installation")),
        }
    }

    /// That no lookup has found the installation.
    pub fn not_installed(&self) -> PostError {
        let owner = match &self.installation {
            Installation::Owner(owner) => owner.clone(),
            Installation::Id(id) => id.to_string(),
        };
        PostError::Unauthorized(format!("GitHub App {} is not installed at `{owner}`", self.id))
    }

    /// Asks for a token that may do no more than write commit statuses of this repository.
    /// <https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app>
    pub fn token_request(&self, repository: &Repository, installation: u64) -> HostRequest {
        let name = repository.path.rsplit('/').next().unwrap_or_default();
        HostRequest {
            method: Method::POST,
            url: format!(
                "{}/app/installations/{installation}/access_tokens",
                self.api(repository)
            ),
            headers: HEADERS,
            body: json!({ "repositories": [name], "permissions": { "statuses": "write" } }),
        }
    }

    /// The token in an answer.
    ///
    /// # Errors
    /// As [`crate::HostKind::classify`]. An installation that is unknown or suspended is a credential that is refused; a
    /// repository it has no access to is one that is not found.
    pub fn token(
        status: StatusCode,
        headers: &HeaderMap,
        body: &str,
        arrived: Timestamp,
    ) -> Result<InstallationToken, PostError> {
        let answer = Answer {
            status,
            headers,
            body,
        };
        let json = answer.json();
        let text = text(&json);
        let says = |words: &str| text.to_ascii_lowercase().contains(words);
        match status {
            StatusCode::NOT_FOUND => return Err(PostError::Unauthorized(answer.message(&text))),
            StatusCode::FORBIDDEN if says("suspended") => {
                return Err(PostError::Unauthorized(answer.message(&text)));
            }
            StatusCode::UNPROCESSABLE_ENTITY if says("permission") => {
                return Err(PostError::permanent(refusal::FORBIDDEN, answer.message(&text)));
            }
            StatusCode::UNPROCESSABLE_ENTITY if says("repositor") => {
                return Err(PostError::permanent(refusal::NOT_FOUND, answer.message(&text)));
            }
            _ => classify(&answer, arrived)?,
        }
        let token = json["token"].as_str().map(SecretString::from);
        let expires_at = json["expires_at"].as_str().and_then(|at| at.parse().ok());
        let issued = token.zip(expires_at).and_then(|(token, expires_at)| {
            Some(InstallationToken {
                credential: Credential::bearer(&token).ok()?,
                expires_at,
            })
        });
        issued.ok_or_else(|| no_such_answer(&answer, "no token"))
    }

    fn api(&self, repository: &Repository) -> String {
        self.base_url.clone().unwrap_or_else(|| api(repository))
    }
}

impl fmt::Debug for GitHubApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHubApp")
            .field("id", &self.id)
            .field("installation", &self.installation)
            .finish_non_exhaustive()
    }
}

/// The body may hold a token that was not recognised as one.
fn no_such_answer(answer: &Answer<'_>, what: &str) -> PostError {
    PostError::permanent(
        refusal::REJECTED,
        format!("{} with {what} in the answer", answer.status),
    )
}

/// An Enterprise Server is named with or without the path of its API; Flux takes it as it stands, and adds nothing.
fn base_url(text: &str) -> Result<String, CredentialError> {
    let not_an_address = CredentialError::NotAnAddress { key: BASE_URL };
    let Ok(url) = Url::parse(text) else {
        return Err(not_an_address);
    };
    let local = crate::address::is_loopback(&url);
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !(url.scheme() == "https" || url.scheme() == "http" && local) || !is_plain {
        return Err(not_an_address);
    }
    let host = url.host_str().unwrap_or_default();
    let whole = url.as_str().trim_end_matches('/');
    if host.starts_with("api.") || host.contains(".api.") || whole.ends_with("/api/v3") {
        return Ok(whole.to_owned());
    }
    Ok(match host {
        "github.com" => "https://api.github.com".to_owned(),
        _ => format!("{whole}/api/v3"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::testing::{at, decision, headers, now};
    use crate::credential::Access;
    use crate::{Certificates, HostKind};
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use jsonwebtoken::{DecodingKey, Validation};

    /// The private key as GitHub hands it out, and what checks its signatures.
    fn key() -> (String, DecodingKey) {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        (pem, DecodingKey::from_rsa_der(pair.public_key().as_ref()))
    }

    fn app(secret: Value) -> GitHubApp {
        let secret = SecretString::from(secret.to_string());
        match HostKind::GitHub.access(&secret, None).unwrap() {
            Access::GitHubApp(app) => *app,
            Access::Direct(_) => panic!(),
        }
    }

    fn repository(address: &str) -> Repository {
        Repository::parse(HostKind::GitHub, address, false).unwrap()
    }

    #[test]
    fn asks_with_a_signature_that_counts_for_two_minutes() {
        let (pem, public) = key();
        let app =
            app(json!({"githubAppID": "1234", "githubAppPrivateKey": pem, "githubAppInstallationID": "7"}));
        let credential = app.credential(now()).unwrap();
        let value = credential.value().to_str().unwrap();
        let token = value.strip_prefix("Bearer ").unwrap();

        let mut validation = Validation::new(Algorithm::RS256);
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Value>(token, &public, &validation)
            .unwrap()
            .claims;
        let second = now().as_second();
        assert_eq!(
            claims,
            json!({"iss": "1234", "iat": second - 30, "exp": second + 90})
        );
        assert_eq!(credential.mask(value), "Bearer ***");
    }

    #[test]
    fn asks_for_no_more_than_the_statuses_of_one_repository() {
        let (pem, _) = key();
        let app = app(json!({"githubAppID": 1, "githubAppPrivateKey": pem, "githubAppInstallationID": 7}));
        assert_eq!(app.installation(), Some(7));
        let cases = [
            ("https://github.com/acme/fleet", "https://api.github.com"),
            ("https://ghes.acme.com/acme/fleet", "https://ghes.acme.com/api/v3"),
            ("https://acme.ghe.com/acme/fleet", "https://api.acme.ghe.com"),
        ];
        for (address, api) in cases {
            let request = app.token_request(&repository(address), 7);
            assert_eq!(request.url, format!("{api}/app/installations/7/access_tokens"));
            assert_eq!(
                request.body,
                json!({"repositories": ["fleet"], "permissions": {"statuses": "write"}})
            );
            assert!(app.lookups(&repository(address)).is_empty());
        }
    }

    #[test]
    fn looks_for_the_installation_of_an_organization_and_then_of_a_user() {
        let (pem, _) = key();
        let app = app(json!({
            "githubAppID": "1", "githubAppPrivateKey": pem, "githubAppInstallationOwner": "acme",
            "githubAppBaseURL": "https://ghes.acme.com/",
        }));
        assert_eq!(app.installation(), None);
        let lookups = app.lookups(&repository("https://github.com/acme/fleet"));
        let urls: Vec<&str> = lookups.iter().map(|request| request.url.as_str()).collect();
        assert_eq!(
            urls,
            [
                "https://ghes.acme.com/api/v3/orgs/acme/installation",
                "https://ghes.acme.com/api/v3/users/acme/installation",
            ]
        );
        assert!(
            lookups
                .iter()
                .all(|request| request.method == Method::GET && request.body.is_null())
        );
        assert_eq!(
            app.not_installed().message(),
            "GitHub App 1 is not installed at `acme`"
        );
    }

    #[test]
    fn reads_the_address_of_the_api_with_or_without_its_path() {
        let cases = [
            ("https://api.github.com", Some("https://api.github.com")),
            ("https://github.com", Some("https://api.github.com")),
            ("https://api.acme.ghe.com/", Some("https://api.acme.ghe.com")),
            (
                "https://ghes.acme.com/api/v3/",
                Some("https://ghes.acme.com/api/v3"),
            ),
            ("https://ghes.acme.com", Some("https://ghes.acme.com/api/v3")),
            (
                "http://127.0.0.1:9000/api/v3",
                Some("http://127.0.0.1:9000/api/v3"),
            ),
            ("http://ghes.acme.com", None),
            ("https://user@ghes.acme.com", None),
            ("ghes.acme.com", None),
        ];
        for (text, expected) in cases {
            assert_eq!(base_url(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn understands_the_answers_to_a_request_for_a_token() {
        let cases = [
            (401, "A JSON web token could not be decoded", "unauthorized"),
            (403, "This installation has been suspended", "unauthorized"),
            (403, "You have exceeded a secondary rate limit", "until +60"),
            (404, "Not Found", "unauthorized"),
            (404, "Integration not found", "unauthorized"),
            (
                422,
                "There is at least one repository that does not exist or is not accessible to the parent installation.",
                "not-found",
            ),
            (
                422,
                "The permissions requested are not granted to this installation.",
                "forbidden",
            ),
            (
                422,
                "The level of access for permissions requested are not granted to this installation.",
                "forbidden",
            ),
            (500, "", "ambiguous"),
        ];
        for (code, message, expected) in cases {
            let body = json!({ "message": message }).to_string();
            let status = StatusCode::from_u16(code).unwrap();
            let outcome = GitHubApp::token(status, &headers(&[]), &body, now()).map(drop);
            assert_eq!(decision(&outcome), expected, "{message}");
        }

        let body = json!({"token": "ghs_1_a.b-c", "expires_at": "2026-08-07T14:13:02Z"}).to_string();
        let issued = GitHubApp::token(StatusCode::CREATED, &headers(&[]), &body, now()).unwrap();
        assert_eq!(issued.expires_at, at(now().as_second() + 3_600));
        assert_eq!(issued.credential.value(), "Bearer ghs_1_a.b-c");

        for body in [
            "{}",
            r#"{"token":"ghs_x"}"#,
            r#"{"token":"ghs_x","expires_at":"soon"}"#,
        ] {
            let error = GitHubApp::token(StatusCode::CREATED, &headers(&[]), body, now()).unwrap_err();
            assert_eq!(error.message(), "201 Created with no token in the answer");
        }
    }

    #[test]
    fn understands_the_answers_to_a_lookup() {
        let found = |code: u16, body: &str| {
            GitHubApp::found(StatusCode::from_u16(code).unwrap(), &headers(&[]), body, now())
        };
        assert_eq!(found(200, r#"{"id":7}"#), Ok(Some(7)));
        assert_eq!(found(404, r#"{"message":"Not Found"}"#), Ok(None));
        for (code, body, expected) in [
            (404, r#"{"message":"Integration not found"}"#, "unauthorized"),
            (401, r#"{"message":"Bad credentials"}"#, "unauthorized"),
            (200, "{}", "rejected"),
            (503, "", "ambiguous"),
        ] {
            assert_eq!(decision(&found(code, body).map(drop)), expected, "{code} {body}");
        }
    }

    #[test]
    fn the_key_is_never_printed_and_another_one_is_noticed() {
        let secret = |pem: &str, id: &str| json!({"githubAppID": id, "githubAppPrivateKey": pem, "githubAppInstallationID": "7"});
        let ((one, _), (two, _)) = (key(), key());
        let read = |pem: &str, id: &str| app(secret(pem, id));
        let printed = format!("{:?}", read(&one, "1"));
        assert_eq!(printed, r#"GitHubApp { id: "1", installation: Id(7), .. }"#);
        assert_eq!(read(&one, "1").fingerprint(), read(&one, "1").fingerprint());
        assert_ne!(read(&one, "1").fingerprint(), read(&two, "1").fingerprint());
        assert_ne!(read(&one, "1").fingerprint(), read(&one, "2").fingerprint());
        // The key of the App is none to show in TLS.
        let secret = SecretString::from(secret(&one, "1").to_string());
        assert!(Certificates::beside_credential(&secret).unwrap().is_none());
    }
}
