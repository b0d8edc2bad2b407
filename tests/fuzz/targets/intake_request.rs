//! A request as a function URL hands it over → an answer, and a message on the queue if it says so. The input is
//! written as in HTTP/1.1, without carriage returns; anything else, such as a fixture, is the body of a right request.
//! Each is sent as it is, with a right credential, and with that credential for another cluster.

#![no_main]

use std::sync::Mutex;
use std::time::Duration;

use fuzz::intake::address::{ClusterName, FIRST_GENERATION, generation};
use fuzz::intake::event::Limits;
use fuzz::intake::handler::{Deps, MAX_BODY_BYTES, MAX_MESSAGE_BYTES, handle};
use fuzz::intake::keys::{RootKey, RootKeys, derive_cluster_key};
use fuzz::intake::ports::{EventQueue, QueueUnavailable, RootKeySource, RootKeyUnavailable};
use fuzz::intake::root_key_cache::RootKeyCache;
use fuzz::{fields, head_and_body, sign};
use lambda_http::http::HeaderName;
use lambda_http::{Body, Request, RequestExt};
use libfuzzer_sys::fuzz_target;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use shared::EventMessage;
use shared::message::{QueueMessage, event_id};

const ROOT: &str = "root-key-one-root-key-one-root-key-one";
const NOW: &str = "2026-08-07T14:00:00Z";

/// Flux copies an answer into a Kubernetes event, whose note has 1 KiB.
const MAX_ANSWER_BYTES: usize = 1024;

/// The answers of `docs/errors.md` that need no fault of a port.
const ANSWERS: [(u16, &str); 9] = [
    (200, "ok"),
    (202, "accepted"),
    (400, "not-an-event"),
    (400, "too-old"),
    (400, "clock-ahead"),
    (401, "unauthorized"),
    (404, "not-found"),
    (405, "method-not-allowed"),
    (413, "too-large"),
];

fuzz_target!(|input: &[u8]| {
    let call = Call::read(input);

    let as_it_is = call.send();
    let Some(credential) = call.credential() else {
        assert_ne!(as_it_is.status(), 202);
        return;
    };
    let trusted = Call {
        headers: vec![credential],
        ..call.clone()
    };
    let trusted_answer = trusted.send();
    assert_ne!(trusted_answer.status(), 401);
    // SQS drops the second within five minutes.
    assert_eq!(trusted.send(), trusted_answer);
    // Who is believed is told the same, however he is known.
    if !matches!(as_it_is.status(), 0 | 401) {
        assert_eq!(as_it_is, trusted_answer);
    }

    // Nobody registered it: `handle` cannot know, and whoever asks shall not learn.
    let unknown = Call {
        path: "/events/no-such-cluster".into(),
        ..trusted.clone()
    };
    let mut wrong = trusted;
    wrong.headers = vec![("X-Signature".into(), format!("sha256={}", "0".repeat(64)))];
    if call.path != unknown.path {
        assert_eq!(unknown.send(), wrong.send());
    }
});

#[derive(Clone)]
struct Call<'a> {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: &'a [u8],
}

/// What came of it: status, body, and what is on the queue.
#[derive(Debug, PartialEq)]
struct Outcome(Answer, Vec<QueueMessage>);

#[derive(Debug, PartialEq)]
enum Answer {
    /// It was no request at all.
    None,
    Status(u16, Value),
}

impl Outcome {
    fn status(&self) -> u16 {
        match self.0 {
            Answer::None => 0,
            Answer::Status(status, _) => status,
        }
    }
}

impl<'a> Call<'a> {
    fn read(input: &'a [u8]) -> Self {
        Self::parse(input).unwrap_or_else(|| Self {
            method: "POST".into(),
            path: "/events/dev".into(),
            query: String::new(),
            headers: Vec::new(),
            body: input,
        })
    }

