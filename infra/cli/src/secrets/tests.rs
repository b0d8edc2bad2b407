//! What both stores promise, and a stand-in of Secrets Manager as its API reference describes it:
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/Welcome.html>.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;

const NAME: &str = "commitstatus/root-key";
const NOW: Timestamp = Timestamp::UNIX_EPOCH;
/// When every version was made, in seconds.
const CREATED: i64 = 1_786_108_363;

#[derive(Debug, Clone)]
struct Stored {
    id: String,
    value: String,
    labels: Vec<&'static str>,
}

type Secrets = Arc<Mutex<BTreeMap<String, Vec<Stored>>>>;

/// A store over the real client and a stand-in of its own.
pub(crate) async fn secrets_manager() -> SecretsManager {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Secrets::default());
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("id", "key", None, None, "test"))
        .endpoint_url(endpoint)
        .build();
    SecretsManager::new(Client::from_conf(config))
}

async fn answer(State(secrets): State<Secrets>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let request = serde_json::from_slice(&body).unwrap();
    let operation = headers["x-amz-target"].to_str().unwrap();
    let operation = operation.strip_prefix("secretsmanager.").unwrap();
    let (status, body) = match handle(&mut secrets.lock().unwrap(), operation, &request) {
        Ok(body) => (200, body),
        Err(kind) => (400, json!({ "__type": kind, "Message": "so it is" })),
    };
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1")
        .body(Body::from(body.to_string()))
        .unwrap()
}

fn handle(
    secrets: &mut BTreeMap<String, Vec<Stored>>,
    operation: &str,
    request: &Value,
) -> Result<Value, &'static str> {
    let text = |field: &str| request[field].as_str().unwrap().to_owned();
    let new = |labels| {
        let id = text("ClientRequestToken");
        assert!((32..=64).contains(&id.len()), "{id}");
        Stored {
            id,
            value: text("SecretString"),
            labels,
        }
    };
    if operation == "CreateSecret" {
        let name = text("Name");
        if secrets.contains_key(&name) {
            return Err("ResourceExistsException");
        }
        secrets.insert(name, vec![new(vec!["AWSCURRENT"])]);
        return Ok(json!({}));
    }
    let versions = secrets.get_mut(&text("SecretId"));
    let versions = versions.ok_or("ResourceNotFoundException")?;
    match operation {
        "GetSecretValue" => {
            let label = request["VersionStage"].as_str().unwrap_or("AWSCURRENT");
            let version = versions.iter().find(|version| version.labels.contains(&label));
            let version = version.ok_or("ResourceNotFoundException")?;
            Ok(json!({ "VersionId": version.id, "SecretString": version.value }))
        }
        "ListSecretVersionIds" => {
            let labelled = versions.iter().filter(|version| !version.labels.is_empty());
            let labelled = labelled.map(|version| {
                json!({ "VersionId": version.id, "VersionStages": version.labels, "CreatedDate": CREATED })
            });
            Ok(json!({ "Versions": labelled.collect::<Vec<_>>() }))
        }
        "PutSecretValue" => {
            let new = new(vec!["AWSCURRENT"]);
            if let Some(there) = versions.iter().find(|version| version.id == new.id) {
                let is_repeated = there.value == new.value;
                return is_repeated.then(|| json!({})).ok_or("ResourceExistsException");
            }
            for version in versions.iter_mut() {
                let was_current = version.labels.contains(&"AWSCURRENT");
                version.labels = if was_current { vec!["AWSPREVIOUS"] } else { vec![] };
            }
            versions.push(new);
            Ok(json!({}))
        }
        "UpdateSecretVersionStage" => {
            assert_eq!(request["MoveToVersionId"], Value::Null);
            let (label, from) = (text("VersionStage"), text("RemoveFromVersionId"));
            let version = versions.iter_mut().find(|version| version.id == from);
            let version = version.filter(|version| version.labels.contains(&label.as_str()));
            let labels = &mut version.ok_or("InvalidParameterException")?.labels;
            labels.retain(|it| *it != label);
            Ok(json!({}))
        }
        other => panic!("{other}"),
    }
}

async fn value(secrets: &impl SecretStore) -> String {
    let current = secrets.current(NAME).await.unwrap().unwrap();
    current.expose_secret().to_owned()
}

async fn stages(secrets: &impl SecretStore) -> Stages {
    secrets.stages(NAME).await.unwrap().unwrap()
}

/// Runs a story with both stores.
macro_rules! with_both {
    ($($test:ident => $story:ident;)*) => {$(
        #[tokio::test]
        async fn $test() {
            let data = tempfile::tempdir().unwrap();
            $story(&FileSecrets::new(data.path())).await;
            $story(&secrets_manager().await).await;
        }
    )*};
}

with_both! {
    what_is_rotated_becomes_the_previous_version => rotating;
    of_two_rotations_of_the_same_version_one_is_done => rotating_twice;
    only_the_version_that_is_named_is_retired => retiring;
    a_secret_that_is_not_there_has_no_versions_and_is_not_rotated => nothing_there;
}

