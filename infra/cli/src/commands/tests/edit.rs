//! `edit`, with an editor that the test plays.

use std::fs;
use std::future::pending;
use std::path::PathBuf;

use shared::Scope;

use super::*;
use crate::app::{self, Person, Stack};
use crate::object::{Kind, Object};
use crate::store::tests::objects;

const EDIT: &str = "edit commitstatus webapp -n flux-system --cluster dev";

type Edit = fn(String) -> String;

/// What a command said, and what the process would exit with.
pub(super) struct Asked {
    pub code: Result<u8, String>,
    pub failure_code: u8,
    pub out: String,
    pub err: String,
}

impl Operator {
    /// As [`Operator::says`], with the code.
    pub(super) async fn asks(&self, command: &str, input: &str) -> Asked {
        self.asks_with(command, input, false, &mut |_| Ok(false)).await
    }

    pub(super) async fn asks_in_colours(&self, command: &str, input: &str) -> Asked {
        self.asks_with(command, input, true, &mut |_| Ok(false)).await
    }

    async fn asks_with(
        &self,
        command: &str,
        input: &str,
        colours: bool,
        editor: &mut dyn FnMut(&Path) -> io::Result<bool>,
    ) -> Asked {
        let words = std::iter::once("commitstatus").chain(command.split_whitespace());
        let cli = app::Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let terminal = &mut Terminal {
            input: &mut input.as_bytes(),
            input_is_terminal: input.is_empty(),
            out: &mut out,
            out_is_terminal: colours,
            err: &mut err,
            err_is_terminal: false,
            colours,
        };
        let stack = Stack {
            store: &self.store,
            queues: None,
            secrets: &self.secrets,
            function_url: None,
            asks_hosts: false,
        };
        let person = Person {
            prompt: &mut |_: &str| Ok(String::new()),
            editor,
        };
        let code = app::run(&cli, &stack, Timestamp::UNIX_EPOCH, person, pending(), terminal).await;
        Asked {
            code: code.map_err(|error| format!("{error:#}")),
            failure_code: cli.failure_code(),
            out: String::from_utf8(out).unwrap(),
            err: String::from_utf8(err).unwrap(),
        }
    }

    async fn edits(&self, command: &str, edit: impl FnOnce(String) -> String) -> Asked {
        let mut edit = Some(edit);
        let mut editor = |file: &Path| {
            let text = fs::read_to_string(file)?;
            fs::write(file, edit.take().unwrap()(text))?;
            Ok(true)
        };
        self.asks_with(command, "", false, &mut editor).await
    }

    async fn with_file() -> Self {
        let operator = Self::new().await;
        operator.says("apply -f - --cluster dev", FILE).await.ok();
        operator
    }

    async fn prefix(&self) -> String {
        let said = self
            .says("get commitstatus webapp -o json --cluster dev", "")
            .await
            .ok();
        let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        json["spec"]["prefix"].as_str().unwrap().to_owned()
    }
}

/// The file an error names; it goes with the test.
fn kept(error: &str) -> (PathBuf, String) {
    let (_, rest) = error
        .split_once("your text is kept in ")
        .unwrap_or_else(|| panic!("{error}"));
    let path = PathBuf::from(rest.split_once(": ").unwrap().0);
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    (path, text)
}

#[tokio::test]
async fn what_was_edited_is_applied() {
    let operator = Operator::with_file().await;
    let mut shown = (String::new(), PathBuf::new(), 0);
    let mut editor = |file: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        let text = fs::read_to_string(file)?;
        let mode = fs::metadata(file)?.permissions().mode();
        // As editors do that never write in place.
        let other = file.with_extension("new");
        fs::write(&other, text.replace("prefix: dev", "prefix: prod"))?;
        fs::rename(other, file)?;
        shown = (text, file.to_owned(), mode & 0o777);
        Ok(true)
    };
    let asked = operator.asks_with(EDIT, "", false, &mut editor).await;

    assert_eq!(asked.code, Ok(0));
    assert_eq!(
        asked.out,
        "commitstatus.notification.toolkit.fluxcd.io/webapp edited (namespace flux-system, cluster dev)\n"
    );
    assert!(
        asked.err.contains("cluster \"dev\" is not registered"),
        "it warns as apply does: {}",
        asked.err
    );
    assert_eq!(operator.prefix().await, "prod");
    let (text, file, mode) = shown;
    assert_eq!(mode, 0o600);
    assert!(!file.exists(), "{}", file.display());
    assert_eq!(file.extension().unwrap(), "yaml");
    insta::assert_snapshot!(text, @r#"
    # CommitStatus flux-system/webapp, applied for cluster dev. Edit it, save it and leave the editor, and it is applied.
    # Lines that begin with a '#' are ignored. Saved as it is, or empty, it changes nothing.
    #
    apiVersion: notification.toolkit.fluxcd.io/v1beta1
    kind: CommitStatus
    metadata:
      annotations:
        commitstatus/cluster: dev
      name: webapp
      namespace: flux-system
    spec:
      eventSeverity: info
      eventSources:
      - kind: Kustomization
        name: webapp
      onSuperseded: close
      prefix: dev
      providerRef:
        name: github
      reportProgress: true
      suspend: false
      trustCommitAnnotation: false
    "#);
}

#[tokio::test]
async fn an_edit_that_changes_nothing_is_cancelled() {
    let operator = Operator::with_file().await;
    let edits: [Edit; 4] = [
        |text| text,
        |_| String::new(),
        |_| "# never mind\n\n  # at all\n".to_owned(),
        |text| text + "# a comment\n",
    ];
    for edit in edits {
        let asked = operator.edits(EDIT, edit).await;
        assert_eq!(
            (asked.code, asked.out.as_str(), asked.err.as_str()),
            (Ok(0), "", "edit cancelled, no changes made\n")
        );
    }
    assert_eq!(operator.prefix().await, "dev");
}

