//! The function as AWS calls it: a function URL's JSON goes in; an answer, a message and a log line come out.

#![expect(clippy::unwrap_used, reason = "a test may fail wherever it likes")]

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};

use emf::recorded::Recorded;
use intake::event::Limits;
use intake::handler::{Deps, MAX_BODY_BYTES, handle};
use intake::keys::{RootKey, RootKeys, derive_cluster_key};
use intake::ports::{EventQueue, QueueUnavailable, RootKeySource, RootKeyUnavailable};
use intake::root_key_cache::RootKeyCache;
use jiff::{SignedDuration, Timestamp};
use lambda_http::{Body, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use shared::EventMessage;
use shared::message::{QueueMessage, event_id};
use tracing::Level;

const ROOT: &str = "root-key-one-root-key-one-root-key-one";
const NEXT_ROOT: &str = "root-key-two-root-key-two-root-key-two";
const THIRD_ROOT: &str = "root-key-3-root-key-3-root-key-3-root";

// notification-controller internal/notifier/forwarder_test.go.
const BODY: &str = concat!(
    r#"{"involvedObject":{"kind":"GitRepository","namespace":"gitops-system","name":"webapp"},"#,
    r#""severity":"info","timestamp":"2022-09-30T06:40:29Z","message":"message","reason":"reason","#,
    r#""metadata":{"test":"metadata"},"reportingController":"source-controller","#,
    r#""reportingInstance":"source-controller-xyz"}"#
);
const BODY_BASE64: &str = concat!(
    "eyJpbnZvbHZlZE9iamVjdCI6eyJraW5kIjoiR2l0UmVwb3NpdG9yeSIsIm5hbWVzcGFjZSI6ImdpdG9wcy1zeXN0ZW0iLCJu",
    "YW1lIjoid2ViYXBwIn0sInNldmVyaXR5IjoiaW5mbyIsInRpbWVzdGFtcCI6IjIwMjItMDktMzBUMDY6NDA6MjlaIiwibWVz",
    "c2FnZSI6Im1lc3NhZ2UiLCJyZWFzb24iOiJyZWFzb24iLCJtZXRhZGF0YSI6eyJ0ZXN0IjoibWV0YWRhdGEifSwicmVwb3J0",
    "aW5nQ29udHJvbGxlciI6InNvdXJjZS1jb250cm9sbGVyIiwicmVwb3J0aW5nSW5zdGFuY2UiOiJzb3VyY2UtY29udHJvbGxl",
    "ci14eXoifQ=="
);
const RECEIVED: &str = "2022-09-30T06:40:30Z";

#[derive(Clone, Default)]
struct Queue {
    is_away: Arc<Mutex<bool>>,
    sent: Arc<Mutex<Vec<QueueMessage>>>,
}

impl EventQueue for Queue {
    async fn send(&self, message: QueueMessage) -> Result<(), QueueUnavailable> {
        if *self.is_away.lock().unwrap() {
            return Err(QueueUnavailable::new("connection refused"));
        }
        self.sent.lock().unwrap().push(message);
        Ok(())
    }
}

/// Current and previous root key.
type Keys = (&'static str, Option<&'static str>);

/// Holds the root keys, or is away.
#[derive(Clone, Default)]
struct Store {
    keys: Arc<Mutex<Option<Keys>>>,
    reads: Arc<AtomicUsize>,
}

impl RootKeySource for Store {
    async fn fetch(&self) -> Result<RootKeys, RootKeyUnavailable> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let (current, previous) = self
            .keys
            .lock()
            .unwrap()
            .ok_or_else(|| RootKeyUnavailable::new("access denied"))?;
        RootKeys::new(&current.into(), previous.map(SecretString::from).as_ref())
            .map_err(RootKeyUnavailable::new)
    }
}

struct Function {
    queue: Queue,
    store: Store,
    deps: Deps<Queue, Store>,
}

