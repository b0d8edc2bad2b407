//! What must never happen on the way, seen from outside: in what the poster writes and in what it posts.

use std::collections::HashMap;

use serde_json::Value;

/// What an invocation of the poster was seen to do.
#[derive(Debug, Default)]
struct Seen {
    /// The changes it claimed, by context key, and which write that was.
    claimed: HashMap<String, (u64, u64)>,
    /// When it last reserved a slot.
    reserved: u64,
    /// Until when it has the credential for itself.
    lease: i64,
}

/// The watcher.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    invocations: HashMap<u64, Seen>,
    writes: u64,
    /// The write that holds the credential.
    held: Option<(u64, i64)>,
    /// Who has a post under way that has arrived and is not answered.
    under_way: Vec<u64>,
    /// When a status was last written as ended without a post, by key. What was written may never have been said.
    ended: HashMap<String, i64>,
    pub(crate) violations: Vec<String>,
}

fn number(value: &Value) -> Option<i64> {
    value["N"].as_str()?.parse().ok()
}

impl Watch {
    /// A write of the poster took effect.
    pub(crate) fn wrote(&mut self, invocation: u64, request: &Value, answer: &Value, now: i64) {
        self.writes += 1;
        let update = request["UpdateExpression"].as_str().unwrap_or_default();
        let seen = self.invocations.entry(invocation).or_default();
        let pk = request["Key"]["pk"]["S"].as_str().unwrap_or_default();
        if update.contains("#ended = :ended") {
            let sk = request["Key"]["sk"]["S"].as_str().unwrap_or_default();
            self.ended.insert(format!("{pk} {sk}"), now);
        }
        if pk.starts_with("credential#") {
            if update.contains("#next_slot") {
                seen.reserved = self.writes;
                seen.lease = number(&request["ExpressionAttributeValues"][":busy_until"]).unwrap_or(0);
            } else if update.starts_with("REMOVE") {
                self.held = None;
            } else if let Some(until) = number(&request["ExpressionAttributeValues"][":until"]) {
                self.held = Some((self.writes, until));
            }
        } else if request["ReturnValues"] == "ALL_OLD" {
            let sk = request["Key"]["sk"]["S"].as_str().unwrap_or_default();
            let rev = number(&answer["Attributes"]["rev"]).unwrap_or(0);
            let claimed = (u64::try_from(rev).unwrap(), self.writes);
            seen.claimed.insert(format!("{pk} {sk}"), claimed);
        }
    }

    /// When the status was last written as ended.
    pub(crate) fn ended(&self, key: &str) -> Option<i64> {
        self.ended.get(key).copied()
    }

    /// A post begins. `posted` is the change the table says was recorded last.
    pub(crate) fn posts(&mut self, invocation: u64, key: &str, posted: u64, now: i64) {
        let seen = self.invocations.entry(invocation).or_default();
        let Some((claimed, claim)) = seen.claimed.get(key) else {
            let line = format!("{key} is posted by one that did not claim it");
            self.violations.push(line);
            return;
        };
        if *claimed < posted {
            self.violations.push(format!(
                "{key}: a post of change {claimed} began after change {posted} was recorded"
            ));
        }
        // The hold was there before it looked, so it knew.
        if let Some((write, until)) = self.held
            && until > now
            && write < seen.reserved.max(*claim)
        {
            self.violations.push(format!(
                "{key}: a post with a credential that is held until {until}"
            ));
        }
    }

    /// Until when an invocation has the credential for itself, if it asked for that.
    pub(crate) fn lease(&self, invocation: u64) -> Option<i64> {
        let seen = self.invocations.get(&invocation)?;
        (seen.lease > 0).then_some(seen.lease)
    }

    /// A post with the one credential arrives. No other may be under way, of an invocation that is alive and had time
    /// left for it.
    pub(crate) fn one_at_a_time(&mut self, invocation: u64, now: i64, is_alive: impl Fn(u64) -> bool) {
        self.under_way.retain(|other| is_alive(*other));
        let mut others = self.under_way.iter();
        let lease = |id: &u64| self.invocations.get(id).map_or(0, |seen| seen.lease);
        if let Some(other) = others.find(|id| lease(id) > now) {
            let line =
                format!("Poster#{invocation} posts while Poster#{other} does, with the same credential");
            self.violations.push(line);
        }
        self.under_way.push(invocation);
    }

    /// A post was answered.
    pub(crate) fn answered(&mut self, invocation: u64) {
        self.under_way.retain(|other| *other != invocation);
    }

    /// An invocation ended well that was told to wait.
    pub(crate) fn must_hold(&mut self, until: i64) {
        if self.held.is_none_or(|(_, held)| held < until) {
            self.violations.push(format!(
                "the host said to wait until {until}, and no hold says so"
            ));
        }
    }
}