#[tokio::test]
async fn what_is_wrong_is_kept_to_go_on_from() {
    let operator = Operator::with_file().await;
    let asked = operator
        .edits(EDIT, |text| text.replace("prefix:", "prefx:"))
        .await;
    let error = asked.code.unwrap_err();
    let (path, text) = kept(&error);
    let path = path.display();
    assert!(
        error.starts_with(&format!(
            "1 mistake in what was edited, so nothing was changed; your text is kept in {path}: correct it there, and \
             `commitstatus apply -f {path} --cluster dev` applies it\n{path}:"
        )),
        "{error}"
    );
    assert!(
        error.contains("spec.prefx: unknown field; did you mean `prefix`?"),
        "{error}"
    );
    assert!(text.contains("prefx: dev"), "{text}");
    assert_eq!(operator.prefix().await, "dev");
}

#[tokio::test]
async fn an_edit_stays_with_its_object() {
    let operator = Operator::with_file().await;
    let edits: [(&str, Edit); 3] = [
        (
            "CommitStatus flux-system/other where CommitStatus flux-system/webapp was to be edited, so nothing was \
             changed: kind, namespace and name stay as they are; ",
            |text| text.replace("name: webapp\n", "name: other\n"),
        ),
        (
            "CommitStatus apps/webapp where CommitStatus flux-system/webapp was to be edited",
            |text| text.replace("namespace: flux-system", "namespace: apps"),
        ),
        (
            "2 objects where CommitStatus flux-system/webapp alone was to be edited",
            |text| format!("{text}---\n{}", text.replace("name: webapp", "name: other")),
        ),
    ];
    for (expected, edit) in edits {
        let asked = operator.edits(EDIT, edit).await;
        let error = asked.code.unwrap_err();
        kept(&error);
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(operator.prefix().await, "dev");
    assert_eq!(
        operator.store.list(Kind::CommitStatus, None).await.unwrap().len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_over_somebody_elses_is_refused_and_kept() {
    let operator = Operator::with_file().await;
    let theirs: Vec<Object> = objects(&FILE.replace("prefix: dev", "prefix: theirs"));
    let (store, scope) = (operator.store.clone(), Scope::Cluster("dev".into()));
    let mut editor = |file: &Path| {
        let text = fs::read_to_string(file)?;
        fs::write(file, text.replace("prefix: dev", "prefix: mine"))?;
        let apply = store.apply(&scope, &theirs, Timestamp::UNIX_EPOCH);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(apply)).unwrap();
        Ok(true)
    };
    let asked = operator.asks_with(EDIT, "", false, &mut editor).await;
    let error = asked.code.unwrap_err();
    let (_, text) = kept(&error);
    assert!(text.contains("prefix: mine"), "{text}");
    assert!(
        error.starts_with("nothing was changed; your text is kept in ")
            && error.contains(": `commitstatus diff -f /")
            && error.contains(": somebody else changed CommitStatus flux-system/webapp meanwhile"),
        "{error}"
    );
    assert_eq!(operator.prefix().await, "theirs");
    assert_eq!(asked.out, "");
}

#[tokio::test]
async fn an_editor_that_fails_changes_nothing() {
    let operator = Operator::with_file().await;
    let asked = operator
        .asks_with(EDIT, "", false, &mut |_| {
            Err(io::Error::new(io::ErrorKind::NotFound, "`nope` did not start"))
        })
        .await;
    let error = asked.code.unwrap_err();
    assert!(
        error.contains("nothing was changed; name one that can in EDITOR"),
        "{error}"
    );

    let asked = operator.asks_with(EDIT, "", false, &mut |_| Ok(false)).await;
    assert_eq!(
        asked.code.unwrap_err(),
        "the editor ended with an error; nothing was changed"
    );
    let mut fails_late = |file: &Path| {
        fs::write(file, "half")?;
        Ok(false)
    };
    let asked = operator.asks_with(EDIT, "", false, &mut fails_late).await;
    let (_, text) = kept(&asked.code.unwrap_err());
    assert_eq!(text, "half");
    let mut binary = |file: &Path| {
        fs::write(file, [0xff, 0xfe])?;
        Ok(true)
    };
    let asked = operator.asks_with(EDIT, "", false, &mut binary).await;
    let error = asked.code.unwrap_err();
    assert!(error.starts_with("what was edited is not UTF-8"), "{error}");
    let path = error
        .split_once("kept in ")
        .unwrap()
        .1
        .split_once(": ")
        .unwrap()
        .0;
    fs::remove_file(path).unwrap();
    let mut removes = |file: &Path| fs::remove_file(file).map(|()| true);
    let asked = operator.asks_with(EDIT, "", false, &mut removes).await;
    assert!(
        asked
            .code
            .unwrap_err()
            .starts_with("what was edited cannot be read")
    );
    assert_eq!(operator.prefix().await, "dev");
}

#[tokio::test]
async fn what_is_not_applied_cannot_be_edited() {
    let operator = Operator::with_file().await;
    let mut is_asked = false;
    let mut editor = |_: &Path| {
        is_asked = true;
        Ok(true)
    };
    let command = "edit provider gitlab -n flux-system --all-clusters";
    let asked = operator.asks_with(command, "", false, &mut editor).await;
    assert_eq!(
        asked.code.unwrap_err(),
        "no Provider flux-system/gitlab for all clusters; `commitstatus get providers` lists those of every cluster"
    );
    assert!(!is_asked);
}
