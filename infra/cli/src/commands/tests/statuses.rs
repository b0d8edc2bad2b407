//! `get statuses` by more than a commit.

use serde_json::json;

use super::get::watches;
use super::*;
use crate::store::tests::{due, parked, posted};

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
const OTHER: &str = "8a1c2e4f48332b2de7c17dd8b8384bbc84b7e738";

/// Statuses of two commits, and beside them everything else the table holds.
pub(super) async fn with_statuses() -> Operator {
    let operator = Operator::new().await;
    let mut healthy = posted(SHA, "dev/webapp");
    healthy.order_key = shared::OrderKey::new(
        shared::Rank::Result,
        Timestamp::from_second(-300).unwrap(),
        "1",
        shared::State::Success,
        "00",
    );
    let mut waiting = due(SHA, "prod/webapp", 40_000);
    (waiting.cluster, waiting.attempts) = ("prod".into(), 3);
    waiting.last_error = Some(format!("502 {}", "x".repeat(100)));
    waiting.desired.state = shared::State::Failure;
    let mut forbidden = parked(OTHER, "dev/podinfo", "forbidden");
    forbidden.object = "Kustomization/apps/podinfo".into();
    forbidden.rule = "*/apps/podinfo".to_owned().try_into().unwrap();
    forbidden.provider = shared::kinds::ObjectName::new("apps", "gitlab");
    forbidden.key.pk = format!("gitlab.com/acme/fleet@{OTHER}");
    let mut ended = status(OTHER, "dev/gone");
    ended.ended = Some("unknown-commit".into());
    for status in [&healthy, &waiting, &forbidden, &ended] {
        operator.store.put_status(status).await;
    }
    operator
        .store
        .put_item(json!({"pk": "credential#dev/flux-system/t", "sk": "-", "holds": 1}))
        .await;
    operator
        .store
        .put_item(json!({
            "pk": "object#dev/Kustomization/flux-system/webapp", "sk": "dev/flux-system/webapp", "newest": SHA,
            "status": {"pk": healthy.key.pk, "sk": healthy.key.sk}, "order_key": "x", "expires_at": 1,
        }))
        .await;
    operator
        .store
        .put_item(json!({
            "pk": "object#dev/Kustomization/flux-system/webapp", "sk": format!("event@{SHA}"), "commit7": &SHA[..7],
            "cluster": "dev", "desired": "not one of ours",
        }))
        .await;
    operator
}

async fn contexts(operator: &Operator, arguments: &str) -> Vec<String> {
    let said = operator
        .says(&format!("get statuses {arguments} -o json"), "")
        .await
        .ok();
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let statuses = json["statuses"].as_array().unwrap().iter();
    let mut contexts: Vec<String> = statuses
        .map(|status| status["context"].as_str().unwrap().to_owned())
        .collect();
    contexts.sort();
    contexts
}

#[tokio::test]
async fn filters_combine() {
    let operator = with_statuses().await;
    for (arguments, expected) in [
        (
            "",
            &["dev/gone", "dev/podinfo", "dev/webapp", "prod/webapp"] as &[&str],
        ),
        ("5394cb7", &["dev/webapp", "prod/webapp"]),
        ("--commit 5394CB7", &["dev/webapp", "prod/webapp"]),
        ("github.com/a/b@8a1c2e4f", &["dev/gone"]),
        ("--cluster prod", &["prod/webapp"]),
        ("5394cb7 --cluster dev", &["dev/webapp"]),
        ("--object podinfo", &["dev/podinfo"]),
        (
            "--object kustomization/webapp --cluster dev",
            &["dev/gone", "dev/webapp"],
        ),
        ("--object Kustomization/apps/podinfo --cluster prod", &[]),
        ("--rule apps/podinfo", &["dev/podinfo"]),
        ("--rule podinfo -n apps", &["dev/podinfo"]),
        ("--rule podinfo -n other", &[]),
        ("--rule info -n apps", &[]),
        ("--provider github", &["dev/gone", "dev/webapp", "prod/webapp"]),
        ("--provider apps/gitlab --rule podinfo", &["dev/podinfo"]),
        ("--repository GitLab.com", &["dev/podinfo"]),
        ("--parked", &["dev/podinfo"]),
        ("--parked --cluster prod", &[]),
        ("--unposted", &["dev/podinfo", "prod/webapp"]),
        ("--unposted --cluster prod", &["prod/webapp"]),
        ("8a1c2e4f --unposted", &["dev/gone", "dev/podinfo"]),
        ("8a1c2e4f --parked", &["dev/podinfo"]),
        ("5394cb7 --unposted --parked", &[]),
    ] {
        assert_eq!(contexts(&operator, arguments).await, expected, "{arguments}");
    }
}

