//! Azure DevOps: <https://learn.microsoft.com/en-us/rest/api/azure/devops/git/statuses/create>.

use http::StatusCode;
use serde_json::json;

use super::wire::{Fields, is_longer, is_sha, is_web_address};
use super::{Answer, Facts, Key, Memory, Received, Request, Rules, Token};

/// Of name and genre.
const MAX_CONTEXT_CHARS: usize = 128;
/// Of description and address.
const MAX_CHARS: usize = 2_048;
/// The newest version that needs no `-preview`.
const NEWEST: (u32, u32) = (7, 1);

/// Those that may be set: `notSet` is what a status is without one.
const STATES: [&str; 5] = ["pending", "succeeded", "failed", "error", "notApplicable"];

/// A page for people, where an API's answer was asked for.
const SIGN_IN: &str = "<!DOCTYPE html>\r\n<html lang=\"en-US\"><head><title>Azure DevOps Services | Sign In</title></head>\
                       <body>You are being signed in.</body></html>";

#[derive(Debug)]
pub(super) struct AzureDevOps;

/// Genre and name.
fn parts(fields: &Fields) -> (String, String) {
    let context = fields.value("context");
    let part = |name: &str| {
        let part = context.and_then(|context| context[name].as_str());
        part.unwrap_or_default().to_owned()
    };
    (part("genre"), part("name"))
}

impl Rules for AzureDevOps {
    fn facts(&self) -> Facts {
        Facts {
            title: "Azure DevOps",
            example: "/acme/web/_git/fleet",
            needs_user: false,
            words: ["pending", "succeeded", "error", "notApplicable"],
        }
    }

    fn posted_to(&self, path: &[&str]) -> Option<(String, String)> {
        match path {
            [
                ..,
                organization,
                project,
                "_apis",
                "git",
                "repositories",
                name,
                "commits",
                sha,
                "statuses",
            ] => Some((format!("{organization}/{project}/{name}"), (*sha).to_owned())),
            _ => None,
        }
    }

    fn context(&self, fields: &Fields) -> (String, Option<String>) {
        let (genre, name) = parts(fields);
        (format!("{genre}/{name}"), Some(name))
    }

    fn key(&self, repository: &str, sha: &str, context: &str) -> Key {
        Key::new(repository.to_lowercase(), sha, context)
    }

    fn answer(&mut self, request: &Request<'_>, memory: &mut Memory) -> Result<Answer, Answer> {
        let token = user(request, memory)?;
        let Some((repository, sha)) = request.posted(|path| self.posted_to(path)) else {
            return Err(Answer::html(
                StatusCode::NOT_FOUND,
                "<!DOCTYPE html><title>Page not found</title>",
            ));
        };
        version(request)?;
        let key = self.key(&repository, &sha, "");
        let by = token.user.clone();
        if !memory.repositories.has(&key.repository) {
            let (_, name) = repository.rsplit_once('/').unwrap_or_default();
            let text = format!(
                "TF401019: The Git repository with name or identifier {name} does not exist or you do not have \
                 permissions for the operation you are attempting."
            );
            return Err(git(
                StatusCode::NOT_FOUND,
                "GitRepositoryNotFoundException",
                &text,
            ));
        }
        if !token.may_write {
            let text = format!(
                "TF401027: You need the Git 'GenericContribute' permission to perform this action. Details: identity \
                 '{by}', scope 'repository'."
            );
            return Err(git(StatusCode::FORBIDDEN, "GitNeedsPermissionException", &text));
        }
        let Ok(fields) = request.fields() else {
            return Err(invalid("gitCommitStatusToCreate"));
        };
        let text = |name: &'static str| match fields.text(name) {
            Ok(text) => Ok(text.map(str::to_owned)),
            Err(_) => Err(invalid(name)),
        };
        let (genre, name) = parts(&fields);
        // The documentation says that the genre may be empty; servers have refused that.
        for (field, part) in [("context.name", &name), ("context.genre", &genre)] {
            if part.trim().is_empty() || is_longer(part, MAX_CONTEXT_CHARS) {
                return Err(invalid(field));
            }
        }
        let (state, description, target_url) = (
            text("state")?.unwrap_or_default(),
            text("description")?,
            text("targetUrl")?,
        );
        if !STATES.contains(&state.as_str()) {
            return Err(invalid("state"));
        }
        for (field, value) in [("description", &description), ("targetUrl", &target_url)] {
            if is_longer(value.as_deref().unwrap_or_default(), MAX_CHARS) {
                return Err(invalid(field));
            }
        }
        if !target_url.as_deref().is_none_or(is_web_address) {
            return Err(invalid("targetUrl"));
        }
        if !is_sha(&sha) {
            return Err(invalid("commitId"));
        }
        let context = format!("{genre}/{name}");
        let key = self.key(&repository, &sha, &context);
        if !memory.knows(&key) {
            // Not with the 404 one would think, as others have seen elsewhere in this API:
            // <https://github.com/mburumaxwell/paklo/issues/1413>.
            let text = format!("TF401035: The object '{sha}' does not exist.");
            return Err(git(
                StatusCode::INTERNAL_SERVER_ERROR,
                "GitObjectDoesNotExistException",
                &text,
            ));
        }
        let taken = memory.add(Received {
            id: 0,
            key,
            repository,
            sha,
            context,
            name: Some(name.clone()),
            state,
            description,
            target_url,
            by,
            at: request.now,
        });
        let body = json!({
            "id": taken.id,
            "state": taken.state,
            "description": taken.description,
            "context": { "name": name, "genre": genre },
            "creationDate": taken.at,
            "createdBy": { "displayName": taken.by },
            "targetUrl": taken.target_url,
        });
        Ok(Answer::json(StatusCode::CREATED, body))
    }

    /// Of those that lead to one and the same place, people see the newest.
    fn hides(&self, newer: &Received, older: &Received) -> bool {
        older.target_url.is_some() && newer.target_url == older.target_url
    }
}

