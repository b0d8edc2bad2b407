//! Azure DevOps Services and Server:
//! <https://learn.microsoft.com/en-us/rest/api/azure/devops/git/statuses/create>.

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use shared::State;
use shared::message::hex_sha256;
use url::Url;

use crate::address::{Address, Location, invalid_id, is_segment};
use crate::answer::{Answer, texts};
use crate::credential::{Access, Credential, CredentialError, Keys, TOKEN};
use crate::request::{HostRequest, cut, encode_path};
use crate::{CommitStatus, Host, Pace, PostError, refusal};

pub(crate) struct AzureDevOps;

/// The host of all organizations.
const SERVICES: &str = "dev.azure.com";

/// Where it takes ssh.
const SSH_SERVICES: &str = "ssh.dev.azure.com";

/// Each organization had a host of its own, and still has.
const OLD_SERVICES: &str = ".visualstudio.com";

/// What Azure DevOps Server 2020 and later understand.
const API_VERSION: &str = "6.0";

/// As upstream: statuses are told apart by genre and name.
const GENRE: &str = "fluxcd";

/// Of name and genre; seen, not documented.
const MAX_CHARS: usize = 128;

/// Of description and address; seen, not documented.
const MAX_LONG_CHARS: usize = 2_048;

/// Without the second it sends whoever it does not know to a page to sign in.
const HEADERS: &[(&str, &str)] = &[
    ("accept", "application/json"),
    ("x-tfs-fedauthredirect", "Suppress"),
];

/// Hexadecimal digits of the hash that ends a genre which was cut.
const HASH_DIGITS: usize = 10;

impl Host for AzureDevOps {
    const TYPE: &'static str = "azuredevops";
    const ADDRESS: &'static str = "https://dev.azure.com/ORGANIZATION/PROJECT/_git/REPOSITORY";

    // 200 times what a usual user needs, within five minutes; it delays before it refuses:
    // https://learn.microsoft.com/en-us/azure/devops/integrate/concepts/rate-limits
    const PACE: Pace = Pace {
        interval_millis: 200,
        burst: 30,
        one_at_a_time: false,
    };

    /// It may delay a request for half a minute before it answers.
    const TIMEOUT_SECONDS: u32 = 40;

    const MAX_CONTEXT_CHARS: usize = MAX_CHARS;

    const SUMMARY_COUNTS: bool = true;

    /// `dev.azure.com/organization/project/_git/name`, its old host, its ssh forms, and a server of one's own, where what
    /// stands before the project is the collection, perhaps below a path.
    fn locate(address: &Address<'_>) -> Result<Location, String> {
        let organization = address.host.strip_suffix(OLD_SERVICES);
        let path = match organization {
            Some(_) => address
                .path
                .strip_prefix("DefaultCollection/")
                .unwrap_or(address.path),
            None => address.path,
        };
        let parts: Vec<&str> = path.split('/').collect();
        let (before, project, name) = match parts.as_slice() {
            // git@ssh.dev.azure.com:v3/organization/project/name, organization@vs-ssh.visualstudio.com:v3/…
            ["v3", organization, project, name] if address.is_ssh => (vec![*organization], *project, *name),
            // ssh://organization@vs-ssh.visualstudio.com/project/_ssh/name
            [project, "_ssh", name] if address.is_ssh => (vec![address.user], *project, *name),
            [before @ .., project, "_git", name] if !before.is_empty() || organization.is_some() => {
                (before.to_vec(), *project, *name)
            }
            // The repository that has its project's name.
            [before @ .., "_git", name] if !before.is_empty() || organization.is_some() => {
                (before.to_vec(), *name, *name)
            }
            _ => return Err(invalid_id(address.path)),
        };
        let (authority, base, organization) = match (organization, before.as_slice()) {
            (Some(_), [organization]) if address.is_ssh => {
                (Some(SERVICES), Vec::new(), (*organization).to_owned())
            }
            (Some(organization), []) => (Some(SERVICES), Vec::new(), organization.to_owned()),
            (None, [organization]) => (
                [SERVICES, SSH_SERVICES]
                    .contains(&address.host)
                    .then_some(SERVICES),
                Vec::new(),
                (*organization).to_owned(),
            ),
            (None, [base @ .., collection]) if address.host != SERVICES => {
                (None, base.to_vec(), (*collection).to_owned())
            }
            _ => return Err(invalid_id(address.path)),
        };
        let all = [organization.as_str(), project, name]
            .into_iter()
            .chain(base.iter().copied());
        if !all.clone().all(is_segment) {
            return Err(invalid_id(address.path));
        }
        let base_path: String = base.iter().map(|part| format!("/{part}")).collect();
        Ok(Location {
            authority: authority.map(str::to_owned),
            base_path,
            path: format!("{organization}/{project}/{name}"),
        })
    }

    fn context_key(context: &str, summary: Option<&str>) -> String {
        match summary {
            Some(_) => format!("{}/{context}", genre(summary)),
            None => context.to_owned(),
        }
    }

