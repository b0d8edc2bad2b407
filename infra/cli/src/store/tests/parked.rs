use super::*;

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

#[tokio::test]
async fn parked_statuses_of_all_shards_are_found_the_longest_waiting_first() {
    let store = engine().await;
    let mut shards = BTreeSet::new();
    // More than one call reads, too.
    for n in 0..250 {
        let mut status = parked(SHA, &format!("dev/{n:03}"), "forbidden");
        status.due_at = Some(SINCE - n);
        shards.insert(status.due.clone().unwrap());
        store.put_status(&status).await;
    }
    store.put_status(&due(SHA, "dev/due", SINCE)).await;
    store.put_status(&posted(SHA, "dev/posted")).await;
    assert_eq!(shards.len(), 16);

    let found = store.parked().await.unwrap();

    let found: Vec<&str> = found.iter().map(|status| status.context.as_str()).collect();
    let expected: Vec<String> = (0..250).rev().map(|n| format!("dev/{n:03}")).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_the_index_still_holds_and_the_table_does_not_is_read_as_gone() {
    let store = engine().await;
    let status = parked(SHA, "dev/a", "forbidden");
    store.put_status(&status).await;
    let gone = parked(SHA, "dev/gone", "forbidden");

    let found = store
        .statuses_of(&[status.key.clone(), gone.key].into())
        .await
        .unwrap();

    assert_eq!(found, [status]);
}
