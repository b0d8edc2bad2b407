//! JSON Schemas of the two kinds, for editors. They say what [`crate::yaml`] checks, as far as a schema can; what they
//! refuse is refused there too.

use hosts::HostKind;
use serde_json::{Map, Value, json};
use shared::kinds::{API_GROUP, KUSTOMIZATION};

use crate::names::{MAX_LABEL, MAX_SUBDOMAIN};
use crate::object::Kind;
use crate::yaml::commit_status::{
    COMMIT_METADATA, FLUX_KINDS, MAX_DESCRIPTION, MAX_PREFIX, MAX_SUMMARY, ON_SUPERSEDED, SEVERITIES,
};
use crate::yaml::metadata::SERVER_SIDE;
use crate::yaml::provider::IGNORED;
use crate::yaml::{DEFAULT_NAMESPACE, LIST_KINDS, versions};

/// The newest draft that yaml-language-server reads whole; most editors check YAML with it. `patternErrorMessage`,
/// `errorMessage` and `doNotSuggest` are its own: other readers pass over them.
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";
const LABEL: &str = "[a-z0-9]([a-z0-9-]*[a-z0-9])?";
/// As `char::is_control`.
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";

/// A schema and the file it is written to.
#[derive(Debug, Clone, Copy)]
pub struct SchemaFile {
    /// Of which kind; `None` for either.
    pub kind: Option<Kind>,
    /// Name of the file.
    pub name: &'static str,
    /// Makes it.
    pub schema: fn() -> Value,
}

/// Every schema there is.
pub const FILES: [SchemaFile; 3] = [
    SchemaFile {
        kind: Some(Kind::CommitStatus),
        name: "commitstatus.schema.json",
        schema: commit_status,
    },
    SchemaFile {
        kind: Some(Kind::Provider),
        name: "provider.schema.json",
        schema: provider,
    },
    SchemaFile {
        kind: None,
        name: "commitstatus-objects.schema.json",
        schema: objects,
    },
];

/// Of a `CommitStatus`.
pub fn commit_status() -> Value {
    document(
        "CommitStatus",
        "Says which events of Flux become which commit statuses.",
        object_of(Kind::CommitStatus),
    )
}

/// Of a `Provider`.
pub fn provider() -> Value {
    document(
        "Provider",
        "Says to which repository at which Git host statuses are posted.",
        object_of(Kind::Provider),
    )
}

/// Of either, and of lists of them: for files with several documents.
pub fn objects() -> Value {
    let list = object(
        &["apiVersion", "kind", "items"],
        [
            (
                "apiVersion",
                json!({ "not": { "type": "null" }, "description": "Not looked at." }),
            ),
            (
                "kind",
                json!({ "enum": LIST_KINDS, "description": "Several objects in `items`." }),
            ),
            (
                "items",
                json!({ "type": "array", "items": { "$ref": "#" }, "description": "The objects." }),
            ),
        ],
        Others::Allowed,
    );
    let mut schema = document(
        "CommitStatus, Provider, or a list of them",
        "What `commitstatus apply` takes.",
        json!({
            "oneOf": [
                { "$ref": "#/definitions/CommitStatus" },
                { "$ref": "#/definitions/Provider" },
                { "$ref": "#/definitions/List" },
            ],
        }),
    );
    schema["definitions"] = json!({
        "CommitStatus": object_of(Kind::CommitStatus),
        "Provider": object_of(Kind::Provider),
        "List": list,
    });
    schema
}

fn document(title: &str, description: &str, mut schema: Value) -> Value {
    schema["$schema"] = DRAFT.into();
    schema["title"] = title.into();
    schema["description"] = description.into();
    schema
}

