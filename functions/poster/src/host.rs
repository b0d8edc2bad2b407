//! The Git hosts: what is posted to them, and what their answers mean.
//!
//! One file per host. Each says how its secret is read, what its request looks like and what its own answers mean;
//! everything else is here. No host is ever read from, and nothing is tried twice: the table owns retries.

mod address_policy;
mod answer;
mod bitbucket;
mod credential;
mod github;
mod gitlab;
mod request;
mod resolver;

use std::error::Error as StdError;
use std::iter::successors;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::dns::Resolve;
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Client, Response, StatusCode, Url};
use shared::{CommitSha, ErrorChain, HostKind, Repository, State};

use address_policy::RefusedAddress;
pub use address_policy::{AddressPolicy, RangeError};
use answer::Answer;
use credential::Keys;
pub use credential::{Credential, CredentialError};
use request::{HostRequest, cut};
use resolver::{JudgingResolver, SystemResolver};

/// How long a host may take to let us in: TCP and TLS. Well below the 15 seconds one post may take as in Flux, so that
/// a host which is away is told from one that may have taken the status.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two invocations the function is frozen, and a connection that slept through it is likely dead: a post that
/// fails on one leaves open whether it was taken.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// A renamed repository costs one hop, one renamed and moved to another owner two.
const MAX_REDIRECTS: usize = 2;

/// More of an answer than any message worth keeping; a page of a proxy may be longer.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Characters of a host's message that are kept, so that a status stays below 1 KiB in the table.
const MAX_MESSAGE_CHARS: usize = 200;

/// Hosts ask to be told who calls: <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent>.
const USER_AGENT: &str = concat!("flux-commit-status/", env!("CARGO_PKG_VERSION"));

/// What is posted.
#[derive(Debug, Clone, Copy)]
pub struct CommitStatus<'a> {
    /// Where the commit is.
    pub repository: &'a Repository,
    /// The commit.
    pub sha: &'a CommitSha,
    /// What tells statuses of one commit apart; Bitbucket gets its hash as key and itself as visible name.
    pub context: &'a str,
    /// What the cluster says.
    pub state: State,
    /// One line for people, cut to what the host takes.
    pub description: &'a str,
    /// Where a click leads. Bitbucket demands one and gets the commit's page if there is none.
    pub target_url: Option<&'a str>,
}

/// Reasons of [`PostError::Permanent`].
pub mod refusal {
    /// The credential may not do this.
    pub const FORBIDDEN: &str = "forbidden";
    /// No such repository, or none the credential may see: hosts do not say which.
    pub const NOT_FOUND: &str = "not-found";
    /// The host takes no more statuses for this commit.
    pub const STATUS_LIMIT: &str = "status-limit";
    /// The host does not like the request.
    pub const REJECTED: &str = "rejected";
    /// The repository is now elsewhere, and a credential is not sent after it.
    pub const MOVED: &str = "moved";
    /// The host has closed this for good.
    pub const GONE: &str = "gone";
    /// GitLab knows no way from the state it shows to the one wanted.
    pub const CANNOT_TRANSITION: &str = "cannot-transition";
    /// The host is at an address no credential is sent to. It was not connected to.
    pub const ADDRESS_REFUSED: &str = "address-refused";
}

/// Why a post did not succeed, by what is to be done about it. Messages are the host's, at most 200 characters and
/// without the credential; a cause in the network is part of the message, for it too may need masking.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The host may or may not have taken it.
    #[error("no telling whether the host took it: {0}")]
    Ambiguous(String),
    /// It never reached the host.
    #[error("the host was not reached: {0}")]
    NotSent(String),
    /// Not taken because something else was going on; soon it will be.
    #[error("the host is busy with this commit: {0}")]
    Conflict(String),
    /// Not taken, and nothing posted with this credential will be for a while.
    #[error("rate limited until {until}: {message}")]
    RateLimited {
        /// The instant the host named; a minute from its answer if it named none, a day if it named one beyond.
        until: Timestamp,
        /// Whether the posts came too fast; otherwise what the host grants for a longer time is used up.
        too_fast: bool,
        /// The host's words.
        message: String,
    },
    /// Not taken, for the credential is not valid.
    #[error("the credential is not valid: {0}")]
    Unauthorized(String),
    /// Not taken, for the host does not know the commit: not pushed there, not there yet, or no longer.
    #[error("the host does not know the commit: {0}")]
    UnknownCommit(String),
    /// Not taken, and no later attempt will fare better unless somebody changes something.
    #[error("refused ({reason}): {message}")]
    Permanent {
        /// One of [`refusal`].
        reason: &'static str,
        /// The host's words.
        message: String,
    },
}