#[tokio::test]
async fn without_a_commit_each_row_names_its_own() {
    let operator = with_statuses().await;
    let said = operator.says("get statuses --unposted", "").await.ok();
    insta::assert_snapshot!(said.out, @r#"
    REPOSITORY             COMMIT   CONTEXT      DESIRED  POSTED  AGE  STANDS                                        LAST ERROR
    github.com/a/b         5394cb7  prod/webapp  failure  -       -    due 1970-01-01T00:00:40Z, attempts 3          502 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
    gitlab.com/acme/fleet  8a1c2e4  dev/podinfo  success  -       -    parked since 2026-08-07T13:12:44Z: forbidden  -
    "#);
    let said = operator.says("get statuses --cluster dev", "").await.ok();
    insta::assert_snapshot!(said.out, @r#"
    REPOSITORY             COMMIT   CONTEXT      DESIRED  POSTED   AGE  STANDS                                        LAST ERROR
    github.com/a/b         8a1c2e4  dev/gone     success  -        -    ended: unknown-commit                         -
    gitlab.com/acme/fleet  8a1c2e4  dev/podinfo  success  -        -    parked since 2026-08-07T13:12:44Z: forbidden  -
    github.com/a/b         5394cb7  dev/webapp   success  success  5m   posted 2026-08-07T13:12:44Z                   -
    "#);
    let said = operator
        .says("get statuses 5394cb7 --cluster prod -o wide", "")
        .await
        .ok();
    insta::assert_snapshot!(said.out, @r#"
    REPOSITORY      COMMIT                                    CONTEXT      DESIRED  POSTED  REV  AGE  STANDS                                ATTEMPTS  POSTS  CLUSTER  OBJECT                            RULE                    PROVIDER            LAST ERROR
    github.com/a/b  5394cb7f48332b2de7c17dd8b8384bbc84b7e738  prod/webapp  failure  -       1    -    due 1970-01-01T00:00:40Z, attempts 3  3         0      prod     Kustomization/flux-system/webapp  dev/flux-system/webapp  flux-system/github  502 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    "#);
}

#[tokio::test]
async fn nothing_found_says_where_to_look() {
    let operator = with_statuses().await;
    for (arguments, expected) in [
        (
            "1111111",
            "no statuses for 1111111: no rule took an event about it",
        ),
        (
            "5394cb7 --cluster other",
            "no such statuses for 5394cb7; `commitstatus get statuses 5394cb7` lists all it has",
        ),
        ("--parked --cluster other", "nothing parked"),
        (
            "--unposted --cluster other",
            "nothing due or parked; `commitstatus get statuses COMMIT --unposted`",
        ),
        (
            "--cluster other",
            "no such statuses; `commitstatus get statuses` lists all there are",
        ),
    ] {
        let said = operator.says(&format!("get statuses {arguments}"), "").await.ok();
        assert_eq!(said.out, "");
        assert!(said.err.starts_with(expected), "{arguments}: {}", said.err);
    }
    assert!(
        operator
            .says("get statuses main", "")
            .await
            .error()
            .starts_with("`main` is not a commit; expected at least the first 7")
    );
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_what_would_be_right() {
    for (arguments, expected) in [
        (
            "--object a/b/c/d/e",
            "names no object; expected NAME, NAMESPACE/NAME, KIND/NAME or",
        ),
        ("--object a//b", "names no object"),
        ("--rule a/b/c", "expected NAME or NAMESPACE/NAME"),
        ("--provider A/b", "`A` is not a DNS-1123 label"),
        ("--cluster A", "`A` is not a DNS-1123 label"),
        ("-n apps", "--rule <[NAMESPACE/]NAME>"),
        ("5394cb7 --commit 5394cb7", "cannot be used with"),
    ] {
        let words = format!("commitstatus get statuses {arguments}");
        let error = Cli::try_parse_from(words.split_whitespace())
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{arguments}: {error}");
    }
}

#[tokio::test]
async fn the_names_of_statuses_are_taken_again() {
    let operator = with_statuses().await;
    let said = operator.says("get statuses -o name", "").await.ok();
    let mut names: Vec<&str> = said.out.lines().collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            format!("status/github.com/a/b@{SHA}/dev/webapp"),
            format!("status/github.com/a/b@{SHA}/prod/webapp"),
            format!("status/github.com/a/b@{OTHER}/dev/gone"),
            format!("status/gitlab.com/acme/fleet@{OTHER}/dev/podinfo"),
        ]
    );
    for name in names {
        let again = operator
            .says(&format!("get statuses {name} -o name"), "")
            .await
            .ok();
        assert_eq!(again.out.trim_end(), name);
    }
    let parked = operator.says("get parked -o name", "").await.ok();
    assert_eq!(
        parked.out,
        format!("status/gitlab.com/acme/fleet@{OTHER}/dev/podinfo\n")
    );
}

#[tokio::test]
async fn a_status_that_is_posted_while_it_is_watched_is_printed_again() {
    let operator = with_statuses().await;
    let mut is_over = false;
    let tick = async || {
        if std::mem::replace(&mut is_over, true) {
            return None;
        }
        let mut now_posted = posted(SHA, "prod/webapp");
        now_posted.cluster = "prod".into();
        operator.store.put_status(&now_posted).await;
        Some(Timestamp::UNIX_EPOCH)
    };
    let (out, err) = watches(&operator, "get statuses 5394cb7 -w --no-headers", tick).await;
    insta::assert_snapshot!(out, @r#"
    github.com/a/b  dev/webapp   success  success  1  posted 2026-08-07T13:12:44Z           -
    github.com/a/b  prod/webapp  failure  -        1  due 1970-01-01T00:00:40Z, attempts 3  502 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
    github.com/a/b  prod/webapp  success  success  1  posted 2026-08-07T13:12:44Z           -
    "#);
    assert_eq!(err, "");
}

#[tokio::test]
async fn watching_every_status_says_what_it_costs() {
    let operator = with_statuses().await;
    let (_, err) = watches(&operator, "get statuses -w", async || None).await;
    assert!(
        err.starts_with("warning: each look reads the whole table"),
        "{err}"
    );
    for cheap in ["5394cb7", "--unposted", "--parked"] {
        let (_, err) = watches(&operator, &format!("get statuses -w {cheap}"), async || None).await;
        assert_eq!(err, "", "{cheap}");
    }
}
