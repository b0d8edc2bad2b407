//! Bitbucket Server and Data Center:
//! <https://developer.atlassian.com/server/bitbucket/rest/latest/api-group-builds-and-deployments/>.

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::State;

use crate::address::{Address, Location};
use crate::answer::{Answer, joined, texts};
use crate::bitbucket::key;
use crate::credential::{Access, Credential, CredentialError, Keys, TOKEN};
use crate::request::{HostRequest, cut, encode_path};
use crate::{CommitStatus, Host, Pace, PostError, Repository, refusal};

pub(crate) struct BitbucketServer;

/// Always part of an address it is cloned from over HTTPS.
const SCM: &str = "/scm/";

/// Length of the columns for name and description.
const MAX_CHARS: usize = 255;

const MAX_URL_CHARS: usize = 450;

/// Without them it takes the request for one that a page made in somebody's name.
const HEADERS: &[(&str, &str)] = &[
    ("x-atlassian-token", "no-check"),
    ("x-requested-with", "XMLHttpRequest"),
];

impl Host for BitbucketServer {
    const TYPE: &'static str = "bitbucketserver";
    const ADDRESS: &'static str =
        "the address it is cloned from over HTTPS, https://HOST/scm/PROJECT/REPOSITORY.git";

    // Its default limit refills five requests a second, with sixty at once:
    // https://confluence.atlassian.com/bitbucketserver/improving-instance-stability-with-rate-limiting-976171954.html
    const PACE: Pace = Pace {
        interval_millis: 250,
        burst: 30,
        one_at_a_time: false,
    };

    const MAX_CONTEXT_CHARS: usize = MAX_CHARS;

    /// What stands before the last `/scm/` is where it is installed.
    fn locate(address: &Address<'_>) -> Result<Location, String> {
        if address.is_ssh {
            return Err(format!(
                "`{}://` does not tell where its API is; it must be the address for HTTPS",
                address.scheme
            ));
        }
        let whole = format!("{}/", address.whole_path.trim_end_matches('/'));
        let Some(at) = whole.rfind(SCM) else {
            return Err("it is not the address the repository is cloned from over HTTPS".into());
        };
        let (base_path, path) = (&whole[..at], whole[at + SCM.len()..].trim_end_matches('/'));
        let path = path.strip_suffix(".git").unwrap_or(path);
        address.below(base_path.trim_end_matches('/'), path, |parts| parts.len() == 2)
    }

    fn access(keys: &Keys, username: Option<&str>) -> Result<Access, CredentialError> {
        if let Some(token) = keys.token()? {
            return Ok(Access::Direct(Credential::bearer(&token)?));
        }
        let (user, password) = keys.user_and_password(username)?.ok_or(CredentialError::Missing {
            key: TOKEN,
            expected: "an HTTP access token with permission to read the repository, or `username` and `password`",
        })?;
        Ok(Access::Direct(Credential::basic(&user, &password)?))
    }

    fn request(status: &CommitStatus<'_>) -> HostRequest {
        let repository = status.repository;
        let sha = status.sha.as_str();
        let (project, name) = project_and_name(repository);
        let url = match status.target_url {
            Some(url) if url.chars().count() <= MAX_URL_CHARS => url.to_owned(),
            _ => format!(
                "{}/projects/{project}/repos/{name}/commits/{sha}",
                root(repository)
            ),
        };
        HostRequest {
            method: Method::POST,
            url: format!(
                "{}/rest/api/latest/projects/{project}/repos/{name}/commits/{sha}/builds",
                root(repository)
            ),
            headers: HEADERS,
            body: json!({
                "key": key(status.context),
                "state": match status.state {
                    State::Pending => "INPROGRESS",
                    State::Success => "SUCCESSFUL",
                    State::Failure => "FAILED",
                    // Since 8.0.
                    State::Superseded => "CANCELLED",
                },
                "url": url,
                "description": cut(status.description, MAX_CHARS),
                // Upstream's kind and name would be the same for every cluster.
                "name": cut(status.context, MAX_CHARS),
            }),
        }
    }

    fn classify(answer: &Answer<'_>, _wanted: State, now: Timestamp) -> Result<(), PostError> {
        let body = answer.json();
        let text = text(&body);
        match answer.status {
            status if !status.is_success() && says(&body, "NoSuchCommitException") => {
                Err(PostError::UnknownCommit(answer.message(&text)))
            }
            // It has the same status for a credential that is not valid and for one that may not do this.
            StatusCode::UNAUTHORIZED if says(&body, "AuthorisationException") => {
                Err(PostError::permanent(refusal::FORBIDDEN, answer.message(&text)))
            }
            _ => answer.classify(&text, now),
        }
    }
}

fn root(repository: &Repository) -> String {
    let Repository {
        scheme,
        authority,
        base_path,
        ..
    } = repository;
    format!("{scheme}://{authority}{}", encode_path(base_path))
}

fn project_and_name(repository: &Repository) -> (String, String) {
    let (project, name) = repository.path.split_once('/').unwrap_or_default();
    (encode_path(project), encode_path(name))
}

