//! Stand-ins of Git hosts' APIs for commit statuses: each takes, refuses and shows what the host would, and says so in its
//! words. They do nothing by themselves, neither listen nor read a clock, so that whoever serves them can put faults
//! around them. They have no rate limits for the same reason.

use std::collections::BTreeSet;
use std::fmt;

use hosts::HostKind;
use jiff::Timestamp;
use shared::{CommitSha, State};

mod azuredevops;
mod bitbucket;
mod bitbucketserver;
mod gitea;
mod github;
mod gitlab;
mod server;
#[cfg(test)]
mod testing;
mod wire;

pub use github::{App, Installation};
pub use server::{Call, Server};
pub use wire::{Answer, Body, Request};

use wire::Fields;

/// Whose the tokens of [`Facts::token`] are.
const USER: &str = "flux@example.com";

/// A line for each host: all that is its own is in its file.
fn rules(kind: HostKind) -> Box<dyn Rules> {
    match kind {
        HostKind::GitHub => Box::new(github::GitHub::default()),
        HostKind::GitLab => Box::new(gitlab::GitLab::default()),
        HostKind::Bitbucket => Box::new(bitbucket::Bitbucket),
        HostKind::BitbucketServer => Box::new(bitbucketserver::BitbucketServer),
        HostKind::Gitea => Box::new(gitea::Gitea),
        HostKind::AzureDevOps => Box::new(azuredevops::AzureDevOps),
    }
}

/// What is to be known of a host to set up a Provider for its stand-in, and to read what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What people call it.
    pub title: &'static str,
    /// The path of a repository in a Provider's address.
    pub example: &'static str,
    /// A token comes with its user.
    needs_user: bool,
    /// Its words for a commit that is pending, a success, a failure, and superseded.
    words: [&'static str; 4],
}

impl Facts {
    /// Those of a host.
    pub fn of(kind: HostKind) -> Self {
        rules(kind).facts()
    }

    /// Its word for a state.
    pub fn word(&self, state: State) -> &'static str {
        let [pending, success, failure, superseded] = self.words;
        match state {
            State::Pending => pending,
            State::Success => success,
            State::Failure => failure,
            State::Superseded => superseded,
        }
    }

    /// A token, and what stands under `token` in the secret of a Provider that has it.
    pub fn token(&self, secret: &str) -> (Token, String) {
        if self.needs_user {
            (Token::password(USER, secret), format!("{USER}:{secret}"))
        } else {
            (Token::new(USER, secret), secret.to_owned())
        }
    }
}

/// What one host does in its own way.
trait Rules: fmt::Debug + Send {
    /// What there is to say about it.
    fn facts(&self) -> Facts;

    /// Repository and commit, by the path a status for them is posted to.
    fn posted_to(&self, path: &[&str]) -> Option<(String, String)>;

    /// What the host tells a status by, and what people see of that where it is something else.
    fn context(&self, fields: &Fields) -> (String, Option<String>);

    /// Where it looks for a credential, one after the other.
    fn credential_headers(&self) -> &[&str] {
        &["authorization"]
    }

    /// What the host takes for one and the same status.
    fn key(&self, repository: &str, sha: &str, context: &str) -> Key;

    /// The answer, or what it refuses with.
    fn answer(&mut self, request: &Request<'_>, memory: &mut Memory) -> Result<Answer, Answer>;

    /// Whether the newest status of one context takes that of another, which is older, from people's sight.
    fn hides(&self, _newer: &Received, _older: &Received) -> bool {
        false
    }
}

/// What a status is found by, as its host compares it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
struct Key {
    repository: String,
    sha: String,
    context: String,
}

impl Key {
    /// Commits are the same whatever the case of their names.
    fn new(repository: impl Into<String>, sha: &str, context: impl Into<String>) -> Self {
        Self {
            repository: repository.into(),
            sha: sha.to_ascii_lowercase(),
            context: context.into(),
        }
    }
}

/// What a request for a status is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// `owner/name`, `project/name` or `organization/project/name`, as the host compares it.
    pub repository: String,
    /// The commit, in small letters.
    pub sha: String,
    /// The context, name or key, whichever the host compares, as it compares it.
    pub context: String,
    /// What people see of the context, where that is something else.
    pub name: Option<String>,
    /// The state, in the host's word.
    pub state: String,
    /// The whole value of the header with the credential; empty if there is none.
    pub credential: String,
}

/// A status as the host keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The row it is in. Some hosts make a new one for every post, others keep to one for each context.
    pub id: u64,
    /// `owner/name`, `project/name` or `organization/project/name`, as it was sent.
    pub repository: String,
    /// The commit.
    pub sha: String,
    /// The context, name or key, whichever the host compares.
    pub context: String,
    /// What people see of the context, where that is something else.
    pub name: Option<String>,
    /// The state, in the host's word.
    pub state: String,
    /// The description.
    pub description: Option<String>,
    /// Where a click leads.
    pub target_url: Option<String>,
    /// Whose credential it was.
    pub by: String,
    /// When it was taken.
    pub at: Timestamp,
    key: Key,
}

