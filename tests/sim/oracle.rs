//! What a host must show in the end, written from the specification. It shares no code with the functions.

use std::collections::BTreeMap;

use super::history::{History, Kind, Says, SimEvent, sha};

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
    pub(crate) const fn word(self, kind: Kind) -> &'static str {
        match (kind, self) {
            (Kind::GitHub | Kind::GitLab, Self::Pending) => "pending",
            (Kind::GitHub | Kind::GitLab, Self::Success) => "success",
            (Kind::GitHub, Self::Failure) => "failure",
            (Kind::GitHub, Self::Superseded) => "error",
            (Kind::GitLab, Self::Failure) => "failed",
            (Kind::GitLab, Self::Superseded) => "canceled",
            (Kind::Bitbucket, Self::Pending) => "INPROGRESS",
            (Kind::Bitbucket, Self::Success) => "SUCCESSFUL",
            (Kind::Bitbucket, Self::Failure) => "FAILED",
            (Kind::Bitbucket, Self::Superseded) => "STOPPED",
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
