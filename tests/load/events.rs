//! Events as notification-controller forwards them.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Progressing,
    ReconciliationSucceeded,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Progressing => "Progressing",
            Self::ReconciliationSucceeded => "ReconciliationSucceeded",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Progressing => "Deployment/apps/podinfo configured\nService/apps/podinfo configured",
            Self::ReconciliationSucceeded => "Reconciliation finished in 20.117483391s, next run in 10m0s",
        }
    }
}

/// The body of an event about a Kustomization. Times are whole seconds, as Kubernetes writes them, so `version` tells
/// events of one second apart.
pub(crate) fn body(namespace: &str, name: &str, reason: Reason, sha: &str, version: u64) -> String {
    let mut metadata = json!({ "revision": format!("main@sha1:{sha}") });
    if reason == Reason::ReconciliationSucceeded {
        metadata["commit_status"] = "update".into();
    }
    json!({
        "involvedObject": {
            "kind": "Kustomization",
            "namespace": namespace,
            "name": name,
            "uid": "7d0cdc51-ddcf-4743-b223-83ca5c699632",
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "resourceVersion": version.to_string(),
        },
        "severity": "info",
        "timestamp": format!("{:.0}", Timestamp::now()),
        "message": reason.message(),
        "reason": reason.as_str(),
        "metadata": metadata,
        "reportingController": "kustomize-controller",
        "reportingInstance": "kustomize-controller-7f7c9b8d4c-x2l9k",
    })
    .to_string()
}

/// The header `X-Signature` for a body.
pub(crate) fn signature(key: &SecretString, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
