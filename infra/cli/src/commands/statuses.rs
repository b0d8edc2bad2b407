//! `get statuses`: what statuses should say, and what the Git host was told.

pub(super) mod filter;

use std::collections::BTreeSet;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use shared::item::StatusItem;

use self::filter::{CommitArg, FilterArgs};
use super::get::ShowArgs;
use super::get::listing::{Entry, Listing};
use super::print::{Cell, instant, short, since};
use super::{Terminal, style};
use crate::store::{Store, is_parked};

/// Arguments of `get statuses`.
#[derive(Debug, Args)]
pub struct StatusesArgs {
    /// The commit: at least the first 7 of its 40 digits, or what `-o name` prints
    #[arg(value_name = "COMMIT")]
    pub commit: Option<CommitArg>,
    /// The same
    #[arg(long = "commit", value_name = "SHA", conflicts_with = "commit")]
    pub commit_option: Option<CommitArg>,
    /// Which of them.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Only statuses whose host is not known to show what it should: due, parked, and of a commit also ended without a
    /// post
    #[arg(long)]
    pub unposted: bool,
    /// Only statuses that wait for a person
    #[arg(long)]
    pub parked: bool,
    /// How to print it.
    #[command(flatten)]
    pub show: ShowArgs,
}

impl StatusesArgs {
    fn commit(&self) -> Option<&CommitArg> {
        self.commit.as_ref().or(self.commit_option.as_ref())
    }

    /// Whether it takes a look at every status there is.
    pub(super) fn reads_everything(&self) -> bool {
        self.commit().is_none() && !self.unposted && !self.parked
    }
}

/// Which statuses, and where they are looked for.
pub(super) struct Wanted<'a> {
    pub(super) commit: Option<&'a CommitArg>,
    pub(super) filter: &'a FilterArgs,
    pub(super) unposted: bool,
    pub(super) parked: bool,
}

impl Wanted<'_> {
    /// Those there are.
    pub(super) async fn find(
        &self,
        store: &Store,
        terminal: &Terminal<'_>,
    ) -> anyhow::Result<Vec<StatusItem>> {
        let mut statuses = match self.commit {
            Some(commit) => {
                let mut statuses = store.statuses(&commit.digits).await?;
                statuses.retain(|status| commit.takes(status));
                statuses
            }
            None if self.parked => store.parked().await?,
            None if self.unposted => store.due_or_parked().await?,
            None => scan(self.filter, store, terminal).await?,
        };
        statuses.retain(|status| {
            self.filter.takes(status)
                && (!self.parked || is_parked(status))
                && (!self.unposted || status.due.is_some() || !status.is_posted())
        });
        Ok(statuses)
    }
}

/// Reads the whole table; the newest event comes last.
pub(super) async fn scan(
    filter: &FilterArgs,
    store: &Store,
    terminal: &Terminal<'_>,
) -> anyhow::Result<Vec<StatusItem>> {
    // A small table is one page, and read before anybody has seen a bar.
    let (mut read, mut bar) = (0, None);
    let on_page = |items| {
        if read > 0 {
            let bar = bar.get_or_insert_with(|| terminal.progress(read, "reading statuses"));
            bar.set_length(read + items);
            bar.set_position(read + items);
        }
        read += items;
    };
    let rule = filter.whole_rule();
    let mut statuses = store
        .scan_statuses(filter.cluster.as_deref(), rule.as_ref(), on_page)
        .await?;
    statuses.sort_by_cached_key(|status| (event_time(status), status.key.clone()));
    Ok(statuses)
}

pub(super) async fn list(
    args: &StatusesArgs,
    store: &Store,
    now: Timestamp,
    terminal: &Terminal<'_>,
) -> anyhow::Result<Listing> {
    let commit = args.commit();
    let wanted = Wanted {
        commit,
        filter: &args.filter,
        unposted: args.unposted,
        parked: args.parked,
    };
    let statuses = wanted.find(store, terminal).await?;
    let shape = Shape {
        is_of_a_commit: commit.is_some(),
        is_wide: args.show.is_wide(),
    };
    Ok(Listing {
        header: shape.header(),
        entries: statuses
            .iter()
            .map(|status| entry(status, shape.row(status, now)))
            .collect::<Result<_, _>>()?,
        whole: |statuses| json!({ "statuses": statuses }),
        nothing: nothing(args),
        missing: None,
        warnings: statuses.iter().filter_map(collision).collect(),
        hints: commit
            .and_then(|commit| several(commit, &statuses))
            .into_iter()
            .collect(),
    })
}

