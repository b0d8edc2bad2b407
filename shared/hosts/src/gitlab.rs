//! GitLab: <https://docs.gitlab.com/api/commits/#set-commit-pipeline-status>.

use http::header::HeaderName;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::State;

use crate::address::{Address, Location};
use crate::answer::{Answer, joined, texts};
use crate::credential::{Access, Credential, CredentialError, Keys};
use crate::request::{HostRequest, cut, encode, encode_path};
use crate::{CommitStatus, Host, Pace, PostError, Repository, refusal};

pub(crate) struct GitLab;

/// Path below which GitLab serves its API; names the install's own path when it stands in an address.
const PROJECTS: &str = "/api/v4/projects/";

/// Length of GitLab's columns for description, name and address alike.
const MAX_CHARS: usize = 255;

impl Host for GitLab {
    const TYPE: &'static str = "gitlab";
    const ADDRESS: &'static str = "https://gitlab.com/GROUP/PROJECT or https://gitlab.com/PROJECT_ID";

    // gitlab.com allows 2,000 authenticated API requests a minute and user:
    // https://docs.gitlab.com/user/gitlab_com/#rate-limits-on-gitlabcom
    const PACE: Pace = Pace {
        interval_millis: 100,
        burst: 50,
        one_at_a_time: false,
    };

    const MAX_CONTEXT_CHARS: usize = MAX_CHARS;

    /// A GitLab below a path of its own is named by its API: `https://host/gitlab/api/v4/projects/group%2Fproject`, or a
    /// project id in place of the path.
    fn locate(address: &Address<'_>) -> Result<Location, String> {
        let (base_path, path) = match address.whole_path.split_once(PROJECTS) {
            Some((base_path, path)) => {
                let path = path.trim_matches('/');
                let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
                (base_path.trim_end_matches('/'), path)
            }
            None => ("", address.path),
        };
        address.below(base_path, path, |parts| {
            parts.len() > 1
                || parts
                    .iter()
                    .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        })
    }

    fn access(keys: &Keys, _username: Option<&str>) -> Result<Access, CredentialError> {
        let token = keys.token_or_password("an access token with scope `api`")?;
        let credential = Credential::bare(HeaderName::from_static("private-token"), &token)?;
        Ok(Access::Direct(credential))
    }

    fn request(status: &CommitStatus<'_>) -> HostRequest {
        let mut body = json!({
            "state": match status.state {
                State::Pending => "pending",
                State::Success => "success",
                State::Failure => "failed",
                State::Superseded => "canceled",
            },
            "name": cut(status.context, MAX_CHARS),
            "description": cut(status.description, MAX_CHARS),
        });
        // Half an address leads nowhere, and a longer one is refused with everything else.
        if let Some(target_url) = status.target_url.filter(|url| url.chars().count() <= MAX_CHARS) {
            body["target_url"] = target_url.into();
        }
        let Repository {
            scheme,
            authority,
            base_path,
            path,
            ..
        } = status.repository;
        HostRequest {
            method: Method::POST,
            url: format!(
                "{scheme}://{authority}{}/api/v4/projects/{}/statuses/{}",
                encode_path(base_path),
                // GitLab's router takes what follows a dot for a format.
                encode(path, b"-_~"),
                status.sha.as_str()
            ),
            headers: &[],
            body,
        }
    }

    fn classify(answer: &Answer<'_>, wanted: State, now: Timestamp) -> Result<(), PostError> {
        let text = text(&answer.json());
        let says = |words: &str| text.to_ascii_lowercase().contains(words);
        match answer.status {
            StatusCode::BAD_REQUEST if says("cannot transition status") => {
                if shown(&text).is_some_and(|shown| shows(shown, wanted)) {
                    return Ok(());
                }
                let message = answer.message(&text);
                Err(PostError::permanent(refusal::CANNOT_TRANSITION, message))
            }
            // On no branch, too: GitLab needs one to hang the status on.
            StatusCode::NOT_FOUND if says("commit not found") || says("references for commit") => {
                Err(PostError::UnknownCommit(answer.message(&text)))
            }
            StatusCode::UNPROCESSABLE_ENTITY if says("number of jobs") => {
                Err(PostError::permanent(refusal::STATUS_LIMIT, answer.message(&text)))
            }
            // Its limits are of a minute, and one that is used up was used too fast:
            // <https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/#response-headers>
            StatusCode::TOO_MANY_REQUESTS => {
                Err(answer.rate_limited(answer.epoch("ratelimit-reset"), true, &text, now))
            }
            _ => answer.classify(&text, now),
        }
    }

    /// It may have been told which addresses to take.
    fn minds_the_target_url(answer: &Answer<'_>) -> bool {
        answer.status == StatusCode::BAD_REQUEST && answer.json()["message"]["target_url"].is_array()
    }
}

