//! The YAML of what was made, and the proof that it says the same.

use serde_json::{Value, json};
use shared::Scope;

use super::objects::Raw;
use crate::object::Object;
use crate::yaml::decode::Findings;
use crate::yaml::{Source, validate};

/// Writes an object with comments above it. What `apply` would refuse is a mistake at the place it comes from.
pub(super) fn write(
    object: &Object,
    comments: &[String],
    scope: &Scope,
    raw: &Raw<'_>,
    findings: &mut Findings<'_>,
) -> String {
    let yaml = object
        .to_manifest(scope)
        .ok()
        .and_then(|manifest| serde_saphyr::to_string(&plain(manifest)).ok())
        .unwrap_or_default();
    let source = Source {
        name: raw.file.to_owned(),
        text: yaml.clone(),
    };
    match validate(&[source], None) {
        Ok(validated) if validated.documents.first().map(|document| &document.object) == Some(object) => {}
        Ok(_) => raw.field.mistake(
            findings,
            "cannot be written as YAML that says the same; write the object for this service by hand",
        ),
        Err(mistakes) => {
            for mistake in mistakes.mistakes {
                findings.mistake(
                    raw.place_of(&mistake.path),
                    &raw.path(&mistake.path),
                    mistake.text,
                );
            }
        }
    }
    let mut text = String::new();
    for comment in comments {
        text.push_str("# ");
        // A name of a file may hold anything.
        text.extend(comment.chars().map(|c| if c.is_control() { '?' } else { c }));
        text.push('\n');
    }
    text.push_str(&yaml);
    text
}

/// Without what holds anyway, so that what is left is what was meant.
fn plain(mut manifest: Value) -> Value {
    let defaults = [
        ("suspend", json!(false)),
        ("reportProgress", json!(true)),
        ("trustCommitAnnotation", json!(false)),
        ("onSuperseded", json!("close")),
    ];
    if let Some(metadata) = manifest["metadata"].as_object_mut() {
        metadata.remove("annotations");
    }
    if let Some(spec) = manifest["spec"].as_object_mut() {
        for (name, default) in defaults {
            if spec.get(name) == Some(&default) {
                spec.remove(name);
            }
        }
    }
    manifest
}