pub(super) fn entry(status: &StatusItem, cells: Vec<Cell>) -> Result<Entry, serde_json::Error> {
    Ok(Entry {
        key: format!("{} {}", status.key.pk, status.key.sk),
        name: filter::name(status),
        value: serde_json::to_value(status)?,
        cells,
    })
}

fn nothing(args: &StatusesArgs) -> String {
    let is_narrowed = args.unposted || args.parked || args.filter.is_said();
    match args.commit() {
        Some(commit) if is_narrowed => format!(
            "no such statuses for {0}; `commitstatus get statuses {0}` lists all it has",
            shown(commit)
        ),
        Some(commit) => no_statuses(commit),
        None if args.parked => "nothing parked".into(),
        None if args.unposted => {
            "nothing due or parked; `commitstatus get statuses COMMIT --unposted` also lists what ended without a post".into()
        }
        None if is_narrowed => "no such statuses; `commitstatus get statuses` lists all there are".into(),
        None => "no statuses: no rule took an event yet; `commitstatus get commitstatuses` lists the rules".into(),
    }
}

/// Of a commit nothing is known.
pub(super) fn no_statuses(commit: &CommitArg) -> String {
    format!(
        "no statuses for {}: no rule took an event about it, or the last one is more than 90 days ago; `commitstatus \
         explain {}` says which",
        shown(commit),
        super::print::masked(&commit.digits)
    )
}

fn shown(commit: &CommitArg) -> String {
    let at = |repository: &String| format!("{repository}@");
    let repository = commit.repository.as_ref().map(at).unwrap_or_default();
    super::print::masked(&format!("{repository}{}", commit.digits))
}

/// Commits that were meant by one abbreviation.
pub(super) fn several(commit: &CommitArg, statuses: &[StatusItem]) -> Option<String> {
    let commits: BTreeSet<&str> = statuses.iter().map(|status| status.key.sha()).collect();
    (commits.len() > 1).then(|| {
        format!(
            "{} commits begin with {}; give more digits for one of: {}",
            commits.len(),
            commit.digits,
            Vec::from_iter(commits).join(", ")
        )
    })
}

fn collision(status: &StatusItem) -> Option<String> {
    let rival = status.rival.as_ref()?;
    Some(super::print::masked(&format!(
        "{} on {} is written by {} and by {rival}, and shows the newest event of either. Take `prefix` out of \
         CommitStatus {}, which makes it `<cluster>/<namespace>`, or give each its own",
        status.context,
        status.key.sha(),
        status.writer(),
        status.rule
    )))
}

/// Which columns there are.
#[derive(Clone, Copy)]
struct Shape {
    is_of_a_commit: bool,
    is_wide: bool,
}

impl Shape {
    fn header(self) -> Vec<&'static str> {
        let mut header = vec!["REPOSITORY"];
        if self.is_wide || !self.is_of_a_commit {
            header.push("COMMIT");
        }
        header.extend(["CONTEXT", "DESIRED", "POSTED"]);
        if self.is_wide || self.is_of_a_commit {
            header.push("REV");
        }
        if self.is_wide || !self.is_of_a_commit {
            header.push("AGE");
        }
        header.push("STANDS");
        if self.is_wide {
            header.extend(["ATTEMPTS", "POSTS", "CLUSTER", "OBJECT", "RULE", "PROVIDER"]);
        }
        header.push("LAST ERROR");
        header
    }

    fn row(self, status: &StatusItem, now: Timestamp) -> Vec<Cell> {
        let posted = status.posted.as_ref();
        let mut row: Vec<Cell> = vec![status.key.repository().into()];
        if self.is_wide {
            row.push(status.key.sha().into());
        } else if !self.is_of_a_commit {
            row.push(status.commit7.clone().into());
        }
        row.extend([
            status.context.clone().into(),
            Cell::state(status.desired.state),
            posted.map_or_else(|| "-".into(), |posted| Cell::state(posted.state)),
        ]);
        if self.is_wide || self.is_of_a_commit {
            row.push(status.rev.to_string().into());
        }
        if self.is_wide || !self.is_of_a_commit {
            let age = event_time(status).map(|at| since(at.as_millisecond(), now));
            row.push(age.map_or_else(|| "-".into(), Cell::from));
        }
        let stand = Stand::of(status);
        row.push(stand.cell(stands(status)));
        if self.is_wide {
            row.extend([
                status.attempts.to_string().into(),
                status.posts.to_string().into(),
                status.cluster.clone().into(),
                status.object.clone().into(),
                status.rule.to_string().into(),
                status.provider.to_string().into(),
            ]);
        }
        row.push(error_cell(status, self.is_wide));
        row
    }
}

