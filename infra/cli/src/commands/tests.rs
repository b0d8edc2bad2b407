mod apply;
mod check;
mod collision;
mod connect;
mod deleted;
mod describe;
mod diff;
mod edit;
mod explain;
mod get;
mod held;
mod import;
mod parked;
mod retry;
mod root_keys;
mod rotate;
mod statuses;

use std::io;
use std::path::Path;

use clap::{Parser, Subcommand};
use intake::keys::{RootKey, derive_cluster_key};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::root_key::create_if_absent;
use crate::secrets::{FileSecrets, SecretStore, root_key_name};
use crate::store::Store;
use crate::store::tests::{engine, status};
use crate::yaml::tests::RFC_EXAMPLE;

const ROOT_KEY: &str = "0123456789abcdef0123456789abcdef";
const STACK: &str = "commitstatus";

const FILE: &str = "\
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: github, namespace: flux-system}
spec: {type: github, address: 'https://github.com/a/b', secretRef: {name: github-token}, timeout: 30s}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta1
kind: CommitStatus
metadata: {name: webapp, namespace: flux-system}
spec:
  providerRef: {name: github}
  prefix: dev
  eventSources:
    - {kind: Kustomization, name: webapp}
";

/// The commands as `main` has them, without where they talk to.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Apply(super::apply::ApplyArgs),
    Validate(FileArgs),
    #[command(subcommand)]
    Get(super::get::GetCommand),
    #[command(subcommand)]
    Describe(super::describe::DescribeCommand),
    Retry(super::retry::RetryArgs),
    Delete(delete::DeleteArgs),
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    Connect(super::connect::ConnectArgs),
    Import(super::import::ImportArgs),
    #[command(subcommand)]
    RootKey(root_key::RootKeyCommand),
    Rotate(super::rotate::RotateArgs),
}

struct Operator {
    store: Store,
    secrets: FileSecrets,
    data: tempfile::TempDir,
}

/// What a command said.
struct Said {
    result: Result<(), String>,
    out: String,
    err: String,
}

impl Said {
    fn ok(self) -> Self {
        assert_eq!(self.result, Ok(()), "{}", self.err);
        self
    }

    fn error(self) -> String {
        self.result.unwrap_err()
    }
}

impl Operator {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        Self {
            store: engine().await,
            secrets: FileSecrets::new(data.path().join("secrets")),
            data,
        }
    }

    async fn with_root_key() -> Self {
        let operator = Self::new().await;
        operator
            .secrets
            .put(&root_key_name(STACK), &ROOT_KEY.into())
            .await
            .unwrap();
        operator
    }

    async fn says(&self, command: &str, input: &str) -> Said {
        self.run(command, input, input.is_empty()).await
    }

    /// As [`Operator::says`], with a person who types the answer.
    async fn answers(&self, command: &str, answer: &str) -> Said {
        self.run(command, answer, true).await
    }

    async fn run(&self, command: &str, input: &str, input_is_terminal: bool) -> Said {
        let words = std::iter::once("commitstatus").chain(command.split_whitespace());
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let terminal = &mut Terminal {
            input: &mut input.as_bytes(),
            input_is_terminal,
            out: &mut out,
            out_is_terminal: false,
            err: &mut err,
            err_is_terminal: false,
            colours: false,
        };
        let (store, secrets) = (&self.store, &self.secrets);
        let now = Timestamp::UNIX_EPOCH;
        let result = match &cli.command {
            Command::Apply(args) => super::apply::run(args, store, now, terminal).await,
            Command::Validate(files) => validate::run(files, terminal),
            Command::Get(command) => super::get::run(command, store, now, terminal).await,
            Command::Describe(command) => {
                super::describe::run(command, store, secrets, STACK, now, terminal).await
            }
            Command::Retry(args) => super::retry::run(args, store, now, terminal).await,
            Command::Delete(args) => delete::run(args, store, now, terminal).await,
            Command::Cluster(command) => cluster::run(command, store, terminal).await,
            Command::Secret(command) => {
                let prompt = &mut |_: &str| Ok::<_, io::Error>("typed".to_owned());
                let context = secret::Context {
                    store,
                    secrets,
                    stack: STACK,
                    asks_hosts: false,
                };
                secret::run(command, &context, now, prompt, terminal).await
            }
            Command::Connect(args) => {
                let url = Some("https://x.example/");
                let code = super::connect::run(args, store, secrets, STACK, url, terminal).await;
                code.map(drop)
            }
            Command::Import(args) => super::import::run(args, "commitstatus", terminal),
            Command::RootKey(command) => root_key::run(command, store, secrets, STACK, now, terminal).await,
            Command::Rotate(args) => super::rotate::run(args, store, secrets, STACK, now, terminal).await,
        };
        Said {
            result: result.map_err(|error| format!("{error:#}")),
            out: String::from_utf8(out).unwrap(),
            err: String::from_utf8(err).unwrap(),
        }
    }

    async fn secret(&self, name: &str) -> String {
        let secret = self.secrets.current(name).await.unwrap().unwrap();
        secret.expose_secret().to_owned()
    }
}

