//! A YAML document with the place of every key and value.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Line and column, both counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub line: u64,
    pub column: u64,
}

impl<T> From<&Spanned<T>> for Place {
    fn from(spanned: &Spanned<T>) -> Self {
        Self {
            line: spanned.referenced.line(),
            column: spanned.referenced.column(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub at: Place,
    pub value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

#[derive(Debug)]
pub(crate) struct Key {
    pub at: Place,
    pub name: String,
}

impl Node {
    /// What people call it when something else was expected.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Bool(value) => format!("the boolean {value}"),
            Value::Number(value) => format!("the number {value}"),
            Value::String(_) => "a string".into(),
            Value::Sequence(_) => "a list".into(),
            Value::Mapping(_) => "a mapping".into(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            at: Place::from(&spanned),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;

        impl<'de> Visitor<'de> for AnyValue {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a YAML value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                Value::deserialize(deserializer)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Number(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Number(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Value::Number(value.to_string()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(Value::String(value.to_owned()))
            }

            fn visit_string<E>(self, value: String) -> Result<Value, E> {
                Ok(Value::String(value))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = items.next_element()? {
                    nodes.push(node);
                }
                Ok(Value::Sequence(nodes))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
                let mut nodes = Vec::new();
                while let Some(key) = entries.next_key::<Spanned<Value>>()? {
                    let at = Place::from(&key);
                    let name = match key.value {
                        Value::String(name) | Value::Number(name) => name,
                        Value::Bool(value) => value.to_string(),
                        Value::Null | Value::Sequence(_) | Value::Mapping(_) => {
                            return Err(A::Error::custom("a key must be a string"));
                        }
                    };
                    nodes.push((Key { at, name }, entries.next_value()?));
                }
                Ok(Value::Mapping(nodes))
            }
        }

        deserializer.deserialize_any(AnyValue)
    }
}

/// Documents of one file in order, each as far as it could be read.
pub(crate) fn documents(text: &str) -> Vec<Result<Node, (Place, String)>> {
    // An operator's file is a few kilobytes: what exceeds these is an alias bomb or not meant for this tool.
    const MAX_REPLAYED_EVENTS: usize = 100_000;
    const MAX_BYTES: usize = 16 * 1024 * 1024;

    let options = serde_saphyr::options! {
        // Passed through, to be reported together with all other mistakes.
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        // `on`, `yes` and `y` are strings, so that `name: y` is one.
        strict_booleans: true,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPLAYED_EVENTS },
        budget: serde_saphyr::budget! { max_reader_input_bytes: Some(MAX_BYTES) },
    };
    let mut reader = text.as_bytes();
    serde_saphyr::read_with_options::<_, Node>(&mut reader, options)
        .map(|document| document.map_err(|error| explain(&error)))
        .collect()
}

fn explain(error: &serde_saphyr::Error) -> (Place, String) {
    let at = error
        .location()
        .map_or(Place { line: 1, column: 1 }, |location| Place {
            line: location.line().max(1),
            column: location.column().max(1),
        });
    let message = error.render_with_options(serde_saphyr::render_options! {
        formatter: &serde_saphyr::UserMessageFormatter,
        snippets: serde_saphyr::SnippetMode::Off,
    });
    // The place stands in front of every message already.
    let message = message.split(" at line ").next().unwrap_or_default();
    let message = message.lines().collect::<Vec<_>>().join(" ");
    (at, format!("not readable as YAML: {message}"))
}