impl PostError {
    /// What the host said, or what went wrong on the way to it.
    pub fn message(&self) -> &str {
        match self {
            Self::Ambiguous(message)
            | Self::NotSent(message)
            | Self::Conflict(message)
            | Self::RateLimited { message, .. }
            | Self::Unauthorized(message)
            | Self::UnknownCommit(message)
            | Self::Permanent { message, .. } => message,
        }
    }

    fn permanent(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Permanent {
            reason,
            message: message.into(),
        }
    }

    /// Masks before it cuts: the front half of a token is no less secret.
    fn made_presentable(mut self, credential: &Credential) -> Self {
        let (Self::Ambiguous(message)
        | Self::NotSent(message)
        | Self::Conflict(message)
        | Self::RateLimited { message, .. }
        | Self::Unauthorized(message)
        | Self::UnknownCommit(message)
        | Self::Permanent { message, .. }) = &mut self;
        let masked = credential.mask(message);
        let words: Vec<&str> = masked
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .collect();
        *message = cut(&words.join(" "), MAX_MESSAGE_CHARS);
        self
    }
}

/// What a host's file provides.
struct Adapter {
    credential: fn(&Keys) -> Result<Credential, CredentialError>,
    request: fn(&CommitStatus<'_>) -> HostRequest,
    classify: fn(&Answer<'_>, State, Timestamp) -> Result<(), PostError>,
}

const fn adapter(host_kind: HostKind) -> &'static Adapter {
    match host_kind {
        HostKind::GitHub => &github::ADAPTER,
        HostKind::GitLab => &gitlab::ADAPTER,
        HostKind::Bitbucket => &bitbucket::ADAPTER,
    }
}

/// What an answer means that came whole, in the words of [`Hosts::post`]. `arrived` is when it came.
///
/// # Errors
/// As [`Hosts::post`].
pub fn classify(
    host_kind: HostKind,
    credential: &Credential,
    wanted: State,
    status: StatusCode,
    headers: &HeaderMap,
    body: &str,
    arrived: Timestamp,
) -> Result<(), PostError> {
    let answer = Answer {
        status,
        headers,
        body,
    };
    (adapter(host_kind).classify)(&answer, wanted, arrived)
        .map_err(|error| error.made_presentable(credential))
}

/// The way to all Git hosts. Connections are shared.
#[derive(Debug, Clone)]
pub struct Hosts {
    client: Client,
    policy: Arc<AddressPolicy>,
}

impl Hosts {
    /// Connects to nothing yet, and never to an address that `policy` refuses.
    ///
    /// # Errors
    /// If this machine has no certificates to check hosts with.
    pub fn new(policy: AddressPolicy) -> Result<Self, reqwest::Error> {
        Self::resolving_with(Arc::new(SystemResolver), policy)
    }

    fn resolving_with(lookup: Arc<dyn Resolve>, policy: AddressPolicy) -> Result<Self, reqwest::Error> {
        let policy = Arc::new(policy);
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            // The environment is read in `main` only. And a proxy would resolve names itself, and judge nothing.
            .no_proxy()
            .dns_resolver(JudgingResolver::new(Arc::clone(&policy), lookup))
            .build()?;
        Ok(Self { client, policy })
    }

    /// Posts a status, once.
    ///
    /// The credential must have been read for the host kind of the repository. `timeout` is for everything together.
    /// A wait the host asks for in seconds is counted from what `clock` says when the answer arrives.
    ///
    /// # Errors
    /// Says what is to be done about it.
    pub async fn post(
        &self,
        credential: &Credential,
        status: &CommitStatus<'_>,
        timeout: Duration,
        clock: &impl Fn() -> Timestamp,
    ) -> Result<(), PostError> {
        let adapter = adapter(status.repository.host_kind);
        let request = (adapter.request)(status);
        self.exchange(adapter, credential, &request, status.state, timeout, clock)
            .await
            .map_err(|error| error.made_presentable(credential))
    }

