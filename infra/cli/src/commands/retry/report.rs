//! What `retry` did, status by status.

use std::collections::BTreeMap;
use std::io;

use shared::item::{NO_PROVIDER, StatusItem};

use crate::commands::Terminal;

/// Hints the sweeper sends for one credential in each of its runs, a minute apart.
const SWEPT_PER_MINUTE: usize = 60;
/// Minutes within which a single one is posted: its rest, the sweeper's minute, and the post.
const FIRST_MINUTES: usize = 2;

/// Counts what was done.
#[derive(Debug, Default)]
pub(in super::super) struct Report {
    by_credential: BTreeMap<String, usize>,
    without_provider: usize,
    left: usize,
}

impl Report {
    /// A conditional write was tried on a status.
    pub(super) fn tried(
        &mut self,
        status: &StatusItem,
        is_done: bool,
        terminal: &mut Terminal<'_>,
    ) -> io::Result<()> {
        if !is_done {
            return self.left(
                status,
                "it changed or was begun meanwhile; look at `get statuses`",
                terminal,
            );
        }
        let note = if is_without_provider(status) {
            self.without_provider += 1;
            "; if its Provider is there now it ends, and the next event of the object is posted"
        } else {
            *self.by_credential.entry(status.credential.clone()).or_default() += 1;
            ""
        };
        writeln!(terminal.out, "{} due (was {}){note}", name(status), was(status))
    }

    /// A status was left as it is.
    pub(super) fn left(
        &mut self,
        status: &StatusItem,
        why: &str,
        terminal: &mut Terminal<'_>,
    ) -> io::Result<()> {
        self.left += 1;
        writeln!(terminal.out, "{} left as it is: {why}", name(status))
    }

    /// A sentence, if there was any status.
    pub(in super::super) fn summary(&self) -> Option<String> {
        let due: usize = self.by_credential.values().sum();
        let mut parts = Vec::new();
        match due {
            0 => {}
            1 => parts.push("1 status will be posted within two minutes".to_owned()),
            _ => parts.push(format!("{due} statuses will be posted within {}", self.within())),
        }
        if self.without_provider > 0 {
            parts.push(format!("{} tried that had no Provider", self.without_provider));
        }
        if self.left > 0 {
            if parts.is_empty() {
                parts.push("nothing to retry".to_owned());
            }
            parts.push(format!("{} left", self.left));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    fn within(&self) -> String {
        let most = self.by_credential.values().copied().max().unwrap_or_default();
        match most.saturating_sub(1) / SWEPT_PER_MINUTE {
            0 => "two minutes".to_owned(),
            more => format!(
                "{} minutes ({SWEPT_PER_MINUTE} a minute with each credential)",
                FIRST_MINUTES + more
            ),
        }
    }
}

fn name(status: &StatusItem) -> String {
    format!(
        "{}@{} {} ({})",
        status.key.repository(),
        status.commit7,
        status.context,
        status.cluster
    )
    .replace(char::is_control, " ")
}

/// The words of the logs.
fn was(status: &StatusItem) -> String {
    match (&status.parked, &status.ended) {
        (Some(reason), _) => format!("parked({reason})"),
        (None, Some(reason)) => format!("ended({reason})"),
        (None, None) if status.due.is_some() => "parked".into(),
        (None, None) => "posted".into(),
    }
}

/// Its key names no repository, as there was no Provider to say which.
fn is_without_provider(status: &StatusItem) -> bool {
    let of_provider = status.key.pk.strip_prefix(NO_PROVIDER);
    of_provider.is_some_and(|rest| rest.starts_with('/'))
}
