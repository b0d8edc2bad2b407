//! The way to the Git hosts, over the network. What is said to them and what their answers mean is the business of the
//! crate `hosts`; nothing is tried twice here: the table owns retries.

mod address_policy;
mod resolver;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::iter::successors;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hosts::{
    Access, CommitStatus, Connection, Credential, GitHubApp, HostKind, HostRequest, InstallationToken,
    PostError, Repository, refusal,
};
use jiff::Timestamp;
use reqwest::dns::Resolve;
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Proxy, Response, StatusCode, Url};
use secrecy::ExposeSecret;
use shared::{CommitSha, ErrorChain, State};
use tokio::time::Sleep;

use address_policy::RefusedAddress;
pub use address_policy::{AddressPolicy, RangeError};
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

/// Context of the status nobody sees.
const PROBE: &str = "commitstatus/check";

/// Clients with certificates or a proxy of their own that are kept at most; above it they are made anew.
const MAX_CLIENTS: usize = 100;

/// Hosts ask to be told who calls: <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent>.
const USER_AGENT: &str = concat!("flux-commit-status/", env!("CARGO_PKG_VERSION"));

/// The way to all Git hosts.
#[derive(Debug, Clone)]
pub struct Hosts {
    straight: Way,
    /// By the fingerprint of their connection.
    others: Arc<Mutex<HashMap<String, Way>>>,
    policy: Arc<AddressPolicy>,
    lookup: Lookup,
}

/// The way to some of them. Connections are shared.
#[derive(Debug, Clone)]
pub struct Way {
    client: Client,
}

/// Certificates or a proxy that cannot be used. Says nothing of what they hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct NoWay {
    problem: String,
    /// Whether it is the proxy, and not the certificates.
    pub is_about_the_proxy: bool,
}

#[derive(Clone)]
struct Lookup(Arc<dyn Resolve>);

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lookup")
    }
}

