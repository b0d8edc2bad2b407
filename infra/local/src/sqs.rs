//! The queues of this process as SQS serves them, for the operator's tool: the few operations it uses, in the AWS JSON
//! protocol 1.0 (<https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html>).
//!
//! What the SDK for Rust does not look at is left out: signatures of requests and MD5 sums of bodies. A receive answers
//! at once, however long it would wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::{Router, http};
use cli::queues::Queue;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::message::QueueMessage;

use crate::fifo::{BATCH, Expired, FifoQueue, Taken};

/// SQS's own limit for a message is 1 MiB; a request with one in JSON may be longer.
const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// What every operation's target begins with.
const TARGET: &str = "AmazonSQS.";
/// Account in the addresses of queues.
const ACCOUNT: &str = "000000000000";
/// Used where a request names no other; SQS's default too.
const DEFAULT_VISIBILITY_SECONDS: i64 = 30;

/// Reads the clock.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

#[derive(Clone)]
struct Sqs {
    queues: Arc<BTreeMap<String, Arc<FifoQueue>>>,
    now: Now,
}

/// Serves both queues of a stack and their dead-letter queues at every path.
pub fn router(stack: &str, events: &Arc<FifoQueue>, posts: &Arc<FifoQueue>, now: Now) -> Router {
    let mut queues = BTreeMap::new();
    for (queue, fifo) in [(Queue::Events, events), (Queue::Posts, posts)] {
        queues.insert(queue.name(stack), Arc::clone(fifo));
        if let Some(dead) = fifo.dead_letter_queue() {
            queues.insert(queue.dead_name(stack), Arc::clone(dead));
        }
    }
    let queues = Arc::new(queues);
    Router::new().fallback(answer).with_state(Sqs { queues, now })
}

/// Why a request is refused. The SDK knows an error by the code of the older query protocol, where it has one.
#[derive(Debug)]
struct Refusal {
    shape: &'static str,
    query_code: &'static str,
    message: String,
}

impl Refusal {
    fn new(shape: &'static str, message: impl Into<String>) -> Self {
        Self {
            shape,
            query_code: shape,
            message: message.into(),
        }
    }

    fn no_such_queue(name: &str) -> Self {
        Self {
            query_code: "AWS.SimpleQueueService.NonExistentQueue",
            ..Self::new("QueueDoesNotExist", format!("there is no queue {name}"))
        }
    }
}

impl From<Expired> for Refusal {
    fn from(expired: Expired) -> Self {
        Self::new("InvalidParameterValue", format!("ReceiptHandle: {expired}"))
    }
}

async fn answer(State(sqs): State<Sqs>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let answer = match to_bytes(body, MAX_REQUEST_BYTES).await {
        Ok(body) => sqs.answer(&parts.headers, &body),
        Err(_) => Err(Refusal::new("InvalidMessageContents", "the request is too long")),
    };
    let response = Response::builder().header(header::CONTENT_TYPE, "application/x-amz-json-1.0");
    let (response, body) = match answer {
        Ok(body) => (response, body),
        Err(refusal) => (
            response
                .status(StatusCode::BAD_REQUEST)
                .header("x-amzn-query-error", format!("{};Sender", refusal.query_code)),
            json!({ "__type": format!("com.amazonaws.sqs#{}", refusal.shape), "message": refusal.message }),
        ),
    };
    response
        .body(Body::from(body.to_string()))
        .unwrap_or_else(|_: http::Error| Response::new(Body::empty()))
}

