//! What all hosts share.

use hosts::{Access, CommitStatus, Credential, HostKind, Repository};
use rules::context::context;
use rules::description::describe;
use serde_json::{Value, json};
use shared::{CommitSha, InvolvedObject, State};

use crate::apply::{self, CLUSTER};
use crate::data::Case;
use crate::differences::Deviation;

const SHA: &str = "a1afe267b54f38b46b487f6e938a6fd508278c07";

/// What differs in a case of one of the lists.
pub(crate) fn compare(case: &Case, list: &str) -> Vec<Deviation> {
    let fields = match list {
        "addresses" => address(case),
        "revisions" => revision(case),
        "descriptions" => description(case),
        "hashes" => vec![("sha1", text(case, "sha1"), hash(&text(case, "input")))],
        "basic_auth" => vec![("encoded", text(case, "encoded"), basic(case))],
        other => panic!("{other} is not compared"),
    };
    let differing = fields.into_iter().filter(|(_, upstream, ours)| upstream != ours);
    differing
        .map(|(field, upstream, ours)| Deviation::new(field, upstream, ours))
        .collect()
}

type Fields = Vec<(&'static str, String, String)>;

fn text(case: &Case, key: &str) -> String {
    case.text(key)
        .unwrap_or_else(|| panic!("{}: no {key}", case.test))
        .to_owned()
}

/// Read for GitLab, which takes repositories at any depth, and with `insecure`, as upstream takes `http://`.
fn address(case: &Case) -> Fields {
    let (host, id) = match Repository::parse(HostKind::GitLab, &text(case, "input"), true) {
        Ok(repository) => (repository.root(), repository.path),
        Err(_) => ("refused(apply)".to_owned(), "refused(apply)".to_owned()),
    };
    vec![("host", text(case, "host"), host), ("id", text(case, "id"), id)]
}

/// What fluxcd/pkg makes of a revision besides is not asked for here.
fn revision(case: &Case) -> Fields {
    let none = || "no commit".to_owned();
    let ours = CommitSha::from_revision(&text(case, "input"));
    let upstream = match case.text("sha") {
        Some(sha) => sha.to_owned(),
        None => {
            assert!(
                case.text("error").is_some(),
                "{}: neither sha nor error",
                case.test
            );
            none()
        }
    };
    vec![("sha", upstream, ours.map_or_else(none, String::from))]
}

fn description(case: &Case) -> Fields {
    let sources = json!({"eventSources": [{"kind": "Kustomization", "name": "*"}], "prefix": ""});
    let rule = apply::rule("apps", sources).unwrap();
    let object = InvolvedObject {
        kind: text(case, "kind"),
        name: text(case, "name"),
        namespace: "apps".into(),
        uid: String::new(),
        api_version: String::new(),
        resource_version: String::new(),
    };
    vec![
        (
            "description",
            text(case, "description"),
            describe(&text(case, "reason")),
        ),
        (
            "name",
            text(case, "name_out"),
            context(&rule, CLUSTER, &object, None),
        ),
    ]
}

/// The key both Bitbuckets get.
fn hash(context: &str) -> String {
    let repository = Repository::parse(HostKind::Bitbucket, "https://bitbucket.org/foo/bar", false).unwrap();
    let request = HostKind::Bitbucket.request(&CommitStatus {
        repository: &repository,
        sha: &SHA.parse().unwrap(),
        context,
        summary: None,
        state: State::Success,
        description: "",
        target_url: None,
    });
    request.body["key"].as_str().unwrap().to_owned()
}

/// By the hosts that want it: Azure DevOps has no name.
fn basic(case: &Case) -> String {
    let (username, password) = (text(case, "username"), text(case, "password"));
    let (kind, secret) = match username.as_str() {
        "" => (HostKind::AzureDevOps, json!({"token": password})),
        _ => (
            HostKind::BitbucketServer,
            json!({"username": username, "password": password}),
        ),
    };
    match direct(kind, &secret) {
        Some(credential) => {
            let value = credential.value().to_str().unwrap();
            value.strip_prefix("Basic ").unwrap().to_owned()
        }
        None => "refused(secret)".to_owned(),
    }
}

fn direct(kind: HostKind, secret: &Value) -> Option<Credential> {
    match kind.access(&secret.to_string().into(), None) {
        Ok(Access::Direct(credential)) => Some(credential),
        Ok(Access::GitHubApp(_)) | Err(_) => None,
    }
}
