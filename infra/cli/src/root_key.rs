//! The one secret every cluster key is derived from.
//!
//! Nothing is recorded of a rotation but the versions of the secret themselves. `connect` remembers with each cluster
//! which version its key was made from, so whatever call was interrupted, comparing the two tells how things stand.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Serialize;
use shared::item::EventItem;

use crate::secrets::{SecretError, SecretStore, Stages, root_key_name};
use crate::store::{Cluster, Store, StoreError};

/// As many bytes as the hash of the derivation yields.
const BYTES: usize = 32;

/// The root key could not be made or put in force.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    /// The operating system gave no random numbers.
    #[error("the operating system gave no random numbers; try again")]
    Random(#[source] getrandom::Error),
    /// There is none.
    #[error("no root key `{0}`; `commitstatus root-key init` creates it")]
    Missing(String),
    /// Somebody else rotated or retired it between our reading and writing.
    #[error(
        "somebody else changed `{0}` meanwhile, and nothing was done; `commitstatus root-key status` shows how it stands"
    )]
    Changed(String),
    /// The store did not take it.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Which root key the key of a cluster was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The one in force.
    Current,
    /// The one before it, which is still accepted.
    Previous,
    /// One that is not accepted any more.
    Gone,
    /// Not recorded, so it may be the previous one.
    Unknown,
    /// The cluster was given no key since it was registered or revoked.
    None,
}

/// With which root key clusters were seen to send, during a rotation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Senders {
    /// Clusters that were seen since the rotation, and whether any object of theirs still sends with the previous one.
    previous: BTreeMap<String, bool>,
}

impl Senders {
    /// An event that is kept is written again after six hours at the latest: what is older tells of an object that is gone.
    const STILL_THERE: SignedDuration = SignedDuration::from_hours(7);
    /// By then every function has read the root keys again; a minute is for clocks that differ.
    const SETTLED: SignedDuration = SignedDuration::from_secs(intake::root_key_cache::MAX_AGE.as_secs() + 60);

    /// What kept events tell. Each object counts with its newest. For some minutes after a rotation a warm function still
    /// takes the root key before for the one in force: what it says then is believed only where it says otherwise.
    pub fn of(events: &[EventItem], stages: &Stages, now: Timestamp) -> Self {
        let rotated_at = stages
            .current
            .created_at
            .unwrap_or(Timestamp::MIN)
            .as_millisecond();
        let still_there = now.as_millisecond() - Self::STILL_THERE.as_secs() * 1000;
        let mut newest: BTreeMap<&str, &EventItem> = BTreeMap::new();
        let is_certain = rotated_at.saturating_add(Self::SETTLED.as_secs() * 1000);
        let is_recent = |event: &&EventItem| {
            event.received_at >= rotated_at.max(still_there)
                && (event.previous_root_key || event.received_at >= is_certain)
        };
        for event in events.iter().filter(is_recent) {
            let kept = newest.entry(&event.pk).or_insert(event);
            if kept.received_at < event.received_at {
                *kept = event;
            }
        }
        let mut previous = BTreeMap::new();
        for event in newest.into_values() {
            *previous.entry(event.cluster.clone()).or_default() |= event.previous_root_key;
        }
        Self { previous }
    }

    /// Looked up in the table; nothing where no rotation is going on.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn read(store: &Store, stages: &Stages, now: Timestamp) -> Result<Self, StoreError> {
        if stages.previous.is_none() {
            return Ok(Self::default());
        }
        let since = now.checked_sub(Self::STILL_THERE).unwrap_or(Timestamp::MIN);
        Ok(Self::of(&store.events_since(since).await?, stages, now))
    }

    /// Whether a cluster still sends with the previous root key; `None` if it was not seen since the rotation.
    pub fn with_previous(&self, cluster: &str) -> Option<bool> {
        self.previous.get(cluster).copied()
    }
}

impl Origin {
    /// Of a cluster: what it was seen to send with says more than what was handed out.
    pub fn seen(cluster: &Cluster, stages: &Stages, senders: &Senders) -> Self {
        match senders
            .with_previous(&cluster.name)
            .filter(|_| stages.previous.is_some())
        {
            Some(true) => Self::Previous,
            Some(false) => Self::Current,
            None => Self::of(cluster, stages),
        }
    }

