//! GitHub and GitHub Enterprise: <https://docs.github.com/en/rest/commits/statuses#create-a-commit-status>.

pub(crate) mod app;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::State;

use crate::answer::{Answer, joined, texts};
use crate::credential::{Access, Credential, CredentialError, Keys};
use crate::request::{HostRequest, cut, encode_path};
use crate::{CommitStatus, GitHubApp, Host, Pace, PostError, Repository, refusal};

pub(crate) struct GitHub;

/// More is a 422.
const MAX_DESCRIPTION_CHARS: usize = 140;

/// More is a 422.
const MAX_CONTEXT_CHARS: usize = 255;

const HEADERS: &[(&str, &str)] = &[
    ("accept", "application/vnd.github+json"),
    ("x-github-api-version", "2022-11-28"),
];

impl Host for GitHub {
    const TYPE: &'static str = "github";
    const ADDRESS: &'static str = "https://github.com/OWNER/REPOSITORY";

    // "Wait at least one second between each request", at most 80 content-generating requests a minute, and "make requests
    // serially instead of concurrently":
    // https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#avoid-concurrent-requests
    const PACE: Pace = Pace {
        interval_millis: 1_000,
        burst: 15,
        one_at_a_time: true,
    };

    const MAX_CONTEXT_CHARS: usize = MAX_CONTEXT_CHARS;

    /// Without case: <https://docs.github.com/en/rest/commits/statuses#get-the-combined-status-for-a-specific-reference>.
    fn context_key(context: &str, _summary: Option<&str>) -> String {
        context.to_lowercase()
    }

    fn access(keys: &Keys, _username: Option<&str>) -> Result<Access, CredentialError> {
        match keys.token_or_password("a token that may write commit statuses, or the keys of a GitHub App") {
            Err(CredentialError::Missing { .. }) if GitHubApp::is_in(keys) => {
                Ok(Access::GitHubApp(Box::new(GitHubApp::read(keys)?)))
            }
            token => Ok(Access::Direct(Credential::bearer(&token?)?)),
        }
    }

    fn request(status: &CommitStatus<'_>) -> HostRequest {
        let mut body = json!({
            "state": match status.state {
                State::Pending => "pending",
                State::Success => "success",
                State::Failure => "failure",
                // GitHub has no word for it; `error` is neither green nor the cluster's verdict.
                State::Superseded => "error",
            },
            "description": cut(status.description, MAX_DESCRIPTION_CHARS),
            "context": cut(status.context, MAX_CONTEXT_CHARS),
        });
        if let Some(target_url) = status.target_url {
            body["target_url"] = target_url.into();
        }
        HostRequest {
            method: Method::POST,
            url: format!(
                "{}/repos/{}/statuses/{}",
                api(status.repository),
                encode_path(&status.repository.path),
                status.sha.as_str()
            ),
            headers: HEADERS,
            body,
        }
    }

    fn classify(answer: &Answer<'_>, _wanted: State, now: Timestamp) -> Result<(), PostError> {
        classify(answer, now)
    }

    fn minds_the_target_url(answer: &Answer<'_>) -> bool {
        let text = text(&answer.json()).to_ascii_lowercase();
        answer.status == StatusCode::UNPROCESSABLE_ENTITY
            && (text.contains("target_url") || text.contains("target url"))
    }
}

/// As go-github's `WithEnterpriseURLs`, and with data residency at `ghe.com`, which it does not know:
/// <https://docs.github.com/en/enterprise-cloud@latest/admin/data-residency/network-details-for-ghecom>.
fn api(repository: &Repository) -> String {
    let authority = repository.authority.as_str();
    if matches!(authority, "github.com" | "www.github.com") {
        "https://api.github.com".to_owned()
    } else if authority.starts_with("api.") || authority.contains(".api.") {
        repository.root()
    } else if authority.ends_with(".ghe.com") {
        format!("https://api.{authority}")
    } else {
        format!("{}/api/v3", repository.root())
    }
}

