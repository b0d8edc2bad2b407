use std::io;

use hosts::PostError;
use jiff::SignedDuration;
use shared::item::{CredentialItem, EventItem, StatusItem};
use shared::{CommitStatusRule, OrderKey, Provider, Rank, Scope, State};

use super::facts::{Facts, Queues as Counted};
use super::*;
use crate::secrets::{Stages, Version};
use crate::store::Cluster;
use crate::store::tests::status;

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

fn now() -> Timestamp {
    "2026-08-08T12:00:00Z".parse().unwrap()
}

fn before(duration: &str) -> Timestamp {
    now() - super::duration(duration).unwrap()
}

fn cluster() -> Cluster {
    Cluster {
        name: "dev".into(),
        generation: 1,
        suspended: false,
        connected_namespaces: ["flux-system".into()].into(),
        connected_root_key: Some("2".into()),
    }
}

fn rule() -> CommitStatusRule {
    serde_json::from_value(json!({
        "metadata": {"name": "webapp", "namespace": "flux-system"},
        "spec": {
            "providerRef": {"name": "github"},
            "eventSources": [{"kind": "Kustomization", "name": "webapp"}],
        },
    }))
    .unwrap()
}

fn provider() -> Provider {
    serde_json::from_value(json!({
        "metadata": {"name": "github", "namespace": "flux-system"},
        "spec": {"type": "github", "address": "https://github.com/acme/fleet", "secretRef": {"name": "token"}},
    }))
    .unwrap()
}

/// Of cluster `dev`, posted.
fn posted(state: State, at: Timestamp) -> StatusItem {
    let mut status = status(SHA, "dev/a");
    status.rule = "*/flux-system/webapp".to_owned().try_into().unwrap();
    status.desired.state = state;
    status.order_key = OrderKey::new(Rank::from(state), at, "1", state, "00");
    (status.due, status.due_at) = (None, None);
    status
}

fn event(reason: &str, at: Timestamp) -> EventItem {
    serde_json::from_value(json!({
        "pk": "object#dev/Kustomization/flux-system/webapp",
        "sk": format!("event@{SHA}"),
        "cluster": "dev",
        "generation": 1,
        "event_id": "00",
        "received_at": at.as_millisecond(),
        "expires_at": 0,
        "event": {
            "involvedObject": {"kind": "Kustomization", "namespace": "flux-system", "name": "webapp"},
            "severity": if reason.ends_with("Failed") { "error" } else { "info" },
            "timestamp": at,
            "reason": reason,
        },
    }))
    .unwrap()
}

/// Where nothing is to be found.
fn well() -> Facts {
    Facts {
        now: now(),
        silent_after: super::duration("3h").unwrap(),
        clusters: vec![cluster()],
        rules: vec![(Scope::AllClusters, rule(), Some(before("5d")))],
        providers: vec![(Scope::AllClusters, provider())],
        statuses: vec![posted(State::Success, before("10m"))],
        events: vec![event("ReconciliationSucceeded", before("10m"))],
        stages: Some(Stages {
            current: Version {
                id: "2".into(),
                created_at: Some(before("2d")),
            },
            previous: None,
        }),
        holds: vec![],
        probes: vec![(0, Probed::MayPost)],
        queues: Ok(Queue::ALL
            .map(|queue| Counted {
                queue,
                live: 1,
                dead: 0,
            })
            .into()),
    }
}

/// `problem clusters dev: …` for each finding, in order.
fn found(change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = well();
    change(&mut facts);
    let findings = findings::of(&facts);
    findings
        .iter()
        .map(|finding| {
            assert!(!finding.next.is_empty());
            let level = match finding.level {
                Level::Problem => "problem",
                Level::Warning => "warning",
                Level::Ok => "ok",
            };
            let area = finding.area.as_str();
            format!("{level} {area} {}: {}", finding.subject, finding.problem)
        })
        .collect()
}