impl Sqs {
    fn answer(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
        let request: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::new("SerializationException", error.to_string()))?;
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let target = header("x-amz-target").unwrap_or_default();
        match target.strip_prefix(TARGET).unwrap_or(target) {
            "GetQueueUrl" => {
                let name = text(&request, "QueueName")?;
                self.named(name)?;
                let host = header(header::HOST.as_str()).unwrap_or("localhost");
                Ok(json!({ "QueueUrl": format!("http://{host}/{ACCOUNT}/{name}") }))
            }
            "GetQueueAttributes" => {
                let count = self.queue(&request)?.count((self.now)());
                Ok(json!({ "Attributes": {
                    "ApproximateNumberOfMessages": count.visible.to_string(),
                    "ApproximateNumberOfMessagesNotVisible": count.invisible.to_string(),
                } }))
            }
            "SendMessage" => {
                let message = QueueMessage {
                    body: text(&request, "MessageBody")?.to_owned(),
                    group_id: text(&request, "MessageGroupId")?.to_owned(),
                    dedupe_id: text(&request, "MessageDeduplicationId")?.to_owned(),
                };
                let id = self.queue(&request)?.send(message, (self.now)());
                Ok(json!({ "MessageId": id }))
            }
            "ReceiveMessage" => {
                let most = request["MaxNumberOfMessages"].as_u64().unwrap_or(1);
                let most = usize::try_from(most).map_or(BATCH, |most| most.clamp(1, BATCH));
                let taken = self
                    .queue(&request)?
                    .take(most, visibility(&request), (self.now)());
                Ok(json!({ "Messages": taken.iter().map(message).collect::<Vec<_>>() }))
            }
            "DeleteMessage" => {
                let receipt = text(&request, "ReceiptHandle")?;
                self.queue(&request)?.delete_taken(receipt, (self.now)())?;
                Ok(json!({}))
            }
            "ChangeMessageVisibilityBatch" => {
                let queue = self.queue(&request)?;
                let (mut successful, mut failed) = (Vec::new(), Vec::new());
                for entry in request["Entries"].as_array().into_iter().flatten() {
                    let receipt = text(entry, "ReceiptHandle")?;
                    let id = text(entry, "Id")?;
                    match queue.change_visibility(receipt, visibility(entry), (self.now)()) {
                        Ok(()) => successful.push(json!({ "Id": id })),
                        Err(Expired) => failed.push(json!({
                            "Id": id, "SenderFault": true, "Code": "MessageNotInflight",
                        })),
                    }
                }
                Ok(json!({ "Successful": successful, "Failed": failed }))
            }
            _ => {
                let message = format!("the local service knows no `{target}`");
                Err(Refusal::new("UnsupportedOperation", message))
            }
        }
    }

    fn queue(&self, request: &Value) -> Result<&FifoQueue, Refusal> {
        let url = text(request, "QueueUrl")?;
        self.named(url.rsplit_once('/').map_or(url, |(_, name)| name))
    }

    fn named(&self, name: &str) -> Result<&FifoQueue, Refusal> {
        let queue = self.queues.get(name).map(AsRef::as_ref);
        queue.ok_or_else(|| Refusal::no_such_queue(name))
    }
}

fn text<'a>(request: &'a Value, field: &str) -> Result<&'a str, Refusal> {
    let missing = || Refusal::new("MissingParameter", format!("the request has no text `{field}`"));
    request[field].as_str().ok_or_else(missing)
}

fn visibility(request: &Value) -> SignedDuration {
    let seconds = request["VisibilityTimeout"].as_i64();
    SignedDuration::from_secs(seconds.unwrap_or(DEFAULT_VISIBILITY_SECONDS))
}