#[tokio::test]
async fn apply_prints_as_kubectl_does() {
    let operator = Operator::new().await;
    let said = operator.says("apply -f - --cluster dev", FILE).await.ok();
    insta::assert_snapshot!(said.out, @r"
    provider.notification.toolkit.fluxcd.io/github created (namespace flux-system, cluster dev)
    commitstatus.notification.toolkit.fluxcd.io/webapp created (namespace flux-system, cluster dev)
    ");
    insta::assert_snapshot!(said.err, @r#"warning: cluster "dev" is not registered, so its events are dropped; `commitstatus cluster add dev` registers it"#);

    let said = operator.says("apply -f - --cluster dev", FILE).await.ok();
    assert_eq!(said.out.matches(" unchanged (").count(), 2, "{}", said.out);
}

#[tokio::test]
async fn the_example_of_the_rfc_applies_unchanged() {
    let operator = Operator::new().await;
    let said = operator.says("apply -f - --cluster dev", RFC_EXAMPLE).await.ok();
    assert_eq!(
        said.out,
        "commitstatus.notification.toolkit.fluxcd.io/webapp created (namespace flux-system, cluster dev)\n"
    );
}

#[tokio::test]
async fn one_wrong_document_applies_nothing() {
    let operator = Operator::new().await;
    let wrong = format!(
        "{FILE}---\n{}",
        FILE.replace("github,", "gitlab,")
            .replace("webapp,", "other,")
            .replace("prefix", "prefx")
    );
    let error = operator.says("apply -f - --all-clusters", &wrong).await.error();
    insta::assert_snapshot!(error, @r"
    1 mistake in the files, so nothing was done; correct what follows and run the command again
    stdin:25:3: spec.prefx: unknown field; did you mean `prefix`? expected one of providerRef, eventSeverity, trustCommitAnnotation, eventSources, prefix, inclusionList, exclusionList, suspend, summary, eventMetadata, reportProgress, onSuperseded, targetUrl, description
    ");
    let said = operator.says("get commitstatuses", "").await.ok();
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", "nothing applied\n"));
    assert!(
        operator
            .says("validate -f -", &wrong)
            .await
            .error()
            .contains("stdin:25:3")
    );
    let error = operator.says("apply -f - --all-clusters", "---\n").await.error();
    assert_eq!(
        error,
        "no objects in the files; write at least one CommitStatus or Provider"
    );
}

#[tokio::test]
async fn apply_warns_of_what_will_not_do_what_its_author_expects() {
    let operator = Operator::with_root_key().await;
    operator.says("cluster add dev", "").await.ok();
    let rule = FILE.split_once("---\n").unwrap().1;
    let wide = format!("{rule}    - {{kind: Kustomization, name: webapp, namespace: apps}}\n");

    let said = operator.says("apply -f - --cluster dev", &wide).await.ok();
    insta::assert_snapshot!(said.err, @r#"
    warning: CommitStatus flux-system/webapp: no Provider flux-system/github, so its statuses wait as parked; apply one with --cluster dev
    warning: CommitStatus flux-system/webapp: prefix "dev" covers the namespaces apps, flux-system, where objects of one name overwrite each other's status; leave out prefix to have cluster and namespace in it
    warning: cluster "dev" sends no events yet; `commitstatus connect dev | kubectl apply -f -` connects it
    "#);

    operator.says("connect dev", "").await.ok();
    operator.says("apply -f - --all-clusters", FILE).await.ok();
    let said = operator.says("apply -f - --cluster dev", rule).await.ok();
    assert_eq!(
        said.err, "",
        "the all-clusters Provider serves, and the namespace is watched"
    );

    let elsewhere = rule.replace("name: webapp}\n", "name: webapp, namespace: web}\n");
    let said = operator.says("apply -f - --all-clusters", &elsewhere).await.ok();
    insta::assert_snapshot!(said.err, @r#"
    warning: CommitStatus flux-system/webapp: prefix "dev" covers every cluster, where objects of one name overwrite each other's status; leave out prefix to have cluster and namespace in it
    warning: the Alert of cluster "dev" does not watch web; run `commitstatus connect dev | kubectl apply -f -` again
    "#);

    let provider = FILE.split_once("---\n").unwrap().0;
    let same_everywhere = provider.replace("timeout: 30s", "commitStatusExpr: event.involvedObject.name");
    let said = operator
        .says("apply -f - --all-clusters", &same_everywhere)
        .await
        .ok();
    insta::assert_snapshot!(said.err, @"warning: Provider flux-system/github: commitStatusExpr gives the same context in every cluster, so their statuses overwrite each other; add `cluster` to it, or a prefix to the rules of each cluster");
    let example = provider.replace(
        "timeout: 30s",
        "commitStatusExpr: cluster + provider.metadata.uid",
    );
    let said = operator.says("apply -f - --all-clusters", &example).await.ok();
    insta::assert_snapshot!(said.err, @"warning: Provider flux-system/github: commitStatusExpr reads provider.metadata.uid, and this Provider has none, so its statuses wait as parked; set metadata.uid to that of the Provider in the cluster, or name `cluster` instead");
    let apart = provider.replace("timeout: 30s", "commitStatusExpr: cluster + '/' + event.reason");
    let said = operator.says("apply -f - --all-clusters", &apart).await.ok();
    assert_eq!(said.err, "");
}

#[tokio::test]
async fn an_all_clusters_rule_may_use_a_clusters_own_provider() {
    let operator = Operator::new().await;
    let (provider, rule) = FILE.split_once("---\n").unwrap();
    let said = operator.says("apply -f - --all-clusters", rule).await.ok();
    assert!(
        said.err.contains("no Provider flux-system/github"),
        "{}",
        said.err
    );
    operator.says("apply -f - --cluster dev", provider).await.ok();
    let said = operator.says("apply -f - --all-clusters", rule).await.ok();
    assert!(!said.err.contains("no Provider"), "{}", said.err);
}

#[tokio::test]
async fn what_get_prints_can_be_applied_again() {
    let operator = Operator::new().await;
    operator.says("apply -f - --all-clusters", FILE).await.ok();
    for command in ["get providers", "get commitstatuses webapp -n flux-system"] {
        for output in ["yaml", "json"] {
            let said = operator
                .says(&format!("{command} -o {output} --all-clusters"), "")
                .await
                .ok();
            let again = operator.says("apply -f - --all-clusters", &said.out).await.ok();
            assert!(again.out.contains(" unchanged ("), "{} {}", said.out, again.out);
        }
    }
    let said = operator.says("get provider github -o yaml", "").await.ok();
    insta::assert_snapshot!(said.out, @r#"
    apiVersion: notification.toolkit.fluxcd.io/v1beta3
    kind: Provider
    metadata:
      annotations:
        commitstatus/cluster: "*"
      name: github
      namespace: flux-system
    spec:
      address: https://github.com/a/b
      secretRef:
        name: github-token
      suspend: false
      timeout: 30s
      type: github
    "#);
}

#[tokio::test]
async fn get_prints_tables() {
    let operator = Operator::new().await;
    operator.says("apply -f - --all-clusters", FILE).await.ok();
    operator.says("apply -f - --cluster dev", FILE).await.ok();
    insta::assert_snapshot!(operator.says("get commitstatuses", "").await.ok().out, @r#"
    CLUSTER  NAMESPACE    NAME    PROVIDER  SEVERITY  SOURCES                           PREFIX  SUSPENDED  AGE
    *        flux-system  webapp  github    info      Kustomization/flux-system/webapp  dev     false      0s
    dev      flux-system  webapp  github    info      Kustomization/flux-system/webapp  dev     false      0s
    "#);
    insta::assert_snapshot!(operator.says("get providers --cluster dev", "").await.ok().out, @r#"
    CLUSTER  NAMESPACE    NAME    TYPE    ADDRESS                 SECRET        SUSPENDED  AGE
    dev      flux-system  github  github  https://github.com/a/b  github-token  false      0s
    "#);
    assert_eq!(
        operator.says("get providers gitlab", "").await.error(),
        "no Provider \"gitlab\" there; `commitstatus get providers` lists those of every cluster"
    );
}

#[tokio::test]
async fn delete_takes_a_name_or_files() {
    let operator = Operator::new().await;
    operator.says("apply -f - --cluster dev", FILE).await.ok();
    let said = operator
        .says("delete provider github -n flux-system --cluster dev", "")
        .await
        .ok();
    assert_eq!(
        said.out,
        "provider.notification.toolkit.fluxcd.io/github deleted (namespace flux-system, cluster dev)\n"
    );
    let said = operator.says("delete -f - --cluster dev", FILE).await;
    assert_eq!(
        said.out,
        "commitstatus.notification.toolkit.fluxcd.io/webapp deleted (namespace flux-system, cluster dev)\n"
    );
    assert_eq!(
        said.error(),
        "not found for cluster dev: Provider flux-system/github; `commitstatus get commitstatuses` and `commitstatus \
         get providers` list what there is"
    );
}

#[tokio::test]
async fn the_command_line_wants_one_scope_where_something_changes() {
    for command in [
        "apply -f a.yaml",
        "apply -f a.yaml --cluster dev --all-clusters",
        "apply --cluster dev",
        "apply -f a.yaml --cluster Dev",
        "apply -f a.yaml --cluster *",
        "delete provider github -n a",
        "delete provider github --cluster dev",
        "delete provider --cluster dev",
        "delete --cluster dev",
        "secret set a -n b",
        "secret set a --cluster dev",
        "get providers --cluster dev --all-clusters",
        "cluster add a/b",
        "retry",
        "retry --provider github",
        "retry --all -n flux-system",
        "retry --all --commit 5394cb7",
        "retry --provider github -n flux-system --all",
        "retry --all --yes",
        "retry --all --cluster dev --all-clusters",
        "get parked -n flux-system",
        "get parked --cluster Dev",
    ] {
        let words = std::iter::once("commitstatus").chain(command.split_whitespace());
        let error = Cli::try_parse_from(words).expect_err(command);
        assert_eq!(error.exit_code(), 2, "{command}");
    }
}

#[tokio::test]
async fn connect_prints_the_three_objects_with_the_derived_key() {
    let operator = Operator::with_root_key().await;
    operator.says("cluster add dev", "").await.ok();
    operator.says("apply -f - --cluster dev", FILE).await.ok();
    let annotated = FILE.replace("name: webapp,", "name: helm,").replace(
        "    - {kind: Kustomization, name: webapp}\n",
        "    - {kind: HelmRelease, name: podinfo, namespace: apps}\n  trustCommitAnnotation: true\n",
    );
    operator.says("apply -f - --all-clusters", &annotated).await.ok();

    let said = operator.says("connect dev", "").await.ok();
    insta::assert_snapshot!(said.out, @r#"
    # Sends the events of cluster dev to the commit status service. Holds a secret: do not commit it.
    # Flux 2.8.0 to 2.8.5 never send success events to generic providers; fixed in 2.8.6.
    ---
    apiVersion: v1
    kind: Secret
    metadata:
      name: commitstatus
      namespace: "flux-system"
    type: Opaque
    stringData:
      token: "513f45867bba5f47a9dc18f70b8152541f9ca44cd58b81027ad6e35ffb56ded7"
    ---
    apiVersion: notification.toolkit.fluxcd.io/v1beta3
    kind: Provider
    metadata:
      name: commitstatus
      namespace: "flux-system"
    spec:
      type: generic-hmac
      address: "https://x.example/events/dev"
      timeout: 60s
      secretRef:
        name: commitstatus
    ---
    apiVersion: notification.toolkit.fluxcd.io/v1beta3
    kind: Alert
    metadata:
      name: commitstatus
      namespace: "flux-system"
    spec:
      providerRef:
        name: commitstatus
      eventSeverity: info
      eventSources:
        - kind: HelmRelease
          name: "podinfo"
          namespace: "apps"
        - kind: Kustomization
          name: "*"
          namespace: "apps"
        - kind: Kustomization
          name: "*"
          namespace: "flux-system"
    "#);
    assert_eq!(said.err, "");
    let key = derive_cluster_key(&RootKey::new(&ROOT_KEY.into()).unwrap(), "dev", 1);
    assert!(said.out.contains(key.expose_secret()));
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&said.out).unwrap();
    assert_eq!(documents.len(), 3);

    operator.says("cluster revoke dev", "").await.ok();
    let said = operator.says("connect dev --namespace tools", "").await.ok();
    assert!(
        said.out
            .contains("address: \"https://x.example/events/dev?generation=2\""),
        "{}",
        said.out
    );
    assert!(!said.out.contains(key.expose_secret()));
    assert!(said.out.contains("namespace: \"tools\""));
}

#[tokio::test]
async fn connect_repeats_the_objects_in_each_namespace_if_asked() {
    let operator = Operator::with_root_key().await;
    operator.says("cluster add dev", "").await.ok();
    let said = operator
        .says(
            "connect dev --per-namespace -n a -n b --url http://127.0.0.1:9/",
            "",
        )
        .await
        .ok();
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&said.out).unwrap();
    let places: Vec<String> = documents
        .iter()
        .map(|object| format!("{} {}", object["kind"], object["metadata"]["namespace"]).replace('"', ""))
        .collect();
    assert_eq!(
        places,
        [
            "Secret a",
            "Provider a",
            "Alert a",
            "Secret b",
            "Provider b",
            "Alert b"
        ]
    );
    assert_eq!(documents[5]["spec"]["eventSources"].as_array().unwrap().len(), 1);
    assert_eq!(documents[1]["spec"]["address"], "http://127.0.0.1:9/events/dev");
    assert!(said.err.contains("an http:// address"), "{}", said.err);
}

#[tokio::test]
async fn connect_says_what_is_missing() {
    let operator = Operator::new().await;
    assert_eq!(
        operator.says("connect dev", "").await.error(),
        "cluster \"dev\" not found; `commitstatus cluster add dev` registers it"
    );
    operator.says("cluster add dev", "").await.ok();
    assert_eq!(
        operator.says("connect dev", "").await.error(),
        "no root key `commitstatus/root-key`; `commitstatus root-key init` creates it"
    );
    operator.says("root-key init", "").await.ok();
    operator.says("cluster suspend dev", "").await.ok();
    let said = operator.says("connect dev", "").await.ok();
    assert!(
        said.err.starts_with("warning: cluster \"dev\" is suspended"),
        "{}",
        said.err
    );
    for url in [
        "x.example",
        "https://",
        "https://x/?a",
        "https://x/\"y",
        "ftp://x",
    ] {
        let error = operator
            .says(&format!("connect dev --url {url}"), "")
            .await
            .error();
        assert!(error.contains("no address of the service"), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_root_key_is_made_once() {
    let operator = Operator::new().await;
    let said = operator.says("root-key init", "").await.ok();
    assert_eq!(said.out, "secret/commitstatus/root-key created\n");
    let first = operator.secret("commitstatus/root-key").await;
    assert_eq!(first.len(), 64);
    assert!(first.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(RootKey::new(&SecretString::from(first.clone())).is_ok());

    let said = operator.says("root-key init", "").await.ok();
    assert_eq!(said.out, "secret/commitstatus/root-key unchanged\n");
    assert_eq!(operator.secret("commitstatus/root-key").await, first);
    assert!(create_if_absent(&operator.secrets, "another").await.unwrap());
    assert_ne!(operator.secret("another/root-key").await, first);
}

#[tokio::test]
async fn secret_set_takes_values_from_anywhere_but_the_arguments() {
    let operator = Operator::new().await;
    let file = operator.data.path().join("username");
    std::fs::write(&file, "bot\n").unwrap();

    let said = operator
        .says(
            "secret set gh -n apps --all-clusters --from-stdin token",
            "ghp_1\r\n",
        )
        .await
        .ok();
    assert_eq!(
        said.out,
        "secret/commitstatus/providers/_all/apps/gh set (all clusters; keys token)\n"
    );
    assert_eq!(
        operator.secret("commitstatus/providers/_all/apps/gh").await,
        r#"{"token":"ghp_1"}"#
    );

    let command = format!(
        "secret set gh -n apps --cluster dev --key token --from-file username={}",
        file.display()
    );
    operator.says(&command, "").await.ok();
    assert_eq!(
        operator.secret("commitstatus/providers/dev/apps/gh").await,
        r#"{"token":"typed","username":"bot"}"#
    );
}

#[tokio::test]
async fn secret_set_refuses_without_repeating_the_value() {
    let operator = Operator::new().await;
    let cases = [
        (
            "--from-literal token=ghp_1",
            "",
            "a value in an argument stays in the shell's history",
        ),
        (
            "--from-literal=token=ghp_1",
            "",
            "a value in an argument stays in the shell's history",
        ),
        ("", "", "no values; use --key token"),
        (
            "--from-stdin tokn",
            "ghp_1",
            "`tokn` is no key of a Provider's secret; did you mean `token`?",
        ),
        (
            "--from-stdin githubAppPrivateKey",
            "ghp_1",
            "nothing was written: the secret has no `githubAppID`; expected the number of the GitHub App",
        ),
        (
            "--from-stdin ca.crt",
            "ghp_1",
            "nothing was written: `ca.crt` in the secret is not a certificate in PEM form",
        ),
        (
            "--from-stdin address",
            "ghp_1",
            "nothing was written: `address` in the secret is no proxy's; expected http://, https:// or socks5://, and the \
             host and port",
        ),
        (
            "--from-stdin headers",
            "ghp_1",
            "`headers` is not read here: no other headers are sent to a Git host than those its API asks for",
        ),
        ("--from-stdin token", "\n", "the value of `token` is empty"),
        (
            "--key token=ghp_1",
            "",
            "a key holds no `=`; a value in an argument",
        ),
        (
            "--from-stdin token=ghp_1",
            "x",
            "a key holds no `=`; a value in an argument",
        ),
        ("--key token", "ghp_1", "--key asks on a terminal"),
        ("--key token --key token", "", "`token` is given twice"),
        ("--from-file token", "", "--from-file takes KEY=PATH"),
        (
            "--from-file token=/no/such",
            "",
            "cannot read `/no/such`; check the path after token=",
        ),
    ];
    for (arguments, input, expected) in cases {
        let said = operator
            .says(&format!("secret set gh -n apps --cluster dev {arguments}"), input)
            .await;
        let everything = format!("{}{}", said.out, said.err);
        let error = said.error();
        assert!(error.contains(expected), "{arguments}: {error}");
        assert!(
            !error.contains("ghp_1") && !everything.contains("ghp_1"),
            "{arguments}: {error}"
        );
    }
    assert!(!Path::new(&operator.data.path().join("secrets")).exists());
}

#[tokio::test]
async fn get_statuses_says_where_each_stands() {
    let operator = Operator::new().await;
    let sha = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
    let at = 1_786_108_364_000;
    let mut posted = status(sha, "dev/posted");
    posted.posted = Some(shared::item::Posted {
        state: shared::State::Success,
        reason: "ReconciliationSucceeded".into(),
        rev: 1,
        at,
    });
    let mut due = status(sha, "dev/due");
    (due.due, due.due_at, due.attempts) = (Some("due#1".into()), Some(at), 3);
    due.last_error = Some("502\nBad Gateway".into());
    let mut parked = status(sha, "dev/parked");
    (parked.due, parked.due_at, parked.parked) =
        (Some("parked#1".into()), Some(at), Some("no-provider".into()));
    let mut ended = status(sha, "dev/ended");
    ended.ended = Some("unknown-commit".into());
    for status in [&posted, &due, &parked, &ended] {
        operator.store.put_status(status).await;
    }
    let said = operator.says("get statuses 5394CB7", "").await.ok();
    insta::assert_snapshot!(said.out, @r#"
    REPOSITORY      CONTEXT     DESIRED  POSTED   REV  STANDS                                          LAST ERROR
    github.com/a/b  dev/due     success  -        1    due 2026-08-07T13:12:44Z, attempts 3            502 Bad Gateway
    github.com/a/b  dev/ended   success  -        1    ended: unknown-commit                           -
    github.com/a/b  dev/parked  success  -        1    parked since 2026-08-07T13:12:44Z: no-provider  -
    github.com/a/b  dev/posted  success  success  1    posted 2026-08-07T13:12:44Z                     -
    "#);
    assert_eq!(said.err, "");
    let json: serde_json::Value =
        serde_json::from_str(&operator.says("get statuses 5394cb7 -o json", "").await.ok().out).unwrap();
    assert_eq!(json["statuses"].as_array().unwrap().len(), 4);
    let said = operator.says("get statuses 1111111", "").await.ok();
    assert!(
        said.out.is_empty() && said.err.starts_with("no statuses for 1111111"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn clusters_are_listed_with_their_generation() {
    let operator = Operator::with_root_key().await;
    operator.says("cluster add dev", "").await.ok();
    operator.says("cluster add prod", "").await.ok();
    operator.says("cluster revoke prod", "").await.ok();
    operator.says("connect dev -n a -n b", "").await.ok();
    operator.says("cluster suspend dev", "").await.ok();
    insta::assert_snapshot!(operator.says("cluster list", "").await.ok().out, @r#"
    NAME  GENERATION  SUSPENDED  CONNECTED NAMESPACES
    dev   1           true       a, b
    prod  2           false      -
    "#);
    let said = operator.says("cluster resume dev", "").await.ok();
    assert_eq!(said.out, "cluster/dev resumed\n");
    let said = operator.says("cluster resume dev", "").await.ok();
    assert_eq!(said.out, "cluster/dev unchanged\n");
}