fn rotated(facts: &mut Facts) {
    if let Some(stages) = &mut facts.stages {
        stages.previous = Some(Version {
            id: "1".into(),
            created_at: None,
        });
    }
}

#[test]
fn nothing_is_found_where_all_is_well() {
    assert!(found(|_| {}).is_empty());
    assert!(
        found(|facts| facts.clusters[0].suspended = true).is_empty(),
        "what is suspended is meant to be silent"
    );
}

#[test]
fn a_cluster_that_stopped_sending_is_found() {
    assert_eq!(
        found(|facts| {
            facts.statuses = vec![posted(State::Success, before("4h"))];
            facts.events.clear();
        }),
        ["problem clusters dev: has stopped sending; its last event was 4h ago"]
    );
    // Its own word counts, and so does that of one who knows better.
    assert!(
        found(|facts| {
            facts.silent_after = super::duration("6h").unwrap();
            facts.statuses = vec![posted(State::Success, before("4h"))];
        })
        .is_empty()
    );
    // An event no rule takes is kept every six hours only.
    let unmatched = |ago: &str| {
        let events = vec![event("ReconciliationSucceeded", before(ago))];
        found(|facts| {
            (facts.statuses, facts.events) = (vec![], events);
            facts.rules.clear();
        })
    };
    assert!(unmatched("6h").is_empty());
    assert_eq!(
        unmatched("8h"),
        ["problem clusters dev: has stopped sending; its last event was 8h ago"]
    );
}

#[test]
fn a_cluster_that_never_sent_is_found() {
    let silent = |facts: &mut Facts| {
        (facts.statuses, facts.events) = (vec![], vec![]);
        facts.rules[0].2 = Some(before("2h"));
    };
    assert_eq!(
        found(silent),
        ["problem clusters dev: is connected, and has sent no event in 30 days"]
    );
    assert_eq!(
        found(|facts| {
            silent(facts);
            facts.clusters[0].connected_namespaces.clear();
            facts.clusters[0].connected_root_key = None;
        }),
        ["warning clusters dev: is not connected yet"]
    );
    assert_eq!(
        found(|facts| {
            silent(facts);
            facts.clusters.clear();
        }),
        ["warning clusters : none is registered"]
    );
}

// fluxcd/notification-controller#1289
#[test]
fn a_cluster_that_never_sends_a_success_is_found() {
    let without = |ago: &str| {
        let (statuses, events) = (
            vec![
                posted(State::Pending, before(ago)),
                posted(State::Failure, before("10m")),
            ],
            vec![
                event("Progressing", before(ago)),
                event("HealthCheckFailed", before("10m")),
            ],
        );
        found(|facts| (facts.statuses, facts.events) = (statuses, events))
    };
    assert_eq!(
        without("2h"),
        ["problem clusters dev: sends progress and failures, and no success since 2h ago"]
    );
    assert!(without("30m").is_empty(), "it may be its first reconciliation");
    // One success, whichever tells of it.
    assert!(found(|facts| facts.statuses.push(posted(State::Failure, before("5h")))).is_empty());
    assert!(
        found(|facts| {
            facts.statuses = vec![posted(State::Failure, before("5h"))];
            facts.events.push(event("HealthCheckFailed", before("5h")));
        })
        .is_empty()
    );
}

#[test]
fn a_cluster_that_uses_another_root_key_is_found() {
    let with = |connected: &str, sends_with_previous: bool| {
        found(|facts| {
            rotated(facts);
            facts.clusters[0].connected_root_key = Some(connected.into());
            facts.events[0].previous_root_key = sends_with_previous;
        })
    };
    assert!(with("2", false).is_empty());
    assert_eq!(
        with("2", true),
        ["warning clusters dev: was given its new key, and still sends with the old one"]
    );
    assert_eq!(
        with("1", true),
        ["warning clusters dev: has a key made from the root key before the current one"]
    );
    assert!(with("0", false).is_empty(), "it sends with the new one, whoever gave it");
    assert_eq!(
        found(|facts| {
            rotated(facts);
            facts.clusters[0].connected_root_key = Some("0".into());
            facts.events.clear();
        }),
        ["problem clusters dev: has a key made from a root key that is no longer accepted"]
    );
    // From before the rotation, when that key was the current one's predecessor's predecessor.
    assert!(
        found(|facts| {
            rotated(facts);
            facts.events[0] = event("ReconciliationSucceeded", before("3d"));
            facts.events[0].previous_root_key = true;
        })
        .is_empty()
    );
    assert_eq!(
        found(|facts| facts.stages = None),
        ["problem root key : there is none, so no event is taken"]
    );
}

