//! Tokens of GitHub Apps, kept until shortly before they expire. A warm function asks once an hour and repository.

use std::collections::HashMap;

use hosts::{Credential, GitHubApp, InstallationToken, Repository};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

/// A token has to last for the post it is taken for, and clocks differ.
const BEFORE_EXPIRY: SignedDuration = SignedDuration::from_mins(2);

/// Tokens kept at most; above it all are asked for anew.
const TOKENS: usize = 2_000;

/// Tokens by the App that was given them, and the repository they are for.
#[derive(Debug, Default)]
pub struct AppTokens {
    tokens: Mutex<HashMap<(String, String), InstallationToken>>,
}

impl AppTokens {
    /// The token, if there is one that lasts.
    pub async fn get(&self, app: &GitHubApp, repository: &Repository, now: Timestamp) -> Option<Credential> {
        let tokens = self.tokens.lock().await;
        let token = tokens.get(&key(app, repository))?;
        (now + BEFORE_EXPIRY < token.expires_at).then(|| token.credential.clone())
    }

    /// Keeps a token.
    pub async fn put(&self, app: &GitHubApp, repository: &Repository, token: InstallationToken) {
        let mut tokens = self.tokens.lock().await;
        if tokens.len() >= TOKENS {
            tokens.clear();
        }
        tokens.insert(key(app, repository), token);
    }

    /// Forgets one that was refused.
    pub async fn forget(&self, app: &GitHubApp, repository: &Repository) {
        self.tokens.lock().await.remove(&key(app, repository));
    }
}

fn key(app: &GitHubApp, repository: &Repository) -> (String, String) {
    (app.fingerprint().to_owned(), repository.key())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hosts::{Access, HostKind};
    use serde_json::json;

    const NOW: i64 = 1_786_108_382;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(NOW + seconds).unwrap()
    }

    fn app(id: u32) -> GitHubApp {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let secret = json!({"githubAppID": id, "githubAppPrivateKey": pem, "githubAppInstallationID": 7});
        match HostKind::GitHub.access(&secret.to_string().into(), None).unwrap() {
            Access::GitHubApp(app) => *app,
            Access::Direct(_) => panic!("no App"),
        }
    }

    fn repository(name: &str) -> Repository {
        Repository::parse(
            HostKind::GitHub,
            &format!("https://github.com/acme/{name}"),
            false,
        )
        .unwrap()
    }

    fn token(text: &str, expires_at: Timestamp) -> InstallationToken {
        let body = json!({"token": text, "expires_at": expires_at}).to_string();
        GitHubApp::token(reqwest::StatusCode::CREATED, &Default::default(), &body, at(0)).unwrap()
    }

    #[tokio::test]
    async fn a_token_is_kept_for_its_app_and_repository_until_shortly_before_it_expires() {
        let (tokens, ours, others) = (AppTokens::default(), app(1), app(2));
        let (fleet, web) = (repository("fleet"), repository("web"));
        assert!(tokens.get(&ours, &fleet, at(0)).await.is_none());
        tokens.put(&ours, &fleet, token("ghs_a", at(3_600))).await;

        for seconds in [0, 3_479] {
            let kept = tokens.get(&ours, &fleet, at(seconds)).await.unwrap();
            assert_eq!(kept.value(), "Bearer ghs_a");
        }
        assert!(
            tokens.get(&ours, &fleet, at(3_480)).await.is_none(),
            "two minutes before"
        );
        assert!(tokens.get(&ours, &web, at(0)).await.is_none());
        assert!(tokens.get(&others, &fleet, at(0)).await.is_none());

        tokens.forget(&ours, &fleet).await;
        assert!(tokens.get(&ours, &fleet, at(0)).await.is_none());
    }
}
