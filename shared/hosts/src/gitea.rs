//! Gitea and Forgejo: <https://docs.gitea.com/api/#tag/repository/operation/repoCreateStatus>.

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::State;

use crate::address::{Address, Location};
use crate::answer::{Answer, joined, texts};
use crate::credential::{Access, Credential, CredentialError, Keys};
use crate::request::{HostRequest, cut, encode_path};
use crate::{CommitStatus, Host, Pace, PostError, Repository};

pub(crate) struct Gitea;

/// Path below which the API has repositories; names the install's own path when it stands in an address.
const REPOS: &str = "/api/v1/repos/";

/// No limit is documented, and the columns have none; what GitLab takes is more than any description has.
const MAX_CHARS: usize = 255;

impl Host for Gitea {
    const TYPE: &'static str = "gitea";
    const ADDRESS: &'static str = "https://HOST/OWNER/REPOSITORY, or https://HOST/PATH/api/v1/repos/OWNER/REPOSITORY for one below a path";

    // It has no limits of its own; whoever runs it may have set some in front of it.
    const PACE: Pace = Pace {
        interval_millis: 100,
        burst: 50,
        one_at_a_time: false,
    };

    /// One below a path of its own is named by its API: `https://host/gitea/api/v1/repos/owner/name`.
    fn locate(address: &Address<'_>) -> Result<Location, String> {
        match address.whole_path.split_once(REPOS) {
            Some((base_path, path)) => {
                let path = path.trim_matches('/');
                let path = path.strip_suffix(".git").unwrap_or(path);
                address.below(base_path.trim_end_matches('/'), path, |parts| parts.len() == 2)
            }
            None => address.owner_and_name(),
        }
    }

    fn access(keys: &Keys, _username: Option<&str>) -> Result<Access, CredentialError> {
        let token = keys.token_or_password("an access token with permission `write:repository`")?;
        Ok(Access::Direct(Credential::prefixed("token", &token)?))
    }

    fn request(status: &CommitStatus<'_>) -> HostRequest {
        HostRequest {
            method: Method::POST,
            url: format!("{}/statuses/{}", api(status.repository), status.sha),
            headers: &[],
            body: json!({
                "state": match status.state {
                    State::Pending => "pending",
                    State::Success => "success",
                    State::Failure => "failure",
                    // As at GitHub: neither green nor the cluster's verdict.
                    State::Superseded => "error",
                },
                "target_url": status.target_url.unwrap_or_default(),
                "description": cut(status.description, MAX_CHARS),
                "context": cut(status.context, MAX_CHARS),
            }),
        }
    }

    fn classify(answer: &Answer<'_>, _wanted: State, now: Timestamp) -> Result<(), PostError> {
        let body = answer.json();
        let text = text(&body);
        let is_the_sha = |error: &Value| error == "sha";
        let about_the_commit = body["errors"]
            .as_array()
            .is_some_and(|errors| errors.iter().any(is_the_sha));
        if answer.status == StatusCode::NOT_FOUND && about_the_commit {
            return Err(PostError::UnknownCommit(answer.message(&text)));
        }
        answer.classify(&text, now)
    }

    /// For an unknown commit it has the same 500 as for its own mistakes, and no words for whoever is not its
    /// administrator.
    fn doubt(answer: &Answer<'_>, status: &CommitStatus<'_>) -> Option<HostRequest> {
        let repository = status.repository;
        (answer.status == StatusCode::INTERNAL_SERVER_ERROR).then(|| HostRequest {
            method: Method::GET,
            url: format!("{}/git/commits/{}", api(repository), status.sha),
            headers: &[],
            body: Value::Null,
        })
    }
}

/// The repository's own part of the API.
fn api(repository: &Repository) -> String {
    format!(
        "{}://{}{}/api/v1/repos/{}",
        repository.scheme,
        repository.authority,
        encode_path(&repository.base_path),
        encode_path(&repository.path),
    )
}