#[test]
fn an_alert_that_does_not_watch_enough_is_found() {
    assert_eq!(
        found(|facts| facts.rules[0].1.spec.event_sources[0].namespace = Some("apps".into())),
        ["warning clusters dev: its Alert does not watch every namespace its rules name"]
    );
}

#[test]
fn a_credential_that_may_not_post_is_found() {
    let refused = |error: PostError| found(|facts| facts.probes[0].1 = Probed::Refused(error));
    assert_eq!(
        refused(PostError::Unauthorized("401: Bad\ncredentials".into())),
        ["problem providers */flux-system/github: the credential is not valid: 401: Bad credentials"]
    );
    assert_eq!(
        refused(PostError::NotSent("connection refused".into())),
        ["warning providers */flux-system/github: the host was not reached: connection refused"]
    );
    assert_eq!(
        found(|facts| facts.probes[0].1 = Probed::Unusable("there is no secret x".into())),
        ["problem providers */flux-system/github: there is no secret x"]
    );
}

#[test]
fn a_hold_is_found_as_long_as_it_lasts() {
    let held = |until: Timestamp| {
        let item = CredentialItem {
            pk: "credential#_all/flux-system/token".into(),
            sk: "-".into(),
            hold_until: Some(until.as_millisecond()),
            hold_reason: Some("rate limited: slow down".into()),
            holds: 1,
            next_slot: None,
            busy_until: None,
            slowed: 0,
            slowed_at: None,
        };
        found(|facts| facts.holds = vec![("_all/flux-system/token".into(), item)])
    };
    assert_eq!(
        held(now() + SignedDuration::from_mins(10)),
        ["warning providers credential _all/flux-system/token: is held for 10m: rate limited: slow down"]
    );
    assert!(held(before("1m")).is_empty());
}

#[test]
fn rules_that_do_nothing_are_found() {
    assert_eq!(
        found(|facts| {
            facts.providers.clear();
            facts.probes.clear();
        }),
        [
            "problem rules */flux-system/webapp: there is no Provider flux-system/github, so its statuses are parked"
        ]
    );
    let other = "*/flux-system/other".to_owned();
    assert_eq!(
        found(|facts| facts.statuses[0].rule = other.clone().try_into().unwrap()),
        ["warning rules */flux-system/webapp: no event has matched it in 90 days"]
    );
    assert!(
        found(|facts| {
            facts.statuses[0].rule = other.clone().try_into().unwrap();
            facts.rules[0].2 = Some(before("5h"));
        })
        .is_empty(),
        "it was applied today"
    );
    assert!(
        found(|facts| {
            facts.statuses[0].rule = other.try_into().unwrap();
            facts.rules[0].1.spec.suspend = true;
        })
        .is_empty()
    );
    let unusable = found(|facts| facts.rules[0].1.spec.inclusion_list = vec!["(".into()]);
    assert!(
        unusable[0].starts_with("problem rules */flux-system/webapp: cannot be used: "),
        "{unusable:?}"
    );
}

#[test]
fn contexts_that_collide_are_found_once_for_each_rule() {
    let mut rival = posted(State::Success, before("10m"));
    rival.rival = Some("prod/Kustomization/flux-system/webapp".into());
    assert_eq!(
        found(|facts| facts.statuses = vec![rival.clone(), rival.clone(), rival]),
        [
            "warning rules */flux-system/webapp: contexts collide: dev/a is written by \
          dev/Kustomization/flux-system/webapp and prod/Kustomization/flux-system/webapp, and 2 more"
        ]
    );
}

