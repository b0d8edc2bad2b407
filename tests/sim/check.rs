//! What must hold when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::history::{History, Meddling, SimEvent, sha};
use super::logs::Line;
use super::oracle::{Expected, Key, State, expected};
use super::queue::{CANARY, CANARY_IN_BASE64, ROOT_KEY};
use super::sched::Function;
use super::world::World;

/// A warm function believes a rule for five seconds; an invocation that began then may take as long as it may, and one
/// call longer.
const RULES_LAG_MILLIS: i64 = 80_000;
const POSTER_LAG_MILLIS: i64 = 170_000;

/// Verdicts of events that no rule wanted at that time.
const NOT_HANDLED: [(&str, Meddling); 2] = [
    ("skipped(suspended)", Meddling::Suspended),
    ("no-rule", Meddling::Deleted),
];

/// What was said, in numbers, beside what there is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Events the queue took.
    pub(crate) taken: u64,
    /// Verdicts on them.
    pub(crate) verdicts: u64,
    /// Changes in the table.
    pub(crate) changes: u64,
    /// Verdicts and closings that say so.
    pub(crate) changed: u64,
    /// Changes that were posted, parked or ended, or coalesced into one that was.
    pub(crate) ends: u64,
}

/// Adds up what was said.
pub(crate) fn tally(world: &World, lines: &[Line]) -> Tally {
    let mut tally = Tally {
        taken: world.events.messages.lock().unwrap().len() as u64,
        ..Tally::default()
    };
    for item in world.items() {
        tally.changes += item["rev"]["N"].as_str().unwrap().parse::<u64>().unwrap();
    }
    for line in lines {
        let is_changed = line.of("outcome") == "changed";
        if is_verdict(line) {
            tally.verdicts += 1;
        }
        tally.changed += u64::from(is_changed);
        if is_end(line) {
            tally.ends += 1 + line.number("status.coalesced");
        }
    }
    tally
}

/// Whether `rules` says what became of an event.
fn is_verdict(line: &Line) -> bool {
    !line.of("event.reason").is_empty() && line.of("http.status").is_empty()
}

/// Whether `poster` says how a change ended.
fn is_end(line: &Line) -> bool {
    let outcome = line.of("outcome");
    let ends = outcome == "posted" || outcome.starts_with("ended(") || outcome.starts_with("parked(");
    ends && !line.of("status.attempts").is_empty() && line.of("recorded") != "Lost"
}

struct AtRest<'a> {
    world: &'a World,
    history: &'a History,
    /// What the rule's function said about events.
    verdicts: Vec<&'a Line>,
    /// What the poster said about changes.
    ends: Vec<&'a Line>,
    /// Contexts of events that met no rule, and may have met one before: a crash kept that verdict from being said.
    unclear: BTreeSet<String>,
    violations: Vec<String>,
}

/// Everything that is not as it must be. `taken`: the events the queue has, by number, with their ids.
pub(crate) fn at_rest(
    world: &World,
    history: &History,
    taken: &BTreeMap<usize, String>,
    lines: &[Line],
) -> Vec<String> {
    let mut check = AtRest {
        world,
        history,
        verdicts: lines.iter().filter(|line| is_verdict(line)).collect(),
        ends: lines.iter().filter(|line| is_end(line)).collect(),
        unclear: BTreeSet::new(),
        violations: std::mem::take(&mut world.watch.lock().unwrap().violations),
    };
    let handled = check.verdicts(taken);
    let expected = expected(history, handled);
    let items = check.items();
    for (key, expected) in &expected {
        check.shows(key, expected, items.get(key));
    }
    check.counts(&expected, &items);
    check.secrets(lines);
    check.violations
}

fn name(key: &Key) -> String {
    format!("{} on {:.7}", key.1, key.0)
}

impl<'a> AtRest<'a> {
    fn wrong(&mut self, line: String) {
        self.violations.push(line);
    }

    /// Whether somebody was at the rule then.
    fn was(&self, at: i64, meddling: Meddling, lag: i64) -> bool {
        let windows = self.history.windows.iter();
        windows
            .filter(|window| window.meddling == meddling)
            .any(|window| (window.from..=window.to + lag).contains(&at))
    }