    fn access(keys: &Keys, _username: Option<&str>) -> Result<Access, CredentialError> {
        let token = keys.token()?.ok_or(CredentialError::Missing {
            key: TOKEN,
            expected: "a personal access token with scope `Code (status)`",
        })?;
        Ok(Access::Direct(Credential::basic("", &token)?))
    }

    fn request(status: &CommitStatus<'_>) -> HostRequest {
        let repository = status.repository;
        let mut parts = repository.path.splitn(3, '/').map(encode_path);
        let mut part = || parts.next().unwrap_or_default();
        let (organization, project, name) = (part(), part(), part());
        let mut body = json!({
            "state": match status.state {
                State::Pending => "pending",
                State::Success => "succeeded",
                // As upstream; `failed` would do as well.
                State::Failure => "error",
                State::Superseded => "notApplicable",
            },
            "description": cut(status.description, MAX_LONG_CHARS),
            "context": {
                "genre": genre(status.summary),
                "name": cut(status.context, MAX_CHARS),
            },
        });
        if let Some(target_url) = status
            .target_url
            .filter(|url| url.chars().count() <= MAX_LONG_CHARS)
        {
            body["targetUrl"] = target_url.into();
        }
        HostRequest {
            method: Method::POST,
            url: format!(
                "{}://{}{}/{organization}/{project}/_apis/git/repositories/{name}/commits/{}/statuses\
                 ?api-version={API_VERSION}",
                repository.scheme,
                repository.authority,
                encode_path(&repository.base_path),
                status.sha.as_str()
            ),
            headers: HEADERS,
            body,
        }
    }

    fn classify(answer: &Answer<'_>, _wanted: State, now: Timestamp) -> Result<(), PostError> {
        let body = answer.json();
        let text = texts(&body["message"]);
        let is = |keys: &[&str]| {
            !answer.status.is_success() && body["typeKey"].as_str().is_some_and(|key| keys.contains(&key))
        };
        match answer.status {
            // With 500, of all: whatever the status, nothing was taken.
            _ if is(&["GitObjectDoesNotExistException", "GitCommitDoesNotExistException"]) => {
                Err(PostError::UnknownCommit(answer.message(&text)))
            }
            _ if is(&[
                "GitRepositoryNotFoundException",
                "ProjectDoesNotExistWithNameException",
            ]) =>
            {
                Err(PostError::permanent(refusal::NOT_FOUND, answer.message(&text)))
            }
            // A token that is not valid gets the page to sign in.
            StatusCode::NON_AUTHORITATIVE_INFORMATION => Err(PostError::Unauthorized(answer.message(&text))),
            _ => answer.classify(&text, now),
        }
    }

    fn is_sign_in(target: &Url) -> bool {
        target.path().ends_with("/_signin")
    }
}

