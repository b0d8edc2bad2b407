//! What is posted.

use shared::{CommitSha, State};
use url::Url;

use crate::Repository;

/// The longest address any host is sent for a click to lead to. Hosts take less, each its own; what is too long for one
/// is left out, for half an address leads nowhere.
pub const MAX_TARGET_URL_CHARS: usize = 1_000;

/// An address a click may lead to, written as an address is; `None` if it is none, or holds a password.
pub fn target_url(text: &str) -> Option<String> {
    let url = Url::parse(text.trim()).ok()?;
    let is_web =
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty());
    (is_web && url.username().is_empty() && url.password().is_none()).then(|| url.into())
}

/// What is posted.
#[derive(Debug, Clone, Copy)]
pub struct CommitStatus<'a> {
    /// Where the commit is.
    pub repository: &'a Repository,
    /// The commit.
    pub sha: &'a CommitSha,
    /// What tells statuses of one commit apart; both Bitbuckets get its hash as key and itself as visible name.
    pub context: &'a str,
    /// Azure DevOps puts it into the genre, which tells statuses apart as well. The others do not show it.
    pub summary: Option<&'a str>,
    /// What the cluster says.
    pub state: State,
    /// One line for people, cut to what the host takes.
    pub description: &'a str,
    /// Where a click leads. Both Bitbuckets demand one, and get the commit's page if there is none.
    pub target_url: Option<&'a str>,
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::{HostKind, HostRequest};

    pub(crate) const SHA: &str = "a1afe267b54f38b46b487f6e938a6fd508278c07";

    /// What is posted of a success to a repository, after a change.
    pub(crate) fn posted<'a>(
        kind: HostKind,
        address: &str,
        change: impl FnOnce(&mut CommitStatus<'a>),
    ) -> HostRequest {
        let repository = Box::leak(Box::new(Repository::parse(kind, address, false).unwrap()));
        let sha: &CommitSha = Box::leak(Box::new(SHA.parse().unwrap()));
        let mut status = CommitStatus {
            repository,
            sha,
            context: "kustomization/gitops-system/0c9c2e41",
            summary: None,
            state: State::Success,
            description: "apply succeeded",
            target_url: None,
        };
        change(&mut status);
        kind.request(&status)
    }
}