/// An answer as it came.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    /// Whether all of it came.
    whole: bool,
    arrived: Timestamp,
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
        let (policy, lookup) = (Arc::new(policy), Lookup(lookup));
        let client = client(&policy, &lookup).build()?;
        Ok(Self {
            straight: Way { client },
            others: Arc::default(),
            policy,
            lookup,
        })
    }

    /// The way over a connection; the same for the same connection.
    ///
    /// # Errors
    /// If its certificates cannot be read, or the proxy's address is one nothing is sent to.
    pub fn way(&self, connection: &Connection) -> Result<Way, NoWay> {
        if connection.certificates.is_none() && connection.proxy.is_none() {
            return Ok(self.straight.clone());
        }
        let fingerprint = connection.fingerprint();
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = others.get(&fingerprint) {
            return Ok(way.clone());
        }
        let way = Way {
            client: self.client_for(connection)?,
        };
        if others.len() >= MAX_CLIENTS {
            others.clear();
        }
        others.insert(fingerprint, way.clone());
        Ok(way)
    }

    fn client_for(&self, connection: &Connection) -> Result<Client, NoWay> {
        // The library's own words may quote what the secret holds.
        let no_way = |what: &'static str| {
            move |_: reqwest::Error| NoWay {
                problem: what.to_owned(),
                is_about_the_proxy: false,
            }
        };
        let no_proxy = |problem: String| NoWay {
            problem,
            is_about_the_proxy: true,
        };
        let mut builder = client(&self.policy, &self.lookup);
        if let Some(certificates) = &connection.certificates {
            if let Some(pem) = &certificates.authorities {
                let all = Certificate::from_pem_bundle(pem.expose_secret().as_bytes()).map_err(no_way(
                    "`ca.crt` in the secret holds no certificate that can be read",
                ))?;
                builder = builder.tls_certs_only(all);
            }
            if let Some(pem) = &certificates.identity {
                let identity = Identity::from_pem(pem.expose_secret().as_bytes()).map_err(no_way(
                    "`tls.crt` and `tls.key` in the secret are no certificate and its key",
                ))?;
                builder = builder.identity(identity);
            }
        }
        if let Some(proxy) = &connection.proxy {
            self.check_literal(&proxy.address)
                .map_err(|error| no_proxy(format!("the proxy: {}", error.message())))?;
            let mut address = proxy.address.clone();
            if let Some((name, password)) = &proxy.credential {
                // Neither fails where there is a host.
                let _ = address.set_username(name);
                let _ = address.set_password(Some(password.expose_secret()));
            }
            let proxy = Proxy::all(address)
                .map_err(|_| no_proxy("`address` in the secret is no proxy's".to_owned()))?;
            builder = builder.proxy(proxy);
        }
        builder
            .build()
            .map_err(no_way("the certificates in the secret do not fit together"))
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
        way: &Way,
        credential: &Credential,
        status: &CommitStatus<'_>,
        timeout: Duration,
        clock: &impl Fn() -> Timestamp,
    ) -> Result<(), PostError> {
        let deadline = pin!(tokio::time::sleep(timeout));
        self.post_before(way, credential, status, (deadline, timeout), clock)
            .await
            .map_err(|error| error.presented(credential))
    }

    async fn post_before(
        &self,
        way: &Way,
        credential: &Credential,
        status: &CommitStatus<'_>,
        (mut deadline, timeout): (Pin<&mut Sleep>, Duration),
        clock: &impl Fn() -> Timestamp,
    ) -> Result<(), PostError> {
        let kind = status.repository.host_kind;
        let mut status = *status;
        loop {
            let request = kind.request(&status);
            let answered = self
                .exchange(
                    way,
                    kind,
                    credential,
                    &request,
                    (deadline.as_mut(), timeout),
                    clock,
                )
                .await?;
            let Answered {
                status: code,
                headers,
                body,
                whole,
                arrived,
            } = answered;
            let outcome = kind.classify(status.state, code, &headers, &body, arrived);
            match outcome {
                // Half a message can look like another one.
                Err(PostError::Permanent { message, .. } | PostError::UnknownCommit(message)) if !whole => {
                    return Err(PostError::Ambiguous(message));
                }
                // It was refused for a link: the state matters more.
                Err(PostError::Permanent { .. })
                    if status.target_url.is_some() && kind.minds_the_target_url(code, &headers, &body) =>
                {
                    status.target_url = None;
                }
                Err(PostError::Ambiguous(message)) => {
                    let Some(question) = kind.doubt(&status, code, &headers, &body) else {
                        return Err(PostError::Ambiguous(message));
                    };
                    let answer = self
                        .exchange(way, kind, credential, &question, (deadline, timeout), clock)
                        .await;
                    return match answer {
                        Ok(Answered {
                            status: StatusCode::NOT_FOUND,
                            ..
                        }) => Err(PostError::UnknownCommit(format!("{message}; 404 for the commit"))),
                        Ok(_) | Err(_) => Err(PostError::Ambiguous(message)),
                    };
                }
                outcome => return outcome,
            }
        }
    }

    /// Whether a credential may post statuses to a repository, without one that anybody would see: posts one for the commit
    /// no repository has. A host tells that the commit is missing only to those who may post. `timeout` is for each of up to
    /// four requests.
    ///
    /// # Errors
    /// As [`Hosts::post`]: what a post would meet now.
    pub async fn probe(
        &self,
        way: &Way,
        access: &Access,
        repository: &Repository,
        timeout: Duration,
        clock: &impl Fn() -> Timestamp,
    ) -> Result<(), PostError> {
        let credential = match access {
            Access::Direct(credential) => credential.clone(),
            Access::GitHubApp(app) => {
                let token = self
                    .installation_token(way, app, repository, timeout, clock)
                    .await?;
                token.credential
            }
        };
        let status = CommitStatus {
            repository,
            sha: &CommitSha::null(),
            context: PROBE,
            summary: None,
            state: State::Success,
            description: "checks the credential",
            target_url: None,
        };
        match self.post(way, &credential, &status, timeout, clock).await {
            Err(PostError::UnknownCommit(_)) => Ok(()),
            answer => answer,
        }
    }

    /// Asks GitHub for a token with the key of an App. `timeout` is for everything together.
    ///
    /// # Errors
    /// As [`Hosts::post`]; nothing was posted, whatever the answer is.
    pub async fn installation_token(
        &self,
        way: &Way,
        app: &GitHubApp,
        repository: &Repository,
        timeout: Duration,
        clock: &impl Fn() -> Timestamp,
    ) -> Result<InstallationToken, PostError> {
        let credential = app.credential(clock())?;
        let deadline = pin!(tokio::time::sleep(timeout));
        self.ask_for_token(way, app, &credential, repository, (deadline, timeout), clock)
            .await
            .map_err(|error| match error.presented(&credential) {
                PostError::Ambiguous(message) => {
                    PostError::NotSent(format!("no token for the App: {message}"))
                }
                error => error,
            })
    }

    async fn ask_for_token(
        &self,
        way: &Way,
        app: &GitHubApp,
        credential: &Credential,
        repository: &Repository,
        (mut deadline, timeout): (Pin<&mut Sleep>, Duration),
        clock: &impl Fn() -> Timestamp,
    ) -> Result<InstallationToken, PostError> {
        let kind = repository.host_kind;
        let mut installation = app.installation();
        for lookup in app.lookups(repository) {
            let answered = self
                .exchange(
                    way,
                    kind,
                    credential,
                    &lookup,
                    (deadline.as_mut(), timeout),
                    clock,
                )
                .await?;
            installation = GitHubApp::found(
                answered.status,
                &answered.headers,
                &answered.body,
                answered.arrived,
            )?;
            if installation.is_some() {
                break;
            }
        }
        let installation = installation.ok_or_else(|| app.not_installed())?;
        let request = app.token_request(repository, installation);
        let answered = self
            .exchange(way, kind, credential, &request, (deadline, timeout), clock)
            .await?;
        GitHubApp::token(
            answered.status,
            &answered.headers,
            &answered.body,
            answered.arrived,
        )
    }

    async fn exchange(
        &self,
        way: &Way,
        kind: HostKind,
        credential: &Credential,
        request: &HostRequest,
        (mut deadline, timeout): (Pin<&mut Sleep>, Duration),
        clock: &impl Fn() -> Timestamp,
    ) -> Result<Answered, PostError> {
        let response = tokio::select! {
            response = self.send(way, kind, credential, request) => response?,
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
        Ok(Answered {
            status,
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            whole,
            arrived,
        })
    }

    async fn send(
        &self,
        way: &Way,
        kind: HostKind,
        credential: &Credential,
        request: &HostRequest,
    ) -> Result<Response, PostError> {
        let mut url = Url::parse(&request.url).map_err(|error| {
            PostError::permanent(refusal::REJECTED, format!("`{}`: {error}", request.url))
        })?;
        for _ in 0..=MAX_REDIRECTS {
            self.check_literal(&url)?;
            let mut sent = way
                .client
                .request(request.method.clone(), url.clone())
                .header(credential.header(), credential.value());
            if !request.body.is_null() {
                sent = sent.json(&request.body);
            }
            for (name, value) in request.headers {
                sent = sent.header(*name, *value);
            }
            let response = sent
                .send()
                .await
                .map_err(|error| address_refused(&url, &error).unwrap_or_else(|| not_answered(error)))?;
            match redirection(&url, &response) {
                None => return Ok(response),
                Some(target) if kind.is_sign_in(&target) => {
                    return Err(PostError::Unauthorized(format!(
                        "{} to a page to sign in",
                        response.status()
                    )));
                }
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

fn client(policy: &Arc<AddressPolicy>, lookup: &Lookup) -> ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        // The environment is read in `main` only. And a proxy would resolve names itself, and judge nothing: the
        // operator names those that may.
        .no_proxy()
        .dns_resolver(JudgingResolver::new(Arc::clone(policy), Arc::clone(&lookup.0)))
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
