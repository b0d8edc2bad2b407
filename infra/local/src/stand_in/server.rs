//! A stand-in over HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body as HttpBody, to_bytes};
use axum::extract::{self, State};
use axum::http::{Response, StatusCode, header};
use axum::routing::get;
use comfy_table::{Table, presets};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Body, Received, Request, StandIn};

/// Much longer than any status.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// What a stand-in was asked, and what it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// In capitals.
    pub method: String,
    /// Path and query, encoded as they were sent.
    pub target: String,
    /// What stands in the header `Authorization`.
    pub authorization: String,
    /// The status of the answer.
    pub status: u16,
}

/// A stand-in that is served, until this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    stand_in: Mutex<StandIn>,
    calls: Mutex<Vec<Call>>,
}

impl Server {
    /// Serves the API of the host, and at `/` a list of what it was told. `clock` says when a request arrives.
    ///
    /// # Errors
    /// If nothing can be listened to.
    pub fn start(
        listener: TcpListener,
        stand_in: StandIn,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            stand_in: Mutex::new(stand_in),
            calls: Mutex::default(),
        });
        let router = Router::new()
            .route("/", get(list))
            .fallback(answer)
            .with_state((Arc::clone(&shared), Arc::new(clock) as Arc<Clock>));
        let task = tokio::spawn(async move {
            // It is ended from outside.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Its root, without a slash at the end.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The stand-in. Nobody is answered while this is held.
    pub fn stand_in(&self) -> MutexGuard<'_, StandIn> {
        lock(&self.shared.stand_in)
    }

    /// Everything it was asked as a host, in order.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.shared.calls).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Clock = dyn Fn() -> Timestamp + Send + Sync;

async fn answer(
    State((shared, clock)): State<(Arc<Shared>, Arc<Clock>)>,
    request: extract::Request,
) -> Response<HttpBody> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_REQUEST_BYTES).await else {
        return Response::builder()
            .status(StatusCode::PAYLOAD_TOO_LARGE)
            .body(HttpBody::empty())
            .unwrap_or_default();
    };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let answer = lock(&shared.stand_in).answer(&Request {
        method: parts.method.as_str(),
        target,
        headers: &parts.headers,
        body: &body,
        now: clock(),
    });
    let authorization = parts.headers.get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    lock(&shared.calls).push(Call {
        method: parts.method.to_string(),
        target: target.to_owned(),
        authorization: authorization.unwrap_or_default().to_owned(),
        status: answer.status.as_u16(),
    });
    answer.into_response()
}

async fn list(State((shared, _)): State<(Arc<Shared>, Arc<Clock>)>) -> String {
    let stand_in = lock(&shared.stand_in);
    if stand_in.received().is_empty() {
        return "Nothing was told yet.\n".to_owned();
    }
    listed(stand_in.received())
}

/// A line for each.
fn listed(received: &[Received]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "TIME",
        "REPOSITORY",
        "COMMIT",
        "CONTEXT",
        "STATE",
        "DESCRIPTION",
        "TARGET URL",
    ]);
    for received in received {
        let row = [
            format!("{:.0}", received.at),
            received.repository.clone(),
            received.sha.clone(),
            received.visible().to_owned(),
            received.state.clone(),
            received.description.clone().unwrap_or_default(),
            received.target_url.clone().unwrap_or_default(),
        ];
        table.add_row(row.map(|cell| cell.replace(char::is_control, " ")));
    }
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

impl super::Answer {
    /// As it goes over the wire.
    pub fn into_response(self) -> Response<HttpBody> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        let body = match self.body {
            Body::Empty => HttpBody::empty(),
            body => body.to_string().into(),
        };
        // Every header of a stand-in is one.
        response.body(body).unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use hosts::HostKind;
    use serde_json::json;

    use super::super::Facts;
    use super::*;

    const NOW: i64 = 1_786_108_382;
    const SHA: &str = "a1afe267b54f38b46b487f6e938a6fd508278c07";

    async fn server(kind: HostKind) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (token, _) = Facts::of(kind).token("x");
        let clock = || Timestamp::from_second(NOW).unwrap();
        Server::start(listener, StandIn::new(kind, token), clock).unwrap()
    }

    async fn text(address: &str) -> (u16, String) {
        let answer = reqwest::get(address).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    #[tokio::test]
    async fn a_request_reaches_the_stand_in_as_it_was_sent() {
        let server = server(HostKind::GitLab).await;
        let target = format!("/git/api/v4/projects/acme%2Ffleet/statuses/{SHA}?x=%20");
        let post = |token: &'static str| {
            reqwest::Client::new()
                .post(format!("{}{target}", server.address()))
                .header("private-token", token)
                .json(&json!({ "state": "failed", "name": "dev/apps", "description": "a\nb" }))
        };

        let refused = post("y").send().await.unwrap();
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.text().await.unwrap(), r#"{"message":"401 Unauthorized"}"#);
        let taken = post("x").send().await.unwrap();

        assert_eq!(taken.status(), 201);
        assert_eq!(taken.headers()["content-type"], "application/json; charset=utf-8");
        let call = |status| Call {
            method: "POST".into(),
            target: target.clone(),
            authorization: String::new(),
            status,
        };
        assert_eq!(server.calls(), [call(401), call(201)]);
        let stand_in = server.stand_in();
        let received = &stand_in.received()[0];
        assert_eq!(received.repository, "acme/fleet");
        assert_eq!(received.at.as_second(), NOW);
    }

    #[tokio::test]
    async fn what_was_told_is_listed_and_the_list_is_no_call() {
        let server = server(HostKind::Bitbucket).await;
        let nothing = (200, "Nothing was told yet.\n".to_owned());
        assert_eq!(text(&server.address()).await, nothing);
        let target = format!("/2.0/repositories/acme/fleet/commit/{SHA}/statuses/build");
        let told = reqwest::Client::new()
            .post(format!("{}{target}", server.address()))
            .basic_auth("flux@example.com", Some("x"))
            .json(&json!({
                "key": "k", "name": "dev/apps", "state": "FAILED", "url": "https://h/x", "description": "a\nb",
            }))
            .send()
            .await
            .unwrap();
        assert_eq!(told.status(), 201);

        let (status, list) = text(&server.address()).await;

        assert_eq!(status, 200);
        let words = |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        let lines: Vec<Vec<String>> = list.lines().map(words).collect();
        assert_eq!(
            lines[0],
            words("TIME REPOSITORY COMMIT CONTEXT STATE DESCRIPTION TARGET URL")
        );
        let line = format!("2026-08-07T13:13:02Z acme/fleet {SHA} dev/apps FAILED a b https://h/x");
        assert_eq!(lines[1..], [words(&line)]);
        assert_eq!(server.calls().len(), 1);
        assert_eq!(server.calls()[0].authorization, "Basic Zmx1eEBleGFtcGxlLmNvbTp4");
        assert_eq!(text(&format!("{}/nothing", server.address())).await.0, 404);
        assert_eq!(server.calls().len(), 2);
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused() {
        let server = server(HostKind::GitHub).await;
        let long = "x".repeat(MAX_REQUEST_BYTES + 1);
        let request = reqwest::Client::new().post(server.address() + "/x").body(long);
        // It may stop reading before all was sent.
        if let Ok(answer) = request.send().await {
            assert_eq!(answer.status(), 413);
        }
        assert_eq!(server.calls(), []);
    }
}
