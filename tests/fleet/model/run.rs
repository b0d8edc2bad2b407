//! Lives through a day: Lambda, its event source mappings and the schedule.

use std::sync::{Arc, Mutex};

use aws_lambda_events::sqs::SqsBatchResponse;
use hosts::HostKind;
use jiff::SignedDuration;
use lambda_http::http::Request;
use lambda_http::{Body, Response};
use local::fifo::Received;
use local::pump::sqs_event;

use super::clock::{Clock, START};
use super::controller::Controller;
use super::day::{Day, Fleet};
use super::flux::{Names, Signer, Told, cluster_name};
use super::host::Host;
use super::ledger::Ledger;
use super::logs;
use super::queue::Queue;
use super::service::{Intake, Poster, Rules, Sandboxes, Service, Sweeper, root_key};
use super::tasks::Tasks;
use super::usage::{Function, Meter, Usage};

const MINUTE_MILLIS: i64 = 60_000;
/// Turns of the runtime in which nothing comes of it after which a request on loopback is taken to have got where it goes.
const QUIET_TURNS: u32 = 24;

/// What is not measured here. Times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Assumptions {
    /// A call of DynamoDB.
    pub(crate) dynamodb_millis: i64,
    /// Sending to a queue.
    pub(crate) sqs_millis: i64,
    /// Reading a secret.
    pub(crate) secrets_millis: i64,
    /// A post, from the function and back.
    pub(crate) host_millis: i64,
    /// What a function does by itself.
    pub(crate) own_millis: i64,
    /// A cold start.
    pub(crate) cold_millis: i64,
    /// After this time Lambda takes a sandbox away, and after this time without work.
    pub(crate) sandbox_millis: i64,
    pub(crate) idle_millis: i64,
    /// Instances of rules and of poster at once: the template's defaults.
    pub(crate) rules_at_once: usize,
    pub(crate) posters_at_once: usize,
    /// Long polls that Lambda keeps open for each queue.
    pub(crate) pollers: u32,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            dynamodb_millis: 5,
            sqs_millis: 10,
            secrets_millis: 20,
            host_millis: 250,
            own_millis: 5,
            cold_millis: 150,
            sandbox_millis: 2 * 3_600_000,
            idle_millis: 10 * MINUTE_MILLIS,
            rules_at_once: 3,
            posters_at_once: 3,
            pollers: 5,
        }
    }
}

impl Assumptions {
    /// Polls of 20 seconds that find nothing, of both queues: as if nothing else came.
    pub(crate) fn empty_polls(&self, hours: f64) -> f64 {
        f64::from(2 * self.pollers) * hours * 3600.0 / 20.0
    }
}

/// What is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) kind: HostKind,
    pub(crate) fleet: Fleet,
    /// Providers, each with a credential of its own.
    pub(crate) credentials: u32,
    pub(crate) shape: Shape,
    /// How long after the end of the day what is due is still posted.
    pub(crate) drain_hours: u32,
    pub(crate) assumptions: Assumptions,
}

/// What the fleet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Day,
    /// One event of each object at once, all about one commit.
    Contexts,
    /// One event of each object at once, each about a commit of its own.
    Commits,
}

/// What came of it.
pub(crate) struct Outcome {
    /// Up to midnight.
    pub(crate) usage: Usage,
    /// Afterwards too.
    pub(crate) usage_in_all: Usage,
    pub(crate) posts_by_midnight: u64,
    pub(crate) untold_at_midnight: usize,
    pub(crate) untold_at_last: usize,
    pub(crate) longest_events_queue: usize,
    pub(crate) longest_posts_queue: usize,
    pub(crate) ledger: Ledger,
    pub(crate) controller: Controller,
    /// Nothing of this should be.
    pub(crate) surprises: Vec<String>,
}

enum Done {
    Answered(Response<Body>, i64, Arc<Intake>),
    Rules(Batch, SqsBatchResponse, Arc<Rules>),
    Poster(Batch, SqsBatchResponse, Arc<Poster>),
    Swept(i64, Arc<Sweeper>, Option<String>),
}

