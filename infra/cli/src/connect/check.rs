//! Whether what a cluster has sends here what its rules need: its Providers and Alerts, as kubectl prints them.
//!
//! Nothing of an address is repeated but what this service made of it: the rest of a webhook's address may be a secret.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use hosts::HostKind;
use intake::address::generation;
use shared::kinds::{ANY_NAME, API_GROUP, KUSTOMIZATION};

use super::{OBJECT_NAME, TIMEOUT, Watched};
use crate::names::{check_label, check_subdomain};
use crate::yaml::duration::whole_seconds;
use crate::yaml::node::{Node, Value, documents};
use crate::yaml::{DEFAULT_NAMESPACE, Position, Source};

/// What prints what is checked. With the group: other operators have Providers too.
pub const KUBECTL: &str =
    "kubectl get providers.notification.toolkit.fluxcd.io,alerts.notification.toolkit.fluxcd.io -A -o yaml";
/// Flux's word for the Provider that `connect` prints.
const HMAC: &str = "generic-hmac";
/// Sends the key itself, if the secret makes it.
const BEARER: &str = "generic";

/// What a cluster has to send, and to where.
#[derive(Debug, Clone, Copy)]
pub struct Needed<'a> {
    /// Name of the cluster.
    pub cluster: &'a str,
    /// Generation of its key.
    pub generation: u32,
    /// Where the service takes events; `None` if that is not known.
    pub function_url: Option<&'a str>,
    /// Whose events the rules need.
    pub watched: &'a Watched,
}

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It may do what it should.
    Warning,
    /// Events do not arrive.
    Missing,
}

impl Level {
    /// As it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it stands.
    pub level: Level,
    /// Where; `None` for what is not there at all.
    pub position: Option<Position>,
    /// Object and field.
    pub subject: String,
    /// What is, and what would be right.
    pub text: String,
    /// Whether what `connect` prints mends it.
    pub is_mended_by_connect: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        if let Some(position) = &self.position {
            write!(line, "{position}: ")?;
        }
        if !self.subject.is_empty() {
            write!(line, "{}: ", self.subject)?;
        }
        line.push_str(&self.text);
        // Names in the cluster are quoted in these: nothing may move the cursor.
        f.write_str(&line.replace(char::is_control, " "))
    }
}

/// All that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order in which people mend it.
    pub findings: Vec<Finding>,
    /// Where the objects live that `connect` printed.
    pub namespaces: BTreeSet<String>,
}

/// The text is not what kubectl prints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no YAML.
    #[error("{0}: {1}; expected what `{KUBECTL}` prints")]
    Yaml(Position, String),
    /// There is nothing in it.
    #[error("nothing in {0}; expected what `{KUBECTL}` prints")]
    Empty(String),
}

/// Compares what the cluster has with what is needed.
///
/// # Errors
/// If the text cannot be read.
pub fn check(sources: &[Source], needed: &Needed<'_>) -> Result<Report, Unreadable> {
    let files: Vec<(&Source, Vec<Node>)> = sources
        .iter()
        .map(|source| read(source).map(|nodes| (source, nodes)))
        .collect::<Result<_, _>>()?;
    let mut objects = Vec::new();
    for (source, nodes) in &files {
        for node in nodes {
            collect(node, &source.name, &mut objects);
        }
    }
    let mut check = Check {
        needed,
        findings: Vec::new(),
    };
    let namespaces = check.all(&objects);
    Ok(Report {
        findings: check.findings,
        namespaces,
    })
}

fn read(source: &Source) -> Result<Vec<Node>, Unreadable> {
    let mut nodes = Vec::new();
    for document in documents(&source.text) {
        match document {
            Ok(node) => nodes.push(node),
            Err((at, problem)) => {
                let position = Position {
                    file: source.name.clone(),
                    line: at.line,
                    column: at.column,
                };
                return Err(Unreadable::Yaml(position, problem));
            }
        }
    }
    if nodes.is_empty() {
        return Err(Unreadable::Empty(source.name.clone()));
    }
    Ok(nodes)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ObjectKind {
    Provider,
    Alert,
}

impl ObjectKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "Provider",
            Self::Alert => "Alert",
        }
    }

    /// What `flux resume` calls it.
    const fn resumed_as(self) -> &'static str {
        match self {
            Self::Provider => "alert-provider",
            Self::Alert => "alert",
        }
    }
}

