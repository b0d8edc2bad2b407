//! A Git host on loopback that takes every status, after the time it takes for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use hosts::HostKind;
use local::stand_in;
use local::stand_in::{Facts, StandIn};
use shared::State as Shown;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::clock::Clock;
use super::flux::{Names, Says, sha};
use super::ledger::Ledger;

/// The host.
pub(crate) struct Host {
    kind: HostKind,
    clock: Clock,
    millis: i64,
    names: Names,
    commits: HashMap<String, u32>,
    ledger: Arc<Mutex<Ledger>>,
    /// Requests whose answers wait for their time.
    answering: AtomicUsize,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(server) = self.server.lock().unwrap().take() {
            server.abort();
        }
    }
}

impl Host {
    /// Listens, and says where.
    pub(crate) async fn start(
        kind: HostKind,
        clock: &Clock,
        millis: i64,
        names: Names,
        commits: u32,
        ledger: &Arc<Mutex<Ledger>>,
    ) -> (Arc<Self>, String) {
        let host = Arc::new(Self {
            kind,
            clock: clock.clone(),
            millis,
            names,
            commits: (0..commits).map(|commit| (sha(commit), commit)).collect(),
            ledger: Arc::clone(ledger),
            answering: AtomicUsize::new(0),
            server: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::downgrade(&host));
        let server = tokio::spawn(async move {
            // It ends with the run.
            let _ = axum::serve(listener, router).await;
        });
        *host.server.lock().unwrap() = Some(server);
        (host, address)
    }

    pub(crate) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed) > 0
    }

    fn says(&self, word: &str) -> Option<Says> {
        let facts = Facts::of(self.kind);
        let states = [
            (Shown::Pending, Says::Progressing),
            (Shown::Success, Says::Succeeded),
            (Shown::Failure, Says::Failed),
        ];
        let state = states.into_iter().find(|(state, _)| facts.word(*state) == word);
        state.map(|(_, says)| says)
    }
}

async fn answer(State(host): State<std::sync::Weak<Host>>, request: Request) -> Response<Body> {
    let reply = |status| {
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .body(Body::from(r#"{"id":1}"#))
            .unwrap()
    };
    let Some(host) = host.upgrade() else {
        return reply(StatusCode::SERVICE_UNAVAILABLE);
    };
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    host.answering.fetch_add(1, Ordering::Relaxed);
    host.clock.sleep(host.millis).await;
    host.answering.fetch_sub(1, Ordering::Relaxed);
    let target = parts.uri.path_and_query().unwrap().to_string();
    let asked = stand_in::Request {
        method: parts.method.as_str(),
        target: &target,
        headers: &parts.headers,
        body: &body,
        now: host.clock.now(),
    };
    let mut ledger = host.ledger.lock().unwrap();
    let Some(post) = StandIn::read(host.kind, &asked) else {
        ledger.reads += 1;
        return reply(StatusCode::NOT_FOUND);
    };
    let context = post.name.as_deref().unwrap_or(&post.context);
    let object = host.names.object(context);
    let known = (host.commits.get(&post.sha), object, host.says(&post.state));
    let (Some(commit), Some(object), Some(says)) = known else {
        panic!("{post:?} is about nothing in this fleet");
    };
    ledger.posted(*commit, object, says, host.clock.millis());
    reply(StatusCode::CREATED)
}