impl Received {
    /// What people see of the context.
    pub fn visible(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.context)
    }
}

/// A secret the host knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub user: String,
    /// What is sent.
    pub secret: String,
    /// It goes with its user, as what a person signs in with, and never alone.
    pub is_password: bool,
    /// Its user may set statuses.
    pub may_write: bool,
}

impl Token {
    /// An access token that may set statuses.
    pub fn new(user: &str, secret: &str) -> Self {
        Self {
            user: user.to_owned(),
            secret: secret.to_owned(),
            is_password: false,
            may_write: true,
        }
    }

    /// A password, or a token that is used like one, that may set statuses.
    pub fn password(user: &str, secret: &str) -> Self {
        Self {
            is_password: true,
            ..Self::new(user, secret)
        }
    }

    /// The same, but it may not set statuses.
    pub fn read_only(self) -> Self {
        Self {
            may_write: false,
            ..self
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("user", &self.user)
            .field("is_password", &self.is_password)
            .field("may_write", &self.may_write)
            .finish_non_exhaustive()
    }
}

/// Who is let in.
#[derive(Debug, Default)]
pub struct Credentials {
    /// By secrets of their own.
    pub tokens: Vec<Token>,
    /// By a key that proves an app; GitHub only.
    pub app: Option<App>,
}

impl From<Token> for Credentials {
    fn from(token: Token) -> Self {
        Self {
            tokens: vec![token],
            app: None,
        }
    }
}

impl From<App> for Credentials {
    fn from(app: App) -> Self {
        Self {
            tokens: Vec::new(),
            app: Some(app),
        }
    }
}

/// Names of which some are known.
#[derive(Debug, Default)]
struct Known {
    /// These only.
    only: Option<BTreeSet<String>>,
    /// These in no case.
    forgotten: BTreeSet<String>,
}

impl Known {
    fn has(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(name)) && !self.forgotten.contains(name)
    }

    fn learn(&mut self, name: String) {
        self.forgotten.remove(&name);
        if let Some(only) = &mut self.only {
            only.insert(name);
        }
    }
}

/// What all hosts remember.
#[derive(Debug, Default)]
struct Memory {
    credentials: Credentials,
    repositories: Known,
    commits: Known,
    received: Vec<Received>,
    last_id: u64,
}

impl Memory {
    fn by_secret(&self, secret: &str) -> Option<&Token> {
        let mut tokens = self.credentials.tokens.iter();
        tokens.find(|token| !token.is_password && token.secret == secret)
    }

    fn by_password(&self, user: &str, secret: &str) -> Option<&Token> {
        let mut tokens = self.credentials.tokens.iter();
        tokens.find(|token| token.is_password && token.user == user && token.secret == secret)
    }

    fn knows(&self, key: &Key) -> bool {
        key.sha != CommitSha::null().as_str() && self.commits.has(&key.sha)
    }

    /// The status as it is now.
    fn current(&self, key: &Key) -> Option<&Received> {
        let of_key = self.received.iter().filter(|received| received.key == *key);
        // The last of those in the newest row.
        of_key.max_by_key(|received| received.id)
    }

    /// In a row of its own.
    fn add(&mut self, received: Received) -> &Received {
        self.last_id += 1;
        self.take(Received {
            id: self.last_id,
            ..received
        })
    }

    /// In the row of its key.
    fn put(&mut self, received: Received) -> &Received {
        match self.current(&received.key) {
            Some(current) => {
                let id = current.id;
                self.take(Received { id, ..received })
            }
            None => self.add(received),
        }
    }

    fn take(&mut self, received: Received) -> &Received {
        self.received.push_mut(received)
    }
}

/// A host, as whoever talks to it sees it.
#[derive(Debug)]
pub struct StandIn {
    kind: HostKind,
    rules: Box<dyn Rules>,
    memory: Memory,
}

impl StandIn {
    /// Lets in whoever has one of these; knows every repository and every commit.
    pub fn new(kind: HostKind, credentials: impl Into<Credentials>) -> Self {
        Self {
            kind,
            rules: rules(kind),
            memory: Memory {
                credentials: credentials.into(),
                ..Memory::default()
            },
        }
    }

    /// Which host it stands in for.
    pub fn kind(&self) -> HostKind {
        self.kind
    }

    /// Does what is asked, if the host would.
    pub fn answer(&mut self, request: &Request<'_>) -> Answer {
        let answer = self.rules.answer(request, &mut self.memory);
        answer.unwrap_or_else(|refusal| refusal)
    }