fn message(taken: &Taken) -> Value {
    let Taken {
        message,
        dedupe_id,
        sent_at,
        receipt,
    } = taken;
    json!({
        "MessageId": message.id,
        "ReceiptHandle": receipt,
        "Body": message.body,
        "Attributes": {
            "ApproximateReceiveCount": message.receives.to_string(),
            "MessageDeduplicationId": dedupe_id,
            "MessageGroupId": message.group_id,
            "SentTimestamp": sent_at.as_millisecond().to_string(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sqs::Client;
    use aws_sdk_sqs::types::{
        ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
    };
    use cli::local_instance::sqs_client;
    use std::sync::atomic::{AtomicI64, Ordering};

    use crate::fifo::Settings;

    /// The real client, and a server under a clock that only the test moves.
    struct World {
        client: Client,
        events: Arc<FifoQueue>,
        posts: Arc<FifoQueue>,
        seconds: Arc<AtomicI64>,
        url: String,
        dead_url: String,
    }

    impl World {
        async fn new() -> Self {
            let queue = || {
                Arc::new(FifoQueue::new(Settings {
                    visibility: SignedDuration::from_secs(30),
                    max_receives: 1,
                }))
            };
            let (events, posts) = (queue(), queue());
            let seconds = Arc::new(AtomicI64::new(0));
            let clock = Arc::clone(&seconds);
            let now: Now = Arc::new(move || at(clock.load(Ordering::SeqCst)));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = sqs_client(&format!("http://{}", listener.local_addr().unwrap()));
            let router = router("team-a", &events, &posts, now);
            tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
            let [url, dead_url] = ["team-a-events.fifo", "team-a-events-dead.fifo"]
                .map(|name| client.get_queue_url().queue_name(name).send());
            Self {
                url: url.await.unwrap().queue_url.unwrap(),
                dead_url: dead_url.await.unwrap().queue_url.unwrap(),
                client,
                events,
                posts,
                seconds,
            }
        }

        async fn send(&self, body: &str, dedupe_id: &str) -> String {
            let request = self.client.send_message().queue_url(&self.url).message_body(body);
            let request = request
                .message_group_id("group")
                .message_deduplication_id(dedupe_id);
            request.send().await.unwrap().message_id.unwrap()
        }

        async fn receive(&self, url: &str) -> Vec<Message> {
            let request = self.client.receive_message().queue_url(url);
            let request = request
                .max_number_of_messages(10)
                .visibility_timeout(60)
                .wait_time_seconds(1)
                .message_system_attribute_names(MessageSystemAttributeName::All);
            request.send().await.unwrap().messages.unwrap_or_default()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[tokio::test]
    async fn a_message_is_sent_received_and_deleted_by_the_sdk() {
        let world = World::new().await;
        world.seconds.store(7, Ordering::SeqCst);
        let body = "{\"a\":\"\\u00e9 \\\" é\"}";
        let id = world.send(body, "dedupe").await;
        assert_eq!(world.send("a duplicate", "dedupe").await, id);
        assert!(world.posts.is_empty());

        let messages = world.receive(&world.url).await;
        let [message] = messages.as_slice() else {
            panic!("{messages:?}")
        };
        assert_eq!(
            (message.message_id(), message.body()),
            (Some(id.as_str()), Some(body))
        );
        let attributes = message.attributes().unwrap();
        for (name, expected) in [
            (MessageSystemAttributeName::ApproximateReceiveCount, "1"),
            (MessageSystemAttributeName::MessageDeduplicationId, "dedupe"),
            (MessageSystemAttributeName::MessageGroupId, "group"),
            (MessageSystemAttributeName::SentTimestamp, "7000"),
        ] {
            assert_eq!(attributes[&name], expected, "{name}");
        }

        let delete = || {
            let request = world.client.delete_message().queue_url(&world.url);
            request.set_receipt_handle(message.receipt_handle.clone()).send()
        };
        world.seconds.store(67, Ordering::SeqCst);
        let error = delete().await.unwrap_err().into_service_error();
        assert_eq!(error.meta().code(), Some("InvalidParameterValue"), "{error:?}");
        assert_eq!(world.events.len(), 1);
        world.seconds.store(66, Ordering::SeqCst);
        delete().await.unwrap();
        assert!(world.events.is_empty());
    }

    #[tokio::test]
    async fn a_dead_letter_is_received_from_its_own_queue_and_given_back() {
        let world = World::new().await;
        world.send("1", "1").await;
        world.events.receive(at(0));
        world.events.receive(at(30));
        world.seconds.store(30, Ordering::SeqCst);
        let counted = async || {
            let request = world.client.get_queue_attributes().queue_url(&world.dead_url);
            let answer = request.attribute_names(QueueAttributeName::All).send().await;
            let attributes = answer.unwrap().attributes.unwrap();
            [
                QueueAttributeName::ApproximateNumberOfMessages,
                QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            ]
            .map(|name| attributes[&name].clone())
        };
        assert_eq!(counted().await, ["1", "0"]);

        let letter = world.receive(&world.dead_url).await.remove(0);
        assert!(world.receive(&world.dead_url).await.is_empty());
        assert_eq!(counted().await, ["0", "1"]);
        let entry = |id: &str, receipt: &str| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(id)
                .receipt_handle(receipt)
                .visibility_timeout(0)
                .build()
                .unwrap()
        };
        let request = world.client.change_message_visibility_batch();
        let request = request.queue_url(&world.dead_url);
        let answer = request
            .entries(entry("a", letter.receipt_handle().unwrap()))
            .entries(entry("b", "of-nobody.1"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.successful()[0].id(), "a");
        assert_eq!((answer.failed().len(), answer.failed()[0].id()), (1, "b"));
        assert_eq!(world.receive(&world.dead_url).await.len(), 1);
    }

    #[tokio::test]
    async fn the_sdk_knows_the_refusals() {
        let world = World::new().await;
        let missing = world.client.get_queue_url().queue_name("team-b-events.fifo");
        let error = missing.send().await.unwrap_err().into_service_error();
        assert!(error.is_queue_does_not_exist(), "{error:?}");

        let request = world.client.receive_message().queue_url("http://x/1/nobody");
        let error = request.send().await.unwrap_err().into_service_error();
        assert!(error.is_queue_does_not_exist(), "{error:?}");

        let request = world
            .client
            .send_message()
            .queue_url(&world.url)
            .message_body("a");
        let error = request.send().await.unwrap_err().into_service_error();
        assert_eq!(error.meta().code(), Some("MissingParameter"), "{error:?}");

        let error = world.client.list_queues().send().await.unwrap_err();
        let error = error.into_service_error();
        assert!(
            error
                .meta()
                .message()
                .unwrap()
                .contains("knows no `AmazonSQS.ListQueues`")
        );
    }
}
