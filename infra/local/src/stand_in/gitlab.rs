//! GitLab: <https://docs.gitlab.com/api/commits/#set-commit-pipeline-status>. What is not documented is from
//! `lib/api/commit_statuses.rb`, `app/services/ci/create_commit_status_service.rb` and `app/models/commit_status.rb` of
//! <https://gitlab.com/gitlab-org/gitlab>.

use http::StatusCode;
use serde_json::{Value, json};

use super::wire::{BodyError, Fields, is_longer, is_sha, is_web_address};
use super::{Answer, Facts, Key, Memory, Received, Request, Rules, Token};

/// Length of most columns. That of the name has none, but nobody has a use for a longer one.
const MAX_CHARS: usize = 255;
/// Jobs of one pipeline, on the smallest plan of GitLab.com:
/// <https://docs.gitlab.com/administration/instance_limits/#maximum-number-of-jobs-in-a-pipeline>.
const MAX_JOBS: usize = 500;
/// Where the status hangs if nobody says where: the first branch that has the commit.
const BRANCH: &str = "main";

const STATES: [&str; 6] = ["pending", "running", "success", "failed", "canceled", "skipped"];

/// What statuses hang on. The first one of a commit makes it.
#[derive(Debug)]
struct Pipeline {
    id: u64,
    repository: String,
    sha: String,
    branch: String,
    /// The rows it has.
    jobs: Vec<u64>,
}

#[derive(Debug, Default)]
pub(super) struct GitLab {
    pipelines: Vec<Pipeline>,
}

impl Rules for GitLab {
    fn facts(&self) -> Facts {
        Facts {
            title: "GitLab",
            example: "/acme/fleet",
            needs_user: false,
            words: ["pending", "success", "failed", "canceled"],
        }
    }

    fn posted_to(&self, path: &[&str]) -> Option<(String, String)> {
        match path {
            [.., "api", "v4", "projects", project, "statuses", sha] => {
                Some(((*project).to_owned(), (*sha).to_owned()))
            }
            _ => None,
        }
    }

    fn context(&self, fields: &Fields) -> (String, Option<String>) {
        let name = fields
            .text_or_nothing("name")
            .or(fields.text_or_nothing("context"));
        (name.unwrap_or("default").to_owned(), None)
    }

    fn credential_headers(&self) -> &[&str] {
        &["private-token", "authorization"]
    }

    fn key(&self, repository: &str, sha: &str, context: &str) -> Key {
        Key::new(repository.to_lowercase(), sha, context)
    }