struct Object<'a> {
    kind: ObjectKind,
    file: &'a str,
    node: &'a Node,
    namespace: &'a str,
    name: &'a str,
}

fn collect<'a>(node: &'a Node, file: &'a str, objects: &mut Vec<Object<'a>>) {
    if let Some(Value::Sequence(items)) = field(node, &["items"]).map(|node| &node.value) {
        for item in items {
            collect(item, file, objects);
        }
        return;
    }
    let is_of_flux = text(node, &["apiVersion"])
        .and_then(|version| version.split_once('/'))
        .is_some_and(|(group, _)| group == API_GROUP);
    let kind = match text(node, &["kind"]) {
        Some("Provider") => ObjectKind::Provider,
        Some("Alert") => ObjectKind::Alert,
        _ => return,
    };
    let name = text(node, &["metadata", "name"]).unwrap_or_default();
    let namespace = text(node, &["metadata", "namespace"]).unwrap_or(DEFAULT_NAMESPACE);
    // What else kubectl is made to print is no object, and must not get into the commands that people copy.
    if is_of_flux && check_subdomain(name).is_ok() && check_label(namespace).is_ok() {
        objects.push(Object {
            kind,
            file,
            node,
            namespace,
            name,
        });
    }
}

/// The value below these names; nothing after a colon is as good as no field.
fn field<'a>(node: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter()
        .try_fold(node, |node, name| match &node.value {
            Value::Mapping(fields) => fields
                .iter()
                .find(|(key, _)| key.name == *name)
                .map(|(_, value)| value),
            _ => None,
        })
        .filter(|node| !matches!(node.value, Value::Null))
}

fn text<'a>(node: &'a Node, path: &[&str]) -> Option<&'a str> {
    match &field(node, path)?.value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn items<'a>(node: &'a Node, path: &[&str]) -> &'a [Node] {
    match field(node, path).map(|node| &node.value) {
        Some(Value::Sequence(items)) => items,
        _ => &[],
    }
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(fields) => fields.is_empty(),
        _ => false,
    }
}

