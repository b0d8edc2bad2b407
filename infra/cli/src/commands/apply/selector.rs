//! Labels that say what belongs together.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use shared::kinds::Metadata;

use crate::yaml::{Document, Finding};

/// Labels of which an object must carry all: `app=x,team=y`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(BTreeMap<String, String>);

impl Selector {
    pub(super) fn matches(&self, metadata: &Metadata) -> bool {
        self.0
            .iter()
            .all(|(key, value)| metadata.labels.get(key) == Some(value))
    }

    /// What is applied without the label would never be pruned.
    ///
    /// # Errors
    /// All documents that do not carry the labels.
    pub(in crate::commands) fn check(&self, documents: &[Document]) -> anyhow::Result<()> {
        let without = documents.iter().filter(|document| {
            let metadata = document.object.metadata();
            !self.matches(metadata)
        });
        let without: Vec<String> = without
            .map(|document| {
                let text = format!("{} does not carry {self}", document.object.id());
                let finding = Finding {
                    position: document.position.clone(),
                    path: "metadata.labels".into(),
                    text,
                };
                finding.to_string()
            })
            .collect();
        let count = match without.len() {
            0 => return Ok(()),
            1 => "1 object in the files is".to_owned(),
            several => format!("{several} objects in the files are"),
        };
        anyhow::bail!(
            "{count} without the label that --prune goes by, and would never be pruned, so nothing was done; add it to what \
             follows and run the command again\n{}",
            without.join("\n")
        )
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut labels = BTreeMap::new();
        for pair in text.split(',') {
            let shown = pair.escape_debug();
            let wrong = || format!("`{shown}` is no label; expected KEY=VALUE, several with a comma between");
            if pair.contains("!=") || pair.contains('(') || pair.contains(char::is_whitespace) {
                return Err(format!(
                    "`{shown}`: only labels that are equal can be asked for; expected KEY=VALUE, several with a comma \
                     between"
                ));
            }
            let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
            // As kubectl, which takes `==` too.
            let value = value.strip_prefix('=').unwrap_or(value);
            let is_label = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            if key.is_empty() || !key.chars().all(is_label) || !value.chars().all(is_label) {
                return Err(wrong());
            }
            if let Some(first) = labels.insert(key.to_owned(), value.to_owned())
                && first != value
            {
                return Err(format!(
                    "`{key}` cannot be both `{first}` and `{value}`; leave out one of them"
                ));
            }
        }
        Ok(Self(labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(labels: &[(&str, &str)]) -> Metadata {
        Metadata {
            name: "webapp".into(),
            namespace: "apps".into(),
            uid: None,
            labels: labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn every_label_must_be_carried() {
        let selector: Selector = "app.example/name=x,team==y".parse().unwrap();
        assert_eq!(selector.to_string(), "app.example/name=x,team=y");
        assert!(selector.matches(&metadata(&[
            ("app.example/name", "x"),
            ("team", "y"),
            ("more", "z")
        ])));
        assert!(!selector.matches(&metadata(&[("app.example/name", "x")])));
        assert!(!selector.matches(&metadata(&[("app.example/name", "x"), ("team", "z")])));
        assert!(!selector.matches(&metadata(&[])));
    }

    #[test]
    fn only_equality_is_taken() {
        for (text, expected) in [
            ("", "expected KEY=VALUE"),
            ("app", "`app` is no label"),
            ("=x", "expected KEY=VALUE"),
            ("app=x,", "expected KEY=VALUE"),
            ("app!=x", "only labels that are equal"),
            ("app in (x)", "only labels that are equal"),
            ("!app", "`!app` is no label"),
            ("app=x\u{1b}[2J", "`app=x\\u{1b}[2J` is no label"),
            ("app=x,app=y", "`app` cannot be both `x` and `y`"),
        ] {
            let error = text.parse::<Selector>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