/// Any user, with the token for a password:
/// <https://learn.microsoft.com/en-us/azure/devops/organizations/accounts/use-personal-access-tokens-to-authenticate>.
fn user<'a>(request: &Request<'_>, memory: &'a Memory) -> Result<&'a Token, Answer> {
    let unauthorized = || {
        let text = "TF400813: The user '' is not authorized to access this resource.";
        let exception = "Microsoft.TeamFoundation.Framework.Server.UnauthorizedRequestException";
        error(
            StatusCode::UNAUTHORIZED,
            exception,
            "Microsoft.TeamFoundation.Framework.Server",
            text,
        )
        .header(
            "www-authenticate",
            "Basic realm=\"https://tfsprodweu5.visualstudio.com/\"",
        )
    };
    if request.header("authorization").is_none() {
        return Err(unauthorized());
    }
    let secret = request.basic().map(|(_, secret)| secret).unwrap_or_default();
    if let Some(token) = memory.by_secret(&secret) {
        return Ok(token);
    }
    // Who is not known is asked to sign in, and a page that asks is no error, unless the request forbids it:
    // <https://github.com/MicrosoftDocs/vsts-rest-api-specs/issues/97>.
    let is_suppressed = request
        .header("x-tfs-fedauthredirect")
        .is_some_and(|value| value.eq_ignore_ascii_case("suppress"));
    if is_suppressed {
        return Err(unauthorized());
    }
    Err(Answer::html(StatusCode::NON_AUTHORITATIVE_INFORMATION, SIGN_IN))
}

/// <https://learn.microsoft.com/en-us/azure/devops/integrate/concepts/rest-api-versioning>
fn version(request: &Request<'_>) -> Result<(), Answer> {
    let refuse = |exception: &str, text: &str| {
        let assembly = "Microsoft.VisualStudio.Services.WebApi";
        Err(error(
            StatusCode::BAD_REQUEST,
            &format!("{assembly}.{exception}"),
            assembly,
            text,
        ))
    };
    let accept = request.header("accept").unwrap_or_default();
    let accepted = accept
        .split(';')
        .find_map(|part| part.trim().strip_prefix("api-version="));
    let Some(version) = request.query("api-version").or(accepted.map(str::to_owned)) else {
        return refuse(
            "VssVersionNotSpecifiedException",
            "No api-version was supplied for the \"POST\" request. The version must be supplied either as part of the \
             Accept header (e.g. \"application/json; api-version=1.0\") or as a query parameter (e.g. \
             \"?api-version=1.0\").",
        );
    };
    let (number, preview) = version.split_once('-').unwrap_or((&version, ""));
    let number = number.split_once('.').unwrap_or((number, "0"));
    let (Ok(major), Ok(minor)) = (number.0.parse::<u32>(), number.1.parse::<u32>()) else {
        return refuse(
            "VssInvalidApiVersionException",
            &format!("The api-version \"{version}\" is not valid."),
        );
    };
    if (major, minor) > NEWEST && !preview.starts_with("preview") {
        let text = format!(
            "The requested version \"{version}\" of the resource is under preview. The -preview flag must be supplied \
             in the api-version for such requests. For example: \"{version}-preview\""
        );
        return refuse("VssInvalidPreviewVersionException", &text);
    }
    Ok(())
}

