//! `get parked`: what waits for a person.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use shared::item::StatusItem;

use super::get::ShowArgs;
use super::get::listing::Listing;
use super::print::{Cell, instant, since};
use super::statuses::filter::FilterArgs;
use super::statuses::{Wanted, entry, error_cell};
use super::{Terminal, style};
use crate::store::Store;

/// Arguments of `get parked`.
#[derive(Debug, Args)]
pub struct ParkedArgs {
    /// Which of them.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How to print it.
    #[command(flatten)]
    pub show: ShowArgs,
}

pub(super) async fn list(
    args: &ParkedArgs,
    store: &Store,
    now: Timestamp,
    terminal: &Terminal<'_>,
) -> anyhow::Result<Listing> {
    let wanted = Wanted {
        commit: None,
        filter: &args.filter,
        unposted: false,
        parked: true,
    };
    let parked = wanted.find(store, terminal).await?;
    let is_wide = args.show.is_wide();
    let hint = "mend what REASON names, then `commitstatus retry --provider NAME -n NAMESPACE` or `commitstatus retry \
                --all`";
    Ok(Listing {
        header: header(is_wide),
        entries: parked
            .iter()
            .map(|status| entry(status, row(status, is_wide, now)))
            .collect::<Result<_, _>>()?,
        whole: |statuses| json!({ "statuses": statuses }),
        nothing: "nothing parked".into(),
        missing: None,
        warnings: Vec::new(),
        hints: (!parked.is_empty())
            .then(|| hint.to_owned())
            .into_iter()
            .collect(),
    })
}

fn header(is_wide: bool) -> Vec<&'static str> {
    let mut header = vec![
        "AGE",
        "REPOSITORY",
        "COMMIT",
        "CONTEXT",
        "DESIRED",
        "REASON",
        "PROVIDER",
        "CLUSTER",
    ];
    if is_wide {
        header.extend(["SINCE", "OBJECT", "RULE", "ATTEMPTS"]);
    }
    header.push("LAST ERROR");
    header
}

fn row(status: &StatusItem, is_wide: bool, now: Timestamp) -> Vec<Cell> {
    let age = status.due_at.map(|at| since(at, now));
    let commit = match is_wide {
        true => status.key.sha(),
        false => &status.commit7,
    };
    let reason = status.parked.as_deref().unwrap_or("no reason");
    let mut row: Vec<Cell> = vec![
        age.map_or_else(|| "-".into(), Cell::from),
        status.key.repository().into(),
        commit.into(),
        status.context.clone().into(),
        Cell::state(status.desired.state),
        Cell::styled(reason, style::BAD),
        status.provider.to_string().into(),
        status.cluster.clone().into(),
    ];
    if is_wide {
        row.extend([
            status.due_at.map_or_else(|| "-".into(), |at| instant(at).into()),
            status.object.clone().into(),
            status.rule.to_string().into(),
            status.attempts.to_string().into(),
        ]);
    }
    row.push(error_cell(status, is_wide));
    row
}
