//! Bitbucket Cloud: <https://developer.atlassian.com/cloud/bitbucket/rest/api-group-commit-statuses/>.

use std::net::IpAddr;

use jiff::Timestamp;
use reqwest::StatusCode;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use shared::{Repository, State};

use super::answer::{Answer, joined, texts};
use super::credential::{Credential, CredentialError, Keys};
use super::request::{HostRequest, cut, encode_path};
use super::{Adapter, CommitStatus, PostError};

pub(super) const ADAPTER: Adapter = Adapter {
    credential,
    request,
    classify,
};

const API: &str = "https://api.bitbucket.org/2.0";

/// Length of the name's column.
const MAX_NAME_CHARS: usize = 255;

/// No limit is documented; what GitLab takes is more than any description has.
const MAX_DESCRIPTION_CHARS: usize = 255;

/// Found by others: <https://github.com/jenkinsci/bitbucket-branch-source-plugin/pull/928>.
const MAX_URL_CHARS: usize = 450;

/// As upstream, and repository, project and workspace access tokens, which have no user:
/// <https://support.atlassian.com/bitbucket-cloud/docs/using-access-tokens/>.
fn credential(keys: &Keys) -> Result<Credential, CredentialError> {
    let token = keys.token()?.ok_or(CredentialError::Missing {
        key: "token",
        expected: "`<user>:<app password>` or an access token",
    })?;
    match token.expose_secret().split_once(':') {
        None => Credential::bearer(&token),
        Some((user, password)) if !user.is_empty() && !password.is_empty() && !password.contains(':') => {
            Credential::basic(&token, password)
        }
        Some(_) => Err(CredentialError::NotUserAndPassword),
    }
}

fn request(status: &CommitStatus<'_>) -> HostRequest {
    let (repository, sha) = (status.repository, status.sha.as_str());
    let path = encode_path(&repository.path);
    let url = match status.target_url {
        Some(url) if url.chars().count() <= MAX_URL_CHARS => url.to_owned(),
        _ => format!("https://bitbucket.org/{path}/commits/{sha}"),
    };
    HostRequest {
        url: format!(
            "{}/repositories/{path}/commit/{sha}/statuses/build",
            api(repository)
        ),
        headers: &[],
        body: json!({
            "key": key(status.context),
            "url": url,
            "state": match status.state {
                State::Pending => "INPROGRESS",
                State::Success => "SUCCESSFUL",
                State::Failure => "FAILED",
                State::Superseded => "STOPPED",
            },
            // Upstream's kind and name would be the same for every cluster.
            "name": cut(status.context, MAX_NAME_CHARS),
            "description": cut(status.description, MAX_DESCRIPTION_CHARS),
        }),
    }
}

/// Bitbucket's key has 40 characters; upstream hashes likewise, so that its statuses are taken over.
fn key(context: &str) -> String {
    hex::encode(Sha1::digest(context))
}

