//! A stand-in of a Git host: records every request and answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;

/// What the host was asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

/// What it answers.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: &'static str,
}

impl Reply {
    pub(crate) fn new(status: u16, body: &'static str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

#[derive(Debug, Default)]
pub(crate) struct Host {
    calls: Mutex<Vec<Call>>,
    next: Mutex<VecDeque<Reply>>,
    always: Mutex<Option<Reply>>,
}

impl Host {
    pub(crate) async fn start() -> (Arc<Self>, String) {
        let host = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&host));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (host, address)
    }

    /// The next answers; after them it takes everything.
    pub(crate) fn answer_next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.next.lock().unwrap().extend(replies);
    }

    /// Every answer from now on, until told otherwise.
    pub(crate) fn answer_always(&self, reply: Option<Reply>) {
        *self.always.lock().unwrap() = reply;
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Context and state of every call, in order, as GitHub is told them.
    pub(crate) fn told(&self) -> Vec<(String, String)> {
        let field = |call: &Call, name: &str| call.body[name].as_str().unwrap_or_default().to_owned();
        self.calls()
            .iter()
            .map(|call| (field(call, "context"), field(call, "state")))
            .collect()
    }
}

async fn answer(State(host): State<Arc<Host>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let header = |name| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let token = header("authorization").to_owned() + header("private-token");
    host.calls.lock().unwrap().push(Call {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        authorization: token,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    });
    let planned = host.next.lock().unwrap().pop_front();
    let reply = planned
        .or_else(|| host.always.lock().unwrap().clone())
        .unwrap_or_else(|| Reply::new(201, r#"{"id":1}"#));
    let mut response = Response::builder()
        .status(StatusCode::from_u16(reply.status).unwrap())
        .header("content-type", "application/json");
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap()
}