struct Answer {
    status: u16,
    body: Value,
    response: Response<Body>,
    log: String,
}

impl Function {
    fn new() -> Self {
        hear_everything();
        let (queue, store) = (Queue::default(), Store::default());
        let function = Self {
            deps: Deps {
                queue: queue.clone(),
                keys: RootKeyCache::new(store.clone()),
                limits: Limits::default(),
            },
            queue,
            store,
        };
        function.rotate_to(Some((ROOT, None)));
        function
    }

    fn rotate_to(&self, keys: Option<Keys>) {
        *self.store.keys.lock().unwrap() = keys;
    }

    fn sent(&self) -> Vec<QueueMessage> {
        self.queue.sent.lock().unwrap().clone()
    }

    fn reads(&self) -> usize {
        self.store.reads.load(Ordering::Relaxed)
    }

    async fn answer(&self, call: &Call) -> Answer {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::INFO)
            .without_time()
            .with_ansi(false)
            .with_writer({
                let log = log.clone();
                move || log.clone()
            })
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let request = lambda_http::request::from_str(&call.to_json()).unwrap();
        let response = handle(&self.deps, request, call.now).await;
        drop(guard);
        assert!(!matches!(response.status().as_u16(), 204 | 300..=399));
        assert_eq!(response.headers()["content-type"], "application/json");
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let signature = call.headers["x-signature"].as_str().unwrap_or(ROOT);
        for secret in [ROOT, NEXT_ROOT, THIRD_ROOT, call.key.expose_secret(), signature] {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
        Answer {
            status: response.status().as_u16(),
            body: serde_json::from_slice(response.body()).unwrap(),
            response,
            log,
        }
    }

    async fn status(&self, call: &Call) -> u16 {
        self.answer(call).await.status
    }
}

/// What is logged is always heard by somebody. A line that is first passed on another thread, while nobody listens and this
/// one begins to, could be taken for one that never matters.
fn hear_everything() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_writer(io::sink).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A request as a cluster called `prod-eu-1` sends it, until something is changed.
#[derive(Clone)]
struct Call {
    method: &'static str,
    path: String,
    query: String,
    headers: Value,
    body: String,
    is_base64: bool,
    now: Timestamp,
    key: SecretString,
}

impl Call {
    fn new() -> Self {
        Self::with_body(BODY)
    }

    fn with_body(body: &str) -> Self {
        Self {
            method: "POST",
            path: "/events/prod-eu-1".into(),
            query: String::new(),
            headers: json!({}),
            body: body.into(),
            is_base64: false,
            now: RECEIVED.parse().unwrap(),
            key: key(ROOT, "prod-eu-1", 1),
        }
        .signed()
    }

    fn with_key(mut self, key: SecretString) -> Self {
        self.key = key;
        self.signed()
    }

    fn signed(mut self) -> Self {
        self.headers = json!({"x-signature": sign(&self.key, self.body.as_bytes())});
        self
    }

    fn after(mut self, seconds: i64) -> Self {
        self.now += SignedDuration::from_secs(seconds);
        self
    }

    // As in https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads.
    fn to_json(&self) -> String {
        let mut headers = json!({
            "content-type": "application/json",
            "gotk-component": "source-controller",
            "user-agent": "Go-http-client/1.1",
            "accept-encoding": "gzip",
            "host": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws",
            "x-forwarded-proto": "https",
            "x-forwarded-port": "443",
            "x-forwarded-for": "192.0.2.1",
            "x-amzn-trace-id": "Root=1-63368b4d-0123456789abcdef01234567",
        });
        for (name, value) in self.headers.as_object().unwrap() {
            headers[name] = value.clone();
        }
        let mut event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": self.path,
            "rawQueryString": self.query,
            "headers": headers,
            "requestContext": {
                "accountId": "anonymous",
                "apiId": "abcdefghijklmnopqrstuvwxyz012345",
                "domainName": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws",
                "domainPrefix": "abcdefghijklmnopqrstuvwxyz012345",
                "http": {
                    "method": self.method,
                    "path": self.path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.1",
                    "userAgent": "Go-http-client/1.1",
                },
                "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599",
                "routeKey": "$default",
                "stage": "$default",
                "time": "30/Sep/2022:06:40:30 +0000",
                "timeEpoch": 1_664_520_030_000_u64,
            },
            "isBase64Encoded": self.is_base64,
        });
        if !self.body.is_empty() {
            event["body"] = json!(self.body);
        }
        event.to_string()
    }
}

