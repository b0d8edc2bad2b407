//! GitHub: <https://docs.github.com/en/rest/commits/statuses#create-a-commit-status>, with what a GitHub App needs:
//! <https://docs.github.com/en/rest/apps/apps>.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::wire::{BodyError, Fields, is_longer, is_sha, is_web_address};
use super::{Answer, Facts, Key, Memory, Received, Request, Rules};

const DOCS: &str = "https://docs.github.com/rest";
const STATUS_DOCS: &str = "https://docs.github.com/rest/commits/statuses#create-a-commit-status";
const TOKEN_DOCS: &str =
    "https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app";

/// Statuses for one context on one commit.
const MAX_STATUSES: usize = 1_000;
/// Found by others: <https://github.com/zalando/zappr/issues/378>.
const MAX_DESCRIPTION_CHARS: usize = 140;
/// Found by others: <https://github.com/runatlantis/atlantis/issues/2506>.
const MAX_CONTEXT_CHARS: usize = 255;
/// Repositories one token may be asked for.
const MAX_REPOSITORIES: usize = 500;
/// A proof may last so long from now, by GitHub's clock:
/// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>.
const MAX_PROOF: SignedDuration = SignedDuration::from_mins(10);
/// What a token of an installation lasts.
const TOKEN_LASTS: SignedDuration = SignedDuration::from_hours(1);
/// What it needs.
const PERMISSION: &str = "statuses";
/// Permissions, from the least.
const LEVELS: [&str; 3] = ["read", "write", "admin"];

/// A GitHub App.
pub struct App {
    id: u64,
    public_key: DecodingKey,
    /// Where it is installed.
    pub installations: Vec<Installation>,
}

impl App {
    /// Takes for the app whoever signs with the private half of this RSA key, a PEM.
    pub fn new(id: u64, public_key: &str) -> Result<Self, jsonwebtoken::errors::Error> {
        Ok(Self {
            id,
            public_key: DecodingKey::from_rsa_pem(public_key.as_bytes())?,
            installations: Vec::new(),
        })
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("id", &self.id)
            .field("installations", &self.installations)
            .finish_non_exhaustive()
    }
}

/// A GitHub App where it is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Its number.
    pub id: u64,
    /// Who installed it.
    pub owner: String,
    /// That is an organization, and not a person.
    pub is_organization: bool,
    /// The names of the owner's repositories it may see.
    pub repositories: Vec<String>,
    /// What it may do, as `statuses: write`.
    pub permissions: BTreeMap<String, String>,
    /// The owner has stopped it for now.
    pub is_suspended: bool,
}

/// A token of an installation.
struct Issued {
    token: String,
    installation: u64,
    /// `owner/name`, as GitHub compares them.
    repositories: Vec<String>,
    may_write: bool,
    expires: Timestamp,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("installation", &self.installation)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
pub(super) struct GitHub {
    issued: Vec<Issued>,
}

impl Rules for GitHub {
    fn facts(&self) -> Facts {
        Facts {
            title: "GitHub",
            example: "/acme/fleet",
            needs_user: false,
            words: ["pending", "success", "failure", "error"],
        }
    }

    fn posted_to(&self, path: &[&str]) -> Option<(String, String)> {
        match path {
            ["api", "v3", "repos", owner, name, "statuses", sha] => {
                Some((format!("{owner}/{name}"), (*sha).to_owned()))
            }
            _ => None,
        }
    }

    fn context(&self, fields: &Fields) -> (String, Option<String>) {
        let context = fields.text_or_nothing("context").unwrap_or("default");
        (context.to_owned(), None)
    }

    /// The case counts nowhere: <https://docs.github.com/en/rest/commits/statuses#create-a-commit-status>.
    fn key(&self, repository: &str, sha: &str, context: &str) -> Key {
        Key::new(repository.to_lowercase(), sha, context.to_lowercase())
    }

    fn answer(&mut self, request: &Request<'_>, memory: &mut Memory) -> Result<Answer, Answer> {
        // <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent>
        if request.header("user-agent").unwrap_or_default().is_empty() {
            let line = "Request forbidden by administrative rules. Please make sure your request has a User-Agent \
                        header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required). \
                        Check https://developer.github.com for other possible causes.\r\n";
            return Err(Answer::html(StatusCode::FORBIDDEN, line));
        }
        if let Some((repository, sha)) = request.posted(|path| self.posted_to(path)) {
            return self.create_status(request, memory, &repository, &sha);
        }
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let app = memory.credentials.app.as_ref();
        match (request.method, segments.as_slice()) {
            ("GET", ["api", "v3", owners @ ("orgs" | "users"), owner, "installation"]) => {
                find_installation(request, app, *owners == "orgs", owner)
            }
            ("POST", ["api", "v3", "app", "installations", id, "access_tokens"]) => {
                self.create_token(request, app, id)
            }
            ("DELETE", ["api", "v3", "installation", "token"]) => self.revoke_token(request),
            _ => Err(not_found(DOCS)),
        }
    }
}

impl GitHub {
    fn create_status(
        &self,
        request: &Request<'_>,
        memory: &mut Memory,
        repository: &str,
        sha: &str,
    ) -> Result<Answer, Answer> {
        let by = self.user(request, memory, &repository.to_lowercase())?;
        let fields = request
            .fields()
            .map_err(|error| unreadable(&error, STATUS_DOCS))?;
        let text = |name: &str| match fields.text(name) {
            Ok(text) => Ok(text.map(str::to_owned)),
            Err(other) => {
                let message =
                    format!("Invalid request.\n\nFor 'properties/{name}', {other} is not a string.");
                Err(refusal(StatusCode::UNPROCESSABLE_ENTITY, &message, STATUS_DOCS))
            }
        };
        let context = text("context")?.unwrap_or_else(|| "default".to_owned());
        let received = Received {
            id: 0,
            key: self.key(repository, sha, &context),
            repository: repository.to_owned(),
            sha: sha.to_owned(),
            context,
            name: None,
            state: text("state")?.unwrap_or_default(),
            description: text("description")?,
            target_url: text("target_url")?,
            by,
            at: request.now,
        };
        if !is_sha(sha) || !memory.knows(&received.key) {
            let message = format!("No commit found for SHA: {sha}");
            return Err(refusal(StatusCode::UNPROCESSABLE_ENTITY, &message, STATUS_DOCS));
        }
        validate(&received)?;
        let of_key = memory.received.iter().filter(|other| other.key == received.key);
        if of_key.count() >= MAX_STATUSES {
            return Err(invalid(
                "This SHA and context has reached the maximum number of statuses.",
            ));
        }
        let taken = memory.add(received);
        let body = json!({
            "id": taken.id,
            "url": format!("/api/v3/repos/{repository}/statuses/{sha}"),
            "state": taken.state,
            "description": taken.description,
            "target_url": taken.target_url,
            "context": taken.context,
            "created_at": taken.at,
            "updated_at": taken.at,
            "creator": { "login": taken.by },
        });
        Ok(Answer::json(StatusCode::CREATED, body))
    }

