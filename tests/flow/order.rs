//! Any order and any duplication of the same events ends in the same statuses.

use super::events::{SHA, WireEvent, build_failed, health_check_failed, progressing, succeeded};
use super::world::World;

fn permutations(items: Vec<WireEvent>) -> Vec<Vec<WireEvent>> {
    if items.len() <= 1 {
        return vec![items];
    }
    (0..items.len())
        .flat_map(|index| {
            let mut rest = items.clone();
            let first = rest.remove(index);
            permutations(rest).into_iter().map(move |mut tail| {
                tail.insert(0, first.clone());
                tail
            })
        })
        .collect()
}

#[tokio::test]
async fn every_order_ends_alike() {
    let events = vec![
        progressing().at(20).version(14),
        build_failed().at(5).version(11),
        succeeded().at(10).version(12),
        health_check_failed().at(10).version(13),
    ];
    for order in permutations(events) {
        let world = World::new().await;
        for event in &order {
            let answer = world.send("dev", &event.body()).await;
            assert_eq!(answer.status, 202);
        }
        world.settle().await;
        // And all of them once more, after the queue has forgotten them.
        world.advance(301);
        for event in &order {
            world.event("dev", event.clone()).await;
        }

        let status = world.status(SHA).await;
        assert_eq!(status.desired.reason, "HealthCheckFailed");
        assert!(status.is_posted() && status.due.is_none());
        let told = world.host.told();
        assert_eq!(told.last().unwrap().1, "failure");
        assert!(
            u64::try_from(told.len()).unwrap() <= status.rev,
            "never more posts than changes"
        );
    }
}
