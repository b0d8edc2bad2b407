//! A FIFO queue as SQS has them: groups handled in order, messages invisible while somebody has them, duplicates
//! dropped for five minutes, a dead-letter queue after too many receives. Kept in memory.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html>

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use shared::message::{QueueMessage, hex_sha256};
use tokio::sync::Notify;

/// How long a dedupe id is remembered.
const DEDUPE_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// Most messages SQS hands out at once.
pub const BATCH: usize = 10;

/// Dead letters die no second time.
const DEAD_LETTERS: Settings = Settings {
    visibility: SignedDuration::from_secs(30),
    max_receives: u32::MAX,
};

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

/// A received message with all that SQS tells about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The message.
    pub message: Received,
    /// The dedupe id it has in this queue.
    pub dedupe_id: String,
    /// When this queue got it.
    pub sent_at: Timestamp,
    /// What whoever has it deletes it by, or gives it back by.
    pub receipt: String,
}

/// The time of whoever had the message is over, or the receipt is none of this queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receipt handle has expired")]
pub struct Expired;

/// Messages that are in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Those nobody has.
    pub visible: usize,
    /// Those somebody has.
    pub invisible: usize,
}

#[derive(Debug)]
struct Stored {
    id: String,
    message: QueueMessage,
    receives: u32,
    invisible_until: Option<Timestamp>,
    sent_at: Timestamp,
    /// Position among all the queue ever had.
    sequence: u64,
}

impl Stored {
    fn is_held(&self, now: Timestamp) -> bool {
        self.invisible_until.is_some_and(|until| until > now)
    }

    /// Another one for each receive, as with SQS.
    fn receipt(&self) -> String {
        format!("{}.{}", self.id, self.receives)
    }

