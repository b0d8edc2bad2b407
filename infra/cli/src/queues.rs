//! The queues of a stack, and what became a dead letter, over the SDK's own client.

mod subject;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use clap::ValueEnum;
use jiff::Timestamp;
use serde::Serialize;
use shared::message::hex_sha256;

pub use self::subject::Subject;

/// How long what is looked at is invisible to others, in seconds: enough to look at a few thousand, and over soon if
/// this process is killed.
const VISIBILITY_SECONDS: i32 = 60;
/// Most messages SQS hands out or takes at once.
const BATCH: u8 = 10;
/// With none SQS asks some of its servers only, and may find nothing where there is something:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>.
const WAIT_SECONDS: i32 = 1;
/// Longest time one try of a call takes.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Queue {
    /// Accepted events, for `rules`.
    Events,
    /// Hints of what is due, for `poster`.
    Posts,
}

impl Queue {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Events, Self::Posts];

    /// As it is called here and in the logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Posts => "posts",
        }
    }

    /// Its name in SQS.
    pub fn name(self, stack: &str) -> String {
        format!("{stack}-{}.fifo", self.as_str())
    }

    /// Name of its dead-letter queue in SQS.
    pub fn dead_name(self, stack: &str) -> String {
        format!("{stack}-{}-dead.fifo", self.as_str())
    }
}

/// Something that keeps SQS from doing what was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The stack is not deployed, or another one was meant.
    #[error(
        "there is no queue `{0}` in this account and region; is the stack deployed, and is its name right (--stack)?"
    )]
    NotFound(String),
    /// A permission is missing.
    #[error("access denied: the permission sqs:{operation} on queue `{queue}` is missing")]
    Denied {
        /// Operation of SQS's API; its permission has the same name.
        operation: &'static str,
        /// On which queue.
        queue: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// SQS did not answer, or refused for another reason.
    #[error("SQS: {operation} on queue `{queue}` failed")]
    Unavailable {
        /// Operation of SQS's API.
        operation: &'static str,
        /// On which queue.
        queue: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn failed<E, R>(operation: &'static str, queue: &str) -> impl FnOnce(SdkError<E, R>) -> QueueError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let queue = queue.to_owned();
    move |error| {
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        match code {
            // The second is how the older protocol of SQS calls it, and still what the header says.
            Some("QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue") => {
                QueueError::NotFound(queue)
            }
            Some("AccessDenied" | "AccessDeniedException") => QueueError::Denied {
                operation,
                queue,
                source: error.into(),
            },
            _ => QueueError::Unavailable {
                operation,
                queue,
                source: error.into(),
            },
        }
    }
}

/// How long SQS is waited for.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build()
}

/// Both queues of one stack.
#[derive(Debug, Clone)]
pub struct Queues {
    client: Client,
    stack: String,
}

impl Queues {
    /// The queues of a stack.
    pub fn new(client: Client, stack: &str) -> Self {
        Self {
            client,
            stack: stack.to_owned(),
        }
    }

    /// The dead letters of a queue.
    ///
    /// # Errors
    /// If there is no such dead-letter queue, or SQS does not answer.
    pub async fn dead_letters(&self, queue: Queue) -> Result<DeadLetterQueue, QueueError> {
        let name = queue.dead_name(&self.stack);
        Ok(DeadLetterQueue {
            client: self.client.clone(),
            queue,
            url: self.url(&name).await?,
            name,
            held: BTreeMap::new(),
        })
    }

    /// The queue itself, to send to.
    ///
    /// # Errors
    /// If there is no such queue, or SQS does not answer.
    pub async fn live(&self, queue: Queue) -> Result<LiveQueue, QueueError> {
        let name = queue.name(&self.stack);
        Ok(LiveQueue {
            client: self.client.clone(),
            url: self.url(&name).await?,
            name,
        })
    }

    async fn url(&self, name: &str) -> Result<String, QueueError> {
        let answer = self.client.get_queue_url().queue_name(name).send().await;
        let answer = answer.map_err(failed("GetQueueUrl", name))?;
        answer
            .queue_url
            .ok_or_else(|| QueueError::NotFound(name.to_owned()))
    }
}

/// A message that was received too often without being handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The queue it was on.
    pub queue: Queue,
    /// Its id, which it had on that queue already.
    pub id: String,
    /// Its body, whatever it is.
    pub body: String,
    /// Its group.
    pub group_id: String,
    /// When it became a dead letter: of a FIFO queue the time begins anew.
    pub since: Option<Timestamp>,
    /// How often it was received, as a dead letter too; looking at it counts.
    pub receives: u32,
}

impl DeadLetter {
    fn of(queue: Queue, message: Message) -> Option<(Self, String)> {
        let attribute = |name| message.attributes.as_ref()?.get(&name);
        let number = |name| -> Option<i64> { attribute(name).and_then(|text: &String| text.parse().ok()) };
        let since = number(MessageSystemAttributeName::SentTimestamp);
        let letter = Self {
            queue,
            since: since.and_then(|since| Timestamp::from_millisecond(since).ok()),
            receives: number(MessageSystemAttributeName::ApproximateReceiveCount)
                .and_then(|count| count.try_into().ok())
                .unwrap_or_default(),
            group_id: attribute(MessageSystemAttributeName::MessageGroupId)?.clone(),
            id: message.message_id?,
            body: message.body?,
        };
        Some((letter, message.receipt_handle?))
    }