#[test]
fn what_waits_for_a_person_or_for_nobody_is_found() {
    let waiting = |due: &str, parked: Option<&str>, since: Timestamp| {
        let mut status = posted(State::Success, before("10m"));
        status.due = Some(due.into());
        status.due_at = Some(since.as_millisecond());
        status.parked = parked.map(str::to_owned);
        status
    };
    assert_eq!(
        found(|facts| {
            facts
                .statuses
                .push(waiting("parked#1", Some("forbidden"), before("1d")));
            facts
                .statuses
                .push(waiting("parked#2", Some("forbidden"), before("1d")));
            facts
                .statuses
                .push(waiting("parked#2", Some("no-provider"), before("1d")));
            facts.statuses.push(waiting("due#1", None, before("6m")));
            facts.statuses.push(waiting("due#1", None, before("4m")));
        }),
        [
            "problem statuses : 2 parked: forbidden",
            "problem statuses : 1 parked: no-provider",
            "problem statuses : 1 due for more than 5m",
        ]
    );
}

#[test]
fn dead_letters_and_backlogs_are_found() {
    assert_eq!(
        found(|facts| {
            let queues = facts.queues.as_mut().unwrap();
            queues[0].dead = 1;
            queues[1].dead = 2;
            queues[1].live = 1_001;
        }),
        [
            "problem queues events: 1 dead letter",
            "problem queues posts: 2 dead letters",
            "warning queues posts: 1001 messages wait",
        ]
    );
    assert_eq!(
        found(|facts| facts.queues = Err("access denied".into())),
        ["problem queues : access denied"]
    );
}

fn printed(change: impl FnOnce(&mut Facts), all: bool) -> String {
    let mut facts = well();
    change(&mut facts);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let terminal = &mut Terminal {
        input: &mut io::empty(),
        input_is_terminal: false,
        out: &mut out,
        out_is_terminal: false,
        err: &mut err,
        err_is_terminal: false,
        colours: false,
    };
    text(&findings::of(&facts), &facts, all, terminal).unwrap();
    String::from_utf8(out).unwrap() + &String::from_utf8(err).unwrap()
}

#[test]
fn it_fits_on_a_screen() {
    insta::assert_snapshot!(printed(|_| {}, false), @"
    ok        root key   in force since 2026-08-06T12:00:00Z; no other is accepted
    ok        clusters   1 sends its events
    ok        providers  1 credential may post
    ok        rules      1 rule, with its Provider
    ok        statuses   1 status, none parked, 0 due
    ok        queues     no dead letters
    everything is well
    ");
    let nine = |facts: &mut Facts| {
        let named = |n: u8| Cluster {
            name: format!("c{n}"),
            ..cluster()
        };
        facts.clusters = (0..9).map(named).collect();
    };
    let some = printed(nine, false);
    assert_eq!(some.lines().count(), 13, "{some}");
    assert!(
        some.contains("                     and 3 more; --all shows them\n"),
        "{some}"
    );
    assert!(some.ends_with("\n9 problems, 0 warnings\n"), "{some}");
    let all = printed(nine, true);
    assert_eq!(all.matches("has sent no event").count(), 9);
}

#[test]
fn durations_are_read_or_refused() {
    for (text, minutes) in [("90m", 90), ("6h", 360), ("2d", 2_880)] {
        assert_eq!(super::duration(text), Ok(SignedDuration::from_mins(minutes)));
    }
    for text in [
        "",
        "h",
        "0h",
        "-1h",
        "3",
        "3s",
        "3 h",
        "1.5h",
        "999999d",
        "9223372036854775807d",
        "é",
    ] {
        let error = super::duration(text).unwrap_err();
        assert!(error.ends_with("as 90m, 6h or 2d"), "{error}");
    }
}