    fn answer(&mut self, request: &Request<'_>, memory: &mut Memory) -> Result<Answer, Answer> {
        let Some((repository, sha)) = request.posted(|path| self.posted_to(path)) else {
            let body = json!({ "error": "404 Not Found" });
            return Err(Answer::json(StatusCode::NOT_FOUND, body));
        };
        // What is not said to be JSON is a form, or nothing; JSON that is no object has no parameters.
        let fields = match request.fields() {
            Ok(fields) if request.says_json() => fields,
            Err(BodyError::NotJson) if request.says_json() => {
                return Err(error("message body does not match declared format"));
            }
            _ => Fields::default(),
        };
        let token = user(request, memory)?;
        if !token.may_write {
            let body = json!({
                "error": "insufficient_scope",
                "error_description": "The request requires higher privileges than provided by the access token.",
                "scope": "api",
            });
            return Err(Answer::json(StatusCode::FORBIDDEN, body));
        }
        let by = token.user.clone();
        let text = |name: &str| match fields.text(name) {
            Ok(text) => Ok(text.map(str::to_owned)),
            Err(Value::Number(number)) => Ok(Some(number.to_string())),
            Err(_) => Err(error(&format!("{name} is invalid"))),
        };
        let state =
            text("state")?.ok_or_else(|| error("state is missing, state does not have a valid value"))?;
        if !STATES.contains(&state.as_str()) {
            return Err(error("state does not have a valid value"));
        }
        let (name, context, branch) = (text("name")?, text("context")?, text("ref")?);
        let (description, target_url) = (text("description")?, text("target_url")?);
        let context = name.or(context).unwrap_or_else(|| "default".to_owned());
        let pipeline_id = match fields.value("pipeline_id") {
            None => None,
            Some(id) => Some(id.as_u64().ok_or_else(|| error("pipeline_id is invalid"))?),
        };
        let key = self.key(&repository, &sha, &context);
        if !memory.repositories.has(&key.repository) {
            return Err(message(StatusCode::NOT_FOUND, "404 Project Not Found"));
        }
        if !is_sha(&sha) || !memory.knows(&key) {
            return Err(message(StatusCode::NOT_FOUND, "404 Commit Not Found"));
        }
        let pipeline = self.pipeline(memory, &key, &by, pipeline_id, branch.as_deref())?;
        let before = self.running(memory, &key, &by, pipeline);
        let wanted = Received {
            id: before.map_or(0, |before| before.id),
            key,
            repository,
            sha,
            context,
            name: None,
            state,
            // What is not said stays.
            description: description.or_else(|| before?.description.clone()),
            target_url: target_url.or_else(|| before?.target_url.clone()),
            by,
            at: request.now,
        };
        validate(&wanted)?;
        transition(before.map_or("created", |before| &before.state), &wanted.state)?;
        let is_new = before.is_none();
        let taken = if is_new {
            memory.add(wanted)
        } else {
            memory.take(wanted)
        };
        let pipeline = &mut self.pipelines[pipeline];
        if is_new {
            pipeline.jobs.push(taken.id);
        }
        let body = json!({
            "id": taken.id,
            "sha": taken.sha,
            "ref": pipeline.branch,
            "pipeline_id": pipeline.id,
            "status": taken.state,
            "name": taken.context,
            "target_url": taken.target_url,
            "description": taken.description,
            "created_at": taken.at,
            "author": { "username": taken.by },
        });
        Ok(Answer::json(StatusCode::CREATED, body))
    }
}

impl GitLab {
    /// Where the newest pipeline stands that takes the status, if need be one that is made for it.
    fn pipeline(
        &mut self,
        memory: &Memory,
        key: &Key,
        by: &str,
        id: Option<u64>,
        branch: Option<&str>,
    ) -> Result<usize, Answer> {
        let newest = self.pipelines.iter().rposition(|pipeline| {
            pipeline.repository == key.repository
                && pipeline.sha == key.sha
                && branch.is_none_or(|branch| pipeline.branch == branch)
                && id.is_none_or(|id| pipeline.id == id)
        });
        if let Some(newest) = newest {
            let is_full = self.pipelines[newest].jobs.len() >= MAX_JOBS;
            if !is_full || self.running(memory, key, by, newest).is_some() {
                return Ok(newest);
            }
            if id.is_some() {
                let text = "The number of jobs has exceeded the limit";
                return Err(message(StatusCode::UNPROCESSABLE_ENTITY, text));
            }
        } else if id.is_some() {
            let text = "404 Pipeline for pipeline_id, sha and ref Not Found";
            return Err(message(StatusCode::NOT_FOUND, text));
        }
        let branch = branch.or(newest.map(|newest| self.pipelines[newest].branch.as_str()));
        let branch = branch.unwrap_or(BRANCH).to_owned();
        self.pipelines.push(Pipeline {
            id: self.pipelines.len() as u64 + 1,
            repository: key.repository.clone(),
            sha: key.sha.clone(),
            branch,
            jobs: Vec::new(),
        });
        Ok(self.pipelines.len() - 1)
    }

    /// The row that a post changes: one that has not ended, of the same name, by the same user.
    fn running<'a>(&self, memory: &'a Memory, key: &Key, by: &str, pipeline: usize) -> Option<&'a Received> {
        let jobs = &self.pipelines[pipeline].jobs;
        let mut of_the_user = memory
            .received
            .iter()
            .filter(|received| received.key == *key && received.by == by && jobs.contains(&received.id));
        of_the_user.find(|received| {
            let now = memory.received.iter().rfind(|other| other.id == received.id);
            let has_ended = !matches!(received.state.as_str(), "pending" | "running");
            now == Some(received) && !has_ended
        })
    }
}

