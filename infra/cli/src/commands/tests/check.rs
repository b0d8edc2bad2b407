//! `check`, against a stack.

use std::future::pending;

use aws_sdk_secretsmanager::error::{ErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_sdk_secretsmanager::operation::list_secret_version_ids::ListSecretVersionIdsError;

use super::edit::Asked;
use super::*;
use crate::app::{self, Person, Stack};
use crate::secrets::{Current, SecretError, Stages};
use crate::store::tests::parked;

const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

#[tokio::test]
async fn a_new_stack_says_what_to_do_first() {
    let operator = Operator::new().await;
    let Asked { code, out, err, .. } = operator.asks("check", "").await;
    assert_eq!(code, Ok(1));
    insta::assert_snapshot!(out, @"
    problem   root key   there is none, so no event is taken; `commitstatus root-key init` creates it
    warning   clusters   none is registered; `commitstatus cluster add NAME` registers one
    ok        providers  none
    ok        rules      none
    ok        statuses   none
    problem   queues     the local service is of a release whose queues cannot be reached; start this one; what they hold is not known
    ");
    assert_eq!(err, "2 problems, 1 warning\n");
}

#[tokio::test]
async fn what_is_read_is_told() {
    let operator = Operator::with_root_key().await;
    operator.says("cluster add dev", "").await.ok();
    operator.says("apply -f - --cluster dev", FILE).await.ok();
    operator.store.put_item(parked(SHA, "dev/a", "forbidden")).await;
    let said = operator.asks("check -o json", "").await;
    assert_eq!(said.code, Ok(1));
    let value: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(value["well"], false);
    let findings: Vec<String> = value["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| format!("{} {}", finding["area"], finding["problem"]))
        .collect();
    assert!(
        findings.contains(&"\"statuses\" \"1 parked: forbidden\"".to_owned()),
        "{findings:?}"
    );
    assert!(
        findings.iter().any(|finding| finding.starts_with("\"queues\"")),
        "{findings:?}"
    );
}

/// A store of secrets that shows them to nobody.
pub(super) struct Denying(pub &'static str);

impl Denying {
    fn metadata(&self) -> ErrorMetadata {
        let error = ErrorMetadata::builder().code("AccessDeniedException");
        error.message(self.0).build()
    }

    fn failed<T>(
        action: &'static str,
        name: &str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Result<T, SecretError> {
        Err(SecretError {
            action,
            name: name.to_owned(),
            source: SdkError::service_error(source, ()).into(),
        })
    }
}

impl SecretStore for Denying {
    async fn current_version(&self, name: &str) -> Result<Option<Current>, SecretError> {
        Self::failed("reading", name, GetSecretValueError::generic(self.metadata()))
    }

    async fn stages(&self, name: &str) -> Result<Option<Stages>, SecretError> {
        let error = ListSecretVersionIdsError::generic(self.metadata());
        Self::failed("listing the versions of", name, error)
    }

    async fn create(&self, _: &str, _: &SecretString) -> Result<bool, SecretError> {
        unreachable!("nothing is written")
    }

    async fn put(&self, _: &str, _: &SecretString) -> Result<(), SecretError> {
        unreachable!("nothing is written")
    }

    async fn rotate(&self, _: &str, _: &str, _: &SecretString, _: Timestamp) -> Result<bool, SecretError> {
        unreachable!("nothing is written")
    }

    async fn retire(&self, _: &str, _: &str) -> Result<bool, SecretError> {
        unreachable!("nothing is written")
    }
}

/// What a command prints that may ask hosts, and its code.
pub(super) async fn asks_over(store: &Store, secrets: &impl SecretStore, command: &str) -> (u8, String) {
    let words = std::iter::once("commitstatus").chain(command.split_whitespace());
    let cli = app::Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
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
    let stack = Stack {
        store,
        queues: None,
        secrets,
        function_url: None,
        asks_hosts: true,
    };
    let person = Person {
        prompt: &mut |_: &str| Ok(String::new()),
        editor: &mut |_| Ok(false),
    };
    let code = app::run(&cli, &stack, Timestamp::UNIX_EPOCH, person, pending(), terminal).await;
    let code = code.unwrap_or_else(|error| panic!("{error:#}"));
    (code, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn secrets_that_cannot_be_read_hide_nothing_else() {
    let operator = Operator::with_root_key().await;
    operator.says("cluster add dev", "").await.ok();
    operator.says("apply -f - --cluster dev", FILE).await.ok();
    operator.store.put_item(parked(SHA, "dev/a", "forbidden")).await;
    let finds = async |secrets: &Denying| {
        let (code, out) = asks_over(&operator.store, secrets, "check").await;
        assert_eq!(code, 1);
        assert!(out.contains("statuses   1 parked: forbidden"), "{out}");
        let with = |area: &str| out.lines().find(|line| line.contains(area)).unwrap().to_owned();
        (with("  root key  "), with("  providers  "))
    };
    let (root_key, provider) = finds(&Denying("so it is")).await;
    assert!(
        root_key.starts_with(
            "warning   root key   not known: listing the versions of secret `commitstatus/root-key` failed: "
        ) && root_key.ends_with("; reading it takes secretsmanager:ListSecretVersionIds"),
        "{root_key}"
    );
    assert!(
        provider.starts_with("warning   providers  dev/flux-system/github: not known: ")
            && provider.contains("`commitstatus/providers/dev/flux-system/github-token` failed: ")
            && provider.ends_with("; reading it takes secretsmanager:GetSecretValue"),
        "{provider}"
    );
    let (_, provider) = finds(&Denying("Access to KMS is not allowed")).await;
    assert!(provider.ends_with("; reading it takes kms:Decrypt"), "{provider}");

    // Of files no right is missing.
    for name in ["root-key", "providers/dev/flux-system/github-token"] {
        operator.breaks_secret(name);
    }
    let (code, out) = asks_over(&operator.store, &operator.secrets, "check").await;
    assert_eq!(code, 1);
    assert_eq!(
        out.matches("the file holds no versions of a secret; mend that")
            .count(),
        2,
        "{out}"
    );
    assert_eq!(
        out.matches("problem   root key   not known: ").count(),
        1,
        "{out}"
    );
    assert!(!out.contains("secretsmanager:"), "{out}");
}

impl Operator {
    /// Leaves a file that is none of ours.
    pub(super) fn breaks_secret(&self, name: &str) {
        let path = self.data.path().join(format!("secrets/{STACK}/{name}.json"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "{").unwrap();
    }
}

#[tokio::test]
async fn a_secret_that_is_missing_says_how_it_is_written() {
    let operator = Operator::with_root_key().await;
    operator.says("cluster add dev", "").await.ok();
    operator.says("apply -f - --cluster dev", FILE).await.ok();
    let (_, out) = asks_over(&operator.store, &operator.secrets, "check").await;
    let line = out.lines().find(|line| line.contains("  providers  ")).unwrap();
    assert_eq!(
        line,
        "problem   providers  dev/flux-system/github: there is no secret dev/flux-system/github-token; \
         `commitstatus secret set github-token -n flux-system --cluster dev` writes it"
    );
    // Nobody is asked while it is held.
    operator
        .store
        .put_item(serde_json::json!({
            "pk": "credential#dev/flux-system/github-token", "sk": "-", "hold_until": 40_000, "holds": 2,
            "hold_reason": "rate limited",
        }))
        .await;
    let (_, out) = asks_over(&operator.store, &operator.secrets, "check").await;
    assert!(!out.contains("there is no secret"), "{out}");
    assert!(
        out.contains("is held for 40s: rate limited (1 repository not asked: held);"),
        "{out}"
    );
}

#[tokio::test]
async fn the_tables_are_read_once() {
    let mut operator = Operator::with_root_key().await;
    operator.says("cluster add dev", "").await.ok();
    for scope in ["--cluster dev", "--cluster prod", "--all-clusters"] {
        operator.says(&format!("apply -f - {scope}"), FILE).await.ok();
    }
    let (store, calls) = operator.store.counted();
    operator.store = store;
    operator.asks("check", "").await.code.unwrap();
    let counts = ["Scan statuses", "BatchGetItem statuses", "GetItem statuses"].map(|call| calls.count(call));
    assert_eq!(counts, [1, 1, 0]);
}
