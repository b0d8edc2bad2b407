//! Events that no cluster sends by accident: each has its documented answer, and never a 5xx, which Flux would repeat.

#![expect(clippy::unwrap_used, reason = "a test may fail wherever it likes")]

use std::sync::{Arc, Mutex};

use intake::event::Limits;
use intake::handler::{Deps, MAX_BODY_BYTES, MAX_MESSAGE_BYTES, handle};
use intake::keys::{RootKey, RootKeys, derive_cluster_key};
use intake::ports::{EventQueue, QueueUnavailable, RootKeySource, RootKeyUnavailable};
use intake::root_key_cache::RootKeyCache;
use lambda_http::Body;
use lambda_http::http::Request;
use secrecy::ExposeSecret;
use serde_json::Value;
use shared::EventMessage;
use shared::message::QueueMessage;

const ROOT: &str = "root-key-one-root-key-one-root-key-one";

/// Flux copies an answer into a Kubernetes event, whose note has 1 KiB.
const MAX_ANSWER_BYTES: usize = 1024;

#[derive(Clone, Default)]
struct Queue(Arc<Mutex<Vec<QueueMessage>>>);

impl EventQueue for Queue {
    async fn send(&self, message: QueueMessage) -> Result<(), QueueUnavailable> {
        self.0.lock().unwrap().push(message);
        Ok(())
    }
}

struct Keys;

impl RootKeySource for Keys {
    async fn fetch(&self) -> Result<RootKeys, RootKeyUnavailable> {
        RootKeys::new(&ROOT.into(), None).map_err(RootKeyUnavailable::new)
    }
}

