//! What happens in the clusters and to the service, as the seed draws it.

use hosts::HostKind;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::host::{Outage, Trouble};
use super::sched::{Plan, START};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
/// Time between two reconciles.
const INTERVAL: i64 = 10 * MINUTE;
/// Below the receives after which SQS would give up.
const MANY_RECEIVES: u32 = 1_000;
/// With so few some messages become dead letters.
const FEW_RECEIVES: u32 = 2;
/// What is older than this is refused on receipt.
pub(crate) const OLDEST_MILLIS: i64 = 24 * HOUR * 1000;

/// An event of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct SimEvent {
    pub(crate) cluster: String,
    pub(crate) object: String,
    /// Number of the commit among those of the object, from the oldest.
    pub(crate) commit: usize,
    pub(crate) says: Says,
    /// Seconds since the start.
    pub(crate) second: i64,
    pub(crate) version: u64,
    /// When it is sent, in milliseconds since 1970: the first time, and again.
    pub(crate) sent: Vec<i64>,
}

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Progressing,
    BuildFailed,
    HealthCheckFailed,
    Succeeded,
}

impl Says {
    fn fixture(self) -> &'static str {
        match self {
            Self::Progressing => {
                include_str!("../fixtures/flux-events/02-kustomization-progressing-apply.json")
            }
            Self::BuildFailed => include_str!("../fixtures/flux-events/05-kustomization-buildfailed.json"),
            Self::HealthCheckFailed => {
                include_str!("../fixtures/flux-events/06-kustomization-healthcheckfailed.json")
            }
            Self::Succeeded => {
                include_str!("../fixtures/flux-events/04-kustomization-reconciliationsucceeded.json")
            }
        }
    }
}

/// The commit of that number.
pub(crate) fn sha(commit: usize) -> String {
    // No two begin with the same seven digits.
    format!("{:07x}{:033x}", 0x0ab_cde0 + commit, 0xfeed)
}

impl SimEvent {
    /// As notification-controller writes it. `number` is the event's own, so that it is known again.
    pub(crate) fn body(&self, number: usize) -> String {
        let mut body: Value = serde_json::from_str(self.says.fixture()).unwrap();
        let timestamp = Timestamp::from_second(START + self.second).unwrap();
        body["timestamp"] = json!(format!("{timestamp:.0}"));
        body["message"] = json!(number.to_string());
        body["involvedObject"]["name"] = json!(self.object);
        body["involvedObject"]["resourceVersion"] = json!(self.version.to_string());
        body["metadata"]["revision"] = json!(format!("main@sha1:{}", sha(self.commit)));
        body.to_string()
    }

    pub(crate) fn context(&self) -> String {
        format!("{}/apps/kustomization/{}", self.cluster, self.object)
    }
}

/// The rule all objects are under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SimRule {
    /// `eventSeverity: error`.
    pub(crate) errors_only: bool,
    /// `reportProgress`.
    pub(crate) progress: bool,
    /// `onSuperseded: close`.
    pub(crate) closes: bool,
}

impl Default for SimRule {
    fn default() -> Self {
        Self {
            errors_only: false,
            progress: true,
            closes: true,
        }
    }
}

/// What an operator does to the rule for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meddling {
    Suspended,
    Deleted,
}

/// From when to when the rule is not as it should be; milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) meddling: Meddling,
}

/// A whole history.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) kind: HostKind,
    pub(crate) rule: SimRule,
    pub(crate) events: Vec<SimEvent>,
    pub(crate) outages: Vec<Outage>,
    pub(crate) accidents: u32,
    /// When the host takes another token, and when the secret is mended; milliseconds.
    pub(crate) tokens: Vec<(i64, i64)>,
    /// When the root key is replaced, and when all clusters have their new keys; milliseconds.
    pub(crate) roots: Vec<(i64, i64)>,
    pub(crate) windows: Vec<Window>,
    pub(crate) plan: Plan,
    pub(crate) max_receives: u32,
    /// One batch in so many is delivered twice; 0 for none.
    pub(crate) delivered_twice: u32,
}

