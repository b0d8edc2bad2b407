//! What a commit status can say.

use std::fmt;

use serde::{Deserialize, Serialize};

/// State of a commit status, before it is put in a host's own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The cluster is working on the commit.
    Pending,
    /// The cluster runs the commit.
    Success,
    /// The cluster could not apply the commit, or it is not healthy.
    Failure,
    /// The cluster went on to a newer commit while it was working on this one.
    Superseded,
}

impl State {
    /// The word in logs and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
