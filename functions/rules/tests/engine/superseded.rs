//! What an object left pending on the commit before.

use rules::adapters::StatusesTable;
use rules::decide::{Hint, Incoming};
use rules::ports::{Newest, StatusStore};
use rules::verdict::Verdict;
use shared::State::{Failure, Pending, Success, Superseded};
use shared::item::{Desired, StatusItem};
use shared::message::StatusKey;
use shared::order::instant;
use shared::{OrderKey, Rank, State};

use crate::world::{Apply, NOW, World, draft};

const OLD: &str = "a1afe267b54f38b46b487f6e938a6fd508278c07";
const NEW: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

fn table(world: &World) -> StatusesTable {
    StatusesTable::new(world.client.clone(), world.statuses.clone())
}

fn key(sha: &str) -> StatusKey {
    StatusKey {
        pk: format!("github.com/acme/fleet@{sha}"),
        sk: "dev/kustomization/podinfo".into(),
    }
}

fn at(second: u32) -> String {
    instant(format!("2026-08-07T13:13:{second:02}Z").parse().unwrap(), "1")
}

fn incoming(second: u32, state: State) -> Incoming {
    let timestamp = format!("2026-08-07T13:13:{second:02}Z").parse().unwrap();
    let event_id = format!("{second:032x}");
    Incoming {
        order_key: OrderKey::new(Rank::from(state), timestamp, "1", state, &event_id),
        event_id,
        desired: Desired {
            state,
            reason: "Progressing".into(),
            description: "superseded by 5394cb7".into(),
            target_url: None,
            only_clears: false,
            received_at: None,
        },
    }
}

fn reported(sha: &str) -> StatusItem {
    draft(&key(sha), &incoming(0, Pending))
}

async fn remember(table: &StatusesTable, sha: &str, second: u32, seen: Option<&Newest>) -> bool {
    table
        .remember(&reported(sha), &at(second), seen, NOW)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_object_knows_its_newest_commit() {
    let world = World::new().await;
    let table = table(&world);
    let newest = async || table.newest(&reported(OLD)).await.unwrap();
    assert_eq!(newest().await, None);

    assert!(remember(&table, OLD, 10, None).await);
    let old = newest().await.unwrap();
    assert_eq!(
        old,
        Newest {
            commit: OLD.parse().unwrap(),
            status: key(OLD),
            instant: at(10),
        }
    );
    assert!(remember(&table, NEW, 20, Some(&old)).await);
    assert_eq!(newest().await.unwrap().status, key(NEW));
}

#[tokio::test]
async fn a_commit_is_remembered_only_in_the_place_of_the_one_that_was_seen() {
    let world = World::new().await;
    let table = table(&world);
    assert!(remember(&table, OLD, 10, None).await);
    assert!(!remember(&table, NEW, 20, None).await, "there is one by now");

    let old = table.newest(&reported(OLD)).await.unwrap().unwrap();
    assert!(remember(&table, NEW, 20, Some(&old)).await);
    assert!(
        !remember(&table, OLD, 30, Some(&old)).await,
        "it is another by now"
    );
    let newest = table.newest(&reported(OLD)).await.unwrap().unwrap();
    assert_eq!((newest.status, newest.instant), (key(NEW), at(20)));
}

#[tokio::test]
async fn each_rule_remembers_its_own() {
    let world = World::new().await;
    let table = table(&world);
    assert!(remember(&table, OLD, 10, None).await);
    let mut other = reported(NEW);
    other.rule = "dev/apps/another".to_owned().try_into().unwrap();

    assert_eq!(table.newest(&other).await.unwrap(), None);
}

#[tokio::test]
async fn only_a_pending_status_is_closed_and_a_late_result_replaces_that() {
    let world = World::new().await;
    let table = table(&world);
    let closing = incoming(20, Superseded);
    for (left, closes) in [(Pending, true), (Success, false), (Failure, false)] {
        let key = StatusKey {
            sk: left.to_string(),
            ..key(OLD)
        };
        let event = incoming(10, left);
        table.apply(&draft(&key, &event), &event, NOW).await.unwrap();

        let written = table.supersede(&key, &closing, NOW).await.unwrap();
        assert_eq!(written.is_some(), closes, "{left}");
        if let Some(written) = written {
            assert_eq!(
                (written.verdict, written.hint, written.rev),
                (Verdict::Changed, Hint::Send, 2)
            );
            // After a crash it is said again, and so is the hint.
            let again = table.supersede(&key, &closing, NOW).await.unwrap().unwrap();
            assert_eq!(
                (again.verdict, again.hint, again.rev),
                (Verdict::Duplicate, Hint::Send, 2)
            );
        }
        // The result of the old commit comes late.
        let result = incoming(15, Failure);
        let written = table.apply(&draft(&key, &result), &result, NOW).await.unwrap();
        assert_eq!(
            written.verdict,
            if left == Failure {
                Verdict::Waiting
            } else {
                Verdict::Changed
            },
            "{left}"
        );
    }
}

#[tokio::test]
async fn a_status_that_is_not_there_is_not_closed() {
    let world = World::new().await;
    assert_eq!(
        table(&world)
            .supersede(&key(OLD), &incoming(20, Superseded), NOW)
            .await
            .unwrap(),
        None
    );
}
