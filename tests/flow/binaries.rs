//! One event through the four compiled binaries, as Lambda runs them: a stand-in of the Runtime API hands out
//! invocations (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>), and SQS and Secrets Manager answer
//! the real SDK's requests.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

#[expect(
    dead_code,
    clippy::disallowed_methods,
    reason = "the benchmark of starts uses more of it, and measures"
)]
#[path = "../start/tls.rs"]
mod tls;

use super::events::{SHA, build_failed, succeeded};
use super::world::{ROOT_KEY, STACK, TOKEN, World, function_url_event, handled, rule_yaml, sqs_json};
use local::fifo::Received;

/// Builds what `cargo test` does not: the binaries of other packages. Everything they need is built already.
fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let built = std::process::Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--bins",
            // Or features are other ones, and everything is built once more.
            "--tests",
            "--locked",
            "--message-format=json",
        ])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(built.status.success());
    let messages = String::from_utf8(built.stdout).unwrap();
    let intake = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|message| message["target"]["name"] == "intake" && is_binary(message))
        .unwrap();
    Path::new(intake["executable"].as_str().unwrap())
        .parent()
        .unwrap()
        .to_owned()
}

fn is_binary(message: &Value) -> bool {
    message["executable"].is_string() && message["profile"]["test"] == false
}

/// The Runtime API of one function.
struct Runtime {
    invocations: mpsc::UnboundedSender<(String, Value)>,
    outcomes: AsyncMutex<mpsc::UnboundedReceiver<Value>>,
    child: Child,
}

#[derive(Clone)]
struct RuntimeState {
    invocations: Arc<AsyncMutex<mpsc::UnboundedReceiver<(String, Value)>>>,
    outcomes: mpsc::UnboundedSender<Value>,
}

impl Runtime {
    async fn start(binary: &Path, environment: &HashMap<&str, String>, log: &std::fs::File) -> Self {
        let (invocations, next) = mpsc::unbounded_channel();
        let (outcome, outcomes) = mpsc::unbounded_channel();
        let state = RuntimeState {
            invocations: Arc::new(AsyncMutex::new(next)),
            outcomes: outcome,
        };
        let address = serve(Router::new().fallback(runtime_api).with_state(state)).await;
        let child = Command::new(binary)
            .env_clear()
            .envs(environment)
            .env("AWS_LAMBDA_RUNTIME_API", address.trim_start_matches("http://"))
            .stdout(log.try_clone().unwrap())
            .stderr(log.try_clone().unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            invocations,
            outcomes: AsyncMutex::new(outcomes),
            child,
        }
    }

    /// Hands the function an event and returns what it answers.
    async fn invoke(&mut self, event: Value) -> Value {
        self.invocations
            .send(("8476a536-e9f4-11e8-9739-2dfe598c3fcd".into(), event))
            .unwrap();
        let mut outcomes = self.outcomes.lock().await;
        tokio::select! {
            outcome = outcomes.recv() => outcome.unwrap(),
            status = self.child.wait() => panic!("the function ended: {status:?}"),
        }
    }
}

async fn runtime_api(State(state): State<RuntimeState>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    if path.ends_with("/invocation/next") {
        let next = state.invocations.lock().await.recv().await;
        let Some((id, event)) = next else {
            return std::future::pending().await;
        };
        #[expect(clippy::disallowed_methods, reason = "the function reads the real clock too")]
        let deadline = jiff::Timestamp::now().as_millisecond() + 180_000;
        return Response::builder()
            .header("lambda-runtime-aws-request-id", id)
            .header("lambda-runtime-deadline-ms", deadline)
            .header(
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:eu-west-1:123456789012:function:f",
            )
            .header(
                "lambda-runtime-trace-id",
                "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
            )
            .body(Body::from(event.to_string()))
            .unwrap();
    }
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    assert!(
        path.ends_with("/response"),
        "{path}: {}",
        String::from_utf8_lossy(&body)
    );
    let outcome = serde_json::from_slice(&body).unwrap_or(Value::Null);
    state.outcomes.send(outcome).unwrap();
    Response::builder()
        .status(StatusCode::ACCEPTED)
        .body(Body::empty())
        .unwrap()
}

