//! Bitbucket Data Center, once Server:
//! <https://developer.atlassian.com/server/bitbucket/how-tos/updating-build-status-for-commits/>.

use http::StatusCode;
use serde_json::json;

use super::wire::{Fields, is_longer, is_sha};
use super::{Answer, Facts, Key, Memory, Received, Request, Rules, Token};

/// Of key and name.
const MAX_CHARS: usize = 255;
const MAX_URL_CHARS: usize = 450;

const STATES: [&str; 5] = ["SUCCESSFUL", "FAILED", "INPROGRESS", "CANCELLED", "UNKNOWN"];

#[derive(Debug)]
pub(super) struct BitbucketServer;

impl Rules for BitbucketServer {
    fn facts(&self) -> Facts {
        Facts {
            title: "Bitbucket Data Center",
            example: "/scm/acme/fleet.git",
            needs_user: false,
            words: ["INPROGRESS", "SUCCESSFUL", "FAILED", "CANCELLED"],
        }
    }

    fn posted_to(&self, path: &[&str]) -> Option<(String, String)> {
        match path {
            [
                ..,
                "rest",
                "api",
                "latest" | "1.0",
                "projects",
                project,
                "repos",
                name,
                "commits",
                sha,
                "builds",
            ] => Some((format!("{project}/{name}"), (*sha).to_owned())),
            _ => None,
        }
    }

    fn context(&self, fields: &Fields) -> (String, Option<String>) {
        let key = fields.text_or_nothing("key").unwrap_or_default();
        (key.to_owned(), fields.text_or_nothing("name").map(str::to_owned))
    }

    /// Keys of projects are in capitals, and in small letters in addresses for Git.
    fn key(&self, repository: &str, sha: &str, context: &str) -> Key {
        Key::new(repository.to_lowercase(), sha, context)
    }

