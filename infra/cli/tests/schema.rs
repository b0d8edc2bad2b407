//! The JSON Schemas: they refuse nothing that the validator accepts, and what they let through that it refuses is
//! listed here with the reason.

#![expect(clippy::unwrap_used, reason = "what surrounds a test fails with it")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cli::schema::{FILES, commit_status, objects, provider};
use cli::yaml::{Finding, Source, validate};
use jsonschema::Validator;
use serde_json::{Value, json};

const RULE: &str = "\
apiVersion: notification.toolkit.fluxcd.io/v1beta1
kind: CommitStatus
metadata: {name: webapp, namespace: flux-system}
spec:
";
const RULE_SPEC: &str = "providerRef: {name: github}\neventSources: [{kind: Kustomization, name: '*'}]\n";
const PROVIDER: &str = "\
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: github, namespace: flux-system}
spec:
";
const PROVIDER_SPEC: &str =
    "type: github\naddress: https://github.com/acme/fleet\nsecretRef: {name: github-token}\n";

/// Who refuses a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Nobody,
    /// The validator and the schema.
    Both,
    /// The validator alone; why a schema cannot.
    Validator(&'static str),
}

use Refused::{Both, Nobody, Validator as Alone};

const TWO_FIELDS: &str = "depends on another field";
const ADDRESS: &str = "what is an address depends on the host, and what is a credential in it on its parts";
const REGEX: &str = "whether it compiles, only the regex crate knows";
const CEL: &str = "whether it compiles, only the compiler knows";
const RANGE: &str = "a duration has many spellings";
const TWICE: &str = "JSON has one value for a name";

fn indented(spec: &str) -> String {
    let lines = spec.trim_matches('\n').lines();
    lines.map(|line| format!("  {line}\n")).collect()
}