impl Object<'_> {
    fn spec(&self, name: &str) -> Option<&str> {
        text(self.node, &["spec", name])
    }

    fn is_suspended(&self) -> bool {
        matches!(
            field(self.node, &["spec", "suspend"]).map(|node| &node.value),
            Some(Value::Bool(true))
        )
    }

    fn is_ref_of(&self, provider: &Object<'_>) -> bool {
        self.kind == ObjectKind::Alert
            && self.namespace == provider.namespace
            && text(self.node, &["spec", "providerRef", "name"]) == Some(provider.name)
    }

    fn to_text(&self) -> String {
        format!("{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

/// What this service made of an address.
struct Address<'a> {
    base: &'a str,
    cluster: &'a str,
    query: Option<&'a str>,
}

impl<'a> Address<'a> {
    fn of(provider: &'a Object<'_>) -> Option<Self> {
        let address = provider.spec("address")?;
        let address = address.split('#').next().unwrap_or_default();
        let (address, query) = match address.split_once('?') {
            Some((address, query)) => (address, Some(query)),
            None => (address, None),
        };
        let (base, cluster) = address.rsplit_once("/events/")?;
        Some(Self { base, cluster, query })
    }
}

struct Check<'a> {
    needed: &'a Needed<'a>,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn all(&mut self, objects: &[Object<'_>]) -> BTreeSet<String> {
        let providers = objects
            .iter()
            .filter(|object| object.kind == ObjectKind::Provider);
        let to_us: Vec<&Object<'_>> = providers
            .clone()
            .filter(|provider| {
                Address::of(provider).is_some_and(|address| address.cluster == self.needed.cluster)
            })
            .collect();
        let at_this_stack: Vec<&Object<'_>> = to_us
            .iter()
            .copied()
            .filter(|provider| self.is_at_this_stack(provider))
            .collect();
        match (to_us.is_empty(), at_this_stack.is_empty()) {
            (true, _) => self.no_provider(providers),
            (false, true) => to_us.iter().for_each(|provider| self.other_stack(provider)),
            // Others may belong to another stack.
            (false, false) => {}
        }
        let usable: Vec<&Object<'_>> = at_this_stack
            .iter()
            .copied()
            .filter(|provider| self.provider(provider))
            .collect();
        let alerts: Vec<&Object<'_>> = objects
            .iter()
            .filter(|alert| at_this_stack.iter().any(|provider| alert.is_ref_of(provider)))
            .collect();
        for alert in &alerts {
            self.alert(alert);
        }
        for provider in &at_this_stack {
            if !alerts.iter().any(|alert| alert.is_ref_of(provider)) {
                let text = "no Alert of its namespace names it in spec.providerRef, so nothing is sent";
                self.missing(provider, &[], text);
            }
        }
        let active: Vec<&Object<'_>> = alerts
            .iter()
            .copied()
            .filter(|alert| !alert.is_suspended() && usable.iter().any(|provider| alert.is_ref_of(provider)))
            .collect();
        // What none sends is said already where that is so; then it counts what they would send.
        self.coverage(if active.is_empty() { &alerts } else { &active });
        for provider in objects
            .iter()
            .filter(|object| object.kind == ObjectKind::Provider && !object.is_suspended())
        {
            for alert in objects.iter().filter(|alert| alert.is_ref_of(provider)) {
                self.beside(provider, alert);
            }
        }
        let ours = at_this_stack.iter().chain(&alerts);
        ours.filter(|object| object.name == OBJECT_NAME)
            .map(|object| object.namespace.to_owned())
            .collect()
    }

    fn is_at_this_stack(&self, provider: &Object<'_>) -> bool {
        let Some(url) = self.needed.function_url else {
            return true;
        };
        Address::of(provider)
            .is_some_and(|address| address.base.eq_ignore_ascii_case(url.trim_end_matches('/')))
    }

    fn expected_address(&self) -> String {
        let base = self
            .needed
            .function_url
            .map_or("…", |url| url.trim_end_matches('/'));
        let cluster = self.needed.cluster;
        match self.needed.generation {
            0 | 1 => format!("{base}/events/{cluster}"),
            generation => format!("{base}/events/{cluster}?generation={generation}"),
        }
    }

    fn no_provider<'o>(&mut self, providers: impl Iterator<Item = &'o Object<'o>>) {
        let expected = self.expected_address();
        self.findings.push(Finding {
            level: Level::Missing,
            position: None,
            subject: String::new(),
            text: format!("no Provider sends to {expected}; expected one of type {HMAC} with that address"),
            is_mended_by_connect: true,
        });
        for provider in providers {
            let is_generic = matches!(provider.spec("type"), Some(HMAC | BEARER));
            match Address::of(provider) {
                Some(address) if is_generic && check_label(address.cluster).is_ok() => {
                    let text = format!(
                        "sends as cluster \"{}\"; if it is meant to send here, expected {expected}",
                        address.cluster
                    );
                    self.doubtful(provider, &["spec", "address"], &text, true);
                }
                None if is_generic && provider.spec("address").is_none() => {
                    let text = format!(
                        "absent, so that of its secret counts, which is not looked at; expected {expected}"
                    );
                    self.doubtful(provider, &["spec", "address"], &text, true);
                }
                _ => {}
            }
        }
    }

    fn other_stack(&mut self, provider: &Object<'_>) {
        let text = format!(
            "sends the events to another host than this stack's; expected {}",
            self.expected_address()
        );
        self.missing(provider, &["spec", "address"], &text);
    }

    /// Whether it sends anything at all.
    fn provider(&mut self, provider: &Object<'_>) -> bool {
        let before = self.findings.len();
        match provider.spec("type") {
            Some(HMAC | BEARER) => {}
            _ => {
                let text = format!("sends events in a form that is not understood here; expected {HMAC}");
                self.missing(provider, &["spec", "type"], &text);
            }
        }
        let query = Address::of(provider).and_then(|address| address.query);
        let expected = self.needed.generation;
        match generation(query) {
            Ok(found) if found == expected => {}
            Ok(found) => {
                let text = format!(
                    "has key generation {found}, whose events are refused or dropped, for the cluster's is {expected}; \
                     expected {}, and the new key",
                    self.expected_address()
                );
                self.missing(provider, &["spec", "address"], &text);
            }
            Err(_) => {
                let text = format!(
                    "has a query that is not understood here, so its events are refused; expected {}",
                    self.expected_address()
                );
                self.missing(provider, &["spec", "address"], &text);
            }
        }
        if text(provider.node, &["spec", "secretRef", "name"]).is_none() {
            let text = format!(
                "absent, so events are not signed and refused; expected a Secret such as {OBJECT_NAME}"
            );
            self.missing(provider, &["spec", "secretRef", "name"], &text);
        }
        self.suspended(provider);
        let sends = !self.has_missing_since(before);
        self.timeout(provider);
        self.conditions(provider);
        if self.findings.len() == before {
            let text = format!("sends to {}", self.expected_address());
            self.ok(provider, &["spec", "address"], &text);
        }
        sends
    }

    fn timeout(&mut self, provider: &Object<'_>) {
        let found = provider.spec("timeout").and_then(whole_seconds);
        let recommended = whole_seconds(TIMEOUT);
        if found < recommended {
            let text =
                format!("expected {TIMEOUT}, or Flux gives up before its last retry and the event is lost");
            self.doubtful(provider, &["spec", "timeout"], &text, true);
        }
    }

    fn alert(&mut self, alert: &Object<'_>) {
        let before = self.findings.len();
        self.suspended(alert);
        if let Some(severity) = alert.spec("eventSeverity").filter(|severity| *severity != "info") {
            let text = format!(
                "`{severity}`, so neither progress nor the success that clears a failure is sent; expected info (rules \
                 have an eventSeverity of their own)"
            );
            self.missing(alert, &["spec", "eventSeverity"], &text);
        }
        for list in ["inclusionList", "exclusionList"] {
            let path = ["spec", list];
            if field(alert.node, &path).is_some_and(|node| !is_empty(node)) {
                let text = format!(
                    "keeps back events by their message; remove it (rules have an {list} of their own)"
                );
                self.doubtful(alert, &path, &text, false);
            }
        }
        self.conditions(alert);
        if self.findings.len() == before {
            self.ok(
                alert,
                &["spec", "providerRef"],
                "names the Provider, and keeps nothing back",
            );
        }
    }

    fn suspended(&mut self, object: &Object<'_>) {
        if object.is_suspended() {
            let text = format!(
                "true, so nothing is sent; `flux resume {} {} -n {}` makes it false",
                object.kind.resumed_as(),
                object.name,
                object.namespace
            );
            self.found(Level::Missing, object, &["spec", "suspend"], &text, false);
        }
    }

    /// Of Flux before 2.2; later its Providers and Alerts have none.
    fn conditions(&mut self, object: &Object<'_>) {
        let path = ["status", "conditions"];
        let is_unready = |condition: &&Node| {
            text(condition, &["type"]) == Some("Ready") && text(condition, &["status"]) == Some("False")
        };
        if items(object.node, &path)
            .iter()
            .any(|condition| is_unready(&condition))
        {
            let text = format!(
                "not ready; `kubectl -n {} describe {}.{API_GROUP} {}` says why",
                object.namespace,
                object.kind.as_str().to_lowercase(),
                object.name
            );
            self.doubtful(object, &path, &text, false);
        }
    }

    fn coverage(&mut self, alerts: &[&Object<'_>]) {
        let Some(first) = alerts.first() else { return };
        let needed = self.needed.watched;
        if needed.is_empty() {
            self.findings.push(Finding {
                level: Level::Warning,
                position: None,
                subject: String::new(),
                text: format!(
                    "no rule is in force in this cluster, so no event becomes a status; `commitstatus apply -f FILE \
                     --cluster {}` applies one",
                    self.needed.cluster
                ),
                is_mended_by_connect: false,
            });
            return;
        }
        let before = self.findings.len();
        let mut objects = 0_usize;
        for (namespace, of_namespace) in needed {
            for (kind, name) in of_namespace {
                objects += 1;
                self.covers(alerts, first, (namespace, kind, name));
            }
        }
        if self.findings.len() == before {
            let what = match objects {
                1 => "the one source".to_owned(),
                several => format!("all {several} sources"),
            };
            let text = format!("covers {what} the rules name");
            self.ok(first, &["spec", "eventSources"], &text);
        }
    }

    fn covers(&mut self, alerts: &[&Object<'_>], first: &Object<'_>, needed: (&str, &str, &str)) {
        let (namespace, kind, name) = needed;
        let mut narrowed = None;
        for alert in alerts {
            for (index, source) in items(alert.node, &["spec", "eventSources"]).iter().enumerate() {
                let source_name = text(source, &["name"]);
                let matches = text(source, &["kind"]) == Some(kind)
                    && text(source, &["namespace"]).unwrap_or(alert.namespace) == namespace
                    && (source_name == Some(ANY_NAME) || source_name == Some(name));
                if !matches {
                    continue;
                }
                match field(source, &["matchLabels"]) {
                    Some(labels) if !is_empty(labels) => narrowed = Some((*alert, index, labels)),
                    _ => return,
                }
            }
        }
        let what = match name {
            ANY_NAME if kind == KUSTOMIZATION => format!("every {kind} of {namespace}"),
            ANY_NAME => format!("every {kind} of {namespace}, which rules name with \"*\""),
            name => format!("{kind} {namespace}/{name}"),
        };
        match narrowed {
            Some((alert, index, labels)) => {
                let position = position(alert, labels);
                let subject = format!("{}: spec.eventSources[{index}].matchLabels", alert.to_text());
                self.findings.push(Finding {
                    level: Level::Warning,
                    position: Some(position),
                    subject,
                    text: format!("sends only what has these labels, and the rules need {what}; remove it"),
                    is_mended_by_connect: true,
                });
            }
            None => {
                let text = format!(
                    "the rules need {what}; expected `{{kind: {kind}, name: \"{name}\", namespace: {namespace}}}` among \
                     them"
                );
                self.missing(first, &["spec", "eventSources"], &text);
            }
        }
    }

    /// An Alert that still posts statuses itself.
    fn beside(&mut self, provider: &Object<'_>, alert: &Object<'_>) {
        let host = provider.spec("type").and_then(HostKind::from_type);
        if let Some(host) = host.filter(|_| !alert.is_suspended()) {
            let text = format!(
                "posts to {} beside this service, under contexts of its own; delete the Alert, or keep both knowingly",
                host.as_str()
            );
            self.doubtful(alert, &["spec", "providerRef"], &text, false);
        }
    }

    fn has_missing_since(&self, before: usize) -> bool {
        self.findings
            .iter()
            .skip(before)
            .any(|finding| finding.level == Level::Missing)
    }

    fn ok(&mut self, object: &Object<'_>, path: &[&str], text: &str) {
        self.found(Level::Ok, object, path, text, false);
    }

    fn doubtful(&mut self, object: &Object<'_>, path: &[&str], text: &str, is_mended_by_connect: bool) {
        self.found(Level::Warning, object, path, text, is_mended_by_connect);
    }

    fn missing(&mut self, object: &Object<'_>, path: &[&str], text: &str) {
        self.found(Level::Missing, object, path, text, true);
    }

    fn found(
        &mut self,
        level: Level,
        object: &Object<'_>,
        path: &[&str],
        text: &str,
        is_mended_by_connect: bool,
    ) {
        // Of a field that is absent, the nearest mapping that is there.
        let node = (0..=path.len())
            .rev()
            .find_map(|length| field(object.node, path.get(..length)?))
            .unwrap_or(object.node);
        let subject = match path {
            [] => object.to_text(),
            path => format!("{}: {}", object.to_text(), path.join(".")),
        };
        self.findings.push(Finding {
            level,
            position: Some(position(object, node)),
            subject,
            text: text.to_owned(),
            is_mended_by_connect,
        });
    }
}

fn position(object: &Object<'_>, node: &Node) -> Position {
    Position {
        file: object.file.to_owned(),
        line: node.at.line,
        column: node.at.column,
    }
}

#[cfg(test)]
mod tests;
