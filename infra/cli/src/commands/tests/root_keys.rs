//! Rotation of the root key, with both stores.

use std::future::pending;

use super::*;
use crate::app::{self, Person, Stack};
use crate::root_key::{RootKeyError, rotate, stages};
use crate::secrets::tests::secrets_manager;

/// A tool over one of the stores.
struct Tool<S> {
    store: Store,
    secrets: S,
    /// All it said but what `connect` printed.
    said: String,
}

impl<S: SecretStore> Tool<S> {
    /// With a root key, and clusters that are connected.
    async fn new(secrets: S, clusters: &[&str]) -> Self {
        let store = engine().await;
        let mut tool = Self {
            store,
            secrets,
            said: String::new(),
        };
        tool.says("root-key init").await.ok();
        for cluster in clusters {
            tool.says(&format!("cluster add {cluster}")).await.ok();
            tool.says(&format!("connect {cluster}")).await.ok();
        }
        tool
    }

    async fn says(&mut self, command: &str) -> Said {
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
            store: &self.store,
            queues: None,
            secrets: &self.secrets,
            function_url: Some("https://x.example/"),
            asks_hosts: false,
        };
        let person = Person {
            prompt: &mut |_: &str| Ok(String::new()),
            editor: &mut |_: &Path| Ok(false),
        };
        let result = app::run(&cli, &stack, NOW, person, pending(), terminal).await;
        let said = Said {
            result: result.map(drop).map_err(|error| format!("{error:#}")),
            out: String::from_utf8(out).unwrap(),
            err: String::from_utf8(err).unwrap(),
        };
        if !command.starts_with("connect") {
            self.said += &format!("{} {} {:?}\n", said.out, said.err, said.result);
        }
        said
    }

    async fn key(&self) -> String {
        let key = self
            .secrets
            .current(&root_key_name(STACK))
            .await
            .unwrap()
            .unwrap();
        key.expose_secret().to_owned()
    }

    /// What `root-key status` says of each cluster.
    async fn origins(&mut self) -> Vec<String> {
        let said = self.says("root-key status -o json").await.ok();
        let status: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        let clusters = status["clusters"].as_array().unwrap().iter();
        clusters
            .map(|cluster| format!("{} {}", cluster["name"], cluster["root_key"]).replace('"', ""))
            .collect()
    }
}

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

macro_rules! with_both {
    ($($test:ident => $story:ident;)*) => {$(
        #[tokio::test]
        async fn $test() {
            let data = tempfile::tempdir().unwrap();
            $story(FileSecrets::new(data.path())).await;
            $story(secrets_manager().await).await;
        }
    )*};
}

with_both! {
    p9_no_cluster_is_locked_out_unless_that_is_forced => whole_way;
    a_rotation_whose_end_nobody_saw_shows_and_is_not_repeated => interrupted;
    of_two_operators_who_rotate_at_once_one_is_told => at_once;
    force_locks_out_and_says_later_whom => forced;
    a_cluster_that_has_no_key_is_in_nobodys_way => without_key;
}

async fn whole_way(secrets: impl SecretStore) {
    let mut tool = Tool::new(secrets, &["dev", "prod"]).await;
    let first = tool.key().await;
    assert_eq!(tool.origins().await, ["dev current", "prod current"]);

    let said = tool.says("root-key rotate").await.ok();
    assert_eq!(said.out, "secret/commitstatus/root-key rotated\n");
    assert!(said.err.ends_with(
        "  commitstatus connect dev | kubectl apply -f -\n  commitstatus connect prod | kubectl apply -f -\n"
    ));
    let second = tool.key().await;
    assert_ne!(first, second);
    assert_eq!(tool.origins().await, ["dev previous", "prod previous"]);

    tool.says("connect prod").await.ok();
    for command in ["root-key rotate", "root-key retire"] {
        assert_eq!(
            tool.says(command).await.error(),
            "not connected since the last rotation, or still sending with the key from before, and locked out by this: \
             dev; `commitstatus connect NAME | kubectl apply -f -` gives a cluster its new key, --force locks them out"
        );
        assert_eq!(tool.key().await, second);
    }
    assert_eq!(tool.origins().await, ["dev previous", "prod current"]);

    tool.says("connect dev").await.ok();
    let said = tool.says("root-key retire").await.ok();
    assert_eq!(
        said.out,
        "secret/commitstatus/root-key retired the root key before this one\n"
    );
    assert_eq!(
        said.err,
        "functions that are warm go on accepting it for at most 5 minutes\n"
    );
    let said = tool.says("root-key retire").await.ok();
    assert_eq!(said.out, "secret/commitstatus/root-key unchanged\n");
    assert_eq!(tool.key().await, second);

    tool.says("root-key rotate").await.ok();
    for key in [first, second, tool.key().await] {
        assert!(!tool.said.contains(&key), "{}", tool.said);
    }
}