/// <https://docs.gitlab.com/api/rest/authentication/#personalprojectgroup-access-tokens>
fn user<'a>(request: &Request<'_>, memory: &'a Memory) -> Result<&'a Token, Answer> {
    let secret = request
        .header("private-token")
        .or(request.authorization(&["bearer"]));
    let token = memory.by_secret(secret.unwrap_or_default());
    token.ok_or_else(|| message(StatusCode::UNAUTHORIZED, "401 Unauthorized"))
}

/// The ways between states that `app/models/commit_status.rb` knows.
fn transition(from: &str, wanted: &str) -> Result<(), Answer> {
    let (event, may) = match wanted {
        "pending" => ("enqueue", from == "created"),
        // It is first enqueued, if it was not.
        "running" => ("run", from != "running"),
        "success" => ("success", true),
        "failed" => ("drop", true),
        "canceled" => ("cancel", true),
        _ => ("skip", from != "running"),
    };
    if may {
        return Ok(());
    }
    let text = format!(
        "Cannot transition status via :{event} from :{from} (Reason(s): Status cannot transition via \"{event}\")"
    );
    Err(message(StatusCode::BAD_REQUEST, &text))
}

fn validate(wanted: &Received) -> Result<(), Answer> {
    let mut faults = json!({});
    let mut fault = |name: &str, text: String| faults[name] = json!([text]);
    let too_long = || format!("is too long (maximum is {MAX_CHARS} characters)");
    if wanted.context.is_empty() {
        fault("name", "can't be blank".to_owned());
    }
    if is_longer(&wanted.context, MAX_CHARS) {
        fault("name", too_long());
    }
    if is_longer(wanted.description.as_deref().unwrap_or_default(), MAX_CHARS) {
        fault("description", too_long());
    }
    if let Some(target_url) = &wanted.target_url {
        if is_longer(target_url, MAX_CHARS) {
            fault("target_url", too_long());
        } else if !is_web_address(target_url) {
            fault("target_url", "must be a valid URL".to_owned());
        }
    }
    if faults == json!({}) {
        return Ok(());
    }
    Err(Answer::json(
        StatusCode::BAD_REQUEST,
        json!({ "message": faults }),
    ))
}

fn message(status: StatusCode, text: &str) -> Answer {
    Answer::json(status, json!({ "message": text }))
}

