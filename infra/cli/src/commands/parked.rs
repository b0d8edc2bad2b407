//! `get parked`: what waits for a person.

use clap::Args;
use serde_json::json;
use shared::item::StatusItem;

use super::Terminal;
use super::print::{self, Output, instant, short_error};
use super::scope::dns_label;
use crate::store::Store;

/// Arguments of `get parked`.
#[derive(Debug, Args)]
pub struct ParkedArgs {
    /// Only statuses that go to the Provider of this name
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// Only those whose Provider is in this namespace
    #[arg(short, long, value_parser = dns_label, requires = "provider")]
    pub namespace: Option<String>,
    /// Only statuses of this cluster
    #[arg(long, value_name = "NAME", value_parser = dns_label)]
    pub cluster: Option<String>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Prints what is parked, and why.
///
/// # Errors
/// If the store does not answer.
pub async fn run(args: &ParkedArgs, store: &Store, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
    let mut parked = store.parked().await?;
    parked.retain(|status| is_asked_for(args, status));
    if args.output != Output::Table {
        return print::value(terminal.out, args.output, &json!({ "statuses": parked }));
    }
    if parked.is_empty() {
        return Ok(terminal.hint("nothing parked")?);
    }
    let header = [
        "SINCE",
        "REPOSITORY",
        "COMMIT",
        "CONTEXT",
        "DESIRED",
        "REASON",
        "LAST ERROR",
        "PROVIDER",
        "CLUSTER",
    ];
    print::table(terminal.out, &header, parked.iter().map(row))?;
    terminal.hint(
        "mend what REASON names, then `commitstatus retry --provider NAME -n NAMESPACE` or `commitstatus retry --all`",
    )?;
    Ok(())
}

fn is_asked_for(args: &ParkedArgs, status: &StatusItem) -> bool {
    let is = |wanted: &Option<String>, found: &String| wanted.as_ref().is_none_or(|wanted| wanted == found);
    is(&args.provider, &status.provider.name)
        && is(&args.namespace, &status.provider.namespace)
        && is(&args.cluster, &status.cluster)
}

fn row(status: &StatusItem) -> Vec<String> {
    vec![
        status.due_at.map_or_else(|| "-".into(), instant),
        status.key.repository().to_owned(),
        status.commit7.clone(),
        status.context.clone(),
        status.desired.state.to_string(),
        status.parked.clone().unwrap_or_else(|| "no reason".into()),
        short_error(status),
        status.provider.to_string(),
        status.cluster.clone(),
    ]
}
