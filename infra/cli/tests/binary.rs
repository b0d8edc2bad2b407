//! The binary itself, against a DynamoDB in this process.

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
  eventSources: [{kind: Kustomization, name: webapp}]
";

fn commitstatus(data_dir: &Path, arguments: &str, input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_commitstatus"))
        .args(arguments.split_whitespace())
        .env_clear()
        .env("COMMITSTATUS_DATA_DIR", data_dir)
        .env("COMMITSTATUS_URL", "https://aws.example/")
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

async fn running_instance(data_dir: &Path) {
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
    instance.write(data_dir).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sets_up_a_cluster_on_this_machine() {
    let data = tempfile::tempdir().unwrap();
    running_instance(data.path()).await;
    let run = |arguments: &str, input: &str| {
        let (code, out, err) = commitstatus(data.path(), arguments, input);
        assert_eq!(code, 0, "{arguments}: {err}");
        out
    };

    run("root-key init --local", "");
    run("--local cluster add dev", "");
    run(
        "--local secret set github-token -n flux-system --cluster dev --from-stdin token",
        "ghp_1\n",
    );
    let applied = run("--local apply -f - --cluster dev", FILE);
    assert_eq!(
        applied,
        "commitstatus.notification.toolkit.fluxcd.io/webapp created (namespace flux-system, cluster dev)\n"
    );
    let manifests = run("--local connect dev", "");
    assert!(
        manifests.contains("address: \"http://127.0.0.1:8080/events/dev\""),
        "{manifests}"
    );
    run("--local get commitstatuses -o json", "");
    let (code, _, err) = commitstatus(data.path(), "--local dlq list", "");
    assert!(
        code == 1 && err.contains("dead letters cannot be reached; stop it"),
        "{err}"
    );

    let secret = "secrets/commitstatus/providers/dev/flux-system/github-token.json";
    let secret = data.path().join(secret);
    assert_eq!(
        std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn failures_exit_with_one_and_misuse_with_two() {
    let data = tempfile::tempdir().unwrap();
    let (code, out, err) = commitstatus(data.path(), "--local cluster list", "");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("error: no local service runs"), "{err}");
    assert!(err.contains("cargo run -p local"), "{err}");

    let (code, _, err) = commitstatus(data.path(), "validate -f -", "kind: Alert\napiVersion: x\n");
    assert_eq!(code, 1);
    assert!(err.contains("\nstdin:1:7: kind: an Alert stays"), "{err}");

    let literal = "secret set a -n b --cluster c --from-literal token=ghp_1";
    let (code, _, err) = commitstatus(data.path(), literal, "");
    assert_eq!(code, 2);
    assert!(err.contains("shell's history") && !err.contains("ghp_1"), "{err}");
    assert_eq!(commitstatus(data.path(), "apply -f a.yaml", "").0, 2);
}