    /// Who may set statuses in this repository.
    fn user(&self, request: &Request<'_>, memory: &Memory, repository: &str) -> Result<String, Answer> {
        if request.header("authorization").is_none() {
            return Err(unauthorized("Requires authentication"));
        }
        let secret = request.authorization(&["bearer", "token"]).unwrap_or_default();
        if let Some(token) = memory.by_secret(secret) {
            if !memory.repositories.has(repository) {
                return Err(not_found(STATUS_DOCS));
            }
            if !token.may_write {
                return Err(forbidden("Resource not accessible by personal access token"));
            }
            return Ok(token.user.clone());
        }
        let issued = self.issued.iter().find(|issued| issued.token == secret);
        let issued = issued.filter(|issued| request.now < issued.expires);
        let installation = issued.zip(memory.credentials.app.as_ref());
        let installation =
            installation.and_then(|(issued, app)| Some((issued, app.installation(issued.installation)?)));
        let Some((issued, installation)) = installation else {
            return Err(unauthorized("Bad credentials"));
        };
        if installation.is_suspended {
            return Err(suspended(STATUS_DOCS));
        }
        // What an app does not see is not there, as any private repository.
        let is_seen =
            issued.repositories.iter().any(|seen| seen == repository) && installation.has(repository);
        if !is_seen || !memory.repositories.has(repository) {
            return Err(not_found(STATUS_DOCS));
        }
        if !issued.may_write {
            return Err(forbidden("Resource not accessible by integration"));
        }
        Ok(format!("installation {}", installation.id))
    }

    /// <https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app>
    fn create_token(&mut self, request: &Request<'_>, app: Option<&App>, id: &str) -> Result<Answer, Answer> {
        let app = proven(request, app)?;
        let installation = id.parse().ok().and_then(|id| app.installation(id));
        let installation = installation.ok_or_else(|| not_found(TOKEN_DOCS))?;
        if installation.is_suspended {
            return Err(suspended(TOKEN_DOCS));
        }
        let asked = if request.body.is_empty() {
            Fields::default()
        } else {
            request.fields().map_err(|error| unreadable(&error, TOKEN_DOCS))?
        };
        let repositories = installation.narrowed(asked.value("repositories"))?;
        let permissions = installation.permitted(asked.value("permissions"))?;
        let expires = request.now.checked_add(TOKEN_LASTS).unwrap_or(Timestamp::MAX);
        let expires = Timestamp::from_second(expires.as_second()).unwrap_or(expires);
        let token = new_token(app.id, installation.id, self.issued.len(), expires);
        let mut body = json!({
            "token": token,
            "expires_at": expires,
            "permissions": permissions,
            "repository_selection": "selected",
        });
        if asked.value("repositories").is_some() {
            let described = repositories.iter().map(|name| json!({ "name": name }));
            body["repositories"] = described.collect();
        }
        self.issued.push(Issued {
            token,
            installation: installation.id,
            repositories: repositories.iter().map(|name| installation.full(name)).collect(),
            may_write: permissions.get(PERMISSION).and_then(|level| rank(level)) >= rank("write"),
            expires,
        });
        Ok(Answer::json(StatusCode::CREATED, body))
    }

    /// <https://docs.github.com/en/rest/apps/installations#revoke-an-installation-access-token>
    fn revoke_token(&mut self, request: &Request<'_>) -> Result<Answer, Answer> {
        let secret = request.authorization(&["bearer", "token"]).unwrap_or_default();
        let issued = self.issued.iter_mut().find(|issued| issued.token == secret);
        match issued.filter(|issued| request.now < issued.expires) {
            Some(issued) => {
                issued.expires = request.now;
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            None => Err(unauthorized("Bad credentials")),
        }
    }
}

impl App {
    fn installation(&self, id: u64) -> Option<&Installation> {
        self.installations
            .iter()
            .find(|installation| installation.id == id)
    }
}

impl Installation {
    fn full(&self, name: &str) -> String {
        format!("{}/{name}", self.owner).to_lowercase()
    }

    fn has(&self, repository: &str) -> bool {
        self.repositories.iter().any(|name| self.full(name) == repository)
    }

