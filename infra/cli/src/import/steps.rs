//! The commands that come next, in an order that loses nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use shared::Scope;
use shared::kinds::ObjectName;

use super::{Imported, NeededSecret};
use crate::connect::Watched;
use crate::connect::check::KUBECTL;

/// Where Flux itself lives.
const FLUX_NAMESPACE: &str = "flux-system";

/// Name of the cluster, where each has to be put in.
const CLUSTER: &str = "NAME";

/// The commands, as a block that can be copied. `tool` is the operator's tool with the flags it was called with.
pub fn steps(imported: &Imported, scope: &Scope, tool: &str) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut line = |line: &str| {
        let _ = writeln!(text, "{line}");
    };
    let (cluster, flag) = match scope {
        Scope::Cluster(name) => (name.as_str(), format!("--cluster {name}")),
        Scope::AllClusters => (CLUSTER, "--all-clusters".to_owned()),
    };
    let of = match scope {
        Scope::Cluster(name) => format!("cluster {name}"),
        Scope::AllClusters => "one of the clusters".to_owned(),
    };

    line("# The standard output of this command, as imported.yaml, is what is applied below. Read it first.");
    if *scope == Scope::AllClusters {
        line(&format!("# {CLUSTER} stands for each of the clusters."));
    }
    line(&format!(
        "# 1. Register the cluster, unless `{tool} cluster list` has it."
    ));
    line(&format!("{tool} cluster add {cluster}"));
    line(&format!(
        "# 2. Copy the secrets, with kubectl at {of}; in bash or zsh. No value is shown or in an argument."
    ));
    for secret in &imported.secrets {
        line(&secret_command(secret, &flag, tool));
    }
    line("# 3. Apply the rules and Providers.");
    line(&format!("{tool} apply -f imported.yaml {flag}"));
    line(
        "# 4. Let the cluster send its events here, besides to the Git host. The output holds a key, so pipe it.",
    );
    line(&format!(
        "#    The new Provider and Alert are called commitstatus; the Alert watches {}.",
        watched(&imported.watched)
    ));
    line(&format!(
        "{tool} connect {cluster}{} | kubectl apply -f -",
        namespaces(imported)
    ));
    line(
        "# 5. Check. Both report now, so nothing is lost while you look; that the old Alerts do is said, too.",
    );
    let check = format!("{KUBECTL} | {tool} connect {cluster} --check -");
    line(&check);
    line(&format!("{tool} check"));
    if !imported.alerts.is_empty() {
        line("# 6. Once the statuses are there, suspend the old Alerts; where they stand in Git, there.");
        for alert in &imported.alerts {
            line(&format!(
                "flux suspend alert {} -n {}",
                alert.name, alert.namespace
            ));
        }
        line("# 7. Then this says that all is well.");
        line(&check);
    }
    text
}

/// One command for all keys: it replaces the secret as a whole.
fn secret_command(secret: &NeededSecret, flag: &str, tool: &str) -> String {
    let NeededSecret {
        name: ObjectName { namespace, name },
        keys,
        exists,
        ..
    } = secret;
    let set = format!("{tool} secret set {name} -n {namespace} {flag}");
    // Its keys hold dots, which separate fields.
    let value = |key: &str| {
        let field = key.replace('.', "\\.");
        format!("kubectl get secret {name} -n {namespace} -o jsonpath='{{.data.{field}}}' | base64 -d")
    };
    if !exists {
        let keys: Vec<String> = keys.iter().map(|key| format!(" --key {key}")).collect();
        return format!("{set}{}", keys.concat());
    }
    match Vec::from_iter(keys).as_slice() {
        [only] => format!("{} | {set} --from-stdin {only}", value(only)),
        several => {
            let files = several
                .iter()
                .map(|key| format!(" \\\n  --from-file {key}=<({})", value(key)));
            format!("{set}{}", files.collect::<String>())
        }
    }
}

/// The new Alert lives where the old ones do, and with Flux itself if one of them does.
fn namespaces(imported: &Imported) -> String {
    let rules = imported.rules.iter().map(|rule| &rule.object.metadata.namespace);
    let of_rules: BTreeSet<&str> = rules.map(String::as_str).collect();
    let home = match of_rules.contains(FLUX_NAMESPACE) {
        true => Some(FLUX_NAMESPACE),
        false => of_rules.first().copied(),
    };
    let watched = imported.watched.keys().map(String::as_str);
    let others = watched.filter(|namespace| Some(*namespace) != home);
    let flags = home.into_iter().chain(others);
    flags.map(|namespace| format!(" -n {namespace}")).collect()
}

fn watched(watched: &Watched) -> String {
    let namespaces = watched.iter().map(|(namespace, sources)| {
        let sources: Vec<String> = sources
            .iter()
            .map(|(kind, name)| format!("{kind}/{name}"))
            .collect();
        format!("{namespace} ({})", sources.join(", "))
    });
    Vec::from_iter(namespaces).join(", ")
}
