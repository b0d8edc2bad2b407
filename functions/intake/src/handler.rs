//! One HTTP request: from the function URL to the queue, or to a refusal the sender can do something about.

use jiff::Timestamp;
use lambda_http::http::header::{ALLOW, CONTENT_TYPE};
use lambda_http::http::{HeaderValue, StatusCode};
use lambda_http::{Body, Request, RequestExt, Response};
use serde_json::json;
use shared::message::{QueueMessage, event_id};
use shared::metrics::{OUTCOME, REQUESTS};
use shared::{ErrorChain, EventMessage, Severity};
use tracing::field::display;

use crate::address::{ClusterName, MAX_CLUSTER_NAME_CHARS, Route, generation};
use crate::event::{self, Limits};
use crate::keys::{RootKeys, Which, derive_cluster_key};
use crate::ports::{EventQueue, RootKeySource, RootKeyUnavailable};
use crate::refusal::{Distrust, Refusal, Unavailable};
use crate::root_key_cache::RootKeyCache;
use crate::signature::Credential;

/// Longest body. Flux documents messages of at most 39,000 characters; this leaves room for metadata.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// Longest message SQS takes
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
/// Written in ASCII a body can grow sixfold: refused here it is told so once, refused by SQS it would come
/// back for ever.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Characters of an unknown path that are logged: enough to see what was meant.
const MAX_LOGGED_PATH_CHARS: usize = 100;

/// The word for an event that was taken.
const ACCEPTED: &str = "accepted";

/// What the function works with; made once and kept warm.
#[derive(Debug)]
pub struct Deps<Q, R> {
    /// Where events go.
    pub queue: Q,
    /// The root keys.
    pub keys: RootKeyCache<R>,
    /// How old an event may be.
    pub limits: Limits,
}

/// Answers a request. Whatever goes wrong becomes an answer: an error would be an opaque 502.
pub async fn handle<Q, R>(deps: &Deps<Q, R>, request: Request, now: Timestamp) -> Response<Body>
where
    Q: EventQueue,
    R: RootKeySource,
{
    let path = match request.raw_http_path() {
        // A request that did not come as a function URL's event.
        "" => request.uri().path(),
        raw => raw,
    };
    let mut facts = Facts::default();
    let result = match Route::find(request.method(), path) {
        Ok(Route::Health) => {
            tracing::debug!(
                outcome = "healthy",
                http.status = StatusCode::OK.as_u16(),
                "healthy"
            );
            count("healthy");
            return answer(StatusCode::OK, &json!({"status": "ok"}));
        }
        Ok(Route::Events { cluster }) => receive(deps, &request, cluster, now, &mut facts).await,
        Err(refusal) => {
            facts.path = Some(cut(path, MAX_LOGGED_PATH_CHARS));
            Err(refusal)
        }
    };
    facts.log(&result);
    count(match &result {
        Ok(_) => ACCEPTED,
        Err(refusal) => refusal.word(),
    });
    match result {
        Ok(id) => answer(StatusCode::ACCEPTED, &json!({"status": ACCEPTED, "id": id})),
        Err(refusal) => refuse(&refusal),
    }
}

/// Takes an event in and returns its id once the queue has it.
async fn receive<Q, R>(
    deps: &Deps<Q, R>,
    request: &Request,
    cluster: &str,
    now: Timestamp,
    facts: &mut Facts,
) -> Result<String, Refusal>
where
    Q: EventQueue,
    R: RootKeySource,
{
    facts.cluster = Some(cut(cluster, MAX_CLUSTER_NAME_CHARS));
    let body: &[u8] = request.body();
    if body.len() > MAX_BODY_BYTES {
        return Err(Refusal::TooLarge);
    }

    let claim = Claim::from_request(request, cluster).map_err(Refusal::Unauthorized)?;
    facts.generation = Some(claim.generation);
    let trusted = authenticate(&deps.keys, &claim, body, now).await?;
    facts.stale_keys = trusted.stale_keys;

    let id = event_id(claim.cluster.as_str(), claim.generation, body);
    facts.id = Some(id.clone());
    let message = facts.message.insert(EventMessage {
        id: id.clone(),
        cluster: claim.cluster.as_str().to_owned(),
        generation: claim.generation,
        previous_root_key: trusted.root_key == Which::Previous,
        received_at: now,
        event: event::parse(body)?,
    });
    deps.limits.check(message.event.timestamp, now)?;
    deps.queue
        .send(to_queue(message)?)
        .await
        .map_err(|error| Refusal::Unavailable(error.into()))?;
    Ok(id)
}

fn to_queue(message: &EventMessage) -> Result<QueueMessage, Refusal> {
    let message = message
        .to_queue()
        .map_err(|error| Refusal::Unavailable(Unavailable::Message(error)))?;
    if message.body.len() > MAX_MESSAGE_BYTES {
        return Err(Refusal::TooLarge);
    }
    Ok(message)
}

