//! Which clusters a command is for.

use clap::Args;
use shared::Scope;

use crate::names::check_label;

/// For commands that change something: one of the two must be said.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ScopeArgs {
    /// For this cluster only
    #[arg(long, value_name = "NAME", value_parser = dns_label)]
    pub cluster: Option<String>,
    /// For every cluster that has no object of the same name of its own
    #[arg(long)]
    pub all_clusters: bool,
}

impl ScopeArgs {
    /// The scope that was said.
    pub fn scope(&self) -> Scope {
        self.cluster.clone().map_or(Scope::AllClusters, Scope::Cluster)
    }
}

/// For commands that only look: every scope if none is said.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct AnyScopeArgs {
    /// Only what is applied for this cluster
    #[arg(long, value_name = "NAME", value_parser = dns_label)]
    pub cluster: Option<String>,
    /// Only what is applied for all clusters
    #[arg(long)]
    pub all_clusters: bool,
}

impl AnyScopeArgs {
    /// The scope that was said, if one was.
    pub fn scope(&self) -> Option<Scope> {
        let all = self.all_clusters.then_some(Scope::AllClusters);
        self.cluster.clone().map(Scope::Cluster).or(all)
    }
}

/// Takes names of clusters and namespaces from the command line.
///
/// # Errors
/// Says what a DNS-1123 label looks like.
pub fn dns_label(text: &str) -> Result<String, String> {
    check_label(text).map(|()| text.to_owned())
}
