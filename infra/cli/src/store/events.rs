//! The last event of each object and commit.

use std::collections::BTreeSet;
use std::mem;

use jiff::Timestamp;
use shared::item::{EVENT_SK, EventItem, SK, StatusItem};
use shared::message::StatusKey;

use super::statuses::is_status;
use super::{Store, StoreError, names, number, text, unavailable};

impl Store {
    /// The last event of every object about each commit that begins with the digits, sorted by cluster and object.
    ///
    /// # Errors
    /// As [`Store::statuses`].
    pub async fn events_about(&self, commit: &str) -> Result<Vec<EventItem>, StoreError> {
        let digits = super::statuses::digits(commit)?;
        let keys: BTreeSet<StatusKey> = self
            .keys_of_commit(&digits)
            .await?
            .into_iter()
            .filter(|key| {
                let sha = key.sk.strip_prefix(EVENT_SK);
                sha.is_some_and(|sha| sha.starts_with(&digits))
            })
            .collect();
        let mut events: Vec<EventItem> = self.items_of(&keys).await?;
        events.sort_by(|one, other| (&one.pk, &one.sk).cmp(&(&other.pk, &other.sk)));
        Ok(events)
    }

    /// Statuses, sorted as their keys are, and the last event of every object about each commit since an instant, without
    /// what it says at length; of one cluster, or of all. Reads the whole table once, and tells `on_page` how many items each
    /// part of it had.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn statuses_and_events(
        &self,
        cluster: Option<&str>,
        since: Timestamp,
        mut on_page: impl FnMut(u64),
    ) -> Result<(Vec<StatusItem>, Vec<EventItem>), StoreError> {
        let mut filter =
            "(attribute_exists(#desired) OR (begins_with(#sk, :event) AND #received_at >= :since))"
                .to_owned();
        let mut scan = self
            .client
            .scan()
            .table_name(&self.statuses)
            .expression_attribute_values(":event", text(EVENT_SK))
            .expression_attribute_values(":since", number(since.as_millisecond()))
            .consistent_read(true);
        if let Some(cluster) = cluster {
            filter.push_str(" AND #cluster = :cluster");
            scan = scan.expression_attribute_values(":cluster", text(cluster));
        }
        let mut pages = scan
            .set_expression_attribute_names(names(&[&filter]))
            .filter_expression(filter)
            .into_paginator()
            .send();
        let (mut statuses, mut events) = (Vec::new(), Vec::new());
        while let Some(page) = pages.next().await {
            let page = page.map_err(unavailable("reading", &self.statuses))?;
            on_page(u64::try_from(page.scanned_count()).unwrap_or_default());
            for item in page.items.unwrap_or_default() {
                if is_status(&item) {
                    statuses.push(self.read_as::<StatusItem>(&self.statuses, item)?);
                } else if item
                    .get(SK)
                    .and_then(|sk| sk.as_s().ok())
                    .is_some_and(|sk| sk.starts_with(EVENT_SK))
                {
                    let mut kept: EventItem = self.read_as(&self.statuses, item)?;
                    // Most of an item, and of a fleet's there are many.
                    mem::take(&mut kept.event.message);
                    mem::take(&mut kept.event.metadata);
                    events.push(kept);
                }
            }
        }
        statuses.sort_by(|one, other| one.key.cmp(&other.key));
        Ok((statuses, events))
    }

    /// The last event of every object about each commit, since an instant. Reads the whole table.
    ///
    /// # Errors
    /// If DynamoDB does not answer or an item cannot be read.
    pub async fn events_since(&self, since: Timestamp) -> Result<Vec<EventItem>, StoreError> {
        const FILTER: &str = "begins_with(#sk, :event) AND #received_at >= :since";
        let items = self
            .client
            .scan()
            .table_name(&self.statuses)
            .filter_expression(FILTER)
            .set_expression_attribute_names(names(&[FILTER]))
            .expression_attribute_values(":event", text(EVENT_SK))
            .expression_attribute_values(":since", number(since.as_millisecond()))
            // Whether a root key is given up is decided by it.
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(unavailable("reading", &self.statuses))?;
        items
            .into_iter()
            .map(|item| self.read_as(&self.statuses, item))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
    use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
    use serde_json::json;

    use super::*;
    use crate::store::tests::{engine, status};

    const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

    /// What was called, and of which table: `Scan statuses`.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Calls(Arc<Mutex<Vec<String>>>);

    impl Calls {
        pub(crate) fn count(&self, call: &str) -> usize {
            self.0.lock().unwrap().iter().filter(|made| *made == call).count()
        }
    }

    impl Intercept for Calls {
        fn name(&self) -> &'static str {
            "calls"
        }

        fn read_before_transmit(
            &self,
            context: &BeforeTransmitInterceptorContextRef<'_>,
            _: &RuntimeComponents,
            _: &mut ConfigBag,
        ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            let request = context.request();
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            let operation = target.rsplit('.').next().unwrap_or_default();
            let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
            let table = if body.contains("-statuses") {
                "statuses"
            } else {
                "rules"
            };
            self.0.lock().unwrap().push(format!("{operation} {table}"));
            Ok(())
        }
    }

    impl Store {
        /// The same tables, and what is called from now on.
        pub(crate) fn counted(&self) -> (Self, Calls) {
            let calls = Calls::default();
            let config = self.client.config().to_builder().interceptor(calls.clone());
            let client = Client::from_conf(config.build());
            (
                Self {
                    client,
                    ..self.clone()
                },
                calls,
            )
        }
    }

    /// As `rules` keeps it, received at that millisecond.
    fn kept(cluster: &str, name: &str, received_at: i64) -> serde_json::Value {
        json!({
            "pk": format!("object#{cluster}/Kustomization/apps/{name}"), "sk": "event@-", "cluster": cluster,
            "generation": 1, "event_id": "00", "received_at": received_at, "expires_at": 1,
            "event": {
                "involvedObject": {"kind": "Kustomization", "namespace": "apps", "name": name}, "severity": "info",
                "timestamp": "2026-08-07T13:12:43Z", "reason": "ReconciliationSucceeded",
                "message": "at length", "metadata": {"revision": "main@sha1:0"},
            },
        })
    }

    #[tokio::test]
    async fn one_scan_finds_statuses_and_events() {
        let store = engine().await;
        let mut theirs = status(SHA, "prod/a");
        theirs.cluster = "prod".into();
        for status in [&status(SHA, "dev/b"), &status(SHA, "dev/a"), &theirs] {
            store.put_status(status).await;
        }
        for item in [kept("dev", "a", 1), kept("dev", "b", 2), kept("prod", "c", 3)] {
            store.put_item(item).await;
        }
        // What else is there.
        store
            .put_item(json!({"pk": "credential#dev/flux-system/t", "sk": "-", "holds": 0}))
            .await;
        store
            .put_item(json!({"pk": "object#dev/Kustomization/apps/a", "sk": "dev/apps/a", "cluster": "dev"}))
            .await;
        let (store, calls) = store.counted();
        let found = async |cluster: Option<&str>| {
            let since = Timestamp::from_millisecond(2).unwrap();
            let mut items = 0;
            let found = store
                .statuses_and_events(cluster, since, |more| items += more)
                .await;
            let (statuses, events) = found.unwrap();
            assert_eq!(items, 8);
            for item in &events {
                assert!(item.event.message.is_empty() && item.event.metadata.is_empty());
            }
            let statuses: Vec<String> = statuses.into_iter().map(|status| status.context).collect();
            let mut events: Vec<i64> = events.into_iter().map(|item| item.received_at).collect();
            events.sort_unstable();
            (statuses, events)
        };
        let all = ["dev/a", "dev/b", "prod/a"].map(str::to_owned);
        assert_eq!(found(None).await, (all.to_vec(), vec![2, 3]));
        assert_eq!(found(Some("dev")).await, (all[..2].to_vec(), vec![2]));
        assert_eq!(calls.count("Scan statuses"), 2);
    }

    #[tokio::test]
    async fn many_credentials_are_read_together() {
        let store = engine().await;
        for name in ["a", "b"] {
            store
                .put_item(json!({"pk": format!("credential#dev/{name}"), "sk": "-", "holds": 1}))
                .await;
        }
        let (store, calls) = store.counted();
        let found = store
            .credentials(&["dev/a", "dev/b", "dev/c"].into())
            .await
            .unwrap();
        assert_eq!(Vec::from_iter(found.keys()), ["dev/a", "dev/b"]);
        assert_eq!(found["dev/a"].pk, "credential#dev/a");
        assert!(store.credentials(&BTreeSet::new()).await.unwrap().is_empty());
        assert_eq!(calls.count("BatchGetItem statuses"), 1);
        assert_eq!(calls.count("GetItem statuses"), 0);
    }
}
