//! From YAML to validated objects, with every mistake of a call at once.

pub(crate) mod commit_status;
pub(crate) mod decode;
pub(crate) mod duration;
mod files;
pub(crate) mod metadata;
pub(crate) mod node;
pub(crate) mod provider;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use shared::kinds::API_GROUP;

pub use self::decode::suggest as nearest_of;
pub use self::files::{FileError, Source, read_sources};

use self::decode::{Field, Findings, Mapping, suggest};
use self::node::Place;
use crate::object::{Kind, Object, ObjectId};

/// Namespace of a document that names none, where the call names none either.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// File as it was named, or `stdin`.
    pub file: String,
    /// From one.
    pub line: u64,
    /// In characters, from one.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Something to tell the operator about one place: a mistake or a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub position: Position,
    /// Path of the field; empty for a whole document.
    pub path: String,
    /// What.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = match self.path.as_str() {
            "" => format!("{}: {}", self.position, self.text),
            path => format!("{}: {path}: {}", self.position, self.text),
        };
        // Keys and values are quoted in these: nothing may move the cursor, or look like another line.
        for c in line.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// A validated object and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The object.
    pub object: Object,
    /// Where it begins.
    pub position: Position,
}

/// All documents of a call, none of them wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// In the order they were given.
    pub documents: Vec<Document>,
    /// What was ignored, and what to do instead.
    pub notes: Vec<Finding>,
}

/// At least one document is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.mistakes))]
pub struct Mistakes {
    /// Everything that is wrong, in order.
    pub mistakes: Vec<Finding>,
    /// As in [`Validated::notes`].
    pub notes: Vec<Finding>,
}

fn lines(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    lines.join("\n")
}

/// Reads and validates every document of a call.
///
/// # Errors
/// All mistakes in all sources; then nothing may be applied.
pub fn validate(sources: &[Source], namespace: Option<&str>) -> Result<Validated, Mistakes> {
    let mut read = Read::default();
    for source in sources {
        read.source(source, &mut |mapping, kind, findings| {
            let metadata = metadata::decode(mapping, namespace, findings);
            let spec = mapping.required("spec", findings);
            match kind {
                Kind::CommitStatus => {
                    let spec = commit_status::decode(&spec?, findings);
                    Some(Object::CommitStatus(shared::CommitStatusRule {
                        metadata: metadata?,
                        spec: spec?,
                    }))
                }
                Kind::Provider => {
                    let spec = provider::decode(&spec?, findings);
                    Some(Object::Provider(shared::Provider {
                        metadata: metadata?,
                        spec: spec?,
                    }))
                }
            }
        });
    }
    let Read {
        found,
        mut mistakes,
        notes,
    } = read;
    let documents: Vec<Document> = found
        .into_iter()
        .map(|(object, position)| Document { object, position })
        .collect();
    mistakes.extend(repeated(
        documents
            .iter()
            .map(|document| (document.object.id(), &document.position)),
    ));
    if mistakes.is_empty() {
        Ok(Validated { documents, notes })
    } else {
        Err(Mistakes { mistakes, notes })
    }
}

/// Reads only which objects the documents name: what is deleted need not be valid any more.
///
/// # Errors
/// All mistakes in kind and metadata.
pub fn identify(sources: &[Source], namespace: Option<&str>) -> Result<Vec<ObjectId>, Mistakes> {
    let mut read = Read::default();
    for source in sources {
        read.source(source, &mut |mapping, kind, findings| {
            let metadata = metadata::decode(mapping, namespace, findings)?;
            mapping.skipped(&["spec"]);
            Some(ObjectId {
                kind,
                name: metadata.object_name(),
            })
        });
    }
    let mut mistakes = read.mistakes;
    mistakes.extend(repeated(
        read.found.iter().map(|(id, position)| (id.clone(), position)),
    ));
    if mistakes.is_empty() {
        Ok(read.found.into_iter().map(|(id, _)| id).collect())
    } else {
        Err(Mistakes {
            mistakes,
            notes: read.notes,
        })
    }
}

fn repeated<'a>(found: impl Iterator<Item = (ObjectId, &'a Position)>) -> Vec<Finding> {
    let mut first_of = BTreeMap::new();
    let mut mistakes = Vec::new();
    for (id, position) in found {
        match first_of.get(&id) {
            Some(first) => mistakes.push(Finding {
                position: position.clone(),
                path: "metadata.name".into(),
                text: format!("{id} is given twice in this call; first at {first}"),
            }),
            None => {
                first_of.insert(id, position.clone());
            }
        }
    }
    mistakes
}