fn classify(answer: &Answer<'_>, now: Timestamp) -> Result<(), PostError> {
    let text = text(&answer.json());
    let says = |words: &str| text.to_ascii_lowercase().contains(words);
    match answer.status {
        // The primary limit, unless a secondary one is met as well: `Retry-After` comes with those only.
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
            if answer.header("x-ratelimit-remaining") == Some("0") =>
        {
            let too_fast = answer.asks_to_wait() || says("secondary rate limit");
            Err(answer.rate_limited(answer.epoch("x-ratelimit-reset"), too_fast, &text, now))
        }
        // A secondary limit: the reset in the headers is that of the primary one. "Abuse" is what it was called.
        StatusCode::FORBIDDEN if says("rate limit") || says("abuse detection") => {
            Err(answer.rate_limited(None, true, &text, now))
        }
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::NOT_FOUND if says("no commit found") => {
            Err(PostError::UnknownCommit(answer.message(&text)))
        }
        StatusCode::UNPROCESSABLE_ENTITY if says("maximum number of statuses") => {
            Err(PostError::permanent(refusal::STATUS_LIMIT, answer.message(&text)))
        }
        _ => answer.classify(&text, now),
    }
}

/// `message`, and what `errors` adds to it.
fn text(body: &Value) -> String {
    let errors = match &body["errors"] {
        Value::Array(errors) => errors.as_slice(),
        // One text, since 2025.
        error => std::slice::from_ref(error),
    };
    let errors = errors.iter().map(|error| match &error["message"] {
        Value::String(message) => message.clone(),
        _ => texts(error),
    });
    joined(std::iter::once(texts(&body["message"])).chain(errors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostKind;
    use crate::answer::testing::{NOW, decision, headers, now};
    use crate::status::{self, testing::SHA};

    fn posted<'a>(address: &str, change: impl FnOnce(&mut CommitStatus<'a>)) -> HostRequest {
        status::testing::posted(HostKind::GitHub, address, change)
    }

    // notification-controller internal/notifier/github_test.go: basic, enterprise.
    #[test]
    fn p18_posts_as_upstream_does() {
        let request = posted("https://github.com/foo/bar", |_| {});

        assert_eq!(
            request,
            HostRequest {
                method: Method::POST,
                url: format!("https://api.github.com/repos/foo/bar/statuses/{SHA}"),
                headers: &[
                    ("accept", "application/vnd.github+json"),
                    ("x-github-api-version", "2022-11-28"),
                ],
                body: json!({
                    "state": "success",
                    "description": "apply succeeded",
                    "context": "kustomization/gitops-system/0c9c2e41",
                }),
            }
        );
    }

    #[test]
    fn finds_the_api() {
        let cases = [
            ("https://github.com/o/r", "https://api.github.com/repos/o/r"),
            (
                "https://www.github.com/o/r.git",
                "https://api.github.com/repos/o/r",
            ),
            ("ssh://git@github.com/o/r", "https://api.github.com/repos/o/r"),
            ("https://foo.com/foo/bar", "https://foo.com/api/v3/repos/foo/bar"),
            (
                "https://ghes.acme.com:8443/o/r",
                "https://ghes.acme.com:8443/api/v3/repos/o/r",
            ),
            ("https://acme.ghe.com/o/r", "https://api.acme.ghe.com/repos/o/r"),
            (
                "https://api.acme.ghe.com/o/r",
                "https://api.acme.ghe.com/repos/o/r",
            ),
            ("https://api.github.com/o/r", "https://api.github.com/repos/o/r"),
            (
                "https://git.api.acme.com/o/r",
                "https://git.api.acme.com/repos/o/r",
            ),
            (
                "https://notgithub.com/o/r",
                "https://notgithub.com/api/v3/repos/o/r",
            ),
            (
                "http://127.0.0.1:9000/o/r",
                "http://127.0.0.1:9000/api/v3/repos/o/r",
            ),
            (
                "https://github.com/o/.github",
                "https://api.github.com/repos/o/.github",
            ),
            (
                "https://github.com/o/a%3Fb%23c",
                "https://api.github.com/repos/o/a%3Fb%23c",
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
            (State::Failure, "failure"),
            (State::Superseded, "error"),
        ] {
            assert_eq!(
                posted("https://github.com/o/r", |s| s.state = state).body["state"],
                word
            );
        }
        let (description, context) = ("é".repeat(141), "x".repeat(256));
        let request = posted("https://github.com/o/r", |s| {
            s.description = &description;
            s.context = &context;
            s.target_url = Some("https://example.com/x");
        });
        assert_eq!(
            request.body,
            json!({
                "state": "success",
                "description": format!("{}…", "é".repeat(139)),
                "context": format!("{}…", "x".repeat(254)),
                "target_url": "https://example.com/x",
            })
        );
    }

    #[test]
    fn understands_the_answers() {
        let reset = (NOW + 900).to_string();
        let primary = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", reset.as_str()),
        ];
        let passed = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1700000000"),
        ];
        let nonsense = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "9999999999"),
        ];
        let both = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", reset.as_str()),
            ("retry-after", "30"),
        ];
        let secondary = [
            ("x-ratelimit-remaining", "4711"),
            ("x-ratelimit-reset", reset.as_str()),
        ];
        let secondary_text = r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again.","documentation_url":"https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits"}"#;
        type Case<'a> = (u16, &'a [(&'static str, &'a str)], &'a str, &'a str, &'a str);
        let cases: &[Case<'_>] = &[
            (201, &[], r#"{"id":1,"state":"success"}"#, "ok", ""),
            (200, &[], "", "ok", ""),
            (
                401,
                &[],
                r#"{"message":"Bad credentials","documentation_url":"https://docs.github.com/rest","status":"401"}"#,
                "unauthorized",
                "401 Bad credentials",
            ),
            (
                403,
                &[("x-ratelimit-remaining", "4999")],
                r#"{"message":"Resource not accessible by personal access token","status":"403"}"#,
                "forbidden",
                "403 Resource not accessible by personal access token",
            ),
            (
                403,
                &[],
                r#"{"message":"Repository was archived so is read-only."}"#,
                "forbidden",
                "403 Repository was archived so is read-only.",
            ),
            (
                403,
                &primary,
                r#"{"message":"API rate limit exceeded for installation ID 1."}"#,
                "used up until +900",
                "403 API rate limit exceeded for installation ID 1.",
            ),
            (
                429,
                &primary,
                r#"{"message":"API rate limit exceeded"}"#,
                "used up until +900",
                "429 API rate limit exceeded",
            ),
            (403, &passed, "{}", "used up until +60", "403 {}"),
            (403, &nonsense, "", "used up until +86400", "403 Forbidden"),
            (403, &both, "", "until +30", "403 Forbidden"),
            (
                403,
                &primary,
                secondary_text,
                "until +900",
                "403 You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            ),
            (
                403,
                &secondary,
                secondary_text,
                "until +60",
                "403 You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            ),
            (
                429,
                &secondary,
                secondary_text,
                "until +60",
                "429 You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            ),
            (403, &[("retry-after", "120")], "{}", "until +120", "403 {}"),
            (
                403,
                &[],
                r#"{"message":"You have triggered an abuse detection mechanism. Please wait."}"#,
                "until +60",
                "403 You have triggered an abuse detection mechanism. Please wait.",
            ),
            (
                404,
                &[],
                r#"{"message":"Not Found","status":"404"}"#,
                "not-found",
                "404 Not Found",
            ),
            (409, &[], r#"{"message":"Conflict"}"#, "conflict", "409 Conflict"),
            (
                410,
                &[],
                r#"{"message":"This repository is gone"}"#,
                "gone",
                "410 This repository is gone",
            ),
            (
                422,
                &[],
                r#"{"message":"No commit found for SHA: a1afe267b54f38b46b487f6e938a6fd508278c07","status":"422"}"#,
                "unknown commit",
                "422 No commit found for SHA: a1afe267b54f38b46b487f6e938a6fd508278c07",
            ),
            (
                422,
                &[],
                r#"{"message":"Validation Failed","errors":[{"resource":"Status","code":"custom","message":"This SHA and context has reached the maximum number of statuses."}],"documentation_url":"https://docs.github.com/rest/commits/statuses#create-a-commit-status"}"#,
                "status-limit",
                "422 Validation Failed; This SHA and context has reached the maximum number of statuses.",
            ),
            (
                422,
                &[],
                r#"{"message":"Validation Failed","errors":[{"resource":"Status","code":"too_long","field":"description"},"odd"]}"#,
                "rejected",
                "422 Validation Failed; code: too_long; field: description; resource: Status; odd",
            ),
            (500, &[], "", "ambiguous", "500 Internal Server Error"),
            (
                502,
                &[("content-type", "text/html")],
                "<html>Unicorn!</html>",
                "ambiguous",
                "502 Bad Gateway",
            ),
        ];
        for (code, fields, body, expected, message) in cases {
            let outcome = GitHub::classify(
                &Answer {
                    status: StatusCode::from_u16(*code).unwrap(),
                    headers: &headers(fields),
                    body,
                },
                State::Success,
                now(),
            );
            assert_eq!(decision(&outcome), *expected, "{code} {body}");
            assert_eq!(outcome.err().as_ref().map_or("", PostError::message), *message);
        }
    }
}