fn errors(body: &Value) -> &[Value] {
    body["errors"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether an error is of that class.
fn says(body: &Value, class: &str) -> bool {
    errors(body).iter().any(|error| {
        error["exceptionName"]
            .as_str()
            .is_some_and(|name| name.rsplit('.').next() == Some(class))
    })
}

/// What the errors say.
fn text(body: &Value) -> String {
    let errors = errors(body).iter().map(|error| texts(&error["message"]));
    joined(errors.chain([texts(&body["message"])]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostKind;
    use crate::answer::testing::{decision, headers, now};
    use crate::status::{self, testing::SHA};

    fn posted<'a>(address: &str, change: impl FnOnce(&mut CommitStatus<'a>)) -> HostRequest {
        status::testing::posted(HostKind::BitbucketServer, address, change)
    }

    // notification-controller internal/notifier/bitbucketserver_test.go: TestPostBuildStatus.
    #[test]
    fn p18_posts_as_upstream_does_but_for_url_and_name() {
        let request = posted(
            "https://example.com:7990/context/scm/projectfoo/repobar.git",
            |s| {
                s.context = "kustomization/hello-world/1234";
                s.description = "reason";
            },
        );
        assert_eq!(
            request,
            HostRequest {
                method: Method::POST,
                url: format!(
                    "https://example.com:7990/context/rest/api/latest/projects/projectfoo/repos/repobar/commits/{SHA}/builds"
                ),
                headers: &[
                    ("x-atlassian-token", "no-check"),
                    ("x-requested-with", "XMLHttpRequest"),
                ],
                body: json!({
                    "key": key("kustomization/hello-world/1234"),
                    "state": "SUCCESSFUL",
                    "url": format!(
                        "https://example.com:7990/context/projects/projectfoo/repos/repobar/commits/{SHA}"
                    ),
                    "description": "reason",
                    "name": "kustomization/hello-world/1234",
                }),
            }
        );
    }

    #[test]
    fn says_it_in_the_words_and_lengths_of_the_host() {
        let address = "https://example.com/scm/~jane/fleet.git";
        for (state, word) in [
            (State::Pending, "INPROGRESS"),
            (State::Success, "SUCCESSFUL"),
            (State::Failure, "FAILED"),
            (State::Superseded, "CANCELLED"),
        ] {
            assert_eq!(posted(address, |s| s.state = state).body["state"], word);
        }
        let text = "é".repeat(256);
        let request = posted(address, |s| {
            s.description = &text;
            s.context = &text;
            s.target_url = Some("https://example.com/x");
        });
        let cut = format!("{}…", "é".repeat(254));
        assert_eq!(request.body["name"], cut);
        assert_eq!(request.body["description"], cut);
        assert_eq!(request.body["url"], "https://example.com/x");
        assert_eq!(request.body["key"].as_str().map(str::len), Some(40));
        assert!(
            request.url.contains("/projects/~jane/repos/fleet/"),
            "{}",
            request.url
        );

        let long = format!("https://example.com/{}", "x".repeat(450));
        assert_eq!(
            posted(address, |s| s.target_url = Some(&long)).body["url"],
            format!("https://example.com/projects/~jane/repos/fleet/commits/{SHA}")
        );
    }

    #[test]
    fn understands_the_answers() {
        let error = |class: &str, message: &str| {
            json!({"errors": [{"context": null, "message": message, "exceptionName": class}]}).to_string()
        };
        let cases = [
            (204, String::new(), "ok", ""),
            (
                400,
                json!({"errors": [{"context": "url", "message": "must not be blank", "exceptionName": null}]})
                    .to_string(),
                "rejected",
                "400 must not be blank",
            ),
            (
                401,
                error(
                    "com.atlassian.bitbucket.auth.IncorrectPasswordAuthenticationException",
                    "Authentication failed. Please check your credentials and try again.",
                ),
                "unauthorized",
                "401 Authentication failed. Please check your credentials and try again.",
            ),
            (
                401,
                error(
                    "com.atlassian.bitbucket.AuthorisationException",
                    "You are not permitted to access this resource",
                ),
                "forbidden",
                "401 You are not permitted to access this resource",
            ),
            (
                404,
                error(
                    "com.atlassian.bitbucket.repository.NoSuchRepositoryException",
                    "Repository ACME/fleet does not exist.",
                ),
                "not-found",
                "404 Repository ACME/fleet does not exist.",
            ),
            (
                404,
                error(
                    "com.atlassian.bitbucket.commit.NoSuchCommitException",
                    "Commit 'a1afe26' does not exist in repository 'fleet'.",
                ),
                "unknown commit",
                "404 Commit 'a1afe26' does not exist in repository 'fleet'.",
            ),
            (409, String::new(), "conflict", "409 Conflict"),
            (429, "Too many".into(), "until +60", "429 Too many"),
            (503, "<html>".into(), "ambiguous", "503 Service Unavailable"),
        ];
        for (code, body, expected, message) in cases {
            let outcome = BitbucketServer::classify(
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
}
