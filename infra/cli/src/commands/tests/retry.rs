use super::parked::with_parked;
use super::*;
use crate::store::tests::{due, parked, posted};

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

/// Contexts of what is parked still.
async fn still_parked(operator: &Operator) -> Vec<String> {
    let parked = operator.store.parked().await.unwrap();
    parked.into_iter().map(|status| status.context).collect()
}

#[tokio::test]
async fn retry_takes_what_is_parked_and_says_what_it_did() {
    let operator = with_parked().await;
    let said = operator.says("retry --all", "").await.ok();
    insta::assert_snapshot!(said.out, @r#"
    github.com/a/b@5394cb7 dev/a (dev) due (was parked(forbidden))
    github.com/a/b@5394cb7 dev/apps (dev) due (was parked(not-found))
    github.com/a/b@5394cb7 prod/a (prod) due (was parked(forbidden))
    no-provider/dev/flux-system/gitlab@5394cb7 dev/gone (dev) due (was parked(no-provider)); if its Provider is there now it ends, and the next event of the object is posted
    "#);
    insta::assert_snapshot!(said.err, @"3 statuses will be posted within two minutes, 1 tried that had no Provider");
    assert!(still_parked(&operator).await.is_empty());

    let said = operator.says("retry --all", "").await.ok();
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", "nothing parked\n"));
}

#[tokio::test]
async fn retry_takes_those_of_a_provider_or_a_cluster_only() {
    for (filter, left) in [
        ("--provider github -n flux-system", vec!["dev/apps", "dev/gone"]),
        (
            "--provider github -n flux-system --all-clusters",
            vec!["dev/apps", "dev/gone"],
        ),
        (
            "--provider github -n flux-system --cluster prod",
            vec!["dev/a", "dev/apps", "dev/gone"],
        ),
        ("--all --cluster dev", vec!["prod/a"]),
        (
            "--provider nobody -n flux-system",
            vec!["dev/a", "dev/apps", "prod/a", "dev/gone"],
        ),
    ] {
        let operator = with_parked().await;
        operator.says(&format!("retry {filter}"), "").await.ok();
        assert_eq!(still_parked(&operator).await, left, "{filter}");
    }
}

#[tokio::test]
async fn retry_of_a_commit_says_why_it_leaves_the_rest() {
    let operator = with_parked().await;
    let mut ended = posted(SHA, "dev/unknown");
    (ended.posted, ended.ended) = (None, Some("unknown-commit".into()));
    let mut skipped = ended.clone();
    skipped.key.sk = "dev/skipped".into();
    (skipped.context, skipped.ended) = ("dev/skipped".into(), Some("skipped(rule-gone)".into()));
    for status in [&ended, &skipped] {
        operator.store.put_status(status).await;
    }
    let said = operator
        .says("retry --commit 5394CB7 --cluster dev", "")
        .await
        .ok();
    insta::assert_snapshot!(said.out, @r#"
    github.com/a/b@5394cb7 dev/a (dev) due (was parked(forbidden))
    github.com/a/b@5394cb7 dev/apps (dev) due (was parked(not-found))
    github.com/a/b@5394cb7 dev/due (dev) left as it is: it is due already
    github.com/a/b@5394cb7 dev/posted (dev) left as it is: it is posted; --force posts it again
    github.com/a/b@5394cb7 dev/skipped (dev) left as it is: there is nothing to post until its next event
    github.com/a/b@5394cb7 dev/unknown (dev) left as it is: it ended as unknown-commit; --force tries it again
    no-provider/dev/flux-system/gitlab@5394cb7 dev/gone (dev) due (was parked(no-provider)); if its Provider is there now it ends, and the next event of the object is posted
    "#);
    insta::assert_snapshot!(said.err, @"2 statuses will be posted within two minutes, 1 tried that had no Provider, 4 left");
    assert_eq!(still_parked(&operator).await, ["prod/a"]);

    let said = operator.says("retry --commit 1111111", "").await.ok();
    assert!(
        said.out.is_empty() && said.err.starts_with("no statuses for 1111111"),
        "{}",
        said.err
    );
    let said = operator
        .says("retry --commit 5394cb7 --cluster dev", "")
        .await
        .ok();
    assert_eq!(said.err, "nothing to retry, 7 left\n");
    let error = operator.says("retry --commit main", "").await.error();
    assert!(error.contains("is not a commit; expected"), "{error}");
}

#[tokio::test]
async fn retry_does_not_guess_between_two_commits() {
    let operator = Operator::new().await;
    let other = SHA.replace("5394cb7f", "5394cb7a");
    let statuses = [
        parked(SHA, "dev/a", "forbidden"),
        parked(&other, "dev/a", "forbidden"),
    ];
    for status in &statuses {
        operator.store.put_status(status).await;
    }
    let error = operator.says("retry --commit 5394cb7", "").await.error();
    assert_eq!(
        error,
        format!("2 commits begin with 5394cb7; give more digits for one of: {other}, {SHA}")
    );
    assert_eq!(still_parked(&operator).await.len(), 2);
    operator.says("retry --commit 5394cb7a", "").await.ok();
    assert_eq!(operator.store.parked().await.unwrap(), statuses[..1]);
}

#[tokio::test]
async fn force_posts_again_what_was_posted_but_not_what_is_begun_just_now() {
    let operator = Operator::new().await;
    let lost = posted(SHA, "dev/lost");
    let mut claimed = posted(SHA, "dev/claimed");
    claimed.claim_until = Some(1);
    let mut unknown = posted(SHA, "dev/unknown");
    (unknown.posted, unknown.ended) = (None, Some("unknown-commit".into()));
    let waiting = due(SHA, "dev/due", 60_000);
    for status in [&lost, &claimed, &unknown, &waiting] {
        operator.store.put_status(status).await;
    }
    let said = operator
        .says("retry --provider github -n flux-system --force", "")
        .await
        .ok();
    insta::assert_snapshot!(said.out, @r#"
    github.com/a/b@5394cb7 dev/claimed (dev) left as it is: it changed or was begun meanwhile; look at `get statuses`
    github.com/a/b@5394cb7 dev/due (dev) left as it is: it is due already
    github.com/a/b@5394cb7 dev/lost (dev) due (was posted)
    github.com/a/b@5394cb7 dev/unknown (dev) due (was ended(unknown-commit))
    "#);
    insta::assert_snapshot!(said.err, @"2 statuses will be posted within two minutes, 2 left");
    for (status, is_due, unsure) in [
        (&lost, true, true),
        (&claimed, false, false),
        (&unknown, true, false),
    ] {
        let now = operator.store.now(status).await;
        assert_eq!((now.is_due(), now.unsure), (is_due, unsure), "{}", now.context);
    }
    assert_eq!(operator.store.now(&waiting).await, waiting);
}

#[tokio::test]
async fn everything_is_posted_again_only_if_somebody_says_so() {
    let operator = Operator::new().await;
    let lost = posted(SHA, "dev/lost");
    operator.store.put_status(&lost).await;

    let error = operator.says("retry --all --force", "y\n").await.error();
    assert!(error.contains("standard input is none; say --yes"), "{error}");
    for answer in ["\n", "n\n", "", "yeah\n"] {
        let said = operator.answers("retry --all --force", answer).await;
        assert!(said.err.ends_with("go on? [y/N] "), "{}", said.err);
        assert!(said.error().starts_with("nothing was done; "));
        assert_eq!(operator.store.now(&lost).await, lost);
    }
    for (command, answer) in [("retry --all --force", "Y\n"), ("retry --all --force --yes", "")] {
        operator.store.put_status(&lost).await;
        operator.answers(command, answer).await.ok();
        assert!(operator.store.now(&lost).await.is_due());
    }
}

#[tokio::test]
async fn many_of_one_credential_take_longer_and_retry_says_so() {
    let operator = Operator::new().await;
    for n in 0..61 {
        let status = parked(SHA, &format!("dev/{n}"), "forbidden");
        operator.store.put_status(&status).await;
    }
    let said = operator.says("retry --all", "").await.ok();
    assert_eq!(
        said.err,
        "61 statuses will be posted within 3 minutes (60 a minute with each credential)\n"
    );
}

#[tokio::test]
async fn a_provider_that_is_applied_retries_what_waited_for_it() {
    let provider = FILE.split_once("---\n").unwrap().0;
    let operator = with_parked().await;
    let said = operator.says("apply -f - --cluster dev", provider).await.ok();
    insta::assert_snapshot!(said.out, @r#"
    provider.notification.toolkit.fluxcd.io/github created (namespace flux-system, cluster dev)
    github.com/a/b@5394cb7 dev/a (dev) due (was parked(forbidden))
    "#);
    assert!(
        said.err.ends_with("1 status will be posted within two minutes\n"),
        "{}",
        said.err
    );
    assert_eq!(still_parked(&operator).await, ["dev/apps", "prod/a", "dev/gone"]);

    // Unchanged: nothing is retried.
    let again = parked(SHA, "dev/a", "forbidden");
    operator.store.put_status(&again).await;
    operator.says("apply -f - --cluster dev", provider).await.ok();
    assert_eq!(operator.store.now(&again).await, again);

    // Changed: it is. Not if it is suspended, as it would be parked again.
    let changed = provider.replace("timeout: 30s", "timeout: 20s");
    let suspended = changed.replace("timeout", "suspend: true, timeout");
    operator.says("apply -f - --cluster dev", &suspended).await.ok();
    assert_eq!(operator.store.now(&again).await, again);
    operator.says("apply -f - --cluster dev", &changed).await.ok();
    assert!(operator.store.now(&again).await.is_due());
}

#[tokio::test]
async fn a_provider_for_all_clusters_retries_those_of_each_and_those_that_had_none() {
    let provider = FILE.split_once("---\n").unwrap().0;
    let operator = with_parked().await;
    operator.says("apply -f - --all-clusters", provider).await.ok();
    assert_eq!(still_parked(&operator).await, ["dev/apps", "dev/gone"]);
    let gitlab = provider.replace("name: github,", "name: gitlab,");
    let said = operator.says("apply -f - --all-clusters", &gitlab).await.ok();
    assert!(
        said.out.contains("the next event of the object is posted"),
        "{}",
        said.out
    );
    assert_eq!(still_parked(&operator).await, ["dev/apps"]);
}
