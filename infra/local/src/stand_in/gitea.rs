//! Gitea: <https://docs.gitea.com/api/#tag/repository/operation/repoCreateStatus>, and Forgejo, which is the same here. What
//! is not documented is from `routers/api/v1/repo/status.go`, `models/git/commit_status.go` and `services/context/api.go`
//! of <https://github.com/go-gitea/gitea>.

use http::StatusCode;
use serde_json::json;

use super::wire::{Fields, is_hex};
use super::{Answer, Facts, Key, Memory, Received, Request, Rules, Token};

const STATES: [&str; 6] = ["pending", "success", "error", "failure", "warning", "skipped"];

#[derive(Debug)]
pub(super) struct Gitea;

impl Rules for Gitea {
    fn facts(&self) -> Facts {
        Facts {
            title: "Gitea",
            example: "/acme/fleet",
            needs_user: false,
            words: ["pending", "success", "failure", "error"],
        }
    }

    fn posted_to(&self, path: &[&str]) -> Option<(String, String)> {
        match path {
            [.., "api", "v1", "repos", owner, name, "statuses", sha] => {
                Some((format!("{owner}/{name}"), (*sha).to_owned()))
            }
            _ => None,
        }
    }

    fn context(&self, fields: &Fields) -> (String, Option<String>) {
        let context = fields.text_or_nothing("context").unwrap_or_default();
        (context.to_owned(), None)
    }

    fn key(&self, repository: &str, sha: &str, context: &str) -> Key {
        Key::new(repository.to_lowercase(), sha, context.trim())
    }

    fn answer(&mut self, request: &Request<'_>, memory: &mut Memory) -> Result<Answer, Answer> {
        let Some((repository, sha)) = request.posted(|path| self.posted_to(path)) else {
            return self.read_commit(request, memory);
        };
        let refuse = |status, text: &str| Err(refusal(request, status, text));
        let token = user(request, memory)?;
        let key = self.key(&repository, &sha, "");
        if !memory.repositories.has(&key.repository) {
            return Err(not_found(request));
        }
        if !token.may_write {
            let text = "token does not have at least one of required scope(s): [write:repository]";
            return refuse(StatusCode::FORBIDDEN, text);
        }
        let by = token.user.clone();
        let Ok(fields) = request.fields() else {
            return refuse(StatusCode::UNPROCESSABLE_ENTITY, "[]: DeserializationError");
        };
        let text = |name: &str| match fields.text(name) {
            // All are trimmed when they are stored.
            Ok(text) => Ok(text.map(|text| text.trim().to_owned())),
            Err(_) => Err(refusal(
                request,
                StatusCode::UNPROCESSABLE_ENTITY,
                "[]: DeserializationError",
            )),
        };
        let (state, context) = (
            text("state")?.unwrap_or_default(),
            text("context")?.unwrap_or_default(),
        );
        let (description, target_url) = (text("description")?, text("target_url")?);
        let key = self.key(&repository, &sha, &context);
        // What went wrong is told to administrators only. What it answers for a commit it does not know, newer ones
        // may answer with 404. States are not looked at, and one that is longer than the column is an error of the
        // database; a short one would be stored, which helps nobody who posts one by mistake.
        if !is_sha(&sha) || !memory.knows(&key) || !STATES.contains(&state.as_str()) {
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, "");
        }
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let taken = memory.add(Received {
            id: 0,
            key,
            repository,
            sha,
            context,
            name: None,
            state,
            description: some(description),
            target_url: some(target_url),
            by,
            at: request.now,
        });
        let body = json!({
            "id": taken.id,
            // Asked for by another name.
            "status": taken.state,
            "target_url": taken.target_url.as_deref().unwrap_or_default(),
            "description": taken.description.as_deref().unwrap_or_default(),
            "context": taken.context,
            "creator": { "login": taken.by },
            "created_at": taken.at,
            "updated_at": taken.at,
        });
        Ok(Answer::json(StatusCode::CREATED, body))
    }
}