/// Rules with these fields besides the ones that are required.
const RULE_FIELDS: &[(&str, Refused)] = &[
    ("", Nobody),
    ("eventSeverity: info", Nobody),
    ("eventSeverity: error", Nobody),
    ("eventSeverity:", Nobody),
    ("eventSeverity: Error", Both),
    ("eventSeverity: warn", Both),
    ("eventSeverity: ''", Both),
    ("eventSeverity: 1", Both),
    ("eventSeverity: [info]", Both),
    ("prefix: dev", Nobody),
    ("prefix: ''", Nobody),
    ("prefix: a/b", Nobody),
    ("prefix: '1'", Nobody),
    ("prefix: dévelop ment", Nobody),
    ("prefix: ~", Nobody),
    ("prefix: y", Nobody),
    ("prefix: dev/", Both),
    ("prefix: /dev", Both),
    ("prefix: /", Both),
    ("prefix: \"a\\nb\"", Both),
    ("prefix: \"a\\x9b\"", Both),
    ("prefix: 1.10", Both),
    ("prefix: true", Both),
    ("prefix: {a: b}", Both),
    ("inclusionList: []", Nobody),
    ("inclusionList: [ok, '(?i)done$']", Nobody),
    ("inclusionList:", Nobody),
    ("inclusionList: ok", Both),
    ("inclusionList: [1]", Both),
    ("inclusionList: [~]", Both),
    ("inclusionList: {a: b}", Both),
    ("inclusionList: ['a(b']", Alone(REGEX)),
    ("exclusionList: [ok]", Nobody),
    ("exclusionList: ~", Nobody),
    ("exclusionList: ok", Both),
    ("exclusionList: [true]", Both),
    ("exclusionList: ['a(?=b)']", Alone(REGEX)),
    ("suspend: true", Nobody),
    ("suspend: false", Nobody),
    ("suspend:", Nobody),
    ("suspend: 'yes'", Both),
    ("suspend: yes", Both),
    ("suspend: 1", Both),
    ("suspended: true", Both),
    ("summary: ''", Nobody),
    ("summary: all of it", Nobody),
    ("summary: ~", Nobody),
    ("summary: 1", Both),
    ("summary: [a]", Both),
    ("eventMetadata: {team: web, env: '1'}", Nobody),
    ("eventMetadata: {}", Nobody),
    ("eventMetadata:", Nobody),
    ("eventMetadata: {1: a}", Nobody),
    ("eventMetadata: {commits: a, a/b: c}", Nobody),
    ("eventMetadata: {team: 1}", Both),
    ("eventMetadata: {team: ~}", Both),
    ("eventMetadata: {commit: a}", Both),
    ("eventMetadata: {originRevision: a}", Both),
    (
        "eventMetadata: {kustomize.toolkit.fluxcd.io/revision: main}",
        Both,
    ),
    ("eventMetadata: [a]", Both),
    ("reportProgress: false", Nobody),
    ("reportProgress: ~", Nobody),
    ("reportProgress: 1", Both),
    ("reportProgress: 'no'", Both),
    ("trustCommitAnnotation: true", Nobody),
    ("trustCommitAnnotation: ~", Nobody),
    ("trustCommitAnnotation: 'true'", Both),
    ("onSuperseded: close", Nobody),
    ("onSuperseded: leave", Nobody),
    ("onSuperseded: ~", Nobody),
    ("onSuperseded: closed", Both),
    ("onSuperseded: true", Both),
    (
        "targetUrl: 'https://grafana.acme.com/d/flux?var-cluster=${cluster}'",
        Nobody,
    ),
    ("targetUrl: http://acme.com/", Nobody),
    ("targetUrl: '${event.metadata.dashboard}'", Nobody),
    ("targetUrl: ' https://acme.com/${cluster}'", Nobody),
    ("targetUrl: ~", Nobody),
    ("targetUrl: acme.com", Both),
    ("targetUrl: 'ftp://acme.com/${cluster}'", Both),
    ("targetUrl: 'h${cluster}'", Both),
    ("targetUrl: '$${cluster}'", Both),
    ("targetUrl: ''", Both),
    ("targetUrl: 1", Both),
    ("targetUrl: 'https://${clustr}'", Alone(CEL)),
    (
        "targetUrl: https://",
        Alone("an address with no expression in it is read whole"),
    ),
    ("description: '${event.reason} in ${cluster}'", Nobody),
    ("description: applied by Flux", Nobody),
    ("description: ~", Nobody),
    ("description: ' '", Both),
    ("description: ''", Both),
    ("description: [a]", Both),
    ("description: 'x ${event.reason'", Alone(CEL)),
    ("prefx: dev", Both),
    ("status: {}", Both),
    ("matchLabels: {}", Both),
    ("prefix: a\nprefix: b", Alone(TWICE)),
];