impl Default for History {
    fn default() -> Self {
        Self {
            kind: HostKind::GitHub,
            rule: SimRule::default(),
            events: Vec::new(),
            outages: Vec::new(),
            accidents: 0,
            tokens: Vec::new(),
            roots: Vec::new(),
            windows: Vec::new(),
            plan: Plan::default(),
            max_receives: 0,
            delivered_twice: 0,
        }
    }
}

pub(crate) fn millis(second: i64) -> i64 {
    (START + second) * 1000
}

/// Seconds to days, every order of magnitude as likely.
fn long_or_short(rng: &mut fastrand::Rng, longest: i64) -> i64 {
    let exponent = rng.f64() * (longest as f64).ln();
    exponent.exp() as i64 + 1
}

/// When an event is sent: mostly at once, some late, some again, now and then a day later by somebody who kept it.
fn draw_sent(rng: &mut fastrand::Rng, second: i64) -> Vec<i64> {
    let first = millis(second)
        + match rng.u32(..10) {
            0 => rng.i64(0..20 * MINUTE) * 1000,
            1..=3 => rng.i64(0..30_000),
            _ => rng.i64(0..2_000),
        };
    let mut sent = vec![first];
    match rng.u32(..36) {
        0..=2 => sent.push(first + rng.i64(0..5_000)),
        3..=5 => sent.push(first + rng.i64(0..2 * HOUR * 1000)),
        6 => sent.push(first + OLDEST_MILLIS + rng.i64(0..HOUR * 1000)),
        _ => {}
    }
    sent
}

fn draw_object(rng: &mut fastrand::Rng, cluster: usize, object: usize, events: &mut Vec<SimEvent>) {
    let mut second = rng.i64(0..MINUTE);
    let mut version = rng.u64(1..200);
    for commit in 0..rng.usize(1..=3) {
        // Whatever is said about another commit is another version.
        version += rng.u64(1..3);
        for round in 0..rng.usize(1..=3) {
            let mut at = |rng: &mut fastrand::Rng, says, second: i64| {
                version += rng.u64(0..3);
                events.push(SimEvent {
                    cluster: format!("c{cluster}"),
                    object: format!("app{object}"),
                    commit,
                    says,
                    second,
                    version,
                    sent: draw_sent(rng, second),
                });
            };
            if round == 0 || rng.u32(..3) == 0 {
                at(rng, Says::Progressing, second);
                second += rng.i64(0..20);
            }
            for _ in 0..rng.usize(0..=1) {
                let failed = if rng.bool() {
                    Says::BuildFailed
                } else {
                    Says::HealthCheckFailed
                };
                at(rng, failed, second);
                second += rng.i64(0..3) * rng.i64(0..60);
            }
            if rng.u32(..4) != 0 {
                at(rng, Says::Succeeded, second);
            }
            second += if rng.bool() { rng.i64(0..MINUTE) } else { INTERVAL };
        }
    }
}

/// Times one after the other, each with what follows it, all apart by `rest` at least.
fn draw_pairs(rng: &mut fastrand::Rng, most: usize, last: i64, longest: i64, rest: i64) -> Vec<(i64, i64)> {
    let mut free = 0;
    let mut pairs = Vec::new();
    for _ in 0..rng.usize(0..=most) {
        let from = free + rng.i64(0..=last);
        let to = from + long_or_short(rng, longest);
        free = to + rest;
        pairs.push((millis(from), millis(to)));
    }
    pairs
}

