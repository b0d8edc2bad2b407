//! The Git hosts: where a repository is, what lets us in, what is posted, and what the answer means.
//!
//! Nothing here talks to anybody: the poster sends what is made here, the operator's tool says what would be sent, and
//! `rules` needs to know only which repository an address names. Each host is one file that implements `Host`, and a
//! line for its module and one for its variant below. Everything they have in common is in the other files.
#![deny(missing_docs)]

mod address;
mod answer;
mod connection;
mod credential;
mod error;
mod pace;
mod repository;
mod request;
mod status;

mod azuredevops;
mod bitbucket;
mod bitbucketserver;
mod gitea;
mod github;
mod gitlab;

use std::fmt;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use secrecy::SecretString;
use shared::State;
use url::Url;

use address::{Address, Location};
use answer::Answer;
use credential::Keys;

pub use connection::{Certificates, Connection, ConnectionError, Proxy};
pub use credential::{Access, Credential, CredentialError};
pub use error::{PostError, refusal};
pub use github::app::{GitHubApp, InstallationToken};
pub use pace::Pace;
pub use repository::{AddressError, Repository};
pub use request::HostRequest;
pub use status::{CommitStatus, MAX_TARGET_URL_CHARS, target_url};

/// What a host's file provides.
trait Host {
    /// Flux's word for it, in `Provider.spec.type`.
    const TYPE: &'static str;

    /// The form of an address that is right for it.
    const ADDRESS: &'static str;

    /// How fast it wants to be posted to.
    const PACE: Pace;

    /// How long a post may take if the Provider says nothing: Flux's default.
    const TIMEOUT_SECONDS: u32 = 15;

    /// Characters of a context it takes.
    const MAX_CONTEXT_CHARS: usize = 255;

    /// Whether statuses of one context are told apart by the event's `summary` too.
    const SUMMARY_COUNTS: bool = false;

    /// Finds the repository an address names, or says what is wrong with it.
    fn locate(address: &Address<'_>) -> Result<Location, String> {
        address.owner_and_name()
    }

    /// What tells statuses of one commit apart, as the host compares it.
    fn context_key(context: &str, _summary: Option<&str>) -> String {
        context.to_owned()
    }

    /// Reads a Provider's secret. `username` is `spec.username`.
    fn access(keys: &Keys, username: Option<&str>) -> Result<Access, CredentialError>;

