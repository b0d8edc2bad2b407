//! What happened in the clusters, as the seed draws it, and what the host must show in the end. The latter is written
//! from the specification and shares no code with the functions.

use std::collections::BTreeMap;

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

/// An event of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct SimEvent {
    pub(crate) cluster: String,
    pub(crate) object: String,
    pub(crate) sha: String,
    pub(crate) kind: Kind,
    /// Seconds since the start.
    pub(crate) second: i64,
    pub(crate) version: u64,
    /// When it is sent, in milliseconds since 1970: the first time, and again.
    pub(crate) sent: Vec<i64>,
}

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Progressing,
    BuildFailed,
    HealthCheckFailed,
    Succeeded,
}

impl Kind {
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

    fn state(self) -> &'static str {
        match self {
            Self::Progressing => "pending",
            Self::BuildFailed | Self::HealthCheckFailed => "failure",
            Self::Succeeded => "success",
        }
    }
}

impl SimEvent {
    pub(crate) fn body(&self) -> String {
        let mut body: Value = serde_json::from_str(self.kind.fixture()).unwrap();
        let timestamp = Timestamp::from_second(START + self.second).unwrap();
        body["timestamp"] = json!(format!("{timestamp:.0}"));
        body["involvedObject"]["name"] = json!(self.object);
        body["involvedObject"]["resourceVersion"] = json!(self.version.to_string());
        body["metadata"]["revision"] = json!(format!("main@sha1:{}", self.sha));
        body.to_string()
    }

    pub(crate) fn context(&self) -> String {
        format!("{}/apps/kustomization/{}", self.cluster, self.object)
    }
}

/// A whole history.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) events: Vec<SimEvent>,
    pub(crate) outages: Vec<Outage>,
    pub(crate) accidents: u32,
    /// When the host takes another token, and when the secret is mended; milliseconds.
    pub(crate) rotations: Vec<(i64, i64)>,
    pub(crate) plan: Plan,
    pub(crate) max_receives: u32,
    /// One batch in so many is delivered twice; 0 for none.
    pub(crate) delivered_twice: u32,
}

fn millis(second: i64) -> i64 {
    (START + second) * 1000
}

/// Seconds to days, every order of magnitude as likely.
fn long_or_short(rng: &mut fastrand::Rng, longest: i64) -> i64 {
    let exponent = rng.f64() * (longest as f64).ln();
    exponent.exp() as i64 + 1
}

fn draw_object(rng: &mut fastrand::Rng, cluster: usize, object: usize, events: &mut Vec<SimEvent>) {
    let mut second = rng.i64(0..MINUTE);
    let mut version = rng.u64(1..200);
    let mut at = |rng: &mut fastrand::Rng, kind, commit: usize, second: i64| {
        version += rng.u64(0..3);
        let first = millis(second)
            + match rng.u32(..10) {
                0 => rng.i64(0..20 * MINUTE) * 1000,
                1..=3 => rng.i64(0..30_000),
                _ => rng.i64(0..2_000),
            };
        let mut sent = vec![first];
        if rng.u32(..6) == 0 {
            let later = if rng.bool() { 5_000 } else { 2 * HOUR * 1000 };
            sent.push(first + rng.i64(0..later));
        }
        events.push(SimEvent {
            cluster: format!("c{cluster}"),
            object: format!("app{object}"),
            sha: format!("{:040x}", 0x00ab_cdef_0000_u64 + commit as u64),
            kind,
            second,
            version,
            sent,
        });
    };
    for commit in 0..rng.usize(1..=3) {
        for round in 0..rng.usize(1..=3) {
            if round == 0 || rng.u32(..3) == 0 {
                at(rng, Kind::Progressing, commit, second);
                second += rng.i64(0..20);
            }
            for _ in 0..rng.usize(0..=1) {
                let failed = if rng.bool() {
                    Kind::BuildFailed
                } else {
                    Kind::HealthCheckFailed
                };
                at(rng, failed, commit, second);
                second += rng.i64(0..3) * rng.i64(0..60);
            }
            if rng.u32(..4) != 0 {
                at(rng, Kind::Succeeded, commit, second);
            }
            second += if rng.bool() { rng.i64(0..MINUTE) } else { INTERVAL };
        }
    }
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
        let rotations = (0..rng.usize(0..=1))
            .map(|_| {
                let from = millis(rng.i64(0..=last));
                (from, from + long_or_short(&mut rng, 3 * HOUR) * 1000)
            })
            .collect();
        let plan = Plan {
            one_in: [0, 10, 25, 50][rng.usize(..4)],
            in_poster: rng.u32(0..=4),
            elsewhere: rng.u32(0..=10),
            exactly: None,
        };
        Self {
            events,
            outages,
            accidents: [0, 4, 10][rng.usize(..3)],
            rotations,
            plan,
            max_receives: if rng.u32(..4) == 0 {
                FEW_RECEIVES
            } else {
                MANY_RECEIVES
            },
            delivered_twice: [0, 3, 8][rng.usize(..3)],
        }
    }

    /// A pending, a failure and the success, of one cluster.
    pub(crate) fn short() -> Self {
        let kinds = [Kind::Progressing, Kind::HealthCheckFailed, Kind::Succeeded];
        let events = kinds.into_iter().enumerate().map(|(number, kind)| {
            let second = number as i64 * 20;
            SimEvent {
                cluster: "c0".into(),
                object: "app0".into(),
                sha: format!("{:040x}", 0x00ab_cdef_0000_u64),
                kind,
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

/// What a host must show for each commit and context, from the events the service has taken.
pub(crate) fn expected<'a>(
    taken: impl IntoIterator<Item = &'a SimEvent>,
) -> BTreeMap<(String, String), &'static str> {
    let mut newest: BTreeMap<(String, String), &SimEvent> = BTreeMap::new();
    // A result outweighs progress; then time, then the object's version, and of two that are equal the failure.
    let weight = |event: &SimEvent| {
        let state = event.kind.state();
        (
            state != "pending",
            event.second,
            event.version,
            state == "failure",
        )
    };
    for event in taken {
        let key = (event.sha.clone(), event.context());
        let best = newest.entry(key).or_insert(event);
        if weight(event) > weight(best) {
            *best = event;
        }
    }
    newest
        .into_iter()
        .map(|(key, event)| (key, event.kind.state()))
        .collect()
}