/// SQS and Secrets Manager, as far as the functions call them.
#[derive(Default)]
struct Aws {
    sent: Mutex<Vec<Value>>,
}

impl Aws {
    /// What was sent to a queue since the last time, as one batch.
    fn take(&self, queue: &str) -> Vec<Received> {
        let mut sent = self.sent.lock().unwrap();
        let (ours, others) = sent
            .drain(..)
            .partition(|message: &Value| message["QueueUrl"].as_str().unwrap().ends_with(queue));
        *sent = others;
        let ours: Vec<Value> = ours;
        ours.into_iter()
            .enumerate()
            .map(|(number, message)| {
                let field = |name: &str| message[name].as_str().unwrap().to_owned();
                assert_eq!(field("MessageDeduplicationId").len(), 64);
                Received {
                    id: format!("message-{number}"),
                    body: field("MessageBody"),
                    group_id: field("MessageGroupId"),
                    receives: 1,
                }
            })
            .collect()
    }
}

async fn aws(State(aws): State<Arc<Aws>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let json = |status: u16, value: Value| {
        Response::builder()
            .status(status)
            .header("content-type", "application/x-amz-json-1.1")
            .body(Body::from(value.to_string()))
            .unwrap()
    };
    match headers["x-amz-target"].to_str().unwrap() {
        "AmazonSQS.SendMessage" => {
            aws.sent.lock().unwrap().push(request);
            json(
                200,
                json!({ "MessageId": "1", "MD5OfMessageBody": "", "SequenceNumber": "1" }),
            )
        }
        "secretsmanager.GetSecretValue" => {
            let stage = request["VersionStage"].as_str().unwrap_or("AWSCURRENT");
            let name = request["SecretId"].as_str().unwrap();
            let secret = match name {
                "commitstatus/root-key" => ROOT_KEY.to_owned(),
                "commitstatus/providers/_all/apps/token" => json!({ "token": TOKEN }).to_string(),
                other => panic!("{other}"),
            };
            if stage == "AWSPREVIOUS" {
                return json(
                    400,
                    json!({ "__type": "ResourceNotFoundException", "Message": "no such version" }),
                );
            }
            json(
                200,
                json!({ "Name": name, "SecretString": secret, "VersionStages": [stage] }),
            )
        }
        other => panic!("{other}"),
    }
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// An event body from the recorded one, as of now.
fn as_of_now(event: &super::events::WireEvent, seconds_ago: i64) -> String {
    #[expect(clippy::disallowed_methods, reason = "the functions read the real clock too")]
    let now = jiff::Timestamp::now().as_second();
    event.clone().at(now - seconds_ago - super::world::START).body()
}

#[tokio::test(flavor = "multi_thread")]
async fn p12_an_event_passes_through_the_four_binaries_and_no_secret_with_it() {
    // Every outcome has its line, and there is no other: the functions of no stack write no metrics, and at DEBUG the SDK
    // says no more than at INFO.
    let lines = lines_of_two_events(&[("AWS_LAMBDA_LOG_LEVEL", "DEBUG")]).await;
    for line in &lines {
        let is_refused = line["outcome"] == "unauthorized";
        assert_eq!(line["level"], if is_refused { "WARN" } else { "INFO" }, "{line}");
        assert!(line["timestamp"].is_string(), "{line}");
        assert!(line["span"]["requestId"].is_string(), "{line}");
    }
    let outcomes: Vec<&Value> = lines.iter().map(|line| &line["outcome"]).collect();
    let expected = [
        "unauthorized",
        "unauthorized",
        "accepted",
        "changed",
        "posted",
        "accepted",
        "changed",
        "swept",
        "posted",
    ];
    assert_eq!(outcomes, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_whatever_is_logged() {
    let lines = lines_of_two_events(&[("AWS_LAMBDA_LOG_LEVEL", "TRACE"), ("RUST_LOG", "trace")]).await;
    assert!(lines.len() > 1_000, "others say nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_functions_of_a_stack_write_what_they_count_for_cloudwatch() {
    let units: HashMap<&str, &str> = shared::metrics::ALL
        .map(|(name, unit)| match unit {
            shared::metrics::Unit::Count => (name, "Count"),
            shared::metrics::Unit::Milliseconds => (name, "Milliseconds"),
        })
        .into();
    let mut counted: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut log_lines = 0;
    for document in lines_of_two_events(&[("STACK_NAME", STACK)]).await {
        let Some(directives) = document["_aws"]["CloudWatchMetrics"].as_array() else {
            log_lines += 1;
            continue;
        };
        assert!(document["_aws"]["Timestamp"].is_u64(), "{document}");
        let [directive] = directives.as_slice() else {
            panic!("{document}");
        };
        assert_eq!(directive["Namespace"], "CommitStatus");
        assert_eq!(document["Stack"], STACK);
        let [dimensions] = directive["Dimensions"].as_array().unwrap().as_slice() else {
            panic!("{document}");
        };
        let dimensions: Vec<&str> = dimensions
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        assert_eq!(dimensions[0], "Stack", "{document}");
        let values: Vec<&str> = dimensions
            .iter()
            .map(|name| document[name].as_str().unwrap())
            .collect();
        for metric in directive["Metrics"].as_array().unwrap() {
            let name = metric["Name"].as_str().unwrap();
            assert_eq!(metric["Unit"], units[name], "{document}");
            let numbers = match &document[name] {
                Value::Array(several) => several.clone(),
                one => vec![one.clone()],
            };
            counted
                .entry([&[name][..], &values[1..]].concat().join(" "))
                .or_default()
                .extend(numbers.iter().map(|number| number.as_f64().unwrap()));
        }
    }
    assert_eq!(log_lines, 9);
    let times = counted.remove("EventToPosted").unwrap();
    assert_eq!(times.len(), 2);
    assert!(
        times.iter().all(|millis| (0.0..60_000.0).contains(millis)),
        "{times:?}"
    );
    let (calls, others): (Vec<_>, Vec<_>) = counted
        .into_iter()
        .partition(|(name, _)| name.starts_with("Calls 127.0.0.1:"));
    assert!(
        matches!(calls.as_slice(), [(name, times)] if name.ends_with(" posted") && *times == [1.0, 1.0]),
        "{calls:?}"
    );
    let expected = [
        ("Due", vec![1.0]),
        ("Outcomes posted", vec![1.0, 1.0]),
        ("Parked", vec![0.0]),
        ("Requests accepted", vec![1.0, 1.0]),
        ("Requests unauthorized", vec![1.0, 1.0]),
        ("Sweeps swept", vec![1.0]),
        ("Verdicts changed", vec![1.0, 1.0]),
    ]
    .map(|(name, values)| (name.to_owned(), values));
    assert_eq!(others, expected);
}

/// What the four functions write while two events pass through them, with these variables besides.
async fn lines_of_two_events(variables: &[(&'static str, &str)]) -> Vec<Value> {
    let binaries = tokio::task::spawn_blocking(build).await.unwrap();
    let world = World::empty().await;
    world.store.add_cluster("dev").await.unwrap();
    world.apply("*", &world.provider_yaml()).await;
    world.apply("*", &rule_yaml("podinfo", "")).await;
    let stand_in = Arc::new(Aws::default());
    let endpoint = serve(Router::new().fallback(aws).with_state(Arc::clone(&stand_in))).await;
    let mut environment: HashMap<&str, String> = [
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ENDPOINT_URL_DYNAMODB", world.dynamodb_endpoint.clone()),
        ("AWS_LAMBDA_FUNCTION_NAME", "f".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f".to_owned()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "s".to_owned()),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON".to_owned()),
        (
            "EVENTS_QUEUE_URL",
            "https://sqs.eu-west-1.amazonaws.com/123456789012/events.fifo".to_owned(),
        ),
        (
            "POSTS_QUEUE_URL",
            "https://sqs.eu-west-1.amazonaws.com/123456789012/posts.fifo".to_owned(),
        ),
        ("ROOT_KEY_SECRET", format!("{STACK}/root-key")),
        ("PROVIDER_SECRETS_PREFIX", format!("{STACK}/providers")),
        ("ALLOWED_PRIVATE_RANGES", "127.0.0.0/8".to_owned()),
        ("RULES_TABLE", format!("{STACK}-rules")),
        ("STATUSES_TABLE", format!("{STACK}-statuses")),
    ]
    .into();
    environment.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut intake = Runtime::start(&binaries.join("intake"), &environment, log.as_file()).await;
    let mut rules = Runtime::start(&binaries.join("rules"), &environment, log.as_file()).await;
    let mut poster = Runtime::start(&binaries.join("poster"), &environment, log.as_file()).await;
    let mut sweeper = Runtime::start(&binaries.join("sweeper"), &environment, log.as_file()).await;

    // A wrong signature, a query that is none, and then the event.
    let body = as_of_now(&succeeded(), 120);
    let wrong = intake
        .invoke(function_url_event("/events/dev", &body, "sha256=00"))
        .await;
    assert_eq!(wrong["statusCode"], 401);
    let mut odd = function_url_event("/events/dev", &body, "sha256=00");
    odd["rawQueryString"] = json!("<generation=\"1\">");
    assert_eq!(intake.invoke(odd).await["statusCode"], 401);
    let signed = function_url_event("/events/dev", &body, &world.signature("dev", &body));
    let answer = intake.invoke(signed).await;
    assert_eq!(answer["statusCode"], 202, "{answer}");

    let events = stand_in.take("events.fifo");
    let response = rules.invoke(sqs_json(&events, "events")).await;
    assert_eq!(handled(vec![events[0].id.clone()], &response), ["message-0"]);

    let posts = stand_in.take("posts.fifo");
    let response = poster.invoke(sqs_json(&posts, "posts")).await;
    assert_eq!(handled(vec![posts[0].id.clone()], &response), ["message-0"]);

    let context = "dev/apps/kustomization/podinfo".to_owned();
    assert_eq!(world.host.told(), [(context.clone(), "success".to_owned())]);
    assert_eq!(world.host.calls()[0].authorization, format!("Bearer {TOKEN}"));
    let status = world.status(SHA).await;
    assert!(status.is_posted() && status.due.is_none(), "{status:#?}");

    // A change whose hint is lost: it is due in a minute, and no later sweep may miss it.
    let body = as_of_now(&build_failed(), 60);
    intake
        .invoke(function_url_event(
            "/events/dev",
            &body,
            &world.signature("dev", &body),
        ))
        .await;
    rules
        .invoke(sqs_json(&stand_in.take("events.fifo"), "events"))
        .await;
    stand_in.take("posts.fifo");
    world.make_due(&world.status(SHA).await.key).await;
    sweeper.invoke(json!({ "source": "aws.scheduler" })).await;
    let posts = stand_in.take("posts.fifo");
    assert_eq!(posts.len(), 1, "the sweeper sends the hint again");
    poster.invoke(sqs_json(&posts, "posts")).await;
    assert_eq!(world.host.told().last(), Some(&(context, "failure".to_owned())));

    // No line has a secret.
    drop((intake, rules, poster, sweeper));
    let lines = std::fs::read_to_string(log.path()).unwrap();
    for secret in [TOKEN, ROOT_KEY, &world.signature("dev", &body)] {
        let told: Vec<&str> = lines.lines().filter(|line| line.contains(secret)).collect();
        assert!(told.is_empty(), "{told:#?}");
    }
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What a function needs to start, with DynamoDB at `dynamodb`.
fn environment_with(dynamodb: String) -> HashMap<&'static str, String> {
    [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "s"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        (
            "POSTS_QUEUE_URL",
            "https://sqs.eu-west-1.amazonaws.com/123456789012/posts.fifo",
        ),
        ("PROVIDER_SECRETS_PREFIX", "commitstatus/providers"),
        ("RULES_TABLE", "commitstatus-rules"),
        ("STATUSES_TABLE", "commitstatus-statuses"),
        ("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_starts_and_answers_when_its_connections_cannot_be_opened() {
    let binaries = tokio::task::spawn_blocking(build).await.unwrap();
    // Nobody takes what connects here, so that nothing is ever answered. The other port is closed.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [silent_url, closed_url] =
        [&silent, &closed].map(|listener| format!("http://{}", listener.local_addr().unwrap()));
    drop(closed);
    for (function, url) in [("rules", silent_url), ("poster", closed_url)] {
        let log = tempfile::NamedTempFile::new().unwrap();
        let environment = environment_with(url);
        let mut runtime = Runtime::start(&binaries.join(function), &environment, log.as_file()).await;
        let answered = tokio::time::timeout(
            std::time::Duration::from_secs(20),
            runtime.invoke(json!({ "Records": [] })),
        )
        .await;
        let lines = std::fs::read_to_string(log.path()).unwrap();
        let answer = answered.unwrap_or_else(|_| panic!("{function} does not start: {lines}"));
        assert_eq!(answer, json!({ "batchItemFailures": [] }), "{function}");
        assert!(
            lines.contains("started without connections to DynamoDB"),
            "{function}: {lines}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_trusts_what_its_machine_trusts_and_nobody_else() {
    let binaries = tokio::task::spawn_blocking(build).await.unwrap();
    let world = World::empty().await;
    let dynamodb = tls::Tls::new(true);
    let somebody = tls::Tls::new(true);
    for (roots, is_trusted) in [(&dynamodb.roots, true), (&somebody.roots, false)] {
        let front = dynamodb.before(&world.dynamodb_endpoint).await;
        let mut environment = environment_with(front.url.clone());
        environment.insert("SSL_CERT_FILE", roots.path().display().to_string());
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut rules = Runtime::start(&binaries.join("rules"), &environment, log.as_file()).await;
        assert_eq!(
            rules.invoke(json!({ "Records": [] })).await,
            json!({ "batchItemFailures": [] })
        );
        let lines = std::fs::read_to_string(log.path()).unwrap();
        assert_eq!(front.take_handshakes(), if is_trusted { 4 } else { 0 }, "{lines}");
        assert_ne!(
            lines.contains("started without connections to DynamoDB"),
            is_trusted,
            "{lines}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_credentials_says_so_and_ends() {
    let binaries = tokio::task::spawn_blocking(build).await.unwrap();
    for function in ["intake", "rules", "poster", "sweeper"] {
        let mut environment = environment_with("http://127.0.0.1:9".to_owned());
        environment.remove("AWS_ACCESS_KEY_ID");
        environment.insert("EVENTS_QUEUE_URL", environment["POSTS_QUEUE_URL"].clone());
        environment.insert("ROOT_KEY_SECRET", "commitstatus/root-key".to_owned());
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut runtime = Runtime::start(&binaries.join(function), &environment, log.as_file()).await;
        let ended = runtime.child.wait().await.unwrap();
        let lines = std::fs::read_to_string(log.path()).unwrap();
        assert!(!ended.success(), "{function}");
        assert!(
            lines.contains(r#""error":"environment variable AWS_ACCESS_KEY_ID is not set; Lambda sets it"#),
            "{function}: {lines}"
        );
    }
}

/// Cargo hands what `.cargo/config.toml` says to whatever it builds, this test too.
#[test]
fn no_start_gathers_entropy_from_the_jitter_of_the_cpu() {
    assert_eq!(option_env!("AWS_LC_SYS_NO_JITTER_ENTROPY"), Some("1"));
}
