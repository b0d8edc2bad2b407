use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use hosts::{PostError, refusal};
use jiff::SignedDuration;
use shared::item::{CredentialItem, EventItem, StatusItem};
use shared::{CommitStatusRule, OrderKey, Provider, Rank, Scope, State};

use super::ask::{Answer, Left};
use super::facts::{Facts, Queues as Counted, Unread};
use super::*;
use crate::probe::Probed;
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
        stages: Ok(Some(Stages {
            current: Version {
                id: "2".into(),
                created_at: Some(before("2d")),
            },
            previous: None,
        })),
        holds: BTreeMap::new(),
        asked: vec![asked(
            0,
            "_all/flux-system/token",
            Answer::Probed(Probed::MayPost),
        )],
        queues: Ok(Queue::ALL
            .map(|queue| Counted {
                queue,
                live: 1,
                dead: 0,
            })
            .into()),
    }
}

fn asked(provider: usize, credential: &str, answer: Answer) -> Asked {
    Asked {
        providers: vec![provider],
        credential: credential.into(),
        answer,
    }
}

fn refused(error: PostError) -> Answer {
    Answer::Probed(Probed::Refused(error))
}

fn unread(right: Option<&'static str>) -> Unread {
    Unread {
        problem: "reading secret `x` failed".into(),
        right,
    }
}