/// A host on this machine stands in for all of Bitbucket.
fn api(repository: &Repository) -> String {
    if is_loopback(&repository.authority) {
        format!("{}/2.0", repository.root())
    } else {
        API.to_owned()
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(ipv6) => ipv6.split(']').next(),
        None => authority.split(':').next(),
    }
    .unwrap_or_default();
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn classify(answer: &Answer<'_>, _wanted: State, now: Timestamp) -> Result<(), PostError> {
    let body = answer.json();
    let text = text(&body);
    if answer.status == StatusCode::NOT_FOUND && is_about_the_commit(&body, &text) {
        return Err(PostError::UnknownCommit(answer.message(&text)));
    }
    answer.classify(&text, now)
}

fn is_about_the_commit(body: &Value, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    body["error"]["data"]["shas"].is_array()
        // Repositories are called what you like.
        || !text.contains("repository") && (text.contains("commit") || text.contains("changeset"))
}

/// `error.message`, and what explains it.
fn text(body: &Value) -> String {
    let error = &body["error"];
    joined([&error["message"], &error["detail"], &error["fields"]].map(texts))
}

#[cfg(test)]
mod tests {
    use super::super::answer::testing::{decision, headers, now};
    use super::*;
    use shared::{CommitSha, HostKind};

    const SHA: &str = "a1afe267b54f38b46b487f6e938a6fd508278c07";

    fn posted<'a>(address: &str, change: impl FnOnce(&mut CommitStatus<'a>)) -> HostRequest {
        let repository = Box::leak(Box::new(Repository::parse(HostKind::Bitbucket, address).unwrap()));
        let sha: &CommitSha = Box::leak(Box::new(SHA.parse().unwrap()));
        let mut status = CommitStatus {
            repository,
            sha,
            context: "kustomization/namespace-foo-and-service-bar",
            state: State::Success,
            description: "apply succeeded",
            target_url: None,
        };
        change(&mut status);
        request(&status)
    }

    // notification-controller internal/notifier/bitbucket_test.go: basic; util_test.go: sha1.
    #[test]
    fn p18_posts_as_upstream_does_but_for_url_and_name() {
        let request = posted("https://bitbucket.org/foo/bar", |_| {});

        assert_eq!(
            request,
            HostRequest {
                url: format!(
                    "https://api.bitbucket.org/2.0/repositories/foo/bar/commit/{SHA}/statuses/build"
                ),
                headers: &[],
                body: json!({
                    "key": "12ea142172e98435e16336acbbed8919610922c3",
                    "url": format!("https://bitbucket.org/foo/bar/commits/{SHA}"),
                    "state": "SUCCESSFUL",
                    "name": "kustomization/namespace-foo-and-service-bar",
                    "description": "apply succeeded",
                }),
            }
        );
    }

    #[test]
    fn finds_the_api() {
        let cases = [
            (
                "git@bitbucket.org:foo/bar.git",
                "https://api.bitbucket.org/2.0/repositories/foo/bar",
            ),
            (
                "https://bitbucket.org:8443/foo/bar",
                "https://api.bitbucket.org/2.0/repositories/foo/bar",
            ),
            (
                "https://bitbucket.org/foo/%7Bx%7D",
                "https://api.bitbucket.org/2.0/repositories/foo/%7Bx%7D",
            ),
            (
                "http://127.0.0.1:9000/foo/bar",
                "http://127.0.0.1:9000/2.0/repositories/foo/bar",
            ),
            (
                "http://[::1]:9000/foo/bar",
                "http://[::1]:9000/2.0/repositories/foo/bar",
            ),
            (
                "http://localhost/foo/bar",
                "http://localhost/2.0/repositories/foo/bar",
            ),
        ];
        for (address, url) in cases {
            assert_eq!(
                posted(address, |_| {}).url,
                format!("{url}/commit/{SHA}/statuses/build"),
                "{address}"
            );
        }
    }

    #[test]
    fn says_it_in_the_words_and_lengths_of_the_host() {
        for (state, word) in [
            (State::Pending, "INPROGRESS"),
            (State::Success, "SUCCESSFUL"),
            (State::Failure, "FAILED"),
            (State::Superseded, "STOPPED"),
        ] {
            let request = posted("https://bitbucket.org/o/r", |s| s.state = state);
            assert_eq!(request.body["state"], word);
        }
        let text = "é".repeat(256);
        let request = posted("https://bitbucket.org/o/r", |s| {
            s.description = &text;
            s.context = &text;
            s.target_url = Some("https://example.com/x");
        });
        let cut = format!("{}…", "é".repeat(254));
        assert_eq!(request.body["name"], cut);
        assert_eq!(request.body["description"], cut);
        assert_eq!(request.body["url"], "https://example.com/x");
        assert_eq!(request.body["key"].as_str().map(str::len), Some(40));

        let address = format!("https://example.com/{}", "x".repeat(450));
        let request = posted("https://bitbucket.org/o/r", |s| s.target_url = Some(&address));
        assert_eq!(
            request.body["url"],
            format!("https://bitbucket.org/o/r/commits/{SHA}")
        );
    }

    #[test]
    fn understands_the_answers() {
        type Case<'a> = (u16, &'a [(&'static str, &'a str)], &'a str, &'a str, &'a str);
        let cases: &[Case<'_>] = &[
            (201, &[], r#"{"type":"build","key":"12ea"}"#, "ok", ""),
            (200, &[], "{}", "ok", ""),
            (
                400,
                &[],
                r#"{"type": "error", "error": {"fields": {"url": ["Enter a valid URL."]}, "message": "Bad request"}}"#,
                "rejected",
                "400 Bad request; url: Enter a valid URL.",
            ),
            (
                401,
                &[],
                r#"{"type":"error","error":{"message":"Token is invalid, expired, or not supported for this endpoint."}}"#,
                "unauthorized",
                "401 Token is invalid, expired, or not supported for this endpoint.",
            ),
            (401, &[], "", "unauthorized", "401 Unauthorized"),
            (
                403,
                &[],
                r#"{"type":"error","error":{"message":"Your credentials lack one or more required privilege scopes.","detail":{"granted":["account"],"required":["repository:write"]}}}"#,
                "forbidden",
                "403 Your credentials lack one or more required privilege scopes.; granted: account; required: repository:write",
            ),
            (
                404,
                &[],
                r#"{"type": "error", "error": {"message": "The requested repository either does not exist or you do not have access. If you believe this repository exists and you have access, make sure you're authenticated."}}"#,
                "not-found",
                "404 The requested repository either does not exist or you do not have access. If you believe this repository exists and you have access, make sure you're authenticated.",
            ),
            (
                404,
                &[],
                r#"{"type":"error","error":{"message":"Repository acme/commit-tools not found"}}"#,
                "not-found",
                "404 Repository acme/commit-tools not found",
            ),
            (
                404,
                &[],
                r#"{"data":{"shas":["a1afe26"]},"type":"error","error":{"message":"Commit not found","data":{"shas":["a1afe26"]}}}"#,
                "unknown commit",
                "404 Commit not found",
            ),
            (
                404,
                &[],
                r#"{"type":"error","error":{"message":"Changeset not found."}}"#,
                "unknown commit",
                "404 Changeset not found.",
            ),
            (404, &[], "", "not-found", "404 Not Found"),
            (409, &[], "", "conflict", "409 Conflict"),
            (
                410,
                &[],
                r#"{"type":"error","error":{"message":"Resource removed"}}"#,
                "gone",
                "410 Resource removed",
            ),
            (
                429,
                &[],
                r#"{"type":"error","error":{"message":"Rate limit for this resource has been exceeded"}}"#,
                "until +60",
                "429 Rate limit for this resource has been exceeded",
            ),
            (
                429,
                &[("retry-after", "200")],
                "",
                "until +200",
                "429 Too Many Requests",
            ),
            (
                500,
                &[],
                r#"{"type":"error","error":{"message":"Something went wrong","id":"1cd96f69"}}"#,
                "ambiguous",
                "500 Something went wrong",
            ),
            (
                503,
                &[("content-type", "text/html")],
                "<html>",
                "ambiguous",
                "503 Service Unavailable",
            ),
        ];
        for (code, fields, body, expected, message) in cases {
            let outcome = classify(
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