/// Whole `spec`s of rules.
const RULE_SPECS: &[(&str, Refused)] = &[
    (
        "providerRef: {name: a.b-c}\neventSources: [{kind: Kustomization, name: web.app, namespace: apps}]",
        Nobody,
    ),
    (
        "providerRef: {name: a}\neventSources:\n- {kind: Kustomization, name: a, namespace: ~}\n- {kind: Kustomization, name: '*'}",
        Nobody,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: a, apiVersion: v1}]",
        Nobody,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: a, apiVersion: 1, matchLabels: ~}]",
        Nobody,
    ),
    (
        "providerRef: {name: a}\ntrustCommitAnnotation: true\neventSources: [{kind: HelmRelease, name: a}]",
        Nobody,
    ),
    (
        "providerRef: {name: a}\ntrustCommitAnnotation: true\neventSources: [{kind: OCIRepository, name: '*'}, {kind: Kustomization, name: '*'}]",
        Nobody,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: HelmRelease, name: a}]",
        Both,
    ),
    (
        "providerRef: {name: a}\ntrustCommitAnnotation: false\neventSources: [{kind: Bucket, name: a}]",
        Both,
    ),
    (
        "providerRef: {name: a}\ntrustCommitAnnotation: ~\neventSources: [{kind: Bucket, name: a}]",
        Both,
    ),
    (
        "providerRef: {name: a}\ntrustCommitAnnotation: true\neventSources: [{kind: Deployment, name: a}]",
        Both,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: kustomization, name: a}]",
        Both,
    ),
    ("providerRef: {name: a}\neventSources: [{kind: 1, name: a}]", Both),
    ("providerRef: {name: a}\neventSources: [{name: a}]", Both),
    ("providerRef: {name: a}\neventSources: [{kind: ~, name: a}]", Both),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization}]",
        Both,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: 'web-*'}]",
        Both,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: 'we?'}]",
        Both,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: Web}]",
        Both,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: ''}]",
        Both,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: a..b}]",
        Both,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: 1}]",
        Both,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: a, namespace: '*'}]",
        Both,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: a, namespace: a.b}]",
        Both,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: a, namespace: 1}]",
        Both,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: a, matchLabels: {a: b}}]",
        Both,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: a, labels: {a: b}}]",
        Both,
    ),
    (
        "providerRef: {name: a}\neventSources: [{kind: Kustomization, name: a, name: b}]",
        Alone(TWICE),
    ),
    ("providerRef: {name: a}\neventSources: [a]", Both),
    ("providerRef: {name: a}\neventSources: [~]", Both),
    ("providerRef: {name: a}\neventSources: []", Both),
    (
        "providerRef: {name: a}\neventSources: {kind: Kustomization, name: a}",
        Both,
    ),
    ("providerRef: {name: a}\neventSources:", Both),
    ("providerRef: {name: a}", Both),
    ("eventSources: [{kind: Kustomization, name: a}]", Both),
    (
        "providerRef: github\neventSources: [{kind: Kustomization, name: a}]",
        Both,
    ),
    (
        "providerRef: {}\neventSources: [{kind: Kustomization, name: a}]",
        Both,
    ),
    (
        "providerRef: {nam: a}\neventSources: [{kind: Kustomization, name: a}]",
        Both,
    ),
    (
        "providerRef: {name: a, namespace: b}\neventSources: [{kind: Kustomization, name: a}]",
        Both,
    ),
    (
        "providerRef: {name: A}\neventSources: [{kind: Kustomization, name: a}]",
        Both,
    ),
    (
        "providerRef: {name: ~}\neventSources: [{kind: Kustomization, name: a}]",
        Both,
    ),
    (
        "providerRef: ~\neventSources: [{kind: Kustomization, name: a}]",
        Both,
    ),
];

