//! A batch of the `posts` queue.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::future::join_all;
use jiff::Timestamp;
use shared::ErrorChain;
use shared::message::PostHint;
use shared::metrics::{FAILURES, FUNCTION, OUTCOME};

use crate::ports::{CredentialStore, RuleStore, SecretStore, Sleep, StatusStore, Unavailable};
use crate::post::{Deps, TIME_FOR_ONE};

/// Handles a batch: groups side by side, the messages of a group in order, so that writes on one commit never overlap.
/// A failing message holds up its own group only; what was not begun before `deadline` came near is returned.
pub async fn handle<S, P, W, R, T, C>(
    deps: &Deps<S, P, W, R, T, C>,
    batch: SqsEvent,
    deadline: Timestamp,
) -> SqsBatchResponse
where
    S: StatusStore,
    P: CredentialStore,
    W: Sleep,
    R: RuleStore,
    T: SecretStore,
    C: Fn() -> Timestamp,
{
    let groups = by_group(batch.records).into_iter().map(|group| async move {
        let mut messages = group.into_iter();
        let mut failed = Vec::new();
        for message in messages.by_ref() {
            let id = message.message_id.clone().unwrap_or_default();
            if (deps.clock)() + TIME_FOR_ONE > deadline {
                tracing::warn!(message.id = %id, outcome = "not-begun", "no time left for this hint, it comes back");
                count_failure("not-begun");
                failed.push(id);
                break;
            }
            if let Err(error) = handle_message(deps, &message, deadline).await {
                tracing::error!(
                    message.id = %id,
                    outcome = "failed",
                    error = %ErrorChain(&error),
                    "hint could not be handled, it comes back"
                );
                count_failure("failed");
                failed.push(id);
                break;
            }
        }
        failed.extend(messages.map(|message| message.message_id.unwrap_or_default()));
        failed
    });
    let mut response = SqsBatchResponse::default();
    for id in join_all(groups).await.into_iter().flatten() {
        response.add_failure(id);
    }
    response
}

/// A message that comes back, or is none of ours.
fn count_failure(outcome: &'static str) {
    metrics::counter!(FAILURES, FUNCTION => "poster", OUTCOME => outcome).increment(1);
}

/// The messages of each group, in order.
fn by_group(records: Vec<SqsMessage>) -> Vec<Vec<SqsMessage>> {
    let mut groups: Vec<(Option<String>, Vec<SqsMessage>)> = Vec::new();
    for record in records {
        let id = record.attributes.get("MessageGroupId").cloned();
        match groups.iter_mut().find(|(group, _)| *group == id) {
            Some((_, messages)) => messages.push(record),
            None => groups.push((id, vec![record])),
        }
    }
    groups.into_iter().map(|(_, messages)| messages).collect()
}

async fn handle_message<S, P, W, R, T, C>(
    deps: &Deps<S, P, W, R, T, C>,
    record: &SqsMessage,
    deadline: Timestamp,
) -> Result<(), Unavailable>
where
    S: StatusStore,
    P: CredentialStore,
    W: Sleep,
    R: RuleStore,
    T: SecretStore,
    C: Fn() -> Timestamp,
{
    match serde_json::from_str::<PostHint>(record.body.as_deref().unwrap_or_default()) {
        Ok(hint) => deps.work_on(&hint.key, deadline).await,
        Err(error) => {
            // Coming back would not make it readable; what it was for is due in the table.
            tracing::error!(
                message.id = record.message_id.as_deref().unwrap_or_default(),
                outcome = "malformed",
                error = %ErrorChain(&error),
                "message on the posts queue is not one of ours, dropped"
            );
            count_failure("malformed");
            Ok(())
        }
    }
}