    /// The dedupe id it is sent again with. Sent twice, as after a crash before it was deleted, it is the same, and SQS
    /// drops the second within five minutes. It is no other message's: each has an id of its own, so one that dies again
    /// after it was sent again has another, and so had the first sending.
    pub fn dedupe_id(&self) -> String {
        hex_sha256(&["redrive", &self.id])
    }

    /// What it is about.
    pub fn subject(&self) -> Subject {
        Subject::read(self.queue, &self.body)
    }
}

/// A queue messages are sent to.
#[derive(Debug)]
pub struct LiveQueue {
    client: Client,
    name: String,
    url: String,
}

impl LiveQueue {
    /// How many messages there are, those somebody works on included. SQS is up to a minute behind.
    ///
    /// # Errors
    /// If SQS does not answer.
    pub async fn count(&self) -> Result<usize, QueueError> {
        count(&self.client, &self.url, &self.name).await
    }

    /// Sends a dead letter again, at the end of the group it was in.
    ///
    /// # Errors
    /// If SQS does not take it.
    pub async fn send_again(&self, letter: &DeadLetter) -> Result<(), QueueError> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(&letter.body)
            .message_group_id(&letter.group_id)
            .message_deduplication_id(letter.dedupe_id())
            .send()
            .await
            .map_err(failed("SendMessage", &self.name))?;
        Ok(())
    }
}

async fn count(client: &Client, url: &str, name: &str) -> Result<usize, QueueError> {
    const COUNTED: [QueueAttributeName; 2] = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let answer = client
        .get_queue_attributes()
        .queue_url(url)
        .set_attribute_names(Some(COUNTED.to_vec()))
        .send()
        .await
        .map_err(failed("GetQueueAttributes", name))?;
    let attributes = answer.attributes.unwrap_or_default();
    let count = |name| -> Option<usize> { attributes.get(name)?.parse().ok() };
    Ok(COUNTED.iter().filter_map(count).sum())
}

/// Dead letters of one queue. What was received and not deleted is nobody else's until it is given back.
///
/// They are sent again one by one, and not by SQS's own `StartMessageMoveTask`: that takes FIFO queues too, but always all
/// of a queue, goes on without us, and says about how many it moved but not which.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html>
#[derive(Debug)]
pub struct DeadLetterQueue {
    client: Client,
    queue: Queue,
    name: String,
    url: String,
    /// Receipts by message id.
    held: BTreeMap<String, String>,
}

impl DeadLetterQueue {
    /// How many there are, those somebody has included. SQS is up to a minute behind.
    ///
    /// # Errors
    /// If SQS does not answer.
    pub async fn count(&self) -> Result<usize, QueueError> {
        count(&self.client, &self.url, &self.name).await
    }

    /// Up to ten that were not received yet, each group in its order. Empty if there are no more, and also if those
    /// left are behind some of the same group that were received and are still there.
    ///
    /// # Errors
    /// If SQS does not answer.
    pub async fn receive(&mut self) -> Result<Vec<DeadLetter>, QueueError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(BATCH.into())
            .visibility_timeout(VISIBILITY_SECONDS)
            .wait_time_seconds(WAIT_SECONDS)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await
            .map_err(failed("ReceiveMessage", &self.name))?;
        let mut new = Vec::new();
        for message in answer.messages.unwrap_or_default() {
            let Some((letter, receipt)) = DeadLetter::of(self.queue, message) else {
                continue;
            };
            // One that is here again, as its time was over, is no news; only its new receipt counts.
            if self.held.insert(letter.id.clone(), receipt).is_none() {
                new.push(letter);
            }
        }
        Ok(new)
    }

    /// Deletes one that was received. Others can have it if that was more than a minute ago: then SQS refuses.
    ///
    /// # Errors
    /// If SQS does not do it.
    pub async fn delete(&mut self, letter: &DeadLetter) -> Result<(), QueueError> {
        let request = self.client.delete_message().queue_url(&self.url);
        request
            .set_receipt_handle(self.held.get(&letter.id).cloned())
            .send()
            .await
            .map_err(failed("DeleteMessage", &self.name))?;
        self.held.remove(&letter.id);
        Ok(())
    }

    /// How many were received and are still there.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Gives back all that were received and not deleted. What cannot be given back comes back within a minute.
    ///
    /// # Errors
    /// If SQS does not answer.
    pub async fn give_back(&mut self) -> Result<(), QueueError> {
        let receipts: Vec<String> = std::mem::take(&mut self.held).into_values().collect();
        for receipts in receipts.chunks(BATCH.into()) {
            let entries = receipts.iter().enumerate().map(|(n, receipt)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(n.to_string())
                    .receipt_handle(receipt)
                    .visibility_timeout(0)
                    .build()
            });
            let entries: Result<Vec<_>, _> = entries.collect();
            // An entry SQS refuses is one whose time is over: it is back already.
            self.client
                .change_message_visibility_batch()
                .queue_url(&self.url)
                .set_entries(entries.ok())
                .send()
                .await
                .map_err(failed("ChangeMessageVisibility", &self.name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_template_and_the_documentation() {
        let names = Queue::ALL.map(|queue| [queue.name("team-a"), queue.dead_name("team-a")]);
        assert_eq!(
            names.as_flattened(),
            [
                "team-a-events.fifo",
                "team-a-events-dead.fifo",
                "team-a-posts.fifo",
                "team-a-posts-dead.fifo"
            ]
        );
    }
}
