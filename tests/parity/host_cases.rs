//! One event for one host: what an operator applies, what the functions make of the event, and the request that comes of it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hosts::{Access, Certificates, CommitStatus, Credential, GitHubApp, HostKind, HostRequest, Repository};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use rules::decide::{Decision, Incoming, decide};
use rules::draft::{Draft, Subject, draft};
use rules::evaluate::evaluate;
use rules::lookup::Candidate;
use rules::verdict::Verdict;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use shared::item::Posted;
use shared::{CommitSha, EventMessage, OrderKey};

use crate::apply::{self, CLUSTER, NAMESPACE};
use crate::data::{Case, shown};
use crate::differences::{Deviation, Known};

/// Written by whatever sends JSON, the same for all.
const LEFT_TO_THE_CLIENT: &str = "content-type";

/// What differs in a case of a host.
pub(crate) fn compare(case: &Case, known: &Known) -> Vec<Deviation> {
    let ours = ours(case, true);
    let upstream = case.at("upstream");
    let error = upstream["error"].as_str();
    let is_posted = upstream["method"].is_string();
    let mut deviations = Vec::new();
    if let (true, Some(sent)) = (is_posted, &ours.sent) {
        request(&mut deviations, upstream, sent);
    }
    outcome(&mut deviations, known, upstream, &ours);
    if is_posted || error.is_some() {
        app_reads(&mut deviations, upstream, &ours);
    }
    if is_posted && case.text("event.metadata.commit").is_some() {
        untrusted(&mut deviations, case);
    }
    deviations
}

/// The same under a rule that does not trust the annotation that names the commit.
fn untrusted(deviations: &mut Vec<Deviation>, case: &Case) {
    let upstream = case.text("upstream.url").unwrap();
    let ours = ours(case, false);
    let ours = match &ours.sent {
        Some(sent) => sent.request.url.clone(),
        None => ours.outcome(),
    };
    if upstream != ours {
        deviations.push(Deviation::new("untrusted", upstream, ours));
    }
}

/// What becomes of a case here.
#[derive(Default)]
struct Ours {
    /// Everything for which nothing is posted: whoever mends one is told of the next.
    problems: Vec<String>,
    /// Requests before the one that is meant: for the token of a GitHub App.
    reads: Vec<String>,
    /// The request that writes the status.
    sent: Option<Sent>,
    /// What the case answers to it is a refusal.
    is_refused: bool,
    /// The same event once more would change nothing.
    is_remembered: bool,
}

struct Sent {
    request: HostRequest,
    headers: BTreeMap<String, String>,
    state: &'static str,
}

impl Ours {
    fn outcome(&self) -> String {
        match &self.sent {
            None => self.problems.join(", "),
            Some(_) if self.is_refused => "posts, and is refused".to_owned(),
            Some(sent) => format!("posts {}", sent.state),
        }
    }
}

fn outcome(deviations: &mut Vec<Deviation>, known: &Known, upstream: &Value, ours: &Ours) {
    let is_posted = upstream["method"].is_string();
    let mut differs =
        |upstream: String, ours: String| deviations.push(Deviation::new("outcome", upstream, ours));
    match (upstream["error"].as_str(), is_posted) {
        (None, true) if ours.sent.is_some() && !ours.is_refused => {}
        (None, true) => differs("posts".to_owned(), ours.outcome()),
        (Some(_), true) if ours.is_refused => {}
        (Some(_), true) => differs("posts, and is refused".to_owned(), ours.outcome()),
        (Some(error), false) => {
            let class = known.class(error).unwrap_or_default();
            if !ours.problems.iter().any(|problem| class.contains(problem)) {
                differs(format!("error: {error}"), ours.outcome());
            }
        }
        (None, false) => {
            assert_eq!(upstream["skipped"], true);
            match upstream["reads"].is_array() {
                true if ours.is_remembered => {
                    differs(
                        "reads that it is there".to_owned(),
                        "remembers that it is there".to_owned(),
                    );
                }
                true => differs("reads that it is there".to_owned(), ours.outcome()),
                false
                    if !ours.problems.is_empty() && ours.problems.iter().all(|problem| is_skip(problem)) => {}
                false => differs("skipped".to_owned(), ours.outcome()),
            }
        }
    }
}

