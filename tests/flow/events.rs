//! Events as notification-controller sends them: the recorded bodies, with one field changed at a time.

use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

/// An event body in the making.
#[derive(Clone)]
pub(crate) struct WireEvent(Value);

macro_rules! fixture {
    ($name:literal) => {
        WireEvent(
            serde_json::from_str(include_str!(concat!("../fixtures/flux-events/", $name, ".json"))).unwrap(),
        )
    };
}

pub(crate) fn progressing() -> WireEvent {
    fixture!("02-kustomization-progressing-apply")
}

pub(crate) fn succeeded() -> WireEvent {
    fixture!("04-kustomization-reconciliationsucceeded")
}

pub(crate) fn build_failed() -> WireEvent {
    fixture!("05-kustomization-buildfailed")
}

pub(crate) fn health_check_failed() -> WireEvent {
    fixture!("06-kustomization-healthcheckfailed")
}

impl WireEvent {
    fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        *self.0.pointer_mut(field).unwrap() = value.into();
        self
    }

    /// So many seconds after the start of the test.
    pub(crate) fn at(self, second: i64) -> Self {
        let timestamp = Timestamp::from_second(super::world::START + second).unwrap();
        self.with("/timestamp", format!("{timestamp:.0}"))
    }

    pub(crate) fn version(self, version: u64) -> Self {
        self.with("/involvedObject/resourceVersion", version.to_string())
    }

    pub(crate) fn name(self, name: &str) -> Self {
        self.with("/involvedObject/name", name)
    }

    pub(crate) fn namespace(self, namespace: &str) -> Self {
        self.with("/involvedObject/namespace", namespace)
    }

    pub(crate) fn revision(self, revision: &str) -> Self {
        self.with("/metadata/revision", revision)
    }

    pub(crate) fn message(self, message: &str) -> Self {
        self.with("/message", message)
    }

    /// As an older notification-controller spells its metadata.
    pub(crate) fn with_prefixed_metadata(mut self) -> Self {
        let metadata = self.0["metadata"].as_object().unwrap();
        let prefixed: serde_json::Map<String, Value> = metadata
            .iter()
            .map(|(key, value)| (format!("kustomize.toolkit.fluxcd.io/{key}"), value.clone()))
            .collect();
        self.0["metadata"] = json!(prefixed);
        self
    }

    pub(crate) fn timestamp(&self) -> Timestamp {
        self.0["timestamp"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn body(&self) -> String {
        self.0.to_string()
    }
}
