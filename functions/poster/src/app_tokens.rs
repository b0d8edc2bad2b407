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
