//! `get` for rules, Providers and clusters, in all its forms, and what is watched.

use super::*;
use crate::commands::get;

/// A rule and a Provider for all clusters, and the rule once more for `dev`.
async fn with_objects() -> Operator {
    let operator = Operator::with_root_key().await;
    for command in ["cluster add dev", "cluster add prod", "connect dev"] {
        operator.says(command, "").await.ok();
    }
    operator.says("apply -f - --all-clusters", FILE).await.ok();
    let rule = FILE
        .split_once("---\n")
        .unwrap()
        .1
        .replace("prefix: dev", "suspend: true");
    operator.says("apply -f - --cluster dev", &rule).await.ok();
    operator
}

/// What a command prints that watches, until `tick` ends it: standard output, and standard error.
pub(super) async fn watches(
    operator: &Operator,
    command: &str,
    tick: impl AsyncFnMut() -> Option<Timestamp>,
) -> (String, String) {
    let words = std::iter::once("commitstatus").chain(command.split_whitespace());
    let Command::Get(command) = Cli::try_parse_from(words).unwrap().command else {
        panic!("{command} gets nothing");
    };
    assert!(command.watches());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let terminal = &mut Terminal {
        input: &mut io::empty(),
        input_is_terminal: false,
        out: &mut out,
        out_is_terminal: false,
        err: &mut err,
        err_is_terminal: false,
        colours: false,
    };
    get::watch(&command, &operator.store, Timestamp::UNIX_EPOCH, tick, terminal)
        .await
        .unwrap();
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[tokio::test]
async fn a_kind_goes_by_every_name_kubectl_users_try() {
    let operator = with_objects().await;
    for (names, lines) in [
        (
            [
                "commitstatuses",
                "commitstatus",
                "cs",
                "rules",
                "commitstatuses -A",
            ]
            .as_slice(),
            3,
        ),
        (&["providers", "provider"], 2),
        (
            &["clusters", "cluster", "clusters --no-headers -o wide prod dev"],
            3,
        ),
    ] {
        for name in names {
            let said = operator.says(&format!("get {name}"), "").await.ok();
            let lines = lines - usize::from(name.contains("--no-headers"));
            assert_eq!(said.out.lines().count(), lines, "{name}: {}", said.out);
        }
    }
}

#[tokio::test]
async fn clusters_are_got_as_they_are_listed() {
    let operator = with_objects().await;
    let listed = operator.says("cluster list", "").await.ok().out;
    assert_eq!(listed, operator.says("get clusters", "").await.ok().out);
    insta::assert_snapshot!(listed, @r#"
    NAME  GENERATION  SUSPENDED  CONNECTED NAMESPACES
    dev   1           false      flux-system
    prod  1           false      -
    "#);
    let json = operator.says("cluster list -o json", "").await.ok().out;
    assert_eq!(json, operator.says("get clusters -o json", "").await.ok().out);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["clusters"][0],
        serde_json::json!({
            "name": "dev", "generation": 1, "suspended": false, "connected_namespaces": ["flux-system"],
        })
    );
    assert_eq!(
        operator.says("get clusters dev nope", "").await.error(),
        "cluster \"nope\" not found; `commitstatus cluster add nope` registers it"
    );
}

#[tokio::test]
async fn names_are_taken_again() {
    let operator = with_objects().await;
    for kind in ["commitstatuses", "providers", "clusters"] {
        let names = operator.says(&format!("get {kind} -o name"), "").await.ok().out;
        assert!(!names.is_empty());
        for name in names.lines() {
            let again = operator
                .says(&format!("get {kind} -o name {name}"), "")
                .await
                .ok()
                .out;
            assert!(again.lines().all(|line| line == name), "{again}");
            let described = operator
                .says(&format!("describe {kind} {name}"), "")
                .await
                .ok()
                .out;
            let bare = name.rsplit('/').next().unwrap();
            assert!(described.starts_with("Name:"), "{described}");
            assert!(described.lines().next().unwrap().ends_with(bare), "{described}");
        }
    }
    insta::assert_snapshot!(operator.says("get cs -o name --all-clusters", "").await.ok().out, @r#"
    commitstatus.notification.toolkit.fluxcd.io/webapp
    "#);
    assert_eq!(
        operator.says("get cs -o name provider/webapp", "").await.error(),
        "no CommitStatus \"provider/webapp\" there; `commitstatus get commitstatuses` lists those of every cluster"
    );
}

#[tokio::test]
async fn several_may_be_named_and_each_must_be_there() {
    let operator = with_objects().await;
    let said = operator
        .says("get cs webapp other -n flux-system", "")
        .await
        .error();
    assert!(said.starts_with("no CommitStatus \"other\" there"), "{said}");
    let said = operator
        .says("get cs webapp -o yaml --cluster dev", "")
        .await
        .ok();
    assert!(said.out.starts_with("apiVersion: notification"), "{}", said.out);
    let said = operator.says("get cs webapp -o yaml", "").await.ok();
    assert!(said.out.contains("kind: List"), "{}", said.out);
}

#[tokio::test]
async fn wide_has_more_columns_and_cuts_nothing() {
    let operator = with_objects().await;
    let many: String = (0..4)
        .map(|n| format!("    - {{kind: Kustomization, name: app-{n}}}\n"))
        .collect();
    operator
        .says("apply -f - --all-clusters", &format!("{FILE}{many}"))
        .await
        .ok();
    insta::assert_snapshot!(operator.says("get cs", "").await.ok().out, @r#"
    CLUSTER  NAMESPACE    NAME    PROVIDER  SEVERITY  SOURCES                                      PREFIX                 SUSPENDED  AGE
    *        flux-system  webapp  github    info      Kustomization/flux-system/webapp and 4 more  dev                    false      0s
    dev      flux-system  webapp  github    info      Kustomization/flux-system/webapp             <cluster>/<namespace>  true       0s
    "#);
    let wide = operator.says("get cs -o wide --all-clusters", "").await.ok().out;
    insta::assert_snapshot!(wide, @r#"
    CLUSTER  NAMESPACE    NAME    PROVIDER  SEVERITY  SOURCES                                                                                                                                                               PREFIX  SUSPENDED  AGE  PROGRESS  SUPERSEDED  APPLIED
    *        flux-system  webapp  github    info      Kustomization/flux-system/webapp, Kustomization/flux-system/app-0, Kustomization/flux-system/app-1, Kustomization/flux-system/app-2, Kustomization/flux-system/app-3  dev     false      0s   true      close       1970-01-01T00:00:00Z
    "#);
    insta::assert_snapshot!(operator.says("get providers -o wide", "").await.ok().out, @r#"
    CLUSTER  NAMESPACE    NAME    TYPE    ADDRESS                 SECRET        SUSPENDED  AGE  CERTIFICATES  PROXY  EXPRESSION  APPLIED
    *        flux-system  github  github  https://github.com/a/b  github-token  false      0s   -             -      -           1970-01-01T00:00:00Z
    "#);
}

#[tokio::test]
async fn what_is_watched_is_printed_again_when_it_changes() {
    let operator = with_objects().await;
    let mut ticks = 0;
    let mut tick = async || {
        ticks += 1;
        match ticks {
            // Nothing has happened.
            1 => {}
            2 => drop(operator.says("cluster suspend dev", "").await.ok()),
            3 => drop(
                operator
                    .says("cluster add a-cluster-of-a-long-name", "")
                    .await
                    .ok(),
            ),
            4 => drop(operator.says("cluster delete prod", "").await.ok()),
            _ => return None,
        }
        Some(Timestamp::UNIX_EPOCH)
    };
    let (out, err) = watches(&operator, "get clusters -w", &mut tick).await;
    insta::assert_snapshot!(out, @r#"
    NAME  GENERATION  SUSPENDED  CONNECTED NAMESPACES
    dev   1           false      flux-system
    prod  1           false      -
    dev   1           true       flux-system
    a-cluster-of-a-long-name  1           false      -
    "#);
    assert_eq!(err, "no longer listed: cluster/prod\n");
}

#[tokio::test]
async fn programs_watch_documents() {
    for (output, expected) in [
        ("name", ["cluster/dev", "cluster/prod", "cluster/dev"].join("\n")),
        (
            "json",
            [
                r#"{"connected_namespaces":["flux-system"],"generation":1,"name":"dev","suspended":false}"#,
                r#"{"connected_namespaces":[],"generation":1,"name":"prod","suspended":false}"#,
                r#"{"connected_namespaces":["flux-system"],"generation":1,"name":"dev","suspended":true}"#,
            ]
            .join("\n"),
        ),
        (
            "yaml",
            "---\nconnected_namespaces:\n- flux-system\ngeneration: 1\nname: dev\nsuspended: false\n---\n\
             connected_namespaces: []\ngeneration: 1\nname: prod\nsuspended: false\n---\nconnected_namespaces:\n- \
             flux-system\ngeneration: 1\nname: dev\nsuspended: true"
                .to_owned(),
        ),
    ] {
        let operator = with_objects().await;
        let mut is_over = false;
        let tick = async || {
            if std::mem::replace(&mut is_over, true) {
                return None;
            }
            operator.says("cluster suspend dev", "").await.ok();
            Some(Timestamp::UNIX_EPOCH)
        };
        let (out, _) = watches(&operator, &format!("get clusters --watch -o {output}"), tick).await;
        assert_eq!(out.trim_end(), expected, "{output}");
    }
}

#[tokio::test]
async fn an_empty_list_is_watched_until_something_comes() {
    let operator = Operator::new().await;
    let mut is_over = false;
    let tick = async || {
        if std::mem::replace(&mut is_over, true) {
            return None;
        }
        operator.says("apply -f - --all-clusters", FILE).await.ok();
        Some(Timestamp::from_second(120).unwrap())
    };
    let (out, err) = watches(&operator, "get providers -w", tick).await;
    insta::assert_snapshot!(out, @r#"
    CLUSTER  NAMESPACE    NAME    TYPE    ADDRESS                 SECRET        SUSPENDED  AGE
    *        flux-system  github  github  https://github.com/a/b  github-token  false      2m
    "#);
    assert_eq!(err, "nothing applied\n");
}