struct Batch {
    began: i64,
    /// Group and id.
    messages: Vec<(String, String)>,
}

struct Run<'a> {
    plan: Plan,
    clock: Clock,
    meter: Meter,
    service: Service,
    host: Arc<Host>,
    names: Names,
    signer: Signer,
    day: Day,
    ledger: Arc<Mutex<Ledger>>,
    controller: Controller,
    tasks: Tasks<Done>,
    intakes: Sandboxes<Intake>,
    rules: Sandboxes<Rules>,
    posters: Sandboxes<Poster>,
    sweepers: Sandboxes<Sweeper>,
    rules_busy: usize,
    posters_busy: usize,
    next_sweep: i64,
    version: u64,
    longest: (usize, usize),
    surprises: Vec<String>,
    progress: &'a dyn Fn(i64, u64),
}

/// Lives through it. `progress` is told the time since the beginning and the events so far, every virtual minute.
pub(crate) async fn run(plan: Plan, progress: &dyn Fn(i64, u64)) -> Outcome {
    let (clock, meter) = (Clock::new(), Meter::default());
    let Plan { kind, fleet, .. } = plan;
    let names = Names {
        kustomizations: fleet.kustomizations,
        namespaces: plan.credentials,
    };
    let ledger = Arc::new(Mutex::new(Ledger::new()));
    let commits = if plan.shape == Shape::Commits {
        fleet.objects()
    } else {
        fleet.commits.max(1)
    };
    let host_millis = plan.assumptions.host_millis;
    let (host, address) = Host::start(kind, &clock, host_millis, names, commits, &ledger).await;
    let service = Service::new(kind, &clock, &meter, &plan.assumptions, fleet.seed).await;
    service.set_up(kind, &address, fleet.clusters, names).await;
    let run = Run {
        day: match plan.shape {
            Shape::Day => Day::new(fleet),
            Shape::Contexts => Day::burst(fleet, false),
            Shape::Commits => Day::burst(fleet, true),
        },
        signer: Signer::new(&root_key(), fleet.clusters),
        plan,
        clock,
        meter,
        service,
        host,
        names,
        ledger,
        controller: Controller::default(),
        tasks: Tasks::new(),
        intakes: Sandboxes::new(),
        rules: Sandboxes::new(),
        posters: Sandboxes::new(),
        sweepers: Sandboxes::new(),
        rules_busy: 0,
        posters_busy: 0,
        next_sweep: START + MINUTE_MILLIS,
        version: 100_000,
        longest: (0, 0),
        surprises: Vec::new(),
        progress,
    };
    // Everything is on this thread and takes turns here.
    tokio::task::unconstrained(run.live()).await
}