fn is_skip(problem: &str) -> bool {
    problem.starts_with("skipped(")
}

fn request(deviations: &mut Vec<Deviation>, upstream: &Value, sent: &Sent) {
    let mut field = |field: &str, upstream: &Value, ours: &Value| {
        if upstream != ours {
            deviations.push(Deviation::new(field, shown(upstream), shown(ours)));
        }
    };
    field(
        "method",
        &upstream["method"],
        &sent.request.method.as_str().into(),
    );
    field("url", &upstream["url"], &sent.request.url.as_str().into());
    let mut theirs = upstream["headers"].as_object().cloned().unwrap_or_default();
    theirs.remove(LEFT_TO_THE_CLIENT);
    let ours: Map<String, Value> = sent
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    each_key("headers", &theirs.into(), &ours.into(), &mut field);
    each_key("body", &upstream["body"], &sent.request.body, &mut field);
}

/// Objects are compared key by key.
fn each_key(path: &str, upstream: &Value, ours: &Value, field: &mut impl FnMut(&str, &Value, &Value)) {
    let (Some(theirs), Some(own)) = (upstream.as_object(), ours.as_object()) else {
        field(path, upstream, ours);
        return;
    };
    let mut keys: Vec<&String> = theirs.keys().chain(own.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        each_key(&format!("{path}.{key}"), &upstream[key], &ours[key], field);
    }
}