fn object_of(kind: Kind) -> Value {
    let versions: Vec<String> = versions(kind)
        .iter()
        .map(|version| format!("{API_GROUP}/{version}"))
        .collect();
    let spec = match kind {
        Kind::CommitStatus => commit_status_spec(),
        Kind::Provider => provider_spec(),
    };
    object(
        &["apiVersion", "kind", "metadata", "spec"],
        [
            (
                "apiVersion",
                json!({ "enum": versions, "description": "Group and version, as in Flux." }),
            ),
            (
                "kind",
                json!({ "const": kind.as_str(), "description": "The kind of the object." }),
            ),
            ("metadata", metadata()),
            ("spec", spec),
            ("status", ignored("Ignored: what a cluster writes.")),
        ],
        Others::Refused,
    )
}

fn metadata() -> Value {
    let mut fields = vec![
        ("name", name("Name of the object.", subdomain())),
        (
            "namespace",
            optional(
                name(
                    "Namespace: a rule finds its Provider in its own. `--namespace` fills it in.",
                    label(),
                ),
                Some(DEFAULT_NAMESPACE.into()),
            ),
        ),
        (
            "uid",
            optional(
                text("Expressions can read it. An object that was not taken from a cluster has none."),
                None,
            ),
        ),
        ("labels", optional(string_map("Expressions can read them."), None)),
        ("annotations", ignored("Not kept.")),
    ];
    fields.extend(SERVER_SIDE.map(|field| (field, ignored("Ignored: what a cluster writes."))));
    described(
        object(&["name"], fields, Others::Refused),
        "Name, namespace and labels.",
    )
}

fn commit_status_spec() -> Value {
    let only_kustomizations = json!({
        "properties": { "eventSources": { "items": { "properties": { "kind": {
            "const": KUSTOMIZATION,
            "errorMessage": format!(
                "The revision in events of other kinds than {KUSTOMIZATION} is not a commit, unless \
                 `trustCommitAnnotation` is true."
            ),
        } } } } },
    });
    let mut spec = object(
        &["providerRef", "eventSources"],
        [
            (
                "providerRef",
                reference(
                    "A Provider in the same namespace: the cluster's own, else the one for all clusters.",
                ),
            ),
            (
                "eventSeverity",
                choice(
                    &SEVERITIES,
                    "`info`: all events. `error`: failures, and the success that clears one; no progress.",
                ),
            ),
            (
                "eventSources",
                json!({
                    "type": "array",
                    "minItems": 1,
                    "items": event_source(),
                    "description": "Objects whose events count; any of them may match.",
                }),
            ),
            (
                "prefix",
                optional(
                    json!({
                        "type": "string",
                        "maxLength": MAX_PREFIX,
                        "pattern": format!("^([^/{CONTROL}]([^{CONTROL}]*[^/{CONTROL}])?)?$"),
                        "patternErrorMessage": "Expected plain text with no slash at either end.",
                        "description": "Stands before kind and name in the context, with `/`. Default: \
                                        `<cluster>/<object's namespace>`. An empty text for none.",
                    }),
                    None,
                ),
            ),
            (
                "inclusionList",
                strings("Regular expressions on the event's message; one must match if there are any."),
            ),
            (
                "exclusionList",
                strings(
                    "Regular expressions on the event's message; none may match. Wins over `inclusionList`.",
                ),
            ),
            (
                "suspend",
                boolean(false, "Set the rule aside: its events are skipped."),
            ),
            (
                "summary",
                optional(
                    json!({
                        "type": "string",
                        "maxLength": MAX_SUMMARY,
                        "description": "Metadata `summary` of each event; at Azure DevOps part of the status's name.",
                    }),
                    None,
                ),
            ),
            ("eventMetadata", event_metadata()),
            (
                "reportProgress",
                boolean(true, "Progress becomes `pending` until the commit has a result."),
            ),
            (
                "trustCommitAnnotation",
                boolean(
                    false,
                    "Believe the annotation `event.toolkit.fluxcd.io/commit` first, and allow other kinds as sources. \
                     Anyone who may annotate the object then decides which commit the status goes on.",
                ),
            ),
            (
                "onSuperseded",
                choice(
                    &ON_SUPERSEDED,
                    "What becomes of a pending status when its object reports a newer commit, or the rule is deleted.",
                ),
            ),
            (
                "targetUrl",
                optional(
                    json!({
                        "type": "string",
                        "pattern": r"^\s*(https?://|\$\{)",
                        "patternErrorMessage": "Expected https://HOST/PATH, with `${…}` where it depends on the event.",
                        "description": "Where a click on the status leads; CEL in `${…}`.",
                    }),
                    None,
                ),
            ),
            (
                "description",
                optional(
                    json!({
                        "type": "string",
                        "pattern": r"\S",
                        "patternErrorMessage": "Empty; leave it out for Flux's reason in words.",
                        "anyOf": [{ "maxLength": MAX_DESCRIPTION }, { "pattern": r"\$\{" }],
                        "description": "What people read beside the state, in place of Flux's reason; CEL in \
                                        `${…}`.",
                    }),
                    None,
                ),
            ),
        ],
        Others::Refused,
    );
    spec["if"] = json!({
        "properties": { "trustCommitAnnotation": { "const": true } },
        "required": ["trustCommitAnnotation"],
    });
    spec["else"] = only_kustomizations;
    described(spec, "The rule.")
}

