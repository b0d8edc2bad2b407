//! Walks a document: keeps the path of the field, collects every mistake and goes on.

use std::collections::BTreeMap;

use super::node::{Key, Node, Place, Value};
use super::{Finding, Position};

/// Below this likeness a suggestion would be a guess.
const LIKENESS: f64 = 0.6;

/// Mistakes and notes about one file.
pub(crate) struct Findings<'a> {
    pub file: &'a str,
    pub mistakes: Vec<Finding>,
    pub notes: Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(file: &'a str) -> Self {
        Self {
            file,
            mistakes: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn mistake(&mut self, at: Place, path: &str, text: impl Into<String>) {
        let finding = self.finding(at, path, text);
        self.mistakes.push(finding);
    }

    pub(crate) fn note(&mut self, at: Place, path: &str, text: impl Into<String>) {
        let finding = self.finding(at, path, text);
        self.notes.push(finding);
    }

    pub(crate) fn position(&self, at: Place) -> Position {
        Position {
            file: self.file.to_owned(),
            line: at.line,
            column: at.column,
        }
    }

    fn finding(&self, at: Place, path: &str, text: impl Into<String>) -> Finding {
        Finding {
            position: self.position(at),
            path: path.to_owned(),
            text: text.into(),
        }
    }
}

/// A value and the path that leads to it.
#[derive(Clone)]
pub(crate) struct Field<'n> {
    pub path: String,
    pub node: &'n Node,
}

impl<'n> Field<'n> {
    pub(crate) fn root(node: &'n Node) -> Self {
        Self {
            path: String::new(),
            node,
        }
    }

    pub(crate) fn mistake(&self, findings: &mut Findings<'_>, text: impl Into<String>) {
        findings.mistake(self.node.at, &self.path, text);
    }

    pub(crate) fn note(&self, findings: &mut Findings<'_>, text: impl Into<String>) {
        findings.note(self.node.at, &self.path, text);
    }

    fn expected(&self, findings: &mut Findings<'_>, what: &str) {
        let quote = match self.node.value {
            Value::Bool(_) | Value::Number(_) if what == "a string" => "; put it in quotes",
            _ => "",
        };
        self.mistake(
            findings,
            format!("expected {what}, found {}{quote}", self.node.describe()),
        );
    }

    pub(crate) fn string(&self, findings: &mut Findings<'_>) -> Option<&'n str> {
        let Value::String(text) = &self.node.value else {
            self.expected(findings, "a string");
            return None;
        };
        Some(text)
    }

    pub(crate) fn boolean(&self, findings: &mut Findings<'_>) -> Option<bool> {
        let Value::Bool(value) = self.node.value else {
            self.expected(findings, "true or false");
            return None;
        };
        Some(value)
    }

    pub(crate) fn items(&self, findings: &mut Findings<'_>) -> Option<Vec<Self>> {
        let Value::Sequence(nodes) = &self.node.value else {
            self.expected(findings, "a list");
            return None;
        };
        let items = nodes.iter().enumerate().map(|(index, node)| Field {
            path: format!("{}[{index}]", self.path),
            node,
        });
        Some(items.collect())
    }

    pub(crate) fn strings(&self, findings: &mut Findings<'_>) -> Vec<(Self, &'n str)> {
        self.items(findings)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|item| item.string(findings).map(|text| (item.clone(), text)))
            .collect()
    }

