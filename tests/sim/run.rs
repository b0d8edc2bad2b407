//! Lives through one history, and looks at the end whether everything is as it must be.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use aws_lambda_events::sqs::SqsBatchResponse;
use local::fifo::Received;
use serde_json::Value;

use super::check::{self, Tally};
use super::history::{History, Meddling, OLDEST_MILLIS, millis};
use super::logs;
use super::queue::{Queue, VISIBILITY};
use super::sched::{Function, START};
use super::world::{World, batch, deadline};

const MINUTE_MILLIS: i64 = 60_000;
/// Invocations under way at once.
const IN_FLIGHT: usize = 5;
/// notification-controller's tries after the first.
const FLUX_RETRIES: u32 = 4;
const SERVICE_UNAVAILABLE: u16 = 503;
const ACCEPTED: u16 = 202;
const BAD_REQUEST: u16 = 400;
/// A second delivery of a batch comes within this time.
const LATE_MILLIS: u32 = 900_000;
/// After the last thing that happens, everything has come to rest within this time: a few of the longest waits.
const LONGEST_REST_MINUTES: i64 = 180;
/// A history that takes more steps than this does not come to rest.
const STEPS: usize = 40_000;

/// Seconds an invocation may take.
const fn timeout(function: Function) -> i64 {
    match function {
        Function::Intake => 10,
        Function::Rules => 30,
        Function::Poster => 120,
        Function::Sweeper => 55,
    }
}

enum Done {
    Answer(u16),
    /// The messages that come back.
    Failed(Vec<String>),
    Swept,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Events,
    Posts,
}

enum Purpose {
    Delivery { event: usize, retries: u32, root: u32 },
    Batch { which: Which, ids: Vec<String> },
    Nothing,
}

struct Flight {
    id: u64,
    function: Function,
    future: Pin<Box<dyn Future<Output = Done>>>,
    ends: i64,
    purpose: Purpose,
}

enum Step {
    Blocked,
    Crashed,
    Done(Done),
}

/// How a history went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) violations: Vec<String>,
    pub(crate) story: Vec<String>,
    pub(crate) calls: u64,
    pub(crate) posts: usize,
    pub(crate) tally: Tally,
}

struct Run<'a> {
    world: World,
    history: &'a History,
    flights: Vec<Flight>,
    next_id: u64,
    /// When, which event, how many tries before it, and the root key it is signed with.
    deliveries: Vec<(i64, usize, u32, Option<u32>)>,
    late: Vec<(i64, Which, Vec<Received>)>,
    wakes: Vec<i64>,
    next_sweep: i64,
    redriven: [usize; 2],
    accepted: BTreeSet<usize>,
    meddling: Option<Meddling>,
    /// When something is due first, as of so many writes.
    due: (u64, Option<i64>),
    violations: Vec<String>,
}

/// Runs a history to its end. `seed` decides the order of everything; `name` tells it from others at the same time.
pub(crate) async fn run(name: &str, seed: u64, history: &History) -> Outcome {
    let world = World::new(name, seed, history).await;
    let deliveries = history
        .events
        .iter()
        .enumerate()
        .flat_map(|(number, event)| event.sent.iter().map(move |at| (*at, number, 0, None)))
        .collect();
    let mut run = Run {
        world,
        history,
        flights: Vec::new(),
        next_id: 0,
        deliveries,
        late: Vec::new(),
        wakes: Vec::new(),
        next_sweep: (START * 1000 / MINUTE_MILLIS + 1) * MINUTE_MILLIS,
        redriven: [0; 2],
        accepted: BTreeSet::new(),
        meddling: None,
        due: (u64::MAX, None),
        violations: Vec::new(),
    };
    let clock = run.world.sched.clock.clone();
    logs::listen(move || clock.millis());
    run.live().await;
    run.finish()
}

