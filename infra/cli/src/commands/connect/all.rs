//! `connect --output-dir`: a file for each cluster.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use shared::Scope;
use tempfile::NamedTempFile;

use super::{Manifests, effective, rules_of};
use crate::commands::Terminal;
use crate::store::{Cluster, Store};

/// Those whose events are taken.
pub(super) async fn clusters(store: &Store, terminal: &mut Terminal<'_>) -> anyhow::Result<Vec<Cluster>> {
    let (suspended, active): (Vec<Cluster>, Vec<Cluster>) = store
        .clusters()
        .await?
        .into_iter()
        .partition(|cluster| cluster.suspended);
    for Cluster { name, .. } in &suspended {
        terminal.hint(format!(
            "cluster/{name} is suspended, so there is no file for it; `commitstatus cluster resume {name}` takes its \
             events again"
        ))?;
    }
    if active.is_empty() {
        bail!("no cluster to connect; `commitstatus cluster add NAME` registers one");
    }
    Ok(active)
}

/// Writes the files one after the other: those before a failure stay, and may be applied.
pub(super) async fn write(
    manifests: &Manifests<'_>,
    clusters: &[Cluster],
    directory: &Path,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let unwritable = || {
        format!(
            "cannot write to `{}`; name a directory you may write to with --output-dir",
            shown(directory)
        )
    };
    create(directory).with_context(unwritable)?;
    let common = rules_of(manifests.store, &Scope::AllClusters).await?;
    let steps = u64::try_from(clusters.len()).unwrap_or(u64::MAX);
    let bar = terminal.progress(steps, "connecting");
    for cluster in clusters {
        let own = rules_of(manifests.store, &Scope::Cluster(cluster.name.clone())).await?;
        let rules = effective(own, &common);
        let (text, watched) = manifests.of(cluster, &rules, &namespaces(manifests, cluster))?;
        let file = replace(directory, &cluster.name, &text).with_context(unwritable)?;
        manifests.remember(cluster, watched).await?;
        bar.suspend(|| {
            writeln!(
                terminal.out,
                "cluster/{} written to {}",
                cluster.name,
                shown(&file)
            )
        })?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    terminal.hint(format!(
        "each file holds the key of its cluster: `kubectl --context CONTEXT apply -f {}/CLUSTER.yaml` gives it to the \
         cluster; then delete the files",
        shown(directory)
    ))?;
    Ok(())
}

/// Where it is not one cluster that is asked for, nobody repeats what each was connected with.
fn namespaces(manifests: &Manifests<'_>, cluster: &Cluster) -> Vec<String> {
    let mut namespaces = manifests.args.namespace.clone();
    if manifests.args.all {
        let known: BTreeSet<String> = namespaces.iter().cloned().collect();
        namespaces.extend(cluster.connected_namespaces.difference(&known).cloned());
    }
    namespaces
}

/// For its owner only, as far as it is not there.
fn create(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// In one step, for its owner only.
fn replace(directory: &Path, cluster: &str, text: &str) -> io::Result<PathBuf> {
    let path = directory.join(format!("{cluster}.yaml"));
    // Created with mode 0600.
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(path)
}

fn shown(path: &Path) -> String {
    path.display().to_string().replace(char::is_control, " ")
}