    /// Of a cluster, by what it was handed out.
    pub fn of(cluster: &Cluster, stages: &Stages) -> Self {
        let previous = stages.previous.as_ref();
        match cluster.connected_root_key.as_deref() {
            None if cluster.connected_namespaces.is_empty() => Self::None,
            None => Self::Unknown,
            Some(id) if id == stages.current.id => Self::Current,
            Some(id) if previous.is_some_and(|previous| previous.id == id) => Self::Previous,
            Some(_) => Self::Gone,
        }
    }

    /// As it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
            Self::None => "-",
        }
    }
}

/// Clusters that are locked out once the previous root key is no longer accepted.
pub fn locked_out_without_previous<'a>(
    clusters: &'a [Cluster],
    stages: &Stages,
    senders: &Senders,
) -> Vec<&'a Cluster> {
    let needs_previous = |cluster: &&Cluster| {
        matches!(
            Origin::seen(cluster, stages, senders),
            Origin::Previous | Origin::Unknown
        )
    };
    if stages.previous.is_none() {
        return Vec::new();
    }
    clusters.iter().filter(needs_previous).collect()
}

/// Creates the root key unless there is one; whether it was created. One that is there is not replaced: that is a
/// [rotation](rotate).
///
/// # Errors
/// If the secret cannot be looked for or written.
pub async fn create_if_absent(secrets: &impl SecretStore, stack: &str) -> Result<bool, RootKeyError> {
    let name = root_key_name(stack);
    // Looked for first: who operates a stack that has one need not be allowed to create one.
    if secrets.stages(&name).await?.is_some() {
        return Ok(false);
    }
    Ok(secrets.create(&name, &random()?).await?)
}

/// Which versions of the root key there are.
///
/// # Errors
/// If there is none, or the store does not answer.
pub async fn stages(secrets: &impl SecretStore, stack: &str) -> Result<Stages, RootKeyError> {
    let name = root_key_name(stack);
    let stages = secrets.stages(&name).await?;
    stages.ok_or(RootKeyError::Missing(name))
}

/// Puts a new root key in force in place of the current one of `stages`, which becomes the previous one.
///
/// # Errors
/// If another is in force by now, or the secret cannot be written.
pub async fn rotate(
    secrets: &impl SecretStore,
    stack: &str,
    stages: &Stages,
    now: Timestamp,
) -> Result<(), RootKeyError> {
    let name = root_key_name(stack);
    let is_done = secrets.rotate(&name, &stages.current.id, &random()?, now).await?;
    is_done.then_some(()).ok_or(RootKeyError::Changed(name))
}

/// Ends the time of the previous root key of `stages`; whether there was one.
///
/// # Errors
/// If another is the previous one by now, or the secret cannot be written.
pub async fn retire(secrets: &impl SecretStore, stack: &str, stages: &Stages) -> Result<bool, RootKeyError> {
    let Some(previous) = &stages.previous else {
        return Ok(false);
    };
    let name = root_key_name(stack);
    let is_done = secrets.retire(&name, &previous.id).await?;
    is_done.then_some(true).ok_or(RootKeyError::Changed(name))
}

