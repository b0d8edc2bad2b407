//! Where a status goes now: its rule and Provider as they stand at the time of posting.

use hosts::Repository;
use jiff::{SignedDuration, Timestamp};
use shared::item::{FailedExpression, StatusItem, secret_name, status_pk};
use shared::kinds::{LocalReference, ObjectName, Provider, Reference, Scope};
use shared::{CommitSha, CommitStatusRule, State};
use tokio::sync::Mutex;

use crate::cache::Timed;
use crate::credentials::SecretNames;
use crate::outcome::Record;
use crate::ports::{RuleStore, Stored, Unavailable};

/// How long a rule or Provider is believed.
const CACHE_LIFETIME: SignedDuration = SignedDuration::from_secs(5);

/// Rules and Providers, cached for some seconds in the warm function. What is not there is never cached.
pub struct Targets<R> {
    store: R,
    rules: Mutex<Timed<(String, Reference), CommitStatusRule>>,
    providers: Mutex<Timed<(String, ObjectName), (Scope, Provider)>>,
}

/// A repository and the credential for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The repository.
    pub repository: Repository,
    /// The commit.
    pub sha: CommitSha,
    /// Where the credential is, and what tells the way.
    pub secrets: SecretNames,
    /// Longest time one post may take.
    pub timeout_seconds: u32,
}

impl<R: RuleStore> Targets<R> {
    /// Over a store, with nothing cached.
    pub fn new(store: R) -> Self {
        Self {
            store,
            rules: Mutex::new(Timed::new(CACHE_LIFETIME)),
            providers: Mutex::new(Timed::new(CACHE_LIFETIME)),
        }
    }