    /// Every event that was taken has a verdict. Returns those that were handled under the rule.
    fn verdicts(&mut self, taken: &BTreeMap<usize, String>) -> Vec<&'a SimEvent> {
        let mut handled = Vec::new();
        for (number, id) in taken {
            let verdicts: Vec<&Line> = self
                .verdicts
                .iter()
                .filter(|line| line.of("event.id") == id)
                .copied()
                .collect();
            if verdicts.is_empty() {
                self.wrong(format!("event {number} has no verdict"));
            }
            let mut counts = false;
            for line in verdicts {
                let outcome = line.of("outcome");
                match NOT_HANDLED.iter().find(|(word, _)| *word == outcome) {
                    Some((_, meddling)) if self.was(line.at, *meddling, RULES_LAG_MILLIS) => {}
                    Some(_) => self.wrong(format!("event {number}: {outcome}, but the rule was there")),
                    None => counts = true,
                }
            }
            let event = &self.history.events[*number];
            if counts {
                handled.push(event);
            } else if self.world.sched.faults_in(Function::Rules) > 0 {
                self.unclear.insert(event.context());
            }
        }
        handled
    }

    fn items(&self) -> BTreeMap<Key, Value> {
        let items = self.world.items().into_iter();
        items
            .map(|item| {
                let text = |name: &str| item[name]["S"].as_str().unwrap().to_owned();
                let sha = text("pk").rsplit_once('@').unwrap().1.to_owned();
                ((sha, text("context")), item)
            })
            .collect()
    }

    /// The host shows what is expected, and the table knows.
    fn shows(&mut self, key: &Key, expected: &Expected, item: Option<&Value>) {
        let name = name(key);
        let kind = self.history.kind;
        let shows = self.world.host.shows(key);
        let shows = shows.as_deref();
        let Some(item) = item else {
            // Every event that was handled has left one.
            return self.wrong(format!("{name}: there is no item"));
        };
        let skipped = self.was_skipped(item);
        for left in ["due", "claim_until", "parked", "unsure"] {
            // What was begun before the rule was gone stays open until something comes again.
            if item.get(left).is_some() && !(left == "unsure" && skipped) {
                self.wrong(format!("{name}: it still has {left} {}", item[left]));
            }
        }
        if self.unclear.contains(&key.1) {
            return;
        }
        let state = expected.state;
        if item["desired"]["M"]["state"]["S"] != state.stored() && !self.closed_with_its_rule(item) {
            self.wrong(format!(
                "{name}: the table wants {}, not {state:?}",
                item["desired"]["M"]["state"]["S"]
            ));
        }
        if let Some(ended) = item["ended"]["S"].as_str()
            // A change that was taken back before it was posted ends so, or a failure's success that nobody saw.
            && !matches!(ended, "already-posted" | "nothing-to-clear")
            && !skipped
        {
            self.wrong(format!("{name}: it ended as {ended}"));
        }
        if skipped || self.closed_with_its_rule(item) {
            return;
        }
        let posted = item["posted"]["M"]["state"]["S"].as_str();
        if expected.only_clears {
            let cleared = shows.is_none_or(|shows| shows == State::Success.word(kind));
            if !cleared {
                self.wrong(format!("{name}: the host shows {shows:?}, and nothing clears it"));
            }
            return;
        }
        if shows != Some(state.word(kind)) {
            self.wrong(format!("{name}: the host shows {shows:?}, not {state:?}"));
        }
        if posted != Some(state.stored()) {
            self.wrong(format!(
                "{name}: the table says {posted:?} was posted, not {state:?}"
            ));
        }
    }

    /// Whether the rule was not there when it was to be posted, and nothing has come since.
    fn was_skipped(&self, item: &Value) -> bool {
        let meddling = match item["ended"]["S"].as_str() {
            Some("skipped(rule-suspended)") => Meddling::Suspended,
            Some("skipped(rule-gone)") => Meddling::Deleted,
            _ => return false,
        };
        let key = ["pk", "sk"]
            .map(|name| item[name]["S"].as_str().unwrap())
            .join(" ");
        let ended = self.world.watch.lock().unwrap().ended(&key);
        ended.is_some_and(|at| self.was(at, meddling, POSTER_LAG_MILLIS))
    }

    /// A pending whose rule was deleted may have been closed with it.
    fn closed_with_its_rule(&self, item: &Value) -> bool {
        let mut windows = self.history.windows.iter();
        item["desired"]["M"]["state"]["S"] == State::Superseded.stored()
            && windows.any(|window| window.meddling == Meddling::Deleted)
    }

    /// No more posts than there were reasons for, and an end for every change.
    fn counts(&mut self, expected: &BTreeMap<Key, Expected>, items: &BTreeMap<Key, Value>) {
        let told = self.world.host.told.lock().unwrap().clone();
        for (key, item) in items {
            let name = name(key);
            if self.unclear.contains(&key.1) {
                continue;
            }
            let Some(expected) = expected.get(key) else {
                self.wrong(format!("{name}: nobody asked for it"));
                continue;
            };
            let changes: usize = item["rev"]["N"].as_str().unwrap().parse().unwrap();
            // One more closes what a newer commit has overtaken, and one what a rule left that was deleted.
            let closings = 1 + self.history.windows.len();
            if changes > expected.events + closings {
                self.wrong(format!(
                    "{name}: {changes} changes are more than {} events",
                    expected.events
                ));
            }
            if let Some(told) = told.get(key) {
                let posters: BTreeSet<u64> = told.by.iter().copied().collect();
                let faults: u32 = posters.iter().map(|id| self.world.sched.faults_of(*id)).sum();
                let allowed = changes + told.ambiguous + usize::try_from(faults).unwrap();
                if told.by.len() > allowed {
                    self.wrong(format!(
                        "{name}: {} posts for {changes} changes, {} ambiguous answers and {faults} faults",
                        told.by.len(),
                        told.ambiguous,
                    ));
                }
            }
            self.has_ends(key, changes);
        }
        for key in told.keys().filter(|key| !items.contains_key(*key)) {
            self.wrong(format!("{}: it was told, and there is no item", name(key)));
        }
    }

    /// Every change of a status was posted, coalesced, parked or ended, and somebody said so. What fails or crashes the
    /// poster may keep that from being said.
    fn has_ends(&mut self, key: &Key, changes: usize) {
        if self.world.sched.faults_in(Function::Poster) > 0 {
            return;
        }
        let mut missing: BTreeSet<u64> = (1..=changes as u64).collect();
        for line in self.ends.iter().filter(|line| is_about(line, key)) {
            let rev = line.number("status.rev");
            let coalesced = line.number("status.coalesced");
            for rev in rev - coalesced.min(rev)..=rev {
                missing.remove(&rev);
            }
        }
        if !missing.is_empty() {
            self.wrong(format!("{}: no end was told of changes {missing:?}", name(key)));
        }
    }

    /// No secret is where it should not be. The queues are searched as they are filled.
    fn secrets(&mut self, lines: &[Line]) {
        let keys = self.world.cluster_keys();
        let mut secrets: Vec<&str> = keys.iter().map(String::as_str).collect();
        secrets.extend([CANARY, CANARY_IN_BASE64, ROOT_KEY]);
        let tables = self.world.everything();
        let found: Vec<String> = secrets
            .iter()
            .filter(|secret| {
                tables.contains(**secret)
                    || lines
                        .iter()
                        .any(|line| line.values().any(|value| value.contains(**secret)))
            })
            .map(|secret| format!("the secret {secret} is in a log line or in a table"))
            .collect();
        self.violations.extend(found);
    }
}

fn is_about(line: &Line, key: &Key) -> bool {
    line.of("commit.sha") == key.0 && line.of("status.context") == key.1
}

/// All that is known of a commit, so that the same story is told whatever its digits are.
pub(crate) fn short(commit: usize) -> String {
    sha(commit)[..7].to_owned()
}