fn event_source() -> Value {
    object(
        &["kind", "name"],
        [
            (
                "kind",
                json!({
                    "enum": FLUX_KINDS,
                    "description": format!("{KUSTOMIZATION}; others only with `trustCommitAnnotation: true`."),
                }),
            ),
            (
                "name",
                name(
                    "Name of the object, or `*` alone for any.",
                    format!("^({}|\\*)$", subdomain_body()),
                ),
            ),
            (
                "namespace",
                optional(name("One namespace; the rule's if absent.", label()), None),
            ),
            (
                "apiVersion",
                ignored("Ignored, as in Flux: kind, name and namespace count."),
            ),
            (
                "matchLabels",
                refused("Not supported: events carry no labels. Filter in the cluster's Alert."),
            ),
        ],
        Others::Refused,
    )
}

fn event_metadata() -> Value {
    let mut schema = string_map(
        "Metadata of each event, for expressions. Never names the commit: that comes from the event.",
    );
    schema["patternProperties"] = json!({ format!("(^|/)({})$", COMMIT_METADATA.join("|")): false });
    optional(schema, None)
}

fn provider_spec() -> Value {
    let addresses: Vec<String> = HostKind::ALL
        .iter()
        .map(|kind| format!("{}: {}", kind.as_str(), kind.address_form()))
        .collect();
    let mut fields = vec![
        (
            "type",
            json!({
                "enum": HostKind::ALL.map(HostKind::as_str),
                "description": "Which API the Git host speaks.",
            }),
        ),
        (
            "address",
            text(&format!("The repository. {}.", addresses.join("; "))),
        ),
        (
            "secretRef",
            reference("The secret with the credential, as `commitstatus secret set` wrote it."),
        ),
        (
            "certSecretRef",
            optional(
                reference("The secret with certificates: authorities to believe, a certificate to show."),
                None,
            ),
        ),
        (
            "proxySecretRef",
            optional(
                reference("The secret with the address of a proxy, and what it lets us in with."),
                None,
            ),
        ),
        (
            "username",
            optional(
                json!({
                    "type": "string",
                    "pattern": format!("^[^:{CONTROL}]+$"),
                    "patternErrorMessage": "Expected text without `:`.",
                    "description": format!(
                        "Only for {}, whose secret may then hold the `password` alone.",
                        HostKind::BitbucketServer.as_str()
                    ),
                }),
                None,
            ),
        ),
        (
            "commitStatusExpr",
            optional(
                json!({
                    "type": "string",
                    "pattern": r"\S",
                    "patternErrorMessage": "Empty; expected CEL, or leave it out.",
                    "description": "CEL that gives the context, over `event`, `provider`, `alert` and `cluster`.",
                }),
                None,
            ),
        ),
        (
            "insecure",
            boolean(
                false,
                "The address may be `http://`. The credential then crosses the network unprotected.",
            ),
        ),
        (
            "timeout",
            optional(
                json!({
                    "type": "string",
                    "pattern": r"^([0-9]+(\.[0-9]*)?(ns|us|ms|s|m|h))+$",
                    "patternErrorMessage": "Expected a duration in whole seconds from 1s to 60s, such as 30s or 1m.",
                    "examples": ["30s", "1m"],
                    "description": "Longest time for one post: whole seconds from `1s` to `60s`, such as `30s` \
                                    or `1m`.",
                }),
                None,
            ),
        ),
        (
            "suspend",
            boolean(false, "Park what is due; applied without, it is posted."),
        ),
        (
            "proxy",
            refused(
                "Not supported: it may hold a password. Put the address into a secret and name it in `proxySecretRef`.",
            ),
        ),
    ];
    fields.extend(IGNORED.map(|(field, note)| (field, ignored(&sentence(note)))));
    described(
        object(&["type", "address", "secretRef"], fields, Others::Refused),
        "The repository, and what lets us in.",
    )
}