/// `message`, and what `errors` adds to it.
fn text(body: &Value) -> String {
    joined([texts(&body["message"]), texts(&body["errors"])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostKind;
    use crate::answer::testing::{decision, headers, now};
    use crate::status::{self, testing::SHA};

    fn posted<'a>(address: &str, change: impl FnOnce(&mut CommitStatus<'a>)) -> HostRequest {
        status::testing::posted(HostKind::Gitea, address, change)
    }

    // notification-controller internal/notifier/gitea_test.go: Post with a revision.
    #[test]
    fn p18_posts_as_upstream_does() {
        assert_eq!(
            posted("https://try.gitea.io/foo/bar", |_| {}),
            HostRequest {
                method: Method::POST,
                url: format!("https://try.gitea.io/api/v1/repos/foo/bar/statuses/{SHA}"),
                headers: &[],
                body: json!({
                    "state": "success",
                    "target_url": "",
                    "description": "apply succeeded",
                    "context": "kustomization/gitops-system/0c9c2e41",
                }),
            }
        );
        assert_eq!(
            posted("https://example.com/git/api/v1/repos/foo/bar", |_| {}).url,
            format!("https://example.com/git/api/v1/repos/foo/bar/statuses/{SHA}")
        );
    }

    #[test]
    fn says_it_in_the_words_and_lengths_of_the_host() {
        for (state, word) in [
            (State::Pending, "pending"),
            (State::Success, "success"),
            (State::Failure, "failure"),
            (State::Superseded, "error"),
        ] {
            let request = posted("https://try.gitea.io/o/r", |s| s.state = state);
            assert_eq!(request.body["state"], word);
        }
        let text = "é".repeat(256);
        let request = posted("https://try.gitea.io/o/r", |s| {
            s.description = &text;
            s.context = &text;
            s.target_url = Some("https://example.com/x");
        });
        let cut = format!("{}…", "é".repeat(254));
        assert_eq!(request.body["context"], cut);
        assert_eq!(request.body["description"], cut);
        assert_eq!(request.body["target_url"], "https://example.com/x");
    }

    /// Words of Gitea's and Forgejo's sources: routers/api/v1/api.go, services/context/api.go.
    #[test]
    fn understands_the_answers() {
        let cases = [
            (201, r#"{"id":1,"status":"success"}"#, "ok", ""),
            (
                401,
                r#"{"message":"user does not exist [uid: 0, name: ]","url":"https://try.gitea.io/api/swagger"}"#,
                "unauthorized",
                "401 user does not exist [uid: 0, name: ]",
            ),
            (
                403,
                r#"{"message":"token does not have at least one of required scope(s): [write:repository]"}"#,
                "forbidden",
                "403 token does not have at least one of required scope(s): [write:repository]",
            ),
            (
                404,
                r#"{"message":"The target couldn't be found.","errors":[]}"#,
                "not-found",
                "404 The target couldn't be found.",
            ),
            (
                404,
                r#"{"message":"The target couldn't be found.","errors":["sha"]}"#,
                "unknown commit",
                "404 The target couldn't be found.; sha",
            ),
            (422, r#"{"message":"[]: EOF"}"#, "rejected", "422 []: EOF"),
            (
                500,
                r#"{"message":"","url":"https://try.gitea.io/api/swagger"}"#,
                "ambiguous",
                "500 Internal Server Error",
            ),
            (502, "<html>", "ambiguous", "502 Bad Gateway"),
        ];
        for (code, body, expected, message) in cases {
            let outcome = Gitea::classify(
                &Answer {
                    status: StatusCode::from_u16(code).unwrap(),
                    headers: &headers(&[]),
                    body,
                },
                State::Success,
                now(),
            );
            assert_eq!(decision(&outcome), expected, "{code} {body}");
            assert_eq!(outcome.err().as_ref().map_or("", PostError::message), message);
        }
    }

    #[test]
    fn asks_about_the_commit_where_the_answer_does_not_tell() {
        let repository = Repository::parse(HostKind::Gitea, "https://try.gitea.io/foo/bar", false).unwrap();
        let sha = SHA.parse().unwrap();
        let status = CommitStatus {
            repository: &repository,
            sha: &sha,
            context: "c",
            summary: None,
            state: State::Success,
            description: "d",
            target_url: None,
        };
        let doubt = |code| {
            let answer = Answer {
                status: StatusCode::from_u16(code).unwrap(),
                headers: &headers(&[]),
                body: "{}",
            };
            Gitea::doubt(&answer, &status)
        };
        let question = doubt(500).unwrap();
        assert_eq!(question.method, Method::GET);
        assert_eq!(
            question.url,
            format!("https://try.gitea.io/api/v1/repos/foo/bar/git/commits/{SHA}")
        );
        for code in [201, 404, 502, 503] {
            assert_eq!(doubt(code), None, "{code}");
        }
    }
}