/// Providers with these fields besides the ones that are required.
const PROVIDER_FIELDS: &[(&str, Refused)] = &[
    ("", Nobody),
    ("certSecretRef: {name: acme-ca}", Nobody),
    ("certSecretRef: ~", Nobody),
    ("certSecretRef: {nam: a}", Both),
    ("certSecretRef: {}", Both),
    ("certSecretRef: a", Both),
    ("certSecretRef: {name: a, key: b}", Both),
    ("proxySecretRef: {name: proxy}", Nobody),
    ("proxySecretRef:", Nobody),
    ("proxySecretRef: a", Both),
    ("proxySecretRef: {name: a_b}", Both),
    ("username: bot", Nobody),
    ("username: ~", Nobody),
    ("username: ''", Both),
    ("username: 'a:b'", Both),
    ("username: \"a\\tb\"", Both),
    ("username: 1", Both),
    (
        "commitStatusExpr: cluster + '/' + event.involvedObject.name",
        Nobody,
    ),
    ("commitStatusExpr: ~", Nobody),
    ("commitStatusExpr: ''", Both),
    ("commitStatusExpr: ' '", Both),
    ("commitStatusExpr: 1", Both),
    ("commitStatusExpr: evnt.reason", Alone(CEL)),
    ("insecure: true", Nobody),
    ("insecure: ~", Nobody),
    ("insecure: 'yes'", Both),
    ("timeout: 30s", Nobody),
    ("timeout: 1m", Nobody),
    ("timeout: 1m0s", Nobody),
    ("timeout: 0.5m", Nobody),
    ("timeout: 1.5s500ms", Nobody),
    ("timeout: 1.s", Nobody),
    ("timeout: 1000000000ns", Nobody),
    ("timeout: ~", Nobody),
    ("timeout: soon", Both),
    ("timeout: 30", Both),
    ("timeout: '30'", Both),
    ("timeout: ''", Both),
    ("timeout: -5s", Both),
    ("timeout: 5 s", Both),
    ("timeout: .5m", Both),
    ("timeout: 61s", Alone(RANGE)),
    ("timeout: 0s", Alone(RANGE)),
    ("timeout: 500ms", Alone(RANGE)),
    ("timeout: 99999999999999999999s", Alone(RANGE)),
    ("suspend: true", Nobody),
    ("suspend: ~", Nobody),
    ("suspend: 'true'", Both),
    ("channel: general", Nobody),
    ("channel: 1", Nobody),
    ("interval: 10m", Nobody),
    ("interval: ~", Nobody),
    ("serviceAccountName: {a: b}", Nobody),
    ("proxy: ~", Nobody),
    ("proxy: http://u:p@proxy", Both),
    ("proxy: {a: b}", Both),
    ("adress: a", Both),
    ("summary: a", Both),
    ("suspend: true\nsuspend: true", Alone(TWICE)),
];

/// Whole `spec`s of Providers.
const PROVIDER_SPECS: &[(&str, Refused)] = &[
    (
        "type: gitlab\naddress: https://gitlab.com/acme/apps/fleet\nsecretRef: {name: a}",
        Nobody,
    ),
    (
        "type: bitbucket\naddress: https://bitbucket.org/acme/fleet.git\nsecretRef: {name: a}",
        Nobody,
    ),
    (
        "type: bitbucketserver\naddress: https://git.acme.com/scm/ops/fleet.git\nsecretRef: {name: a}\nusername: bot",
        Nobody,
    ),
    (
        "type: gitea\naddress: http://gitea.local:3000/acme/fleet\ninsecure: true\nsecretRef: {name: a}",
        Nobody,
    ),
    (
        "type: azuredevops\naddress: git@ssh.dev.azure.com:v3/acme/web/fleet\nsecretRef: {name: a}",
        Nobody,
    ),
    (
        "type: gitea\naddress: http://gitea.local:3000/acme/fleet\nsecretRef: {name: a}",
        Alone(TWO_FIELDS),
    ),
    (
        "type: github\naddress: https://github.com/acme\nsecretRef: {name: a}",
        Alone(ADDRESS),
    ),
    ("type: github\naddress: ''\nsecretRef: {name: a}", Alone(ADDRESS)),
    (
        "type: github\naddress: https://ghp_token@github.com/acme/fleet\nsecretRef: {name: a}",
        Alone(ADDRESS),
    ),
    (
        "type: azuredevops\naddress: https://github.com/acme/fleet\nsecretRef: {name: a}",
        Alone(TWO_FIELDS),
    ),
    (
        "type: slack\naddress: https://github.com/acme/fleet\nsecretRef: {name: a}",
        Both,
    ),
    (
        "type: GitHub\naddress: https://github.com/acme/fleet\nsecretRef: {name: a}",
        Both,
    ),
    (
        "type: 1\naddress: https://github.com/acme/fleet\nsecretRef: {name: a}",
        Both,
    ),
    (
        "type: ~\naddress: https://github.com/acme/fleet\nsecretRef: {name: a}",
        Both,
    ),
    (
        "address: https://github.com/acme/fleet\nsecretRef: {name: a}",
        Both,
    ),
    ("type: github\nsecretRef: {name: a}", Both),
    ("type: github\naddress: ~\nsecretRef: {name: a}", Both),
    ("type: github\naddress: 1\nsecretRef: {name: a}", Both),
    ("type: github\naddress: [a]\nsecretRef: {name: a}", Both),
    ("type: github\naddress: https://github.com/acme/fleet", Both),
    (
        "type: github\naddress: https://github.com/acme/fleet\nsecretRef: a",
        Both,
    ),
    (
        "type: github\naddress: https://github.com/acme/fleet\nsecretRef: {nam: a}",
        Both,
    ),
    (
        "type: github\naddress: https://github.com/acme/fleet\nsecretRef: {name: ''}",
        Both,
    ),
    (
        "type: github\naddress: https://github.com/acme/fleet\nsecretRef: {name: a-}",
        Both,
    ),
    (
        "type: github\naddress: https://github.com/acme/fleet\nsecretRef: {name: 1}",
        Both,
    ),
];

