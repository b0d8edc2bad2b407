//! `describe`: everything that is known of one thing.

use serde_json::json;

use super::check::{Denying, asks_over};
use super::*;
use crate::store::tests::{due, parked, posted};

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
/// No output may hold it.
const TOKEN: &str = "canary-of-a-token";

/// A rule for all clusters, hidden in `prod`, its Provider with a secret, and two clusters of which one is connected.
async fn with_stack() -> Operator {
    let operator = Operator::with_root_key().await;
    for command in ["cluster add dev", "cluster add prod"] {
        operator.says(command, "").await.ok();
    }
    operator.says("apply -f - --all-clusters", FILE).await.ok();
    operator.says("connect dev", "").await.ok();
    let rule = FILE.split_once("---\n").unwrap().1.replace("  prefix: dev\n", "");
    operator.says("apply -f - --cluster prod", &rule).await.ok();
    let set = "secret set github-token -n flux-system --all-clusters --from-stdin token";
    operator.says(set, TOKEN).await.ok();
    operator
}

fn of_rule(mut status: shared::item::StatusItem) -> shared::item::StatusItem {
    status.rule = "*/flux-system/webapp".to_owned().try_into().unwrap();
    status.credential = "_all/flux-system/github-token".into();
    status
}

/// An event as `rules` keeps it, received at that millisecond.
fn kept(cluster: &str, name: &str, received_at: i64) -> serde_json::Value {
    json!({
        "pk": format!("object#{cluster}/Kustomization/apps/{name}"), "sk": "event@-", "cluster": cluster,
        "generation": 1, "event_id": "00", "received_at": received_at, "expires_at": 1,
        "event": {
            "involvedObject": {"kind": "Kustomization", "namespace": "apps", "name": name}, "severity": "info",
            "timestamp": "2026-08-07T13:12:43Z", "reason": "ReconciliationSucceeded",
        },
    })
}

async fn describe(operator: &Operator, arguments: &str) -> String {
    let said = operator.says(&format!("describe {arguments}"), "").await.ok();
    assert!(
        !said.out.contains(TOKEN) && !said.err.contains(TOKEN),
        "{}",
        said.out
    );
    assert_eq!(said.err, "", "{arguments}");
    said.out
}