    /// What is posted.
    fn request(status: &CommitStatus<'_>) -> HostRequest;

    /// What an answer means that came whole. `now` is when it came.
    fn classify(answer: &Answer<'_>, wanted: State, now: Timestamp) -> Result<(), PostError>;

    /// What to ask a host whose answer leaves open whether it knows the commit. It does not if the answer to this is 404.
    fn doubt(_answer: &Answer<'_>, _status: &CommitStatus<'_>) -> Option<HostRequest> {
        None
    }

    /// Whether it would take the status without the address a click leads to.
    fn minds_the_target_url(_answer: &Answer<'_>) -> bool {
        false
    }

    /// Whether a redirection to this address means that the credential is not valid.
    fn is_sign_in(_target: &Url) -> bool {
        false
    }
}

macro_rules! hosts {
    ($($(#[$doc:meta])* $variant:ident => $host:ty,)*) => {
        /// The Git hosts a Provider can name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum HostKind {
            $($(#[$doc])* $variant,)*
        }

        impl HostKind {
            /// Every kind there is.
            pub const ALL: [Self; [$(stringify!($variant),)*].len()] = [$(Self::$variant,)*];
        }

        /// Calls what the file of a host provides. Not through a table of functions: what a binary does not call is not
        /// in it.
        macro_rules! of {
            ($kind:expr, $item:ident $arguments:tt) => {
                match $kind {
                    $(HostKind::$variant => <$host as Host>::$item $arguments,)*
                }
            };
            ($kind:expr, $item:ident) => {
                match $kind {
                    $(HostKind::$variant => <$host as Host>::$item,)*
                }
            };
        }
    };
}

hosts! {
    /// github.com, GitHub Enterprise Server and `*.ghe.com`.
    GitHub => github::GitHub,
    /// gitlab.com and GitLab of one's own.
    GitLab => gitlab::GitLab,
    /// Bitbucket Cloud.
    Bitbucket => bitbucket::Bitbucket,
    /// Bitbucket Server and Data Center.
    BitbucketServer => bitbucketserver::BitbucketServer,
    /// Gitea and Forgejo.
    Gitea => gitea::Gitea,
    /// Azure DevOps Services and Server.
    AzureDevOps => azuredevops::AzureDevOps,
}

impl HostKind {
    pub(crate) fn locate(self, address: &Address<'_>) -> Result<Location, String> {
        of!(self, locate(address))
    }

    /// The kind of that name.
    pub fn from_type(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Flux's word for it.
    pub const fn as_str(self) -> &'static str {
        of!(self, TYPE)
    }

    /// The form of an address that is right for it.
    pub const fn address_form(self) -> &'static str {
        of!(self, ADDRESS)
    }

    /// How fast it wants to be posted to.
    pub const fn pace(self) -> Pace {
        of!(self, PACE)
    }

    /// How long a post may take if the Provider says nothing, in seconds.
    pub const fn timeout_seconds(self) -> u32 {
        of!(self, TIMEOUT_SECONDS)
    }

    /// Characters of a context it takes.
    pub const fn max_context_chars(self) -> usize {
        of!(self, MAX_CONTEXT_CHARS)
    }

    /// Whether statuses of one context are told apart by the event's `summary` too.
    pub const fn summary_counts(self) -> bool {
        of!(self, SUMMARY_COUNTS)
    }

    /// What tells statuses of one commit apart, as the host compares it.
    pub fn context_key(self, context: &str, summary: Option<&str>) -> String {
        of!(self, context_key(context, summary))
    }

    /// Reads a Provider's secret: a JSON object with the keys it has in Flux
    /// (<https://fluxcd.io/flux/components/notification/providers/#git-commit-status-updates>). White space around a
    /// value is dropped, for secrets made from files end in a line feed. `username` is `spec.username`.
    ///
    /// # Errors
    /// Names the key that is missing or wrong, never its value.
    pub fn access(self, secret: &SecretString, username: Option<&str>) -> Result<Access, CredentialError> {
        let keys = Keys::read(secret)?;
        of!(self, access(&keys, username))
    }

    /// What is posted, without the credential.
    pub fn request(self, status: &CommitStatus<'_>) -> HostRequest {
        of!(self, request(status))
    }

    /// What an answer means that came whole. `arrived` is when it came.
    ///
    /// # Errors
    /// Says what is to be done about it, in the host's words; they may hold the credential until
    /// [`PostError::presented`] has masked it.
    pub fn classify(
        self,
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
        of!(self, classify(&answer, wanted, arrived))
    }

    /// What to ask a host whose answer leaves open whether it knows the commit. It does not if the answer to this is 404.
    pub fn doubt(
        self,
        posted: &CommitStatus<'_>,
        status: StatusCode,
        headers: &HeaderMap,
        body: &str,
    ) -> Option<HostRequest> {
        let answer = Answer {
            status,
            headers,
            body,
        };
        of!(self, doubt(&answer, posted))
    }

    /// Whether it would take the status without the address a click leads to.
    pub fn minds_the_target_url(self, status: StatusCode, headers: &HeaderMap, body: &str) -> bool {
        let answer = Answer {
            status,
            headers,
            body,
        };
        of!(self, minds_the_target_url(&answer))
    }

    /// Whether a redirection to this address means that the credential is not valid.
    pub fn is_sign_in(self, target: &Url) -> bool {
        of!(self, is_sign_in(target))
    }
}

impl fmt::Display for HostKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_fluxs_words() {
        for kind in HostKind::ALL {
            assert_eq!(HostKind::from_type(kind.as_str()), Some(kind));
        }
        let words = HostKind::ALL.map(HostKind::as_str);
        assert_eq!(
            words,
            [
                "github",
                "gitlab",
                "bitbucket",
                "bitbucketserver",
                "gitea",
                "azuredevops"
            ]
        );
        for word in ["", "GitHub", "githubdispatch", "slack"] {
            assert_eq!(HostKind::from_type(word), None, "{word}");
        }
    }
}
