//! What an event costs, in calls. docs/deploy.md makes prices of these numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use serde_json::Value;

use super::events::{SHA, succeeded};
use super::world::{STACK, World};

/// The calls the functions make of DynamoDB: operation, table and index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<BTreeMap<String, u32>>>);

impl Calls {
    fn take(&self) -> Vec<(String, u32)> {
        std::mem::take(&mut *self.0.lock().unwrap()).into_iter().collect()
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
    ) -> Result<(), BoxError> {
        let request = context.request();
        let target = request.headers().get("x-amz-target").unwrap();
        let (_, operation) = target.split_once('.').unwrap();
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap())?;
        // A transaction names its tables further in; only the operator's tool makes any.
        let Some(table) = body["TableName"].as_str() else {
            return Ok(());
        };
        let table = table.strip_prefix(STACK).unwrap().trim_start_matches('-');
        *self
            .0
            .lock()
            .unwrap()
            .entry(format!("{operation} {table}"))
            .or_default() += 1;
        Ok(())
    }
}

fn counted(calls: &[(&str, u32)]) -> Vec<(String, u32)> {
    calls
        .iter()
        .map(|(call, times)| ((*call).to_owned(), *times))
        .collect()
}

#[tokio::test]
async fn p4_an_unchanged_event_costs_one_write_and_a_change_the_calls_it_was_promised() {
    let world = World::new().await;
    world.calls.take();

    // A cold cache: the cluster, the version, and rules by name and by `*`, of the cluster and of all. The second item that is put is
    // the event itself, which is kept once for each thing it says.
    world.event("dev", succeeded().at(0).version(1)).await;
    assert_eq!(
        world.calls.take(),
        counted(&[
            ("GetItem rules", 9),
            ("GetItem statuses", 1),
            ("PutItem statuses", 2),
            ("Query rules", 4),
            ("UpdateItem statuses", 6),
        ])
    );
    assert_eq!(world.host.told().len(), 1);

    // A warm one, the same state.
    for second in 1..4 {
        world
            .event("dev", succeeded().at(second).version(1 + second as u64))
            .await;
        assert_eq!(
            world.calls.take(),
            counted(&[("UpdateItem statuses", 1)]),
            "{second}"
        );
    }
    // The next interval: the cluster is read again, and that nothing was applied meanwhile.
    world.event("dev", succeeded().at(600).version(9)).await;
    assert_eq!(
        world.calls.take(),
        counted(&[("GetItem rules", 2), ("UpdateItem statuses", 1)])
    );
    assert_eq!(world.status(SHA).await.posts, 1);
    assert_eq!(world.host.told().len(), 1, "no call to the host");
}

#[tokio::test]
async fn a_sweep_with_nothing_to_do_reads_each_shard() {
    let world = World::new().await;
    world.calls.take();
    world.minute().await;
    assert_eq!(world.calls.take(), counted(&[("Query statuses", 16)]));
}
