//! `import`: makes rules and Providers of the Alerts and Providers with which Flux itself reports to Git hosts.

use anyhow::bail;
use clap::Args;
use shared::Scope;

use super::scope::ScopeArgs;
use super::validate::refuse;
use super::{FileArgs, Terminal};
use crate::connect::check::KUBECTL;
use crate::import::{Wanted, import, steps};

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Providers and Alerts of Flux.
    #[command(flatten)]
    pub files: FileArgs,
    /// For which clusters.
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Keep the contexts Flux gives, with the part of the Provider's UID, for required checks and tools that ask for them;
    /// needs --cluster, and Providers as the cluster has them
    #[arg(long)]
    pub keep_names: bool,
}

/// Prints the documents to standard output; what is not carried over, and the commands that come next, to standard error.
/// `tool` is how those call this tool.
///
/// # Errors
/// All mistakes in the files, or that nothing in them reports to a Git host.
pub fn run(args: &ImportArgs, tool: &str, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
    let scope = args.scope.scope();
    if args.keep_names && scope == Scope::AllClusters {
        bail!(
            "--keep-names takes one cluster at a time, as each cluster's Provider has a UID of its own; run it once for each \
             with --cluster NAME"
        );
    }
    let sources = args.files.read(terminal.input)?;
    let wanted = Wanted {
        namespace: args.files.namespace.as_deref(),
        scope: &scope,
        keep_names: args.keep_names,
    };
    let imported = match import(&sources, &wanted) {
        Ok(imported) => imported,
        Err(mistakes) => return Err(refuse(&mistakes, terminal)?),
    };
    terminal.notes(&imported.notes)?;
    if imported.rules.is_empty() {
        bail!(
            "nothing in the files reports to a Git host, so there is nothing to import; give the Alerts and the Providers they \
             name, as `{KUBECTL}` prints them"
        );
    }
    for remark in &imported.remarks {
        writeln!(terminal.err, "note: {remark}")?;
    }
    write!(terminal.out, "{}", imported.yaml())?;
    write!(terminal.err, "\n{}", steps(&imported, &scope, tool))?;
    Ok(())
}