fn key(root: &str, cluster: &str, generation: u32) -> SecretString {
    derive_cluster_key(&RootKey::new(&root.into()).unwrap(), cluster, generation)
}

fn sign(key: &SecretString, body: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.expose_secret().as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_good_event_is_accepted_once_the_queue_has_it() {
    let function = Function::new();

    let answer = function.answer(&Call::new()).await;

    let id = event_id("prod-eu-1", 1, BODY.as_bytes());
    assert_eq!(answer.status, 202);
    assert_eq!(answer.body, json!({"status": "accepted", "id": id}));
    let sent = function.sent();
    assert_eq!(sent.len(), 1);
    let message: EventMessage = serde_json::from_str(&sent[0].body).unwrap();
    assert_eq!(message.id, id);
    assert_eq!(message.cluster, "prod-eu-1");
    assert_eq!(message.generation, 1);
    assert_eq!(message.received_at, RECEIVED.parse().unwrap());
    assert_eq!(message.event, serde_json::from_str(BODY).unwrap());
    assert_eq!(sent[0], message.to_queue().unwrap());
    assert_eq!(
        answer.log,
        format!(
            " INFO intake::handler: event accepted outcome=\"accepted\" http.status=202 event.id=\"{id}\" \
             event.cluster=\"prod-eu-1\" event.generation=1 event.kind=\"GitRepository\" \
             event.namespace=\"gitops-system\" event.name=\"webapp\" event.reason=\"reason\" \
             event.severity=\"info\" event.timestamp=2022-09-30T06:40:29Z\n"
        )
    );
}

#[tokio::test]
async fn a_body_in_base64_is_the_same_event() {
    let function = Function::new();
    let mut call = Call::new();
    call.body = BODY_BASE64.into();
    call.is_base64 = true;

    let answer = function.answer(&call).await;

    assert_eq!(answer.status, 202);
    assert_eq!(answer.body["id"], event_id("prod-eu-1", 1, BODY.as_bytes()));
}

#[tokio::test]
async fn every_event_flux_sends_is_accepted() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/flux-events");
    let function = Function::new();
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let mut call = Call::with_body(&std::fs::read_to_string(&path).unwrap());
            call.now = "2026-08-07T14:00:00Z".parse().unwrap();

            let answer = function.answer(&call).await;

            assert_eq!(answer.status, 202, "{}: {}", path.display(), answer.body);
            count += 1;
        }
    }
    assert_eq!((count, function.sent().len()), (14, 14));
}

#[tokio::test]
async fn the_key_itself_is_as_good_as_a_signature() {
    let function = Function::new();
    let bearer = |token: &str| {
        let mut call = Call::new();
        call.headers = json!({"authorization": format!("Bearer {token}")});
        call
    };

    assert_eq!(
        function.status(&bearer(Call::new().key.expose_secret())).await,
        202
    );
    assert_eq!(
        function
            .status(&bearer(key(ROOT, "prod-eu-2", 1).expose_secret()))
            .await,
        401
    );
    let mut both = bearer(Call::new().key.expose_secret());
    both.headers["x-signature"] = json!("sha256=00");
    assert_eq!(function.status(&both).await, 401);
}

