//! What is not as it should be. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use rules::evaluate::CompiledRule;
use serde::Serialize;
use shared::Scope;
use shared::kinds::Reference;

use super::ask::{Answer, Left};
use super::facts::{Facts, Found, Seen, Unread};
use super::is_held;
use crate::commands::apply::warnings::not_watched;
use crate::commands::print::age;
use crate::connect::check::KUBECTL;
use crate::probe::Probed;
use crate::root_key::{Origin, Senders};
use crate::store::{Cluster, is_parked};

/// An event that is kept is written again after six hours at the latest.
const KEPT_AGAIN: SignedDuration = SignedDuration::from_hours(7);
/// A kept event has the time at which it came here, and a status that of the event itself: one is on its way for a minute
/// if it was sent again, and clocks may differ.
const ON_THE_WAY: SignedDuration = SignedDuration::from_mins(5);
/// Names in one finding; it has to fit on a line.
const NAMED: usize = 3;
/// Progress and failures for so long without a success are no coincidence of a first reconciliation.
const WITHOUT_SUCCESS: SignedDuration = SignedDuration::from_hours(1);
/// A rule for so long without an event is worth a look.
const UNMATCHED: SignedDuration = SignedDuration::from_hours(24);
/// The sweeper comes every minute.
const OVERDUE: SignedDuration = SignedDuration::from_mins(5);
/// More messages on a queue than a fleet sends in a moment.
const BACKLOG: usize = 1_000;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Statuses are missing or wrong, or will be.
    Problem,
    /// Perhaps not what was meant.
    Warning,
    /// As it should be.
    Ok,
}

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Area {
    RootKey,
    Clusters,
    Providers,
    Rules,
    Statuses,
    Queues,
}

impl Area {
    pub(super) const ALL: [Self; 6] = [
        Self::RootKey,
        Self::Clusters,
        Self::Providers,
        Self::Rules,
        Self::Statuses,
        Self::Queues,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::RootKey => "root key",
            Self::Clusters => "clusters",
            Self::Providers => "providers",
            Self::Rules => "rules",
            Self::Statuses => "statuses",
            Self::Queues => "queues",
        }
    }

    /// What is well, in a line.
    pub(super) fn well(self, facts: &Facts) -> String {
        let counted = |count: usize, one: &str, several: &str| match count {
            0 => "none".to_owned(),
            1 => format!("1 {one}"),
            count => format!("{count} {several}"),
        };
        match self {
            Self::RootKey => {
                let stages = facts.stages.as_ref().ok().and_then(Option::as_ref);
                let since = stages.and_then(|stages| stages.current.created_at);
                let since = since.map_or_else(String::new, |at| format!(" since {at:.0}"));
                let has_previous = stages.is_some_and(|stages| stages.previous.is_some());
                let previous = match has_previous {
                    true => "the one before it is accepted too",
                    false => "no other is accepted",
                };
                format!("in force{since}; {previous}")
            }
            Self::Clusters => {
                let sending = facts.clusters.iter().filter(|cluster| !cluster.suspended).count();
                let suspended = facts.clusters.len() - sending;
                let suspended = match suspended {
                    0 => String::new(),
                    count => format!(", {count} suspended"),
                };
                format!(
                    "{}{suspended}",
                    counted(sending, "sends its events", "send their events")
                )
            }
            Self::Providers => {
                let probed = || {
                    let is_probed = |answer: &Answer| matches!(answer, Answer::Probed(_));
                    facts.asked.iter().filter(move |asked| is_probed(&asked.answer))
                };
                let credentials: BTreeSet<&str> = probed().map(|asked| asked.credential.as_str()).collect();
                let of_them: usize = probed().map(|asked| asked.providers.len()).sum();
                let others = counted(facts.providers.len() - of_them, "Provider", "Providers");
                let may_post = counted(credentials.len(), "credential may post", "credentials may post");
                let to = match probed().count() {
                    repositories if repositories == credentials.len() => String::new(),
                    repositories => format!(" to {repositories} repositories"),
                };
                match (credentials.is_empty(), facts.providers.len() == of_them) {
                    (true, true) => "none".into(),
                    (true, false) => format!("{others}, not asked"),
                    (false, true) => format!("{may_post}{to}"),
                    (false, false) => format!("{may_post}{to}; {others} not asked"),
                }
            }
            Self::Rules => counted(
                facts.rules.len(),
                "rule, with its Provider",
                "rules, each with its Provider",
            ),
            Self::Statuses => {
                let due = facts.statuses.iter().filter(|status| status.is_due()).count();
                let kept = counted(facts.statuses.len(), "status", "statuses");
                match facts.statuses.len() {
                    0 => kept,
                    _ => format!("{kept}, none parked, {due} due"),
                }
            }
            Self::Queues => "no dead letters".into(),
        }
    }
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) area: Area,
    /// What it is about: a cluster, a Provider, a rule.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) subject: String,
    pub(super) problem: String,
    /// What to do.
    pub(super) next: String,
}

