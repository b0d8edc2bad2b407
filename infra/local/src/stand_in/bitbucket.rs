//! Bitbucket Cloud:
//! <https://developer.atlassian.com/cloud/bitbucket/rest/api-group-commit-statuses/#api-repositories-workspace-repo-slug-commit-commit-statuses-build-post>.

use http::StatusCode;
use serde_json::{Value, json};

use super::wire::{Fields, is_longer, is_sha, is_web_address};
use super::{Answer, Facts, Key, Memory, Received, Request, Rules, Token};

/// Found by others: <https://github.com/buildbot/buildbot/issues/7049>.
const MAX_KEY_CHARS: usize = 40;
/// Found by others: <https://github.com/jenkinsci/bitbucket-branch-source-plugin/pull/928>.
const MAX_NAME_CHARS: usize = 255;
const MAX_URL_CHARS: usize = 450;

const STATES: [&str; 4] = ["INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"];

#[derive(Debug)]
pub(super) struct Bitbucket;

impl Rules for Bitbucket {
    fn facts(&self) -> Facts {
        Facts {
            title: "Bitbucket Cloud",
            example: "/acme/fleet",
            needs_user: true,
            words: ["INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"],
        }
    }

    fn posted_to(&self, path: &[&str]) -> Option<(String, String)> {
        match path {
            [
                "2.0",
                "repositories",
                workspace,
                name,
                "commit",
                sha,
                "statuses",
                "build",
            ] => Some((format!("{workspace}/{name}"), (*sha).to_owned())),
            _ => None,
        }
    }

    fn context(&self, fields: &Fields) -> (String, Option<String>) {
        let key = fields.text_or_nothing("key").unwrap_or_default();
        (key.to_owned(), fields.text_or_nothing("name").map(str::to_owned))
    }

    fn key(&self, repository: &str, sha: &str, context: &str) -> Key {
        Key::new(repository, sha, context)
    }

    fn answer(&mut self, request: &Request<'_>, memory: &mut Memory) -> Result<Answer, Answer> {
        let Some((repository, sha)) = request.posted(|path| self.posted_to(path)) else {
            let body = json!({
                "message": "Resource not found",
                "detail": "There is no API hosted at this URL.",
            });
            return Err(error(StatusCode::NOT_FOUND, body));
        };
        let token = user(request, memory)?;
        if !memory.repositories.has(&repository) {
            let text = "The requested repository either does not exist or you do not have access. If you believe this \
                        repository exists and you have access, make sure you're authenticated.";
            return Err(error(StatusCode::NOT_FOUND, json!({ "message": text })));
        }
        if !token.may_write {
            let body = json!({
                "message": "Your credentials lack one or more required privilege scopes.",
                "detail": { "granted": ["repository"], "required": ["repository:write"] },
            });
            return Err(error(StatusCode::FORBIDDEN, body));
        }
        let by = token.user.clone();
        let fields = request
            .fields()
            .map_err(|_| error(StatusCode::BAD_REQUEST, json!({ "message": "Bad request" })))?;
        let text = |name: &str| match fields.text(name) {
            Ok(text) => Ok(text.unwrap_or_default().to_owned()),
            Err(_) => Err(invalid(name, "Not a valid string.")),
        };
        let (context, url, state) = (text("key")?, text("url")?, text("state")?);
        let (name, description) = (text("name")?, text("description")?);
        for (field, value) in [("key", &context), ("url", &url), ("state", &state)] {
            if value.is_empty() {
                return Err(invalid(field, "This field is required."));
            }
        }
        for (field, value, chars) in [
            ("key", &context, MAX_KEY_CHARS),
            ("name", &name, MAX_NAME_CHARS),
            ("url", &url, MAX_URL_CHARS),
        ] {
            if is_longer(value, chars) {
                let has = value.chars().count();
                let text = format!("Ensure this value has at most {chars} characters (it has {has}).");
                return Err(invalid(field, &text));
            }
        }
        if !STATES.contains(&state.as_str()) {
            let text = format!("Select a valid choice. {state} is not one of the available choices.");
            return Err(invalid("state", &text));
        }
        if !is_web_address(&url) {
            return Err(invalid("url", "Enter a valid URL."));
        }
        let key = self.key(&repository, &sha, &context);
        if !is_sha(&sha) || !memory.knows(&key) {
            let body = json!({ "message": "Commit not found", "data": { "shas": [sha] } });
            return Err(error(StatusCode::NOT_FOUND, body));
        }
        let some = |text: String| (!text.is_empty()).then_some(text);
        let taken = memory.put(Received {
            id: 0,
            key,
            repository,
            sha,
            context,
            name: some(name),
            state,
            description: some(description),
            target_url: Some(url),
            by,
            at: request.now,
        });
        let body = json!({
            "type": "build",
            "key": taken.context,
            "name": taken.name,
            "state": taken.state,
            "description": taken.description,
            "url": taken.target_url,
            "updated_on": taken.at,
        });
        // The documentation has no other answer, whether there was one or not.
        Ok(Answer::json(StatusCode::CREATED, body))
    }
}