impl History {
    /// What the seed says.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut events = Vec::new();
        for cluster in 0..rng.usize(1..=3) {
            for object in 0..rng.usize(1..=2) {
                draw_object(&mut rng, cluster, object, &mut events);
            }
        }
        // The first one twice: it wants posts one at a time.
        let kinds = [&[HostKind::GitHub], HostKind::ALL.as_slice()].concat();
        let kind = kinds[rng.usize(..kinds.len())];
        let rule = match rng.u32(..6) {
            0 => SimRule {
                errors_only: true,
                ..SimRule::default()
            },
            1 => SimRule {
                progress: false,
                ..SimRule::default()
            },
            2 => SimRule {
                closes: false,
                ..SimRule::default()
            },
            _ => SimRule::default(),
        };
        let last = events.iter().map(|event| event.second).max().unwrap_or(0);
        let outages = (0..rng.usize(0..=2))
            .map(|_| {
                let longest = if rng.u32(..400) == 0 { 72 * HOUR } else { 2 * HOUR };
                let from = millis(rng.i64(0..=last));
                Outage {
                    from,
                    to: from + long_or_short(&mut rng, longest) * 1000,
                    trouble: [Trouble::Down, Trouble::Mute, Trouble::Limited][rng.usize(..3)],
                }
            })
            .collect();
        let tokens = draw_pairs(&mut rng, 1, last, 3 * HOUR, 0);
        // A cluster gets its new key a minute after the root key was replaced at the soonest: by hand.
        let roots = draw_pairs(&mut rng, 2, last, HOUR, 10 * MINUTE);
        let roots = roots.into_iter().map(|(from, to)| (from, to + 60_000)).collect();
        let windows = if rng.u32(..4) == 0 {
            draw_windows(&mut rng, last, &mut events)
        } else {
            Vec::new()
        };
        let plan = Plan {
            one_in: [0, 10, 25, 50][rng.usize(..4)],
            in_poster: rng.u32(0..=4),
            elsewhere: rng.u32(0..=10),
            exactly: None,
        };
        Self {
            kind,
            rule,
            events,
            outages,
            accidents: [0, 4, 10][rng.usize(..3)],
            tokens,
            roots,
            windows,
            plan,
            max_receives: if rng.u32(..4) == 0 {
                FEW_RECEIVES
            } else {
                MANY_RECEIVES
            },
            delivered_twice: [0, 3, 8][rng.usize(..3)],
        }
    }

    /// When the last thing happens that is not of the service's making; milliseconds.
    pub(crate) fn end(&self) -> i64 {
        let sent = self.events.iter().flat_map(|event| event.sent.iter().copied());
        let outages = self.outages.iter().map(|outage| outage.to);
        let pairs = self.tokens.iter().chain(&self.roots).map(|pair| pair.1);
        let windows = self.windows.iter().map(|window| window.to);
        let all = sent.chain(outages).chain(pairs).chain(windows);
        all.max().unwrap_or(millis(0))
    }

    /// One object, three commits one soon after the other; the last one fails and recovers.
    pub(crate) fn short() -> Self {
        let says = [
            (0, Says::Progressing),
            (1, Says::Progressing),
            (2, Says::Progressing),
            (2, Says::HealthCheckFailed),
            (2, Says::Succeeded),
        ];
        let events = says.into_iter().enumerate().map(|(number, (commit, says))| {
            let second = number as i64 * 20;
            SimEvent {
                cluster: "c0".into(),
                object: "app0".into(),
                commit,
                says,
                second,
                version: number as u64 + 1,
                sent: vec![millis(second)],
            }
        });
        Self {
            events: events.collect(),
            max_receives: MANY_RECEIVES,
            ..Self::default()
        }
    }
}

/// Somebody suspends or deletes the rule for a while. When that is over every object is reconciled once more.
fn draw_windows(rng: &mut fastrand::Rng, last: i64, events: &mut Vec<SimEvent>) -> Vec<Window> {
    let windows: Vec<Window> = draw_pairs(rng, 2, last, HOUR, 5 * MINUTE)
        .into_iter()
        .map(|(from, to)| Window {
            from,
            to,
            meddling: if rng.bool() {
                Meddling::Suspended
            } else {
                Meddling::Deleted
            },
        })
        .collect();
    let Some(end) = windows.iter().map(|window| window.to).max() else {
        return windows;
    };
    let end = (end / 1000 - START).max(last) + 30 * MINUTE;
    let mut newest: Vec<SimEvent> = Vec::new();
    for event in events.iter() {
        let same = |other: &&mut SimEvent| other.cluster == event.cluster && other.object == event.object;
        match newest.iter_mut().find(same) {
            Some(known) => *known = event.clone(),
            None => newest.push(event.clone()),
        }
    }
    for event in newest {
        events.push(SimEvent {
            says: Says::Succeeded,
            second: end,
            version: event.version + 1,
            sent: vec![millis(end)],
            ..event
        });
    }
    windows
}