    /// Every post it took, in order.
    pub fn received(&self) -> &[Received] {
        &self.memory.received
    }

    /// What people see now, by the host's own rule of which wins.
    pub fn shown(&self, repository: &str, sha: &str, context: &str) -> Option<&Received> {
        let key = self.rules.key(repository, sha, context);
        let shown = self.memory.current(&key)?;
        let is_of_the_commit =
            |other: &&Received| other.key.repository == key.repository && other.key.sha == key.sha;
        let is_hidden = self
            .memory
            .received
            .iter()
            .filter(is_of_the_commit)
            .filter(|other| other.id > shown.id && self.rules.hides(other, shown))
            .any(|other| self.memory.current(&other.key) == Some(other));
        (!is_hidden).then_some(shown)
    }

    /// All that people see now on a commit, in the order in which each was first told.
    pub fn all_shown(&self, sha: &str) -> Vec<&Received> {
        let mut shown: Vec<&Received> = Vec::new();
        for received in &self.memory.received {
            let is_new = shown.iter().all(|other| other.key != received.key);
            if received.key.sha == sha.to_ascii_lowercase() && is_new {
                shown.extend(self.shown(&received.repository, &received.sha, &received.context));
            }
        }
        shown
    }

    /// What a request for a status is about, whether or not the host would take it; nothing for all other requests.
    pub fn read(kind: HostKind, request: &Request<'_>) -> Option<Post> {
        let rules = rules(kind);
        let (repository, sha) = request.posted(|path| rules.posted_to(path))?;
        let fields = request.fields().ok()?;
        let (context, name) = rules.context(&fields);
        let key = rules.key(&repository, &sha, &context);
        let mut headers = rules.credential_headers().iter();
        let credential = headers.find_map(|name| request.header(name));
        Some(Post {
            repository: key.repository,
            sha: key.sha,
            context: key.context,
            name,
            state: fields.text_or_nothing("state").unwrap_or_default().to_owned(),
            credential: credential.unwrap_or_default().to_owned(),
        })
    }

    /// Lets in whoever has this one, and no longer who has another one of its user.
    pub fn set_token(&mut self, token: Token) {
        self.revoke(&token.user);
        self.memory.credentials.tokens.push(token);
    }

    /// Lets in nobody who has a token of this user.
    pub fn revoke(&mut self, user: &str) {
        self.memory.credentials.tokens.retain(|token| token.user != user);
    }

    /// The app it knows.
    pub fn app_mut(&mut self) -> Option<&mut App> {
        self.memory.credentials.app.as_mut()
    }

    /// Knows these commits and no others.
    pub fn know_only_commits<'a>(&mut self, shas: impl IntoIterator<Item = &'a str>) {
        self.memory.commits.only = Some(shas.into_iter().map(str::to_ascii_lowercase).collect());
    }

    /// Knows this commit from now on.
    pub fn learn_commit(&mut self, sha: &str) {
        self.memory.commits.learn(sha.to_ascii_lowercase());
    }

    /// No longer knows this commit.
    pub fn forget_commit(&mut self, sha: &str) {
        self.memory.commits.forgotten.insert(sha.to_ascii_lowercase());
    }

    /// Knows these repositories and no others.
    pub fn know_only_repositories<'a>(&mut self, repositories: impl IntoIterator<Item = &'a str>) {
        let names = repositories
            .into_iter()
            .map(|name| self.rules.key(name, "", "").repository);
        self.memory.repositories.only = Some(names.collect());
    }

    /// Knows this repository from now on.
    pub fn learn_repository(&mut self, repository: &str) {
        let name = self.rules.key(repository, "", "").repository;
        self.memory.repositories.learn(name);
    }

    /// No longer knows this repository.
    pub fn forget_repository(&mut self, repository: &str) {
        let name = self.rules.key(repository, "", "").repository;
        self.memory.repositories.forgotten.insert(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_knows_every_address() {
        let mut headers = http::HeaderMap::new();
        headers.insert("user-agent", "test".parse().unwrap());
        headers.insert("authorization", "Basic OnBhdA==".parse().unwrap());
        for kind in HostKind::ALL {
            let mut host = StandIn::new(kind, Token::new("bot", "pat"));
            for target in [
                "/",
                "/nothing",
                "*",
                "//api/v3",
                "/api/v4/?x=/api/v4/projects/1/statuses/2",
            ] {
                let request = Request {
                    method: "POST",
                    target,
                    headers: &headers,
                    body: b"{}",
                    now: Timestamp::UNIX_EPOCH,
                };
                assert_eq!(host.answer(&request).status, 404, "{kind} {target}");
                assert_eq!(StandIn::read(kind, &request), None, "{kind} {target}");
            }
            assert_eq!(host.kind(), kind);
        }
    }
}
