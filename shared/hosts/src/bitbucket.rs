//! Bitbucket Cloud: <https://developer.atlassian.com/cloud/bitbucket/rest/api-group-commit-statuses/>.

use http::{Method, StatusCode};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use shared::State;

use crate::address::{Address, Location};
use crate::answer::{Answer, joined, texts};
use crate::credential::{Access, Credential, CredentialError, Keys};
use crate::request::{HostRequest, cut, encode_path};
use crate::{CommitStatus, Host, Pace, PostError, Repository};

pub(crate) struct Bitbucket;

const HOST: &str = "bitbucket.org";

const HOST_WITH_PORT: &str = "bitbucket.org:";

const API: &str = "https://api.bitbucket.org/2.0";

/// Length of the name's column.
const MAX_NAME_CHARS: usize = 255;

/// No limit is documented; what GitLab takes is more than any description has.
const MAX_DESCRIPTION_CHARS: usize = 255;

/// Found by others: <https://github.com/jenkinsci/bitbucket-branch-source-plugin/pull/928>.
const MAX_URL_CHARS: usize = 450;

impl Host for Bitbucket {
    const TYPE: &'static str = "bitbucket";
    const ADDRESS: &'static str = "https://bitbucket.org/WORKSPACE/REPOSITORY";

    // 1,000 requests an hour and user, a burst included:
    // https://support.atlassian.com/bitbucket-cloud/docs/api-request-limits/
    const PACE: Pace = Pace {
        interval_millis: 4_000,
        burst: 60,
        one_at_a_time: false,
    };

    const MAX_CONTEXT_CHARS: usize = MAX_NAME_CHARS;

    fn locate(address: &Address<'_>) -> Result<Location, String> {
        let location = address.owner_and_name()?;
        if address.host != HOST && !address.is_loopback {
            return Err(format!("Bitbucket Cloud is not at `{}`", address.host));
        }
        Ok(location)
    }

    /// As upstream, `<user>:<password>`, which is an e-mail address and an API token since there are no app passwords any
    /// more (<https://support.atlassian.com/bitbucket-cloud/docs/using-api-tokens/>); and repository, project and workspace
    /// access tokens, which have no user: <https://support.atlassian.com/bitbucket-cloud/docs/using-access-tokens/>.
    fn access(keys: &Keys, _username: Option<&str>) -> Result<Access, CredentialError> {
        let token = keys.token()?.ok_or(CredentialError::Missing {
            key: "token",
            expected: "`<e-mail>:<API token>` or an access token",
        })?;
        let credential = match token.expose_secret().split_once(':') {
            None => Credential::bearer(&token)?,
            Some((user, password)) if !user.is_empty() && !password.is_empty() && !password.contains(':') => {
                Credential::basic(user, &password.into())?
            }
            Some(_) => return Err(CredentialError::NotUserAndPassword),
        };
        Ok(Access::Direct(credential))
    }

    fn request(status: &CommitStatus<'_>) -> HostRequest {
        let (repository, sha) = (status.repository, status.sha.as_str());
        let path = encode_path(&repository.path);
        let url = match status.target_url {
            // It would take what stands in braces for a template.
            Some(url) if url.chars().count() <= MAX_URL_CHARS => url.replace('{', "%7B").replace('}', "%7D"),
            _ => format!("https://bitbucket.org/{path}/commits/{sha}"),
        };
        HostRequest {
            method: Method::POST,
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

    fn classify(answer: &Answer<'_>, _wanted: State, now: Timestamp) -> Result<(), PostError> {
        let body = answer.json();
        let text = text(&body);
        if answer.status == StatusCode::NOT_FOUND && is_about_the_commit(&body, &text) {
            return Err(PostError::UnknownCommit(answer.message(&text)));
        }
        answer.classify(&text, now)
    }
}

/// Bitbucket's key has 40 characters; upstream hashes likewise, so that its statuses are taken over.
pub(crate) fn key(context: &str) -> String {
    hex::encode(Sha1::digest(context))
}

/// A host on this machine stands in for all of Bitbucket.
fn api(repository: &Repository) -> String {
    let host = repository.authority.as_str();
    if host == HOST || host.starts_with(HOST_WITH_PORT) {
        API.to_owned()
    } else {
        format!("{}/2.0", repository.root())
    }
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
    use super::*;
    use crate::HostKind;
    use crate::answer::testing::{decision, headers, now};
    use crate::status::{self, testing::SHA};

    fn posted<'a>(address: &str, change: impl FnOnce(&mut CommitStatus<'a>)) -> HostRequest {
        status::testing::posted(HostKind::Bitbucket, address, change)
    }

    // notification-controller internal/notifier/bitbucket_test.go: basic; util_test.go: sha1.
    #[test]
    fn p18_posts_as_upstream_does_but_for_url_and_name() {
        let request = posted("https://bitbucket.org/foo/bar", |s| {
            s.context = "kustomization/namespace-foo-and-service-bar";
        });

        assert_eq!(
            request,
            HostRequest {
                method: Method::POST,
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
            let outcome = Bitbucket::classify(
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
