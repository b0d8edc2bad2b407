//! The `events` queue in SQS.

use aws_sdk_sqs::Client;
use shared::message::QueueMessage;

use super::cause;
use crate::ports::{EventQueue, QueueUnavailable};

/// Sends to a FIFO queue. Timeouts and retries are the client's.
#[derive(Debug, Clone)]
pub struct SqsEventQueue {
    client: Client,
    url: String,
}

impl SqsEventQueue {
    /// `url` is the URL of the queue.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self {
            client,
            url: url.into(),
        }
    }
}

impl EventQueue for SqsEventQueue {
    async fn send(&self, message: QueueMessage) -> Result<(), QueueUnavailable> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(message.body)
            .message_group_id(message.group_id)
            .message_deduplication_id(message.dedupe_id)
            .send()
            .await
            .map(drop)
            .map_err(|error| QueueUnavailable::new(cause(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
    use serde_json::json;
    use shared::ErrorChain;
    use wiremock::matchers::{body_json, header};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    fn queue(server: &MockServer) -> SqsEventQueue {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("id", "key", None, None, "test"))
            .retry_config(aws_sdk_sqs::config::retry::RetryConfig::disabled())
            .endpoint_url(server.uri())
            .build();
        SqsEventQueue::new(Client::from_conf(config), "https://sqs.example/1/events.fifo")
    }

    fn message() -> QueueMessage {
        QueueMessage {
            body: "{}".into(),
            group_id: "g".into(),
            dedupe_id: "d".into(),
        }
    }

    #[tokio::test]
    async fn the_message_goes_to_its_group_with_its_id() {
        let server = MockServer::start().await;
        Mock::given(header("x-amz-target", "AmazonSQS.SendMessage"))
            .and(body_json(json!({
                "QueueUrl": "https://sqs.example/1/events.fifo",
                "MessageBody": "{}",
                "MessageGroupId": "g",
                "MessageDeduplicationId": "d",
            })))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"MessageId": "m"})))
            .expect(1)
            .mount(&server)
            .await;

        queue(&server).send(message()).await.unwrap();
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_its_cause() {
        let server = MockServer::start().await;
        Mock::given(header("x-amz-target", "AmazonSQS.SendMessage"))
            .respond_with(ResponseTemplate::new(400).set_body_json(json!({
                "__type": "com.amazonaws.sqs#QueueDoesNotExist",
                "message": "The specified queue does not exist.",
            })))
            .mount(&server)
            .await;

        let error = queue(&server).send(message()).await.unwrap_err();

        let text = ErrorChain(&error).to_string();
        assert!(
            text.starts_with("the events queue did not take the event: "),
            "{text}"
        );
        assert!(text.contains("The specified queue does not exist."), "{text}");
    }
}