impl Finding {
    pub(super) fn text(&self) -> String {
        let subject = match self.subject.as_str() {
            "" => String::new(),
            subject => format!("{subject}: "),
        };
        format!("{subject}{}; {}", self.problem, self.next)
    }
}

/// Everything, by area, problems first.
pub(super) fn of(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    root_key(facts, &mut findings);
    let senders = match &facts.stages {
        Ok(Some(stages)) => Senders::of(&facts.events, stages, facts.now),
        Ok(None) | Err(_) => Senders::default(),
    };
    for cluster in &facts.clusters {
        of_cluster(cluster, facts, &senders, &mut findings);
    }
    if facts.clusters.is_empty() {
        findings.push(Finding {
            level: Level::Warning,
            area: Area::Clusters,
            subject: String::new(),
            problem: "none is registered".into(),
            next: "`commitstatus cluster add NAME` registers one".into(),
        });
    }
    providers(facts, &mut findings);
    rules(facts, &mut findings);
    statuses(facts, &mut findings);
    queues(facts, &mut findings);
    findings.sort_by(|one, other| {
        (one.area, one.level, &one.subject).cmp(&(other.area, other.level, &other.subject))
    });
    findings
}

fn root_key(facts: &Facts, findings: &mut Vec<Finding>) {
    match &facts.stages {
        Ok(Some(_)) => {}
        Ok(None) => findings.push(Finding {
            level: Level::Problem,
            area: Area::RootKey,
            subject: String::new(),
            problem: "there is none, so no event is taken".into(),
            next: "`commitstatus root-key init` creates it".into(),
        }),
        Err(unread) => findings.push(not_known(Area::RootKey, String::new(), unread)),
    }
}

/// What is kept from this operator may be well. What nobody can read is not.
fn not_known(area: Area, subject: String, unread: &Unread) -> Finding {
    let (level, next) = match unread.right {
        Some(right) => (Level::Warning, format!("reading it takes {right}")),
        None => (
            Level::Problem,
            "mend that, and run `commitstatus check` again".into(),
        ),
    };
    Finding {
        level,
        area,
        subject,
        problem: format!("not known: {}", unread.problem),
        next,
    }
}