/// A rule or Provider for one cluster.
fn of(cluster: &str) -> Scope {
    Scope::Cluster(cluster.into())
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
    if let Ok(Some(stages)) = &mut facts.stages {
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
    // The same event, as the status and as what is kept have it.
    assert_eq!(
        found(|facts| {
            facts.statuses = vec![posted(State::Success, before("4h"))];
            let kept = before("4h") + SignedDuration::from_secs(8);
            facts.events = vec![event("ReconciliationSucceeded", kept)];
        }),
        ["problem clusters dev: has stopped sending; its last event was 3h ago"]
    );
    // One after it that no rule takes.
    assert!(
        found(|facts| {
            facts.statuses = vec![posted(State::Success, before("5h"))];
            facts.events = vec![event("ReconciliationSucceeded", before("4h"))];
        })
        .is_empty()
    );
    // What closes a status of another commit is no event.
    assert_eq!(
        found(|facts| {
            facts.statuses = vec![posted(State::Superseded, before("10m"))];
            facts.events = vec![event("ReconciliationSucceeded", before("8h"))];
        }),
        ["problem clusters dev: has stopped sending; its last event was 8h ago"]
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
    assert!(
        with("0", false).is_empty(),
        "it sends with the new one, whoever gave it"
    );
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
        found(|facts| facts.stages = Ok(None)),
        ["problem root key : there is none, so no event is taken"]
    );
}

#[test]
fn kubectl_is_told_whose_providers_are_meant() {
    for is_silent in [true, false] {
        let mut facts = well();
        facts.statuses.clear();
        facts.events = match is_silent {
            true => vec![],
            false => vec![event("ReconciliationSucceeded", before("8h"))],
        };
        let findings = findings::of(&facts);
        let of_cluster = findings
            .iter()
            .find(|finding| finding.area == Area::Clusters)
            .unwrap();
        assert!(
            of_cluster.next.contains(
                "`kubectl get providers.notification.toolkit.fluxcd.io,alerts.notification.toolkit.fluxcd.io -A -o yaml \
                 | commitstatus connect dev --check -`"
            ),
            "{}",
            of_cluster.next
        );
    }
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
    let refused = |error: PostError| found(|facts| facts.asked[0].answer = refused(error));
    assert_eq!(
        refused(PostError::Unauthorized("401: Bad\ncredentials".into())),
        ["problem providers */flux-system/github: the credential is not valid: 401: Bad credentials"]
    );
    assert_eq!(
        refused(PostError::NotSent("connection refused".into())),
        ["warning providers */flux-system/github: the host was not reached: connection refused"]
    );
    assert_eq!(
        found(|facts| {
            facts.asked[0].answer = Answer::Probed(Probed::Unusable {
                problem: "there is no secret x".into(),
                next: "write it".into(),
            });
        }),
        ["problem providers */flux-system/github: there is no secret x"]
    );
}

#[test]
fn each_answer_of_a_host_has_a_next_step_of_its_own() {
    let next = |answer: Answer| {
        let mut facts = well();
        facts.asked[0].answer = answer;
        let findings = findings::of(&facts);
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings[0].next.clone()
    };
    let permanent = |reason| refused(PostError::permanent(reason, "so it is"));
    let unusable = Probed::Unusable {
        problem: "there is no secret x".into(),
        next: "write it".into(),
    };
    for (answer, expected) in [
        (
            refused(PostError::Unauthorized("401".into())),
            "`commitstatus secret set token -n flux-system --all-clusters` with a valid one writes it again",
        ),
        (
            permanent(refusal::FORBIDDEN),
            "docs/providers.md says what to grant",
        ),
        (
            permanent(refusal::NOT_FOUND),
            "check `spec.address` of the Provider; docs/providers.md says what to grant",
        ),
        (
            permanent(refusal::MOVED),
            "correct `spec.address` of the Provider and apply it",
        ),
        (
            permanent(refusal::REJECTED),
            "docs/errors.md says what the word in brackets means",
        ),
        (
            refused(PostError::NotSent("no route".into())),
            "is it reachable from this machine? the poster may reach it all the same",
        ),
        (
            refused(PostError::RateLimited {
                until: now(),
                too_fast: true,
                message: "slow down".into(),
            }),
            "nothing but to wait: it is over by itself",
        ),
        (Answer::Probed(unusable), "write it"),
        (
            Answer::Unread(unread(Some("secretsmanager:GetSecretValue"))),
            "reading it takes secretsmanager:GetSecretValue",
        ),
        (
            Answer::Unread(unread(None)),
            "mend that, and run `commitstatus check` again",
        ),
    ] {
        assert_eq!(next(answer), expected);
    }
}

#[test]
fn a_secret_that_cannot_be_read_is_a_finding() {
    let right = Some("secretsmanager:ListSecretVersionIds");
    assert_eq!(
        found(|facts| {
            facts.stages = Err(unread(right));
            // Of three Providers with that secret.
            facts.providers = vec![(Scope::AllClusters, provider()); 3];
            facts.asked[0].providers = vec![0, 1];
            facts.asked[0].answer = Answer::Unread(unread(None));
            facts
                .asked
                .push(asked(2, "_all/flux-system/token", Answer::Unread(unread(None))));
        }),
        [
            "warning root key : not known: reading secret `x` failed",
            "problem providers */flux-system/github: not known: reading secret `x` failed",
        ]
    );
}

#[test]
fn a_hold_is_found_as_long_as_it_lasts() {
    let held = |until: Timestamp, left: Vec<Asked>| {
        let item = CredentialItem {
            pk: "credential#_all/flux-system/token".into(),
            sk: "-".into(),
            hold_until: Some(until.as_millisecond()),
            hold_reason: Some("rate limited: slow down".into()),
            holds: 1,
            next_slot: None,
            pressed_since: None,
            next_turn: None,
            turn_taken_at: None,
            busy_until: None,
            slowed: 0,
            slowed_at: None,
        };
        found(|facts| {
            facts.holds = [("_all/flux-system/token".to_owned(), item)].into();
            facts.asked = left;
        })
    };
    assert_eq!(
        held(now() + SignedDuration::from_mins(10), vec![]),
        ["warning providers credential _all/flux-system/token: is held for 10m: rate limited: slow down"]
    );
    let left = asked(0, "_all/flux-system/token", Answer::Left(Left::Held));
    assert_eq!(
        held(now() + SignedDuration::from_mins(10), vec![left]),
        [
            "warning providers credential _all/flux-system/token: is held for 10m: rate limited: slow down \
          (1 repository not asked: held)"
        ]
    );
    assert!(held(before("1m"), vec![]).is_empty());
}

/// Of many clusters, each with its own credential for some repositories.
fn providers(credentials: usize, repositories: usize) -> Vec<(Scope, Provider)> {
    let of_credential = |n: usize| {
        (0..repositories).map(move |m| {
            let mut provider = provider();
            provider.spec.address = format!("https://github.com/acme/{m}");
            (of(&format!("c{n}")), provider)
        })
    };
    (0..credentials).flat_map(of_credential).collect()
}

/// What came of each Provider's question, by its place.
fn answers(asked: &[Asked]) -> Vec<(Vec<usize>, String)> {
    let answer = |answer: &Answer| match answer {
        Answer::Probed(probed) => probed.problem().unwrap_or_else(|| "well".into()),
        Answer::Unread(unread) => unread.problem.clone(),
        Answer::Left(why) => format!("{why:?}"),
    };
    asked
        .iter()
        .map(|asked| (asked.providers.clone(), answer(&asked.answer)))
        .collect()
}

async fn ask_well(plan: Plan) -> Vec<(Vec<usize>, String)> {
    answers(&plan.ask(async |_| Ok(Probed::MayPost), || {}).await)
}

#[tokio::test]
async fn nothing_is_asked_twice() {
    let mut all = providers(1, 2);
    all.push(all[0].clone());
    // Another way there, and another spelling of the same.
    all.push(all[0].clone());
    all[3].1.spec.proxy_secret_ref = Some(shared::kinds::LocalReference { name: "proxy".into() });
    all.push(all[1].clone());
    all[4].1.spec.address = "https://github.com/Acme/1.git".into();
    // Of no use, and not equal.
    for _ in 0..2 {
        all.push(all[0].clone());
        all.last_mut().unwrap().1.spec.address = "nowhere".into();
    }
    let well = |places: &[usize]| (places.to_vec(), "well".to_owned());
    assert_eq!(
        ask_well(Plan::of(&all, |_| false, false)).await,
        [well(&[0, 2]), well(&[1, 4]), well(&[3]), well(&[5]), well(&[6])]
    );
    all[1].1.spec.suspend = true;
    assert_eq!(ask_well(Plan::of(&all, |_| false, false)).await[1], well(&[3]));
}

#[tokio::test]
async fn what_is_held_is_not_asked_and_of_many_some_are_enough() {
    let all = providers(2, 60);
    let count = |asked: &[(Vec<usize>, String)], what: &str| {
        asked.iter().filter(|(_, answer)| answer == what).count()
    };
    let is_held = |credential: &str| credential == "c1/flux-system/token";
    let asked = ask_well(Plan::of(&all, is_held, false)).await;
    assert_eq!(asked.len(), 120);
    assert_eq!(
        ["well", "Enough", "Held"].map(|what| count(&asked, what)),
        [50, 10, 60]
    );
    let asked = ask_well(Plan::of(&all, |_| false, true)).await;
    assert_eq!(count(&asked, "well"), 120);
}

#[tokio::test]
async fn with_one_credential_one_question_is_asked_at_a_time_and_some_credentials_together() {
    let all = providers(12, 3);
    let running: Mutex<BTreeMap<&Scope, usize>> = Mutex::default();
    let most = Mutex::new(0);
    let probe = async |place: usize| {
        let scope = &all[place].0;
        {
            let mut running = running.lock().unwrap();
            let of_it = running.entry(scope).or_default();
            *of_it += 1;
            assert_eq!(*of_it, 1, "{scope} is asked about twice at the same time");
            let together = running.values().sum();
            let mut most = most.lock().unwrap();
            *most = (*most).max(together);
        }
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        *running.lock().unwrap().get_mut(scope).unwrap() -= 1;
        Ok(Probed::MayPost)
    };
    let asked = Plan::of(&all, |_| false, false).ask(probe, || {}).await;
    assert_eq!(answers(&asked).len(), 36);
    assert_eq!(*most.lock().unwrap(), 8);
}

#[tokio::test]
async fn an_answer_about_the_credential_is_the_last_with_it() {
    let all = providers(2, 3);
    for (error, is_last) in [
        (PostError::Unauthorized("401".into()), true),
        (
            PostError::RateLimited {
                until: now(),
                too_fast: true,
                message: "slow down".into(),
            },
            true,
        ),
        (PostError::permanent(refusal::FORBIDDEN, "403"), false),
    ] {
        let probe = async |place: usize| {
            Ok(match place {
                1 => Probed::Refused(error.clone()),
                _ => Probed::MayPost,
            })
        };
        let asked = answers(&Plan::of(&all, |_| false, false).ask(probe, || {}).await);
        assert_eq!(asked[2].1, if is_last { "Stopped" } else { "well" }, "{error}");
        assert!(asked[3..].iter().all(|(_, answer)| answer == "well"), "{error}");
    }
    // With another proxy it may be read.
    let mut all = all;
    all[2].1.spec.proxy_secret_ref = Some(shared::kinds::LocalReference { name: "proxy".into() });
    let probe = async |place: usize| match place {
        0 => anyhow::bail!("the file holds no versions of a secret"),
        _ => Ok(Probed::MayPost),
    };
    let asked = answers(&Plan::of(&all, |_| false, false).ask(probe, || {}).await);
    let said: Vec<&str> = asked.iter().map(|(_, answer)| answer.as_str()).collect();
    assert_eq!(
        said,
        [
            "the file holds no versions of a secret",
            "Stopped",
            "well",
            "well",
            "well",
            "well"
        ]
    );
}

#[test]
fn rules_that_do_nothing_are_found() {
    assert_eq!(
        found(|facts| {
            facts.providers.clear();
            facts.asked.clear();
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
fn what_is_applied_for_a_cluster_that_is_not_registered_is_found_once() {
    assert_eq!(
        found(|facts| {
            let mut other = rule();
            other.metadata.name = "other".into();
            facts.rules.push((of("nope"), rule(), Some(before("1h"))));
            facts.rules.push((of("nope"), other, Some(before("1h"))));
            facts.providers.push((of("nope"), provider()));
            facts.providers.push((of("never"), provider()));
            facts.providers.push((of("dev"), provider()));
        }),
        [
            "warning rules never: is not registered, and 1 Provider is applied for it",
            "warning rules nope: is not registered, and 2 rules and 1 Provider are applied for it",
        ]
    );
}

#[test]
fn clusters_without_a_provider_are_named() {
    let without = |clusters: usize, with: &[&str]| {
        let scopes: Vec<Scope> = with.iter().map(|name| of(name)).collect();
        found(|facts| {
            let named = |n: usize| Cluster {
                name: format!("c{n}"),
                suspended: true,
                ..cluster()
            };
            facts.clusters = (0..clusters).map(named).collect();
            facts.providers = scopes.into_iter().map(|scope| (scope, provider())).collect();
            facts.asked.clear();
        })
    };
    let problem = |of: &str| {
        [format!(
            "problem rules */flux-system/webapp: there is no Provider flux-system/github{of}, so its statuses are parked"
        )]
    };
    let there = |of: &str| problem(of).map(|text| text + " there");
    assert_eq!(without(3, &["c1"]), there(" for c0, c2"));
    assert_eq!(without(6, &["c1"]), there(" for c0, c2, c3 and 2 more"));
    assert_eq!(without(2, &[]), problem(""));
    assert!(without(2, &["c0", "c1"]).is_empty());
    // One that has a rule of that name of its own does not use this one.
    assert!(
        found(|facts| {
            let other = Cluster {
                name: "prod".into(),
                suspended: true,
                ..cluster()
            };
            facts.clusters.push(other);
            facts.providers = vec![(of("dev"), provider()), (of("prod"), provider())];
            facts.providers[1].1.metadata.name = "other".into();
            let mut own = rule();
            own.spec.provider_ref.name = "other".into();
            facts.rules.push((of("prod"), own, None));
        })
        .is_empty()
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
    let many = |facts: &mut Facts| {
        facts.providers = providers(2, 3);
        facts.clusters[0].name = "c0".into();
        let named = |place: usize| format!("c{}/flux-system/token", place / 3);
        let probed = |place: usize| asked(place, &named(place), Answer::Probed(Probed::MayPost));
        facts.asked = (0..5).map(probed).collect();
        facts.asked.push(asked(5, &named(5), Answer::Left(Left::Enough)));
    };
    let some = printed(many, false);
    insta::assert_snapshot!(some.lines().filter(|line| line.contains("  providers  ")).collect::<Vec<_>>().join("\n"), @"
    ok        providers  2 credentials may post to 5 repositories; 1 Provider not asked
    ok        providers  credential c1/flux-system/token: 1 repository not asked: others are enough to tell; `commitstatus check --all` asks about each
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