impl Gitea {
    /// <https://docs.gitea.com/api/#tag/repository/operation/repoGetSingleCommit>
    fn read_commit(&self, request: &Request<'_>, memory: &Memory) -> Result<Answer, Answer> {
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let [.., "api", "v1", "repos", owner, name, "git", "commits", sha] = segments.as_slice() else {
            return Err(not_found(request));
        };
        if request.method != "GET" {
            return Err(not_found(request));
        }
        user(request, memory)?;
        let key = self.key(&format!("{owner}/{name}"), sha, "");
        if !memory.repositories.has(&key.repository) || !is_sha(sha) || !memory.knows(&key) {
            return Err(not_found(request));
        }
        Ok(Answer::json(StatusCode::OK, json!({ "sha": key.sha })))
    }
}

/// In SHA-256 repositories names are longer.
fn is_sha(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_hex(text)
}

/// <https://docs.gitea.com/development/api-usage#authentication>
fn user<'a>(request: &Request<'_>, memory: &'a Memory) -> Result<&'a Token, Answer> {
    let refuse = |text| refusal(request, StatusCode::UNAUTHORIZED, text);
    let secret = request.authorization(&["token", "bearer"]);
    let secret = secret.ok_or_else(|| refuse("token is required"))?;
    let token = memory.by_secret(secret);
    token.ok_or_else(|| refuse("user does not exist [uid: 0, name: ]"))
}

fn not_found(request: &Request<'_>) -> Answer {
    refusal(request, StatusCode::NOT_FOUND, "The target couldn't be found.")
}

