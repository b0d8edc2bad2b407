//! The cases, as they are written in YAML.

use std::collections::HashSet;

use serde_json::Value;

/// Files of cases of one host each.
pub(crate) const HOSTS: [(&str, &str); 6] = [
    ("github", include_str!("cases/github.yaml")),
    ("gitlab", include_str!("cases/gitlab.yaml")),
    ("gitea", include_str!("cases/gitea.yaml")),
    ("bitbucket", include_str!("cases/bitbucket.yaml")),
    ("bitbucketserver", include_str!("cases/bitbucketserver.yaml")),
    ("azuredevops", include_str!("cases/azuredevops.yaml")),
];

/// Files of several lists each.
pub(crate) const LISTS: [(&str, &str); 2] = [
    ("common", include_str!("cases/common.yaml")),
    ("matching", include_str!("cases/matching.yaml")),
];

/// One entry, and where it stands.
pub(crate) struct Case {
    /// `github`, `common.addresses`.
    pub(crate) list: String,
    /// The name of the test, unique with its file.
    pub(crate) test: String,
    /// The whole entry.
    pub(crate) entry: Value,
}

impl Case {
    /// What is at that path; `null` if nothing is.
    pub(crate) fn at(&self, path: &str) -> &Value {
        path.split('.').fold(&self.entry, |value, key| &value[key])
    }

    /// The text at that path.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.at(path).as_str()
    }
}

/// What an entry of a host may say. What else there is, is for people.
const OF_A_HOST: [&str; 8] = [
    "provider",
    "provider_uid",
    "secret",
    "status_id",
    "event",
    "answers",
    "upstream",
    "not_applicable",
];
const OF_EACH: [&str; 4] = ["file", "test", "derived", "note"];

/// Every case there is.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (host, text) in HOSTS {
        let mut file = yaml(text);
        assert_eq!(file["host"], host);
        add(&mut cases, host, file["cases"].take());
    }
    for (file, text) in LISTS {
        let Value::Object(lists) = yaml(text) else {
            panic!("{file}: no mapping");
        };
        for (list, entries) in lists {
            add(&mut cases, &format!("{file}.{list}"), entries);
        }
    }
    cases
}

fn add(cases: &mut Vec<Case>, list: &str, entries: Value) {
    let Value::Array(entries) = entries else {
        panic!("{list}: no list");
    };
    let mut seen = HashSet::new();
    for entry in entries {
        let test = entry["test"].as_str().unwrap().to_owned();
        let file = entry["file"].as_str().unwrap().to_owned();
        assert!(seen.insert((file, test.clone())), "{list}: {test} twice");
        let keys = entry.as_object().unwrap().keys();
        let unread: Vec<&String> = keys.filter(|key| !list.contains('.') && !is_known(key)).collect();
        assert!(unread.is_empty(), "{list}: {test}: {unread:?} is not read");
        cases.push(Case {
            list: list.to_owned(),
            test,
            entry,
        });
    }
}

fn is_known(key: &str) -> bool {
    OF_A_HOST.contains(&key) || OF_EACH.contains(&key)
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Text, or another value as JSON.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    }
}

/// Whether a text is as the pattern, in which `*` stands for anything.
pub(crate) fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            let mut ends = ends.map(|at| &rest[at..]);
            ends.any(|rest| is_like(after, rest))
        }),
    }
}
