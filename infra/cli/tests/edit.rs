//! `edit` and `diff` of the binary itself: the operator's editor is run, and scripts read the exit code.

#![expect(clippy::unwrap_used, reason = "what surrounds a test fails with it")]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use cli::local_instance::{LocalInstance, dynamodb_client};
use cli::store::{create_tables, rules_table, statuses_table};

const FILE: &str = "\
apiVersion: notification.toolkit.fluxcd.io/v1beta1
kind: CommitStatus
metadata: {name: webapp, namespace: flux-system}
spec:
  providerRef: {name: github}
  prefix: dev
  eventSources: [{kind: Kustomization, name: webapp}]
";
const EDIT: &str = "edit commitstatus webapp -n flux-system --cluster dev";

/// The tool of an operator with the local service and with an editor.
struct Tool {
    data: tempfile::TempDir,
    editor: (&'static str, String),
}

impl Tool {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let instance = LocalInstance {
            dynamodb: format!("http://{}", listener.local_addr().unwrap()),
            function_url: "http://127.0.0.1:8080/".into(),
            sqs: None,
        };
        tokio::spawn(dynoxide::server::serve_on(
            listener,
            dynoxide::Database::memory().unwrap(),
        ));
        let client = dynamodb_client(&instance.dynamodb);
        let stack = "commitstatus";
        create_tables(&client, &rules_table(stack), &statuses_table(stack))
            .await
            .unwrap();
        instance.write(data.path()).unwrap();
        Self {
            data,
            editor: ("EDITOR", "false".into()),
        }
    }

    /// An editor that is a shell script.
    fn script(&self, name: &str, script: &str) -> String {
        let path = self.data.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &str, input: &str) -> (i32, String, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_commitstatus"))
            .arg("--local")
            .args(arguments.split_whitespace())
            .env_clear()
            .env("COMMITSTATUS_DATA_DIR", self.data.path())
            .env("PATH", "/usr/bin:/bin")
            .env("TMPDIR", self.data.path())
            .env(self.editor.0, &self.editor.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that fails early does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }
}

fn drafts(data: &Path) -> Vec<String> {
    let names = std::fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.to_str().unwrap().to_owned());
    names.filter(|name| name.starts_with("commitstatus-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn edit_runs_the_operators_editor() {
    let mut tool = Tool::new().await;
    assert_eq!(tool.run("apply -f - --cluster dev", FILE).0, 0);

    // With arguments, as `code --wait` has them.
    let editor = tool.script("editor", r#"exec sed -i "s/$1/$2/" "$3""#);
    tool.editor = ("VISUAL", format!("{editor} dev prod"));
    let (code, out, err) = tool.run(EDIT, "");
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        out,
        "commitstatus.notification.toolkit.fluxcd.io/webapp edited (namespace flux-system, cluster dev)\n"
    );
    assert!(drafts(tool.data.path()).is_empty());

    tool.editor = ("EDITOR", format!("{editor} prefix: prefx:"));
    let (code, _, err) = tool.run(EDIT, "");
    assert_eq!(code, 1);
    assert!(err.contains("did you mean `prefix`?"), "{err}");
    let [draft] = drafts(tool.data.path()).try_into().unwrap();
    let draft = tool.data.path().join(draft);
    assert!(std::fs::read_to_string(&draft).unwrap().contains("prefx: prod"));
    std::fs::remove_file(draft).unwrap();

    tool.editor = ("EDITOR", "false".into());
    let (code, out, err) = tool.run(EDIT, "");
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(
        err,
        "error: the editor ended with an error; nothing was changed\n"
    );
    tool.editor = ("EDITOR", "no-such-editor --wait".into());
    let (code, _, err) = tool.run(EDIT, "");
    assert_eq!(code, 1);
    assert!(err.contains("`no-such-editor` did not start"), "{err}");
    assert!(drafts(tool.data.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn diff_says_with_its_exit_code_whether_anything_would_change() {
    let tool = Tool::new().await;
    let diff = "diff -f - --cluster dev";
    assert_eq!(tool.run(diff, FILE).0, 1);
    assert_eq!(tool.run("apply -f - --cluster dev", FILE).0, 0);
    assert_eq!(tool.run(diff, FILE), (0, String::new(), String::new()));
    let (code, out, _) = tool.run(diff, &FILE.replace("prefix: dev", "prefix: prod"));
    assert_eq!(code, 1);
    assert!(out.contains("\n-  prefix: dev\n+  prefix: prod\n"), "{out}");
    assert_eq!(tool.run(diff, &FILE.replace("prefix", "prefx")).0, 2);
}