fn of_cluster(cluster: &Cluster, facts: &Facts, senders: &Senders, findings: &mut Vec<Finding>) {
    if cluster.suspended {
        return;
    }
    let name = &cluster.name;
    let mut add = |level, problem: String, next: String| {
        findings.push(Finding {
            level,
            area: Area::Clusters,
            subject: name.clone(),
            problem,
            next,
        });
    };
    let reconnect = format!("`commitstatus connect {name} | kubectl apply -f -`");
    let seen = Seen::of(name, &facts.statuses, &facts.events);
    let now = facts.now;
    let ago = |at: Timestamp| age(now.duration_since(at));

    match seen.last() {
        None if cluster.connected_namespaces.is_empty() => {
            add(
                Level::Warning,
                "is not connected yet".into(),
                format!("{reconnect} connects it"),
            );
        }
        None => add(
            Level::Problem,
            "is connected, and has sent no event in 30 days".into(),
            format!(
                "`{KUBECTL} | commitstatus connect {name} --check -` compares what it has; notification-controller's log \
                 names failed posts"
            ),
        ),
        Some(last) => {
            // What no rule takes is seen every few hours only.
            let is_exact = seen.is_told_by_status(ON_THE_WAY);
            let patience = match is_exact {
                true => facts.silent_after,
                false => facts.silent_after.max(KEPT_AGAIN),
            };
            if now.duration_since(last) > patience {
                add(
                    Level::Problem,
                    format!("has stopped sending; its last event was {} ago", ago(last)),
                    format!(
                        "see notification-controller's log there; `{KUBECTL} | commitstatus connect {name} --check -` \
                         compares what it has"
                    ),
                );
            }
        }
    }
    if let Some(first) = seen
        .first_other
        .filter(|first| !seen.has_success && now.duration_since(*first) > WITHOUT_SUCCESS)
    {
        add(
            Level::Problem,
            format!(
                "sends progress and failures, and no success since {} ago",
                ago(first)
            ),
            "Flux 2.8.0 to 2.8.5 never send it (fluxcd/notification-controller#1289): upgrade to 2.8.6; else its \
             Kustomizations fail"
                .into(),
        );
    }
    if let Ok(Some(stages)) = &facts.stages {
        let given = Origin::of(cluster, stages);
        match Origin::seen(cluster, stages, senders) {
            Origin::Previous if given == Origin::Current => add(
                Level::Warning,
                "was given its new key, and still sends with the old one".into(),
                format!("{reconnect} hands it out again"),
            ),
            Origin::Previous => add(
                Level::Warning,
                "has a key made from the root key before the current one".into(),
                format!("{reconnect} gives it the new one, before `commitstatus rotate --finish`"),
            ),
            Origin::Gone => add(
                Level::Problem,
                "has a key made from a root key that is no longer accepted".into(),
                format!("{reconnect} gives it the new one"),
            ),
            Origin::Current | Origin::Unknown | Origin::None => {}
        }
    }
    if !cluster.connected_namespaces.is_empty() && not_watched(cluster, &facts.effective(name)).is_some() {
        add(
            Level::Warning,
            "its Alert does not watch every namespace its rules name".into(),
            format!("{reconnect} renews it"),
        );
    }
}

fn providers(facts: &Facts, findings: &mut Vec<Finding>) {
    let mut left: BTreeMap<(&str, Left), usize> = BTreeMap::new();
    let mut unreadable: BTreeSet<&str> = BTreeSet::new();
    for asked in &facts.asked {
        let mut of_asked = asked.providers.iter().filter_map(|index| {
            let (scope, provider) = facts.providers.get(*index)?;
            Some((
                format!("{scope}/{}", provider.metadata.object_name()),
                scope,
                provider,
            ))
        });
        match &asked.answer {
            Answer::Probed(probed) => {
                for (subject, scope, provider) in of_asked {
                    if let Some(problem) = probed.problem() {
                        findings.push(Finding {
                            level: level(probed),
                            area: Area::Providers,
                            subject,
                            problem,
                            next: probed.next(scope, provider),
                        });
                    }
                }
            }
            // Once, however many name that secret: nothing is wrong with them.
            Answer::Unread(unread) => {
                if unreadable.insert(&unread.problem) {
                    let subject = of_asked.next().map_or_else(String::new, |(subject, ..)| subject);
                    findings.push(not_known(Area::Providers, subject, unread));
                }
            }
            Answer::Left(why) => *left.entry((&asked.credential, *why)).or_default() += 1,
        }
    }
    holds(facts, &left, findings);
    for ((credential, why), count) in left {
        let (why, next) = match why {
            // Told with the hold.
            Left::Held => continue,
            Left::Enough => (
                "others are enough to tell",
                "`commitstatus check --all` asks about each",
            ),
            Left::Stopped => (
                "the finding about another one says why",
                "they are asked about once that is mended or over",
            ),
        };
        findings.push(Finding {
            level: Level::Ok,
            area: Area::Providers,
            subject: format!("credential {credential}"),
            problem: format!("{} not asked: {why}", repositories(count)),
            next: next.into(),
        });
    }
}