#[tokio::test]
async fn a_rule_says_where_it_is_in_effect_and_how_its_statuses_stand() {
    let operator = with_stack().await;
    let mut waiting = of_rule(due(SHA, "dev/b", 60_000));
    waiting.last_error = Some("502\nBad Gateway".into());
    let theirs = posted(SHA, "dev/not-of-this-rule");
    for status in [
        of_rule(posted(SHA, "dev/a")),
        waiting,
        of_rule(parked(SHA, "dev/c", "forbidden")),
        theirs,
    ] {
        operator.store.put_status(&status).await;
    }
    insta::assert_snapshot!(describe(&operator, "commitstatus webapp --all-clusters").await, @r#"
    Name:        webapp
    Namespace:   flux-system
    For:         all clusters
    Applied:     1970-01-01T00:00:00Z (0s ago)
    Suspended:   false
    Events:      all (eventSeverity: info)
    Progress:    pending until the commit has a result
    Superseded:  a pending status is closed when the object goes on to a newer commit
    Commit:      the revision the controller names
    Sources:     Kustomization/flux-system/webapp
    Contexts:    dev/kustomization/webapp
    Provider:    flux-system/github, for all clusters: https://github.com/a/b
    Clusters:
      dev:       in effect; its Alert watches the namespaces
      prod:      hidden by its own CommitStatus flux-system/webapp
    Statuses:
      Posted:    1
      Due:       1
      Parked:    1
    Last error:  502 Bad Gateway (`commitstatus describe status 5394cb7 dev/b`)
    "#);
    insta::assert_snapshot!(describe(&operator, "cs webapp --cluster prod").await, @r#"
    Name:        webapp
    Namespace:   flux-system
    For:         cluster prod
    Applied:     1970-01-01T00:00:00Z (0s ago)
    Suspended:   false
    Events:      all (eventSeverity: info)
    Progress:    pending until the commit has a result
    Superseded:  a pending status is closed when the object goes on to a newer commit
    Commit:      the revision the controller names
    Sources:     Kustomization/flux-system/webapp
    Contexts:    prod/flux-system/kustomization/webapp
    Provider:    flux-system/github, for all clusters: https://github.com/a/b
    Clusters:
      prod:      not connected: `commitstatus connect prod | kubectl apply -f -` connects it
    Statuses:    <none>
    "#);

    let both = describe(&operator, "cs").await;
    assert_eq!(both.matches("\n\nName:").count(), 1, "{both}");
    assert_eq!(
        operator.says("describe cs nope", "").await.error(),
        "no CommitStatus \"nope\" there; `commitstatus get commitstatuses` lists those of every cluster"
    );
}

#[tokio::test]
async fn a_rule_whose_provider_is_not_there_stands_out() {
    let operator = Operator::new().await;
    let rule = FILE.split_once("---\n").unwrap().1;
    operator.says("apply -f - --cluster dev", rule).await.ok();
    let said = describe(&operator, "cs webapp").await;
    for expected in [
        "flux-system/github is not there: apply one",
        "dev is not registered, so its events are dropped; `commitstatus cluster add dev`",
        "Statuses:    <none>",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[tokio::test]
async fn contexts_are_told_as_they_will_be() {
    let operator = Operator::new().await;
    let (provider, rule) = FILE.split_once("---\n").unwrap();
    let with_expression = provider.replace("timeout: 30s", "commitStatusExpr: event.involvedObject.name");
    for (provider, prefix, expected) in [
        (provider, "  prefix: dev\n", "dev/kustomization/webapp"),
        (provider, "  prefix: ''\n", "kustomization/webapp"),
        (provider, "", "dev/flux-system/kustomization/webapp"),
        (
            &with_expression,
            "",
            "<event.involvedObject.name> (commitStatusExpr of the Provider)",
        ),
        (
            &with_expression,
            "  prefix: x\n",
            "x/<event.involvedObject.name> (commitStatusExpr of the Provider)",
        ),
    ] {
        operator.says("apply -f - --cluster dev", provider).await.ok();
        let rule = rule.replace("  prefix: dev\n", prefix);
        operator.says("apply -f - --cluster dev", &rule).await.ok();
        let said = describe(&operator, "cs webapp").await;
        let line = said.lines().find(|line| line.starts_with("Contexts:")).unwrap();
        assert_eq!(line.trim_start_matches("Contexts:").trim(), expected);
    }
}

#[tokio::test]
async fn a_provider_says_where_it_leads_and_what_holds_it_up() {
    let operator = with_stack().await;
    operator
        .store
        .put_status(&of_rule(due(SHA, "dev/b", 60_000)))
        .await;
    operator
        .store
        .put_status(&due(SHA, "dev/of-another-credential", 60_000))
        .await;
    insta::assert_snapshot!(describe(&operator, "provider github").await, @r#"
    Name:        github
    Namespace:   flux-system
    For:         all clusters
    Applied:     1970-01-01T00:00:00Z (0s ago)
    Suspended:   false
    Type:        github
    Address:     https://github.com/a/b
    Repository:  github.com/a/b
    Timeout:     30s
    Secret:
      Name:      commitstatus/providers/_all/flux-system/github-token
      Keys:      token
      Usable:    yes, as far as can be seen from here
    Credential:
      Name:      _all/flux-system/github-token
      Held:      no
    Due:         1
    Parked:      0
    Used by:     CommitStatus flux-system/webapp, for all clusters
                 CommitStatus flux-system/webapp, for cluster prod
    "#);

    operator
        .store
        .put_item(json!({
            "pk": "credential#_all/flux-system/github-token", "sk": "-", "hold_until": 40_000, "holds": 2,
            "hold_reason": "rate limited until\n1970-01-01T00:00:40Z", "slowed": 2, "slowed_at": 40_000,
        }))
        .await;
    let said = describe(&operator, "provider github").await;
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "Held until: 1970-01-01T00:00:40Z (in 40s)",
        "Reason: rate limited until 1970-01-01T00:00:40Z",
        "Pace: 4 times slower",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[tokio::test]
async fn a_secret_that_is_missing_or_of_no_use_stands_out() {
    let operator = with_stack().await;
    operator.says("apply -f - --cluster dev", FILE).await.ok();
    let said = describe(&operator, "provider github --cluster dev").await;
    assert!(
        said.contains(
            "no: `commitstatus secret set github-token -n flux-system --cluster dev --key token` writes it"
        ),
        "{said}"
    );
    assert!(
        said.contains("commitstatus/providers/dev/flux-system/github-token"),
        "{said}"
    );

    let name = "commitstatus/providers/dev/flux-system/github-token";
    for (secret, keys, problem) in [
        (
            format!(r#"{{"username":"{TOKEN}"}}"#),
            "username",
            "no: the secret has `username` without",
        ),
        (
            TOKEN.to_owned(),
            "none: it is not a JSON object",
            "no: the secret is not JSON",
        ),
    ] {
        operator.secrets.put(name, &secret.into()).await.unwrap();
        let said = describe(&operator, "provider github --cluster dev").await;
        assert!(said.contains(keys) && said.contains(problem), "{said}");
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_says_why() {
    let operator = with_stack().await;
    let (_, said) = asks_over(&operator.store, &Denying("so it is"), "describe provider github").await;
    assert!(
        said.contains("not known: reading secret")
            && said.contains("; reading it takes secretsmanager:GetSecretValue\n"),
        "{said}"
    );
    operator.breaks_secret("providers/_all/flux-system/github-token");
    let said = describe(&operator, "provider github --all-clusters").await;
    assert!(
        said.contains(
            "the file holds no versions of a secret; mend that, or write it again: `commitstatus secret set github-token"
        ),
        "{said}"
    );
    assert!(!said.contains("secretsmanager:"), "{said}");
}

#[tokio::test]
async fn the_last_event_of_a_cluster_is_the_one_its_statuses_tell_of_too() {
    let operator = with_stack().await;
    operator.store.put_item(kept("dev", "a", -18_000_000)).await;
    let at = |milliseconds: i64| {
        let mut status = of_rule(posted(SHA, &format!("dev/{milliseconds}")));
        let at = Timestamp::from_millisecond(milliseconds).unwrap();
        let state = shared::State::Success;
        status.order_key = shared::OrderKey::new(shared::Rank::Result, at, "1", state, "00");
        status
    };
    let last = async || {
        let said = describe(&operator, "cluster dev").await;
        let line = said.lines().find(|line| line.starts_with("Last event:")).unwrap();
        line.trim_start_matches("Last event:").trim().to_owned()
    };
    // The same event, some seconds before it came here.
    operator.store.put_status(&at(-18_008_000)).await;
    let kept = "1969-12-31T19:00:00Z (5h ago): ReconciliationSucceeded of Kustomization/apps/a";
    assert_eq!(last().await, kept);
    let mut superseded = at(-30_000);
    superseded.desired.state = shared::State::Superseded;
    let mut theirs = at(-20_000);
    theirs.cluster = "prod".into();
    for status in [superseded, theirs] {
        operator.store.put_status(&status).await;
    }
    assert_eq!(last().await, kept);
    operator.store.put_status(&at(-60_000)).await;
    assert_eq!(
        last().await,
        "1969-12-31T23:59:00Z (60s ago): ReconciliationSucceeded of Kustomization/flux-system/webapp"
    );
}

#[tokio::test]
async fn what_several_share_is_read_once() {
    let mut operator = with_stack().await;
    operator.store.put_item(kept("dev", "a", -60_000)).await;
    for context in ["dev/a", "dev/b", "dev/c"] {
        operator.store.put_status(&of_rule(posted(SHA, context))).await;
    }
    operator
        .store
        .put_item(json!({
            "pk": "credential#_all/flux-system/github-token", "sk": "-", "hold_until": 40_000, "holds": 1,
        }))
        .await;
    let (store, calls) = operator.store.counted();
    operator.store = store;
    let said = describe(&operator, "status 5394cb7").await;
    assert_eq!(said.matches("held until ").count(), 3, "{said}");
    assert_eq!(calls.count("GetItem statuses"), 0);
    // One for the statuses, and one for their credentials.
    assert_eq!(calls.count("BatchGetItem statuses"), 2);
    describe(&operator, "cluster dev").await;
    assert_eq!(calls.count("Scan statuses"), 1);
}

#[tokio::test]
async fn a_cluster_says_how_its_key_stands_and_which_rules_are_in_effect() {
    let operator = with_stack().await;
    let own = of_rule(posted(SHA, "dev/a"));
    for item in [
        kept("dev", "a", -90_000),
        kept("dev", "b", -60_000),
        kept("other", "c", -1_000),
    ] {
        operator.store.put_item(item).await;
    }
    let mut theirs = of_rule(due(SHA, "prod/a", 60_000));
    theirs.cluster = "prod".into();
    for status in [own, theirs] {
        operator.store.put_status(&status).await;
    }
    insta::assert_snapshot!(describe(&operator, "cluster dev").await, @r#"
    Name:             dev
    Suspended:        false
    Key generation:   1
    Root key:         current: its key is made from the one in force
    Watches:          flux-system
    Rules in effect:  flux-system/webapp, for all clusters: to Provider flux-system/github
    Last event:       1969-12-31T23:59:00Z (60s ago): ReconciliationSucceeded of Kustomization/apps/b
    Statuses:
      Posted:         1
    "#);
    insta::assert_snapshot!(describe(&operator, "cluster prod").await, @r#"
    Name:             prod
    Suspended:        false
    Key generation:   1
    Root key:         it was given no key yet; `commitstatus connect prod | kubectl apply -f -` gives it one
    Watches:          <none>
    Problem:          not connected: `commitstatus connect prod | kubectl apply -f -` connects it
    Rules in effect:  flux-system/webapp, for cluster prod: to Provider flux-system/github
    Last event:       none in 30 days
    Statuses:
      Due:            1
    "#);
    operator.says("cluster suspend dev", "").await.ok();
    let all = describe(&operator, "cluster").await;
    assert!(
        all.contains("true: its events are dropped; `commitstatus cluster resume dev`"),
        "{all}"
    );
    assert_eq!(
        operator.says("describe cluster nope", "").await.error(),
        "cluster \"nope\" not found; `commitstatus cluster add nope` registers it"
    );
}

#[tokio::test]
async fn without_the_right_to_see_the_root_key_the_rest_is_told() {
    let operator = Operator::new().await;
    operator.says("cluster add dev", "").await.ok();
    let said = describe(&operator, "cluster dev").await;
    assert!(
        said.contains("not known: no root key `commitstatus/root-key`"),
        "{said}"
    );
}

#[tokio::test]
async fn a_status_tells_its_history() {
    let operator = Operator::new().await;
    let mut waiting = due(SHA, "dev/a", 40_000);
    (waiting.rev, waiting.attempts, waiting.unsure, waiting.posts) = (3, 2, true, 1);
    (waiting.claims, waiting.claim_until) = (1, Some(20_000));
    waiting.posted = Some(shared::item::Posted {
        state: shared::State::Pending,
        reason: "Progressing".into(),
        rev: 1,
        at: -120_000,
    });
    waiting.desired.received_at = Some(-60_000);
    waiting.desired.target_url = Some("https://grafana.example/d/1".into());
    waiting.order_key = shared::OrderKey::new(
        shared::Rank::Result,
        Timestamp::from_second(-61).unwrap(),
        "1",
        shared::State::Success,
        "00",
    );
    waiting.last_error = Some(format!("502\u{1b}[2J {}", "x".repeat(100)));
    waiting.rival = Some("prod/Kustomization/flux-system/webapp".into());
    let mut stuck = parked(SHA, "dev/b", "forbidden");
    stuck.credential = String::new();
    let mut ended = status(SHA, "dev/c");
    ended.ended = Some("unknown-commit".into());
    ended.expires_at = Some(86_400);
    let mut newer = parked(SHA, "dev/d", "a-word-of-tomorrow");
    newer.cluster = "prod".into();
    for status in [&waiting, &stuck, &ended, &newer] {
        operator.store.put_status(status).await;
    }
    operator
        .store
        .put_item(json!({
            "pk": "credential#dev/flux-system/t", "sk": "-", "hold_until": 40_000, "holds": 1,
            "hold_reason": "the credential is not valid",
        }))
        .await;

    insta::assert_snapshot!(describe(&operator, "status 5394cb7 dev/a").await, @r#"
    Context:        dev/a
    Commit:         5394cb7f48332b2de7c17dd8b8384bbc84b7e738
    Repository:     github.com/a/b
    Cluster:        dev
    Object:         Kustomization/flux-system/webapp
    Rule:           flux-system/webapp, for cluster dev
    Provider:       flux-system/github
    Credential:     dev/flux-system/t
                    held until 1970-01-01T00:00:40Z (in 40s): the credential is not valid
    Collision:      prod/Kustomization/flux-system/webapp writes the same context; take `prefix` out of the rule, or give each its own
    Desired:
      State:        success
      Reason:       ReconciliationSucceeded
      Description:  ok
      Target URL:   https://grafana.example/d/1
      Change:       3
      Event:        00
      Event time:   1969-12-31T23:58:59Z (61s ago)
      Received:     1969-12-31T23:59:00Z (60s ago)
    Posted:
      State:        pending
      Reason:       Progressing
      Change:       1
      When:         1969-12-31T23:58:00Z (2m ago)
      Posts:        1
      Unsure:       a post was begun and its end is not known; it is posted again
    Stands:         due
    Next attempt:   1970-01-01T00:00:40Z (in 40s)
    Attempts:       2 failed since the last change
    Begun:          once, without an outcome yet
    Claimed until:  1970-01-01T00:00:20Z (in 20s)
    Coalesced:      1 before the newest that nobody needs to see any more
    Last error:     502 [2J xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    Forgotten:      not while it is due or parked
    "#);
    let said = describe(&operator, "status 5394cb7 --cluster dev").await;
    assert_eq!(said.matches("\n\nContext:").count(), 2, "{said}");
    for expected in [
        "Stands:         parked: forbidden",
        "What to do:     give the token the right to write commit statuses",
        "Stands:         ended: unknown-commit",
        "Meaning:        the host did not know the commit three times",
        "Forgotten:      1970-01-02T00:00:00Z (in 24h)",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let said = describe(&operator, &format!("status status/github.com/a/b@{SHA}/dev/d")).await;
    assert!(
        said.contains("a word of another release; see docs/errors.md#parked"),
        "{said}"
    );
}

#[tokio::test]
async fn a_status_that_is_not_there_is_an_error() {
    let operator = Operator::new().await;
    operator.store.put_status(&posted(SHA, "dev/a")).await;
    for (arguments, expected) in [
        (
            "1111111",
            "no statuses for 1111111: no rule took an event about it",
        ),
        (
            "5394cb7 dev/b",
            "none of the statuses of 5394cb7 is such a one; `commitstatus get statuses 5394cb7` lists their contexts",
        ),
        (
            "5394cb7 --cluster prod",
            "none of the statuses of 5394cb7 is such a one",
        ),
        ("main", "`main` is not a commit"),
    ] {
        let error = operator
            .says(&format!("describe status {arguments}"), "")
            .await
            .error();
        assert!(error.starts_with(expected), "{arguments}: {error}");
    }
}