    /// Those of its repositories that are asked for; one that it does not have spoils all.
    fn narrowed(&self, asked: Option<&Value>) -> Result<Vec<String>, Answer> {
        let refuse = |message: &str| Err(refusal(StatusCode::UNPROCESSABLE_ENTITY, message, TOKEN_DOCS));
        let Some(asked) = asked else {
            return Ok(self.repositories.clone());
        };
        let Some(asked) = asked.as_array() else {
            return refuse(&format!(
                "Invalid request.\n\nFor 'properties/repositories', {asked} is not an array."
            ));
        };
        if asked.len() > MAX_REPOSITORIES {
            return refuse("No more than 500 repositories can be specified.");
        }
        let names: Option<Vec<String>> = asked
            .iter()
            .map(|name| {
                let name = name.as_str()?;
                let mut own = self.repositories.iter();
                own.find(|own| own.to_lowercase() == name.to_lowercase()).cloned()
            })
            .collect();
        match names {
            Some(names) => Ok(names),
            None => refuse(
                "There is at least one repository that does not exist or is not accessible to the parent installation.",
            ),
        }
    }

    /// Those of its permissions that are asked for; one that it does not have spoils all.
    fn permitted(&self, asked: Option<&Value>) -> Result<BTreeMap<String, String>, Answer> {
        let refuse = |message: &str| Err(refusal(StatusCode::UNPROCESSABLE_ENTITY, message, TOKEN_DOCS));
        let Some(asked) = asked else {
            return Ok(self.permissions.clone());
        };
        let Some(asked) = asked.as_object() else {
            return refuse(&format!(
                "Invalid request.\n\nFor 'properties/permissions', {asked} is not an object."
            ));
        };
        let mut permissions = BTreeMap::new();
        for (name, level) in asked {
            let Some(granted) = self.permissions.get(name) else {
                return refuse("The permissions requested are not granted to this installation.");
            };
            let level = level.as_str().unwrap_or_default();
            if rank(level).is_none() || rank(level) > rank(granted) {
                return refuse(
                    "The level of access for permissions requested are not granted to this installation.",
                );
            }
            permissions.insert(name.clone(), level.to_owned());
        }
        Ok(permissions)
    }
}

fn rank(level: &str) -> Option<usize> {
    LEVELS.iter().position(|known| *known == level)
}

/// <https://docs.github.com/en/rest/apps/apps#get-an-organization-installation-for-the-authenticated-app>
fn find_installation(
    request: &Request<'_>,
    app: Option<&App>,
    is_organization: bool,
    owner: &str,
) -> Result<Answer, Answer> {
    let app = proven(request, app)?;
    let found = app.installations.iter().find(|installation| {
        installation.is_organization == is_organization && installation.owner.eq_ignore_ascii_case(owner)
    });
    let found = found.ok_or_else(|| not_found(DOCS))?;
    let kind = if is_organization { "Organization" } else { "User" };
    let body = json!({
        "id": found.id,
        "account": { "login": found.owner, "type": kind },
        "repository_selection": "selected",
        "access_tokens_url": format!("/api/v3/app/installations/{}/access_tokens", found.id),
        "app_id": app.id,
        "target_type": kind,
        "permissions": found.permissions,
        "suspended_at": found.is_suspended.then_some(request.now),
    });
    Ok(Answer::json(StatusCode::OK, body))
}

/// The app, if the request proves that it comes from it.
fn proven<'a>(request: &Request<'_>, app: Option<&'a App>) -> Result<&'a App, Answer> {
    let undecodable = || unauthorized("A JSON web token could not be decoded");
    if request.header("authorization").is_none() {
        return Err(undecodable());
    }
    let proof = request.authorization(&["bearer"]).unwrap_or_default();
    if proof.split('.').count() != 3 {
        return Err(unauthorized("Bad credentials"));
    }
    let Some(app) = app else {
        return Err(refusal(StatusCode::NOT_FOUND, "Integration not found", DOCS));
    };
    let mut validation = Validation::new(Algorithm::RS256);
    // By a clock that is handed in, below.
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let claims: Value = jsonwebtoken::decode(proof, &app.public_key, &validation)
        .map_err(|_| undecodable())?
        .claims;
    let issuer = &claims["iss"];
    if issuer.as_u64() != Some(app.id) && issuer.as_str() != Some(&app.id.to_string()) {
        return Err(refusal(StatusCode::NOT_FOUND, "Integration not found", DOCS));
    }
    let now = request.now.as_second();
    let issued = claims["iat"].as_i64();
    if issued.is_none_or(|issued| issued > now) {
        return Err(unauthorized(
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
        ));
    }
    match claims["exp"].as_i64() {
        Some(expires) if expires > now.saturating_add(MAX_PROOF.as_secs()) => Err(unauthorized(
            "'Expiration time' claim ('exp') is too far in the future",
        )),
        Some(expires) if expires > now => Ok(app),
        _ => Err(unauthorized(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the \
             assertion expires",
        )),
    }
}

/// As GitHub makes them since 2026, long and with dots:
/// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app>.
fn new_token(app: u64, installation: u64, serial: usize, expires: Timestamp) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({ "alg": "ES256", "typ": "JWT" }));
    let claims = part(json!({ "installation": installation, "serial": serial, "exp": expires.as_second() }));
    format!(
        "ghs_{app}_{head}.{claims}.{}",
        URL_SAFE_NO_PAD.encode([0xfb; 256])
    )
}

