//! The secrets the Providers need. Names of keys only: no value is looked at.

use std::collections::{BTreeMap, BTreeSet};

use hosts::HostKind;
use shared::Provider;
use shared::kinds::ObjectName;

use super::objects::{Raw, entry, string};
use super::{Wanted, shown};
use crate::commands::secret::{ADDRESS, KEYS, REFUSED_KEYS};
use crate::yaml::decode::Findings;
use crate::yaml::node::Value;
use crate::yaml::{DEFAULT_NAMESPACE, Position};

const CERTIFICATE_KEYS: [&str; 6] = ["ca.crt", "tls.crt", "tls.key", "caFile", "certFile", "keyFile"];

/// What a Provider uses a secret for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// To be let in by a host.
    Credential(HostKind),
    /// To know a host, or to be known by it.
    Certificates,
    /// On the way to it.
    Proxy,
}

impl Use {
    /// What there is in most cases.
    const fn usual_keys(self) -> &'static [&'static str] {
        match self {
            Self::Credential(_) => &["token"],
            Self::Certificates => &["ca.crt"],
            Self::Proxy => &[ADDRESS],
        }
    }

    /// What there may be instead, or besides.
    const fn other_keys(self) -> &'static str {
        match self {
            Self::Credential(HostKind::GitHub) => {
                "with a GitHub App it has githubAppID, githubAppPrivateKey and githubAppInstallationID or \
                 githubAppInstallationOwner instead"
            }
            Self::Credential(HostKind::BitbucketServer) => "it may have username and password instead",
            Self::Credential(HostKind::GitLab | HostKind::Gitea) => {
                "it may have username and password instead"
            }
            Self::Credential(HostKind::Bitbucket | HostKind::AzureDevOps) => {
                "it may have ca.crt, tls.crt and tls.key besides"
            }
            Self::Certificates => "it may have tls.crt and tls.key, besides or instead",
            Self::Proxy => "it may have username and password besides",
        }
    }

    /// Whether a key is read where a secret is used so.
    fn reads(self, key: &str) -> bool {
        match self {
            Self::Credential(_) => key != ADDRESS,
            Self::Certificates => CERTIFICATE_KEYS.contains(&key),
            Self::Proxy => [ADDRESS, "username", "password"].contains(&key),
        }
    }
}

/// A secret to be created before the Providers are applied.
#[derive(Debug)]
pub struct NeededSecret {
    /// As in the cluster.
    pub name: ObjectName,
    /// What it is for.
    pub uses: BTreeSet<Use>,
    /// Its keys, as far as they are known or usual.
    pub keys: BTreeSet<&'static str>,
    /// Whether the cluster has it.
    pub exists: bool,
}

/// Keys of the Secrets in the files.
pub(super) type Documents = BTreeMap<ObjectName, Vec<(String, Position)>>;

/// Reads which keys there are. Nothing in a Secret is a mistake here: most have nothing to do with Git hosts.
pub(super) fn documents(found: &[Raw<'_>], wanted: &Wanted<'_>) -> Documents {
    let mut documents = Documents::new();
    for raw in found {
        let node = raw.field.node;
        let metadata = |name| entry(node, "metadata").and_then(|metadata| string(entry(metadata, name)?));
        let Some(name) = metadata("name") else { continue };
        let namespace = metadata("namespace")
            .or(wanted.namespace)
            .unwrap_or(DEFAULT_NAMESPACE);
        let mut keys = Vec::new();
        for field in ["data", "stringData"] {
            if let Some(Value::Mapping(entries)) = entry(node, field).map(|node| &node.value) {
                let position = |at| Findings::new(raw.file).position(at);
                keys.extend(
                    entries
                        .iter()
                        .map(|(key, _)| (key.name.clone(), position(key.at))),
                );
            }
        }
        documents.insert(ObjectName::new(namespace, name), keys);
    }
    documents
}

/// Adds the secrets of a Provider.
pub(super) fn needed(
    raw: &Raw<'_>,
    provider: &Provider,
    host: HostKind,
    documents: &Documents,
    secrets: &mut BTreeMap<ObjectName, NeededSecret>,
    findings: &mut Findings<'_>,
) {
    let spec = &provider.spec;
    let references = [
        ("spec.secretRef", Use::Credential(host), Some(&spec.secret_ref)),
        (
            "spec.certSecretRef",
            Use::Certificates,
            spec.cert_secret_ref.as_ref(),
        ),
        ("spec.proxySecretRef", Use::Proxy, spec.proxy_secret_ref.as_ref()),
    ];
    for (field, used_for, reference) in references {
        let Some(reference) = reference else { continue };
        let name = ObjectName::new(&provider.metadata.namespace, &reference.name);
        let spec_node = entry(raw.field.node, "spec");
        let exists = spec_node
            .and_then(|spec| entry(spec, field.trim_start_matches("spec.")))
            .is_some_and(|node| !matches!(node.value, Value::Null));
        let secret = secrets.entry(name.clone()).or_insert_with(|| NeededSecret {
            name: name.clone(),
            uses: BTreeSet::new(),
            keys: BTreeSet::new(),
            exists,
        });
        let is_new = secret.uses.insert(used_for);
        let (at, path) = (raw.place_of(field), raw.path(field));
        match documents.get(&name) {
            Some(keys) => {
                for (key, position) in keys {
                    match KEYS.iter().find(|known| *known == key) {
                        Some(known) if used_for.reads(known) => {
                            secret.keys.insert(known);
                        }
                        _ if is_new => findings.note(at, &path, unread(key, position)),
                        _ => {}
                    }
                }
                if secret.keys.is_empty() {
                    secret.keys.extend(used_for.usual_keys());
                }
            }
            None => {
                secret.keys.extend(used_for.usual_keys());
                if is_new && exists {
                    findings.note(
                        at,
                        &path,
                        format!(
                            "the keys of Secret {name} are not in the files; the command below takes {}, but {}. `kubectl \
                             describe secret {} -n {}` shows them",
                            used_for.usual_keys().join(", "),
                            used_for.other_keys(),
                            name.name,
                            name.namespace
                        ),
                    );
                }
            }
        }
        if secret.uses.contains(&Use::Proxy) && secret.uses.len() > 1 && is_new {
            findings.note(
                at,
                &path,
                format!(
                    "Secret {name} is that of a proxy and something else, which `commitstatus secret set` refuses; give the \
                     proxy one of its own, and name that here"
                ),
            );
        }
    }
}

/// A key that stays in the cluster.
fn unread(key: &str, position: &Position) -> String {
    let why = REFUSED_KEYS.iter().find(|(refused, _)| *refused == key);
    let why = match (key, why) {
        (ADDRESS, _) => {
            "in Flux it comes before `spec.address`, and here `spec.address` counts: see that the repository is in it"
        }
        (_, Some((_, why))) => why,
        (_, None) => "nothing here reads it",
    };
    format!(
        "key `{}` of the Secret, at {position}, is not carried over: {why}",
        shown(key)
    )
}