fn invalid(argument: &str) -> Answer {
    let text = format!("A value that is not valid was specified for argument '{argument}'.");
    git(StatusCode::BAD_REQUEST, "InvalidArgumentValueException", &text)
}

fn git(status: StatusCode, exception: &str, text: &str) -> Answer {
    let assembly = "Microsoft.TeamFoundation.Git.Server";
    error(status, &format!("{assembly}.{exception}"), assembly, text)
}

fn error(status: StatusCode, exception: &str, assembly: &str, text: &str) -> Answer {
    let (_, key) = exception.rsplit_once('.').unwrap_or(("", exception));
    let body = json!({
        "$id": "1",
        "innerException": null,
        "message": text,
        "typeName": format!("{exception}, {assembly}"),
        "typeKey": key,
        "errorCode": 0,
        "eventId": 3000,
    });
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
            &format!(
                "/acme/my%20project/_apis/git/repositories/fleet/commits/{SHA}/statuses?api-version=7.1"
            ),
            &[("authorization", "Basic OnBhdA==")],
            json!({ "state": "failed", "context": { "name": "dev/apps", "genre": "fluxcd" }, "description": "no" }),
        )
    }

    fn stand_in() -> StandIn {
        StandIn::new(HostKind::AzureDevOps, Token::new("jane", "pat"))
    }

    fn argument(name: &str) -> Value {
        json!({
            "$id": "1",
            "innerException": null,
            "message": format!("A value that is not valid was specified for argument '{name}'."),
            "typeName": "Microsoft.TeamFoundation.Git.Server.InvalidArgumentValueException, Microsoft.TeamFoundation.Git.Server",
            "typeKey": "InvalidArgumentValueException",
            "errorCode": 0,
            "eventId": 3000,
        })
    }

    #[test]
    fn refuses_what_breaks_a_rule() {
        let page: Value = "<!DOCTYPE html><title>Page not found</title>".into();
        let sign_in: Value = SIGN_IN.into();
        let cases: &[(Change, u16, Value)] = &[
            (|ask| ask.aim("/_apis", ""), 404, page.clone()),
            (|ask| ask.aim("/acme", ""), 404, page.clone()),
            (|ask| ask.method = "GET", 404, page),
            (
                |ask| ask.header("authorization", "Basic OnBhdHM="),
                203,
                sign_in.clone(),
            ),
            (
                |ask| ask.header("authorization", "Basic pat"),
                203,
                sign_in.clone(),
            ),
            (|ask| ask.header("authorization", "Bearer pat"), 203, sign_in),
            (
                |ask| ask.raw = Some("{"),
                400,
                argument("gitCommitStatusToCreate"),
            ),
            (
                |ask| ask.raw = Some("[]"),
                400,
                argument("gitCommitStatusToCreate"),
            ),
            (|ask| ask.unset("context"), 400, argument("context.name")),
            (
                |ask| ask.body["context"] = json!({ "genre": "x" }),
                400,
                argument("context.name"),
            ),
            (
                |ask| ask.body["context"]["name"] = " ".into(),
                400,
                argument("context.name"),
            ),
            (
                |ask| ask.body["context"]["name"] = "é".repeat(129).into(),
                400,
                argument("context.name"),
            ),
            (
                |ask| ask.body["context"] = json!({ "name": "x" }),
                400,
                argument("context.genre"),
            ),
            (
                |ask| ask.body["context"]["genre"] = "é".repeat(129).into(),
                400,
                argument("context.genre"),
            ),
            (|ask| ask.unset("state"), 400, argument("state")),
            (|ask| ask.set("state", "notSet"), 400, argument("state")),
            (|ask| ask.set("state", "success"), 400, argument("state")),
            (
                |ask| ask.set("state", "partiallySucceeded"),
                400,
                argument("state"),
            ),
            (
                |ask| ask.set("description", "é".repeat(2_049)),
                400,
                argument("description"),
            ),
            (|ask| ask.set("description", 1), 400, argument("description")),
            (
                |ask| ask.set("targetUrl", format!("https://h/{}", "x".repeat(2_039))),
                400,
                argument("targetUrl"),
            ),
            (|ask| ask.set("targetUrl", ""), 400, argument("targetUrl")),
            (|ask| ask.set("targetUrl", "/x"), 400, argument("targetUrl")),
            (|ask| ask.aim(SHA, "a1afe26"), 400, argument("commitId")),
        ];
        asserts_refusals(&mut stand_in(), &good(), cases);
    }

    #[test]
    fn says_why_by_its_exception() {
        type Case = (Change, u16, &'static str, &'static str);
        let versions: &[Case] = &[
            (
                |ask| ask.aim("?api-version=7.1", ""),
                400,
                "VssVersionNotSpecifiedException",
                "No api-version was supplied for the \"POST\" request. The version must be supplied either as part of the Accept header (e.g. \"application/json; api-version=1.0\") or as a query parameter (e.g. \"?api-version=1.0\").",
            ),
            (
                |ask| ask.aim("7.1", "7.2"),
                400,
                "VssInvalidPreviewVersionException",
                "The requested version \"7.2\" of the resource is under preview. The -preview flag must be supplied in the api-version for such requests. For example: \"7.2-preview\"",
            ),
            (
                |ask| ask.aim("7.1", "latest"),
                400,
                "VssInvalidApiVersionException",
                "The api-version \"latest\" is not valid.",
            ),
            (
                |ask| ask.without("authorization"),
                401,
                "UnauthorizedRequestException",
                "TF400813: The user '' is not authorized to access this resource.",
            ),
            (
                |ask| {
                    ask.header("authorization", "Basic OnBhdHM=");
                    ask.header("x-tfs-fedauthredirect", "Suppress");
                },
                401,
                "UnauthorizedRequestException",
                "TF400813: The user '' is not authorized to access this resource.",
            ),
            (
                |ask| ask.aim(SHA, OTHER_SHA),
                500,
                "GitObjectDoesNotExistException",
                "TF401035: The object 'b1afe267b54f38b46b487f6e938a6fd508278c07' does not exist.",
            ),
            (
                |ask| ask.aim("fleet", "apps"),
                404,
                "GitRepositoryNotFoundException",
                "TF401019: The Git repository with name or identifier apps does not exist or you do not have permissions for the operation you are attempting.",
            ),
        ];
        let mut host = stand_in();
        host.know_only_commits([SHA]);
        host.know_only_repositories(["Acme/My Project/Fleet"]);
        let asserts = |host: &mut StandIn, (change, status, key, message): &Case| {
            let (code, body) = told(&good().changed(*change).send(host));
            assert_eq!((code, &body["typeKey"]), (*status, &json!(key)), "{body}");
            assert_eq!(body["message"], *message);
            assert!(
                body["typeName"]
                    .as_str()
                    .unwrap()
                    .contains(&format!(".{key}, Microsoft."))
            );
        };
        for case in versions {
            asserts(&mut host, case);
            assert_eq!(good().send(&mut host).status, 201);
        }
        host.set_token(Token::new("jane", "pat").read_only());
        let forbidden = "TF401027: You need the Git 'GenericContribute' permission to perform this action. Details: identity 'jane', scope 'repository'.";
        asserts(
            &mut host,
            &(|_| (), 403, "GitNeedsPermissionException", forbidden),
        );
    }

    #[test]
    fn takes_what_just_keeps_to_the_rules() {
        let cases: &[Change] = &[
            |ask| ask.aim("/acme", "/tfs/acme"),
            |ask| ask.header("authorization", "Basic YW55OnBhdA=="),
            |ask| ask.aim("7.1", "5.0"),
            |ask| ask.aim("7.1", "7"),
            |ask| ask.aim("7.1", "7.2-preview.2"),
            |ask| ask.aim("api-version", "API-Version"),
            |ask| {
                ask.aim("?api-version=7.1", "");
                ask.header("accept", "application/json; api-version=6.0");
            },
            |ask| ask.body["context"] = json!({ "name": "é".repeat(128), "genre": "é".repeat(128) }),
            |ask| ask.set("description", "é".repeat(2_048)),
            |ask| ask.unset("description"),
            |ask| ask.set("targetUrl", format!("https://h/{}", "x".repeat(2_038))),
            |ask| ask.set("state", "pending"),
            |ask| ask.set("state", "succeeded"),
            |ask| ask.set("state", "error"),
            |ask| ask.set("state", "notApplicable"),
        ];
        asserts_taken(&mut stand_in(), &good(), cases);
    }

    #[test]
    fn the_newest_wins_by_genre_and_name() {
        let mut host = stand_in();
        let cases: &[(Change, &str)] = &[
            (|_| (), "failed"),
            (|ask| ask.set("state", "pending"), "pending"),
            (|ask| ask.body["context"]["name"] = "Dev/apps".into(), "pending"),
            (|ask| ask.body["context"]["genre"] = "other".into(), "pending"),
            (|ask| ask.aim(SHA, OTHER_SHA), "pending"),
            (|ask| ask.aim("my%20project", "other"), "pending"),
            (
                |ask| {
                    ask.aim("acme/my%20project", "Acme/My%20Project");
                    ask.aim("fleet", "Fleet");
                },
                "failed",
            ),
        ];
        for (change, state) in cases {
            assert_eq!(good().changed(*change).send(&mut host).status, 201);
            let shown = host
                .shown("acme/my project/fleet", SHA, "fluxcd/dev/apps")
                .unwrap();
            assert_eq!(
                (shown.state.as_str(), shown.name.as_deref()),
                (*state, Some("dev/apps"))
            );
        }
        assert_eq!(host.received().last().unwrap().id, 7);
    }

    #[test]
    fn contexts_that_lead_to_one_place_hide_each_other() {
        let ask = |name: &str, target_url: &str| {
            let mut ask = good();
            ask.body["context"]["name"] = name.into();
            ask.set("targetUrl", target_url);
            ask
        };
        let (one, two) = ("https://example.com/1", "https://example.com/2");
        // Posts in order, and whose status people see.
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            (&[("a", one), ("b", two)], &["a", "b"]),
            (&[("a", one), ("b", one)], &["b"]),
            (&[("a", one), ("b", one), ("a", one)], &["a"]),
            // It was there, and no longer is.
            (&[("a", one), ("b", one), ("b", two)], &["a", "b"]),
        ];
        for (posts, shown) in cases {
            let mut host = stand_in();
            for (name, target_url) in *posts {
                assert_eq!(ask(name, target_url).send(&mut host).status, 201);
            }
            let is_shown = |name: &&str| {
                let context = format!("fluxcd/{name}");
                host.shown("acme/my project/fleet", SHA, &context).is_some()
            };
            let seen: Vec<&str> = ["a", "b"].into_iter().filter(is_shown).collect();
            assert_eq!(seen, *shown, "{posts:?}");
        }
        let mut host = stand_in();
        good().send(&mut host);
        good()
            .changed(|ask| ask.body["context"]["name"] = "b".into())
            .send(&mut host);
        assert!(
            host.shown("acme/my project/fleet", SHA, "fluxcd/dev/apps")
                .is_some()
        );
        ask("a", one)
            .changed(|ask| ask.aim(SHA, OTHER_SHA))
            .send(&mut host);
        ask("b", one).send(&mut host);
        assert!(
            host.shown("acme/my project/fleet", OTHER_SHA, "fluxcd/a")
                .is_some()
        );
    }

    #[test]
    fn answers_with_the_status() {
        let ask = good().changed(|ask| ask.set("targetUrl", "https://example.com"));
        let status = json!({
            "id": 1,
            "state": "failed",
            "description": "no",
            "context": { "name": "dev/apps", "genre": "fluxcd" },
            "creationDate": "2026-08-07T13:13:02Z",
            "createdBy": { "displayName": "jane" },
            "targetUrl": "https://example.com",
        });
        assert_eq!(told(&ask.send(&mut stand_in())), (201, status));
    }

    #[test]
    fn says_what_a_request_is_about() {
        let post = Post {
            repository: "acme/my project/fleet".into(),
            sha: SHA.into(),
            context: "fluxcd/dev/apps".into(),
            name: Some("dev/apps".into()),
            state: "failed".into(),
            credential: "Basic OnBhdA==".into(),
        };
        let ask = good().changed(|ask| ask.aim("/acme", "/tfs/Acme"));
        assert_eq!(ask.read(HostKind::AzureDevOps), Some(post));
    }
}
