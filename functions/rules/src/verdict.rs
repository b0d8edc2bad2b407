//! What becomes of an event under a rule. The same words stand in logs, docs and the operator's tool.

use std::fmt;

/// The verdict on one event and one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The status should say something else now; it is due.
    Changed,
    /// The host shows it already.
    Unchanged,
    /// It should say what is already waiting to be posted, or is parked.
    Waiting,
    /// A newer event was there before.
    Stale,
    /// This very event was there before.
    Duplicate,
    /// The rule does not want it.
    Skipped(SkipReason),
}

/// Why a rule does not want an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// The cluster is not registered, suspended, or the key was revoked.
    Revoked,
    /// The rule is suspended.
    Suspended,
    /// The stored rule cannot be read, or holds an expression that does not compile.
    InvalidRule,
    /// No event source has this kind.
    Kind,
    /// No event source of this kind has this namespace.
    Namespace,
    /// No event source of this kind and namespace has this name.
    Name,
    /// Kinds other than Kustomization name a commit only by annotation, which the rule does not trust.
    UntrustedKind,
    /// The message matches no expression of the inclusion list.
    NotIncluded,
    /// The message matches an expression of the exclusion list.
    Excluded,
    /// The rule takes failures only, and there is none to clear.
    Severity,
    /// Progress, which the rule does not report.
    Progress,
    /// A rollback or an uninstall that went well: not the commit's success.
    Remediation,
    /// Neither progress nor a result.
    NoState,
    /// No Git commit is named.
    NoCommit,
}

impl SkipReason {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Suspended => "suspended",
            Self::InvalidRule => "invalid-rule",
            Self::Kind => "kind",
            Self::Namespace => "namespace",
            Self::Name => "name",
            Self::UntrustedKind => "untrusted-kind",
            Self::NotIncluded => "not-included",
            Self::Excluded => "excluded",
            Self::Severity => "severity",
            Self::Progress => "progress",
            Self::Remediation => "remediation",
            Self::NoState => "no-state",
            Self::NoCommit => "no-commit",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("changed"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::Waiting => f.write_str("waiting"),
            Self::Stale => f.write_str("stale"),
            Self::Duplicate => f.write_str("duplicate"),
            Self::Skipped(reason) => write!(f, "skipped({})", reason.as_str()),
        }
    }
}
