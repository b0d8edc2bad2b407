//! Hints on the `posts` queue.

use aws_sdk_sqs::Client;
use shared::message::QueueMessage;

use crate::ports::{HintQueue, Unavailable};

/// The `posts` queue in SQS.
pub struct SqsHints {
    client: Client,
    queue_url: String,
}

impl SqsHints {
    /// The queue at `queue_url`.
    pub fn new(client: Client, queue_url: String) -> Self {
        Self { client, queue_url }
    }
}

impl HintQueue for SqsHints {
    async fn send(&self, message: QueueMessage) -> Result<(), Unavailable> {
        self.client
            .send_message()
            .queue_url(&self.queue_url)
            .message_body(message.body)
            .message_group_id(message.group_id)
            .message_deduplication_id(message.dedupe_id)
            .send()
            .await
            .map(|_| ())
            .map_err(Unavailable::to("send a hint to the posts queue"))
    }
}
