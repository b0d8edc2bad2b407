//! What must hold when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::history::{SimEvent, expected};
use super::world::World;

/// The time a call may take: a wait the host asks for is counted from before the post.
pub(crate) const SLACK_MILLIS: i64 = 90_000;

type Key = (String, String);

/// Everything that is not as it must be.
pub(crate) fn at_rest(world: &World, taken: &[&SimEvent]) -> Vec<String> {
    let mut violations = std::mem::take(&mut world.watch.lock().unwrap().violations);
    let shown = world.host.shown.lock().unwrap();
    let expected = expected(taken.iter().copied());
    let items: BTreeMap<Key, Value> = world
        .items()
        .into_iter()
        .map(|item| {
            let text = |name: &str| item[name]["S"].as_str().unwrap().to_owned();
            let sha = text("pk").rsplit_once('@').unwrap().1.to_owned();
            ((sha, text("context")), item)
        })
        .collect();
    for (key, state) in &expected {
        let name = format!("{} on {:.7}", key.1, key.0);
        let shows = shown.get(key).and_then(|shown| shown.states.last());
        if shows.is_none_or(|(shows, _)| shows != state) {
            violations.push(format!("{name}: the host shows {shows:?}, not {state}"));
        }
        let Some(item) = items.get(key) else {
            violations.push(format!("{name}: there is no item"));
            continue;
        };
        for left in ["due", "unsure", "claim_until", "parked"] {
            if item.get(left).is_some() {
                violations.push(format!("{name}: it still has {left} {}", item[left]));
            }
        }
        // A change that was taken back before it was posted ends so.
        let ended = item["ended"]["S"].as_str();
        if ended.is_some_and(|ended| ended != "already-posted") {
            violations.push(format!("{name}: it ended as {ended:?}"));
        }
        let posted = item["posted"]["M"]["state"]["S"].as_str();
        if posted != Some(state) || item["desired"]["M"]["state"]["S"].as_str() != Some(state) {
            violations.push(format!("{name}: the table says {posted:?}, not {state}"));
        }
    }
    for (key, shown) in shown.iter() {
        let name = format!("{} on {:.7}", key.1, key.0);
        let Some(item) = items.get(key).filter(|_| expected.contains_key(key)) else {
            violations.push(format!("{name}: nobody asked for it"));
            continue;
        };
        let changes: usize = item["rev"]["N"].as_str().unwrap().parse().unwrap();
        let events = taken
            .iter()
            .filter(|event| (&event.sha, &event.context()) == (&key.0, &key.1));
        if changes > events.count() {
            violations.push(format!(
                "{name}: {changes} changes are more than there were events"
            ));
        }
        let posters: BTreeSet<u64> = shown.states.iter().map(|(_, invocation)| *invocation).collect();
        let faults: u32 = posters.iter().map(|id| world.sched.faults_of(*id)).sum();
        let allowed = changes + shown.ambiguous + usize::try_from(faults).unwrap();
        if shown.states.len() > allowed {
            violations.push(format!(
                "{name}: {} posts for {changes} changes, {} ambiguous answers and {faults} faults",
                shown.states.len(),
                shown.ambiguous,
            ));
        }
    }
    violations
}
