//! `schema`: what editors check files with.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::Terminal;
use crate::object::Kind;
use crate::schema::{FILES, SchemaFile};

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of which kind; of either, in one schema, if none is named
    #[arg(value_enum)]
    pub kind: Option<SchemaKind>,
    /// Write into this directory instead of printing: the schema of the kind, or all three if none is named
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
}

/// Which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// Rules
    #[value(name = "commitstatus")]
    CommitStatus,
    /// Git hosts
    Provider,
}

impl From<SchemaKind> for Kind {
    fn from(kind: SchemaKind) -> Self {
        match kind {
            SchemaKind::CommitStatus => Self::CommitStatus,
            SchemaKind::Provider => Self::Provider,
        }
    }
}

/// Prints a schema, or writes schemas into a directory.
///
/// # Errors
/// If the directory cannot be written.
pub fn run(args: &SchemaArgs, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
    let kind = args.kind.map(Kind::from);
    let Some(directory) = &args.output_dir else {
        for file in FILES.iter().filter(|file| file.kind == kind) {
            write!(terminal.out, "{}", text(&(file.schema)())?)?;
        }
        return Ok(());
    };
    std::fs::create_dir_all(directory).with_context(|| unwritable(directory.display()))?;
    for SchemaFile { name, schema, .. } in FILES.iter().filter(|file| kind.is_none() || file.kind == kind) {
        let file = directory.join(name);
        std::fs::write(&file, text(&schema())?).with_context(|| unwritable(file.display()))?;
        writeln!(terminal.out, "{} written", shown(file.display()))?;
    }
    Ok(())
}

fn text(schema: &Value) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(schema)?))
}

fn unwritable(path: impl std::fmt::Display) -> String {
    format!(
        "cannot write `{}`; name a directory you may write to with --output-dir",
        shown(path)
    )
}

fn shown(path: impl std::fmt::Display) -> String {
    path.to_string().replace(char::is_control, " ")
}