fn level(probed: &Probed) -> Level {
    match probed {
        Probed::MayPost => Level::Ok,
        // Another time it may be there.
        Probed::Refused(
            hosts::PostError::NotSent(_)
            | hosts::PostError::Ambiguous(_)
            | hosts::PostError::Conflict(_)
            | hosts::PostError::RateLimited { .. },
        ) => Level::Warning,
        Probed::Unusable { .. } | Probed::Refused(_) => Level::Problem,
    }
}

fn repositories(count: usize) -> String {
    match count {
        1 => "1 repository".into(),
        count => format!("{count} repositories"),
    }
}

fn holds(facts: &Facts, left: &BTreeMap<(&str, Left), usize>, findings: &mut Vec<Finding>) {
    for (credential, item) in facts.holds.iter().filter(|(_, item)| is_held(item, facts.now)) {
        let Some(until) = item.hold_until else {
            continue;
        };
        let reason = item.hold_reason.clone().unwrap_or_else(|| "no reason".into());
        let remaining = age(SignedDuration::from_millis(until - facts.now.as_millisecond()));
        let not_asked = match left.get(&(credential.as_str(), Left::Held)) {
            Some(count) => format!(" ({} not asked: held)", repositories(*count)),
            None => String::new(),
        };
        findings.push(Finding {
            level: Level::Warning,
            area: Area::Providers,
            subject: format!("credential {credential}"),
            problem: format!("is held for {remaining}: {reason}{not_asked}"),
            next: "what is due is posted then; a refused one is tried sooner after `commitstatus secret set`"
                .into(),
        });
    }
}

/// The first of some names, and how many more there are.
fn named(names: &[&str]) -> String {
    let first = Vec::from_iter(names.iter().take(NAMED).copied()).join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn unregistered(facts: &Facts, findings: &mut Vec<Finding>) {
    let counted = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        count => Some(format!("{count} {word}s")),
    };
    for (cluster, (rules, providers)) in facts.unregistered() {
        let applied = [counted(rules, "rule"), counted(providers, "Provider")];
        let applied = Vec::from_iter(applied.into_iter().flatten()).join(" and ");
        let is_one = rules + providers == 1;
        findings.push(Finding {
            level: Level::Warning,
            area: Area::Rules,
            subject: cluster.to_owned(),
            problem: format!(
                "is not registered, and {applied} {} applied for it",
                if is_one { "is" } else { "are" }
            ),
            next: format!("`commitstatus cluster add {cluster}` registers it"),
        });
    }
}

