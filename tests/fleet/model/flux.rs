//! Events as notification-controller sends them, for many objects: `tests/fixtures/flux-events` with names, times and
//! messages put in.

use hmac::{Hmac, KeyInit, Mac};
use intake::keys::{RootKey, derive_cluster_key};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// What a reconciliation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Says {
    Progressing,
    Succeeded,
    Failed,
}

/// An event: which object says what about which commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) object: u32,
    pub(crate) commit: u32,
    pub(crate) says: Says,
    /// How long the reconciliation took.
    pub(crate) took_millis: i64,
}

/// The names of a fleet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    pub(crate) kustomizations: u32,
    /// Namespaces they are spread over, each with a rule, a Provider and a credential of its own.
    pub(crate) namespaces: u32,
}

impl Names {
    pub(crate) fn cluster(&self, object: u32) -> String {
        cluster_name(object / self.kustomizations)
    }

    pub(crate) fn namespace(&self, object: u32) -> String {
        namespace_name(object % self.kustomizations % self.namespaces)
    }

    pub(crate) fn name(&self, object: u32) -> String {
        format!("app-{:02}", object % self.kustomizations)
    }

    /// The object of a context: `c0012/apps-0/kustomization/app-07`.
    pub(crate) fn object(&self, context: &str) -> Option<u32> {
        let mut parts = context.split('/');
        let cluster: u32 = parts.next()?.strip_prefix('c')?.parse().ok()?;
        let number: u32 = parts.nth(2)?.strip_prefix("app-")?.parse().ok()?;
        Some(cluster * self.kustomizations + number)
    }

    /// The body of an event. `version` grows with each.
    pub(crate) fn body(&self, told: Told, at: Timestamp, version: u64) -> String {
        let object = told.object;
        let (cluster, namespace, name) = (self.cluster(object), self.namespace(object), self.name(object));
        let revision = format!("main@sha1:{}", sha(told.commit));
        let seconds = told.took_millis as f64 / 1000.0;
        let (severity, reason, message, update) = match told.says {
            Says::Progressing => (
                "info",
                "Progressing",
                format!("Deployment/{namespace}/{name} configured\\nConfigMap/{namespace}/{name} configured"),
                "",
            ),
            Says::Succeeded => (
                "info",
                "ReconciliationSucceeded",
                format!("Reconciliation finished in {seconds:.9}s, next run in 10m0s"),
                "\"commit_status\":\"update\",",
            ),
            Says::Failed => (
                "error",
                "HealthCheckFailed",
                format!(
                    "health check failed after {seconds:.9}s: timeout waiting for: [Deployment/{namespace}/{name} \
                     status: 'InProgress']"
                ),
                "",
            ),
        };
        format!(
            "{{\"involvedObject\":{{\"kind\":\"Kustomization\",\"namespace\":\"{namespace}\",\"name\":\"{name}\",\
             \"uid\":\"7d0cdc51-ddcf-4743-b223-{object:012x}\",\
             \"apiVersion\":\"kustomize.toolkit.fluxcd.io/v1\",\"resourceVersion\":\"{version}\"}},\
             \"severity\":\"{severity}\",\"timestamp\":\"{at:.0}\",\"message\":\"{message}\",\
             \"reason\":\"{reason}\",\"metadata\":{{\"cluster\":\"{cluster}\",{update}\"revision\":\"{revision}\"}},\
             \"reportingController\":\"kustomize-controller\",\
             \"reportingInstance\":\"kustomize-controller-7f7c9b8d4c-x2l9k\"}}"
        )
    }
}

pub(crate) fn cluster_name(number: u32) -> String {
    format!("c{number:04}")
}

pub(crate) fn namespace_name(number: u32) -> String {
    format!("apps-{number}")
}

/// A commit by its number.
pub(crate) fn sha(commit: u32) -> String {
    let digest = Sha256::digest(format!("commit {commit}"));
    hex::encode(&digest[..20])
}

/// What clusters sign with.
pub(crate) struct Signer(Vec<Hmac<Sha256>>);

impl Signer {
    pub(crate) fn new(root: &SecretString, clusters: u32) -> Self {
        let root = RootKey::new(root).unwrap();
        let keys = (0..clusters).map(|number| derive_cluster_key(&root, &cluster_name(number), 1));
        Self(
            keys.map(|key| Hmac::new_from_slice(key.expose_secret().as_bytes()).unwrap())
                .collect(),
        )
    }

    /// The header `X-Signature`.
    pub(crate) fn sign(&self, cluster: u32, body: &str) -> String {
        let mut mac = self.0[cluster as usize].clone();
        mac.update(body.as_bytes());
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }
}