/// Fields that are not named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Refused,
    Allowed,
}

fn object(
    required: &[&str],
    fields: impl IntoIterator<Item = (&'static str, Value)>,
    others: Others,
) -> Value {
    let fields = fields.into_iter().map(|(name, schema)| (name.to_owned(), schema));
    let mut schema = json!({
        "type": "object",
        "required": required,
        "properties": Map::from_iter(fields),
    });
    if others == Others::Refused {
        schema["additionalProperties"] = false.into();
    }
    schema
}

fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

/// A field with nothing after its colon counts as absent.
fn optional(mut schema: Value, default: Option<Value>) -> Value {
    let null = Value::Null;
    match schema.get("type").cloned() {
        Some(kind) => schema["type"] = json!([kind, "null"]),
        None => {
            if let Some(Value::Array(words)) = schema.get_mut("enum") {
                words.push(null);
            }
        }
    }
    if let Some(default) = default {
        schema["default"] = default;
    }
    schema
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn name(description: &str, pattern: String) -> Value {
    let (longest, also) = if pattern == label() {
        (MAX_LABEL, "and `-`")
    } else {
        (MAX_SUBDOMAIN, "`-` and `.`")
    };
    let any = if pattern.contains("\\*") {
        ", or `*` alone for any"
    } else {
        ""
    };
    json!({
        "type": "string",
        "maxLength": longest,
        "pattern": pattern,
        "patternErrorMessage": format!(
            "Expected lower-case letters, digits {also}, beginning and ending with a letter or digit{any}."
        ),
        "description": description,
    })
}

fn label() -> String {
    format!("^{LABEL}$")
}

fn subdomain_body() -> String {
    format!("{LABEL}(\\.{LABEL})*")
}

fn subdomain() -> String {
    format!("^{}$", subdomain_body())
}

fn reference(description: &str) -> Value {
    let fields = [("name", name("Its name.", subdomain()))];
    described(object(&["name"], fields, Others::Refused), description)
}

/// The first is the default.
fn choice(words: &[&str], description: &str) -> Value {
    optional(
        json!({ "enum": words, "description": description }),
        words.first().map(|word| (*word).into()),
    )
}

fn boolean(default: bool, description: &str) -> Value {
    optional(
        json!({ "type": "boolean", "description": description }),
        Some(default.into()),
    )
}

fn strings(description: &str) -> Value {
    optional(
        json!({ "type": "array", "items": { "type": "string" }, "description": description }),
        None,
    )
}

fn string_map(description: &str) -> Value {
    json!({
        "type": "object",
        "additionalProperties": { "type": "string" },
        "description": description,
    })
}

/// Any value. Editors do not propose it.
fn ignored(description: &str) -> Value {
    json!({ "description": description, "doNotSuggest": true })
}

/// No value. Editors do not propose it, and say why.
fn refused(description: &str) -> Value {
    json!({
        "type": "null",
        "description": description,
        "errorMessage": description,
        "doNotSuggest": true,
    })
}

/// A note of the validator, as a description.
fn sentence(note: &str) -> String {
    let mut letters = note.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let text: String = first.into_iter().chain(letters).collect();
    format!("{}.", text.trim_end_matches('.'))
}