fn rules(facts: &Facts, findings: &mut Vec<Finding>) {
    unregistered(facts, findings);
    for (scope, rule, applied_at) in &facts.rules {
        if rule.spec.suspend {
            continue;
        }
        let reference = Reference {
            scope: scope.clone(),
            name: rule.metadata.object_name(),
        };
        let subject = reference.to_string();
        let mut add = |level, problem: String, next: String| {
            findings.push(Finding {
                level,
                area: Area::Rules,
                subject: subject.clone(),
                problem,
                next,
            });
        };
        if let Err(error) = CompiledRule::compile(rule.clone()) {
            add(
                Level::Problem,
                format!("cannot be used: {error}"),
                "apply it again".into(),
            );
            continue;
        }
        let (namespace, name) = (&rule.metadata.namespace, &rule.spec.provider_ref.name);
        let flag = match scope {
            Scope::AllClusters => "--all-clusters".to_owned(),
            Scope::Cluster(cluster) => format!("--cluster {cluster}"),
        };
        match facts.provider_of(scope, rule) {
            Found::Everywhere => {}
            Found::Nowhere => add(
                Level::Problem,
                format!("there is no Provider {namespace}/{name}, so its statuses are parked"),
                format!("`commitstatus apply -f FILE {flag}` applies one"),
            ),
            Found::NotIn(clusters) => add(
                Level::Problem,
                format!(
                    "there is no Provider {namespace}/{name} for {}, so its statuses are parked there",
                    named(&clusters)
                ),
                "`commitstatus apply -f FILE --cluster NAME` applies one, or `--all-clusters` one for every cluster".into(),
            ),
        }
        let is_old = applied_at.is_some_and(|at| facts.now.duration_since(at) > UNMATCHED);
        if is_old && facts.statuses.iter().all(|status| status.rule != reference) {
            add(
                Level::Warning,
                "no event has matched it in 90 days".into(),
                "`commitstatus explain COMMIT --all` shows what keeps an event from it".into(),
            );
        }
    }
    let mut collisions: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for status in &facts.statuses {
        if let Some(rival) = &status.rival {
            let entry = collisions.entry(status.rule.to_string());
            entry
                .or_insert_with(|| {
                    (
                        0,
                        format!("{} is written by {} and {rival}", status.context, status.writer()),
                    )
                })
                .0 += 1;
        }
    }
    for (rule, (count, example)) in collisions {
        let more = match count - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        findings.push(Finding {
            level: Level::Warning,
            area: Area::Rules,
            subject: rule,
            problem: format!("contexts collide: {example}{more}"),
            next: "take `prefix` out of the rule, or give each its own".into(),
        });
    }
}

fn statuses(facts: &Facts, findings: &mut Vec<Finding>) {
    let mut parked: BTreeMap<&str, usize> = BTreeMap::new();
    for status in facts.statuses.iter().filter(|status| is_parked(status)) {
        *parked
            .entry(status.parked.as_deref().unwrap_or("no reason"))
            .or_default() += 1;
    }
    for (reason, count) in parked {
        findings.push(Finding {
            level: Level::Problem,
            area: Area::Statuses,
            subject: String::new(),
            problem: format!("{count} parked: {reason}"),
            next:
                "`commitstatus get parked` lists them, `commitstatus describe status COMMIT` says what to do"
                    .into(),
        });
    }
    let before = facts.now.as_millisecond() - i64::try_from(OVERDUE.as_millis()).unwrap_or_default();
    let overdue = facts
        .statuses
        .iter()
        .filter(|status| status.is_due() && status.due_at.is_some_and(|at| at < before));
    let count = overdue.count();
    if count > 0 {
        findings.push(Finding {
            level: Level::Problem,
            area: Area::Statuses,
            subject: String::new(),
            problem: format!("{count} due for more than {}", age(OVERDUE)),
            next: "the sweeper or the poster does not run: see their logs and alarms; `commitstatus get statuses --unposted` \
                   lists them"
                .into(),
        });
    }
}

fn queues(facts: &Facts, findings: &mut Vec<Finding>) {
    let queues = match &facts.queues {
        Ok(queues) => queues,
        Err(error) => {
            findings.push(Finding {
                level: Level::Problem,
                area: Area::Queues,
                subject: String::new(),
                problem: error.clone(),
                next: "what they hold is not known".into(),
            });
            return;
        }
    };
    for counted in queues {
        let mut add = |level, problem, next: String| {
            findings.push(Finding {
                level,
                area: Area::Queues,
                subject: counted.queue.as_str().to_owned(),
                problem,
                next,
            });
        };
        if counted.dead > 0 {
            let letters = if counted.dead == 1 {
                "dead letter"
            } else {
                "dead letters"
            };
            add(
                Level::Problem,
                format!("{} {letters}", counted.dead),
                "`commitstatus dlq list` shows them, `commitstatus dlq redrive` sends them again".into(),
            );
        }
        if counted.live > BACKLOG {
            add(
                Level::Warning,
                format!("{} messages wait", counted.live),
                "more come than are handled, or a function does not run: see its log".into(),
            );
        }
    }
}
