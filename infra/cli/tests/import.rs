//! What `import` prints to be copied, run by a shell.

#![expect(clippy::unwrap_used, reason = "what surrounds a test fails with it")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use cli::local_instance::{LocalInstance, dynamodb_client};
use cli::store::{create_tables, rules_table, statuses_table};
use serde_json::{Value, json};

const OLD: &str = "\
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: git, namespace: apps, uid: 0c9c2e41-d2f9}
spec:
  type: bitbucketserver
  address: https://127.0.0.1:1/scm/ops/fleet.git
  secretRef: {name: git-user}
  proxySecretRef: {name: proxy}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Alert
metadata: {name: fleet, namespace: apps}
spec:
  providerRef: {name: git}
  eventSources: [{kind: Kustomization, name: '*', namespace: web}]
---
apiVersion: v1
kind: Secret
metadata: {name: git-user, namespace: apps}
data: {username: ZmxlZXQ=, password: Y2FuYXJ5LXBhc3N3b3Jk}
";

/// A cluster with `old.yaml` and what was applied to it.
const KUBECTL: &str = r#"#!/bin/bash
case "$*" in
  "get secret git-user -n apps -o jsonpath={.data.username}") printf fleet | base64 ;;
  "get secret git-user -n apps -o jsonpath={.data.password}") printf canary-password | base64 ;;
  "get secret proxy -n apps -o jsonpath={.data.address}") printf http://127.0.0.1:1 | base64 ;;
  "apply -f -") cat > applied.yaml ;;
  "get providers"*) cat old.yaml; echo ---; cat applied.yaml ;;
  *) echo "no such object: $*" >&2; exit 1 ;;
esac
"#;

/// Only what the old Alert says of itself changes.
const FLUX: &str = r#"#!/bin/bash
[ "$*" = "suspend alert fleet -n apps" ] && sed -i 's/^  providerRef: {name: git}/  suspend: true\n&/' old.yaml
"#;

fn shell(directory: &Path, script: &str) -> (i32, String, String) {
    let path = format!("{}:/usr/bin:/bin", directory.join("bin").display());
    let output = Command::new("/bin/bash")
        .args(["-c", script])
        .current_dir(directory)
        .env_clear()
        .env("PATH", path)
        .env("COMMITSTATUS_DATA_DIR", directory.join("data"))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_steps_run_in_a_shell() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
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
    create_tables(
        &client,
        &rules_table("commitstatus"),
        &statuses_table("commitstatus"),
    )
    .await
    .unwrap();
    std::fs::create_dir_all(root.join("data")).unwrap();
    instance.write(&root.join("data")).unwrap();
    std::fs::create_dir(root.join("bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_commitstatus"), root.join("bin/commitstatus")).unwrap();
    for (name, text) in [("kubectl", KUBECTL), ("flux", FLUX)] {
        let file = root.join("bin").join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    std::fs::write(root.join("old.yaml"), OLD).unwrap();

    let import = "commitstatus --local import -f old.yaml --cluster dev --keep-names > imported.yaml";
    let (code, _, steps) = shell(root, import);
    assert_eq!(code, 0, "{steps}");
    assert!(
        !steps.contains("canary") && !steps.contains("Y2FuYXJ5"),
        "{steps}"
    );
    let steps = steps.split_once("\n\n").unwrap().1;
    let (code, out, err) = shell(root, &format!("commitstatus --local root-key init\n{steps}"));
    // The last one says that the cluster sends what its rules need.
    assert_eq!(code, 0, "{out}{err}");
    assert!(!format!("{out}{err}").contains("canary"), "{out}{err}");

    let secret = |name: &str| -> Value {
        let file = format!("data/secrets/commitstatus/providers/dev/apps/{name}.json");
        serde_json::from_slice(&std::fs::read(root.join(file)).unwrap()).unwrap()
    };
    let values = json!({"username": "fleet", "password": "canary-password"});
    assert!(holds(&secret("git-user"), &values), "{}", secret("git-user"));
    assert!(holds(&secret("proxy"), &json!({"address": "http://127.0.0.1:1"})));
    let applied = std::fs::read_to_string(root.join("applied.yaml")).unwrap();
    assert!(applied.contains("namespace: \"web\""), "{applied}");
}

/// Whatever else the local service writes about a secret.
fn holds(file: &Value, values: &Value) -> bool {
    match file {
        Value::String(text) => serde_json::from_str::<Value>(text).is_ok_and(|value| holds(&value, values)),
        Value::Object(fields) => file == values || fields.values().any(|value| holds(value, values)),
        _ => false,
    }
}