/// What stands in the place of the metadata, and besides it. Of both kinds.
const METADATA: &[(&str, Refused)] = &[
    ("metadata: {name: a}", Nobody),
    ("metadata: {name: 0.a-b.c9, namespace: a-1}", Nobody),
    ("metadata: {name: a, namespace: ~}", Nobody),
    (
        "metadata: {name: a, uid: 0c9c2e41-1, labels: {team: web}, annotations: {a: 1}}",
        Nobody,
    ),
    ("metadata: {name: a, labels: ~, annotations: ~, uid: ~}", Nobody),
    ("metadata: {name: a, annotations: 1}", Nobody),
    (
        "metadata: {name: a, creationTimestamp: 2026-08-07T13:12:44Z, finalizers: [], generation: 1, resourceVersion: '12'}",
        Nobody,
    ),
    (
        "metadata: {name: a, deletionGracePeriodSeconds: 1, deletionTimestamp: a, managedFields: [], ownerReferences: [], selfLink: a}",
        Nobody,
    ),
    ("metadata: {name: a}\nstatus: {observedGeneration: 1}", Nobody),
    ("metadata: {name: a}\nstatus: ~", Nobody),
    ("metadata: {}", Both),
    ("metadata: ~", Both),
    ("metadata: a", Both),
    ("status: {}", Both),
    ("metadata: {name: ~}", Both),
    ("metadata: {name: 1}", Both),
    ("metadata: {name: Web_App}", Both),
    ("metadata: {name: -github}", Both),
    ("metadata: {name: github-}", Both),
    ("metadata: {name: a.}", Both),
    ("metadata: {name: ''}", Both),
    ("metadata: {name: \"a\\n\"}", Both),
    ("metadata: {name: a, namespace: a.b}", Both),
    ("metadata: {name: a, namespace: A}", Both),
    ("metadata: {name: a, namespace: ''}", Both),
    ("metadata: {name: a, namespace: [b]}", Both),
    ("metadata: {name: a, uid: 1}", Both),
    ("metadata: {name: a, labels: {a: 1}}", Both),
    ("metadata: {name: a, labels: {a: ~}}", Both),
    ("metadata: {name: a, labels: [a]}", Both),
    ("metadata: {name: a, lables: {}}", Both),
    ("metadata: {name: a}\nstats: {}", Both),
];

