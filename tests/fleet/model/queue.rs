//! A FIFO queue as SQS has them, with what a run needs beside it: requests are counted, groups are served in the order
//! in which they have something to hand out, and no call looks at all messages, for there may be a hundred thousand.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use local::fifo::{BATCH, Received};
use shared::message::QueueMessage;

use super::clock::Clock;
use super::run::Assumptions;
use super::usage::{Meter, Requests, Usage};

const DEDUPE_MILLIS: i64 = 5 * 60_000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Events,
    Posts,
}

impl Which {
    fn requests(self, usage: &mut Usage) -> &mut Requests {
        match self {
            Self::Events => &mut usage.events,
            Self::Posts => &mut usage.posts,
        }
    }
}

struct Stored {
    id: u64,
    body: String,
    receives: u32,
}

#[derive(Default)]
struct Group {
    waiting: VecDeque<Stored>,
    /// What somebody has; until it is deleted or comes back the group hands out nothing.
    held: VecDeque<Stored>,
}

#[derive(Default)]
struct State {
    groups: HashMap<String, Group>,
    /// Groups that hand out something, those first that could first.
    ready: VecDeque<String>,
    seen: HashMap<String, i64>,
    seen_in_order: VecDeque<(i64, String)>,
    /// When what is held comes back.
    returns: BTreeMap<(i64, u64), String>,
    last_id: u64,
    len: usize,
}

/// A queue behind the functions' ports.
#[derive(Clone)]
pub(crate) struct Queue {
    which: Which,
    state: Arc<Mutex<State>>,
    clock: Clock,
    meter: Meter,
    send_millis: i64,
    visibility_millis: i64,
}

impl Queue {
    pub(crate) fn new(which: Which, clock: &Clock, meter: &Meter, assumptions: &Assumptions) -> Self {
        Self {
            which,
            state: Arc::default(),
            clock: clock.clone(),
            meter: meter.clone(),
            send_millis: assumptions.sqs_millis,
            // Of the template.
            visibility_millis: match which {
                Which::Events => 180_000,
                Which::Posts => 360_000,
            },
        }
    }

    async fn take(&self, message: QueueMessage) {
        self.clock.sleep(self.send_millis).await;
        let now = self.clock.millis();
        let mut state = self.state.lock().unwrap();
        while let Some((at, _)) = state.seen_in_order.front()
            && at + DEDUPE_MILLIS <= now
        {
            if let Some((_, id)) = state.seen_in_order.pop_front() {
                state.seen.remove(&id);
            }
        }
        let is_new = state.seen.insert(message.dedupe_id.clone(), now).is_none();
        self.meter.count(|usage| {
            let requests = self.which.requests(usage);
            requests.sends += 1;
            requests.duplicates += u64::from(!is_new);
        });
        if !is_new {
            return;
        }
        state.seen_in_order.push_back((now, message.dedupe_id));
        state.last_id += 1;
        state.len += 1;
        let id = state.last_id;
        let group = state.groups.entry(message.group_id.clone()).or_default();
        let was_idle = group.waiting.is_empty() && group.held.is_empty();
        group.waiting.push_back(Stored {
            id,
            body: message.body,
            receives: 0,
        });
        if was_idle {
            state.ready.push_back(message.group_id);
        }
    }

    pub(crate) fn has_something(&self) -> bool {
        !self.state.lock().unwrap().ready.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().unwrap().len
    }

    /// When something held comes back.
    pub(crate) fn next_return(&self) -> Option<i64> {
        let state = self.state.lock().unwrap();
        state.returns.first_key_value().map(|((at, _), _)| *at)
    }

    /// Gives back what was held too long.
    pub(crate) fn give_back(&self) {
        let now = self.clock.millis();
        let mut state = self.state.lock().unwrap();
        while let Some(entry) = state.returns.first_entry()
            && entry.key().0 <= now
        {
            let name = entry.remove();
            let Some(group) = state.groups.get_mut(&name) else {
                continue;
            };
            while let Some(stored) = group.held.pop_back() {
                group.waiting.push_front(stored);
            }
            state.ready.push_back(name);
        }
    }

    /// Hands out up to ten messages, as many of one group as there are.
    pub(crate) fn receive(&self) -> Vec<Received> {
        let mut state = self.state.lock().unwrap();
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(name) = state.ready.pop_front()
        {
            let Some(group) = state.groups.get_mut(&name) else {
                continue;
            };
            while batch.len() < BATCH
                && let Some(mut stored) = group.waiting.pop_front()
            {
                stored.receives += 1;
                batch.push(Received {
                    id: stored.id.to_string(),
                    body: stored.body.clone(),
                    group_id: name.clone(),
                    receives: stored.receives,
                });
                group.held.push_back(stored);
            }
        }
        self.meter.count(|usage| self.which.requests(usage).receives += 1);
        batch
    }

    /// Ends a batch: deletes what was handled, and lets the rest come back when its time is over.
    pub(crate) fn end(&self, received_at: i64, batch: &[(String, String)], failed: &[String]) {
        let mut state = self.state.lock().unwrap();
        for (group, id) in batch {
            if failed.contains(id) {
                continue;
            }
            state.len -= 1;
            if let Some(group) = state.groups.get_mut(group) {
                let position = group.held.iter().position(|held| held.id.to_string() == *id);
                group.held.remove(position.unwrap());
            }
        }
        let mut names: Vec<&String> = batch.iter().map(|(group, _)| group).collect();
        names.dedup();
        for name in names {
            let Some(group) = state.groups.get(name) else {
                continue;
            };
            if let Some(held) = group.held.front() {
                let at = received_at + self.visibility_millis;
                let key = (at, held.id);
                state.returns.insert(key, name.clone());
            } else if group.waiting.is_empty() {
                state.groups.remove(name);
            } else {
                state.ready.push_back(name.clone());
            }
        }
        self.meter.count(|usage| {
            let requests = self.which.requests(usage);
            requests.deletes += u64::from(failed.len() < batch.len());
            requests.returned += failed.len() as u64;
        });
    }
}

impl intake::ports::EventQueue for Queue {
    async fn send(&self, message: QueueMessage) -> Result<(), intake::ports::QueueUnavailable> {
        self.take(message).await;
        Ok(())
    }
}

impl rules::ports::HintQueue for Queue {
    async fn send(&self, message: QueueMessage) -> Result<(), rules::ports::Unavailable> {
        self.take(message).await;
        Ok(())
    }
}

impl sweeper::ports::HintQueue for Queue {
    async fn send(&self, message: QueueMessage) -> Result<(), sweeper::ports::Unavailable> {
        self.take(message).await;
        Ok(())
    }
}
