//! What an operator applies: one of the two kinds.

use std::fmt;

use serde_json::{Value, json};
use shared::kinds::{API_GROUP, Metadata, ObjectName};
use shared::{CommitStatusRule, Provider, Scope};

/// The two kinds there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// First, so that what a rule refers to is there before it.
    Provider,
    /// The rule.
    CommitStatus,
}

impl Kind {
    /// As in YAML.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "Provider",
            Self::CommitStatus => "CommitStatus",
        }
    }

    /// As kubectl prints it.
    pub fn resource(self) -> String {
        format!("{}.{API_GROUP}", self.as_str().to_lowercase())
    }

    const fn written_version(self) -> &'static str {
        match self {
            Self::Provider => "v1beta3",
            Self::CommitStatus => "v1beta1",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A validated object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A Provider.
    Provider(Provider),
    /// A rule.
    CommitStatus(CommitStatusRule),
}

impl Object {
    /// Which kind it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Provider(_) => Kind::Provider,
            Self::CommitStatus(_) => Kind::CommitStatus,
        }
    }

    /// Its metadata.
    pub const fn metadata(&self) -> &Metadata {
        match self {
            Self::Provider(provider) => &provider.metadata,
            Self::CommitStatus(rule) => &rule.metadata,
        }
    }

    /// Kind, namespace and name.
    pub fn id(&self) -> ObjectId {
        ObjectId {
            kind: self.kind(),
            name: self.metadata().object_name(),
        }
    }

    /// The object as it can be applied again. The annotation names the scope, which no field of Flux does.
    ///
    /// # Errors
    /// If it cannot be written as JSON, which none of its fields allows.
    pub fn to_manifest(&self, scope: &Scope) -> Result<Value, serde_json::Error> {
        let (metadata, mut spec) = match self {
            Self::Provider(provider) => (&provider.metadata, serde_json::to_value(&provider.spec)?),
            Self::CommitStatus(rule) => (&rule.metadata, serde_json::to_value(&rule.spec)?),
        };
        // Stored in seconds, written as Flux writes durations.
        if let Some(fields) = spec.as_object_mut()
            && let Some(seconds) = fields.remove("timeoutSeconds")
        {
            fields.insert("timeout".into(), Value::String(format!("{seconds}s")));
        }
        let mut metadata = serde_json::to_value(metadata)?;
        metadata["annotations"] = json!({ SCOPE_ANNOTATION: scope.as_str() });
        Ok(json!({
            "apiVersion": format!("{API_GROUP}/{}", self.kind().written_version()),
            "kind": self.kind().as_str(),
            "metadata": metadata,
            "spec": spec,
        }))
    }
}

/// Annotation of printed objects: the cluster they were applied for, or `*`.
pub const SCOPE_ANNOTATION: &str = "commitstatus/cluster";

/// Which object, within a scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub name: ObjectName,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// A scope in a sentence: `cluster prod-eu-1`, `all clusters`.
pub fn describe_scope(scope: &Scope) -> String {
    match scope {
        Scope::AllClusters => "all clusters".into(),
        Scope::Cluster(name) => format!("cluster {name}"),
    }
}