#[tokio::test]
async fn a_generation_has_its_own_key() {
    let function = Function::new();
    let with_query = |query: &str, generation| {
        let mut call = Call::new().with_key(key(ROOT, "prod-eu-1", generation));
        call.query = query.into();
        call
    };

    assert_eq!(function.status(&with_query("generation=2", 2)).await, 202);
    assert_eq!(function.status(&with_query("generation=1", 1)).await, 202);
    let message: EventMessage = serde_json::from_str(&function.sent()[0].body).unwrap();
    assert_eq!(message.generation, 2);
    assert_eq!(message.id, event_id("prod-eu-1", 2, BODY.as_bytes()));
    for (query, generation) in [
        ("generation=2", 1),
        ("generation=1", 2),
        ("", 2),
        ("generation=02", 2),
        ("generation=%32", 2),
        ("generation=2&generation=2", 2),
        ("generation=0", 0),
        ("generation=1&x=y", 1),
    ] {
        assert_eq!(
            function.status(&with_query(query, generation)).await,
            401,
            "{query}"
        );
    }
}

#[tokio::test]
async fn p8_whatever_is_wrong_with_a_credential_reads_the_same() {
    let function = Function::new();
    let with_headers = |headers| Call {
        headers,
        ..Call::new()
    };
    let with_cluster = |cluster: &str| Call {
        path: format!("/events/{cluster}"),
        ..Call::new().with_key(key(ROOT, cluster, 1))
    };
    let twice = Call::new().headers["x-signature"].as_str().unwrap().to_owned();
    let calls = [
        (
            "it was not made",
            Call::new().with_key(key(NEXT_ROOT, "prod-eu-1", 1)),
        ),
        (
            "it was not made",
            Call {
                path: "/events/prod-eu-2".into(),
                ..Call::new()
            },
        ),
        (
            "it was not made",
            Call {
                body: BODY.replace("info", "error"),
                ..Call::new()
            },
        ),
        ("there is neither", with_headers(json!({}))),
        (
            "there is not exactly one X-Signature",
            with_headers(json!({"x-signature": "sha256=00"})),
        ),
        (
            "there is not exactly one X-Signature",
            with_headers(json!({"x-signature": format!("{twice},{twice}")})),
        ),
        (
            "there is not exactly one Authorization",
            with_headers(json!({"authorization": "Basic eDp5"})),
        ),
        ("the name of the cluster", with_cluster("Prod")),
        ("the name of the cluster", with_cluster("prod%2Deu-1")),
        ("the name of the cluster", with_cluster(&"a".repeat(64))),
        (
            "the query",
            Call {
                query: "generation=+1".into(),
                ..Call::new()
            },
        ),
    ];
    let expected = json!({
        "status": "unauthorized",
        "message": "the signature or token is missing or wrong: use a Provider of type generic-hmac (or \
                    generic with the header Authorization: Bearer) with the address and the key handed out \
                    for this cluster",
    });
    for (cause, call) in calls {
        let answer = function.answer(&call).await;

        assert_eq!((answer.status, &answer.body), (401, &expected), "{cause}");
        assert_eq!(answer.log.lines().count(), 1);
        assert!(
            answer
                .log
                .starts_with(" WARN intake::handler: request refused outcome=\"unauthorized\"")
        );
        assert!(
            answer.log.contains(&format!("error={cause}")),
            "{cause} not in {}",
            answer.log
        );
        assert!(!answer.log.contains(&"a".repeat(64)));
    }
    assert!(function.sent().is_empty());
}