    fn received(&self) -> Received {
        Received {
            id: self.id.clone(),
            body: self.message.body.clone(),
            group_id: self.message.group_id.clone(),
            receives: self.receives,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeMap<String, VecDeque<Stored>>,
    seen: HashMap<String, String>,
    /// Dedupe ids in the order they came in.
    forgets: VecDeque<(Timestamp, String)>,
    sent: u64,
}

impl State {
    /// Looks only at what is over: a queue with much in it forgets as fast as an empty one.
    fn forget(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.forgets.front()
            && now.duration_since(*at) >= DEDUPE_WINDOW
        {
            self.seen.remove(id);
            self.forgets.pop_front();
        }
    }

    fn push(&mut self, mut stored: Stored) {
        self.sent += 1;
        stored.sequence = self.sent;
        let group = self.groups.entry(stored.message.group_id.clone());
        group.or_default().push_back(stored);
    }
}

/// A queue.
#[derive(Debug)]
pub struct FifoQueue {
    settings: Settings,
    state: Mutex<State>,
    arrival: Notify,
    /// None if it is one itself.
    dead: Option<Arc<FifoQueue>>,
    on_death: fn(&Received),
}

impl FifoQueue {
    /// An empty queue and its empty dead-letter queue.
    pub fn new(settings: Settings) -> Self {
        Self {
            dead: Some(Arc::new(Self::without_dead_letters(DEAD_LETTERS))),
            ..Self::without_dead_letters(settings)
        }
    }

    fn without_dead_letters(settings: Settings) -> Self {
        Self {
            settings,
            state: Mutex::default(),
            arrival: Notify::new(),
            dead: None,
            on_death: |_| (),
        }
    }

    /// Tells `on_death` of each message that becomes a dead letter, once.
    #[must_use]
    pub fn on_death(self, on_death: fn(&Received)) -> Self {
        Self { on_death, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No lock is held across anything that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message and returns its id, unless it is one of the last five minutes again: that one's id.
    pub fn send(&self, message: QueueMessage, now: Timestamp) -> String {
        let mut state = self.state();
        state.forget(now);
        if let Some(id) = state.seen.get(&message.dedupe_id) {
            return id.clone();
        }
        // No two queues give the same one: an operator names dead letters by it.
        let id = hex_sha256(&[&message.body, &message.dedupe_id, &state.sent.to_string()])[..32].to_owned();
        state.seen.insert(message.dedupe_id.clone(), id.clone());
        state.forgets.push_back((now, message.dedupe_id.clone()));
        state.push(Stored {
            id: id.clone(),
            message,
            receives: 0,
            invisible_until: None,
            sent_at: now,
            sequence: 0,
        });
        drop(state);
        self.arrival.notify_one();
        id
    }

    /// Hands out up to ten messages; of a group with one that somebody has, none. Groups whose first message has waited
    /// longest come first: SQS promises no order between groups, but lets none wait for ever.
    pub fn receive(&self, now: Timestamp) -> Vec<Received> {
        let taken = self.take(BATCH, self.settings.visibility, now);
        taken.into_iter().map(|taken| taken.message).collect()
    }

    /// As [`FifoQueue::receive`], at most `most` and invisible for as long as is said.
    pub fn take(&self, most: usize, visibility: SignedDuration, now: Timestamp) -> Vec<Taken> {
        let mut state = self.state();
        let mut batch = Vec::new();
        let mut free: Vec<_> = state
            .groups
            .values_mut()
            .filter(|group| !group.iter().any(|stored| stored.is_held(now)))
            .collect();
        free.sort_unstable_by_key(|group| group.front().map(|first| first.sequence));
        for group in free {
            if batch.len() == most {
                break;
            }
            if let Some(dead) = &self.dead {
                while group
                    .front()
                    .is_some_and(|first| first.receives >= self.settings.max_receives)
                {
                    if let Some(stored) = group.pop_front() {
                        (self.on_death)(&stored.received());
                        dead.bury(stored, now);
                    }
                }
            }
            for stored in group.iter_mut().take(most - batch.len()) {
                stored.receives += 1;
                stored.invisible_until = Some(now + visibility);
                batch.push(Taken {
                    message: stored.received(),
                    dedupe_id: stored.message.dedupe_id.clone(),
                    sent_at: stored.sent_at,
                    receipt: stored.receipt(),
                });
            }
        }
        state.groups.retain(|_, group| !group.is_empty());
        batch
    }

    /// Takes a dead letter. As SQS does it: the id stays, and so does the count; the time begins anew.
    fn bury(&self, stored: Stored, now: Timestamp) {
        self.state().push(Stored {
            invisible_until: None,
            sent_at: now,
            ..stored
        });
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

    /// Deletes what was taken. Nothing happens if it is deleted already.
    ///
    /// # Errors
    /// If it can be had by others again: SQS refuses that for FIFO queues.
    pub fn delete_taken(&self, receipt: &str, now: Timestamp) -> Result<(), Expired> {
        let (id, _) = receipt.rsplit_once('.').ok_or(Expired)?;
        let state = self.state();
        let stored = state.groups.values().flatten().find(|stored| stored.id == id);
        if stored.is_some_and(|stored| stored.receipt() != receipt || !stored.is_held(now)) {
            return Err(Expired);
        }
        drop(state);
        self.delete(&[id.to_owned()]);
        Ok(())
    }

    /// Makes what was taken invisible for another while from now; with none it is given back.
    ///
    /// # Errors
    /// If it can be had by others again.
    pub fn change_visibility(
        &self,
        receipt: &str,
        visibility: SignedDuration,
        now: Timestamp,
    ) -> Result<(), Expired> {
        let mut state = self.state();
        let mut messages = state.groups.values_mut().flatten();
        let stored = messages.find(|stored| stored.is_held(now) && stored.receipt() == receipt);
        stored.ok_or(Expired)?.invisible_until = Some(now + visibility);
        drop(state);
        self.arrival.notify_one();
        Ok(())
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

    /// The same, by whether somebody has them.
    pub fn count(&self, now: Timestamp) -> Count {
        let state = self.state();
        let messages = state.groups.values().flatten();
        let (held, free): (Vec<_>, Vec<_>) = messages.partition(|stored| stored.is_held(now));
        Count {
            visible: free.len(),
            invisible: held.len(),
        }
    }

    /// Dead letters, those first that died first.
    pub fn dead_letters(&self) -> Vec<QueueMessage> {
        let Some(dead) = &self.dead else {
            return Vec::new();
        };
        let state = dead.state();
        let mut letters: Vec<&Stored> = state.groups.values().flatten().collect();
        letters.sort_by_key(|stored| stored.sequence);
        letters.into_iter().map(|stored| stored.message.clone()).collect()
    }

    /// The queue they are in, from which they can be received; a dead-letter queue has none.
    pub fn dead_letter_queue(&self) -> Option<&Arc<FifoQueue>> {
        self.dead.as_ref()
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
    fn the_group_that_has_waited_longest_comes_first() {
        let queue = queue();
        for group in ["c", "a", "b"] {
            queue.send(message(group, group), at(0));
        }
        let taken = queue.take(2, SignedDuration::from_secs(30), at(1));
        let groups: Vec<&str> = taken
            .iter()
            .map(|taken| taken.message.group_id.as_str())
            .collect();
        assert_eq!(groups, ["c", "a"]);
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
        assert_eq!(queue.dead_letters(), [message("a", "1"), message("a", "2")]);
    }

    #[test]
    fn a_dead_letter_keeps_its_id_can_be_received_and_dies_no_second_time() {
        let queue = queue();
        let id = queue.send(message("a", "1"), at(0));
        queue.receive(at(0));
        queue.receive(at(30));
        assert!(queue.receive(at(60)).is_empty() && queue.is_empty());

        let dead = queue.dead_letter_queue().unwrap();
        assert!(dead.dead_letter_queue().is_none());
        for receive in 0..200 {
            let now = at(60 + receive * 30);
            let taken = dead.take(BATCH, SignedDuration::from_secs(30), now);
            assert_eq!((&taken[0].message.id, taken[0].sent_at), (&id, at(60)));
        }
    }

    #[test]
    fn a_receipt_holds_as_long_as_the_message_is_invisible() {
        let queue = queue();
        let (a_minute, no_time) = (SignedDuration::from_secs(60), SignedDuration::ZERO);
        queue.send(message("a", "1"), at(0));
        let first = queue.take(1, a_minute, at(0)).remove(0).receipt;
        assert_eq!(
            queue.count(at(0)),
            Count {
                visible: 0,
                invisible: 1
            }
        );
        assert_eq!(queue.delete_taken(&first, at(60)), Err(Expired));

        queue.change_visibility(&first, no_time, at(1)).unwrap();
        assert_eq!(queue.change_visibility(&first, a_minute, at(1)), Err(Expired));
        let second = queue.take(1, a_minute, at(1)).remove(0).receipt;
        assert_eq!(queue.delete_taken(&first, at(2)), Err(Expired), "somebody else's");
        queue.delete_taken(&second, at(2)).unwrap();
        assert!(queue.is_empty());
        queue.delete_taken(&second, at(2)).unwrap();
    }

    #[test]
    fn drops_a_duplicate_for_five_minutes() {
        let queue = queue();
        let id = queue.send(message("a", "1"), at(0));
        assert_eq!(queue.send(message("a", "1"), at(299)), id);
        assert_eq!(queue.len(), 1);

        queue.send(message("a", "1"), at(300));
        assert_eq!(queue.len(), 2);
    }
}