fn validate(received: &Received) -> Result<(), Answer> {
    let too_long = |text: &str, chars: usize| {
        is_longer(text, chars).then(|| format!("is too long (maximum is {chars} characters)"))
    };
    let description = received.description.as_deref().unwrap_or_default();
    let state_is_known = matches!(
        received.state.as_str(),
        "error" | "failure" | "pending" | "success"
    );
    let url_is_good = received.target_url.as_deref().is_none_or(is_web_address);
    let faults = [
        (!state_is_known).then(|| "State is not included in the list".to_owned()),
        too_long(description, MAX_DESCRIPTION_CHARS).map(|fault| format!("Description {fault}")),
        too_long(&received.context, MAX_CONTEXT_CHARS).map(|fault| format!("Context {fault}")),
        (!url_is_good).then(|| "Target url must use http(s) scheme".to_owned()),
    ];
    let faults: Vec<String> = faults.into_iter().flatten().collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(invalid(&faults.join(", ")))
}

/// `errors` was a list of objects until 2025, and is a text since: <https://github.com/r-lib/gh/issues/229>.
fn invalid(fault: &str) -> Answer {
    let body = json!({
        "message": "Validation Failed",
        "errors": format!("Validation failed: {fault}"),
        "documentation_url": STATUS_DOCS,
        "status": "422",
    });
    Answer::json(StatusCode::UNPROCESSABLE_ENTITY, body)
}

/// <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api>
fn unreadable(error: &BodyError, docs: &str) -> Answer {
    let message = match error {
        BodyError::NotJson => "Problems parsing JSON",
        BodyError::NotAnObject => "Body should be a JSON object",
    };
    refusal(StatusCode::BAD_REQUEST, message, docs)
}

fn unauthorized(message: &str) -> Answer {
    refusal(StatusCode::UNAUTHORIZED, message, DOCS)
}

fn forbidden(message: &str) -> Answer {
    refusal(StatusCode::FORBIDDEN, message, STATUS_DOCS)
}

fn suspended(docs: &str) -> Answer {
    refusal(
        StatusCode::FORBIDDEN,
        "This installation has been suspended",
        docs,
    )
}

fn not_found(docs: &str) -> Answer {
    refusal(StatusCode::NOT_FOUND, "Not Found", docs)
}