/// Of a layer that knows the parameters only.
fn error(text: &str) -> Answer {
    let body: Value = json!({ "error": text });
    Answer::json(StatusCode::BAD_REQUEST, body)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{HostKind, Post, StandIn};
    use super::*;

    fn good() -> Ask {
        Ask::post(
            &format!("/api/v4/projects/acme%2Fplatform%2Ffleet/statuses/{SHA}"),
            &[("private-token", "glpat-x"), ("content-type", "application/json")],
            json!({ "state": "success", "name": "dev/apps", "description": "apply succeeded" }),
        )
    }

    fn stand_in() -> StandIn {
        let mut host = StandIn::new(HostKind::GitLab, Token::new("bot", "glpat-x"));
        host.set_token(Token::new("other", "glpat-other"));
        host
    }

    #[test]
    fn refuses_what_breaks_a_rule() {
        let (error, message) = (
            |text: &str| json!({ "error": text }),
            |text: &str| json!({ "message": text }),
        );
        let fault = |name: &str, text: &str| json!({ "message": { name: [text] } });
        let not_found = error("404 Not Found");
        let unauthorized = message("401 Unauthorized");
        let missing = error("state is missing, state does not have a valid value");
        let wrong = error("state does not have a valid value");
        let no_json = error("message body does not match declared format");
        let long = "is too long (maximum is 255 characters)";
        let cases: &[(Change, u16, Value)] = &[
            (|ask| ask.aim("/api/v4", "/api/v3"), 404, not_found.clone()),
            (|ask| ask.aim("%2F", "/"), 404, not_found.clone()),
            (|ask| ask.method = "GET", 404, not_found.clone()),
            (|ask| ask.method = "PUT", 404, not_found),
            (|ask| ask.without("private-token"), 401, unauthorized.clone()),
            (|ask| ask.header("private-token", "x"), 401, unauthorized.clone()),
            (
                |ask| {
                    ask.without("private-token");
                    ask.header("authorization", "token glpat-x");
                },
                401,
                unauthorized,
            ),
            (|ask| ask.without("content-type"), 400, missing.clone()),
            (
                |ask| ask.header("content-type", "text/plain"),
                400,
                missing.clone(),
            ),
            (|ask| ask.raw = Some("{"), 400, no_json),
            (|ask| ask.raw = Some("[]"), 400, missing.clone()),
            (|ask| ask.unset("state"), 400, missing),
            (|ask| ask.set("state", ""), 400, wrong.clone()),
            (|ask| ask.set("state", "failure"), 400, wrong.clone()),
            (|ask| ask.set("state", "Success"), 400, wrong),
            (
                |ask| ask.set("state", json!(["success"])),
                400,
                error("state is invalid"),
            ),
            (
                |ask| ask.set("pipeline_id", "x"),
                400,
                error("pipeline_id is invalid"),
            ),
            (
                |ask| ask.set("pipeline_id", 9),
                404,
                message("404 Pipeline for pipeline_id, sha and ref Not Found"),
            ),
            (
                |ask| ask.aim(SHA, "a1afe26"),
                404,
                message("404 Commit Not Found"),
            ),
            (|ask| ask.set("name", ""), 400, fault("name", "can't be blank")),
            (|ask| ask.set("name", "é".repeat(256)), 400, fault("name", long)),
            (
                |ask| ask.set("description", "é".repeat(256)),
                400,
                fault("description", long),
            ),
            (
                |ask| ask.set("target_url", format!("https://h/{}", "x".repeat(246))),
                400,
                fault("target_url", long),
            ),
            (
                |ask| ask.set("target_url", ""),
                400,
                fault("target_url", "must be a valid URL"),
            ),
            (
                |ask| ask.set("target_url", "ftp://h"),
                400,
                fault("target_url", "must be a valid URL"),
            ),
        ];
        asserts_refusals(&mut stand_in(), &good(), cases);
        let both = good().changed(|ask| {
            ask.set("name", "x".repeat(256));
            ask.set("description", "x".repeat(256));
        });
        let faults = json!({ "message": { "name": [long], "description": [long] } });
        assert_eq!(told(&both.send(&mut stand_in())), (400, faults));
    }

    #[test]
    fn takes_what_just_keeps_to_the_rules() {
        let cases: &[Change] = &[
            |ask| ask.aim("/api/v4", "/git/lab/api/v4"),
            |ask| ask.aim("acme%2Fplatform%2Ffleet", "4711"),
            |ask| ask.header("content-type", "application/json; charset=utf-8"),
            |ask| {
                ask.without("private-token");
                ask.header("authorization", "Bearer glpat-x");
            },
            |ask| ask.set("name", "é".repeat(255)),
            |ask| ask.set("description", "é".repeat(255)),
            |ask| ask.set("target_url", format!("https://h/{}", "x".repeat(245))),
            |ask| ask.set("target_url", Value::Null),
            |ask| ask.unset("description"),
            |ask| ask.header("content-type", "application/json ; charset=utf-8"),
            |ask| ask.set("pipeline_id", 1),
            |ask| ask.set("pipeline_id", Value::Null),
            // A number will do for a text.
            |ask| ask.set("description", 1),
        ];
        let mut host = stand_in();
        good().send(&mut host);
        asserts_taken(&mut host, &good(), cases);
    }

    #[test]
    fn knows_only_what_it_is_told() {
        let mut host = stand_in();
        host.forget_commit(SHA);
        let unknown = json!({ "message": "404 Commit Not Found" });
        assert_eq!(told(&good().send(&mut host)), (404, unknown));
        host.know_only_repositories(["acme/fleet"]);
        let unknown = json!({ "message": "404 Project Not Found" });
        assert_eq!(told(&good().send(&mut host)), (404, unknown));
        host.learn_repository("Acme/Platform/fleet");
        host.learn_commit(SHA);
        assert_eq!(good().send(&mut host).status, 201);
        host.set_token(Token::new("bot", "glpat-x").read_only());
        let scope = json!({
            "error": "insufficient_scope",
            "error_description": "The request requires higher privileges than provided by the access token.",
            "scope": "api",
        });
        assert_eq!(told(&good().send(&mut host)), (403, scope));
    }

    // spec/requests/api/commit_statuses_spec.rb, and git-hosts.md, 3.2.
    #[test]
    fn states_follow_each_other_as_they_may() {
        const NEW: Result<bool, &str> = Ok(true);
        const IN_PLACE: Result<bool, &str> = Ok(false);
        let cases = [
            ("pending", "pending", Err(":enqueue from :pending")),
            ("pending", "running", IN_PLACE),
            ("pending", "success", IN_PLACE),
            ("pending", "failed", IN_PLACE),
            ("pending", "canceled", IN_PLACE),
            ("pending", "skipped", IN_PLACE),
            ("running", "pending", Err(":enqueue from :running")),
            ("running", "running", Err(":run from :running")),
            ("running", "success", IN_PLACE),
            ("running", "failed", IN_PLACE),
            ("running", "canceled", IN_PLACE),
            ("running", "skipped", Err(":skip from :running")),
            ("success", "pending", NEW),
            ("success", "running", NEW),
            ("success", "success", NEW),
            ("success", "failed", NEW),
            ("failed", "failed", NEW),
            ("failed", "pending", NEW),
            ("canceled", "canceled", NEW),
            ("canceled", "pending", NEW),
            ("skipped", "skipped", NEW),
            ("skipped", "pending", NEW),
        ];
        for (from, to, expected) in cases {
            let mut host = stand_in();
            let mut ask = good();
            ask.set("state", from);
            ask.set("description", "first");
            assert_eq!(told(&ask.send(&mut host)).1["status"], from);
            ask.set("state", to);
            ask.set("description", "second");
            let (status, answer) = told(&ask.send(&mut host));
            let shown = host.shown("acme/platform/fleet", SHA, "dev/apps");
            match expected {
                Ok(is_new) => {
                    assert_eq!(status, 201, "{from} {to}");
                    assert_eq!(seen(shown), Some((to, "second")), "{from} {to}");
                    assert_eq!(answer["id"], if is_new { 2 } else { 1 }, "{from} {to}");
                }
                Err(way) => {
                    let (event, _) = way[1..].split_once(' ').unwrap();
                    let text = format!(
                        "Cannot transition status via {way} (Reason(s): Status cannot transition via \"{event}\")"
                    );
                    assert_eq!((status, answer), (400, json!({ "message": text })), "{from} {to}");
                    assert_eq!(seen(shown), Some((from, "first")), "{from} {to}");
                    assert_eq!(host.received().len(), 1);
                }
            }
        }
    }

    #[test]
    fn a_row_is_of_one_user_name_branch_and_commit() {
        let cases: &[(Change, u64)] = &[
            (|_| (), 1),
            (|ask| ask.aim("acme%2F", "Acme%2F"), 1),
            (|ask| ask.header("private-token", "glpat-other"), 2),
            (|ask| ask.set("name", "Dev/apps"), 2),
            // What GitHub calls it will do.
            (
                |ask| {
                    ask.unset("name");
                    ask.set("context", "dev/apps");
                },
                1,
            ),
            (|ask| ask.set("ref", "main"), 1),
            (|ask| ask.set("ref", "release"), 2),
            (|ask| ask.aim(SHA, OTHER_SHA), 2),
            (|ask| ask.aim("fleet", "apps"), 2),
        ];
        for (nth, (change, row)) in cases.iter().enumerate() {
            let mut host = stand_in();
            good().changed(|ask| ask.set("state", "pending")).send(&mut host);
            let (_, answer) = told(&good().changed(*change).send(&mut host));
            assert_eq!(answer["id"], *row, "case {nth}");
        }
    }

    #[test]
    fn a_user_that_goes_leaves_its_row() {
        let mut host = stand_in();
        let pending = good().changed(|ask| ask.set("state", "pending"));
        pending.send(&mut host);
        // Another token of the same user goes on in it.
        host.set_token(Token::new("bot", "glpat-new"));
        let rotated = pending.changed(|ask| ask.header("private-token", "glpat-new"));
        assert_eq!(rotated.send(&mut host).status, 400);
        let other = pending.changed(|ask| ask.header("private-token", "glpat-other"));
        assert_eq!(other.send(&mut host).status, 201);
        let ended = rotated.changed(|ask| ask.set("state", "failed"));
        assert_eq!(told(&ended.send(&mut host)).1["id"], 1);
        // The newest row is shown, whatever becomes of the older one.
        let shown = host.shown("acme/platform/fleet", SHA, "dev/apps").unwrap();
        assert_eq!(
            (shown.id, shown.state.as_str(), shown.by.as_str()),
            (2, "pending", "other")
        );
    }

    #[test]
    fn what_is_not_said_stays_until_the_end() {
        let mut host = stand_in();
        let mut ask = good();
        ask.set("state", "pending");
        ask.set("target_url", "https://example.com");
        ask.send(&mut host);
        ask.unset("description");
        ask.set("state", "running");
        ask.set("target_url", "https://example.com/2");
        ask.send(&mut host);
        ask.unset("target_url");
        for (description, target_url) in [
            (Some("apply succeeded"), Some("https://example.com/2")),
            // A row of its own has nothing to keep.
            (None, None),
        ] {
            ask.set("state", "success");
            ask.send(&mut host);
            let shown = host.shown("acme/platform/fleet", SHA, "dev/apps").unwrap();
            let told = (shown.description.as_deref(), shown.target_url.as_deref());
            assert_eq!(told, (description, target_url));
        }
    }

    #[test]
    fn what_is_too_much_for_a_pipeline_is_put_into_another() {
        let mut host = stand_in();
        let mut pending = good();
        pending.set("state", "pending");
        pending.set("name", "first");
        pending.send(&mut host);
        for _ in 1..500 {
            assert_eq!(told(&good().send(&mut host)).1["pipeline_id"], 1);
        }
        let full = good().changed(|ask| ask.set("pipeline_id", 1));
        let text = "The number of jobs has exceeded the limit";
        assert_eq!(told(&full.send(&mut host)), (422, json!({ "message": text })));
        // What goes on in place needs no room.
        pending.set("state", "running");
        let (_, answer) = told(&pending.send(&mut host));
        assert_eq!((&answer["pipeline_id"], &answer["id"]), (&json!(1), &json!(1)));
        let (_, answer) = told(&good().send(&mut host));
        assert_eq!(
            (&answer["pipeline_id"], &answer["ref"]),
            (&json!(2), &json!("main"))
        );
        // From now on it is looked for in the new one only.
        let (_, answer) = told(&pending.send(&mut host));
        assert_eq!((&answer["pipeline_id"], &answer["id"]), (&json!(2), &json!(502)));
    }

    #[test]
    fn answers_with_the_status() {
        let ask = good().changed(|ask| ask.set("target_url", "https://example.com"));
        let status = json!({
            "id": 1,
            "sha": SHA,
            "ref": "main",
            "pipeline_id": 1,
            "status": "success",
            "name": "dev/apps",
            "target_url": "https://example.com",
            "description": "apply succeeded",
            "created_at": "2026-08-07T13:13:02Z",
            "author": { "username": "bot" },
        });
        assert_eq!(told(&ask.send(&mut stand_in())), (201, status));
    }

    #[test]
    fn says_what_a_request_is_about() {
        let post = Post {
            repository: "acme/platform/fleet".into(),
            sha: SHA.into(),
            context: "Dev/apps".into(),
            name: None,
            state: "success".into(),
            credential: "glpat-x".into(),
        };
        let asks: &[(Change, &str, &str)] = &[
            (|ask| ask.aim("acme", "Acme"), "Dev/apps", "glpat-x"),
            (
                |ask| {
                    ask.unset("name");
                    ask.set("context", "other");
                    ask.without("private-token");
                    ask.header("authorization", "Bearer x");
                },
                "other",
                "Bearer x",
            ),
            (|ask| ask.unset("name"), "default", "glpat-x"),
        ];
        for (change, context, credential) in asks {
            let expected = Post {
                context: (*context).into(),
                credential: (*credential).into(),
                ..post.clone()
            };
            let ask = good().changed(|ask| ask.set("name", "Dev/apps"));
            assert_eq!(ask.changed(*change).read(HostKind::GitLab), Some(expected));
        }
    }
}
