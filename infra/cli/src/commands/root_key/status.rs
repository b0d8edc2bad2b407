//! `root-key status`: how the root key and the clusters' keys stand.

use serde_json::{Value, json};

use super::{Origin, Senders, StatusArgs};
use crate::commands::Terminal;
use crate::commands::print::{self, Output};
use crate::secrets::Stages;
use crate::store::Cluster;

pub(super) fn print(
    args: &StatusArgs,
    name: &str,
    (stages, senders): (&Stages, &Senders),
    clusters: &[Cluster],
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let origins = clusters
        .iter()
        .map(|cluster| (cluster.name.as_str(), Origin::seen(cluster, stages, senders)));
    if args.output == Output::Name {
        return Ok(print::names(terminal.out, [format!("secret/{name}").as_str()])?);
    }
    if !args.output.is_table() {
        let clusters: Vec<Value> = origins
            .map(|(name, origin)| json!({ "name": name, "root_key": origin }))
            .collect();
        let value = json!({
            "secret": name,
            "since": stages.current.created_at,
            "previous_accepted": stages.previous.is_some(),
            "clusters": clusters,
        });
        return print::value(terminal.out, args.output, &value);
    }
    let since = stages
        .current
        .created_at
        .map_or_else(String::new, |at| format!(" since {at:.0}"));
    let previous = if stages.previous.is_some() {
        "the one before it is accepted too"
    } else {
        "no other is accepted"
    };
    writeln!(terminal.out, "secret/{name} in force{since}; {previous}")?;
    let origins: Vec<_> = origins.collect();
    if !origins.is_empty() {
        let rows = origins
            .iter()
            .map(|(name, origin)| vec![(*name).to_owned(), origin.as_str().to_owned()]);
        print::table(terminal.out, &["CLUSTER", "ROOT KEY"], rows)?;
    }
    let is_behind = |origin: Origin| match origin {
        Origin::Previous | Origin::Gone => true,
        // Where there was no rotation it can be no other than the current one.
        Origin::Unknown => stages.previous.is_some(),
        Origin::Current | Origin::None => false,
    };
    for (name, _) in origins.iter().filter(|(_, origin)| is_behind(*origin)) {
        terminal.hint(format!(
            "`commitstatus connect {name} | kubectl apply -f -` gives {name} its new key"
        ))?;
    }
    Ok(())
}
