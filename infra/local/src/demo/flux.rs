//! Events as kustomize-controller emits them and notification-controller forwards them.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;
use shared::CommitSha;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Progressing,
    ReconciliationSucceeded,
    HealthCheckFailed,
    BuildFailed,
}

impl Reason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Progressing => "Progressing",
            Self::ReconciliationSucceeded => "ReconciliationSucceeded",
            Self::HealthCheckFailed => "HealthCheckFailed",
            Self::BuildFailed => "BuildFailed",
        }
    }

    const fn severity(self) -> &'static str {
        match self {
            Self::Progressing | Self::ReconciliationSucceeded => "info",
            Self::HealthCheckFailed | Self::BuildFailed => "error",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Progressing => "Deployment/flux-system/webapp configured",
            Self::ReconciliationSucceeded => "Reconciliation finished in 1.402298113s, next run in 10m0s",
            Self::HealthCheckFailed => {
                "health check failed after 5m0.021734508s: timeout waiting for: [Deployment/flux-system/webapp \
                 status: 'InProgress']"
            }
            Self::BuildFailed => "kustomize build failed: accumulating resources: missing.yaml: no such file",
        }
    }
}

/// An event about Kustomization `flux-system/webapp`.
pub(super) struct WireEvent<'a> {
    pub(super) reason: Reason,
    pub(super) timestamp: Timestamp,
    pub(super) commit: &'a CommitSha,
    pub(super) version: usize,
}

impl WireEvent<'_> {
    /// The body, as sent by a `generic-hmac` Provider.
    pub(super) fn body(&self) -> String {
        let mut metadata = json!({ "revision": format!("main@sha1:{}", self.commit) });
        if self.reason == Reason::ReconciliationSucceeded {
            metadata["commit_status"] = "update".into();
        }
        json!({
            "involvedObject": {
                "kind": "Kustomization",
                "namespace": "flux-system",
                "name": "webapp",
                "uid": "7d0cdc51-ddcf-4743-b223-83ca5c699632",
                "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
                "resourceVersion": (183_200 + self.version).to_string(),
            },
            "severity": self.reason.severity(),
            // Whole seconds, as Kubernetes writes them.
            "timestamp": format!("{:.0}", self.timestamp),
            "message": self.reason.message(),
            "reason": self.reason.as_str(),
            "metadata": metadata,
            "reportingController": "kustomize-controller",
            "reportingInstance": "kustomize-controller-7f7c9b8d4c-x2l9k",
        })
        .to_string()
    }
}

/// The header `X-Signature` for a body.
#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
pub(super) fn signature(key: &SecretString, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).expect("any length");
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