impl Run<'_> {
    fn now(&self) -> i64 {
        self.world.sched.clock.millis()
    }

    fn below(&self, end: u32) -> u32 {
        self.world.sched.below(end)
    }

    async fn live(&mut self) {
        for _ in 0..STEPS {
            self.rotate();
            self.meddle().await;
            self.kill_what_takes_too_long();
            let waits = self.world.sched.somebody_waits();
            let begins = self.flights.len() < IN_FLIGHT && (!waits || self.below(3) == 0);
            if begins && self.begin_something().await {
                continue;
            }
            if waits {
                let id = self.world.sched.grant();
                self.step(id).await;
                continue;
            }
            match self.next_instant() {
                Some(at) => self.world.sched.clock.advance_to(at),
                None => {
                    if self.redrive() {
                        continue;
                    }
                    if !self.world.events.fifo.is_empty() || !self.world.posts.fifo.is_empty() {
                        self.violations.push("messages are stuck".into());
                    }
                    return;
                }
            }
        }
        self.violations.push("it does not come to rest".into());
    }

    /// The host takes another token, and later the secret is mended; the root key is replaced. Returns the root key the
    /// clusters have their keys of.
    fn rotate(&self) -> u32 {
        let now = self.now();
        let count = |of: &[(i64, i64)], at: &dyn Fn(&(i64, i64)) -> i64| {
            let past = of.iter().filter(|pair| at(pair) <= now);
            u32::try_from(past.count()).unwrap()
        };
        let History { tokens, roots, .. } = self.history;
        self.world.host.take_token(count(tokens, &|token| token.0));
        *self.world.secrets.token.lock().unwrap() = count(tokens, &|token| token.1);
        *self.world.secrets.root.lock().unwrap() = count(roots, &|root| root.0);
        count(roots, &|root| root.1)
    }

    /// Does to the rule what somebody does for a while, and undoes it.
    async fn meddle(&mut self) {
        let now = self.now();
        let mut windows = self.history.windows.iter();
        let window = windows.find(|window| (window.from..window.to).contains(&now));
        let meddling = window.map(|window| window.meddling);
        if meddling != self.meddling {
            self.meddling = meddling;
            self.world.sched.tell(match meddling {
                Some(meddling) => format!("the rule is {meddling:?}"),
                None => "the rule is as it was".to_owned(),
            });
            self.world.apply(meddling).await;
        }
    }

    fn kill_what_takes_too_long(&mut self) {
        let now = self.now();
        while let Some(index) = self.flights.iter().position(|flight| flight.ends <= now) {
            let flight = self.flights.remove(index);
            let line = format!("{:?}#{} timed out", flight.function, flight.id);
            self.world.sched.tell(line);
            self.world.sched.count_fault(flight.id);
            self.end(flight, None);
        }
    }

    /// Begins the invocation of whatever is there, if anything is.
    async fn begin_something(&mut self) -> bool {
        let now = self.now();
        let due = (0..self.deliveries.len())
            .filter(|index| self.deliveries[*index].0 <= now)
            .min_by_key(|index| self.deliveries[*index]);
        if let Some(index) = due {
            let (_, event, retries, root) = self.deliveries.remove(index);
            let root = root.unwrap_or_else(|| self.rotate());
            let sent = &self.history.events[event];
            let request = self.world.request(&sent.cluster, root, &sent.body(event));
            let deps = self.world.intake();
            let now = self.world.sched.clock.now();
            let future = Box::pin(async move {
                Done::Answer(
                    intake::handler::handle(&deps, request, now)
                        .await
                        .status()
                        .as_u16(),
                )
            });
            let purpose = Purpose::Delivery { event, retries, root };
            self.begin(Function::Intake, future, purpose).await;
            return true;
        }
        if let Some(index) = self.late.iter().position(|late| late.0 <= now) {
            let (_, which, messages) = self.late.remove(index);
            self.begin_batch(which, messages, true).await;
            return true;
        }
        if now >= self.next_sweep {
            self.next_sweep = (now / MINUTE_MILLIS + 1) * MINUTE_MILLIS;
            if self.first_due().is_some_and(|due| due <= now) {
                let deps = self.world.sweeper();
                let future = Box::pin(async move {
                    // What fails is tried by the next sweep.
                    let _failed = sweeper::handler::handle(&deps).await;
                    Done::Swept
                });
                self.begin(Function::Sweeper, future, Purpose::Nothing).await;
                return true;
            }
        }
        for which in [Which::Events, Which::Posts] {
            let messages = self.queue(which).fifo.receive(self.world.sched.clock.now());
            if messages.is_empty() {
                continue;
            }
            self.wakes
                .push(now + i64::try_from(VISIBILITY.as_millis()).unwrap());
            let mut groups: Vec<Vec<Received>> = Vec::new();
            for message in messages {
                match groups
                    .iter_mut()
                    .find(|group| group[0].group_id == message.group_id)
                {
                    Some(group) => group.push(message),
                    None => groups.push(vec![message]),
                }
            }
            // Group ids are digests; what is drawn must not depend on them.
            groups.sort_by(|a, b| a[0].body.cmp(&b[0].body));
            for group in groups {
                if self.history.delivered_twice > 0 && self.below(self.history.delivered_twice) == 0 {
                    let at = now + i64::from(self.below(LATE_MILLIS));
                    self.late.push((at, which, group.clone()));
                }
                self.begin_batch(which, group, false).await;
            }
            return true;
        }
        false
    }

    async fn begin_batch(&mut self, which: Which, messages: Vec<Received>, again: bool) {
        let event = batch(&messages);
        let now = self.world.sched.clock.now();
        let (function, future): (_, Pin<Box<dyn Future<Output = Done>>>) = match which {
            Which::Events => {
                let deps = self.world.rules();
                let deadline = deadline(now, timeout(Function::Rules));
                let future = async move {
                    Done::Failed(failed(&rules::handler::handle(&deps, event, deadline).await))
                };
                (Function::Rules, Box::pin(future))
            }
            Which::Posts => {
                let deps = self.world.poster();
                let deadline = deadline(now, timeout(Function::Poster));
                let future = async move {
                    Done::Failed(failed(&poster::handler::handle(&deps, event, deadline).await))
                };
                (Function::Poster, Box::pin(future))
            }
        };
        let purpose = if again {
            Purpose::Nothing
        } else {
            let ids = messages.into_iter().map(|message| message.id).collect();
            Purpose::Batch { which, ids }
        };
        self.begin(function, future, purpose).await;
    }

    async fn begin(
        &mut self,
        function: Function,
        future: Pin<Box<dyn Future<Output = Done>>>,
        purpose: Purpose,
    ) {
        self.next_id += 1;
        let id = self.next_id;
        let ends = self.now() + timeout(function) * 1000;
        self.flights.push(Flight {
            id,
            function,
            future,
            ends,
            purpose,
        });
        self.world.sched.begin(id, function);
        self.step(id).await;
    }

    /// Lets an invocation work until it waits for its next turn.
    async fn step(&mut self, id: u64) {
        let sched = Arc::clone(&self.world.sched);
        let index = self.flights.iter().position(|flight| flight.id == id).unwrap();
        let flight = &mut self.flights[index];
        let step = poll_fn(|context| {
            let polled = flight.future.as_mut().poll(context);
            let blocked = sched.is_blocked(context.waker());
            if sched.has_crashed() {
                return Poll::Ready(Step::Crashed);
            }
            match polled {
                Poll::Ready(done) => Poll::Ready(Step::Done(done)),
                Poll::Pending if blocked => Poll::Ready(Step::Blocked),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        sched.leave();
        match step {
            Step::Blocked => {}
            Step::Crashed => {
                let flight = self.flights.remove(index);
                self.end(flight, None);
            }
            Step::Done(done) => {
                let flight = self.flights.remove(index);
                self.end(flight, Some(done));
            }
        }
    }

    /// `done` is `None` if it ended before it was done.
    fn end(&mut self, flight: Flight, done: Option<Done>) {
        self.world.sched.forget(flight.id);
        drop(flight.future);
        let now = self.now();
        match (flight.purpose, done) {
            (Purpose::Delivery { event, .. }, Some(Done::Answer(ACCEPTED))) => {
                self.accepted.insert(event);
            }
            (Purpose::Delivery { event, retries, root }, done) => {
                let status = match done {
                    Some(Done::Answer(status)) => status,
                    _ => SERVICE_UNAVAILABLE,
                };
                let too_old = now > millis(self.history.events[event].second) + OLDEST_MILLIS;
                if status >= 500 {
                    if retries < FLUX_RETRIES {
                        let again = now + (1000 << retries);
                        self.deliveries.push((again, event, retries + 1, Some(root)));
                    }
                } else if !(status == BAD_REQUEST && too_old) {
                    self.violations
                        .push(format!("event {event} was answered {status}"));
                }
            }
            (Purpose::Batch { which, mut ids }, Some(Done::Failed(failed))) => {
                ids.retain(|id| !failed.contains(id));
                self.queue(which).fifo.delete(&ids);
            }
            _ => {}
        }
        let told = self.world.host.named.lock().unwrap().clone();
        if self.world.sched.faults_of(flight.id) == 0 {
            for (_, until) in told.iter().filter(|(id, _)| *id == flight.id) {
                if *until > now {
                    self.world.watch.lock().unwrap().must_hold(*until);
                }
            }
        }
    }

    fn queue(&self, which: Which) -> &Queue {
        match which {
            Which::Events => &self.world.events,
            Which::Posts => &self.world.posts,
        }
    }

    fn first_due(&mut self) -> Option<i64> {
        let writes = self.world.table.writes();
        if self.due.0 != writes {
            self.due = (writes, self.find_first_due());
        }
        self.due.1
    }

    fn find_first_due(&self) -> Option<i64> {
        let items = self.world.items();
        let due = items.iter().filter(|item| {
            let due = item["due"]["S"].as_str();
            due.is_some_and(|due| due.starts_with("due#"))
        });
        due.map(|item| item["due_at"]["N"].as_str().unwrap().parse().unwrap())
            .min()
    }

    /// When something happens next, if nothing is under way.
    fn next_instant(&mut self) -> Option<i64> {
        let now = self.now();
        self.wakes.retain(|at| *at > now);
        let queued = !self.world.events.fifo.is_empty() || !self.world.posts.fifo.is_empty();
        let wake = self.wakes.iter().copied().min().filter(|_| queued);
        let delivery = self.deliveries.iter().map(|delivery| delivery.0).min();
        let late = self.late.iter().map(|late| late.0).min();
        let sweep = self.first_due().map(|due| {
            let minute = (due + MINUTE_MILLIS - 1) / MINUTE_MILLIS * MINUTE_MILLIS;
            minute.max(self.next_sweep)
        });
        let windows = self.history.windows.iter();
        let window = windows
            .flat_map(|window| [window.from, window.to])
            .filter(|at| *at > now)
            .min();
        [wake, delivery, late, sweep, window].into_iter().flatten().min()
    }

    /// Sends dead letters again, as the operator would.
    fn redrive(&mut self) -> bool {
        let mut sent = false;
        for (index, which) in [Which::Events, Which::Posts].into_iter().enumerate() {
            let queue = self.queue(which).clone();
            let dead = queue.fifo.dead_letters();
            for mut message in dead.into_iter().skip(self.redriven[index]) {
                self.redriven[index] += 1;
                message.dedupe_id = format!("redriven{}", self.redriven[index]);
                self.world
                    .sched
                    .tell(format!("a dead letter is sent again: {:.90}", message.body));
                queue.take(message);
                sent = true;
            }
        }
        sent
    }

    fn finish(mut self) -> Outcome {
        let took = (self.now() - self.history.end()) / MINUTE_MILLIS;
        if took > LONGEST_REST_MINUTES {
            let line = format!("it took {took} minutes to come to rest");
            self.violations.push(line);
        }
        let lines = logs::heard();
        let taken = self.taken();
        for event in &self.accepted {
            if !taken.contains_key(event) {
                self.violations
                    .push(format!("event {event} was accepted, but the queue never had it"));
            }
        }
        let tally = check::tally(&self.world, &lines);
        let checked = check::at_rest(&self.world, self.history, &taken, &lines);
        self.violations.extend(checked);
        let told = self.world.host.told.lock().unwrap();
        Outcome {
            violations: self.violations,
            story: self.world.sched.story(),
            calls: self.world.sched.calls(),
            posts: told.values().map(|told| told.by.len()).sum(),
            tally,
        }
    }

    /// The events the queue has taken, whatever Flux was told, with their ids.
    fn taken(&self) -> BTreeMap<usize, String> {
        let messages = self.world.events.taken.lock().unwrap();
        let read = |body: &str| {
            let body: Value = serde_json::from_str(body).unwrap();
            let number = body["event"]["message"].as_str().unwrap().parse().unwrap();
            (number, body["id"].as_str().unwrap().to_owned())
        };
        messages.iter().map(|message| read(&message.body)).collect()
    }
}

fn failed(response: &SqsBatchResponse) -> Vec<String> {
    let failures = response.batch_item_failures.iter();
    failures.map(|failure| failure.item_identifier.clone()).collect()
}