    /// Finds where the status goes, or what to record because it goes nowhere.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn of(&self, item: &StatusItem, now: Timestamp) -> Result<Result<Target, Record>, Unavailable> {
        let ended = |reason| Ok(Err(Record::Ended { reason, error: None }));
        let parked = |reason, error| Ok(Err(Record::Parked { reason, error }));
        let rule = match self.rule(item, now).await? {
            // What it left pending is closed; nothing else of it is posted.
            None if item.desired.state == State::Superseded && item.may_show_pending() => None,
            None => return ended("skipped(rule-gone)"),
            Some(Err(error)) => return parked("invalid-rule", Some(error.0)),
            Some(Ok(rule)) if rule.spec.suspend => return ended("skipped(rule-suspended)"),
            Some(Ok(rule)) => Some(rule),
        };
        let name = rule.as_ref().map_or_else(
            || item.provider.clone(),
            |rule| ObjectName::new(&rule.metadata.namespace, &rule.spec.provider_ref.name),
        );
        let (scope, provider) = match self.provider(&item.cluster, &name, now).await? {
            // Both were deleted: nobody waits for it.
            None if rule.is_none() => return ended("skipped(provider-gone)"),
            None => return parked("no-provider", Some(format!("there is no Provider {name}"))),
            Some(Err(error)) => return parked("invalid-provider", Some(error.0)),
            Some(Ok(found)) => found,
        };
        if let Some(failed) = &item.failed_expression {
            // The event is gone: the next one says what the context is.
            return match failed.hash == FailedExpression::hash_of(&provider.spec) {
                true => parked(
                    "no-context",
                    Some(format!("spec.commitStatusExpr: {}", failed.error)),
                ),
                false => ended("skipped(expression-changed)"),
            };
        }
        let repository = match Repository::of(&provider.spec) {
            Ok(repository) => repository,
            Err(error) => return parked("invalid-provider", Some(error.to_string())),
        };
        let Ok(sha) = item.key.sha().parse::<CommitSha>() else {
            return parked("invalid-key", None);
        };
        if status_pk(&repository.key(), &sha) != item.key.pk {
            return ended("skipped(provider-changed)");
        }
        if provider.spec.suspend {
            return parked("provider-suspended", None);
        }
        let spec = provider.spec;
        let secret = |reference: &LocalReference| secret_name(&scope, &name.namespace, &reference.name);
        Ok(Ok(Target {
            sha,
            timeout_seconds: spec
                .timeout_seconds
                .unwrap_or(repository.host_kind.timeout_seconds()),
            secrets: SecretNames {
                credential: secret(&spec.secret_ref),
                certificates: spec.cert_secret_ref.as_ref().map(secret),
                proxy: spec.proxy_secret_ref.as_ref().map(secret),
                username: spec.username,
            },
            repository,
        }))
    }

    /// The rule, unless it is gone or hidden by one of the cluster's own.
    async fn rule(&self, item: &StatusItem, now: Timestamp) -> Result<Stored<CommitStatusRule>, Unavailable> {
        let reference = &item.rule;
        let key = (item.cluster.clone(), reference.clone());
        if let Some(rule) = self.rules.lock().await.get(&key, now) {
            return Ok(Some(Ok(rule)));
        }
        if reference.scope == Scope::AllClusters {
            let own = Reference {
                scope: Scope::Cluster(item.cluster.clone()),
                name: reference.name.clone(),
            };
            if self.store.rule(&own).await?.is_some() {
                return Ok(None);
            }
        }
        let rule = self.store.rule(reference).await?;
        if let Some(Ok(rule)) = &rule {
            self.rules.lock().await.put(key, rule.clone(), now);
        }
        Ok(rule)
    }

    async fn provider(
        &self,
        cluster: &str,
        name: &ObjectName,
        now: Timestamp,
    ) -> Result<Stored<(Scope, Provider)>, Unavailable> {
        let key = (cluster.to_owned(), name.clone());
        if let Some(found) = self.providers.lock().await.get(&key, now) {
            return Ok(Some(Ok(found)));
        }
        let own_scope = Scope::Cluster(cluster.to_owned());
        let (own, all) = tokio::try_join!(
            self.store.provider(&own_scope, name),
            self.store.provider(&Scope::AllClusters, name),
        )?;
        let found = match (own, all) {
            (Some(own), _) => Some(own.map(|provider| (own_scope, provider))),
            (None, Some(all)) => Some(all.map(|provider| (Scope::AllClusters, provider))),
            (None, None) => None,
        };
        if let Some(Ok(found)) = &found {
            self.providers.lock().await.put(key, found.clone(), now);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::tests::item;
    use crate::ports::Unreadable;
    use serde_json::json;
    use std::collections::HashMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Table {
        rules: Mutex<HashMap<String, Result<CommitStatusRule, Unreadable>>>,
        providers: Mutex<HashMap<String, Result<Provider, Unreadable>>>,
        reads: AtomicUsize,
    }

    impl RuleStore for &Table {
        async fn rule(&self, reference: &Reference) -> Result<Stored<CommitStatusRule>, Unavailable> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            Ok(self.rules.lock().unwrap().get(&reference.to_string()).cloned())
        }

        async fn provider(&self, scope: &Scope, name: &ObjectName) -> Result<Stored<Provider>, Unavailable> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let key = format!("{scope}/{name}");
            Ok(self.providers.lock().unwrap().get(&key).cloned())
        }
    }

    fn rule() -> CommitStatusRule {
        serde_json::from_value(json!({
            "metadata": {"name": "podinfo", "namespace": "apps"},
            "spec": {"providerRef": {"name": "github"}, "eventSources": [{"kind": "Kustomization", "name": "*"}]},
        }))
        .unwrap()
    }

    fn provider() -> Provider {
        serde_json::from_value(json!({
            "metadata": {"name": "github", "namespace": "apps"},
            "spec": {"type": "github", "address": "https://github.com/Acme/Fleet", "secretRef": {"name": "token"}},
        }))
        .unwrap()
    }

    fn unreadable<T>() -> Result<T, Unreadable> {
        Err(Unreadable("damaged".into()))
    }

    /// With the rule and the Provider of [`item`], for all clusters.
    fn table() -> Table {
        let table = Table::default();
        table.put_rule("*/apps/podinfo", Ok(rule()));
        table.put_provider("*/apps/github", Ok(provider()));
        table
    }

    impl Table {
        fn put_rule(&self, reference: &str, rule: Result<CommitStatusRule, Unreadable>) {
            self.rules.lock().unwrap().insert(reference.into(), rule);
        }

        fn put_provider(&self, reference: &str, provider: Result<Provider, Unreadable>) {
            self.providers.lock().unwrap().insert(reference.into(), provider);
        }

        async fn target(&self, item: &StatusItem) -> Result<Target, Record> {
            Targets::new(self).of(item, Timestamp::UNIX_EPOCH).await.unwrap()
        }

        /// `ended why`, `parked why`, or the repository and the credential.
        async fn outcome(&self, item: &StatusItem) -> String {
            match self.target(item).await {
                Ok(target) => format!("{} with {}", target.repository, target.secrets.credential),
                Err(Record::Ended { reason, .. }) => format!("ended {reason}"),
                Err(Record::Parked { reason, .. }) => format!("parked {reason}"),
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_status_goes_where_its_provider_points() {
        let target = table().target(&item()).await.unwrap();
        assert_eq!(target.repository.to_string(), "github.com/Acme/Fleet");
        assert_eq!(target.sha.as_str(), "5394cb7f48332b2de7c17dd8b8384bbc84b7e738");
        assert_eq!(target.secrets.credential, "_all/apps/token");
        assert_eq!(target.timeout_seconds, 15);

        let table = table();
        let mut patient = provider();
        patient.spec.timeout_seconds = Some(40);
        table.put_provider("*/apps/github", Ok(patient));
        assert_eq!(table.target(&item()).await.unwrap().timeout_seconds, 40);
    }

    #[tokio::test]
    async fn rule_and_provider_decide_as_they_stand_when_it_is_posted() {
        type Change = fn(&Table);
        let cases: [(&str, Change, &str); 14] = [
            ("as applied", |_| {}, "github.com/Acme/Fleet with _all/apps/token"),
            (
                "no rule",
                |table| table.rules.lock().unwrap().clear(),
                "ended skipped(rule-gone)",
            ),
            (
                "rule hidden by the cluster's own",
                |table| table.put_rule("dev/apps/podinfo", Ok(rule())),
                "ended skipped(rule-gone)",
            ),
            (
                "rule hidden by the cluster's own that cannot be read",
                |table| table.put_rule("dev/apps/podinfo", unreadable()),
                "ended skipped(rule-gone)",
            ),
            (
                "rule of another cluster",
                |table| table.put_rule("prod/apps/podinfo", Ok(rule())),
                "github.com/Acme/Fleet with _all/apps/token",
            ),
            (
                "rule suspended",
                |table| {
                    let mut rule = rule();
                    rule.spec.suspend = true;
                    table.put_rule("*/apps/podinfo", Ok(rule));
                },
                "ended skipped(rule-suspended)",
            ),
            (
                "rule unreadable",
                |table| table.put_rule("*/apps/podinfo", unreadable()),
                "parked invalid-rule",
            ),
            (
                "no Provider",
                |table| table.providers.lock().unwrap().clear(),
                "parked no-provider",
            ),
            (
                "rule with another Provider, which there is not",
                |table| {
                    let mut rule = rule();
                    rule.spec.provider_ref.name = "other".into();
                    table.put_rule("*/apps/podinfo", Ok(rule));
                },
                "parked no-provider",
            ),
            (
                "Provider unreadable",
                |table| table.put_provider("*/apps/github", unreadable()),
                "parked invalid-provider",
            ),
            (
                "the cluster's own Provider comes first",
                |table| table.put_provider("dev/apps/github", Ok(provider())),
                "github.com/Acme/Fleet with dev/apps/token",
            ),
            (
                "the cluster's own Provider comes first though it is unreadable",
                |table| table.put_provider("dev/apps/github", unreadable()),
                "parked invalid-provider",
            ),
            (
                "Provider suspended",
                |table| {
                    let mut provider = provider();
                    provider.spec.suspend = true;
                    table.put_provider("*/apps/github", Ok(provider));
                },
                "parked provider-suspended",
            ),
            (
                "Provider without an address",
                |table| {
                    let mut provider = provider();
                    provider.spec.address = "nowhere".into();
                    table.put_provider("*/apps/github", Ok(provider));
                },
                "parked invalid-provider",
            ),
        ];
        for (name, change, expected) in cases {
            let table = table();
            change(&table);
            assert_eq!(table.outcome(&item()).await, expected, "{name}");
        }
    }

    #[tokio::test]
    async fn what_a_deleted_rule_left_pending_is_closed_and_nothing_else_of_it_is_posted() {
        let posts = "github.com/Acme/Fleet with _all/apps/token";
        let cases = [
            (State::Superseded, Some(State::Pending), false, posts),
            (State::Superseded, None, true, posts),
            (State::Superseded, None, false, "ended skipped(rule-gone)"),
            (
                State::Superseded,
                Some(State::Success),
                false,
                "ended skipped(rule-gone)",
            ),
            (
                State::Success,
                Some(State::Pending),
                false,
                "ended skipped(rule-gone)",
            ),
            (State::Pending, None, true, "ended skipped(rule-gone)"),
        ];
        for (desired, shown, unsure, expected) in cases {
            let mut left = item();
            left.desired.state = desired;
            left.posted = shown.map(|state| shared::item::Posted {
                state,
                reason: "Progressing".into(),
                rev: 1,
                at: 0,
            });
            left.unsure = unsure;
            let table = table();
            table.rules.lock().unwrap().clear();
            assert_eq!(
                table.outcome(&left).await,
                expected,
                "{desired}, {shown:?}, {unsure}"
            );
        }
    }

    #[tokio::test]
    async fn to_close_it_the_provider_is_needed_as_it_is() {
        type Change = fn(&Table);
        let cases: [(&str, Change, &str); 4] = [
            (
                "gone",
                |table| table.providers.lock().unwrap().clear(),
                "ended skipped(provider-gone)",
            ),
            (
                "the cluster's own comes first",
                |table| table.put_provider("dev/apps/github", Ok(provider())),
                "github.com/Acme/Fleet with dev/apps/token",
            ),
            (
                "suspended",
                |table| {
                    let mut provider = provider();
                    provider.spec.suspend = true;
                    table.put_provider("*/apps/github", Ok(provider));
                },
                "parked provider-suspended",
            ),
            (
                "elsewhere",
                |table| {
                    let mut provider = provider();
                    provider.spec.address = "https://github.com/acme/other".into();
                    table.put_provider("*/apps/github", Ok(provider));
                },
                "ended skipped(provider-changed)",
            ),
        ];
        for (name, change, expected) in cases {
            let mut left = item();
            (left.desired.state, left.unsure) = (State::Superseded, true);
            let table = table();
            table.rules.lock().unwrap().clear();
            change(&table);
            assert_eq!(table.outcome(&left).await, expected, "{name}");
        }
    }

    #[tokio::test]
    async fn a_provider_that_points_elsewhere_now_ends_what_was_due() {
        let cases = [
            ("https://github.com/acme/other", "ended skipped(provider-changed)"),
            (
                "https://github.example.com/acme/fleet",
                "ended skipped(provider-changed)",
            ),
            // The same repository in another spelling.
            (
                "git@github.com:acme/fleet.git",
                "github.com/acme/fleet with _all/apps/token",
            ),
        ];
        for (address, expected) in cases {
            let table = table();
            let mut moved = provider();
            moved.spec.address = address.into();
            table.put_provider("*/apps/github", Ok(moved.clone()));
            assert_eq!(table.outcome(&item()).await, expected, "{address}");

            // Nobody has to mend what ends anyhow.
            moved.spec.suspend = true;
            table.put_provider("*/apps/github", Ok(moved));
            let suspended = expected.starts_with("ended").then_some(expected);
            assert_eq!(
                table.outcome(&item()).await,
                suspended.unwrap_or("parked provider-suspended")
            );
        }
    }

    #[tokio::test]
    async fn a_status_whose_context_an_expression_did_not_give_waits_for_another_expression() {
        let with = |expression: Option<&str>| {
            let mut provider = provider();
            provider.spec.commit_status_expr = expression.map(str::to_owned);
            provider
        };
        let mut unnamed = item();
        unnamed.failed_expression = Some(FailedExpression {
            hash: FailedExpression::hash_of(&with(Some("event.metadata.env")).spec),
            error: "the event has no `event.metadata.env`".into(),
        });
        for (expression, expected) in [
            (Some("event.metadata.env"), "parked no-context"),
            (Some("event.reason"), "ended skipped(expression-changed)"),
            (None, "ended skipped(expression-changed)"),
        ] {
            let table = table();
            table.put_provider("*/apps/github", Ok(with(expression)));
            assert_eq!(table.outcome(&unnamed).await, expected, "{expression:?}");
        }
        let table = table();
        table.put_provider("*/apps/github", Ok(with(Some("event.metadata.env"))));
        let Err(Record::Parked { error, .. }) = table.target(&unnamed).await else {
            panic!("not parked");
        };
        assert_eq!(
            error.as_deref(),
            Some("spec.commitStatusExpr: the event has no `event.metadata.env`")
        );
    }

    #[tokio::test]
    async fn the_other_secrets_are_looked_for_where_the_credential_is() {
        let table = table();
        let mut behind = provider();
        behind.spec.cert_secret_ref = Some(LocalReference { name: "ca".into() });
        behind.spec.proxy_secret_ref = Some(LocalReference { name: "proxy".into() });
        behind.spec.username = Some("jane".into());
        table.put_provider("dev/apps/github", Ok(behind));
        let secrets = table.target(&item()).await.unwrap().secrets;
        assert_eq!(
            secrets,
            SecretNames {
                credential: "dev/apps/token".into(),
                certificates: Some("dev/apps/ca".into()),
                proxy: Some("dev/apps/proxy".into()),
                username: Some("jane".into()),
            }
        );
    }

    #[tokio::test]
    async fn an_own_rule_is_looked_for_under_its_own_scope() {
        let table = table();
        let mut own = item();
        own.rule = "dev/apps/podinfo".to_owned().try_into().unwrap();
        assert_eq!(table.outcome(&own).await, "ended skipped(rule-gone)");
        table.put_rule("dev/apps/podinfo", Ok(rule()));
        assert_eq!(
            table.outcome(&own).await,
            "github.com/Acme/Fleet with _all/apps/token"
        );
    }

    #[tokio::test]
    async fn a_status_without_a_provider_is_never_posted_under_its_key() {
        let table = table();
        let mut unplaced = item();
        unplaced.key.pk = "no-provider/dev/apps/github@5394cb7f48332b2de7c17dd8b8384bbc84b7e738".into();
        assert_eq!(table.outcome(&unplaced).await, "ended skipped(provider-changed)");
        unplaced.key.pk = "github.com/acme/fleet@5394cb7".into();
        assert_eq!(table.outcome(&unplaced).await, "parked invalid-key");
    }

    #[tokio::test]
    async fn what_is_there_is_believed_for_some_seconds_and_what_is_not_never() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let table = table();
        let targets = Targets::new(&table);
        for second in [0, 4] {
            assert!(targets.of(&item(), at(second)).await.unwrap().is_ok());
        }
        assert_eq!(table.reads.load(Ordering::Relaxed), 4, "two scopes each");
        table.rules.lock().unwrap().clear();
        assert!(targets.of(&item(), at(4)).await.unwrap().is_ok());
        assert!(targets.of(&item(), at(5)).await.unwrap().is_err());

        table.put_rule("*/apps/podinfo", Ok(rule()));
        assert!(targets.of(&item(), at(5)).await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn what_is_cached_for_one_cluster_is_not_believed_of_another() {
        let table = table();
        let targets = Targets::new(&table);
        targets.of(&item(), Timestamp::UNIX_EPOCH).await.unwrap().unwrap();
        table.put_provider("prod/apps/github", Ok(provider()));
        table.put_rule("edge/apps/podinfo", Ok(rule()));
        let of = async |cluster: &str| {
            let mut item = item();
            item.cluster = cluster.into();
            targets.of(&item, Timestamp::UNIX_EPOCH).await.unwrap()
        };
        assert_eq!(of("prod").await.unwrap().secrets.credential, "prod/apps/token");
        assert!(of("edge").await.is_err(), "hidden there");
    }
}
