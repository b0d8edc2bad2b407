//! `retry`: makes parked statuses due again, and with `--force` those that are posted.

mod confirm;
mod report;

use std::collections::BTreeSet;

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use shared::item::StatusItem;

pub(super) use self::report::Report;
use super::Terminal;
use super::scope::dns_label;
use crate::store::{Store, is_parked};

/// How a status ends that the host does not know the commit of.
const UNKNOWN_COMMIT: &str = "unknown-commit";

/// Arguments of `retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Which statuses.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Namespace of that Provider
    #[arg(short, long, value_parser = dns_label, conflicts_with_all = ["commit", "all"])]
    pub namespace: Option<String>,
    /// Only statuses of this cluster
    #[arg(long, value_name = "NAME", value_parser = dns_label)]
    pub cluster: Option<String>,
    /// Statuses of every cluster, as when neither is said
    #[arg(long, conflicts_with = "cluster")]
    pub all_clusters: bool,
    /// Post again, too, what was posted (the host lost it, or somebody altered it) and what ended as unknown-commit
    #[arg(long)]
    pub force: bool,
    /// Do not ask before everything is posted again
    #[arg(long, requires = "force")]
    pub yes: bool,
}

/// Which statuses: one of the three must be said.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct WhichArgs {
    /// Statuses of this commit: at least the first 7 of its 40 digits
    #[arg(long, value_name = "SHA")]
    pub commit: Option<String>,
    /// Statuses that go to this Provider
    #[arg(long, value_name = "NAME", requires = "namespace")]
    pub provider: Option<String>,
    /// All statuses
    #[arg(long)]
    pub all: bool,
}

/// What is to be done about a status.
enum Plan {
    /// It is parked: it becomes due.
    Retry,
    /// It is not, and becomes due nevertheless.
    PostAgain,
    /// Nothing, and why.
    Leave(&'static str),
}

/// Makes statuses due. Nothing to do is no error.
///
/// # Errors
/// If what was named is no commit or several, if nobody confirmed, or if the store does not answer.
pub async fn run(
    args: &RetryArgs,
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let is_everything = args.which.all && args.force;
    if is_everything && !args.yes {
        confirm::can_be_asked(terminal)?;
    }
    let mut statuses = find(args, store).await?;
    statuses.retain(|status| is_asked_for(args, status));
    if is_everything && !args.yes && !statuses.is_empty() {
        confirm::ask(statuses.len(), terminal)?;
    }
    let mut report = Report::default();
    for status in &statuses {
        match plan(status, args.force) {
            Plan::Retry => report.tried(status, store.retry(status, now).await?, terminal)?,
            Plan::PostAgain => report.tried(status, store.post_again(status, now).await?, terminal)?,
            Plan::Leave(why) => report.left(status, why, terminal)?,
        }
    }
    match report.summary() {
        Some(summary) => terminal.hint(summary)?,
        None => terminal.hint(nothing(args))?,
    }
    Ok(())
}

/// Makes parked statuses due.
pub(super) async fn parked(
    statuses: &[StatusItem],
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for status in statuses {
        report.tried(status, store.retry(status, now).await?, terminal)?;
    }
    Ok(report)
}

async fn find(args: &RetryArgs, store: &Store) -> anyhow::Result<Vec<StatusItem>> {
    let Some(commit) = &args.which.commit else {
        return Ok(if args.force {
            store.all_statuses().await?
        } else {
            store.parked().await?
        });
    };
    let statuses = store.statuses(commit).await?;
    let commits: BTreeSet<&str> = statuses.iter().map(|status| status.key.sha()).collect();
    if commits.len() > 1 {
        bail!(
            "{} commits begin with {commit}; give more digits for one of: {}",
            commits.len(),
            Vec::from_iter(commits).join(", ")
        );
    }
    Ok(statuses)
}

fn is_asked_for(args: &RetryArgs, status: &StatusItem) -> bool {
    let is = |wanted: &Option<String>, found: &String| wanted.as_ref().is_none_or(|wanted| wanted == found);
    is(&args.which.provider, &status.provider.name)
        && is(&args.namespace, &status.provider.namespace)
        && is(&args.cluster, &status.cluster)
}

fn plan(status: &StatusItem, force: bool) -> Plan {
    let ended = status.ended.as_deref();
    if is_parked(status) {
        Plan::Retry
    } else if status.is_due() {
        Plan::Leave("it is due already")
    } else if ended == Some(UNKNOWN_COMMIT) {
        if force {
            Plan::PostAgain
        } else {
            Plan::Leave("it ended as unknown-commit; --force tries it again")
        }
    } else if status.is_posted() {
        if force {
            Plan::PostAgain
        } else {
            Plan::Leave("it is posted; --force posts it again")
        }
    } else {
        Plan::Leave("there is nothing to post until its next event")
    }
}

fn nothing(args: &RetryArgs) -> String {
    match &args.which.commit {
        Some(commit) => format!(
            "no statuses for {commit}: no rule took an event about it, or the last one is more than 90 days ago"
        ),
        None if args.force => "no statuses".into(),
        None => "nothing parked".into(),
    }
}