impl Run<'_> {
    async fn live(mut self) -> Outcome {
        let written = logs::written();
        let midnight = START + self.plan.fleet.millis();
        self.live_until(midnight, false).await;
        let usage = self.usage(written);
        let (posts_by_midnight, untold_at_midnight) = {
            let ledger = self.ledger.lock().unwrap();
            (ledger.posts, ledger.untold())
        };
        let last = midnight + i64::from(self.plan.drain_hours) * 3_600_000;
        self.live_until(last, true).await;
        self.surprises.extend(self.service.table.surprises());
        let usage_in_all = self.usage(written);
        // The host goes before the ledger is taken.
        drop(self.tasks);
        let ledger = std::mem::replace(&mut *self.ledger.lock().unwrap(), Ledger::new());
        Outcome {
            usage,
            usage_in_all,
            posts_by_midnight,
            untold_at_midnight,
            untold_at_last: ledger.untold(),
            longest_events_queue: self.longest.0,
            longest_posts_queue: self.longest.1,
            ledger,
            controller: self.controller,
            surprises: self.surprises,
        }
    }

    fn usage(&self, (lines_before, bytes_before): (u64, u64)) -> Usage {
        let (lines, bytes) = logs::written();
        Usage {
            log_lines: lines - lines_before,
            log_bytes: bytes - bytes_before,
            ..self.meter.read()
        }
    }

    /// `drains`: it is over when everything is told and nothing is under way.
    async fn live_until(&mut self, end: i64, drains: bool) {
        loop {
            self.go_on().await;
            if drains && self.is_at_rest() {
                return;
            }
            let instants = [
                self.clock.next(),
                self.day.next(),
                Some(self.next_sweep),
                self.service.events.next_return(),
                self.service.posts.next_return(),
            ];
            let next = instants.into_iter().flatten().min().unwrap_or(end);
            if next >= end {
                self.clock.advance_to(end);
                return;
            }
            self.clock.advance_to(next);
            self.begin_what_is_due();
        }
    }

    fn is_at_rest(&self) -> bool {
        let idle = self.rules_busy == 0 && self.posters_busy == 0;
        let empty = self.service.events.len() == 0 && self.service.posts.len() == 0;
        idle && empty && self.clock.next().is_none() && self.ledger.lock().unwrap().untold() == 0
    }

    /// Lets everything go on until all wait for the time to pass.
    async fn go_on(&mut self) {
        loop {
            while let Some(done) = self.tasks.step() {
                self.end(done);
            }
            if self.begin_batches() {
                continue;
            }
            // Only posters talk to somebody outside.
            if (self.posters_busy > 0 || self.host.is_answering()) && self.settle().await {
                continue;
            }
            return;
        }
    }

    /// Waits until what is on its way to or from the host has arrived; whether an invocation can go on then.
    async fn settle(&self) -> bool {
        let mut quiet = 0;
        let mut waits = self.clock.waits();
        while quiet < QUIET_TURNS {
            tokio::task::yield_now().await;
            if self.tasks.can_go_on() {
                return true;
            }
            quiet += 1;
            if self.clock.waits() != waits {
                waits = self.clock.waits();
                quiet = 0;
            }
        }
        false
    }

    fn begin_what_is_due(&mut self) {
        let now = self.clock.millis();
        for queue in [&self.service.events, &self.service.posts] {
            queue.give_back();
        }
        while let Some(told) = self.day.pop(now) {
            self.send(told);
        }
        if now >= self.next_sweep {
            self.next_sweep += MINUTE_MILLIS;
            self.sweep();
            let events = self.ledger.lock().unwrap().events();
            (self.progress)(now - START, events);
        }
    }

    fn begin_batches(&mut self) -> bool {
        let assumptions = self.plan.assumptions;
        self.longest.0 = self.longest.0.max(self.service.events.len());
        self.longest.1 = self.longest.1.max(self.service.posts.len());
        let mut began = false;
        while self.rules_busy < assumptions.rules_at_once && self.service.events.has_something() {
            let messages = self.service.events.receive();
            self.begin_rules(messages);
            began = true;
        }
        while self.posters_busy < assumptions.posters_at_once && self.service.posts.has_something() {
            let messages = self.service.posts.receive();
            self.begin_poster(messages);
            began = true;
        }
        began
    }

    fn send(&mut self, told: Told) {
        let now = self.clock.now();
        let kind = self.plan.kind;
        self.ledger.lock().unwrap().said(told, now.as_millisecond());
        self.controller.said(told, kind, now.as_millisecond());
        self.version += 1;
        let body = self.names.body(told, now, self.version);
        let cluster = told.object / self.names.kustomizations;
        let request = Request::post(format!("/events/{}", cluster_name(cluster)))
            .header("content-type", "application/json")
            .header("x-signature", self.signer.sign(cluster, &body))
            .body(Body::Binary(body.into_bytes()))
            .unwrap();
        let service = &self.service;
        let assumptions = &self.plan.assumptions;
        let millis = now.as_millisecond();
        let (deps, is_cold) = self.intakes.free(millis, assumptions, || service.intake());
        self.meter.count(|usage| {
            usage.invocations.entry(Function::Intake).or_default().cold += u64::from(is_cold);
        });
        let (clock, own) = (self.clock.clone(), assumptions.own_millis);
        self.tasks.start(logs::invocation(async move {
            clock.sleep(own).await;
            let response = intake::handler::handle(&deps, request, clock.now()).await;
            Done::Answered(response, millis, deps)
        }));
    }

    fn begin_rules(&mut self, messages: Vec<Received>) {
        let now = self.clock.millis();
        let service = &self.service;
        let assumptions = &self.plan.assumptions;
        let (deps, is_cold) = self.rules.free(now, assumptions, || service.rules());
        let batch = self.batch(Function::Rules, &messages, is_cold);
        self.rules_busy += 1;
        let (clock, own) = (self.clock.clone(), assumptions.own_millis);
        self.tasks.start(logs::invocation(async move {
            clock.sleep(own).await;
            // As the template has it.
            let deadline = clock.now() + SignedDuration::from_secs(30);
            let response = rules::handler::handle(&deps, sqs_event(messages), deadline).await;
            Done::Rules(batch, response, deps)
        }));
    }

    fn begin_poster(&mut self, messages: Vec<Received>) {
        let now = self.clock.millis();
        let service = &self.service;
        let assumptions = &self.plan.assumptions;
        let (deps, is_cold) = self.posters.free(now, assumptions, || service.poster());
        let batch = self.batch(Function::Poster, &messages, is_cold);
        self.posters_busy += 1;
        let (clock, own) = (self.clock.clone(), assumptions.own_millis);
        self.tasks.start(logs::invocation(async move {
            clock.sleep(own).await;
            // As the template has it.
            let deadline = clock.now() + SignedDuration::from_secs(60);
            let response = poster::handler::handle(&deps, sqs_event(messages), deadline).await;
            Done::Poster(batch, response, deps)
        }));
    }

    fn batch(&self, function: Function, messages: &[Received], is_cold: bool) -> Batch {
        self.meter.count(|usage| {
            let of = usage.invocations.entry(function).or_default();
            of.messages += messages.len() as u64;
            of.cold += u64::from(is_cold);
        });
        let named = messages
            .iter()
            .map(|message| (message.group_id.clone(), message.id.clone()));
        Batch {
            began: self.clock.millis(),
            messages: named.collect(),
        }
    }

    fn sweep(&mut self) {
        let now = self.clock.millis();
        let service = &self.service;
        let assumptions = &self.plan.assumptions;
        let (deps, is_cold) = self.sweepers.free(now, assumptions, || service.sweeper());
        self.meter.count(|usage| {
            usage.invocations.entry(Function::Sweeper).or_default().cold += u64::from(is_cold);
        });
        let (clock, own) = (self.clock.clone(), assumptions.own_millis);
        self.tasks.start(logs::invocation(async move {
            clock.sleep(own).await;
            let error = sweeper::handler::handle(&deps).await.err();
            // As its `main` does in a stack.
            sweeper::handler::count_parked(&deps).await;
            Done::Swept(now, deps, error.map(|error| error.to_string()))
        }));
    }

    fn end(&mut self, done: Done) {
        match done {
            Done::Answered(response, began, _deps) => {
                self.ended(Function::Intake, began);
                if response.status() != 202 {
                    self.surprises
                        .push(format!("an event was answered {}", response.status()));
                }
            }
            Done::Rules(batch, response, _deps) => {
                self.rules_busy -= 1;
                self.ended(Function::Rules, batch.began);
                end_batch(&self.service.events, &batch, &response);
            }
            Done::Poster(batch, response, _deps) => {
                self.posters_busy -= 1;
                self.ended(Function::Poster, batch.began);
                end_batch(&self.service.posts, &batch, &response);
            }
            Done::Swept(began, _deps, error) => {
                self.ended(Function::Sweeper, began);
                self.surprises.extend(error);
            }
        }
    }

    fn ended(&self, function: Function, began: i64) {
        let millis = self.clock.millis() - began;
        self.meter.count(|usage| {
            let of = usage.invocations.entry(function).or_default();
            of.count += 1;
            of.millis += millis;
        });
    }
}

fn end_batch(queue: &Queue, batch: &Batch, response: &SqsBatchResponse) {
    let failures = response.batch_item_failures.iter();
    let failed: Vec<String> = failures.map(|failure| failure.item_identifier.clone()).collect();
    queue.end(batch.began, &batch.messages, &failed);
}
