//! A stand-in of a Git host that takes everything and only says what arrived. The one of the local service keeps every
//! status and looks through all of them at each post, which would be measured too; it reads the requests here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{self, Request};
use axum::http::{Response, StatusCode};
use hosts::HostKind;
use jiff::Timestamp;
use local::stand_in::{self, Facts, StandIn};
use shared::State;
use tokio::net::TcpListener;

use crate::ledger::{Key, Ledger};

/// What a request is answered with.
struct Host {
    kind: HostKind,
    ledger: Arc<Ledger>,
    answer_after: Duration,
}

/// Starts one and returns its address.
pub(crate) async fn start(kind: HostKind, ledger: Arc<Ledger>, answer_after: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let host = Host {
        kind,
        ledger,
        answer_after,
    };
    let router = Router::new().fallback(answer).with_state(Arc::new(host));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn answer(extract::State(host): extract::State<Arc<Host>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let arrived = Instant::now();
    let request = stand_in::Request {
        method: parts.method.as_str(),
        target: parts.uri.path_and_query().unwrap().as_str(),
        headers: &parts.headers,
        body: &body,
        now: Timestamp::now(),
    };
    let Some(post) = StandIn::read(host.kind, &request) else {
        let key = Key {
            sha: String::new(),
            context: format!("{} {}", request.method, request.target),
            state: "no status".to_owned(),
        };
        host.ledger.arrived(key, arrived);
        return respond(StatusCode::NOT_FOUND);
    };
    let facts = Facts::of(host.kind);
    let states = [State::Pending, State::Success, State::Failure, State::Superseded];
    let state = states.into_iter().find(|state| facts.word(*state) == post.state);
    let key = Key {
        sha: post.sha,
        context: post.name.unwrap_or(post.context),
        state: state.map_or(post.state, |state| state.as_str().to_owned()),
    };
    host.ledger.arrived(key, arrived);
    if !host.answer_after.is_zero() {
        tokio::time::sleep(host.answer_after).await;
    }
    respond(StatusCode::CREATED)
}

fn respond(status: StatusCode) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Body::from(r#"{"id":1}"#))
        .unwrap()
}
