//! `get`: what is applied, the statuses of a commit, and what is parked.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use shared::Scope;

use super::Terminal;
use super::parked::{self, ParkedArgs};
use super::print::{self, Output};
use super::scope::{AnyScopeArgs, dns_label};
use super::statuses::{self, StatusesArgs};
use crate::object::{Kind, Object};
use crate::store::Store;

/// What to get.
#[derive(Debug, Subcommand)]
pub enum GetCommand {
    /// Rules
    #[command(alias = "commitstatus")]
    Commitstatuses(GetArgs),
    /// Providers
    #[command(alias = "provider")]
    Providers(GetArgs),
    /// Statuses of a commit: what they should say, and what the Git host was told
    Statuses(StatusesArgs),
    /// Statuses that wait for a person, and why
    Parked(ParkedArgs),
}

/// Arguments of `get` for the two kinds.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Only objects of this name
    pub name: Option<String>,
    /// Only objects of this namespace
    #[arg(short, long, value_parser = dns_label)]
    pub namespace: Option<String>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// For which clusters.
    #[command(flatten)]
    pub scope: AnyScopeArgs,
}

/// Prints what is there.
///
/// # Errors
/// If an object was named and is not there.
pub async fn run(command: &GetCommand, store: &Store, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
    match command {
        GetCommand::Commitstatuses(args) => objects(Kind::CommitStatus, args, store, terminal).await,
        GetCommand::Providers(args) => objects(Kind::Provider, args, store, terminal).await,
        GetCommand::Statuses(args) => statuses::run(args, store, terminal).await,
        GetCommand::Parked(args) => parked::run(args, store, terminal).await,
    }
}

async fn objects(
    kind: Kind,
    args: &GetArgs,
    store: &Store,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let mut found = store.list(kind, args.scope.scope().as_ref()).await?;
    found.retain(|(_, object)| {
        let metadata = object.metadata();
        let is_named = args.name.as_ref().is_none_or(|name| *name == metadata.name);
        let is_there = args
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == metadata.namespace);
        is_named && is_there
    });
    match (&args.name, args.output) {
        (Some(name), _) if found.is_empty() => Err(not_found(kind, name)),
        (_, Output::Table) if found.is_empty() => Ok(terminal.hint("nothing applied")?),
        (_, Output::Table) => Ok(table(kind, &found, terminal)?),
        (name, output) => {
            let manifests = found.iter().map(|(scope, object)| object.to_manifest(scope));
            let mut manifests: Vec<Value> = manifests.collect::<Result<_, _>>()?;
            // As kubectl: an object that was named stands alone.
            let value = match (name, manifests.len()) {
                (Some(_), 1) => manifests.remove(0),
                _ => json!({ "apiVersion": "v1", "kind": "List", "items": manifests }),
            };
            print::value(terminal.out, output, &value)
        }
    }
}

fn table(kind: Kind, found: &[(Scope, Object)], terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    let header: &[&str] = match kind {
        Kind::CommitStatus => &[
            "CLUSTER",
            "NAMESPACE",
            "NAME",
            "PROVIDER",
            "SEVERITY",
            "SOURCES",
            "PREFIX",
            "SUSPENDED",
        ],
        Kind::Provider => &[
            "CLUSTER",
            "NAMESPACE",
            "NAME",
            "TYPE",
            "ADDRESS",
            "SECRET",
            "SUSPENDED",
        ],
    };
    let rows = found.iter().map(|(scope, object)| {
        let metadata = object.metadata();
        let mut row = vec![
            scope.to_string(),
            metadata.namespace.clone(),
            metadata.name.clone(),
        ];
        row.extend(match object {
            Object::CommitStatus(rule) => rule_cells(rule),
            Object::Provider(provider) => provider_cells(provider),
        });
        row
    });
    print::table(terminal.out, header, rows)
}

fn rule_cells(rule: &shared::CommitStatusRule) -> Vec<String> {
    /// More would make the table wider than a terminal.
    const SHOWN_SOURCES: usize = 2;

    let spec = &rule.spec;
    let sources = spec.event_sources.iter().take(SHOWN_SOURCES).map(|source| {
        format!(
            "{}/{}/{}",
            source.kind,
            source.namespace(&rule.metadata),
            source.name
        )
    });
    let mut sources = sources.collect::<Vec<_>>().join(", ");
    if let Some(more) = spec
        .event_sources
        .len()
        .checked_sub(SHOWN_SOURCES)
        .filter(|more| *more > 0)
    {
        sources.push_str(&format!(" and {more} more"));
    }
    let prefix = match spec.prefix.as_deref() {
        None => "<cluster>/<namespace>",
        Some("") => "<none>",
        Some(prefix) => prefix,
    };
    vec![
        spec.provider_ref.name.clone(),
        match spec.event_severity {
            shared::kinds::EventSeverity::Info => "info".into(),
            shared::kinds::EventSeverity::Error => "error".into(),
        },
        sources,
        prefix.to_owned(),
        spec.suspend.to_string(),
    ]
}

fn provider_cells(provider: &shared::Provider) -> Vec<String> {
    let spec = &provider.spec;
    vec![
        spec.kind.to_string(),
        spec.address.clone(),
        spec.secret_ref.name.clone(),
        spec.suspend.to_string(),
    ]
}

fn not_found(kind: Kind, name: &str) -> anyhow::Error {
    let plural = match kind {
        Kind::CommitStatus => "commitstatuses",
        Kind::Provider => "providers",
    };
    anyhow::anyhow!("no {kind} \"{name}\" there; `commitstatus get {plural}` lists those of every cluster")
}