/// 64 hexadecimal digits.
fn random() -> Result<SecretString, RootKeyError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(RootKeyError::Random)?;
    let digits = bytes
        .iter()
        .fold(String::with_capacity(2 * BYTES), |mut digits, byte| {
            // Writing to a String cannot fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        });
    Ok(digits.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::secrets::Version;

    fn version(id: &str) -> Version {
        Version {
            id: id.into(),
            created_at: None,
        }
    }

    fn cluster(connected_root_key: Option<&str>) -> Cluster {
        Cluster {
            name: "dev".into(),
            generation: 1,
            suspended: false,
            connected_namespaces: ["flux-system".into()].into(),
            connected_root_key: connected_root_key.map(Into::into),
        }
    }

    #[test]
    fn only_clusters_that_need_the_previous_root_key_are_locked_out_without_it() {
        let rotated = Stages {
            current: version("2"),
            previous: Some(version("1")),
        };
        let alone = Stages {
            current: version("2"),
            previous: None,
        };
        let new = Cluster {
            connected_namespaces: [].into(),
            ..cluster(None)
        };
        for (cluster, after_rotation, is_locked_out, without_previous) in [
            (cluster(Some("2")), Origin::Current, false, Origin::Current),
            (cluster(Some("1")), Origin::Previous, true, Origin::Gone),
            (cluster(Some("0")), Origin::Gone, false, Origin::Gone),
            // Connected by a release that did not remember with what.
            (cluster(None), Origin::Unknown, true, Origin::Unknown),
            (new, Origin::None, false, Origin::None),
        ] {
            assert_eq!(Origin::of(&cluster, &rotated), after_rotation);
            assert_eq!(Origin::of(&cluster, &alone), without_previous);
            let clusters = [cluster];
            let locked_out = locked_out_without_previous(&clusters, &rotated, &Senders::default());
            assert_eq!(!locked_out.is_empty(), is_locked_out, "{after_rotation:?}");
            assert!(locked_out_without_previous(&clusters, &alone, &Senders::default()).is_empty());
        }
    }

    #[test]
    fn what_a_cluster_sends_with_says_more_than_what_it_was_given() {
        let now: Timestamp = "2026-08-08T12:00:00Z".parse().unwrap();
        let ago = |minutes: i64| now - SignedDuration::from_mins(minutes);
        let stages = Stages {
            current: Version {
                id: "2".into(),
                created_at: Some(ago(120)),
            },
            previous: Some(version("1")),
        };
        let event = |object: &str, minutes: i64, previous_root_key: bool| -> EventItem {
            serde_json::from_value(serde_json::json!({
                "pk": format!("object#dev/Kustomization/apps/{object}"), "sk": format!("event@{minutes}"),
                "cluster": "dev", "generation": 1, "previous_root_key": previous_root_key, "event_id": "00",
                "received_at": ago(minutes).as_millisecond(), "expires_at": 0,
                "event": {
                    "involvedObject": {"kind": "Kustomization", "namespace": "apps", "name": object},
                    "severity": "info", "timestamp": ago(minutes), "reason": "ReconciliationSucceeded",
                },
            }))
            .unwrap()
        };
        let cases: [(&str, Vec<EventItem>, Option<bool>); 8] = [
            ("nothing was seen", vec![], None),
            ("only before the rotation", vec![event("a", 121, true)], None),
            ("only the old key", vec![event("a", 100, true)], Some(true)),
            (
                "each object has the new one by now",
                vec![event("a", 100, true), event("a", 5, false), event("b", 6, false)],
                Some(false),
            ),
            (
                "one of two namespaces has the old one",
                vec![event("a", 100, true), event("a", 5, false), event("b", 6, true)],
                Some(true),
            ),
            (
                "order does not matter",
                vec![event("a", 5, false), event("a", 100, true)],
                Some(false),
            ),
            (
                "a warm function has not noticed yet",
                vec![event("a", 118, false)],
                None,
            ),
            (
                "one has, and another has not",
                vec![event("a", 119, true), event("a", 118, false)],
                Some(true),
            ),
        ];
        for (case, events, expected) in cases {
            let senders = Senders::of(&events, &stages, now);
            assert_eq!(senders.with_previous("dev"), expected, "{case}");
            assert_eq!(senders.with_previous("prod"), None, "{case}");
            // Given the new one, and given the old one.
            for (connected, otherwise) in [("2", Origin::Current), ("1", Origin::Previous)] {
                let origin = match expected {
                    None => otherwise,
                    Some(true) => Origin::Previous,
                    Some(false) => Origin::Current,
                };
                let clusters = [cluster(Some(connected))];
                assert_eq!(Origin::seen(&clusters[0], &stages, &senders), origin, "{case}");
                let locked_out = locked_out_without_previous(&clusters, &stages, &senders);
                assert_eq!(!locked_out.is_empty(), origin == Origin::Previous, "{case}");
            }
        }
        let gone = Senders::of(
            &[event("a", 100, true)],
            &stages,
            now + SignedDuration::from_hours(6),
        );
        assert_eq!(gone.with_previous("dev"), None, "it would have been kept again");
    }
}