    fn parse(input: &'a [u8]) -> Option<Self> {
        let (head, body) = head_and_body(input)?;
        let mut lines = head.lines();
        let (method, target) = lines.next()?.split_once(' ')?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Some(Self {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            headers: fields(lines)
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            body,
        })
    }

    /// The header with which the cluster in the path is believed, if there can be one.
    fn credential(&self) -> Option<(String, String)> {
        let cluster: ClusterName = self.path.strip_prefix("/events/")?.parse().ok()?;
        let generation = generation(Some(&self.query)).ok()?;
        assert!(generation >= FIRST_GENERATION);
        let key = derive_cluster_key(&root(), cluster.as_str(), generation);
        Some(if self.body.len().is_multiple_of(2) {
            ("X-Signature".into(), sign(&key, self.body))
        } else {
            ("Authorization".into(), format!("Bearer {}", key.expose_secret()))
        })
    }

    /// `None` if `lambda_http` could not make a request of it.
    fn to_request(&self) -> Option<Request> {
        let mut request = Request::new(Body::Binary(self.body.to_vec()));
        *request.method_mut() = self.method.parse().ok()?;
        *request.uri_mut() = format!("https://example.com/?{}", self.query).parse().ok()?;
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().ok()?;
            request.headers_mut().append(name, value.parse().ok()?);
        }
        Some(request.with_raw_http_path(&self.path))
    }

    fn send(&self) -> Outcome {
        let Some(request) = self.to_request() else {
            return Outcome(Answer::None, Vec::new());
        };
        let queue = Queue::default();
        let deps = Deps {
            queue: &queue,
            keys: RootKeyCache::new(Keys),
            limits: Limits::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let response = runtime.block_on(async { handle(&deps, request, NOW.parse().unwrap()).await });

        let status = response.status().as_u16();
        let body: &[u8] = response.body();
        assert!(body.len() <= MAX_ANSWER_BYTES, "{} bytes", body.len());
        let body: Value = serde_json::from_slice(body).unwrap();
        let word = body["status"].as_str().unwrap();
        assert!(ANSWERS.contains(&(status, word)), "{status} {body}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers().contains_key("allow"), status == 405);
        assert!(self.body.len() <= MAX_BODY_BYTES || matches!(status, 200 | 404 | 405 | 413));
        let told = body.to_string();
        assert!(!told.contains(ROOT));

        let sent = queue.0.into_inner().unwrap();
        self.check_queue(status, &body, &sent);
        Outcome(Answer::Status(status, body), sent)
    }

    fn check_queue(&self, status: u16, answer: &Value, sent: &[QueueMessage]) {
        let [message] = sent else {
            assert!(
                sent.is_empty() && status != 202,
                "{status}, {} messages",
                sent.len()
            );
            return;
        };
        assert_eq!(status, 202);
        assert!(message.body.len() <= MAX_MESSAGE_BYTES);
        assert!(message.body.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let event: EventMessage = serde_json::from_str(&message.body).unwrap();
        assert_eq!(answer["id"], event.id.as_str());
        assert_eq!(format!("/events/{}", event.cluster), self.path);
        assert_eq!(event.generation, generation(Some(&self.query)).unwrap());
        assert_eq!(event.id, event_id(&event.cluster, event.generation, self.body));
        let age = Duration::try_from(event.received_at.duration_since(event.event.timestamp));
        assert!(age.is_err() || age.unwrap() <= Duration::from_hours(24));
    }
}

fn root() -> RootKey {
    RootKey::new(&SecretString::from(ROOT)).unwrap()
}

#[derive(Default)]
struct Queue(Mutex<Vec<QueueMessage>>);

impl EventQueue for &Queue {
    async fn send(&self, message: QueueMessage) -> Result<(), QueueUnavailable> {
        self.0.lock().unwrap().push(message);
        Ok(())
    }
}

struct Keys;

impl RootKeySource for Keys {
    async fn fetch(&self) -> Result<RootKeys, RootKeyUnavailable> {
        Ok(RootKeys {
            current: root(),
            previous: None,
        })
    }
}
