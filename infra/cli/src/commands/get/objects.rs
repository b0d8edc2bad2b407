//! `get commitstatuses` and `get providers`: what is applied.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ShowArgs;
use super::listing::{Entry, Listing};
use crate::commands::print::{Cell, since};
use crate::commands::scope::{AnyScopeArgs, dns_label};
use crate::object::{Kind, Object};
use crate::store::{Applied, Store};

/// Arguments of `get` for the two kinds.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Only objects of these names
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Only objects of this namespace
    #[arg(short, long, value_parser = dns_label)]
    pub namespace: Option<String>,
    /// Objects of every namespace, as when none is named
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// For which clusters.
    #[command(flatten)]
    pub scope: AnyScopeArgs,
    /// How to print it.
    #[command(flatten)]
    pub show: ShowArgs,
}

/// Which objects of a kind are meant.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct Wanted<'a> {
    pub(in crate::commands) names: &'a [String],
    pub(in crate::commands) namespace: Option<&'a str>,
    pub(in crate::commands) scope: &'a AnyScopeArgs,
}

impl Wanted<'_> {
    /// What there is of it.
    pub(in crate::commands) async fn find(&self, kind: Kind, store: &Store) -> anyhow::Result<Vec<Applied>> {
        let mut found = store.applied(kind, self.scope.scope().as_ref()).await?;
        found.retain(|applied| {
            let metadata = applied.object.metadata();
            let is_named =
                self.names.is_empty() || self.names.iter().any(|name| bare(kind, name) == metadata.name);
            let is_there = self
                .namespace
                .is_none_or(|namespace| *namespace == metadata.namespace);
            is_named && is_there
        });
        Ok(found)
    }

    /// Names that are not among what was found.
    pub(in crate::commands) fn missing(&self, kind: Kind, found: &[Applied]) -> Option<String> {
        let is_found = |name: &str| found.iter().any(|applied| applied.object.metadata().name == name);
        let missing: Vec<String> = self
            .names
            .iter()
            .map(|name| bare(kind, name))
            .filter(|name| !is_found(name))
            .map(|name| format!("\"{}\"", name.escape_debug()))
            .collect();
        (!missing.is_empty()).then(|| {
            let plural = match kind {
                Kind::CommitStatus => "commitstatuses",
                Kind::Provider => "providers",
            };
            format!(
                "no {kind} {} there; `commitstatus get {plural}` lists those of every cluster",
                missing.join(", ")
            )
        })
    }
}

/// The name in `webapp`, and in what `-o name` prints.
fn bare(kind: Kind, name: &str) -> &str {
    let resource = kind.resource();
    let (short, _) = resource.split_once('.').unwrap_or((&resource, ""));
    match name.split_once('/') {
        Some((before, name)) if before == resource || before == short => name,
        _ => name,
    }
}

pub(super) async fn list(
    kind: Kind,
    args: &GetArgs,
    store: &Store,
    now: Timestamp,
) -> anyhow::Result<Listing> {
    let wanted = Wanted {
        names: &args.names,
        namespace: args.namespace.as_deref(),
        scope: &args.scope,
    };
    let found = wanted.find(kind, store).await?;
    let missing = wanted.missing(kind, &found);
    let is_wide = args.show.is_wide();
    let entries = found.iter().map(|applied| entry(applied, is_wide, now));
    Ok(Listing {
        header: header(kind, is_wide),
        entries: entries.collect::<Result<_, _>>()?,
        // As kubectl: an object that was named stands alone.
        whole: match args.names.as_slice() {
            [_] => alone,
            _ => list_of,
        },
        nothing: "nothing applied".into(),
        missing,
        warnings: Vec::new(),
        hints: Vec::new(),
    })
}

fn alone(mut manifests: Vec<Value>) -> Value {
    match manifests.len() {
        1 => manifests.remove(0),
        _ => list_of(manifests),
    }
}

fn list_of(manifests: Vec<Value>) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": manifests })
}