fn documents() -> Vec<(String, Refused)> {
    let mut documents = Vec::new();
    for (fields, refused) in RULE_FIELDS {
        documents.push((
            format!("{RULE}{}{}", indented(RULE_SPEC), indented(fields)),
            *refused,
        ));
    }
    for (spec, refused) in RULE_SPECS {
        documents.push((format!("{RULE}{}", indented(spec)), *refused));
    }
    for (fields, refused) in PROVIDER_FIELDS {
        documents.push((
            format!("{PROVIDER}{}{}", indented(PROVIDER_SPEC), indented(fields)),
            *refused,
        ));
    }
    for (spec, refused) in PROVIDER_SPECS {
        documents.push((format!("{PROVIDER}{}", indented(spec)), *refused));
    }
    let rule = format!("{RULE}{}", indented(RULE_SPEC));
    let host = format!("{PROVIDER}{}", indented(PROVIDER_SPEC));
    for (metadata, refused) in METADATA {
        documents.push((
            rule.replace("metadata: {name: webapp, namespace: flux-system}", metadata),
            *refused,
        ));
        documents.push((
            host.replace("metadata: {name: github, namespace: flux-system}", metadata),
            *refused,
        ));
    }
    let long = |length: usize| "x".repeat(length);
    for (text, there, instead, refused) in [
        (&rule, "v1beta1", "v1beta3".to_owned(), Both),
        (
            &rule,
            "notification.toolkit.fluxcd.io/v1beta1",
            "v1beta1".to_owned(),
            Both,
        ),
        (
            &rule,
            "notification.toolkit.fluxcd.io/v1beta1",
            "1".to_owned(),
            Both,
        ),
        (
            &rule,
            "apiVersion: notification.toolkit.fluxcd.io/v1beta1\n",
            String::new(),
            Both,
        ),
        (&rule, "kind: CommitStatus", "kind: Commitstatus".to_owned(), Both),
        (&rule, "kind: CommitStatus", "kind: Alert".to_owned(), Both),
        (&rule, "kind: CommitStatus\n", String::new(), Both),
        (&rule, "kind: CommitStatus", "kind: ~".to_owned(), Both),
        (&host, "v1beta3", "v1beta2".to_owned(), Nobody),
        (&host, "v1beta3", "v1beta1".to_owned(), Nobody),
        (&host, "v1beta3", "v1".to_owned(), Both),
        (&host, "spec:\n", "spec: a\nspc:\n".to_owned(), Both),
        (&rule, "name: webapp", format!("name: {}", long(253)), Nobody),
        (&rule, "name: webapp", format!("name: {}", long(254)), Both),
        (
            &rule,
            "namespace: flux-system",
            format!("namespace: {}", long(63)),
            Nobody,
        ),
        (
            &rule,
            "namespace: flux-system",
            format!("namespace: {}", long(64)),
            Both,
        ),
        (
            &rule,
            "spec:\n",
            format!("spec:\n  prefix: {}\n", "é".repeat(200)),
            Nobody,
        ),
        (
            &rule,
            "spec:\n",
            format!("spec:\n  prefix: {}\n", "é".repeat(201)),
            Both,
        ),
        (
            &rule,
            "spec:\n",
            format!("spec:\n  summary: {}\n", long(255)),
            Nobody,
        ),
        (
            &rule,
            "spec:\n",
            format!("spec:\n  summary: {}\n", long(256)),
            Both,
        ),
        (
            &rule,
            "spec:\n",
            format!("spec:\n  description: {}\n", long(255)),
            Nobody,
        ),
        (
            &rule,
            "spec:\n",
            format!("spec:\n  description: {}\n", long(256)),
            Both,
        ),
        (
            &rule,
            "spec:\n",
            format!("spec:\n  description: '{}${{cluster}}'\n", long(256)),
            Nobody,
        ),
        (
            &rule,
            "spec:\n",
            format!("spec:\n  description: '{}$${{'\n", long(256)),
            Alone("what is no expression looks like one"),
        ),
    ] {
        assert!(text.contains(there), "{there}");
        documents.push((text.replacen(there, &instead, 1), refused));
    }
    documents
}