/// What the host said last.
pub(super) fn error_cell(status: &StatusItem, is_whole: bool) -> Cell {
    match status.last_error.as_deref() {
        None => "-".into(),
        Some(error) if is_whole => error.into(),
        Some(error) => short(error).into(),
    }
}

/// When the newest event says that it was.
pub(super) fn event_time(status: &StatusItem) -> Option<Timestamp> {
    status.order_key.as_str().split('|').nth(1)?.parse().ok()
}

/// Where a status stands: the words of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stand {
    /// The host shows it.
    Posted,
    /// It will be posted.
    Due,
    /// It waits for a person.
    Parked,
    /// Nothing is to be posted.
    Ended,
    /// None of these, as no release leaves it.
    Unknown,
}

impl Stand {
    /// Each, in the order they are counted.
    pub(super) const ALL: [Self; 5] = [Self::Posted, Self::Due, Self::Parked, Self::Ended, Self::Unknown];

    pub(super) fn of(status: &StatusItem) -> Self {
        if status.is_due() {
            Self::Due
        } else if status.parked.is_some() || status.due.is_some() {
            Self::Parked
        } else if status.ended.is_some() {
            Self::Ended
        } else if status.posted.is_some() {
            Self::Posted
        } else {
            Self::Unknown
        }
    }

    /// Over a number of them.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Posted => "Posted",
            Self::Due => "Due",
            Self::Parked => "Parked",
            Self::Ended => "Ended",
            Self::Unknown => "Unknown",
        }
    }

    pub(super) const fn style(self) -> Option<anstyle::Style> {
        match self {
            Self::Posted => Some(style::GOOD),
            Self::Due => Some(style::DOUBTFUL),
            Self::Parked => Some(style::BAD),
            Self::Ended | Self::Unknown => None,
        }
    }

    fn cell(self, text: String) -> Cell {
        match self.style() {
            Some(style) => Cell::styled(text, style),
            None => text.into(),
        }
    }
}

/// When a due status is tried next, or since when one is parked: a claim that goes on keeps everybody away, and leaves the due
/// date as it is.
pub(super) fn next_attempt(status: &StatusItem) -> Option<i64> {
    status
        .due_at
        .map(|due_at| due_at.max(status.claim_until.unwrap_or(due_at)))
}

pub(super) fn stands(status: &StatusItem) -> String {
    let collision = if status.rival.is_some() { ", collision" } else { "" };
    let at = next_attempt(status).map(instant).unwrap_or_default();
    let reason = |reason: &Option<String>| reason.clone().unwrap_or_else(|| "no reason".into());
    let unsure = if status.unsure {
        ", unsure what the host shows"
    } else {
        ""
    };
    let stands = match (Stand::of(status), &status.posted) {
        (Stand::Due, _) => format!("due {at}, attempts {}{unsure}", status.attempts),
        (Stand::Parked, _) => format!("parked since {at}: {}{unsure}", reason(&status.parked)),
        (Stand::Ended, _) => format!("ended: {}{unsure}", reason(&status.ended)),
        (Stand::Posted, Some(posted)) => format!("posted {}{unsure}", instant(posted.at)),
        (Stand::Posted | Stand::Unknown, _) => "-".into(),
    };
    stands + collision
}