fn refusal(request: &Request<'_>, status: StatusCode, text: &str) -> Answer {
    let (root, _) = request.target.split_once("/api/").unwrap_or_default();
    let mut body = json!({ "message": text, "url": format!("{root}/api/swagger") });
    if status == StatusCode::NOT_FOUND {
        body["errors"] = json!([]);
    }
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
            &format!("/git/api/v1/repos/acme/fleet/statuses/{SHA}"),
            &[("authorization", "token x")],
            json!({ "state": "failure", "context": "dev/apps", "description": "health check failed", "target_url": "" }),
        )
    }

    fn stand_in() -> StandIn {
        StandIn::new(HostKind::Gitea, Token::new("bot", "x"))
    }

    fn said(message: &str) -> Value {
        json!({ "message": message, "url": "/git/api/swagger" })
    }

    fn not_found(root: &str) -> Value {
        json!({
            "message": "The target couldn't be found.",
            "url": format!("{root}/api/swagger"),
            "errors": [],
        })
    }

    #[test]
    fn refuses_what_breaks_a_rule() {
        let unreadable = said("[]: DeserializationError");
        let unknown = said("user does not exist [uid: 0, name: ]");
        let cases: &[(Change, u16, Value)] = &[
            (|ask| ask.aim("/v1", ""), 404, not_found("/git")),
            (|ask| ask.aim("/git/api/v1", ""), 404, not_found("")),
            (|ask| ask.aim("acme/", ""), 404, not_found("/git")),
            (|ask| ask.method = "GET", 404, not_found("/git")),
            (|ask| ask.without("authorization"), 401, said("token is required")),
            (
                |ask| ask.header("authorization", "Basic Ym90Ong="),
                401,
                said("token is required"),
            ),
            (|ask| ask.header("authorization", "token y"), 401, unknown),
            (|ask| ask.raw = Some("{"), 422, unreadable.clone()),
            (|ask| ask.raw = Some("[]"), 422, unreadable.clone()),
            (|ask| ask.set("context", 1), 422, unreadable),
            (|ask| ask.unset("state"), 500, said("")),
            (|ask| ask.set("state", "succeeded"), 500, said("")),
            (|ask| ask.set("state", "failed"), 500, said("")),
            (|ask| ask.aim(SHA, "a1afe26"), 500, said("")),
            (|ask| ask.aim(SHA, &SHA.replace('a', "g")), 500, said("")),
        ];
        asserts_refusals(&mut stand_in(), &good(), cases);
    }

    #[test]
    fn takes_what_just_keeps_to_the_rules() {
        let cases: &[Change] = &[
            |ask| ask.aim("/git", ""),
            |ask| ask.aim(SHA, &SHA.repeat(2)[..64]),
            |ask| ask.header("authorization", "Bearer x"),
            |ask| ask.set("context", "é".repeat(10_000)),
            |ask| ask.set("description", "é".repeat(10_000)),
            |ask| ask.unset("context"),
            |ask| ask.unset("target_url"),
            |ask| ask.set("state", "pending"),
            |ask| ask.set("state", "success"),
            |ask| ask.set("state", "error"),
            |ask| ask.set("state", "warning"),
            |ask| ask.set("state", "skipped"),
        ];
        asserts_taken(&mut stand_in(), &good(), cases);
    }

    #[test]
    fn knows_only_what_it_is_told() {
        let mut host = stand_in();
        host.forget_commit(SHA);
        assert_eq!(told(&good().send(&mut host)), (500, said("")));
        host.set_token(Token::new("bot", "x").read_only());
        let text = "token does not have at least one of required scope(s): [write:repository]";
        assert_eq!(told(&good().send(&mut host)), (403, said(text)));
        host.forget_repository("Acme/fleet");
        assert_eq!(told(&good().send(&mut host)), (404, not_found("/git")));
    }

    #[test]
    fn says_whether_it_has_a_commit() {
        let commit = |status, found: Change| {
            let mut host = stand_in();
            host.know_only_commits([SHA]);
            host.know_only_repositories(["acme/fleet"]);
            let mut ask = good();
            ask.method = "GET";
            ask.aim("/statuses/", "/git/commits/");
            let answer = ask.changed(found).send(&mut host);
            assert_eq!(answer.status, status, "{answer:?}");
            assert_eq!(host.received(), []);
            told(&answer).1
        };
        assert_eq!(commit(200, |_| ()), json!({ "sha": SHA }));
        commit(200, |ask| ask.aim("acme", "Acme"));
        assert_eq!(commit(404, |ask| ask.aim(SHA, OTHER_SHA)), not_found("/git"));
        commit(404, |ask| ask.aim(SHA, "main"));
        commit(404, |ask| ask.aim("fleet", "other"));
        commit(404, |ask| ask.method = "PUT");
        commit(401, |ask| ask.header("authorization", "token y"));
    }

    #[test]
    fn the_newest_wins_without_the_space_around_its_context() {
        let mut host = stand_in();
        let cases: &[(Change, &str)] = &[
            (|_| (), "failure"),
            (|ask| ask.set("state", "pending"), "pending"),
            (|ask| ask.set("context", "Dev/apps"), "pending"),
            (|ask| ask.aim(SHA, OTHER_SHA), "pending"),
            (
                |ask| {
                    ask.aim("acme/fleet", "Acme/Fleet");
                    ask.set("context", " dev/apps\n");
                    ask.set("description", " x ");
                },
                "failure",
            ),
        ];
        for (change, state) in cases {
            assert_eq!(good().changed(*change).send(&mut host).status, 201);
            let shown = host.shown("acme/fleet", SHA, "dev/apps ").unwrap();
            assert_eq!(shown.state, *state);
        }
        assert_eq!(
            seen(host.shown("acme/fleet", SHA, "dev/apps")),
            Some(("failure", "x"))
        );
        let ids: Vec<u64> = host.received().iter().map(|received| received.id).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn answers_with_the_status() {
        let ask = good().changed(|ask| ask.set("target_url", "https://example.com"));
        let status = json!({
            "id": 1,
            // Sent by another name.
            "status": "failure",
            "target_url": "https://example.com",
            "description": "health check failed",
            "context": "dev/apps",
            "creator": { "login": "bot" },
            "created_at": "2026-08-07T13:13:02Z",
            "updated_at": "2026-08-07T13:13:02Z",
        });
        assert_eq!(told(&ask.send(&mut stand_in())), (201, status));
    }

    #[test]
    fn says_what_a_request_is_about() {
        let post = Post {
            repository: "acme/fleet".into(),
            sha: SHA.into(),
            context: "dev/Apps".into(),
            name: None,
            state: "failure".into(),
            credential: "token x".into(),
        };
        let ask = good().changed(|ask| {
            ask.aim("acme", "ACME");
            ask.set("context", " dev/Apps ");
        });
        assert_eq!(ask.read(HostKind::Gitea), Some(post));
    }
}