/// Lists, which only the schema of several documents knows.
fn lists() -> Vec<(String, Refused)> {
    let item = |text: &str| -> String {
        let lines = text.lines().enumerate();
        let indented = lines.map(|(index, line)| format!("{}{line}\n", if index == 0 { "- " } else { "  " }));
        indented.collect()
    };
    let rule = item(&format!("{RULE}{}", indented(RULE_SPEC)));
    let host = item(&format!("{PROVIDER}{}", indented(PROVIDER_SPEC)));
    let head = "apiVersion: v1\nkind: List\n";
    vec![
        (format!("{head}items:\n{rule}{host}"), Nobody),
        (format!("{head}metadata: {{a: b}}\nitems:\n{rule}"), Nobody),
        (
            format!("apiVersion: 1\nkind: ProviderList\nitems:\n{host}"),
            Nobody,
        ),
        (
            format!("apiVersion: v1\nkind: CommitStatusList\nitems:\n{rule}"),
            Nobody,
        ),
        (format!("{head}items: []\n"), Nobody),
        (format!("{head}items:\n"), Both),
        (head.to_owned(), Both),
        (format!("kind: List\nitems:\n{rule}"), Both),
        (format!("{head}items: {{}}\n"), Both),
        (format!("{head}items: [a]\n"), Both),
        (
            format!("{head}items:\n{}", host.replace("type: github", "type: slack")),
            Both,
        ),
        (
            format!(
                "{head}items:\n{}",
                rule.replace("kind: CommitStatus", "kind: Alert")
            ),
            Both,
        ),
        (
            format!("{head}items:\n{rule}{rule}"),
            Alone("an object that is given twice shows only where all are read"),
        ),
    ]
}

fn source(text: &str) -> Source {
    Source {
        name: "a.yaml".into(),
        text: text.into(),
    }
}

fn mistakes(text: &str) -> Vec<String> {
    match validate(&[source(text)], None) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.mistakes.iter().map(Finding::to_string).collect(),
    }
}

/// As an editor reads it.
fn json_of(text: &str) -> Value {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        strict_booleans: true,
    };
    serde_saphyr::from_str_with_options(text, options).unwrap_or_else(|error| panic!("{text}{error}"))
}

fn validator(schema: &Value) -> Validator {
    assert!(jsonschema::draft7::meta::is_valid(schema));
    jsonschema::draft7::new(schema).unwrap()
}

/// By both, or by the first alone.
fn judged(text: &str, schemas: &[&Validator]) -> (bool, Vec<bool>) {
    let json = json_of(text);
    let by_schemas = schemas.iter().map(|schema| !schema.is_valid(&json));
    (!mistakes(text).is_empty(), by_schemas.collect())
}

#[test]
fn schema_and_validator_refuse_the_same_but_for_what_is_listed() {
    let (rules, providers, either) = (
        validator(&commit_status()),
        validator(&provider()),
        validator(&objects()),
    );
    let mut counts = [0, 0];
    for (text, refused) in documents() {
        let own = if text.contains("\nkind: Provider") {
            &providers
        } else {
            &rules
        };
        let (by_validator, by_schemas) = judged(&text, &[own, &either]);
        assert_eq!(by_validator, refused != Nobody, "{text}{:?}", mistakes(&text));
        assert_eq!(by_schemas, [refused == Both; 2], "{text}{:?}", mistakes(&text));
        counts[usize::from(by_validator)] += 1;
    }
    for (text, refused) in lists() {
        let (by_validator, by_schemas) = judged(&text, &[&either]);
        assert_eq!(by_validator, refused != Nobody, "{text}{:?}", mistakes(&text));
        assert_eq!(by_schemas, [refused == Both], "{text}{:?}", mistakes(&text));
        counts[usize::from(by_validator)] += 1;
    }
    assert!(counts[0] > 90 && counts[1] > 150, "{counts:?}");
}

#[test]
fn each_kind_has_its_own_schema() {
    let rule = json_of(&format!("{RULE}{}", indented(RULE_SPEC)));
    let host = json_of(&format!("{PROVIDER}{}", indented(PROVIDER_SPEC)));
    assert!(!validator(&provider()).is_valid(&rule));
    assert!(!validator(&commit_status()).is_valid(&host));
}