/// Upstream's other reads look for the same status, which is remembered here.
fn app_reads(deviations: &mut Vec<Deviation>, upstream: &Value, ours: &Ours) {
    let is_about_an_app = |read: &&str| read.contains("/access_tokens") || read.ends_with("/installation");
    let reads = upstream["reads"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let theirs: Vec<&str> = reads
        .iter()
        .filter_map(Value::as_str)
        .filter(is_about_an_app)
        .collect();
    if theirs != ours.reads {
        deviations.push(Deviation::new("reads", theirs.join(", "), ours.reads.join(", ")));
    }
}

fn ours(case: &Case, trusts: bool) -> Ours {
    let mut ours = Ours::default();
    let (candidate, message) = inputs(case, trusts, &mut ours);
    let kind = HostKind::from_type(&case.list).unwrap();
    let access = access(case, kind, candidate.as_ref(), &mut ours);
    let (Some(candidate), Some(message)) = (candidate, message) else {
        return ours;
    };
    let subject = Subject::of(&candidate).unwrap();
    let wanted = match evaluate(subject.rule, &message.event) {
        Ok(wanted) => wanted,
        Err(reason) => {
            ours.problems.push(Verdict::Skipped(reason).to_string());
            return ours;
        }
    };
    let Draft {
        item,
        incoming,
        left_out,
    } = draft(&message, &candidate.reference, &subject, &wanted);
    assert_eq!(left_out, []);
    let repository = &subject.target.as_ref().unwrap().repository;
    let credential = match access {
        Some(Access::Direct(credential)) => Some(credential),
        Some(Access::GitHubApp(app)) => installed(&app, case, repository, &mut ours),
        None => None,
    };
    if item.failed_expression.is_some() {
        ours.problems.push("parked(no-context)".to_owned());
    }
    let Some(credential) = credential.filter(|_| ours.problems.is_empty()) else {
        return ours;
    };
    let sha: CommitSha = item.key.sha().parse().unwrap();
    let request = kind.request(&CommitStatus {
        repository,
        sha: &sha,
        context: &item.context,
        summary: item.summary.as_deref(),
        state: item.desired.state,
        description: &item.desired.description,
        target_url: item.desired.target_url.as_deref(),
    });
    let taken = json!({"status": 201, "body": {}});
    let (status, body) = told(answer(case, &request).unwrap_or(&taken));
    ours.is_refused = kind
        .classify(
            item.desired.state,
            status,
            &HeaderMap::new(),
            &body,
            Timestamp::UNIX_EPOCH,
        )
        .is_err();
    ours.is_remembered = is_remembered(item, &incoming);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut headers: BTreeMap<_, _> = request
        .headers
        .iter()
        .map(|(name, value)| header(name, value))
        .collect();
    headers.extend([header(
        credential.header().as_str(),
        credential.value().to_str().unwrap(),
    )]);
    ours.sent = Some(Sent {
        headers,
        request,
        state: incoming.desired.state.as_str(),
    });
    ours
}

/// What an operator applies and a cluster sends. What is left open in the case is as in a plain success.
fn inputs(case: &Case, trusts: bool, ours: &mut Ours) -> (Option<Candidate>, Option<EventMessage>) {
    let plain = json!({
        "severity": "info",
        "reason": "ApplySucceeded",
        "kind": "Kustomization",
        "name": "hello-world",
        "namespace": NAMESPACE,
        "metadata": {"revision": "main@sha1:5394cb7f48332b2de7c17dd8b8384bbc84b7e738"},
    });
    let sent = match case.at("event") {
        Value::Null => &plain,
        event => event,
    };
    // Nothing else passes the gate of notification-controller, behind which the cases start.
    let mut metadata = sent["metadata"].clone();
    let has_commit = metadata["commit"]
        .as_str()
        .is_some_and(|commit| !commit.is_empty());
    if sent["severity"] == "info" && !has_commit {
        metadata["commit_status"] = "update".into();
    }
    let event = apply::event(sent, &metadata);
    let text = |key: &str, default: &str| match sent[key].as_str() {
        None | Some("") => default.to_owned(),
        Some(text) => text.to_owned(),
    };
    let (kind, namespace) = (text("kind", "Kustomization"), text("namespace", NAMESPACE));
    let rule = apply::rule(
        &namespace,
        json!({
            "eventSources": [{"kind": kind, "name": text("name", "hello-world")}],
            "prefix": "",
            "trustCommitAnnotation": trusts && apply::needs_trust(&kind, &metadata),
        }),
    );
    let mut spec = case.at("provider").clone();
    spec["type"] = case.list.as_str().into();
    if spec.get("commitStatusExpr").is_none() {
        // A literal of JSON is one of CEL.
        spec["commitStatusExpr"] = json!(case.text("status_id").unwrap()).to_string().into();
    }
    let provider = apply::provider(&namespace, case.text("provider_uid"), spec);
    let candidate = match (rule, provider) {
        (Ok(rule), Ok(provider)) => Some(apply::candidate(rule, provider)),
        (Err(error), _) if trusts => panic!("{}: {error}", case.test),
        (Err(_), _) | (_, Err(_)) => {
            ours.problems.push("refused(apply)".to_owned());
            None
        }
    };
    let message = match event {
        Ok(event) => Some(EventMessage {
            id: "0123456789abcdef".into(),
            cluster: CLUSTER.into(),
            generation: 1,
            previous_root_key: false,
            received_at: event.timestamp,
            event,
        }),
        Err(_) => {
            ours.problems.push("refused(event)".to_owned());
            None
        }
    };
    (candidate, message)
}

fn access(case: &Case, kind: HostKind, candidate: Option<&Candidate>, ours: &mut Ours) -> Option<Access> {
    let secret = secret(case.at("secret"));
    let provider = candidate.and_then(|candidate| candidate.provider.as_ref());
    let username =
        provider.and_then(|found| found.provider.as_ref().unwrap().provider.spec.username.as_deref());
    let access = kind.access(&secret, username).ok();
    if access.is_none() || Certificates::beside_credential(&secret).is_err() {
        ours.problems.push("refused(secret)".to_owned());
    }
    access
}

/// The secret of a case, with what upstream's tests generate.
pub(crate) fn secret(keys: &Value) -> SecretString {
    static PRIVATE_KEY: LazyLock<String> = LazyLock::new(|| {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        key.serialize_pem()
    });
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
    let mut keys = keys.as_object().cloned().unwrap_or_default();
    for (key, value) in &mut keys {
        if value.as_str().is_some_and(|text| text.starts_with("GENERATED")) {
            *value = match key.as_str() {
                "githubAppPrivateKey" | "tls.key" => PRIVATE_KEY.as_str().into(),
                _ => CERTIFICATE.into(),
            };
        }
    }
    Value::Object(keys).to_string().into()
}

/// The token of a GitHub App, by way of what the case answers.
fn installed(app: &GitHubApp, case: &Case, repository: &Repository, ours: &mut Ours) -> Option<Credential> {
    assert!(app.credential(Timestamp::UNIX_EPOCH).is_ok());
    let mut installation = app.installation();
    for lookup in app.lookups(repository) {
        if installation.is_some() {
            break;
        }
        ours.reads.push(format!("{} {}", lookup.method, lookup.url));
        let (status, body) = told(answer(case, &lookup).unwrap());
        let found = GitHubApp::found(status, &HeaderMap::new(), &body, Timestamp::UNIX_EPOCH);
        installation = found.ok().flatten();
    }
    let token = installation.and_then(|installation| {
        let request = app.token_request(repository, installation);
        ours.reads.push(format!("{} {}", request.method, request.url));
        // Where upstream asks for none, nothing is answered to it.
        let plain = json!({
            "status": 201,
            "body": {"token": "access-token", "expires_at": "2099-01-01T00:00:00Z"},
        });
        let (status, body) = told(answer(case, &request).unwrap_or(&plain));
        GitHubApp::token(status, &HeaderMap::new(), &body, Timestamp::UNIX_EPOCH).ok()
    });
    if token.is_none() {
        ours.problems.push("refused(host)".to_owned());
    }
    token.map(|token| token.credential)
}

/// What the case answers to a request; to one that goes elsewhere than upstream's, what it answers to that.
fn answer<'a>(case: &'a Case, request: &HostRequest) -> Option<&'a Value> {
    let answers = case
        .at("answers")
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let whole = format!("{} {}", request.method, request.url);
    let last = |text: &str| {
        let path = text.split('?').next().unwrap_or(text);
        path.rsplit('/').next().unwrap_or_default().to_owned()
    };
    let exactly = answers.iter().find(|answer| answer["request"] == whole.as_str());
    exactly.or_else(|| {
        answers.iter().find(|answer| {
            let asked = answer["request"].as_str().unwrap();
            asked.starts_with(request.method.as_str()) && last(asked) == last(&whole)
        })
    })
}

fn told(answer: &Value) -> (StatusCode, String) {
    let status = u16::try_from(answer["status"].as_u64().unwrap()).unwrap();
    let body = match answer["body_text"].as_str() {
        Some(text) => text.to_owned(),
        None => answer["body"].to_string(),
    };
    (StatusCode::from_u16(status).unwrap(), body)
}

/// The same event again, after the first was posted.
fn is_remembered(mut item: shared::item::StatusItem, first: &Incoming) -> bool {
    item.posted = Some(Posted {
        state: item.desired.state,
        reason: item.desired.reason.clone(),
        rev: 1,
        at: 0,
    });
    item.due = None;
    let state = first.desired.state;
    let later = Incoming {
        order_key: OrderKey::new(
            state.into(),
            "2026-08-07T13:23:02Z".parse().unwrap(),
            "183231",
            state,
            "fedcba9876543210",
        ),
        event_id: "fedcba9876543210".to_owned(),
        desired: first.desired.clone(),
    };
    decide(Some(&item), &later) == Decision::Touch(Verdict::Unchanged)
}
