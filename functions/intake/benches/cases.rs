//! One event at intake, from the request to the message on the queue, without network: the queue forgets what it is sent,
//! and the root keys are at hand. For the benchmark beside this file and for `.ci/counts`.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use hmac::{Hmac, KeyInit, Mac};
use intake::event::Limits;
use intake::function_url::presentable;
use intake::handler::{Deps, handle};
use intake::keys::{RootKey, RootKeys, derive_cluster_key};
use intake::ports::{EventQueue, QueueUnavailable, RootKeySource, RootKeyUnavailable};
use intake::root_key_cache::RootKeyCache;
use intake::signature::{Credential, X_SIGNATURE};
use jiff::{SignedDuration, Timestamp};
use lambda_http::http::{Method, StatusCode};
use lambda_http::request::LambdaRequest;
use lambda_http::{Body, Request, RequestExt};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use shared::message::{QueueMessage, event_id};
use shared::{Event, EventMessage};

/// Bytes of a body. An event without a message has some 490; the last is as long as Flux's longest message.
pub(crate) const SIZES: [usize; 4] = [512, 1024, 4096, 39 * 1024];

const CLUSTER: &str = "prod-eu-1";
const GENERATION: u32 = 1;

/// A queue that forgets.
#[derive(Debug)]
pub(crate) struct Forgetful;

impl EventQueue for Forgetful {
    async fn send(&self, message: QueueMessage) -> Result<(), QueueUnavailable> {
        std::hint::black_box(message);
        Ok(())
    }
}

/// Two root keys, as there are from the first rotation on.
#[derive(Debug)]
pub(crate) struct TwoKeys;

impl RootKeySource for TwoKeys {
    async fn fetch(&self) -> Result<RootKeys, RootKeyUnavailable> {
        Ok(root_keys())
    }
}

fn root_keys() -> RootKeys {
    let secret = |character: &str| SecretString::from(character.repeat(64));
    RootKeys::new(&secret("k"), Some(&secret("p"))).expect("64 bytes are enough")
}

/// What the events here are filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// The objects Flux has applied, one a line.
    Ascii,
    /// Of which each character is an escape in ASCII: the most a body can grow but for control characters.
    NotAscii,
}

/// The function, warm, and a request to it.
pub(crate) struct Intake {
    deps: Deps<Forgetful, TwoKeys>,
    now: Timestamp,
    body: Vec<u8>,
    key: SecretString,
    credential: Credential,
    request: Request,
}

impl Intake {
    /// With a body of so many bytes, signed by the cluster it names.
    pub(crate) fn new(bytes: usize, text: Text) -> Self {
        let body = body(bytes, text);
        let keys = root_keys();
        let key = derive_cluster_key(&keys.current, CLUSTER, GENERATION);
        let request = request(&body, &signature(&key, &body));
        let event: Event = serde_json::from_slice(&body).expect("an event");
        let intake = Self {
            deps: Deps {
                queue: Forgetful,
                keys: RootKeyCache::new(TwoKeys),
                limits: Limits::default(),
            },
            now: event.timestamp + SignedDuration::from_secs(1),
            credential: Credential::from_headers(request.headers()).expect("signed"),
            body,
            key,
            request,
        };
        assert_eq!(intake.receive(intake.request()), StatusCode::ACCEPTED);
        intake
    }

    /// The same, whose signature is wrong: both root keys are tried.
    pub(crate) fn forged(bytes: usize) -> Self {
        let mut intake = Self::new(bytes, Text::Ascii);
        intake.request = request(&intake.body, &"0".repeat(64));
        assert_eq!(intake.receive(intake.request()), StatusCode::UNAUTHORIZED);
        intake
    }

    /// One request more.
    pub(crate) fn request(&self) -> Request {
        self.request.clone()
    }

    /// All that intake does with a request, but for the network.
    pub(crate) fn receive(&self, request: Request) -> StatusCode {
        at_once(handle(&self.deps, request, self.now)).status()
    }

    /// What Lambda hands over.
    pub(crate) fn at_the_url(&self) -> String {
        let body = std::str::from_utf8(&self.body).expect("JSON");
        let signature = self.request.headers()[X_SIGNATURE].to_str().expect("ASCII");
        function_url_event(body, signature).to_string()
    }

