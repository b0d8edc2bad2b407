//! The order of events, decided by what they say and never by when they arrive.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::State;

/// What weighs more than time: a pending never replaces a result on the same commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Progress. Flux says `Progressing` again at every drift correction.
    Pending = 0,
    /// The object went on to a newer commit while this one was pending.
    Superseded = 1,
    /// Success or failure.
    Result = 2,
}

impl From<State> for Rank {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Superseded => Self::Superseded,
            State::Success | State::Failure => Self::Result,
        }
    }
}

/// Where an event stands among all events about one commit status, as one sortable string.
///
/// Rank, then time, then the object's resource version, then success before failure (so that of two with the same
/// stamp the failure stays), then a digest of the event so that no two events are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderKey(String);

/// Where an event stands among all events of one object, whatever they say: time, then the object's resource version,
/// as one sortable string.
pub fn instant(timestamp: Timestamp, resource_version: &str) -> String {
    // Kubernetes calls resource versions opaque; in practice they are counters. Anything else counts as 0.
    let version: u64 = resource_version.parse().unwrap_or(0);
    format!("{timestamp:.6}|{version:020}")
}

impl OrderKey {
    /// Builds the key. `event_id` is hexadecimal; its first sixteen digits count.
    pub fn new(
        rank: Rank,
        timestamp: Timestamp,
        resource_version: &str,
        state: State,
        event_id: &str,
    ) -> Self {
        let instant = instant(timestamp, resource_version);
        let failure = u8::from(state == State::Failure);
        let digest: String = event_id.chars().take(16).collect();
        Self(format!("{}|{instant}|{failure}|{digest}", rank as u8))
    }

    /// The sortable text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(timestamp: &str, version: &str, state: State, id: &str) -> OrderKey {
        OrderKey::new(state.into(), timestamp.parse().unwrap(), version, state, id)
    }

    #[test]
    fn each_part_decides_where_those_before_it_are_equal() {
        let ascending = [
            key("2026-08-07T13:13:09Z", "9", State::Pending, "ff"),
            key("2026-08-07T13:13:08Z", "9", State::Superseded, "00"),
            key("2026-08-07T13:12:02Z", "9", State::Success, "00"),
            key("2026-08-07T13:13:02Z", "", State::Success, "00"),
            key("2026-08-07T13:13:02Z", "99", State::Success, "00"),
            key("2026-08-07T13:13:02Z", "100", State::Success, "00"),
            key("2026-08-07T13:13:02Z", "100", State::Success, "01"),
            key("2026-08-07T13:13:02Z", "100", State::Failure, "00"),
            key("2026-08-07T13:13:02.5Z", "1", State::Success, "00"),
            key("2026-08-07T13:13:03Z", "1", State::Success, "00"),
        ];
        for pair in ascending.windows(2) {
            assert!(pair[0] < pair[1], "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn a_zone_does_not_matter() {
        assert_eq!(
            key("2026-08-07T15:13:02+02:00", "1", State::Success, "00"),
            key("2026-08-07T13:13:02Z", "1", State::Success, "00"),
        );
    }

    #[test]
    fn is_readable() {
        assert_eq!(
            key(
                "2026-08-07T13:13:02Z",
                "183230",
                State::Success,
                "0011223344556677889"
            )
            .as_str(),
            "2|2026-08-07T13:13:02.000000Z|00000000000000183230|0|0011223344556677"
        );
    }
}