    async fn exchange(
        &self,
        adapter: &Adapter,
        credential: &Credential,
        request: &HostRequest,
        wanted: State,
        timeout: Duration,
        clock: &impl Fn() -> Timestamp,
    ) -> Result<(), PostError> {
        let mut deadline = pin!(tokio::time::sleep(timeout));
        let response = tokio::select! {
            response = self.send(credential, request) => response?,
            () = &mut deadline => {
                return Err(PostError::Ambiguous(format!("no answer within {timeout:?}")));
            }
        };
        let arrived = clock();
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        let whole = tokio::select! {
            whole = read(response, &mut body) => whole,
            () = &mut deadline => false,
        };
        let answer = Answer {
            status,
            headers: &headers,
            body: &String::from_utf8_lossy(&body),
        };
        match (adapter.classify)(&answer, wanted, arrived) {
            // Half a message can look like another one.
            Err(PostError::Permanent { message, .. } | PostError::UnknownCommit(message)) if !whole => {
                Err(PostError::Ambiguous(message))
            }
            outcome => outcome,
        }
    }

    async fn send(&self, credential: &Credential, request: &HostRequest) -> Result<Response, PostError> {
        let mut url = Url::parse(&request.url).map_err(|error| {
            PostError::permanent(refusal::REJECTED, format!("`{}`: {error}", request.url))
        })?;
        for _ in 0..=MAX_REDIRECTS {
            self.check_literal(&url)?;
            let mut post = self
                .client
                .post(url.clone())
                .header(credential.header(), credential.value())
                .json(&request.body);
            for (name, value) in request.headers {
                post = post.header(*name, *value);
            }
            let response = post
                .send()
                .await
                .map_err(|error| address_refused(&url, &error).unwrap_or_else(|| not_answered(error)))?;
            match redirection(&url, &response) {
                None => return Ok(response),
                Some(target) if target.origin() == url.origin() => url = target,
                Some(target) => return Err(moved_to(&target)),
            }
        }
        Err(moved_to(&url))
    }

    /// The client asks its resolver for names only. Decimal, octal and short forms of addresses are whole in a [`Url`].
    fn check_literal(&self, url: &Url) -> Result<(), PostError> {
        let ip = url
            .host_str()
            .and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        match ip.map(|ip| self.policy.check(ip)) {
            Some(Err(refused)) => Err(address_refused_as(url, &refused)),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

/// Whether all of it was read.
async fn read(mut response: Response, body: &mut Vec<u8>) -> bool {
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return true,
            Err(_) => return false,
        }
        if body.len() >= MAX_BODY_BYTES {
            return true;
        }
    }
}

fn redirection(url: &Url, response: &Response) -> Option<Url> {
    let redirects = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    redirects.then(|| url.join(location).ok()).flatten()
}

fn moved_to(target: &Url) -> PostError {
    // Queries and user information can hold what should not be shown.
    let origin = target.origin().ascii_serialization();
    PostError::permanent(refusal::MOVED, format!("redirected to {origin}{}", target.path()))
}

/// What the resolver refused is at the end of what the client tells of it.
fn address_refused(url: &Url, error: &reqwest::Error) -> Option<PostError> {
    successors(Some(error as &(dyn StdError + 'static)), |&error| error.source())
        .find_map(|error| error.downcast_ref::<RefusedAddress>())
        .map(|refused| address_refused_as(url, refused))
}

/// The host comes last, for it may be long and stands in the log line beside.
fn address_refused_as(url: &Url, refused: &RefusedAddress) -> PostError {
    let host = url.host_str().unwrap_or_default();
    PostError::permanent(refusal::ADDRESS_REFUSED, format!("{refused}: {host}"))
}

fn not_answered(error: reqwest::Error) -> PostError {
    let never_left = error.is_connect() || error.is_builder();
    let message = ErrorChain(&error.without_url()).to_string();
    if never_left {
        PostError::NotSent(message)
    } else {
        PostError::Ambiguous(message)
    }
}

#[cfg(test)]
mod tests;