#[tokio::test]
async fn what_is_checked_first_is_answered_first() {
    let function = Function::new();
    let too_large = "x".repeat(MAX_BODY_BYTES + 1);
    let mut call = Call::with_body(&too_large);
    call.headers = json!({});
    call.path = "/other".into();

    assert_eq!(function.status(&call).await, 404);
    call.path = "/events/No_Label".into();
    call.method = "PUT";
    assert_eq!(function.status(&call).await, 405);
    call.method = "POST";
    let answer = function.answer(&call).await;
    assert_eq!(answer.status, 413);
    assert_eq!(
        answer.body,
        json!({
            "status": "too-large",
            "message": "the event has over 256 KiB: shorten its message or metadata",
        })
    );
    assert_eq!(function.reads(), 0);
    call.body.truncate(MAX_BODY_BYTES);
    assert_eq!(function.status(&call).await, 401);
    call.path = "/events/prod-eu-1".into();
    assert_eq!(
        function.answer(&call.clone().signed()).await.body["status"],
        "not-an-event"
    );
    call.body = BODY.replace("webapp", "").replace("2022", "1999");
    assert_eq!(
        function.answer(&call.clone().signed()).await.body["status"],
        "not-an-event"
    );
    call.body = BODY.replace("2022", "1999");
    assert_eq!(function.answer(&call.signed()).await.body["status"], "too-old");
}

#[tokio::test]
async fn what_is_no_event_is_told_the_field() {
    let function = Function::new();
    for (body, message) in [
        (
            "",
            "the body is not JSON (line 1, column 0): expected the event that Flux sends",
        ),
        (
            "x",
            "the body is not JSON (line 1, column 1): expected the event that Flux sends",
        ),
        (
            &BODY.replace(r#","name":"webapp""#, ""),
            "involvedObject.name is missing: expected the name of an object",
        ),
        (
            &BODY.replace("2022-09-30T06:40:29Z", "now"),
            "timestamp is not what Flux sends: expected a time such as 2026-08-07T13:12:43Z",
        ),
    ] {
        let answer = function.answer(&Call::with_body(body)).await;

        assert_eq!(answer.status, 400);
        assert_eq!(answer.body, json!({"status": "not-an-event", "message": message}));
        assert!(answer.log.contains(&format!("error={message}")), "{}", answer.log);
        assert!(answer.log.contains(&format!(
            "event.id=\"{}\"",
            event_id("prod-eu-1", 1, body.as_bytes())
        )));
    }
    assert!(function.sent().is_empty());
}

#[tokio::test]
async fn p7_an_event_out_of_its_time_is_refused_on_receipt() {
    let function = Function::new();
    let day = 24 * 60 * 60;

    // The event is one second old when nothing is added.
    assert_eq!(function.status(&Call::new().after(day - 1)).await, 202);
    let old = function.answer(&Call::new().after(day)).await;
    assert_eq!(function.status(&Call::new().after(-301)).await, 202);
    let ahead = function.answer(&Call::new().after(-302)).await;

    assert_eq!((old.status, ahead.status), (400, 400));
    assert_eq!(
        old.body,
        json!({
            "status": "too-old",
            "message": "the event is 24h 1s old and after 24h it is not taken any more: the next \
                        reconciliation sends a new one",
        })
    );
    assert_eq!(
        ahead.body,
        json!({
            "status": "clock-ahead",
            "message": "the event is 5m 1s ahead of this service and 5m is the most: set the clock of the \
                        cluster",
        })
    );
    assert!(old.log.contains("event.name=\"webapp\""));
    assert_eq!(function.sent().len(), 2);
}

#[tokio::test]
async fn an_event_that_outgrows_a_message_is_too_large() {
    let function = Function::new();
    let with_message = |message: &str| {
        Call::with_body(&BODY.replace("\"message\":\"message\"", &format!("\"message\":\"{message}\"")))
    };

    // Three bytes for each two in UTF-8 fit, six for each DEL do not.
    assert_eq!(function.status(&with_message(&"é".repeat(130_000))).await, 202);
    assert_eq!(
        function.status(&with_message(&"\u{7f}".repeat(200_000))).await,
        413
    );
    assert!(function.sent()[0].body.is_ascii());
}

#[tokio::test]
async fn without_the_queue_the_sender_is_asked_to_try_again() {
    let function = Function::new();
    *function.queue.is_away.lock().unwrap() = true;

    let answer = function.answer(&Call::new()).await;

    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.body,
        json!({"status": "unavailable", "message": "the event could not be taken just now: send it again"})
    );
    assert!(
        answer
            .log
            .starts_with("ERROR intake::handler: event not taken: try again outcome=\"unavailable\"")
    );
    assert!(
        answer
            .log
            .ends_with("error=the events queue did not take the event: connection refused\n")
    );
    assert_eq!(answer.log.lines().count(), 1);
}