/// What a body with a right credential is answered, and what is on the queue then. Sees to it that the answer is short
/// and that SQS takes the message.
async fn answer(body: impl AsRef<[u8]>) -> (u16, Value, Option<EventMessage>) {
    let queue = Queue::default();
    let deps = Deps {
        queue: queue.clone(),
        keys: RootKeyCache::new(Keys),
        limits: Limits::default(),
    };
    let key = derive_cluster_key(&RootKey::new(&ROOT.into()).unwrap(), "prod-eu-1", 1);
    let request = Request::post("/events/prod-eu-1")
        .header("authorization", format!("Bearer {}", key.expose_secret()))
        .body(Body::from(body.as_ref()))
        .unwrap();

    let response = handle(&deps, request, "2026-08-07T14:00:00Z".parse().unwrap()).await;

    let told: &[u8] = response.body();
    assert!(told.len() <= MAX_ANSWER_BYTES, "{} bytes", told.len());
    let sent = queue.0.lock().unwrap().clone();
    assert_eq!(sent.len(), usize::from(response.status() == 202));
    for message in &sent {
        assert!(message.body.len() <= MAX_MESSAGE_BYTES);
        assert!(message.body.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        for id in [&message.group_id, &message.dedupe_id] {
            assert!(id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }
    let message = sent
        .first()
        .map(|message| serde_json::from_str(&message.body).unwrap());
    (
        response.status().as_u16(),
        serde_json::from_slice(told).unwrap(),
        message,
    )
}

/// The event that is taken.
async fn taken(body: impl AsRef<[u8]>) -> shared::Event {
    let (status, told, message) = answer(body).await;
    assert_eq!((status, &told["status"]), (202, &"accepted".into()), "{told}");
    message.unwrap().event
}

/// Status, word and message of a refusal.
async fn refused(body: impl AsRef<[u8]>) -> (u16, String, String) {
    let (status, told, message) = answer(body).await;
    assert_eq!(message, None);
    let text = |field: &str| told[field].as_str().unwrap().to_owned();
    (status, text("status"), text("message"))
}

/// An event with more fields; each begins with a comma.
fn event_with(fields: &str) -> String {
    format!(
        r#"{{"involvedObject":{{"kind":"Kustomization","namespace":"apps","name":"podinfo"}},"severity":"info","timestamp":"2026-08-07T13:12:43Z","reason":"Progressing"{fields}}}"#
    )
}

fn event_with_message(message: &str) -> String {
    event_with(&format!(r#","message":"{message}""#))
}

/// A message so long that the body has this many bytes.
fn event_of(bytes: usize) -> String {
    let missing = bytes - event_with_message("").len();
    event_with_message(&"x".repeat(missing))
}

#[tokio::test]
async fn p10_the_largest_event_is_taken_and_one_byte_more_is_not() {
    assert_eq!(event_of(MAX_BODY_BYTES).len(), 256 * 1024);

    assert!(taken(event_of(MAX_BODY_BYTES)).await.message.len() > 260_000);
    let (status, word, message) = refused(event_of(MAX_BODY_BYTES + 1)).await;
    assert_eq!((status, word.as_str()), (413, "too-large"));
    assert_eq!(
        message,
        "the event has over 256 KiB: shorten its message or metadata"
    );
}

// Flux documents messages of at most 39,000 characters; four bytes for each are the worst case.
#[tokio::test]
async fn p10_the_longest_message_of_flux_is_taken_in_any_language() {
    for character in ["x", "é", "中", "😀"] {
        let text = character.repeat(39_000);
        assert_eq!(
            taken(event_with_message(&text)).await.message,
            text,
            "{character}"
        );
    }
}

#[tokio::test]
async fn p10_characters_that_sqs_refuses_are_taken_and_arrive() {
    for (written, meant) in [
        ("\u{fffe}\u{ffff}", "\u{fffe}\u{ffff}"),
        (r"\ufffe\uffff", "\u{fffe}\u{ffff}"),
        (r"\u0000\u0001\u001f", "\0\u{1}\u{1f}"),
        ("\u{7f}\u{80}\u{9f}", "\u{7f}\u{80}\u{9f}"),
        (r"\ud83d\ude00", "😀"),
    ] {
        let body = event_with(&format!(
            r#","message":"{written}","metadata":{{"{written}":"{written}"}}"#
        ));
        let event = taken(body).await;
        assert_eq!(event.message, meant);
        assert_eq!(event.metadata[meant], meant);
    }
}

#[tokio::test]
async fn p10_what_grows_too_large_for_sqs_is_refused_once() {
    // Six bytes for each of them in ASCII.
    let (status, word, _) = refused(event_with_message(&"\u{7f}".repeat(180_000))).await;
    assert_eq!((status, word.as_str()), (413, "too-large"));
    let event = taken(event_with_message(&"\u{7f}".repeat(170_000))).await;
    assert_eq!(event.message.len(), 170_000);
}

#[tokio::test]
async fn p10_what_is_no_text_is_refused() {
    let with_bytes = |bytes: &[u8]| {
        let body = event_with_message("~");
        let (before, after) = body.split_once('~').unwrap();
        [before.as_bytes(), bytes, after.as_bytes()].concat()
    };
    for bytes in [
        // Surrogates without their other half, escaped and in the encoding that allows them.
        br"\ud800".as_slice(),
        br"\udc00\ud800",
        br"\ud800x",
        b"\xed\xa0\x80",
        // Cut, overlong and impossible UTF-8.
        b"\xf0\x9f\x98",
        b"\xc0\xaf",
        b"\xff",
        // Control characters that JSON wants escaped.
        b"\0",
        b"\n",
        br"\u12",
        br"\x00",
    ] {
        let (status, word, message) = refused(with_bytes(bytes)).await;
        assert_eq!((status, word.as_str()), (400, "not-an-event"), "{bytes:02x?}");
        assert!(message.starts_with("the body is not JSON (line "), "{message}");
    }
    assert_eq!(taken(with_bytes(b"x")).await.message, "x");
}

#[tokio::test]
async fn p10_deep_json_is_refused_or_read_over() {
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let (open_map, close_map) = (r#"{"a":"#.repeat(20_000), "}".repeat(20_000));
    for body in [open.clone(), format!("{open}{close}"), open_map.clone()] {
        let (status, word, message) = refused(&body).await;
        assert_eq!((status, word.as_str()), (400, "not-an-event"));
        assert!(!message.contains("[["), "{message}");
    }
    for deep in [format!("{open}{close}"), format!("{open_map}1{close_map}")] {
        for field in ["message", "metadata", "reportingController", "involvedObject"] {
            let (status, word, message) = refused(event_with(&format!(r#","{field}":{deep}"#))).await;
            assert_eq!((status, word.as_str()), (400, "not-an-event"));
            assert!(message.len() < 200, "{message}");
        }
        // Nobody reads it, and it is not handed on.
        let event = taken(event_with(&format!(r#","unknown":{deep}"#))).await;
        assert_eq!(event, taken(event_with("")).await);
    }
    assert_eq!(refused(event_with(&format!(r#","unknown":{open}"#))).await.0, 400);
}

#[tokio::test]
async fn p10_metadata_counts_as_the_rest_of_the_body() {
    let one = |bytes: usize| event_with(&format!(r#","metadata":{{"k":"{}"}}"#, "x".repeat(bytes)));
    let many = |count: usize| {
        let keys: Vec<String> = (0..count).map(|n| format!(r#""{n}":"""#)).collect();
        event_with(&format!(r#","metadata":{{{}}}"#, keys.join(",")))
    };

    assert_eq!(refused(one(1024 * 1024)).await.0, 413);
    assert_eq!(taken(one(250_000)).await.metadata["k"].len(), 250_000);
    assert_eq!(refused(many(100_000)).await.0, 413);
    assert_eq!(taken(many(20_000)).await.metadata.len(), 20_000);
    let (status, word, message) = refused(event_with(r#","metadata":{"k":1}"#)).await;
    assert_eq!((status, word.as_str()), (400, "not-an-event"));
    assert_eq!(
        message,
        "metadata is not what Flux sends: expected an object whose values are all text"
    );
}

#[tokio::test]
async fn p10_a_field_that_is_there_twice_is_refused_and_metadata_takes_the_last() {
    for (fields, named) in [
        (r#","severity":"error""#, "the body"),
        (r#","reason":"Other""#, "the body"),
        (r#","metadata":{},"metadata":{}"#, "the body"),
    ] {
        let (status, word, message) = refused(event_with(fields)).await;
        assert_eq!((status, word.as_str()), (400, "not-an-event"));
        assert!(message.starts_with(named), "{fields}: {message}");
    }
    let event = taken(event_with(r#","metadata":{"revision":"a","revision":"b"}"#)).await;
    assert_eq!(event.metadata["revision"], "b");
    taken(event_with(r#","unknown":1,"unknown":2"#)).await;
}

#[tokio::test]
async fn p10_numbers_of_any_size_are_read_over_or_refused() {
    for number in [
        "1e999",
        "-1e-999",
        "-0.0",
        "99999999999999999999999999999999999999",
        &"9".repeat(100_000),
    ] {
        taken(event_with(&format!(r#","unknown":{number}"#))).await;
        for field in ["message", "reportingController"] {
            let (status, word, _) = refused(event_with(&format!(r#","{field}":{number}"#))).await;
            assert_eq!((status, word.as_str()), (400, "not-an-event"), "{field} {number}");
        }
    }
    for year in ["-009999", "9999", "99999999999"] {
        let body = event_with("").replace("2026", year);
        assert_eq!(refused(body).await.0, 400, "{year}");
    }
}
