//! What the files hold: Providers, Alerts and Secrets, also within lists. Everything else is left aside.

use shared::kinds::API_GROUP;

use super::{Report, Wanted};
use crate::yaml::decode::{Field, Findings, Mapping};
use crate::yaml::node::{self, Node, Place, Value};
use crate::yaml::{Source, metadata};

/// An object as it stands in a file.
#[derive(Clone)]
pub(super) struct Raw<'n> {
    /// Which of the files, to say things in their order.
    pub source: usize,
    /// Name of the file.
    pub file: &'n str,
    pub field: Field<'n>,
}

impl Raw<'_> {
    /// Path of one of its fields within the file.
    pub(super) fn path(&self, field: &str) -> String {
        match self.field.path.as_str() {
            "" => field.to_owned(),
            item => format!("{item}.{field}"),
        }
    }

    /// Where a field of that path stands, or the nearest that leads there.
    pub(super) fn place_of(&self, path: &str) -> Place {
        let mut node = self.field.node;
        for name in path.split(['.', '[']) {
            let name = name.trim_end_matches(']');
            let next = match &node.value {
                Value::Mapping(entries) => entries
                    .iter()
                    .find(|(key, _)| key.name == name)
                    .map(|(_, value)| value),
                Value::Sequence(items) => name.parse().ok().and_then(|at: usize| items.get(at)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            };
            let Some(next) = next else { break };
            node = next;
        }
        node.at
    }
}

/// Objects of the files, in order.
#[derive(Default)]
pub(super) struct Objects<'n> {
    pub providers: Vec<Raw<'n>>,
    pub alerts: Vec<Raw<'n>>,
    pub secrets: Vec<Raw<'n>>,
}

/// The documents of a file.
pub(super) struct File<'s> {
    source: usize,
    name: &'s str,
    documents: Vec<Node>,
}

/// Reads all files; what is no YAML is a mistake.
pub(super) fn documents<'s>(sources: &'s [Source], report: &mut Report) -> Vec<File<'s>> {
    let mut files = Vec::new();
    for (source, Source { name, text }) in sources.iter().enumerate() {
        let mut findings = Findings::new(name);
        let mut documents = Vec::new();
        for document in node::documents(text) {
            match document {
                Ok(node) => documents.push(node),
                Err((at, problem)) => findings.mistake(at, "", problem),
            }
        }
        report.take(source, findings);
        files.push(File {
            source,
            name,
            documents,
        });
    }
    files
}

/// Sorts the objects by kind. Directories hold more than Alerts: what is no object of Kubernetes, and objects of other
/// kinds, are nobody's mistake here.
pub(super) fn collect<'n>(files: &'n [File<'_>], report: &mut Report) -> Objects<'n> {
    let mut objects = Objects::default();
    for file in files {
        let mut findings = Findings::new(file.name);
        for document in &file.documents {
            let raw = Raw {
                source: file.source,
                file: file.name,
                field: Field::root(document),
            };
            sort(raw, &mut objects, &mut findings);
        }
        report.take(file.source, findings);
    }
    objects
}

fn sort<'n>(raw: Raw<'n>, objects: &mut Objects<'n>, findings: &mut Findings<'_>) {
    let text = |name: &str| entry(raw.field.node, name).and_then(string);
    let Some(kind) = text("kind") else {
        if matches!(raw.field.node.value, Value::Null) {
            return;
        }
        raw.field.note(
            findings,
            "left aside: no object of Kubernetes, as it has no `kind`",
        );
        return;
    };
    if kind.ends_with("List") {
        if let Some(items) = entry(raw.field.node, "items") {
            let items = Field {
                path: raw.path("items"),
                node: items,
            };
            for item in items.items(findings).unwrap_or_default() {
                let (source, file) = (raw.source, raw.file);
                sort(
                    Raw {
                        source,
                        file,
                        field: item,
                    },
                    objects,
                    findings,
                );
            }
        }
        return;
    }
    let group = match text("apiVersion") {
        Some(version) => version.split_once('/').map_or("", |(group, _)| group),
        // Whoever writes the name of a Flux kind means it.
        None => API_GROUP,
    };
    match (group, kind) {
        (API_GROUP, "Provider") => objects.providers.push(raw),
        (API_GROUP, "Alert") => objects.alerts.push(raw),
        ("", "Secret") => objects.secrets.push(raw),
        _ => {}
    }
}

/// A field of a node that may be anything.
pub(super) fn entry<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Mapping(entries) = &node.value else {
        return None;
    };
    let (_, value) = entries.iter().find(|(key, _)| key.name == name)?;
    Some(value)
}

pub(super) fn string(node: &Node) -> Option<&str> {
    match &node.value {
        Value::String(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Sequence(_) | Value::Mapping(_) => None,
    }
}

/// The fields of an object, its version, and its metadata. What a cluster writes there is no news.
pub(super) fn head<'n>(
    raw: &Raw<'n>,
    wanted: &Wanted<'_>,
    findings: &mut Findings<'_>,
) -> Option<(Mapping<'n>, shared::kinds::Metadata)> {
    const VERSIONS: [&str; 4] = ["v1beta3", "v1beta2", "v1beta1", "v1"];

    let mut object = raw.field.mapping(findings)?;
    object.skipped(&["kind"]);
    if let Some(field) = object.required("apiVersion", findings)
        && let Some(text) = field.string(findings)
        && !VERSIONS
            .iter()
            .any(|version| text.strip_prefix(API_GROUP) == Some(format!("/{version}").as_str()))
    {
        field.note(
            findings,
            "a version this release does not know; it is read as if it were v1beta3",
        );
    }
    let mut of_metadata = Findings::new(findings.file);
    let metadata = metadata::decode(&mut object, wanted.namespace, &mut of_metadata);
    findings.mistakes.append(&mut of_metadata.mistakes);
    let is_news = |path: &str| path.ends_with("metadata.namespace");
    let notes = of_metadata.notes.into_iter().filter(|note| is_news(&note.path));
    findings.notes.extend(notes);
    Some((object, metadata?))
}

/// What is left of a mapping: fields of a later Flux, or misspelt ones.
pub(super) fn unknown(fields: Mapping<'_>, findings: &mut Findings<'_>) {
    let mut unknown = Findings::new(findings.file);
    fields.finish(&mut unknown);
    for mut found in unknown.mistakes {
        found.text = format!("not carried over: {}", found.text);
        findings.notes.push(found);
    }
}

/// What Flux fills into a text when it applies the file; in the cluster it is filled in.
pub(super) fn is_filled_in(text: &str) -> bool {
    text.contains("${")
}
