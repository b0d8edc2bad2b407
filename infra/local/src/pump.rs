//! What Lambda's event source mapping does: takes batches from a queue, hands them to a function, deletes what was
//! handled.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use crate::Clock;
use crate::fifo::{FifoQueue, Received};

/// Batches handled side by side.
const CONCURRENCY: usize = 4;

/// How often an idle queue is looked at: messages become visible again without anybody saying so.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Longest time a function gets for a batch.
pub const FUNCTION_TIMEOUT: SignedDuration = SignedDuration::from_secs(120);

/// Feeds a function from a queue until the process ends.
pub async fn pump<F, R>(queue: Arc<FifoQueue>, clock: Clock, function: F)
where
    F: Fn(SqsEvent, Timestamp) -> R + Clone + Send + 'static,
    R: Future<Output = SqsBatchResponse> + Send,
{
    let workers = Arc::new(Semaphore::new(CONCURRENCY));
    loop {
        let Ok(worker) = Arc::clone(&workers).acquire_owned().await else {
            return;
        };
        let batch = queue.receive(clock());
        if batch.is_empty() {
            drop(worker);
            // Either way we look again.
            let _ = tokio::time::timeout(LOOK_EVERY, queue.changed()).await;
            continue;
        }
        let (queue, function) = (Arc::clone(&queue), function.clone());
        tokio::spawn(async move {
            let mut handled: Vec<String> = batch.iter().map(|message| message.id.clone()).collect();
            let response = function(sqs_event(batch), clock() + FUNCTION_TIMEOUT).await;
            let failed: Vec<String> = response
                .batch_item_failures
                .into_iter()
                .map(|failure| failure.item_identifier)
                .collect();
            handled.retain(|id| !failed.contains(id));
            queue.delete(&handled);
            drop(worker);
        });
    }
}

/// A batch as Lambda delivers it.
pub fn sqs_event(batch: Vec<Received>) -> SqsEvent {
    let records = batch
        .into_iter()
        .map(|received| {
            let mut message = SqsMessage::default();
            message.message_id = Some(received.id);
            message.body = Some(received.body);
            message
                .attributes
                .insert("MessageGroupId".to_owned(), received.group_id);
            message.attributes.insert(
                "ApproximateReceiveCount".to_owned(),
                received.receives.to_string(),
            );
            message
        })
        .collect();
    let mut event = SqsEvent::default();
    event.records = records;
    event
}
