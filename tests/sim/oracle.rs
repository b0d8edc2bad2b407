//! What a host must show in the end, written from the specification. It shares no code with the functions.

use std::collections::BTreeMap;

use hosts::HostKind;

use super::history::{History, Says, SimEvent, sha};

/// A commit and a context.
pub(crate) type Key = (String, String);

/// What a status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Pending,
    Success,
    Failure,
    Superseded,
}

impl State {
    /// The host's word.
    pub(crate) const fn word(self, kind: HostKind) -> &'static str {
        use HostKind::{AzureDevOps, Bitbucket, BitbucketServer, GitHub, GitLab, Gitea};
        match (kind, self) {
            (GitHub | GitLab | Gitea | AzureDevOps, Self::Pending) => "pending",
            (GitHub | GitLab | Gitea, Self::Success) => "success",
            (GitHub | Gitea, Self::Failure) => "failure",
            (GitHub | Gitea, Self::Superseded) => "error",
            (GitLab, Self::Failure) => "failed",
            (GitLab, Self::Superseded) => "canceled",
            (Bitbucket | BitbucketServer, Self::Pending) => "INPROGRESS",
            (Bitbucket | BitbucketServer, Self::Success) => "SUCCESSFUL",
            (Bitbucket | BitbucketServer, Self::Failure) => "FAILED",
            (Bitbucket, Self::Superseded) => "STOPPED",
            (BitbucketServer, Self::Superseded) => "CANCELLED",
            (AzureDevOps, Self::Success) => "succeeded",
            (AzureDevOps, Self::Failure) => "error",
            (AzureDevOps, Self::Superseded) => "notApplicable",
        }
    }

    /// The word in the table.
    pub(crate) const fn stored(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Superseded => "superseded",
        }
    }
}

fn state(says: Says) -> State {
    match says {
        Says::Progressing => State::Pending,
        Says::BuildFailed | Says::HealthCheckFailed => State::Failure,
        Says::Succeeded => State::Success,
    }
}

/// What must be seen of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) state: State,
    /// It is shown only if it clears what was shown before: a success under a rule for errors.
    pub(crate) only_clears: bool,
    /// How many events say something about it.
    pub(crate) events: usize,
}

/// What a host must show for each commit and context, from the events that were handled under the rule.
pub(crate) fn expected<'a>(
    history: &History,
    handled: impl IntoIterator<Item = &'a SimEvent>,
) -> BTreeMap<Key, Expected> {
    let rule = history.rule;
    let reports_progress = rule.progress && !rule.errors_only;
    let mut best: BTreeMap<Key, (&SimEvent, usize)> = BTreeMap::new();
    let mut newest: BTreeMap<String, usize> = BTreeMap::new();
    // A result outweighs progress; then time, then the object's version, and of two that are equal the failure.
    let weight = |event: &SimEvent| {
        let state = state(event.says);
        (
            state != State::Pending,
            event.second,
            event.version,
            state == State::Failure,
        )
    };
    for event in handled {
        if event.says == Says::Progressing && !reports_progress {
            continue;
        }
        let context = event.context();
        let commit = newest.entry(context.clone()).or_default();
        *commit = (*commit).max(event.commit);
        let (best, events) = best.entry((sha(event.commit), context)).or_insert((event, 0));
        *events += 1;
        if weight(event) > weight(best) {
            *best = event;
        }
    }
    best.into_iter()
        .map(|(key, (event, events))| {
            let overtaken = event.commit < newest[&key.1];
            let state = match state(event.says) {
                State::Pending if overtaken && rule.closes => State::Superseded,
                state => state,
            };
            let expected = Expected {
                state,
                only_clears: rule.errors_only && state == State::Success,
                events,
            };
            (key, expected)
        })
        .collect()
}
