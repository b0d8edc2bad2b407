//! `get statuses`: what a commit's statuses should say, and what the Git host was told.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::json;
use shared::item::StatusItem;

use super::Terminal;
use super::print::{self, Output, instant, short_error};
use crate::store::Store;

/// Arguments of `get statuses`.
#[derive(Debug, Args)]
pub struct StatusesArgs {
    /// The commit: at least the first 7 of its 40 digits
    pub commit: String,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Prints the statuses of a commit.
///
/// # Errors
/// If what was asked for is no commit.
pub async fn run(args: &StatusesArgs, store: &Store, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
    let statuses = store.statuses(&args.commit).await?;
    if args.output != Output::Table {
        let items = json!({ "statuses": statuses });
        return print::value(terminal.out, args.output, &items);
    }
    if statuses.is_empty() {
        terminal.hint(format!(
            "no statuses for {}: no rule took an event about it, or the last one is more than 90 days ago",
            args.commit
        ))?;
        return Ok(());
    }
    let commits: BTreeSet<&str> = statuses.iter().map(|status| status.key.sha()).collect();
    if commits.len() > 1 {
        terminal.hint(format!(
            "{} commits begin with {}; give more digits for one of: {}",
            commits.len(),
            args.commit,
            Vec::from_iter(commits).join(", ")
        ))?;
    }
    let header = [
        "REPOSITORY",
        "CONTEXT",
        "DESIRED",
        "POSTED",
        "REV",
        "STANDS",
        "LAST ERROR",
    ];
    print::table(terminal.out, &header, statuses.iter().map(row))?;
    for status in &statuses {
        if let Some(rival) = &status.rival {
            terminal.warn(format!(
                "{} on {} is written by {} and by {rival}, and shows the newest event of either. Take `prefix` out of \
                 CommitStatus {}, which makes it `<cluster>/<namespace>`, or give each its own",
                status.context,
                status.key.sha(),
                status.writer(),
                status.rule
            ))?;
        }
    }
    Ok(())
}

fn row(status: &StatusItem) -> Vec<String> {
    let posted = status.posted.as_ref();
    vec![
        status.key.repository().to_owned(),
        status.context.clone(),
        status.desired.state.to_string(),
        posted.map_or_else(|| "-".into(), |posted| posted.state.to_string()),
        status.rev.to_string(),
        stands(status),
        short_error(status),
    ]
}

/// The words of the logs: due, parked, ended, posted; collision.
fn stands(status: &StatusItem) -> String {
    let collision = if status.rival.is_some() { ", collision" } else { "" };
    let at = status.due_at.map(instant).unwrap_or_default();
    let reason = |reason: &Option<String>| reason.clone().unwrap_or_else(|| "no reason".into());
    let unsure = if status.unsure {
        ", unsure what the host shows"
    } else {
        ""
    };
    let stands = if status.is_due() {
        format!("due {at}, attempts {}{unsure}", status.attempts)
    } else if status.parked.is_some() || status.due.is_some() {
        format!("parked since {at}: {}{unsure}", reason(&status.parked))
    } else if status.ended.is_some() {
        format!("ended: {}{unsure}", reason(&status.ended))
    } else {
        let posted = status.posted.as_ref();
        posted.map_or_else(
            || "-".into(),
            |posted| format!("posted {}{unsure}", instant(posted.at)),
        )
    };
    stands + collision
}