fn refusal(status: StatusCode, message: &str, docs: &str) -> Answer {
    let body = json!({ "message": message, "documentation_url": docs, "status": status.as_str() });
    Answer::json(status, body)
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    use base64::engine::general_purpose::STANDARD;
    use jsonwebtoken::{EncodingKey, Header};

    use super::super::testing::*;
    use super::super::{HostKind, Post, StandIn, Token};
    use super::*;

    const TOKEN: &str = "github_pat_x";

    fn good() -> Ask {
        Ask::post(
            &format!("/api/v3/repos/acme/fleet/statuses/{SHA}"),
            &[("user-agent", "test"), ("authorization", "Bearer github_pat_x")],
            json!({ "state": "pending", "context": "dev/apps", "description": "progressing" }),
        )
    }

    fn stand_in() -> StandIn {
        StandIn::new(HostKind::GitHub, Token::new("bot", TOKEN))
    }

    fn said(status: u16, message: &str, docs: &str) -> (u16, Value) {
        let body = json!({ "message": message, "documentation_url": docs, "status": status.to_string() });
        (status, body)
    }

    fn fault(text: &str) -> Value {
        json!({
            "message": "Validation Failed",
            "errors": format!("Validation failed: {text}"),
            "documentation_url": STATUS_DOCS,
            "status": "422",
        })
    }

    #[test]
    fn refuses_what_breaks_a_rule() {
        let (_, not_found) = said(404, "Not Found", DOCS);
        let (_, bad) = said(401, "Bad credentials", DOCS);
        let user_agent = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required). Check https://developer.github.com for other possible causes.\r\n";
        let status = |status, message| said(status, message, STATUS_DOCS).1;
        let cases: &[(Change, u16, Value)] = &[
            (|ask| ask.without("user-agent"), 403, user_agent.into()),
            (|ask| ask.header("user-agent", ""), 403, user_agent.into()),
            (|ask| ask.aim("/api/v3", ""), 404, not_found.clone()),
            (|ask| ask.aim("/statuses", "/status"), 404, not_found.clone()),
            (|ask| ask.aim("acme/", ""), 404, not_found.clone()),
            (|ask| ask.aim(SHA, ""), 404, not_found.clone()),
            (|ask| ask.method = "GET", 404, not_found.clone()),
            (|ask| ask.method = "PUT", 404, not_found),
            (
                |ask| ask.without("authorization"),
                401,
                said(401, "Requires authentication", DOCS).1,
            ),
            (|ask| ask.header("authorization", "Bearer x"), 401, bad.clone()),
            (
                |ask| ask.header("authorization", "github_pat_x"),
                401,
                bad.clone(),
            ),
            (
                |ask| ask.header("authorization", "Basic OmdpdGh1Yl9wYXRfeA=="),
                401,
                bad,
            ),
            (
                |ask| ask.raw = Some("{"),
                400,
                status(400, "Problems parsing JSON"),
            ),
            (
                |ask| ask.raw = Some(""),
                400,
                status(400, "Problems parsing JSON"),
            ),
            (
                |ask| ask.raw = Some("[]"),
                400,
                status(400, "Body should be a JSON object"),
            ),
            (
                |ask| ask.aim(SHA, "a1afe267"),
                422,
                status(422, "No commit found for SHA: a1afe267"),
            ),
            (
                |ask| ask.aim(SHA, &SHA.replace('a', "g")),
                422,
                status(
                    422,
                    &format!("No commit found for SHA: {}", SHA.replace('a', "g")),
                ),
            ),
            (
                |ask| ask.set("description", 1),
                422,
                status(
                    422,
                    "Invalid request.\n\nFor 'properties/description', 1 is not a string.",
                ),
            ),
            (
                |ask| ask.unset("state"),
                422,
                fault("State is not included in the list"),
            ),
            (
                |ask| ask.set("state", "failed"),
                422,
                fault("State is not included in the list"),
            ),
            (
                |ask| ask.set("state", "Pending"),
                422,
                fault("State is not included in the list"),
            ),
            (
                |ask| ask.set("description", "é".repeat(141)),
                422,
                fault("Description is too long (maximum is 140 characters)"),
            ),
            (
                |ask| ask.set("context", "é".repeat(256)),
                422,
                fault("Context is too long (maximum is 255 characters)"),
            ),
            (
                |ask| ask.set("target_url", "ssh://x"),
                422,
                fault("Target url must use http(s) scheme"),
            ),
        ];
        asserts_refusals(&mut stand_in(), &good(), cases);
        let both = good().changed(|ask| {
            ask.set("state", "");
            ask.set("target_url", "");
        });
        let text = "State is not included in the list, Target url must use http(s) scheme";
        assert_eq!(told(&both.send(&mut stand_in())), (422, fault(text)));
    }

    #[test]
    fn takes_what_just_keeps_to_the_rules() {
        let cases: &[Change] = &[
            |ask| ask.header("authorization", "token github_pat_x"),
            |ask| ask.aim(SHA, &SHA.to_uppercase()),
            |ask| ask.set("description", "é".repeat(140)),
            |ask| ask.set("context", "é".repeat(255)),
            |ask| ask.set("target_url", "https://example.com"),
            |ask| ask.set("target_url", Value::Null),
            |ask| ask.unset("description"),
            |ask| ask.set("state", "error"),
            |ask| ask.set("state", "failure"),
            |ask| ask.set("state", "success"),
        ];
        asserts_taken(&mut stand_in(), &good(), cases);
    }

    #[test]
    fn knows_only_what_it_is_told() {
        let unknown = said(422, &format!("No commit found for SHA: {SHA}"), STATUS_DOCS);
        let mut host = stand_in();
        host.forget_commit(&SHA.to_uppercase());
        assert_eq!(told(&good().send(&mut host)), unknown);
        host.learn_commit(SHA);
        assert_eq!(good().send(&mut host).status, 201);
        host.know_only_commits([OTHER_SHA]);
        assert_eq!(told(&good().send(&mut host)), unknown);
        host.learn_commit(&SHA.to_uppercase());
        host.know_only_repositories(["acme/other"]);
        assert_eq!(told(&good().send(&mut host)), said(404, "Not Found", STATUS_DOCS));
        host.learn_repository("Acme/Fleet");
        assert_eq!(good().send(&mut host).status, 201);
        host.forget_repository("acme/FLEET");
        assert_eq!(good().send(&mut host).status, 404);
    }

    #[test]
    fn a_token_is_let_in_until_another_takes_its_place() {
        let mut host = stand_in();
        host.set_token(Token::new("bot", "new"));
        assert_eq!(good().send(&mut host).status, 401);
        let new = good().changed(|ask| ask.header("authorization", "Bearer new"));
        assert_eq!(new.send(&mut host).status, 201);
        host.set_token(Token::new("bot", "new").read_only());
        assert_eq!(
            told(&new.send(&mut host)),
            said(
                403,
                "Resource not accessible by personal access token",
                STATUS_DOCS
            )
        );
        host.revoke("bot");
        assert_eq!(new.send(&mut host).status, 401);
        host.set_token(Token::password("bot", "new"));
        assert_eq!(new.send(&mut host).status, 401);
        assert!(!format!("{host:?}").contains("new"));
    }

    #[test]
    fn the_newest_wins_whatever_the_case() {
        let mut host = stand_in();
        let cases: &[(Change, Option<(&str, &str)>)] = &[
            (|_| (), Some(("pending", "progressing"))),
            (
                |ask| ask.set("state", "success"),
                Some(("success", "progressing")),
            ),
            // A late one shows as well.
            (|ask| ask.set("description", "late"), Some(("pending", "late"))),
            (
                |ask| {
                    ask.aim("acme/fleet", "Acme/Fleet");
                    ask.aim(SHA, &SHA.to_uppercase());
                    ask.set("context", "DEV/Apps");
                    ask.set("state", "failure");
                },
                Some(("failure", "progressing")),
            ),
            (
                |ask| ask.set("context", "dev/other"),
                Some(("failure", "progressing")),
            ),
            (|ask| ask.aim(SHA, OTHER_SHA), Some(("failure", "progressing"))),
            (
                |ask| ask.aim("acme/fleet", "acme/fleets"),
                Some(("failure", "progressing")),
            ),
        ];
        for (change, expected) in cases {
            assert_eq!(good().changed(*change).send(&mut host).status, 201);
            assert_eq!(seen(host.shown("ACME/fleet", SHA, "dev/apps")), *expected);
        }
        let ids: Vec<u64> = host.received().iter().map(|received| received.id).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(host.shown("acme/fleet", SHA, "dev/none"), None);
    }

    #[test]
    fn a_context_has_a_thousand_statuses() {
        let mut host = stand_in();
        let other = good().changed(|ask| ask.set("context", "dev/other"));
        other.send(&mut host);
        for _ in 0..1_000 {
            assert_eq!(good().send(&mut host).status, 201);
        }
        let again = good().changed(|ask| ask.set("context", "Dev/Apps"));
        assert_eq!(
            told(&again.send(&mut host)),
            (
                422,
                fault("This SHA and context has reached the maximum number of statuses.")
            )
        );
        assert_eq!(other.send(&mut host).status, 201);
        assert_eq!(
            good()
                .changed(|ask| ask.aim(SHA, OTHER_SHA))
                .send(&mut host)
                .status,
            201
        );
        assert_eq!(
            good().changed(|ask| ask.aim("fleet", "f")).send(&mut host).status,
            201
        );
    }

    #[test]
    fn answers_with_the_status() {
        let ask = good().changed(|ask| ask.set("target_url", "https://example.com"));
        let status = json!({
            "id": 1,
            "url": format!("/api/v3/repos/acme/fleet/statuses/{SHA}"),
            "state": "pending",
            "description": "progressing",
            "target_url": "https://example.com",
            "context": "dev/apps",
            "created_at": "2026-08-07T13:13:02Z",
            "updated_at": "2026-08-07T13:13:02Z",
            "creator": { "login": "bot" },
        });
        assert_eq!(told(&ask.send(&mut stand_in())), (201, status));
    }

    #[test]
    fn says_what_a_request_is_about() {
        let post = Post {
            repository: "acme/fleet".into(),
            sha: SHA.into(),
            context: "dev/apps".into(),
            name: None,
            state: "pending".into(),
            credential: "Bearer github_pat_x".into(),
        };
        let shouting = good().changed(|ask| {
            ask.aim("acme/fleet", "Acme/Fleet");
            ask.set("context", "Dev/Apps");
        });
        assert_eq!(shouting.read(HostKind::GitHub), Some(post.clone()));
        let bare = good().changed(|ask| {
            ask.headers.clear();
            ask.unset("context");
            ask.set("state", "odd");
        });
        let bare_post = Post {
            context: "default".into(),
            state: "odd".into(),
            credential: String::new(),
            ..post
        };
        assert_eq!(bare.read(HostKind::GitHub), Some(bare_post));
        let nothing: &[Change] = &[
            |ask| ask.method = "GET",
            |ask| ask.aim("/api/v3", "/api/v4"),
            |ask| ask.raw = Some("{"),
            |ask| ask.raw = Some("[]"),
        ];
        for change in nothing {
            assert_eq!(good().changed(*change).read(HostKind::GitHub), None);
        }
    }

    /// Private and public key, each a PEM.
    fn keys() -> &'static (String, String) {
        static KEYS: OnceLock<(String, String)> = OnceLock::new();
        KEYS.get_or_init(new_keys)
    }

    fn new_keys() -> (String, String) {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        let pem = |label: &str, der: &[u8]| {
            let text = STANDARD.encode(der);
            let lines: Vec<&str> = (0..text.len())
                .step_by(64)
                .map(|at| &text[at..text.len().min(at + 64)])
                .collect();
            format!(
                "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
                lines.join("\n")
            )
        };
        (
            pem("PRIVATE KEY", private.as_ref()),
            pem("PUBLIC KEY", public.as_ref()),
        )
    }

    fn proof(header: &Header, claims: &Value, private_key: &str) -> String {
        let key = match header.alg {
            Algorithm::HS256 => EncodingKey::from_secret(private_key.as_bytes()),
            _ => EncodingKey::from_rsa_pem(private_key.as_bytes()).unwrap(),
        };
        format!("Bearer {}", jsonwebtoken::encode(header, claims, &key).unwrap())
    }

    fn claims(issuer: Value, issued: i64, expires: i64) -> Value {
        json!({ "iss": issuer, "iat": NOW + issued, "exp": NOW + expires })
    }

    fn app() -> StandIn {
        let permissions = [("statuses", "write"), ("metadata", "read"), ("contents", "read")];
        let installation = Installation {
            id: 7,
            owner: "Acme".into(),
            is_organization: true,
            repositories: vec!["Fleet".into(), "apps".into()],
            permissions: permissions
                .map(|(name, level)| (name.into(), level.into()))
                .into(),
            is_suspended: false,
        };
        let mut app = App::new(42, &keys().1).unwrap();
        app.installations.push(Installation {
            id: 8,
            owner: "jane".into(),
            is_organization: false,
            permissions: [("statuses".into(), "read".into())].into(),
            repositories: vec!["own".into()],
            ..installation.clone()
        });
        app.installations.push(installation);
        StandIn::new(HostKind::GitHub, app)
    }

    fn app_ask(method: &'static str, target: &str, body: Value) -> Ask {
        let mut ask = Ask::post(target, &[("user-agent", "test")], body);
        ask.method = method;
        ask.header(
            "authorization",
            &proof(
                &Header::new(Algorithm::RS256),
                &claims(42.into(), -60, 540),
                &keys().0,
            ),
        );
        ask
    }

    fn mint(host: &mut StandIn, body: Value) -> (u16, Value) {
        let ask = app_ask("POST", "/api/v3/app/installations/7/access_tokens", body);
        told(&ask.send(host))
    }

    fn post_with(host: &mut StandIn, token: &Value, change: Change) -> (u16, Value) {
        let mut ask = good();
        ask.header("authorization", &format!("Bearer {}", token.as_str().unwrap()));
        told(&ask.changed(change).send(host))
    }

    #[test]
    fn an_app_has_to_prove_itself() {
        let rs256 = || Header::new(Algorithm::RS256);
        let other = new_keys().0;
        let undecodable = "A JSON web token could not be decoded";
        let issued = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued";
        let expires = "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires";
        let too_far = "'Expiration time' claim ('exp') is too far in the future";
        let by = |claims: Value| proof(&rs256(), &claims, &keys().0);
        let mut forged: Vec<String> = by(claims(42.into(), 0, 60))
            .split('.')
            .map(str::to_owned)
            .collect();
        forged[1] = URL_SAFE_NO_PAD.encode(claims(42.into(), 0, 61).to_string());
        let cases = [
            (by(claims(42.into(), -60, 540)), 200, ""),
            (by(claims("42".into(), 0, 600)), 200, ""),
            (by(claims(42.into(), 0, 1)), 200, ""),
            (by(claims(42.into(), 1, 60)), 401, issued),
            (by(json!({ "iss": 42, "exp": NOW + 60 })), 401, issued),
            (
                by(json!({ "iss": 42, "iat": "now", "exp": NOW + 60 })),
                401,
                issued,
            ),
            (by(claims(42.into(), -60, 601)), 401, too_far),
            (by(claims(42.into(), -60, 0)), 401, expires),
            (by(json!({ "iss": 42, "iat": NOW })), 401, expires),
            (by(claims(43.into(), 0, 60)), 404, "Integration not found"),
            (
                by(json!({ "iat": NOW, "exp": NOW + 60 })),
                404,
                "Integration not found",
            ),
            (
                proof(&rs256(), &claims(42.into(), 0, 60), &other),
                401,
                undecodable,
            ),
            // Signed with what everybody knows.
            (
                proof(
                    &Header::new(Algorithm::HS256),
                    &claims(42.into(), 0, 60),
                    &keys().1,
                ),
                401,
                undecodable,
            ),
            (
                proof(
                    &Header::new(Algorithm::RS512),
                    &claims(42.into(), 0, 60),
                    &keys().0,
                ),
                401,
                undecodable,
            ),
            (forged.join("."), 401, undecodable),
            ("Bearer a.b.c".into(), 401, undecodable),
            ("Bearer ghs_x".into(), 401, "Bad credentials"),
            ("Basic YTpi".into(), 401, "Bad credentials"),
        ];
        let mut ask = app_ask("GET", "/api/v3/orgs/acme/installation", Value::Null);
        for (authorization, status, message) in &cases {
            ask.header("authorization", authorization);
            let (code, body) = told(&ask.send(&mut app()));
            let message: Value = if *status == 200 {
                Value::Null
            } else {
                (*message).into()
            };
            assert_eq!((code, &body["message"]), (*status, &message), "{authorization}");
        }
        assert_eq!(ask.send(&mut stand_in()).status, 401);
        ask.header("authorization", &cases[0].0);
        assert_eq!(
            told(&ask.send(&mut stand_in())),
            said(404, "Integration not found", DOCS)
        );
        ask.without("authorization");
        assert_eq!(told(&ask.send(&mut app())), said(401, undecodable, DOCS));
        assert!(App::new(42, "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----").is_err());
    }

    #[test]
    fn an_installation_is_found_by_its_owner() {
        let cases = [
            ("GET", "/api/v3/orgs/acme/installation", 200, json!(7)),
            ("GET", "/api/v3/orgs/ACME/installation", 200, json!(7)),
            ("GET", "/api/v3/users/jane/installation", 200, json!(8)),
            ("GET", "/api/v3/orgs/jane/installation", 404, Value::Null),
            ("GET", "/api/v3/users/acme/installation", 404, Value::Null),
            ("GET", "/api/v3/orgs/other/installation", 404, Value::Null),
            ("POST", "/api/v3/orgs/acme/installation", 404, Value::Null),
            ("GET", "/api/v3/teams/acme/installation", 404, Value::Null),
            ("GET", "/orgs/acme/installation", 404, Value::Null),
        ];
        for (method, target, status, id) in cases {
            let (code, body) = told(&app_ask(method, target, Value::Null).send(&mut app()));
            assert_eq!((code, &body["id"]), (status, &id), "{method} {target}");
            if id == 7 {
                assert_eq!(
                    body["account"],
                    json!({ "login": "Acme", "type": "Organization" })
                );
            }
        }
        let ask = app_ask("GET", "/api/v3/users/jane/installation", Value::Null);
        let (_, body) = told(&ask.send(&mut app()));
        assert_eq!(
            body,
            json!({
                "id": 8,
                "account": { "login": "jane", "type": "User" },
                "repository_selection": "selected",
                "access_tokens_url": "/api/v3/app/installations/8/access_tokens",
                "app_id": 42,
                "target_type": "User",
                "permissions": { "statuses": "read" },
                "suspended_at": null,
            })
        );
    }

    #[test]
    fn a_token_may_do_what_was_asked_for() {
        let missing = "There is at least one repository that does not exist or is not accessible to the parent installation.";
        let ungranted = "The permissions requested are not granted to this installation.";
        let level = "The level of access for permissions requested are not granted to this installation.";
        let no_array = "Invalid request.\n\nFor 'properties/repositories', \"fleet\" is not an array.";
        let no_object = "Invalid request.\n\nFor 'properties/permissions', [] is not an object.";
        let many = vec!["fleet"; 501];
        let cases = [
            (json!({}), 201, ""),
            (json!({ "repositories": ["FLEET"] }), 201, ""),
            (json!({ "repositories": vec!["fleet"; 500] }), 201, ""),
            (
                json!({ "repositories": ["fleet", "apps"], "permissions": { "statuses": "write" } }),
                201,
                "",
            ),
            (json!({ "permissions": { "statuses": "read" } }), 201, ""),
            (json!({ "repositories": ["fleet", "other"] }), 422, missing),
            (json!({ "repositories": ["acme/fleet"] }), 422, missing),
            (json!({ "repositories": [1] }), 422, missing),
            (json!({ "repositories": "fleet" }), 422, no_array),
            (
                json!({ "repositories": many }),
                422,
                "No more than 500 repositories can be specified.",
            ),
            (
                json!({ "permissions": { "statuses": "write", "issues": "read" } }),
                422,
                ungranted,
            ),
            (json!({ "permissions": { "statuses": "admin" } }), 422, level),
            (json!({ "permissions": { "contents": "write" } }), 422, level),
            (json!({ "permissions": { "statuses": "all" } }), 422, level),
            (json!({ "permissions": [] }), 422, no_object),
            (json!([]), 400, "Body should be a JSON object"),
        ];
        for (body, status, message) in cases {
            let (code, answer) = mint(&mut app(), body.clone());
            let message = if status == 201 {
                Value::Null
            } else {
                message.into()
            };
            assert_eq!((code, &answer["message"]), (status, &message), "{body}");
        }
        let cases = [
            ("/api/v3/app/installations/7/access_tokens", 201),
            ("/api/v3/app/installations/9/access_tokens", 404),
            ("/api/v3/app/installations/x/access_tokens", 404),
            ("/app/installations/7/access_tokens", 404),
        ];
        for (target, status) in cases {
            let mut ask = app_ask("POST", target, Value::Null);
            ask.raw = Some("");
            assert_eq!(ask.send(&mut app()).status, status, "{target}");
            ask.raw = Some("{");
            assert_eq!(
                ask.send(&mut app()).status,
                if status == 201 { 400 } else { status },
                "{target}"
            );
        }
    }

    #[test]
    fn a_token_of_an_app_sets_statuses_where_it_may_for_an_hour() {
        let mut host = app();
        let body = json!({ "repositories": ["fleet"], "permissions": { "statuses": "write" } });
        let (_, answer) = mint(&mut host, body);
        let token = answer["token"].clone();
        assert_eq!(
            answer,
            json!({
                "token": token,
                "expires_at": "2026-08-07T14:13:02Z",
                "permissions": { "statuses": "write" },
                "repository_selection": "selected",
                "repositories": [{ "name": "Fleet" }],
            })
        );
        let is_new_kind =
            |token: &str| token.starts_with("ghs_42_") && token.len() > 400 && token.contains('.');
        assert!(is_new_kind(token.as_str().unwrap()));
        let (_, wide) = mint(&mut host, json!({}));
        let (_, weak) = mint(&mut host, json!({ "permissions": { "statuses": "read" } }));
        assert_ne!(token, wide["token"]);

        let (not_found, bad) = (
            said(404, "Not Found", STATUS_DOCS),
            said(401, "Bad credentials", DOCS),
        );
        assert_eq!(post_with(&mut host, &token, |_| ()).0, 201);
        assert_eq!(post_with(&mut host, &token, |ask| ask.at += 3_599).0, 201);
        assert_eq!(post_with(&mut host, &token, |ask| ask.at += 3_600), bad);
        assert_eq!(
            post_with(&mut host, &token, |ask| ask.aim("acme/fleet", "ACME/FLEET")).0,
            201
        );
        assert_eq!(
            post_with(&mut host, &token, |ask| ask.aim("fleet", "apps")),
            not_found
        );
        assert_eq!(
            post_with(&mut host, &token, |ask| ask.aim("acme", "other")),
            not_found
        );
        assert_eq!(
            post_with(&mut host, &wide["token"], |ask| ask.aim("fleet", "apps")).0,
            201
        );
        assert_eq!(
            post_with(&mut host, &wide["token"], |ask| ask.aim("fleet", "none")),
            not_found
        );
        assert_eq!(
            post_with(&mut host, &weak["token"], |_| ()),
            said(403, "Resource not accessible by integration", STATUS_DOCS)
        );
        assert_eq!(host.received()[0].by, "installation 7");
        assert!(!format!("{host:?}").contains(token.as_str().unwrap()));

        let suspended = "This installation has been suspended";
        host.app_mut().unwrap().installations[1].is_suspended = true;
        assert_eq!(mint(&mut host, json!({})), said(403, suspended, TOKEN_DOCS));
        assert_eq!(
            post_with(&mut host, &token, |_| ()),
            said(403, suspended, STATUS_DOCS)
        );
        let ask = app_ask("GET", "/api/v3/orgs/acme/installation", Value::Null);
        assert_eq!(
            told(&ask.send(&mut host)).1["suspended_at"],
            "2026-08-07T13:13:02Z"
        );

        host.app_mut().unwrap().installations[1].is_suspended = false;
        host.app_mut().unwrap().installations[1].repositories.remove(0);
        assert_eq!(post_with(&mut host, &token, |_| ()), not_found);
        host.app_mut().unwrap().installations.clear();
        assert_eq!(post_with(&mut host, &token, |_| ()), bad);
    }

    #[test]
    fn a_token_of_an_app_can_be_given_back() {
        let mut host = app();
        let (_, first) = mint(&mut host, json!({}));
        let (_, second) = mint(&mut host, json!({}));
        let back = |host: &mut StandIn, token: &Value| {
            let mut ask = Ask::post(
                "/api/v3/installation/token",
                &[("user-agent", "test")],
                Value::Null,
            );
            ask.method = "DELETE";
            ask.header("authorization", &format!("Bearer {}", token.as_str().unwrap()));
            told(&ask.send(host))
        };
        let bad = said(401, "Bad credentials", DOCS);

        assert_eq!(back(&mut host, &first["token"]), (204, Value::Null));

        assert_eq!(post_with(&mut host, &first["token"], |_| ()), bad);
        assert_eq!(back(&mut host, &first["token"]), bad);
        assert_eq!(post_with(&mut host, &second["token"], |_| ()).0, 201);
        let (_, third) = mint(&mut host, json!({}));
        assert_ne!(third["token"], first["token"]);
    }
}
