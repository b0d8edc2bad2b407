//! One start of a binary, as Lambda does it, under a stopwatch.

use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything takes that does not hang: a sweep stays for nearly a minute.
const PATIENCE: Duration = Duration::from_secs(75);

/// What a function still does after it asked for an event or answered one counts as well; it is done by then.
const AFTERWARDS: Duration = Duration::from_millis(15);

/// A function that was started and waits for its first event.
pub(crate) struct Function {
    process: Process,
    invocations: mpsc::UnboundedSender<Value>,
    answers: mpsc::UnboundedReceiver<(Instant, Value)>,
    runtime_api: JoinHandle<()>,
    /// The exec.
    pub(crate) begun: Instant,
    /// From exec to the first `GET /runtime/invocation/next`.
    pub(crate) init: Duration,
    /// Time on a CPU until then.
    pub(crate) init_cpu: Duration,
}

/// What the first event took.
pub(crate) struct FirstEvent {
    /// From the event to the answer.
    pub(crate) wall: Duration,
    /// Time on a CPU.
    pub(crate) cpu: Duration,
    /// Most memory that was ever in use.
    pub(crate) peak_kib: u64,
    pub(crate) answer: Value,
}

struct RuntimeApi {
    asked: mpsc::UnboundedSender<Instant>,
    invocations: Mutex<mpsc::UnboundedReceiver<Value>>,
    answers: mpsc::UnboundedSender<(Instant, Value)>,
}

impl Function {
    /// Starts a binary and waits until it asks for an event.
    pub(crate) async fn start(binary: &Path, environment: &[(&str, String)], log: &std::fs::File) -> Self {
        let (asked, mut first_asked) = mpsc::unbounded_channel();
        let (invocations, next) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let state = Arc::new(RuntimeApi {
            asked,
            invocations: Mutex::new(next),
            answers: answer,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(runtime_api).with_state(state);
        let runtime_api = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

        let mut command = Command::new(binary);
        command
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .stdout(log.try_clone().unwrap())
            .stderr(log.try_clone().unwrap());
        let begun = Instant::now();
        let process = Process(command.spawn().unwrap());
        let asked = timeout(PATIENCE, first_asked.recv()).await;
        let asked = asked.expect("the function does not ask for an event").unwrap();
        tokio::time::sleep(AFTERWARDS).await;
        let init_cpu = process.cpu();
        Self {
            process,
            invocations,
            answers,
            runtime_api,
            begun,
            init: asked - begun,
            init_cpu,
        }
    }

    /// Hands the function an event; when it answered, and what.
    async fn hand_over(&mut self, event: Value) -> (Instant, Value) {
        self.invocations.send(event).unwrap();
        let answered = timeout(PATIENCE, self.answers.recv()).await;
        answered.expect("the function does not answer").unwrap()
    }

    /// What a function that is warm by now answers to an event.
    pub(crate) async fn event(&mut self, event: Value) -> Value {
        self.hand_over(event).await.1
    }

    /// Most memory that was ever in use.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.process.peak_kib()
    }

    /// Hands the function its first event.
    pub(crate) async fn first_event(mut self, event: Value) -> FirstEvent {
        let begun = Instant::now();
        let (answered, answer) = self.hand_over(event).await;
        tokio::time::sleep(AFTERWARDS).await;
        self.runtime_api.abort();
        FirstEvent {
            wall: answered - begun,
            cpu: self.process.cpu() - self.init_cpu,
            peak_kib: self.process.peak_kib(),
            answer,
        }
    }
}

async fn runtime_api(State(state): State<Arc<RuntimeApi>>, request: Request) -> Response<Body> {
    let arrived = Instant::now();
    let path = request.uri().path().to_owned();
    if path.ends_with("/invocation/next") {
        // Nobody listens any more after the first time.
        state.asked.send(arrived).ok();
        let Some(event) = state.invocations.lock().await.recv().await else {
            return std::future::pending().await;
        };
        let deadline = jiff::Timestamp::now().as_millisecond() + 180_000;
        return Response::builder()
            .header(
                "lambda-runtime-aws-request-id",
                "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            )
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
    let answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
    state.answers.send((arrived, answer)).ok();
    Response::builder()
        .status(StatusCode::ACCEPTED)
        .body(Body::empty())
        .unwrap()
}

/// Ends with its handle, also in a panic.
struct Process(Child);

impl Process {
    /// Nanoseconds that its threads were running: finer than the ticks of `getrusage`.
    fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let nanoseconds = tasks.map(|task| {
            let times = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            times.split(' ').next().unwrap().parse::<u64>().unwrap()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