fn header(kind: Kind, is_wide: bool) -> Vec<&'static str> {
    let mut header = vec!["CLUSTER", "NAMESPACE", "NAME"];
    header.extend(match kind {
        Kind::CommitStatus => ["PROVIDER", "SEVERITY", "SOURCES", "PREFIX", "SUSPENDED"].as_slice(),
        Kind::Provider => ["TYPE", "ADDRESS", "SECRET", "SUSPENDED"].as_slice(),
    });
    header.push("AGE");
    if is_wide {
        header.extend(match kind {
            Kind::CommitStatus => ["PROGRESS", "SUPERSEDED", "APPLIED"].as_slice(),
            Kind::Provider => ["CERTIFICATES", "PROXY", "EXPRESSION", "APPLIED"].as_slice(),
        });
    }
    header
}

fn entry(applied: &Applied, is_wide: bool, now: Timestamp) -> Result<Entry, serde_json::Error> {
    let Applied {
        scope,
        object,
        applied_at,
    } = applied;
    let metadata = object.metadata();
    let mut cells: Vec<Cell> = vec![
        scope.to_string().into(),
        metadata.namespace.clone().into(),
        metadata.name.clone().into(),
    ];
    match object {
        Object::CommitStatus(rule) => cells.extend(rule_cells(rule, is_wide)),
        Object::Provider(provider) => cells.extend(provider_cells(provider)),
    }
    let age = applied_at.map(|at| since(at.as_millisecond(), now));
    cells.push(age.map_or_else(|| "-".into(), Cell::from));
    if is_wide {
        match object {
            Object::CommitStatus(rule) => cells.extend(wide_rule_cells(rule)),
            Object::Provider(provider) => cells.extend(wide_provider_cells(provider)),
        }
        cells.push(applied_at.map_or_else(|| "-".into(), |at| format!("{at:.0}").into()));
    }
    let id = object.id();
    Ok(Entry {
        key: format!("{scope} {id}"),
        name: format!("{}/{}", object.kind().resource(), metadata.name),
        value: object.to_manifest(scope)?,
        cells,
    })
}

fn rule_cells(rule: &shared::CommitStatusRule, is_wide: bool) -> Vec<Cell> {
    /// More would make the table wider than a terminal.
    const SHOWN_SOURCES: usize = 1;

    let spec = &rule.spec;
    let shown = if is_wide { usize::MAX } else { SHOWN_SOURCES };
    let sources = spec.event_sources.iter().take(shown).map(|source| {
        format!(
            "{}/{}/{}",
            source.kind,
            source.namespace(&rule.metadata),
            source.name
        )
    });
    let mut sources = sources.collect::<Vec<_>>().join(", ");
    let more = spec.event_sources.len().saturating_sub(shown);
    if more > 0 {
        sources.push_str(&format!(" and {more} more"));
    }
    let prefix = match spec.prefix.as_deref() {
        None => "<cluster>/<namespace>",
        Some("") => "<none>",
        Some(prefix) => prefix,
    };
    vec![
        spec.provider_ref.name.clone().into(),
        match spec.event_severity {
            shared::kinds::EventSeverity::Info => "info".into(),
            shared::kinds::EventSeverity::Error => "error".into(),
        },
        sources.into(),
        prefix.into(),
        Cell::suspended(spec.suspend),
    ]
}

fn wide_rule_cells(rule: &shared::CommitStatusRule) -> Vec<Cell> {
    vec![
        rule.spec.report_progress.to_string().into(),
        match rule.spec.on_superseded {
            shared::kinds::OnSuperseded::Close => "close".into(),
            shared::kinds::OnSuperseded::Leave => "leave".into(),
        },
    ]
}

fn provider_cells(provider: &shared::Provider) -> Vec<Cell> {
    let spec = &provider.spec;
    vec![
        spec.kind.clone().into(),
        spec.address.clone().into(),
        spec.secret_ref.name.clone().into(),
        Cell::suspended(spec.suspend),
    ]
}

fn wide_provider_cells(provider: &shared::Provider) -> Vec<Cell> {
    let spec = &provider.spec;
    let named = |reference: &Option<shared::kinds::LocalReference>| -> Cell {
        reference
            .as_ref()
            .map_or_else(|| "-".into(), |reference| reference.name.clone().into())
    };
    vec![
        named(&spec.cert_secret_ref),
        named(&spec.proxy_secret_ref),
        spec.commit_status_expr.as_deref().unwrap_or("-").into(),
    ]
}