/// `fluxcd`, or with what the event's metadata has as `summary`: `fluxcd:<summary>`.
fn genre(summary: Option<&str>) -> String {
    let Some(summary) = summary else {
        return GENRE.to_owned();
    };
    let whole = format!("{GENRE}:{summary}");
    if whole.len() <= MAX_CHARS {
        return whole;
    }
    let mut end = MAX_CHARS - HASH_DIGITS - 1;
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{}", &whole[..end], &hex_sha256(&[&whole])[..HASH_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostKind;
    use crate::answer::testing::{decision, headers, now};
    use crate::status::{self, testing::SHA};

    const ADDRESS: &str = "https://dev.azure.com/foo/bar/_git/baz";

    fn posted<'a>(address: &str, change: impl FnOnce(&mut CommitStatus<'a>)) -> HostRequest {
        status::testing::posted(HostKind::AzureDevOps, address, change)
    }

    // notification-controller internal/notifier/azure_devops_test.go: TestNewAzureDevOpsBasic, TestAzureDevOps_Post.
    #[test]
    fn p18_posts_as_upstream_does() {
        assert_eq!(
            posted(ADDRESS, |_| {}),
            HostRequest {
                method: Method::POST,
                url: format!(
                    "https://dev.azure.com/foo/bar/_apis/git/repositories/baz/commits/{SHA}/statuses?api-version=6.0"
                ),
                headers: HEADERS,
                body: json!({
                    "state": "succeeded",
                    "description": "apply succeeded",
                    "context": {"genre": "fluxcd", "name": "kustomization/gitops-system/0c9c2e41"},
                }),
            }
        );
        assert_eq!(
            posted(ADDRESS, |s| s.summary = Some("test summary")).body["context"]["genre"],
            "fluxcd:test summary"
        );
    }

    #[test]
    fn finds_the_api() {
        let cases = [
            (
                "https://acme.visualstudio.com/Our%20Web/_git/The%20Fleet",
                "https://dev.azure.com/acme/Our%20Web/_apis/git/repositories/The%20Fleet",
            ),
            (
                "https://tfs.acme.com:8080/tfs/Main/web/_git/fleet",
                "https://tfs.acme.com:8080/tfs/Main/web/_apis/git/repositories/fleet",
            ),
        ];
        for (address, url) in cases {
            assert_eq!(
                posted(address, |_| {}).url,
                format!("{url}/commits/{SHA}/statuses?api-version=6.0")
            );
        }
    }

    #[test]
    fn says_it_in_the_words_and_lengths_of_the_host() {
        for (state, word) in [
            (State::Pending, "pending"),
            (State::Success, "succeeded"),
            (State::Failure, "error"),
            (State::Superseded, "notApplicable"),
        ] {
            assert_eq!(posted(ADDRESS, |s| s.state = state).body["state"], word);
        }
        let text = "é".repeat(3_000);
        let request = posted(ADDRESS, |s| {
            s.description = &text;
            s.context = &text;
            s.summary = Some(&text);
            s.target_url = Some("https://example.com/x");
        });
        let length = |value: &serde_json::Value| value.as_str().unwrap().chars().count();
        assert_eq!(length(&request.body["context"]["name"]), 128);
        assert!(length(&request.body["context"]["genre"]) <= 128);
        assert_eq!(length(&request.body["description"]), 2_048);
        assert_eq!(request.body["targetUrl"], "https://example.com/x");

        let long = format!("https://example.com/{}", "x".repeat(2_048));
        assert_eq!(
            posted(ADDRESS, |s| s.target_url = Some(&long))
                .body
                .get("targetUrl"),
            None
        );
    }

    #[test]
    fn the_summary_tells_statuses_apart_also_when_it_is_cut() {
        let key = |summary: Option<&str>| AzureDevOps::context_key("prod/kustomization/web", summary);
        assert_eq!(key(None), "prod/kustomization/web");
        assert_eq!(key(Some("eu")), "fluxcd:eu/prod/kustomization/web");
        let [one, two] = ["a", "b"].map(|end| key(Some(&format!("{}{end}", "x".repeat(200)))));
        assert_ne!(one, two);
    }

    #[test]
    fn understands_the_answers() {
        let error = |key: &str, message: &str| {
            json!({"$id": "1", "innerException": null, "message": message, "typeKey": key, "errorCode": 0, "eventId": 3000})
                .to_string()
        };
        let cases = [
            (201, r#"{"id":1,"state":"succeeded"}"#.into(), "ok", ""),
            (
                203,
                "<html>Azure DevOps Services | Sign In</html>".into(),
                "unauthorized",
                "203 Non Authoritative Information",
            ),
            (
                400,
                error(
                    "InvalidArgumentValueException",
                    "Invalid argument value. Parameter name: name",
                ),
                "rejected",
                "400 Invalid argument value. Parameter name: name",
            ),
            (
                401,
                "Access Denied: The Personal Access Token used has expired.".into(),
                "unauthorized",
                "401 Access Denied: The Personal Access Token used has expired.",
            ),
            (
                403,
                error(
                    "GitNeedsPermissionException",
                    "TF401027: You need the Git 'GenericContribute' permission",
                ),
                "forbidden",
                "403 TF401027: You need the Git 'GenericContribute' permission",
            ),
            (
                404,
                error(
                    "GitRepositoryNotFoundException",
                    "TF401019: The Git repository does not exist",
                ),
                "not-found",
                "404 TF401019: The Git repository does not exist",
            ),
            (
                400,
                error(
                    "ProjectDoesNotExistWithNameException",
                    "TF200016: The following project does not exist: Foo.",
                ),
                "not-found",
                "400 TF200016: The following project does not exist: Foo.",
            ),
            (
                500,
                error(
                    "GitObjectDoesNotExistException",
                    "TF401035: The object 'a1afe26' does not exist.",
                ),
                "unknown commit",
                "500 TF401035: The object 'a1afe26' does not exist.",
            ),
            (
                404,
                error("GitCommitDoesNotExistException", "TF401175: no such commit"),
                "unknown commit",
                "404 TF401175: no such commit",
            ),
            (
                429,
                error(
                    "RequestBlockedException",
                    "TF400733: The request has been canceled",
                ),
                "until +60",
                "429 TF400733: The request has been canceled",
            ),
            (503, String::new(), "ambiguous", "503 Service Unavailable"),
        ];
        for (code, body, expected, message) in cases {
            let outcome = AzureDevOps::classify(
                &Answer {
                    status: StatusCode::from_u16(code).unwrap(),
                    headers: &headers(&[]),
                    body: &body,
                },
                State::Success,
                now(),
            );
            assert_eq!(decision(&outcome), expected, "{code} {body}");
            assert_eq!(outcome.err().as_ref().map_or("", PostError::message), message);
        }
    }

    #[test]
    fn the_way_to_its_sign_in_page_is_known() {
        for (url, expected) in [
            (
                "https://spsprodweu1.vssps.visualstudio.com/_signin?realm=dev.azure.com",
                true,
            ),
            ("https://dev.azure.com/acme/_signin", true),
            ("https://dev.azure.com/acme/web/_apis/git/repositories/x", false),
        ] {
            assert_eq!(
                AzureDevOps::is_sign_in(&Url::parse(url).unwrap()),
                expected,
                "{url}"
            );
        }
    }
}