    fn answer(&mut self, request: &Request<'_>, memory: &mut Memory) -> Result<Answer, Answer> {
        let Some((repository, sha)) = request.posted(|path| self.posted_to(path)) else {
            let text = "HTTP 404 Not Found";
            return Err(error(StatusCode::NOT_FOUND, None, text, None));
        };
        // Asked for where a browser might have been made to send it; whoever always sends it is safe. The words are from
        // <https://support.atlassian.com/atlassian-cloud/kb/xsrf-check-failed-when-calling-cloud-apis>.
        if request.header("x-atlassian-token") != Some("no-check") {
            return Err(Answer::plain(StatusCode::FORBIDDEN, "XSRF check failed"));
        }
        let token = user(request, memory)?;
        let key = self.key(&repository, &sha, "");
        if !memory.repositories.has(&key.repository) {
            let text = format!("Repository {repository} does not exist.");
            let exception = "repository.NoSuchRepositoryException";
            return Err(error(StatusCode::NOT_FOUND, None, &text, Some(exception)));
        }
        if !token.may_write {
            // 401 here too: only the exception tells who is not known from who may not.
            let text = "You are not permitted to access this resource";
            let exception = "AuthorisationException";
            return Err(error(StatusCode::UNAUTHORIZED, None, text, Some(exception)));
        }
        let by = token.user.clone();
        if !request.says_json() {
            return Err(Answer::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let fields = request
            .fields()
            .map_err(|_| invalid(None, "The request body is not a valid JSON object."))?;
        let text = |name: &'static str| match fields.text(name) {
            Ok(text) => Ok(text.unwrap_or_default().to_owned()),
            Err(_) => Err(invalid(Some(name), "A text is expected here.")),
        };
        let (context, url, state) = (text("key")?, text("url")?, text("state")?);
        let (name, description) = (text("name")?, text("description")?);
        for (field, value, chars) in [("key", &context, MAX_CHARS), ("url", &url, MAX_URL_CHARS)] {
            if value.trim().is_empty() || is_longer(value, chars) {
                let text = format!("The {field} must not be blank nor longer than {chars} characters.");
                return Err(invalid(Some(field), &text));
            }
        }
        if is_longer(&name, MAX_CHARS) {
            let text = format!("The name must not be longer than {MAX_CHARS} characters.");
            return Err(invalid(Some("name"), &text));
        }
        if !STATES.contains(&state.as_str()) {
            let text = format!("'{state}' is not a valid state.");
            return Err(invalid(Some("state"), &text));
        }
        if !is_sha(&sha) {
            return Err(invalid(None, &format!("'{sha}' is not a valid commit hash.")));
        }
        let key = self.key(&repository, &sha, &context);
        if !memory.knows(&key) {
            // As where a commit is read; that it is looked up for a status as well is not documented.
            let text = format!("Commit '{sha}' does not exist in repository '{repository}'.");
            let exception = "commit.NoSuchCommitException";
            return Err(error(StatusCode::NOT_FOUND, None, &text, Some(exception)));
        }
        let some = |text: String| (!text.is_empty()).then_some(text);
        memory.put(Received {
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
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }
}

/// Access tokens come alone, or in the place of a password:
/// <https://confluence.atlassian.com/bitbucketserver091/http-access-tokens-1443038354.html>.
fn user<'a>(request: &Request<'_>, memory: &'a Memory) -> Result<&'a Token, Answer> {
    if request.header("authorization").is_none() {
        let text = "You are not permitted to access this resource";
        let body = json!({ "errors": [{
            "context": null,
            "message": text,
            "exceptionName": "com.atlassian.plugins.rest.api.security.exception.AuthenticationRequiredException",
        }] });
        return Err(Answer::json(StatusCode::UNAUTHORIZED, body));
    }
    let token = match request.basic() {
        Some((user, secret)) => memory.by_password(&user, &secret).or_else(|| {
            let token = memory.by_secret(&secret);
            token.filter(|token| token.user == user)
        }),
        None => request
            .authorization(&["bearer"])
            .and_then(|secret| memory.by_secret(secret)),
    };
    token.ok_or_else(|| {
        let text = "Authentication failed. Please check your credentials and try again.";
        let exception = "auth.IncorrectPasswordAuthenticationException";
        error(StatusCode::UNAUTHORIZED, None, text, Some(exception))
    })
}

fn invalid(field: Option<&str>, text: &str) -> Answer {
    error(StatusCode::BAD_REQUEST, field, text, None)
}

fn error(status: StatusCode, context: Option<&str>, text: &str, exception: Option<&str>) -> Answer {
    let exception = exception.map(|name| format!("com.atlassian.bitbucket.{name}"));
    let body = json!({ "errors": [{ "context": context, "message": text, "exceptionName": exception }] });
    Answer::json(status, body)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::testing::*;
    use super::super::{HostKind, Post, StandIn};
    use super::*;

    fn good() -> Ask {
        Ask::post(
            &format!("/bitbucket/rest/api/latest/projects/ACME/repos/fleet/commits/{SHA}/builds"),
            &[
                ("authorization", "Bearer x"),
                ("x-atlassian-token", "no-check"),
                ("content-type", "application/json"),
            ],
            json!({ "key": "12ea", "url": "https://example.com", "state": "FAILED", "name": "dev/apps" }),
        )
    }

    fn stand_in() -> StandIn {
        let mut host = StandIn::new(HostKind::BitbucketServer, Token::new("bot", "x"));
        host.set_token(Token::password("jane", "y"));
        host
    }

    #[test]
    fn refuses_what_breaks_a_rule() {
        let said = |context: Value, message: &str, exception: Value| {
            let error = json!({ "context": context, "message": message, "exceptionName": exception });
            json!({ "errors": [error] })
        };
        let fault = |context: &str, message: &str| said(context.into(), message, Value::Null);
        let not_found = said(Value::Null, "HTTP 404 Not Found", Value::Null);
        let no_object = said(
            Value::Null,
            "The request body is not a valid JSON object.",
            Value::Null,
        );
        let wrong = said(
            Value::Null,
            "Authentication failed. Please check your credentials and try again.",
            "com.atlassian.bitbucket.auth.IncorrectPasswordAuthenticationException".into(),
        );
        let anonymous = said(
            Value::Null,
            "You are not permitted to access this resource",
            "com.atlassian.plugins.rest.api.security.exception.AuthenticationRequiredException".into(),
        );
        let key = fault("key", "The key must not be blank nor longer than 255 characters.");
        let url = fault("url", "The url must not be blank nor longer than 450 characters.");
        let cases: &[(Change, u16, Value)] = &[
            (|ask| ask.aim("/rest", ""), 404, not_found.clone()),
            (|ask| ask.aim("latest", "2.0"), 404, not_found.clone()),
            (|ask| ask.aim("/builds", ""), 404, not_found.clone()),
            (|ask| ask.method = "GET", 404, not_found),
            (
                |ask| ask.without("x-atlassian-token"),
                403,
                "XSRF check failed".into(),
            ),
            (
                |ask| ask.header("x-atlassian-token", "check"),
                403,
                "XSRF check failed".into(),
            ),
            (|ask| ask.without("authorization"), 401, anonymous),
            (|ask| ask.header("authorization", "Bearer z"), 401, wrong.clone()),
            // jane:z, jane:x, and one that needs its user.
            (
                |ask| ask.header("authorization", "Basic amFuZTp6"),
                401,
                wrong.clone(),
            ),
            (
                |ask| ask.header("authorization", "Basic amFuZTp4"),
                401,
                wrong.clone(),
            ),
            (|ask| ask.header("authorization", "Bearer y"), 401, wrong),
            (|ask| ask.without("content-type"), 415, Value::Null),
            (|ask| ask.raw = Some("{"), 400, no_object.clone()),
            (|ask| ask.raw = Some("[]"), 400, no_object),
            (|ask| ask.unset("key"), 400, key.clone()),
            (|ask| ask.set("key", " "), 400, key.clone()),
            (|ask| ask.set("key", "é".repeat(256)), 400, key),
            (
                |ask| ask.set("key", 1),
                400,
                fault("key", "A text is expected here."),
            ),
            (|ask| ask.unset("url"), 400, url.clone()),
            (|ask| ask.set("url", "x".repeat(451)), 400, url),
            (
                |ask| ask.set("name", "é".repeat(256)),
                400,
                fault("name", "The name must not be longer than 255 characters."),
            ),
            (
                |ask| ask.unset("state"),
                400,
                fault("state", "'' is not a valid state."),
            ),
            (
                |ask| ask.set("state", "STOPPED"),
                400,
                fault("state", "'STOPPED' is not a valid state."),
            ),
            (
                |ask| ask.aim(SHA, "a1afe26"),
                400,
                said(Value::Null, "'a1afe26' is not a valid commit hash.", Value::Null),
            ),
        ];
        asserts_refusals(&mut stand_in(), &good(), cases);
    }

    #[test]
    fn takes_what_just_keeps_to_the_rules() {
        let cases: &[Change] = &[
            |ask| ask.aim("/bitbucket", ""),
            |ask| ask.aim("latest", "1.0"),
            |ask| ask.aim("ACME", "~jane"),
            // jane:y, and bot:x
            |ask| ask.header("authorization", "Basic amFuZTp5"),
            |ask| ask.header("authorization", "Basic Ym90Ong="),
            |ask| ask.set("key", "é".repeat(255)),
            |ask| ask.set("url", "x".repeat(450)),
            |ask| ask.set("name", "é".repeat(255)),
            |ask| ask.unset("name"),
            |ask| ask.set("state", "SUCCESSFUL"),
            |ask| ask.set("state", "INPROGRESS"),
            |ask| ask.set("state", "CANCELLED"),
            |ask| ask.set("state", "UNKNOWN"),
        ];
        asserts_taken(&mut stand_in(), &good(), cases);
        assert_eq!(told(&good().send(&mut stand_in())), (204, Value::Null));
    }

    #[test]
    fn knows_only_what_it_is_told() {
        let mut host = stand_in();
        let exception = |host: &mut StandIn| {
            let (status, body) = told(&good().send(host));
            let name = body["errors"][0]["exceptionName"].as_str().unwrap().to_owned();
            (
                status,
                name,
                body["errors"][0]["message"].as_str().unwrap().to_owned(),
            )
        };
        host.forget_commit(SHA);
        let expected = (
            404,
            "com.atlassian.bitbucket.commit.NoSuchCommitException".to_owned(),
            format!("Commit '{SHA}' does not exist in repository 'ACME/fleet'."),
        );
        assert_eq!(exception(&mut host), expected);
        host.set_token(Token::new("bot", "x").read_only());
        let expected = (
            401,
            "com.atlassian.bitbucket.AuthorisationException".to_owned(),
            "You are not permitted to access this resource".to_owned(),
        );
        assert_eq!(exception(&mut host), expected);
        host.forget_repository("acme/fleet");
        let expected = (
            404,
            "com.atlassian.bitbucket.repository.NoSuchRepositoryException".to_owned(),
            "Repository ACME/fleet does not exist.".to_owned(),
        );
        assert_eq!(exception(&mut host), expected);
    }

    #[test]
    fn a_key_has_one_row_which_the_last_post_fills() {
        let mut host = stand_in();
        let cases: &[(Change, u64)] = &[
            (|ask| ask.set("description", "first"), 1),
            (|ask| ask.set("key", "12EA"), 2),
            (|ask| ask.aim(SHA, OTHER_SHA), 3),
            (|ask| ask.aim("fleet", "apps"), 4),
            (
                |ask| {
                    ask.aim("ACME", "acme");
                    ask.set("state", "SUCCESSFUL");
                },
                1,
            ),
        ];
        for (change, id) in cases {
            assert_eq!(good().changed(*change).send(&mut host).status, 204);
            assert_eq!(host.received().last().unwrap().id, *id);
        }
        assert_eq!(seen(host.received().first()), Some(("FAILED", "first")));
        let shown = host.shown("Acme/fleet", SHA, "12ea");
        assert_eq!(seen(shown), Some(("SUCCESSFUL", "")));
        assert_eq!(shown.unwrap().name.as_deref(), Some("dev/apps"));
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
        assert_eq!(good().read(HostKind::BitbucketServer), Some(post));
        assert_eq!(good().read(HostKind::Bitbucket), None);
    }
}
