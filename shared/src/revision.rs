//! Git commits as Flux writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A full SHA-1 commit id: 40 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitSha(String);

/// The text is not a full SHA-1 commit id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a commit id of 40 hexadecimal digits")]
pub struct NotACommit(pub String);

impl CommitSha {
    /// Number of digits.
    pub const DIGITS: usize = 40;

    /// The one Git writes where there is no commit: no repository has it.
    pub fn null() -> Self {
        Self("0".repeat(Self::DIGITS))
    }

    /// Finds the commit in a Flux revision: what follows the last `:`, else what follows the last `/`, else all of
    /// it, as notification-controller reads `main@sha1:<sha>`, `sha1:<sha>`, `main/<sha>` and `<sha>`.
    ///
    /// `None` if that is not a full SHA-1: chart versions, `tag@sha256:<digest>`, short ids.
    pub fn from_revision(revision: &str) -> Option<Self> {
        let tail = revision
            .rsplit_once(':')
            .or_else(|| revision.rsplit_once('/'))
            .map_or(revision, |(_, tail)| tail);
        tail.parse().ok()
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, by which people name a commit and the table is indexed.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl FromStr for CommitSha {
    type Err = NotACommit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == Self::DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(NotACommit(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for CommitSha {
    type Error = NotACommit;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CommitSha> for String {
    fn from(sha: CommitSha) -> Self {
        sha.0
    }
}

impl fmt::Display for CommitSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHA: &str = "a1afe267b54f38b46b487f6e938a6fd508278c07";

    // notification-controller internal/notifier/util_test.go TestUtil_ParseRevision and pkg git/utils_test.go.
    #[test]
    fn p18_finds_the_commit_upstream_finds() {
        let cases = [
            format!("sha1:{SHA}"),
            format!("master@sha1:{SHA}"),
            format!("environment/dev@sha1:{SHA}"),
            format!("feature/branch@sha1:{SHA}"),
            format!("refs/pull/420/head@sha1:{SHA}"),
            format!("refs/merge-request/1/head@sha1:{SHA}"),
            format!("master/{SHA}"),
            format!("environment/dev/{SHA}"),
            format!("HEAD/{SHA}"),
            SHA.to_owned(),
        ];
        for revision in cases {
            let found = CommitSha::from_revision(&revision);
            assert_eq!(found.as_ref().map(CommitSha::as_str), Some(SHA), "{revision}");
        }
    }

    #[test]
    fn finds_none_where_there_is_none() {
        let digest = "6f132a51cacdd080a2efc97cdc20b1807c025b6464c58a530f3803373d5f12cf";
        let cases = [
            String::new(),
            "master".into(),
            "1.8.0+1".into(),
            "6.9.2".into(),
            format!("latest@sha256:{digest}"),
            format!("sha256:{digest}"),
            "main@sha1:5394cb7".into(),
            format!("main@sha1:{}", "g".repeat(40)),
            format!("main@sha1:{SHA}/"),
            "é".repeat(20),
        ];
        for revision in cases {
            assert_eq!(CommitSha::from_revision(&revision), None, "{revision}");
        }
    }

    #[test]
    fn lower_cases_the_digits() {
        let sha = CommitSha::from_revision(&format!("main@sha1:{}", SHA.to_uppercase())).unwrap();
        assert_eq!(sha.as_str(), SHA);
        assert_eq!(sha.short(), "a1afe26");
    }

    proptest! {
        #[test]
        fn never_panics_and_only_yields_full_ids(revision in ".*") {
            if let Some(sha) = CommitSha::from_revision(&revision) {
                prop_assert_eq!(sha.as_str().len(), CommitSha::DIGITS);
                prop_assert!(revision.to_ascii_lowercase().ends_with(sha.as_str()));
            }
        }
    }
}
