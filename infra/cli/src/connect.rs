//! What a cluster needs to send its events here: a Secret, a Provider and an Alert.

pub mod check;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use secrecy::{ExposeSecret, SecretString};
use shared::CommitStatusRule;
use shared::kinds::{ANY_NAME, KUSTOMIZATION};

/// Name of all three objects.
pub(crate) const OBJECT_NAME: &str = "commitstatus";
/// Flux gives up after this; its retries at 2, 4, 8 and 16 seconds fit in.
const TIMEOUT: &str = "60s";

/// Kinds and names whose events are sent, by namespace.
pub type Watched = BTreeMap<String, BTreeSet<(String, String)>>;

/// A cluster and what its objects say.
#[derive(Debug)]
pub struct Connection<'a> {
    /// Name of the cluster.
    pub cluster: &'a str,
    /// Generation of the key.
    pub generation: u32,
    /// Its key.
    pub key: &'a SecretString,
    /// Where the service takes events.
    pub function_url: &'a str,
    /// What is watched.
    pub watched: &'a Watched,
    /// Where the objects live; `None` for all three in each watched namespace.
    pub namespace: Option<&'a str>,
}

/// The function URL is no address Flux could send to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address of the service; expected https://HOST/ as the stack's outputs name it")]
pub struct InvalidUrl(pub String);

/// What the rules name, and every Kustomization of the given namespaces. An Alert has no wildcard for
/// namespaces.
pub fn watched<'a>(rules: impl IntoIterator<Item = &'a CommitStatusRule>, namespaces: &[String]) -> Watched {
    let mut watched = Watched::new();
    let any_kustomization = || (KUSTOMIZATION.to_owned(), ANY_NAME.to_owned());
    for namespace in namespaces {
        watched.insert(namespace.clone(), [any_kustomization()].into());
    }
    for rule in rules {
        for source in &rule.spec.event_sources {
            let of_namespace = watched
                .entry(source.namespace(&rule.metadata).to_owned())
                .or_default();
            of_namespace.insert(any_kustomization());
            if source.kind != KUSTOMIZATION {
                of_namespace.insert((source.kind.clone(), source.name.clone()));
            }
        }
    }
    without_named_of_any(watched)
}

/// What the rules name, and nothing else.
pub fn needed<'a>(rules: impl IntoIterator<Item = &'a CommitStatusRule>) -> Watched {
    let mut needed = Watched::new();
    for rule in rules.into_iter().filter(|rule| !rule.spec.suspend) {
        for source in &rule.spec.event_sources {
            let of_namespace = needed
                .entry(source.namespace(&rule.metadata).to_owned())
                .or_default();
            of_namespace.insert((source.kind.clone(), source.name.clone()));
        }
    }
    without_named_of_any(needed)
}

/// Where every object of a kind is watched, none needs to be named.
fn without_named_of_any(mut watched: Watched) -> Watched {
    for of_namespace in watched.values_mut() {
        let any: BTreeSet<String> = of_namespace
            .iter()
            .filter(|(_, name)| name == ANY_NAME)
            .map(|(kind, _)| kind.clone())
            .collect();
        of_namespace.retain(|(kind, name)| name == ANY_NAME || !any.contains(kind));
    }
    watched
}

/// Renders the objects, ready for `kubectl apply -f -`. The text holds the key.
///
/// # Errors
/// If the function URL is none.
pub fn render(connection: &Connection<'_>) -> Result<String, InvalidUrl> {
    let address = address(connection)?;
    let cluster = connection.cluster;
    let mut text = format!(
        "# Sends the events of cluster {cluster} to the commit status service. Holds a secret: do not commit it.\n\
         # Flux 2.8.0 to 2.8.5 never send success events to generic providers; fixed in 2.8.6.\n"
    );
    match connection.namespace {
        Some(namespace) => {
            let sources: Vec<_> = connection
                .watched
                .iter()
                .flat_map(|(of, sources)| sources.iter().map(move |source| (of.as_str(), source)))
                .collect();
            objects(&mut text, namespace, &address, connection.key, &sources);
        }
        None => {
            for (namespace, sources) in connection.watched {
                let sources: Vec<_> = sources
                    .iter()
                    .map(|source| (namespace.as_str(), source))
                    .collect();
                objects(&mut text, namespace, &address, connection.key, &sources);
            }
        }
    }
    Ok(text)
}

fn address(connection: &Connection<'_>) -> Result<String, InvalidUrl> {
    let url = connection.function_url;
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let is_address = host.is_some_and(|host| {
        !host.is_empty() && !host.starts_with('/') && !host.contains(['?', '#', '"', '\\', '@'])
    });
    if !is_address || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(InvalidUrl(url.chars().flat_map(char::escape_debug).collect()));
    }
    let mut address = format!("{}/events/{}", url.trim_end_matches('/'), connection.cluster);
    if connection.generation > 1 {
        // Writing to a String cannot fail.
        let _ = write!(address, "?generation={}", connection.generation);
    }
    Ok(address)
}

/// Names are checked when they come in, so none needs quoting but what YAML could take for something else.
fn objects(
    text: &mut String,
    namespace: &str,
    address: &str,
    key: &SecretString,
    sources: &[(&str, &(String, String))],
) {
    let key = key.expose_secret();
    text.push_str(&format!(
        "---
apiVersion: v1
kind: Secret
metadata:
  name: {OBJECT_NAME}
  namespace: \"{namespace}\"
type: Opaque
stringData:
  token: \"{key}\"
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata:
  name: {OBJECT_NAME}
  namespace: \"{namespace}\"
spec:
  type: generic-hmac
  address: \"{address}\"
  timeout: {TIMEOUT}
  secretRef:
    name: {OBJECT_NAME}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Alert
metadata:
  name: {OBJECT_NAME}
  namespace: \"{namespace}\"
spec:
  providerRef:
    name: {OBJECT_NAME}
  eventSeverity: info
  eventSources:
"
    ));
    for (of, (kind, name)) in sources {
        text.push_str(&format!(
            "    - kind: {kind}\n      name: \"{name}\"\n      namespace: \"{of}\"\n"
        ));
    }
}
