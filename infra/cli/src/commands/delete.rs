//! `delete`: objects by name or as files name them.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use shared::kinds::ObjectName;

use super::scope::{ScopeArgs, dns_label};
use super::{Terminal, validate};
use crate::object::{Kind, ObjectId, describe_scope};
use crate::store::Store;
use crate::yaml::{identify, read_sources};

/// The two kinds, as kubectl would take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// A rule
    #[value(alias = "commitstatuses")]
    Commitstatus,
    /// A Provider
    #[value(alias = "providers")]
    Provider,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Commitstatus => Self::CommitStatus,
            KindArg::Provider => Self::Provider,
        }
    }
}

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Kind of the object
    #[arg(required_unless_present = "paths", requires = "name")]
    pub kind: Option<KindArg>,
    /// Name of the object
    #[arg(requires = "namespace")]
    pub name: Option<String>,
    /// Delete what these files name instead
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE|DIR|-",
        conflicts_with = "kind"
    )]
    pub paths: Vec<PathBuf>,
    /// Look below the directories too
    #[arg(short = 'R', long, requires = "paths")]
    pub recursive: bool,
    /// Namespace of the object, or of documents that name none
    #[arg(short, long, value_parser = dns_label)]
    pub namespace: Option<String>,
    /// For which clusters.
    #[command(flatten)]
    pub scope: ScopeArgs,
}

/// Deletes objects.
///
/// # Errors
/// If one of them is not there, after the others were deleted.
pub async fn run(args: &DeleteArgs, store: &Store, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
    let objects = match (&args.kind, &args.name, &args.namespace) {
        (Some(kind), Some(name), Some(namespace)) => vec![ObjectId {
            kind: (*kind).into(),
            name: ObjectName::new(namespace, name),
        }],
        _ => {
            let sources = read_sources(&args.paths, args.recursive, terminal.input)?;
            match identify(&sources, args.namespace.as_deref()) {
                Ok(objects) => objects,
                Err(mistakes) => return Err(validate::refuse(&mistakes, terminal)?),
            }
        }
    };
    if objects.is_empty() {
        bail!(
            "no objects in the files; name the object instead: `commitstatus delete KIND NAME -n NAMESPACE`"
        );
    }
    let scope = args.scope.scope();
    let deleted = store.delete(&scope, &objects).await?;
    for id in &deleted.deleted {
        writeln!(
            terminal.out,
            "{}/{} deleted (namespace {}, {})",
            id.kind.resource(),
            id.name.name,
            id.name.namespace,
            describe_scope(&scope)
        )?;
    }
    if !deleted.not_found.is_empty() {
        let missing: Vec<String> = deleted.not_found.iter().map(ObjectId::to_string).collect();
        bail!(
            "not found for {}: {}; `commitstatus get commitstatuses` and `commitstatus get \
             providers` list what there is",
            describe_scope(&scope),
            missing.join(", ")
        );
    }
    Ok(())
}