#[tokio::test]
async fn without_a_root_key_the_sender_is_asked_to_try_again() {
    let function = Function::new();
    for keys in [None, Some(("too short", None))] {
        function.rotate_to(keys);
        let at = if keys.is_none() { 0 } else { 2 };

        let answer = function.answer(&Call::new().after(at)).await;

        assert_eq!(answer.status, 503);
        assert!(
            answer.log.contains("error=the root key could not be read: "),
            "{}",
            answer.log
        );
        assert!(!answer.log.contains("too short"));
    }
}

#[tokio::test]
async fn a_rotation_rejects_nothing() {
    let function = Function::new();
    let old = Call::new();
    let new = Call::new().with_key(key(NEXT_ROOT, "prod-eu-1", 1));
    assert_eq!(function.status(&old).await, 202);

    function.rotate_to(Some((NEXT_ROOT, Some(ROOT))));
    assert_eq!(function.status(&new.clone().after(10)).await, 202);
    assert_eq!(function.status(&old.clone().after(11)).await, 202);
    assert_eq!(function.reads(), 2);

    function.rotate_to(Some((THIRD_ROOT, Some(NEXT_ROOT))));
    let newest = Call::new().with_key(key(THIRD_ROOT, "prod-eu-1", 1));
    assert_eq!(function.status(&newest.after(30)).await, 202);
    assert_eq!(function.status(&new.after(30)).await, 202);
    assert_eq!(function.status(&old.after(30)).await, 401);
    assert_eq!(function.reads(), 3);

    // Old before the rotation, new, old; newest, new.
    let with_previous = function.sent().into_iter().map(|sent| {
        let message: EventMessage = serde_json::from_str(&sent.body).unwrap();
        message.previous_root_key
    });
    let expected = [false, false, true, false, true];
    assert_eq!(with_previous.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_mismatch_is_no_verdict_while_the_root_key_cannot_be_read() {
    let function = Function::new();
    let wrong = Call::new().with_key(key(NEXT_ROOT, "prod-eu-1", 1));
    assert_eq!(function.status(&wrong).await, 401);
    function.rotate_to(None);

    assert_eq!(function.status(&wrong.clone().after(9)).await, 401);
    assert_eq!(function.status(&wrong.clone().after(10)).await, 503);
    assert_eq!(function.status(&wrong.clone().after(19)).await, 503);
    assert_eq!(function.reads(), 2);
    assert_eq!(function.status(&wrong.clone().after(20)).await, 503);
    assert_eq!(function.reads(), 3);
    function.rotate_to(Some((NEXT_ROOT, Some(ROOT))));
    assert_eq!(function.status(&wrong.after(30)).await, 202);
}

#[tokio::test]
async fn a_match_needs_no_fresh_root_key() {
    let function = Function::new();
    assert_eq!(function.status(&Call::new()).await, 202);
    function.rotate_to(None);

    let answer = function.answer(&Call::new().after(301)).await;

    assert_eq!(answer.status, 202);
    assert_eq!(answer.log.lines().count(), 1);
    assert!(
        answer
            .log
            .starts_with(" WARN intake::handler: event accepted with an old root key")
    );
    assert!(
        answer
            .log
            .contains("root_key.stale=the root key could not be read: access denied")
    );
    let wrong = Call::new().with_key(key(NEXT_ROOT, "prod-eu-1", 1)).after(302);
    assert_eq!(function.status(&wrong).await, 503);
    assert_eq!(function.reads(), 2);
}

#[tokio::test]
async fn wrong_signatures_cost_one_read_in_ten_seconds() {
    let function = Function::new();
    let wrong = Call::new().with_key(key(NEXT_ROOT, "prod-eu-1", 1));

    for second in 0..=60 {
        assert_eq!(function.status(&wrong.clone().after(second)).await, 401);
    }

    assert_eq!(function.reads(), 1 + 6);
}

#[tokio::test]
async fn other_paths_and_methods_are_told_the_right_ones() {
    let function = Function::new();
    let call = |method, path: &str| Call {
        method,
        path: path.into(),
        ..Call::new()
    };

    let health = function.answer(&call("GET", "/healthz")).await;
    assert_eq!((health.status, health.body), (200, json!({"status": "ok"})));
    assert_eq!(health.log, "");
    for path in [
        "/",
        "/events",
        "/events/",
        "/events/a/b",
        "/$default/events/prod-eu-1",
    ] {
        let answer = function.answer(&call("POST", path)).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.log.lines().count(), 1);
        assert!(
            answer.log.contains(&format!("http.path=\"{path}\"")),
            "{}",
            answer.log
        );
    }
    let long = function
        .answer(&call("POST", &format!("/{}", "a".repeat(1000))))
        .await;
    assert!(long.log.len() < 400);
    for (method, path, allowed) in [("GET", "/events/prod-eu-1", "POST"), ("HEAD", "/healthz", "GET")] {
        let answer = function.answer(&call(method, path)).await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.response.headers()["allow"], allowed);
        assert_eq!(answer.body["message"], format!("this path takes {allowed} only"));
    }
    assert_eq!(function.reads(), 0);
}