    /// What `lambda_http` and [`presentable`] do with it.
    pub(crate) fn read(payload: &str) -> Request {
        let event: LambdaRequest = serde_json::from_str(payload).expect("an event of a function URL");
        presentable(event).into()
    }

    /// One part: whose key it is, from the root key.
    pub(crate) fn derive(root: &RootKey) -> SecretString {
        derive_cluster_key(root, CLUSTER, GENERATION)
    }

    /// One part: the signature.
    pub(crate) fn verify(&self) -> bool {
        self.credential.was_made_with(&self.key, &self.body)
    }

    /// One part: what the event is called from here on.
    pub(crate) fn name(&self) -> String {
        event_id(CLUSTER, GENERATION, &self.body)
    }

    /// One part: reading the body.
    pub(crate) fn parse(&self) -> Event {
        intake::event::parse(&self.body).expect("an event")
    }

    /// One part: writing the message. It takes what `parse` has made.
    pub(crate) fn message(&self) -> EventMessage {
        EventMessage {
            id: self.name(),
            cluster: CLUSTER.into(),
            generation: GENERATION,
            previous_root_key: false,
            received_at: self.now,
            event: self.parse(),
        }
    }
}

/// The root key the keys of clusters are made from.
pub(crate) fn root_key() -> RootKey {
    root_keys().current
}

/// An event of exactly so many bytes.
fn body(bytes: usize, text: Text) -> Vec<u8> {
    let fixture = include_str!("../../../tests/fixtures/flux-events/02-kustomization-progressing-apply.json");
    let mut event: Value = serde_json::from_str(fixture).expect("JSON");
    event["message"] = json!("");
    let mut message = String::new();
    // `\n` is two bytes in JSON.
    let mut left = bytes - event.to_string().len();
    for number in 0.. {
        let line = match text {
            Text::Ascii => format!("Deployment/apps/service-{number:04} configured\n"),
            Text::NotAscii => "é".to_owned(),
        };
        let length = json!(line).to_string().len() - 2;
        if length > left {
            break;
        }
        message.push_str(&line);
        left -= length;
    }
    message.push_str(&"x".repeat(left));
    event["message"] = json!(message);
    let body = event.to_string().into_bytes();
    assert_eq!(body.len(), bytes);
    body
}

fn signature(key: &SecretString, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).expect("of any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn request(body: &[u8], signature: &str) -> Request {
    let body = std::str::from_utf8(body).expect("JSON").to_owned();
    let mut request = Request::new(Body::Text(body));
    *request.method_mut() = Method::POST;
    let signature = format!("sha256={signature}").parse().expect("a header");
    request.headers_mut().insert(X_SIGNATURE, signature);
    request.with_raw_http_path(format!("/events/{CLUSTER}"))
}

fn function_url_event(body: &str, signature: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": format!("/events/{CLUSTER}"), "rawQueryString": "",
        "headers": {
            "host": "abc.lambda-url.eu-west-1.on.aws", "x-forwarded-proto": "https", "x-forwarded-port": "443",
            "x-forwarded-for": "198.51.100.7", "user-agent": "Go-http-client/1.1", "accept-encoding": "gzip",
            "content-type": "application/json", "content-length": body.len().to_string(),
            "gotk-component": "kustomize-controller", "x-amzn-trace-id": "Root=1-6895d1a0-0123456789abcdef01234567",
            X_SIGNATURE: signature,
        },
        "requestContext": {
            "accountId": "anonymous", "apiId": "abc", "domainName": "abc.lambda-url.eu-west-1.on.aws",
            "domainPrefix": "abc", "requestId": "4c8f3d58-6a0b-4b5e-9d0f-0a9a52b1d1f7", "routeKey": "$default",
            "stage": "$default", "time": "07/Aug/2026:13:12:44 +0000", "timeEpoch": 1_786_108_364_000_i64,
            "http": {
                "method": "POST", "path": format!("/events/{CLUSTER}"), "protocol": "HTTP/1.1",
                "sourceIp": "198.51.100.7", "userAgent": "Go-http-client/1.1",
            },
        },
        "body": body, "isBase64Encoded": false,
    })
}

/// What a future gives that has nothing to wait for: no runtime is measured along.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}