/// The state GitLab shows, from `Cannot transition status via :enqueue from :pending (Reason(s): …)`.
fn shown(text: &str) -> Option<&str> {
    let (_, from) = text.split_once(" from :")?;
    let end = from.find(|c: char| !c.is_ascii_lowercase() && c != '_');
    Some(&from[..end.unwrap_or(from.len())])
}

/// Whether people see what was wanted. GitLab has more words for what has not ended.
fn shows(shown: &str, wanted: State) -> bool {
    match wanted {
        State::Pending => matches!(
            shown,
            "created" | "waiting_for_resource" | "preparing" | "pending" | "running" | "manual" | "scheduled"
        ),
        State::Success => shown == "success",
        State::Failure => shown == "failed",
        State::Superseded => shown == "canceled",
    }
}

/// `message`, or what stands in its place where an earlier layer of GitLab answers.
fn text(body: &Value) -> String {
    match texts(&body["message"]) {
        message if message.is_empty() => joined([texts(&body["error"]), texts(&body["error_description"])]),
        message => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostKind;
    use crate::answer::testing::{NOW, decision, headers, now};
    use crate::status::{self, testing::SHA};

    fn posted<'a>(address: &str, change: impl FnOnce(&mut CommitStatus<'a>)) -> HostRequest {
        status::testing::posted(HostKind::GitLab, address, change)
    }

    // notification-controller internal/notifier/gitlab_test.go: basic, sub-groups, self-hosted.
    #[test]
    fn p18_posts_as_upstream_does() {
        let request = posted("https://gitlab.com/foo/bar", |_| {});

        assert_eq!(
            request,
            HostRequest {
                method: Method::POST,
                url: format!("https://gitlab.com/api/v4/projects/foo%2Fbar/statuses/{SHA}"),
                headers: &[],
                body: json!({
                    "state": "success",
                    "name": "kustomization/gitops-system/0c9c2e41",
                    "description": "apply succeeded",
                }),
            }
        );
    }

    #[test]
    fn finds_the_project() {
        let cases = [
            (
                "https://gitlab.com/foo/bar/baz",
                "https://gitlab.com/api/v4/projects/foo%2Fbar%2Fbaz",
            ),
            (
                "git@gitlab.com:foo/bar.git",
                "https://gitlab.com/api/v4/projects/foo%2Fbar",
            ),
            (
                "https://example.com/foo/bar",
                "https://example.com/api/v4/projects/foo%2Fbar",
            ),
            (
                "https://gitlab.com/12345",
                "https://gitlab.com/api/v4/projects/12345",
            ),
            (
                "https://gitlab.com/foo/bar.io",
                "https://gitlab.com/api/v4/projects/foo%2Fbar%2Eio",
            ),
            (
                "https://gitlab.com/foo/a%3Fb",
                "https://gitlab.com/api/v4/projects/foo%2Fa%3Fb",
            ),
            (
                "http://127.0.0.1:9000/foo/bar",
                "http://127.0.0.1:9000/api/v4/projects/foo%2Fbar",
            ),
            (
                "https://example.com/git%20lab/api/v4/projects/foo%2Fbar",
                "https://example.com/git%20lab/api/v4/projects/foo%2Fbar",
            ),
        ];
        for (address, url) in cases {
            assert_eq!(
                posted(address, |_| {}).url,
                format!("{url}/statuses/{SHA}"),
                "{address}"
            );
        }
    }

    #[test]
    fn says_it_in_the_words_and_lengths_of_the_host() {
        for (state, word) in [
            (State::Pending, "pending"),
            (State::Success, "success"),
            (State::Failure, "failed"),
            (State::Superseded, "canceled"),
        ] {
            assert_eq!(
                posted("https://gitlab.com/o/r", |s| s.state = state).body["state"],
                word
            );
        }
        let text = "é".repeat(256);
        let request = posted("https://gitlab.com/o/r", |s| {
            s.description = &text;
            s.context = &text;
            s.target_url = Some("https://example.com/x");
        });
        let cut = format!("{}…", "é".repeat(254));
        assert_eq!(
            request.body,
            json!({"state": "success", "name": cut, "description": cut, "target_url": "https://example.com/x"})
        );
        let address = format!("https://example.com/{}", "x".repeat(255));
        let request = posted("https://gitlab.com/o/r", |s| s.target_url = Some(&address));
        assert_eq!(request.body.get("target_url"), None);
    }

    fn answered(
        code: u16,
        fields: &[(&'static str, &str)],
        body: &str,
        wanted: State,
    ) -> Result<(), PostError> {
        GitLab::classify(
            &Answer {
                status: StatusCode::from_u16(code).unwrap(),
                headers: &headers(fields),
                body,
            },
            wanted,
            now(),
        )
    }

    // Events and states: gitlab-org/gitlab app/models/commit_status.rb.
    #[test]
    fn what_it_already_shows_is_a_success() {
        use State::{Failure, Pending, Success};
        let cases = [
            (Pending, "enqueue", "created", "ok"),
            (Pending, "enqueue", "waiting_for_resource", "ok"),
            (Pending, "enqueue", "preparing", "ok"),
            (Pending, "enqueue", "pending", "ok"),
            (Pending, "enqueue", "running", "ok"),
            (Pending, "enqueue", "manual", "ok"),
            (Pending, "enqueue", "scheduled", "ok"),
            (Pending, "enqueue", "success", "cannot-transition"),
            (Pending, "enqueue", "failed", "cannot-transition"),
            (Pending, "enqueue", "canceled", "cannot-transition"),
            (Success, "success", "success", "ok"),
            (Success, "success", "failed", "cannot-transition"),
            (Success, "success", "running", "cannot-transition"),
            (Failure, "drop", "failed", "ok"),
            (Failure, "drop", "success", "cannot-transition"),
            (Failure, "drop", "canceling", "cannot-transition"),
        ];
        for (wanted, event, shown, expected) in cases {
            for reason in ["", r#" (Reason(s): Status cannot transition via \"enqueue\")"#] {
                let body =
                    format!(r#"{{"message":"Cannot transition status via :{event} from :{shown}{reason}"}}"#);
                assert_eq!(
                    decision(&answered(400, &[], &body, wanted)),
                    expected,
                    "{wanted} {body}"
                );
            }
        }
        let odd = r#"{"message":"Cannot transition status"}"#;
        assert_eq!(decision(&answered(400, &[], odd, Pending)), "cannot-transition");
    }

    #[test]
    fn understands_the_answers() {
        let reset = (NOW + 40).to_string();
        let limited = [("ratelimit-remaining", "0"), ("ratelimit-reset", reset.as_str())];
        let both = [("ratelimit-reset", reset.as_str()), ("retry-after", "17")];
        type Case<'a> = (u16, &'a [(&'static str, &'a str)], &'a str, &'a str, &'a str);
        let cases: &[Case<'_>] = &[
            (201, &[], r#"{"id":93,"status":"success"}"#, "ok", ""),
            (
                400,
                &[],
                r#"{"message":{"description":["is too long (maximum is 255 characters)"]}}"#,
                "rejected",
                "400 description: is too long (maximum is 255 characters)",
            ),
            (
                400,
                &[],
                r#"{"error":"state does not have a valid value"}"#,
                "rejected",
                "400 state does not have a valid value",
            ),
            (
                401,
                &[],
                r#"{"message":"401 Unauthorized"}"#,
                "unauthorized",
                "401 Unauthorized",
            ),
            (
                401,
                &[],
                r#"{"error":"invalid_token","error_description":"Token is expired."}"#,
                "unauthorized",
                "401 invalid_token; Token is expired.",
            ),
            (
                403,
                &[],
                r#"{"message":"403 Forbidden"}"#,
                "forbidden",
                "403 Forbidden",
            ),
            (
                403,
                &[],
                r#"{"error":"insufficient_scope","error_description":"The request requires higher privileges","scope":"api"}"#,
                "forbidden",
                "403 insufficient_scope; The request requires higher privileges",
            ),
            (
                404,
                &[],
                r#"{"message":"404 Project Not Found"}"#,
                "not-found",
                "404 Project Not Found",
            ),
            (
                404,
                &[],
                r#"{"error":"404 Not Found"}"#,
                "not-found",
                "404 Not Found",
            ),
            (
                404,
                &[],
                r#"{"message":"404 Commit Not Found"}"#,
                "unknown commit",
                "404 Commit Not Found",
            ),
            (
                404,
                &[],
                r#"{"message":"404 References for commit Not Found"}"#,
                "unknown commit",
                "404 References for commit Not Found",
            ),
            (
                409,
                &[],
                r#"{"message":"Another update to this commit status is in progress"}"#,
                "conflict",
                "409 Another update to this commit status is in progress",
            ),
            (410, &[], "", "gone", "410 Gone"),
            (
                422,
                &[],
                r#"{"message":"The number of jobs has exceeded the limit"}"#,
                "status-limit",
                "422 The number of jobs has exceeded the limit",
            ),
            (422, &[], r#"{"message":"odd"}"#, "rejected", "422 odd"),
            (429, &limited, "Retry later\n", "until +40", "429 Retry later"),
            (429, &both, "Retry later\n", "until +17", "429 Retry later"),
            (
                429,
                &[],
                r#"{"message":{"error":"This endpoint has been requested too many times. Try again later."}}"#,
                "until +60",
                "429 error: This endpoint has been requested too many times. Try again later.",
            ),
            (
                500,
                &[],
                r#"{"message":"500 Internal Server Error"}"#,
                "ambiguous",
                "500 Internal Server Error",
            ),
            (502, &[], "<html>", "ambiguous", "502 Bad Gateway"),
        ];
        for (code, fields, body, expected, message) in cases {
            let outcome = answered(*code, fields, body, State::Success);
            assert_eq!(decision(&outcome), *expected, "{code} {body}");
            assert_eq!(
                outcome.err().as_ref().map_or("", |error| error.message().trim()),
                *message
            );
        }
    }
}