/// Who a request says it is from, and what it offers to be believed.
struct Claim {
    cluster: ClusterName,
    generation: u32,
    credential: Credential,
}

impl Claim {
    fn from_request(request: &Request, cluster: &str) -> Result<Self, Distrust> {
        Ok(Self {
            cluster: cluster.parse()?,
            generation: generation(request.uri().query())?,
            credential: Credential::from_headers(request.headers())?,
        })
    }

    /// The root key by which the claim holds, if it does.
    fn holds_by(&self, keys: &RootKeys, body: &[u8]) -> Option<Which> {
        let mut holding = keys.iter().filter(|(_, root)| {
            let key = derive_cluster_key(root, self.cluster.as_str(), self.generation);
            self.credential.was_made_with(&key, body)
        });
        holding.next().map(|(which, _)| which)
    }
}

/// A claim that holds.
struct Trusted {
    /// By which root key.
    root_key: Which,
    /// Why the root keys are stale, if they are.
    stale_keys: Option<RootKeyUnavailable>,
}

async fn authenticate<R: RootKeySource>(
    cache: &RootKeyCache<R>,
    claim: &Claim,
    body: &[u8],
    now: Timestamp,
) -> Result<Trusted, Refusal> {
    let unavailable = |error: RootKeyUnavailable| Refusal::Unavailable(error.into());
    let at_hand = cache.get(now).await.map_err(unavailable)?;
    if let Some(root_key) = claim.holds_by(&at_hand.keys, body) {
        let stale_keys = at_hand.stale;
        return Ok(Trusted { root_key, stale_keys });
    }
    let newer = cache.newer_than(&at_hand.keys, now).await.map_err(unavailable)?;
    let root_key = newer.and_then(|newer| claim.holds_by(&newer, body));
    let root_key = root_key.ok_or(Refusal::Unauthorized(Distrust::Mismatch))?;
    Ok(Trusted {
        root_key,
        stale_keys: None,
    })
}

fn count(outcome: &'static str) {
    metrics::counter!(REQUESTS, OUTCOME => outcome).increment(1);
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    let mut response = answer(
        refusal.status(),
        &json!({"status": refusal.word(), "message": refusal.to_string()}),
    );
    if let Refusal::MethodNotAllowed { allowed } = refusal
        && let Ok(allowed) = HeaderValue::from_str(allowed.as_str())
    {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::Text(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What is known about a request by the time it is answered, for its one log line.
#[derive(Default)]
struct Facts {
    path: Option<String>,
    cluster: Option<String>,
    generation: Option<u32>,
    id: Option<String>,
    message: Option<EventMessage>,
    stale_keys: Option<RootKeyUnavailable>,
}

impl Facts {
    fn log(&self, result: &Result<String, Refusal>) {
        let event = self.message.as_ref().map(|message| &message.event);
        let object = event.map(|event| &event.involved_object);
        let stale_keys = self.stale_keys.as_ref().map(|error| display(ErrorChain(error)));
        // A macro, because the level is part of what tracing registers for a line.
        macro_rules! line {
            ($level:ident, $outcome:expr, $status:expr, $error:expr, $text:literal) => {
                tracing::$level!(
                    outcome = $outcome,
                    http.status = $status.as_u16(),
                    http.path = self.path,
                    event.id = self.id,
                    event.cluster = self.cluster,
                    event.generation = self.generation,
                    event.kind = object.map(|object| object.kind.as_str()),
                    event.namespace = object.map(|object| object.namespace.as_str()),
                    event.name = object.map(|object| object.name.as_str()),
                    event.reason = event.map(|event| event.reason.as_str()),
                    event.severity = event.map(|event| severity(event.severity)),
                    event.timestamp = event.map(|event| display(event.timestamp)),
                    root_key.stale = stale_keys,
                    error = $error,
                    $text
                )
            };
        }
        match result {
            Ok(_) if self.stale_keys.is_some() => {
                line!(
                    warn,
                    ACCEPTED,
                    StatusCode::ACCEPTED,
                    None::<&str>,
                    "event accepted with an old root key"
                )
            }
            Ok(_) => line!(
                info,
                ACCEPTED,
                StatusCode::ACCEPTED,
                None::<&str>,
                "event accepted"
            ),
            Err(refusal) => {
                let (word, status) = (refusal.word(), refusal.status());
                let error = display(ErrorChain(refusal.cause()));
                if matches!(refusal, Refusal::Unavailable(_)) {
                    line!(error, word, status, error, "event not taken: try again")
                } else {
                    line!(warn, word, status, error, "request refused")
                }
            }
        }
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Trace => "trace",
        Severity::Info => "info",
        Severity::Error => "error",
    }
}

fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}