type Decode<'a, T> = dyn FnMut(&mut Mapping<'_>, Kind, &mut Findings<'_>) -> Option<T> + 'a;

struct Read<T> {
    found: Vec<(T, Position)>,
    mistakes: Vec<Finding>,
    notes: Vec<Finding>,
}

impl<T> Default for Read<T> {
    fn default() -> Self {
        Self {
            found: Vec::new(),
            mistakes: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl<T> Read<T> {
    fn source(&mut self, source: &Source, decode: &mut Decode<'_, T>) {
        let mut findings = Findings::new(&source.name);
        for document in node::documents(&source.text) {
            match document {
                Ok(node) => self.object(&Field::root(&node), &mut findings, decode),
                Err((at, problem)) => findings.mistake(at, "", problem),
            }
        }
        // Fields are looked at in the order of this code, and people read from top to bottom.
        let by_place = |finding: &Finding| (finding.position.line, finding.position.column);
        findings.mistakes.sort_by_key(by_place);
        findings.notes.sort_by_key(by_place);
        self.mistakes.append(&mut findings.mistakes);
        self.notes.append(&mut findings.notes);
    }

    fn object(&mut self, field: &Field<'_>, findings: &mut Findings<'_>, decode: &mut Decode<'_, T>) {
        let Some(mut mapping) = field.mapping(findings) else {
            return;
        };
        let api_version = mapping.required("apiVersion", findings);
        let kind = mapping.required("kind", findings);
        let kind_text = kind.as_ref().and_then(|kind| kind.string(findings));
        if let (Some(text), Some(kind)) = (kind_text, &kind)
            && LIST_KINDS.contains(&text)
        {
            self.list(&mut mapping, kind.node.at, findings, decode);
            return;
        }
        let kind = kind_text
            .zip(kind)
            .and_then(|(text, field)| decode_kind(text, &field, findings));
        if let (Some(kind), Some(api_version)) = (kind, api_version) {
            check_api_version(kind, &api_version, findings);
        }
        // Without a kind there is nothing to say about the other fields.
        let Some(kind) = kind else { return };
        let object = decode(&mut mapping, kind, findings);
        mapping.finish(findings);
        if let Some(object) = object {
            self.found.push((object, findings.position(field.node.at)));
        }
    }

    fn list(
        &mut self,
        mapping: &mut Mapping<'_>,
        at: Place,
        findings: &mut Findings<'_>,
        decode: &mut Decode<'_, T>,
    ) {
        let Some(items) = mapping.optional("items") else {
            findings.mistake(at, "items", "missing; a list without items has nothing to apply");
            return;
        };
        for item in items.items(findings).unwrap_or_default() {
            self.object(&item, findings, decode);
        }
    }
}

const KINDS: [&str; 2] = [Kind::CommitStatus.as_str(), Kind::Provider.as_str()];

/// Kinds that hold several objects in `items`.
pub(crate) const LIST_KINDS: [&str; 3] = ["List", "CommitStatusList", "ProviderList"];

/// Versions of the API group a kind may be written in.
pub(crate) const fn versions(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::CommitStatus => &["v1beta1"],
        Kind::Provider => &["v1beta3", "v1beta2", "v1beta1"],
    }
}

fn decode_kind(text: &str, field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Kind> {
    match text {
        "CommitStatus" => Some(Kind::CommitStatus),
        "Provider" => Some(Kind::Provider),
        "Alert" => {
            field.mistake(
                findings,
                "an Alert stays in the cluster (`commitstatus connect` prints the one it needs); expected one of \
                 CommitStatus, Provider",
            );
            None
        }
        other => {
            field.mistake(
                findings,
                format!("no kind of this service; {}", suggest(other, &KINDS)),
            );
            None
        }
    }
}

fn check_api_version(kind: Kind, field: &Field<'_>, findings: &mut Findings<'_>) {
    let known: Vec<String> = versions(kind)
        .iter()
        .map(|version| format!("{API_GROUP}/{version}"))
        .collect();
    let Some(text) = field.string(findings) else {
        return;
    };
    if !known.iter().any(|known| known == text) {
        let text = match known.as_slice() {
            [only] => format!("no version of {kind}; expected {only}"),
            several => format!("no version of {kind}; expected one of {}", several.join(", ")),
        };
        field.mistake(findings, text);
    }
}

#[cfg(test)]
pub(crate) mod tests;
