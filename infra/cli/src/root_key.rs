//! The one secret every cluster key is derived from.
//!
//! Nothing is recorded of a rotation but the versions of the secret themselves. `connect` remembers with each cluster
//! which version its key was made from, so whatever call was interrupted, comparing the two tells how things stand.

use std::fmt::Write as _;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Serialize;

use crate::secrets::{SecretError, SecretStore, Stages, root_key_name};
use crate::store::Cluster;

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

impl Origin {
    /// Of a cluster.
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
pub fn locked_out_without_previous<'a>(clusters: &'a [Cluster], stages: &Stages) -> Vec<&'a Cluster> {
    let needs_previous =
        |cluster: &&Cluster| matches!(Origin::of(cluster, stages), Origin::Previous | Origin::Unknown);
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
            let locked_out = locked_out_without_previous(&clusters, &rotated);
            assert_eq!(!locked_out.is_empty(), is_locked_out, "{after_rotation:?}");
            assert!(locked_out_without_previous(&clusters, &alone).is_empty());
        }
    }
}