#[tokio::test]
async fn a_plain_http_request_is_answered_alike() {
    let function = Function::new();
    let call = Call::new().with_key(key(ROOT, "prod-eu-1", 3));
    let request = lambda_http::http::Request::post("/events/prod-eu-1?generation=3")
        .header("X-Signature", call.headers["x-signature"].as_str().unwrap())
        .body(Body::from(BODY.as_bytes()))
        .unwrap();

    let response = handle(&function.deps, request, call.now).await;

    assert_eq!(response.status(), 202);
}

#[tokio::test]
async fn every_answer_is_counted_under_the_word_of_its_log_line() {
    let function = Function::new();
    let recorded = Recorded::default();
    let listening = recorded.listen();
    let mut words = BTreeMap::from([("healthy".to_owned(), 1)]);
    let mut calls = vec![
        Call::new(),
        Call::new(),
        Call::new().with_key(key(ROOT, "another", 1)),
        Call::new().after(25 * 60 * 60),
        Call::new().after(-6 * 60),
        Call::with_body("{"),
        Call::with_body(&"x".repeat(MAX_BODY_BYTES + 1)),
    ];
    let elsewhere = |method, path: &str| Call {
        method,
        path: path.into(),
        ..Call::new()
    };
    calls.push(elsewhere("POST", "/"));
    calls.push(elsewhere("PUT", "/events/prod-eu-1"));
    for call in &calls {
        let log = function.answer(call).await.log;
        let word = log.split("outcome=\"").nth(1).unwrap().split('"').next().unwrap();
        *words.entry(word.to_owned()).or_default() += 1;
    }
    *function.queue.is_away.lock().unwrap() = true;
    assert_eq!(function.status(&Call::new()).await, 503);
    words.insert("unavailable".into(), 1);
    assert_eq!(function.status(&elsewhere("GET", "/healthz")).await, 200);
    drop(listening);

    assert_eq!(words.len(), 10, "the test means to see every word: {words:?}");
    let expected: Vec<String> = words
        .iter()
        .map(|(word, count)| format!("Requests{{Outcome={word}}} {count}"))
        .collect();
    assert_eq!(recorded.sums(), expected);
}