    pub(crate) fn mapping(&self, findings: &mut Findings<'_>) -> Option<Mapping<'n>> {
        let Value::Mapping(nodes) = &self.node.value else {
            self.expected(findings, "a mapping");
            return None;
        };
        let mut first_of: BTreeMap<&str, Place> = BTreeMap::new();
        let mut entries = Vec::new();
        for (key, node) in nodes {
            if let Some(first) = first_of.get(key.name.as_str()) {
                let text = format!(
                    "given twice; first in line {}, column {}",
                    first.line, first.column
                );
                findings.mistake(key.at, &join(&self.path, &key.name), text);
                continue;
            }
            first_of.insert(&key.name, key.at);
            entries.push(Entry {
                key,
                node,
                taken: false,
            });
        }
        Some(Mapping {
            path: self.path.clone(),
            at: self.node.at,
            entries,
            known: Vec::new(),
        })
    }

    /// A mapping of strings with names of the operator's choice.
    pub(crate) fn string_map(&self, findings: &mut Findings<'_>) -> Vec<(&'n Key, &'n str)> {
        let Some(mapping) = self.mapping(findings) else {
            return Vec::new();
        };
        let mut map = Vec::new();
        for entry in mapping.entries {
            let field = Field {
                path: join(&mapping.path, &entry.key.name),
                node: entry.node,
            };
            if let Some(text) = field.string(findings) {
                map.push((entry.key, text));
            }
        }
        map
    }
}

struct Entry<'n> {
    key: &'n Key,
    node: &'n Node,
    taken: bool,
}

/// A mapping whose fields are taken one by one; what is left at the end is unknown.
pub(crate) struct Mapping<'n> {
    pub path: String,
    pub at: Place,
    entries: Vec<Entry<'n>>,
    known: Vec<&'static str>,
}

impl<'n> Mapping<'n> {
    /// The field, unless it is missing or has nothing after its colon, as kubectl sees it.
    pub(crate) fn optional(&mut self, name: &'static str) -> Option<Field<'n>> {
        self.known.push(name);
        self.take(name).map(|(_, field)| field)
    }

    pub(crate) fn required(&mut self, name: &'static str, findings: &mut Findings<'_>) -> Option<Field<'n>> {
        let at = self.at;
        let path = join(&self.path, name);
        let field = self.optional(name);
        if field.is_none() {
            findings.mistake(at, &path, "missing; it is required");
        }
        field
    }

    pub(crate) fn ignored(&mut self, name: &'static str, findings: &mut Findings<'_>, note: &str) {
        if let Some((key, field)) = self.take(name) {
            findings.note(key.at, &field.path, note);
        }
    }

    pub(crate) fn refused(&mut self, name: &'static str, findings: &mut Findings<'_>, why: &str) {
        if let Some((key, field)) = self.take(name) {
            findings.mistake(key.at, &field.path, why);
        }
    }

    /// Takes those of the names that are there without a word; returns the first.
    pub(crate) fn skipped(&mut self, names: &[&'static str]) -> Vec<&'n Key> {
        names
            .iter()
            .filter_map(|name| self.take(name).map(|(key, _)| key))
            .collect()
    }

    pub(crate) fn finish(self, findings: &mut Findings<'_>) {
        for entry in self.entries.iter().filter(|entry| !entry.taken) {
            let text = format!("unknown field; {}", suggest(&entry.key.name, &self.known));
            findings.mistake(entry.key.at, &join(&self.path, &entry.key.name), text);
        }
    }

    fn take(&mut self, name: &str) -> Option<(&'n Key, Field<'n>)> {
        let path = join(&self.path, name);
        let entry = self.entries.iter_mut().find(|entry| entry.key.name == name)?;
        entry.taken = true;
        if matches!(entry.node.value, Value::Null) {
            return None;
        }
        Some((
            entry.key,
            Field {
                path,
                node: entry.node,
            },
        ))
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// ``did you mean `kind`? expected one of kind, name``; only the latter if none is near.
pub fn suggest(word: &str, known: &[&str]) -> String {
    let lower = word.to_lowercase();
    let nearest = known
        .iter()
        .map(|candidate| {
            let likeness = strsim::normalized_damerau_levenshtein(&lower, &candidate.to_lowercase());
            (likeness, candidate)
        })
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let expected = format!("expected one of {}", known.join(", "));
    match nearest {
        Some((_, nearest)) => format!("did you mean `{nearest}`? {expected}"),
        None => expected,
    }
}