/// A mapping of a schema, and a document in which a field can be put there.
struct Place {
    schema: Value,
    pointer: &'static str,
    document: &'static str,
    spec: &'static str,
}

impl Place {
    fn properties(&self) -> serde_json::Map<String, Value> {
        let mapping = self.schema.pointer(self.pointer).unwrap();
        mapping["properties"].as_object().unwrap().clone()
    }

    /// `null` where it takes away what was there.
    fn with(&self, name: &str, value: Value) -> String {
        let mut document = json_of(&format!("{}{}", self.document, indented(self.spec)));
        // From the place in the schema to the place in the document.
        let pointer = self.pointer.replace("/properties", "").replace("/items", "/0");
        document.pointer_mut(&pointer).unwrap()[name] = value;
        document.to_string()
    }
}

fn places() -> Vec<Place> {
    let rule = |pointer| Place {
        schema: commit_status(),
        pointer,
        document: RULE,
        spec: RULE_SPEC,
    };
    let host = |pointer| Place {
        schema: provider(),
        pointer,
        document: PROVIDER,
        spec: "type: github\naddress: https://github.com/acme/fleet\nsecretRef: {name: a}\ncertSecretRef: {name: a}\n\
               proxySecretRef: {name: a}\n",
    };
    vec![
        rule(""),
        rule("/properties/metadata"),
        rule("/properties/spec"),
        rule("/properties/spec/properties/providerRef"),
        rule("/properties/spec/properties/eventSources/items"),
        host(""),
        host("/properties/metadata"),
        host("/properties/spec"),
        host("/properties/spec/properties/secretRef"),
        host("/properties/spec/properties/certSecretRef"),
        host("/properties/spec/properties/proxySecretRef"),
    ]
}

#[test]
fn schema_and_validator_know_the_same_fields() {
    for place in places() {
        let properties = place.properties();
        for name in properties.keys() {
            let mistakes = mistakes(&place.with(name, json!(1)));
            let unknown: Vec<_> = mistakes
                .iter()
                .filter(|text| text.contains("unknown field"))
                .collect();
            assert!(unknown.is_empty(), "{} {name}: {unknown:?}", place.pointer);
        }
        let of_schema: BTreeSet<&str> = properties
            .iter()
            .filter(|(_, schema)| schema.get("doNotSuggest").is_none())
            .map(|(name, _)| name.as_str())
            .collect();
        let mistakes = mistakes(&place.with("xqzkw", json!(1)));
        let [mistake] = mistakes.as_slice() else {
            panic!("{}: {mistakes:?}", place.pointer);
        };
        let (_, known) = mistake.split_once("expected one of ").unwrap();
        assert_eq!(of_schema, known.split(", ").collect(), "{}", place.pointer);
    }
}

#[test]
fn every_field_is_described_and_stands_in_the_documentation() {
    let documentation = std::fs::read_to_string(repository().join("docs/kinds.md")).unwrap();
    for place in places() {
        for (name, schema) in place.properties() {
            let description = schema["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty(), "{} {name}", place.pointer);
            assert!(
                description.ends_with('.'),
                "{} {name}: {description}",
                place.pointer
            );
            if place.pointer.ends_with("/spec") {
                assert!(
                    documentation.contains(&name),
                    "docs/kinds.md does not name `{name}`"
                );
            }
        }
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn committed_schemas_are_those_of_the_code() {
    let directory = repository().join("docs/schema");
    for file in FILES {
        let printed = format!("{}\n", serde_json::to_string_pretty(&(file.schema)()).unwrap());
        let committed = std::fs::read_to_string(directory.join(file.name)).unwrap_or_default();
        assert!(
            committed == printed,
            "docs/schema/{} is not what the code prints; `cargo run -p cli -- schema --output-dir docs/schema` writes it",
            file.name
        );
    }
}