/// Access tokens of a repository, project or workspace come alone:
/// <https://support.atlassian.com/bitbucket-cloud/docs/using-access-tokens/>. API tokens come with the user's address for
/// mail, as app passwords came with the user's name: <https://support.atlassian.com/bitbucket-cloud/docs/using-api-tokens/>.
fn user<'a>(request: &Request<'_>, memory: &'a Memory) -> Result<&'a Token, Answer> {
    let token = match request.basic() {
        Some((user, password)) => memory.by_password(&user, &password),
        None => request
            .authorization(&["bearer"])
            .and_then(|secret| memory.by_secret(secret)),
    };
    token.ok_or_else(|| {
        let text = "Token is invalid, expired, or not supported for this endpoint.";
        error(StatusCode::UNAUTHORIZED, json!({ "message": text }))
            .header("www-authenticate", "Basic realm=\"Bitbucket.org HTTP\"")
    })
}

fn invalid(field: &str, text: &str) -> Answer {
    let body = json!({ "message": format!("{field}: {text}"), "fields": { field: [text] } });
    error(StatusCode::BAD_REQUEST, body)
}

fn error(status: StatusCode, error: Value) -> Answer {
    Answer::json(status, json!({ "type": "error", "error": error }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{HostKind, Post, StandIn};
    use super::*;

    fn good() -> Ask {
        Ask::post(
            &format!("/2.0/repositories/acme/fleet/commit/{SHA}/statuses/build"),
            &[("authorization", "Bearer x")],
            json!({ "key": "12ea", "url": "https://example.com", "state": "FAILED", "name": "dev/apps" }),
        )
    }

    fn stand_in() -> StandIn {
        let mut host = StandIn::new(HostKind::Bitbucket, Token::new("bot", "x"));
        host.set_token(Token::password("jane@example.com", "y"));
        host
    }

    #[test]
    fn refuses_what_breaks_a_rule() {
        let fault = |name: &str, text: &str| {
            let message = format!("{name}: {text}");
            json!({ "type": "error", "error": { "message": message, "fields": { name: [text] } } })
        };
        let message = |text: &str| json!({ "type": "error", "error": { "message": text } });
        let unauthorized = message("Token is invalid, expired, or not supported for this endpoint.");
        let not_found = json!({ "type": "error", "error": {
            "message": "Resource not found",
            "detail": "There is no API hosted at this URL.",
        } });
        let required = "This field is required.";
        let choice = |state| format!("Select a valid choice. {state} is not one of the available choices.");
        let cases: &[(Change, u16, Value)] = &[
            (|ask| ask.aim("/2.0", ""), 404, not_found.clone()),
            (|ask| ask.aim("/2.0", "/x/2.0"), 404, not_found.clone()),
            (|ask| ask.aim("/build", ""), 404, not_found.clone()),
            (|ask| ask.method = "GET", 404, not_found),
            (|ask| ask.without("authorization"), 401, unauthorized.clone()),
            (
                |ask| ask.header("authorization", "Bearer z"),
                401,
                unauthorized.clone(),
            ),
            // jane@example.com:z, bot:x, and one that needs its user.
            (
                |ask| ask.header("authorization", "Basic amFuZUBleGFtcGxlLmNvbTp6"),
                401,
                unauthorized.clone(),
            ),
            (
                |ask| ask.header("authorization", "Basic Ym90Ong="),
                401,
                unauthorized.clone(),
            ),
            (|ask| ask.header("authorization", "Bearer y"), 401, unauthorized),
            (|ask| ask.raw = Some("{"), 400, message("Bad request")),
            (|ask| ask.raw = Some("[]"), 400, message("Bad request")),
            (|ask| ask.unset("key"), 400, fault("key", required)),
            (|ask| ask.set("key", ""), 400, fault("key", required)),
            (|ask| ask.unset("url"), 400, fault("url", required)),
            (|ask| ask.unset("state"), 400, fault("state", required)),
            (|ask| ask.set("key", 1), 400, fault("key", "Not a valid string.")),
            (
                |ask| ask.set("key", "x".repeat(41)),
                400,
                fault("key", "Ensure this value has at most 40 characters (it has 41)."),
            ),
            (
                |ask| ask.set("name", "é".repeat(256)),
                400,
                fault(
                    "name",
                    "Ensure this value has at most 255 characters (it has 256).",
                ),
            ),
            (
                |ask| ask.set("url", format!("https://h/{}", "x".repeat(441))),
                400,
                fault(
                    "url",
                    "Ensure this value has at most 450 characters (it has 451).",
                ),
            ),
            (
                |ask| ask.set("url", "example.com"),
                400,
                fault("url", "Enter a valid URL."),
            ),
            (
                |ask| ask.set("url", "ftp://example.com"),
                400,
                fault("url", "Enter a valid URL."),
            ),
            (
                |ask| ask.set("state", "CANCELLED"),
                400,
                fault("state", &choice("CANCELLED")),
            ),
            (
                |ask| ask.set("state", "failed"),
                400,
                fault("state", &choice("failed")),
            ),
            (
                |ask| ask.aim(SHA, "a1afe26"),
                404,
                json!({ "type": "error", "error": { "message": "Commit not found", "data": { "shas": ["a1afe26"] } } }),
            ),
        ];
        asserts_refusals(&mut stand_in(), &good(), cases);
        let answer = good()
            .changed(|ask| ask.without("authorization"))
            .send(&mut stand_in());
        assert!(
            answer
                .headers
                .contains(&("www-authenticate", "Basic realm=\"Bitbucket.org HTTP\"".into()))
        );
    }

    #[test]
    fn takes_what_just_keeps_to_the_rules() {
        let cases: &[Change] = &[
            |ask| ask.header("authorization", "Basic amFuZUBleGFtcGxlLmNvbTp5"),
            |ask| ask.set("key", "x".repeat(40)),
            |ask| ask.set("name", "é".repeat(255)),
            |ask| ask.set("url", format!("https://h/{}", "x".repeat(440))),
            |ask| ask.set("description", "x".repeat(1_000)),
            |ask| ask.unset("name"),
            |ask| ask.set("state", "INPROGRESS"),
            |ask| ask.set("state", "SUCCESSFUL"),
            |ask| ask.set("state", "STOPPED"),
        ];
        asserts_taken(&mut stand_in(), &good(), cases);
    }

    #[test]
    fn knows_only_what_it_is_told() {
        let mut host = stand_in();
        host.know_only_commits([OTHER_SHA]);
        let unknown =
            json!({ "type": "error", "error": { "message": "Commit not found", "data": { "shas": [SHA] } } });
        assert_eq!(told(&good().send(&mut host)), (404, unknown));
        host.set_token(Token::new("bot", "x").read_only());
        let scope = json!({ "type": "error", "error": {
            "message": "Your credentials lack one or more required privilege scopes.",
            "detail": { "granted": ["repository"], "required": ["repository:write"] },
        } });
        assert_eq!(told(&good().send(&mut host)), (403, scope));
        host.forget_repository("acme/fleet");
        let (status, body) = told(&good().send(&mut host));
        let text = "The requested repository either does not exist or you do not have access. If you believe this repository exists and you have access, make sure you're authenticated.";
        assert_eq!((status, &body["error"]["message"]), (404, &text.into()));
    }

    #[test]
    fn a_key_has_one_row_which_the_last_post_fills() {
        let mut host = stand_in();
        let cases: &[(Change, u64)] = &[
            (|ask| ask.set("description", "first"), 1),
            (|ask| ask.set("key", "12EA"), 2),
            (|ask| ask.aim(SHA, OTHER_SHA), 3),
            (|ask| ask.aim("fleet", "apps"), 4),
            (|ask| ask.set("state", "SUCCESSFUL"), 1),
        ];
        for (change, id) in cases {
            assert_eq!(good().changed(*change).send(&mut host).status, 201);
            assert_eq!(host.received().last().unwrap().id, *id);
        }
        let shown = host.shown("acme/fleet", SHA, "12ea");
        assert_eq!(seen(shown), Some(("SUCCESSFUL", "")));
        assert_eq!(shown.unwrap().name.as_deref(), Some("dev/apps"));
        assert_eq!(host.received().len(), 5);
    }

    #[test]
    fn answers_with_the_status() {
        let ask = good().changed(|ask| ask.set("description", "health check failed"));
        let status = json!({
            "type": "build",
            "key": "12ea",
            "name": "dev/apps",
            "state": "FAILED",
            "description": "health check failed",
            "url": "https://example.com",
            "updated_on": "2026-08-07T13:13:02Z",
        });
        assert_eq!(told(&ask.send(&mut stand_in())), (201, status));
    }

    #[test]
    fn says_what_a_request_is_about() {
        let post = Post {
            repository: "acme/fleet".into(),
            sha: SHA.into(),
            context: "12ea".into(),
            name: Some("dev/apps".into()),
            state: "FAILED".into(),
            credential: "Bearer x".into(),
        };
        assert_eq!(good().read(HostKind::Bitbucket), Some(post));
        assert_eq!(good().read(HostKind::BitbucketServer), None);
    }
}
