//! A FIFO queue as SQS has them: groups handled in order, messages invisible while somebody has them, duplicates
//! dropped for five minutes, dead letters after too many receives. Kept in memory.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html>

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use shared::message::QueueMessage;
use tokio::sync::Notify;

/// How long a dedupe id is remembered.
const DEDUPE_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// Most messages SQS hands out at once.
const BATCH: usize = 10;

/// How a queue treats messages that are not deleted.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long a received message is invisible to others.
    pub visibility: SignedDuration,
    /// Receives after which a message becomes a dead letter.
    pub max_receives: u32,
}

/// A message somebody has received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Names the message in answers and deletions.
    pub id: String,
    /// The body.
    pub body: String,
    /// Its group.
    pub group_id: String,
    /// How often it was received, this time included.
    pub receives: u32,
}

#[derive(Debug)]
struct Stored {
    id: String,
    message: QueueMessage,
    receives: u32,
    invisible_until: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeMap<String, VecDeque<Stored>>,
    seen: HashMap<String, Timestamp>,
    dead: Vec<QueueMessage>,
    sent: u64,
}

/// A queue.
#[derive(Debug)]
pub struct FifoQueue {
    settings: Settings,
    state: Mutex<State>,
    arrival: Notify,
}

impl FifoQueue {
    /// An empty queue.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: Mutex::default(),
            arrival: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No lock is held across anything that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message, unless it is one of the last five minutes again.
    pub fn send(&self, message: QueueMessage, now: Timestamp) {
        let mut state = self.state();
        state.seen.retain(|_, at| now.duration_since(*at) < DEDUPE_WINDOW);
        if state.seen.contains_key(&message.dedupe_id) {
            return;
        }
        state.seen.insert(message.dedupe_id.clone(), now);
        state.sent += 1;
        let id = format!("message-{}", state.sent);
        let group = state.groups.entry(message.group_id.clone()).or_default();
        group.push_back(Stored {
            id,
            message,
            receives: 0,
            invisible_until: None,
        });
        drop(state);
        self.arrival.notify_one();
    }

    /// Hands out up to ten messages; of a group with one that somebody has, none.
    pub fn receive(&self, now: Timestamp) -> Vec<Received> {
        let mut state = self.state();
        let State { groups, dead, .. } = &mut *state;
        let mut batch = Vec::new();
        for group in groups.values_mut() {
            let held = |stored: &Stored| stored.invisible_until.is_some_and(|until| until > now);
            if group.iter().any(held) {
                continue;
            }
            while group
                .front()
                .is_some_and(|first| first.receives >= self.settings.max_receives)
            {
                dead.extend(group.pop_front().map(|stored| stored.message));
            }
            for stored in group.iter_mut().take(BATCH - batch.len()) {
                stored.receives += 1;
                stored.invisible_until = Some(now + self.settings.visibility);
                batch.push(Received {
                    id: stored.id.clone(),
                    body: stored.message.body.clone(),
                    group_id: stored.message.group_id.clone(),
                    receives: stored.receives,
                });
            }
            if batch.len() == BATCH {
                break;
            }
        }
        groups.retain(|_, group| !group.is_empty());
        batch
    }

    /// Deletes what was handled. The rest of the batch becomes visible when its time is over, as under Lambda.
    pub fn delete(&self, ids: &[String]) {
        let ids: HashSet<&String> = ids.iter().collect();
        let mut state = self.state();
        for group in state.groups.values_mut() {
            group.retain(|stored| !ids.contains(&stored.id));
        }
        state.groups.retain(|_, group| !group.is_empty());
        drop(state);
        // Messages behind the deleted ones can be had now.
        self.arrival.notify_one();
    }

    /// Waits until something was sent or deleted since the last wait.
    pub async fn changed(&self) {
        self.arrival.notified().await;
    }

    /// Messages that are neither deleted nor dead.
    pub fn len(&self) -> usize {
        self.state().groups.values().map(VecDeque::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Dead letters, oldest first.
    pub fn dead_letters(&self) -> Vec<QueueMessage> {
        self.state().dead.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> FifoQueue {
        FifoQueue::new(Settings {
            visibility: SignedDuration::from_secs(30),
            max_receives: 2,
        })
    }

    fn message(group: &str, body: &str) -> QueueMessage {
        QueueMessage {
            body: body.into(),
            group_id: group.into(),
            dedupe_id: format!("{group}{body}"),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn bodies(received: &[Received]) -> Vec<&str> {
        received.iter().map(|message| message.body.as_str()).collect()
    }

    #[test]
    fn hands_out_a_group_in_order_and_keeps_the_rest_of_it_back() {
        let queue = queue();
        queue.send(message("a", "1"), at(0));
        queue.send(message("a", "2"), at(0));
        queue.send(message("b", "3"), at(0));
        let first = queue.receive(at(0));
        assert_eq!(bodies(&first), ["1", "2", "3"]);

        queue.send(message("a", "4"), at(1));
        assert!(queue.receive(at(1)).is_empty(), "group a is in somebody's hands");

        queue.delete(&[first[0].id.clone(), first[1].id.clone()]);
        assert_eq!(bodies(&queue.receive(at(2))), ["4"]);
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn what_is_not_deleted_comes_back_in_its_place_and_dies_in_the_end() {
        let queue = queue();
        queue.send(message("a", "1"), at(0));
        queue.send(message("a", "2"), at(0));
        queue.receive(at(0));
        assert!(queue.receive(at(29)).is_empty());
        assert_eq!(
            queue
                .receive(at(30))
                .iter()
                .map(|m| m.receives)
                .collect::<Vec<_>>(),
            [2, 2]
        );

        queue.send(message("a", "3"), at(31));
        assert_eq!(bodies(&queue.receive(at(60))), ["3"]);
        assert_eq!(queue.dead_letters().len(), 2);
    }

    #[test]
    fn drops_a_duplicate_for_five_minutes() {
        let queue = queue();
        queue.send(message("a", "1"), at(0));
        queue.send(message("a", "1"), at(299));
        assert_eq!(queue.len(), 1);

        queue.send(message("a", "1"), at(300));
        assert_eq!(queue.len(), 2);
    }
}