/// The secret was written, and the tool was killed before it could say so.
async fn interrupted(secrets: impl SecretStore) {
    let mut tool = Tool::new(secrets, &["dev"]).await;
    let before = stages(&tool.secrets, STACK).await.unwrap();
    rotate(&tool.secrets, STACK, &before, NOW).await.unwrap();
    let key = tool.key().await;

    assert!(
        tool.says("root-key rotate")
            .await
            .error()
            .contains("locked out by this: dev;")
    );
    assert_eq!(tool.key().await, key);
    let said = tool.says("root-key status").await.ok();
    assert!(
        said.out.contains("the one before it is accepted too"),
        "{}",
        said.out
    );
    assert_eq!(
        said.err,
        "`commitstatus connect dev | kubectl apply -f -` gives dev its new key\n"
    );
}

async fn at_once(secrets: impl SecretStore) {
    let tool = Tool::new(secrets, &["dev"]).await;
    let seen_by_both = stages(&tool.secrets, STACK).await.unwrap();
    rotate(&tool.secrets, STACK, &seen_by_both, NOW).await.unwrap();
    let key = tool.key().await;

    let error = rotate(&tool.secrets, STACK, &seen_by_both, NOW)
        .await
        .unwrap_err();

    assert!(matches!(error, RootKeyError::Changed(_)), "{error}");
    assert_eq!(tool.key().await, key);
    let now = stages(&tool.secrets, STACK).await.unwrap();
    assert_eq!(now.previous.unwrap().id, seen_by_both.current.id);
}

async fn forced(secrets: impl SecretStore) {
    let mut tool = Tool::new(secrets, &["dev", "prod"]).await;
    tool.says("root-key rotate").await.ok();
    tool.says("connect prod").await.ok();
    tool.says("root-key retire --force").await.ok();
    assert_eq!(tool.origins().await, ["dev gone", "prod current"]);
    let said = tool.says("root-key status").await.ok();
    assert!(
        said.err.starts_with("`commitstatus connect dev |"),
        "{}",
        said.err
    );

    tool.says("root-key rotate").await.ok();
    tool.says("root-key rotate --force").await.ok();
    assert_eq!(tool.origins().await, ["dev gone", "prod gone"]);
}

async fn without_key(secrets: impl SecretStore) {
    let mut tool = Tool::new(secrets, &["dev"]).await;
    tool.says("cluster add new").await.ok();
    tool.says("root-key rotate").await.ok();
    // Its old key is dead, and `connect` will give it one of the new root key.
    tool.says("cluster revoke dev").await.ok();

    tool.says("root-key rotate").await.ok();

    assert_eq!(tool.origins().await, ["dev none", "new none"]);
}

#[tokio::test]
async fn status_says_since_when_and_for_whom() {
    let data = tempfile::tempdir().unwrap();
    let mut tool = Tool::new(FileSecrets::new(data.path()), &["dev", "prod"]).await;
    insta::assert_snapshot!(tool.says("root-key status").await.ok().out, @r"
    secret/commitstatus/root-key in force; no other is accepted
    CLUSTER  ROOT KEY
    dev      current
    prod     current
    ");
    tool.says("root-key rotate").await.ok();
    tool.says("connect prod").await.ok();
    tool.says("cluster add new").await.ok();
    let said = tool.says("root-key status").await.ok();
    insta::assert_snapshot!(said.out, @r"
    secret/commitstatus/root-key in force since 1970-01-01T00:00:00Z; the one before it is accepted too
    CLUSTER  ROOT KEY
    dev      previous
    new      -
    prod     current
    ");

    let empty = tempfile::tempdir().unwrap();
    let mut tool = Tool {
        store: engine().await,
        secrets: FileSecrets::new(empty.path()),
        said: String::new(),
    };
    for command in ["root-key status", "root-key rotate", "root-key retire"] {
        assert_eq!(
            tool.says(command).await.error(),
            "no root key `commitstatus/root-key`; `commitstatus root-key init` creates it"
        );
    }
}

/// A terminal that went away.
struct Closed;

impl io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_key_that_could_not_be_printed_is_not_one_the_cluster_has() {
    let data = tempfile::tempdir().unwrap();
    let mut tool = Tool::new(FileSecrets::new(data.path()), &["dev"]).await;
    tool.says("root-key rotate").await.ok();
    let cli = app::Cli::try_parse_from(["commitstatus", "connect", "dev"]).unwrap();
    let app::Command::Connect(args) = &cli.command else {
        panic!("{cli:?}");
    };
    let terminal = &mut Terminal {
        input: &mut io::empty(),
        input_is_terminal: false,
        out: &mut Closed,
        out_is_terminal: false,
        err: &mut Vec::new(),
        err_is_terminal: false,
        colours: false,
    };

    let url = Some("https://x.example/");
    let result = crate::commands::connect::run(args, &tool.store, &tool.secrets, STACK, url, terminal).await;

    assert!(result.is_err());
    assert_eq!(tool.origins().await, ["dev previous"]);
}