async fn rotating(secrets: &impl SecretStore) {
    assert!(secrets.create(NAME, &"first".into()).await.unwrap());
    let first = stages(secrets).await;
    assert_eq!(first.previous, None);
    let current = secrets.current_version(NAME).await.unwrap().unwrap();
    assert_eq!(current.id, first.current.id);

    assert!(
        secrets
            .rotate(NAME, &first.current.id, &"second".into(), NOW)
            .await
            .unwrap()
    );

    let second = stages(secrets).await;
    assert_eq!(value(secrets).await, "second");
    assert_ne!(second.current.id, first.current.id);
    assert!(second.current.created_at.is_some());
    assert_eq!(second.previous.unwrap().id, first.current.id);
}

async fn rotating_twice(secrets: &impl SecretStore) {
    secrets.create(NAME, &"first".into()).await.unwrap();
    let from = stages(secrets).await.current.id;

    assert!(secrets.rotate(NAME, &from, &"second".into(), NOW).await.unwrap());
    assert!(!secrets.rotate(NAME, &from, &"third".into(), NOW).await.unwrap());

    assert_eq!(value(secrets).await, "second");
    assert_eq!(stages(secrets).await.previous.unwrap().id, from);
}

async fn retiring(secrets: &impl SecretStore) {
    secrets.create(NAME, &"first".into()).await.unwrap();
    let first = stages(secrets).await.current;
    secrets
        .rotate(NAME, &first.id, &"second".into(), NOW)
        .await
        .unwrap();
    let second = stages(secrets).await.current;

    assert!(!secrets.retire(NAME, &second.id).await.unwrap());
    assert!(secrets.retire(NAME, &first.id).await.unwrap());
    assert!(!secrets.retire(NAME, &first.id).await.unwrap());

    let left = stages(secrets).await;
    assert_eq!((&left.current, &left.previous), (&second, &None));
    assert_eq!(value(secrets).await, "second");
    secrets
        .rotate(NAME, &second.id, &"third".into(), NOW)
        .await
        .unwrap();
    assert_eq!(stages(secrets).await.previous.unwrap().id, second.id);
}

async fn nothing_there(secrets: &impl SecretStore) {
    assert!(secrets.current_version(NAME).await.unwrap().is_none());
    assert_eq!(secrets.stages(NAME).await.unwrap(), None);
    assert!(secrets.rotate(NAME, "x", &"hidden".into(), NOW).await.is_err());
    assert!(secrets.retire(NAME, "x").await.is_err());
    assert!(secrets.current_version(NAME).await.unwrap().is_none());
}

#[test]
fn processes_that_rotate_a_file_at_the_same_time_do_it_one_after_the_other() {
    let data = tempfile::tempdir().unwrap();
    let secrets = FileSecrets::new(data.path());
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime().block_on(async { secrets.create(NAME, &"0".into()).await.unwrap() });
    for round in 0..20 {
        let from = runtime().block_on(stages(&secrets)).current.id;
        let done: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let (secrets, from) = (&secrets, &from);
                    let value = format!("{round} {thread}").into();
                    scope.spawn(move || runtime().block_on(secrets.rotate(NAME, from, &value, NOW)))
                })
                .collect();
            let done = threads.into_iter().map(|thread| thread.join().unwrap().unwrap());
            done.filter(|done| *done).count()
        });
        assert_eq!(done, 1, "round {round}");
        assert_eq!(runtime().block_on(stages(&secrets)).previous.unwrap().id, from);
    }
}

#[tokio::test]
async fn a_file_of_an_earlier_release_is_rotated_and_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().unwrap();
    let secrets = FileSecrets::new(data.path());
    secrets.create(NAME, &"x".into()).await.unwrap();
    let file = data.path().join(format!("{NAME}.json"));
    std::fs::write(&file, r#"{"AWSCURRENT":"second","AWSPREVIOUS":"first"}"#).unwrap();
    let before = stages(&secrets).await;
    assert_eq!(before.current.created_at, None);

    secrets
        .rotate(NAME, &before.current.id, &"third".into(), NOW)
        .await
        .unwrap();

    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        r#"{"AWSCURRENT":"third","AWSPREVIOUS":"second","CreatedDate":"1970-01-01T00:00:00Z"}"#
    );
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn no_part_of_a_secret_is_in_a_versions_name_or_debug_text() {
    let data = tempfile::tempdir().unwrap();
    let files = FileSecrets::new(data.path());
    files.create(NAME, &"ghp_hidden".into()).await.unwrap();
    let manager = secrets_manager().await;
    manager.create(NAME, &"ghp_hidden".into()).await.unwrap();
    let text = format!(
        "{:?} {:?} {:?} {:?}",
        stages(&files).await,
        files.current_version(NAME).await,
        stages(&manager).await,
        manager.current_version(NAME).await
    );
    assert!(!text.contains("ghp_hidden"), "{text}");
}
