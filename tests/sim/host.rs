//! A Git host that has bad days. One listener serves every history, told apart by repository, on the same port whenever
//! that is free: the address is part of every key, and a seed is to repeat exactly.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::Response;
use serde_json::Value;

use super::queue::token;
use super::sched::{Fault, Sched};
use super::table::Table;
use super::watch::Watch;

const PORT: u16 = 18_373;
const LONGEST_BODY: usize = 1 << 16;
/// The host asks to wait so many seconds at most.
const LONGEST_WAIT_SECONDS: u32 = 900;

/// What the host does to everybody for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// 503, and nothing is taken.
    Down,
    /// It takes the post and answers 502.
    Mute,
    /// 429 until it is over.
    Limited,
}

/// A bad day, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) trouble: Trouble,
}

/// What the host knows of one context of one commit.
#[derive(Debug, Default, Clone)]
pub(crate) struct Shown {
    /// States, as they were posted, and by whom.
    pub(crate) states: Vec<(String, u64)>,
    /// Times it took a post and did not say so.
    pub(crate) ambiguous: usize,
}

/// One repository.
pub(crate) struct Host {
    pub(crate) sched: Arc<Sched>,
    pub(crate) table: Table,
    pub(crate) watch: Arc<Mutex<Watch>>,
    pub(crate) statuses: String,
    pub(crate) outages: Vec<Outage>,
    /// One call in so many has an accident; 0 for none.
    pub(crate) accidents: u32,
    /// Generation of the token it accepts.
    pub(crate) token: Mutex<u32>,
    pub(crate) shown: Mutex<BTreeMap<(String, String), Shown>>,
    /// Instants it named, by invocation.
    pub(crate) named: Mutex<Vec<(u64, i64)>>,
}

type Repositories = Mutex<HashMap<String, Arc<Host>>>;

/// The listener.
pub(crate) struct Server {
    pub(crate) address: String,
    repositories: Repositories,
}

impl Server {
    /// The one of this process.
    pub(crate) fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| {
            let listener = std::net::TcpListener::bind(("127.0.0.1", PORT))
                .or_else(|_| std::net::TcpListener::bind("127.0.0.1:0"))
                .unwrap();
            listener.set_nonblocking(true).unwrap();
            let address = format!("http://{}", listener.local_addr().unwrap());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                    axum::serve(listener, Router::new().fallback(answer)).await
                })
            });
            Self {
                address,
                repositories: Mutex::default(),
            }
        })
    }

    pub(crate) fn put(&self, repository: &str, host: &Arc<Host>) {
        let mut repositories = self.repositories.lock().unwrap();
        repositories.insert(repository.to_owned(), Arc::clone(host));
    }

    pub(crate) fn remove(&self, repository: &str) {
        self.repositories.lock().unwrap().remove(repository);
    }
}

fn reply(status: u16, wait_seconds: Option<i64>, body: &'static str) -> Response<Body> {
    let mut response = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    if let Some(seconds) = wait_seconds {
        response = response.header("retry-after", seconds.to_string());
    }
    response.body(Body::from(body)).unwrap()
}

/// `/api/v3/repos/acme/{repository}/statuses/{sha}`
async fn answer(request: Request) -> Response<Body> {
    let path: Vec<String> = request.uri().path().split('/').map(str::to_owned).collect();
    let host = Server::get().repositories.lock().unwrap().get(&path[5]).cloned();
    let authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
    let body = to_bytes(request.into_body(), LONGEST_BODY).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    match host {
        Some(host) => host.answer(&path[5], &path[7], &authorization, &body).await,
        // One that was given up: its history is over.
        None => reply(503, None, "{}"),
    }
}

impl Host {
    async fn answer(&self, repository: &str, sha: &str, authorization: &str, body: &Value) -> Response<Body> {
        let context = body["context"].as_str().unwrap().to_owned();
        let state = body["state"].as_str().unwrap().to_owned();
        let label = format!("posts {state} as {context} on {:.7}", sha);
        if self.sched.turn(format!("before it {label}"), false).await == Fault::CrashBefore {
            return self.sched.crash().await;
        }
        let Some(current) = self.sched.current() else {
            return reply(503, None, "{}");
        };
        let now = self.sched.clock.millis();
        let pk = format!("{}/acme/{repository}@{sha}", self.authority());
        let posted = self.posted(&pk, &context);
        let key = format!("{pk} {context}");
        self.watch
            .lock()
            .unwrap()
            .posts(current.invocation, &key, posted, now);
        let (status, effect, wait) = self.decide(authorization, now);
        let mut ambiguous = false;
        if effect {
            let mut shown = self.shown.lock().unwrap();
            let shown = shown.entry((sha.to_owned(), context)).or_default();
            shown.states.push((state, current.invocation));
            ambiguous = status != 201;
            shown.ambiguous += usize::from(ambiguous);
        }
        self.sched.tell(format!(
            "host: Poster#{} {label}: {status}{}",
            current.invocation,
            if ambiguous { ", but taken" } else { "" },
        ));
        self.sched.done();
        // A crash here is one after the post.
        if self.sched.turn(format!("after it {label}"), false).await != Fault::None {
            return self.sched.crash().await;
        }
        if let Some(seconds) = wait {
            // Counted from the answer, or a little before it.
            self.named
                .lock()
                .unwrap()
                .push((current.invocation, now + seconds * 1000));
        }
        self.sched.done();
        reply(status, wait, r#"{"message":"simulated"}"#)
    }

    fn authority(&self) -> &'static str {
        Server::get().address.trim_start_matches("http://")
    }

    /// The change the table says was posted.
    fn posted(&self, pk: &str, sk: &str) -> u64 {
        let request = serde_json::json!({
            "TableName": self.statuses, "ConsistentRead": true, "Key": { "pk": { "S": pk }, "sk": { "S": sk } },
        });
        let (_, answer) = self.table.serve("GetItem", &request.to_string());
        let item: Value = serde_json::from_str(&answer).unwrap();
        let rev = item["Item"]["posted"]["M"]["rev"]["N"].as_str().unwrap_or("0");
        rev.parse().unwrap()
    }

    /// Status, whether it takes the post, and how many seconds it asks to wait.
    fn decide(&self, authorization: &str, now: i64) -> (u16, bool, Option<i64>) {
        if authorization != format!("Bearer {}", token(*self.token.lock().unwrap())) {
            return (401, false, None);
        }
        let trouble = self
            .outages
            .iter()
            .find(|outage| (outage.from..outage.to).contains(&now));
        if let Some(outage) = trouble {
            return match outage.trouble {
                Trouble::Down => (503, false, None),
                Trouble::Mute => (502, true, None),
                Trouble::Limited => {
                    let left = (outage.to - now) / 1000 + 1;
                    (429, false, Some(left.min(i64::from(LONGEST_WAIT_SECONDS))))
                }
            };
        }
        if self.accidents > 0 && self.sched.below(self.accidents) == 0 {
            let seconds = i64::from(self.sched.below(LONGEST_WAIT_SECONDS)) + 1;
            return match self.sched.below(4) {
                0 => (500, false, None),
                1 => (502, true, None),
                2 => (429, false, Some(seconds)),
                _ => (403, false, Some(seconds)),
            };
        }
        (201, true, None)
    }
}
