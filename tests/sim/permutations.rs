//! Every order in which up to six events of an object can arrive, with some of them again: all end alike.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use local::fifo::Received;
use serde_json::Value;

use super::history::{History, Says, SimEvent, millis, sha};
use super::oracle::expected;
use super::world::{World, batch};

use Says::{BuildFailed, HealthCheckFailed, Progressing, Succeeded};

/// Commit, what is said, second, version.
type Told = (usize, Says, i64, u64);

/// Two commits with all that can be said about them; two results of one second, told apart by the version, and two of
/// one second and version.
const TWO_COMMITS: [Told; 6] = [
    (0, Progressing, 0, 1),
    (0, Succeeded, 10, 2),
    (0, BuildFailed, 10, 3),
    (1, Progressing, 20, 4),
    (1, HealthCheckFailed, 30, 5),
    (1, Succeeded, 30, 5),
];
/// Three commits, each overtaken by the next while it is pending.
const THREE_COMMITS: [Told; 6] = [
    (0, Progressing, 0, 1),
    (1, Progressing, 10, 2),
    (1, Succeeded, 11, 3),
    (1, Progressing, 12, 4),
    (2, Progressing, 20, 5),
    (2, HealthCheckFailed, 21, 6),
];

fn event(&(commit, says, second, version): &Told) -> SimEvent {
    SimEvent {
        cluster: "c0".into(),
        object: "app0".into(),
        commit,
        says,
        second,
        version,
        sent: vec![millis(second)],
    }
}

/// Every order of every selection.
fn arrangements(of: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    let mut longest = all.clone();
    for _ in 0..of {
        let longer: Vec<Vec<usize>> = longest
            .iter()
            .flat_map(|some: &Vec<usize>| {
                let left = (0..of).filter(|index| !some.contains(index));
                left.map(|index| [some.as_slice(), &[index]].concat())
            })
            .collect();
        all.extend(longer.iter().cloned());
        longest = longer;
    }
    all
}

async fn all_end_alike(name: &str, told: &[Told]) {
    let history = History {
        events: told.iter().map(event).collect(),
        ..History::short()
    };
    let world = World::new(name, 0, &history).await;
    let now = Timestamp::from_millisecond(millis(60)).unwrap();
    world.sched.clock.advance_to(millis(60));
    for (number, event) in history.events.iter().enumerate() {
        let request = world.request("c0", 0, &event.body(number));
        let answer = intake::handler::handle(&*world.intake(), request, now).await;
        assert_eq!(answer.status(), 202);
    }
    let bodies: Vec<String> = {
        let taken = world.events.taken.lock().unwrap();
        taken.iter().map(|message| message.body.clone()).collect()
    };
    assert_eq!(bodies.len(), told.len());

    let arrangements = arrangements(told.len());
    assert_eq!(arrangements.len(), 1_957);
    let mut rng = fastrand::Rng::with_seed(1);
    let rules = world.rules();
    for (number, arrangement) in arrangements.iter().enumerate() {
        let mut arrivals = arrangement.clone();
        for _ in 0..rng.usize(0..=3).min(arrangement.len()) {
            let again = arrangement[rng.usize(..arrangement.len())];
            arrivals.insert(rng.usize(0..=arrivals.len()), again);
        }
        // An object of its own for each, so that they do not meet.
        let messages: Vec<Received> = arrivals
            .iter()
            .map(|index| Received {
                id: "m".into(),
                body: bodies[*index].replace("\"app0\"", &format!("\"app-{number}\"")),
                group_id: "g".into(),
                receives: 1,
            })
            .collect();
        let deadline = now + SignedDuration::from_secs(60);
        let answer = rules::handler::handle(&*rules, batch(&messages), deadline).await;
        assert_eq!(answer.batch_item_failures.len(), 0);
    }

    let items: BTreeMap<(String, String), Value> = world
        .items()
        .into_iter()
        .map(|item| {
            let text = |name: &str| item[name]["S"].as_str().unwrap().to_owned();
            let sha = text("pk").rsplit_once('@').unwrap().1.to_owned();
            ((sha, text("context")), item)
        })
        .collect();
    let mut statuses = 0;
    for (number, arrangement) in arrangements.iter().enumerate() {
        let events: Vec<SimEvent> = arrangement
            .iter()
            .map(|index| SimEvent {
                object: format!("app-{number}"),
                ..history.events[*index].clone()
            })
            .collect();
        for (key, expected) in expected(&history, &events) {
            let state = items[&key]["desired"]["M"]["state"]["S"].as_str();
            assert_eq!(state, Some(expected.state.stored()), "{key:?} {arrangement:?}");
            statuses += 1;
        }
    }
    assert_eq!(items.len(), statuses);
    assert!(items.keys().any(|(commit, _)| *commit == sha(0)));
}

#[test]
fn p3_every_order_of_events_about_two_commits_ends_alike() {
    super::block_on(all_end_alike("two-commits", &TWO_COMMITS));
}

#[test]
fn p3_every_order_of_events_about_three_commits_ends_alike() {
    super::block_on(all_end_alike("three-commits", &THREE_COMMITS));
}
