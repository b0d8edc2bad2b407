//! A Git host that has bad days. One listener serves every history, told apart by repository, on the same port whenever
//! that is free: the address is part of every key, and a seed is to repeat exactly.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use serde_json::{Value, json};

use super::history::Kind;
use super::oracle::{Key, State};
use super::queue::token;
use super::sched::{Current, Fault, Sched};
use super::table::Table;
use super::watch::Watch;

const PORT: u16 = 18_373;
const LONGEST_BODY: usize = 1 << 16;
/// As long as the Provider gives a post: what takes longer is given up.
const LONGEST_POST_MILLIS: i64 = 15_000;
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
    pub(crate) kind: Kind,
    pub(crate) sched: Arc<Sched>,
    pub(crate) table: Table,
    pub(crate) watch: Arc<Mutex<Watch>>,
    pub(crate) statuses: String,
    pub(crate) outages: Vec<Outage>,
    /// One call in so many has an accident; 0 for none.
    pub(crate) accidents: u32,
    /// Times it may say that it does not know a commit: below the number after which one is given up.
    pub(crate) unknown: Mutex<u32>,
    /// Generation of the token it accepts.
    pub(crate) token: Mutex<u32>,
    pub(crate) shown: Mutex<BTreeMap<Key, Shown>>,
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

/// What the host answers.
struct Reply {
    status: u16,
    /// It takes the post.
    takes: bool,
    wait_seconds: Option<i64>,
    message: &'static str,
}

impl Reply {
    const fn taken() -> Self {
        Self::new(201, "")
    }

    const fn new(status: u16, message: &'static str) -> Self {
        Self {
            status,
            takes: status == 201,
            wait_seconds: None,
            message,
        }
    }

    fn wait(self, seconds: i64) -> Self {
        Self {
            wait_seconds: Some(seconds),
            ..self
        }
    }
}

fn respond(reply: &Reply, told: &str) -> Response<Body> {
    let mut response = Response::builder()
        .status(reply.status)
        .header("content-type", "application/json");
    if let Some(seconds) = reply.wait_seconds {
        response = response.header("retry-after", seconds.to_string());
    }
    // Some proxies say too much.
    let message = format!("{} {told}", reply.message);
    let body = json!({ "message": message, "error": { "message": message } });
    response.body(Body::from(body.to_string())).unwrap()
}

/// A post, whichever host it is for.
struct Post {
    repository: String,
    key: Key,
    state: String,
    /// The token, with what stands before it.
    authorization: String,
}

impl Post {
    fn read(path: &str, headers: &HeaderMap, body: &Value) -> Self {
        let path: Vec<&str> = path.split('/').collect();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let (repository, sha, context, authorization) = match path[1..] {
            ["api", "v3", "repos", "acme", repository, "statuses", sha] => {
                (repository, sha, "context", header("authorization"))
            }
            ["api", "v4", "projects", project, "statuses", sha] => (
                project.strip_prefix("acme%2F").unwrap(),
                sha,
                "name",
                header("private-token"),
            ),
            [
                "2.0",
                "repositories",
                "acme",
                repository,
                "commit",
                sha,
                "statuses",
                "build",
            ] => (repository, sha, "name", header("authorization")),
            _ => panic!("no host has {path:?}"),
        };
        Self {
            repository: repository.to_owned(),
            key: (sha.to_owned(), text(context)),
            state: text("state"),
            authorization,
        }
    }
}

async fn answer(request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LONGEST_BODY).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let post = Post::read(parts.uri.path(), &parts.headers, &body);
    let host = Server::get()
        .repositories
        .lock()
        .unwrap()
        .get(&post.repository)
        .cloned();
    match host {
        Some(host) => host.answer(&post).await,
        // One that was given up: its history is over.
        None => respond(&Reply::new(503, ""), ""),
    }
}

impl Host {
    async fn answer(&self, post: &Post) -> Response<Body> {
        let (sha, context) = &post.key;
        let label = format!("posts {} as {context} on {sha:.7}", post.state);
        let sent = self.sched.clock.millis();
        // Posters give up by a clock that is not the simulation's: what they would have given up by now is lost.
        let is_late = |current: Current| {
            let lease = self.watch.lock().unwrap().lease(current.invocation);
            let over = lease.unwrap_or(i64::MAX).min(sent + LONGEST_POST_MILLIS);
            self.sched.clock.millis() > over
        };
        if self.sched.turn(format!("before it {label}"), false).await == Fault::CrashBefore {
            return self.sched.crash().await;
        }
        let Some(current) = self.sched.current() else {
            return respond(&Reply::new(503, ""), "");
        };
        if is_late(current) {
            self.sched.tell(format!("host: {label}: lost on the way"));
            self.sched.done();
            return respond(&Reply::new(504, ""), "");
        }
        let now = self.sched.clock.millis();
        let pk = format!("{}/acme/{}@{sha}", self.authority(), post.repository);
        let posted = self.posted(&pk, context);
        let key = format!("{pk} {context}");
        {
            let mut watch = self.watch.lock().unwrap();
            watch.posts(current.invocation, &key, posted, now);
            if self.kind == Kind::GitHub {
                watch.one_at_a_time(current.invocation, now, |id| self.sched.is_alive(id));
            }
        }
        let mut reply = self.decide(post, now);
        if reply.takes {
            let mut shown = self.shown.lock().unwrap();
            let shown = shown.entry(post.key.clone()).or_default();
            shown.states.push((post.state.clone(), current.invocation));
        }
        self.sched.tell(format!(
            "host: Poster#{} {label}: {}{}",
            current.invocation,
            reply.status,
            if reply.takes && reply.status != 201 {
                ", but taken"
            } else {
                ""
            },
        ));
        self.sched.done();
        // A crash here is one after the post.
        if self.sched.turn(format!("after it {label}"), false).await != Fault::None {
            return self.sched.crash().await;
        }
        if is_late(current) {
            self.sched.tell(format!("host: {label}: the answer was lost"));
            reply = Reply {
                takes: reply.takes,
                ..Reply::new(504, "")
            };
        }
        if reply.takes && reply.status != 201 {
            self.shown
                .lock()
                .unwrap()
                .entry(post.key.clone())
                .or_default()
                .ambiguous += 1;
        }
        self.watch.lock().unwrap().answered(current.invocation);
        if let Some(seconds) = reply.wait_seconds {
            // Counted from when the answer arrives.
            let until = self.sched.clock.millis() + seconds * 1000;
            self.named.lock().unwrap().push((current.invocation, until));
        }
        self.sched.done();
        let told = if reply.status == 201 {
            ""
        } else {
            &post.authorization
        };
        respond(&reply, told)
    }

    fn authority(&self) -> &'static str {
        Server::get().address.trim_start_matches("http://")
    }

    /// The change the table says was posted.
    fn posted(&self, pk: &str, context: &str) -> u64 {
        let sk = match self.kind {
            // The one that takes contexts for the same whatever their case.
            Kind::GitHub => context.to_lowercase(),
            Kind::GitLab | Kind::Bitbucket => context.to_owned(),
        };
        let request = json!({
            "TableName": self.statuses, "ConsistentRead": true, "Key": { "pk": { "S": pk }, "sk": { "S": sk } },
        });
        let (_, answer) = self.table.serve("GetItem", &request.to_string());
        let item: Value = serde_json::from_str(&answer).unwrap();
        let rev = item["Item"]["posted"]["M"]["rev"]["N"].as_str().unwrap_or("0");
        rev.parse().unwrap()
    }

    fn decide(&self, post: &Post, now: i64) -> Reply {
        let token = token(*self.token.lock().unwrap());
        let authorization = match self.kind {
            Kind::GitLab => token,
            Kind::GitHub | Kind::Bitbucket => format!("Bearer {token}"),
        };
        if post.authorization != authorization {
            return Reply::new(401, "Bad credentials");
        }
        let mute = Reply {
            takes: true,
            ..Reply::new(502, "Bad gateway")
        };
        let trouble = self
            .outages
            .iter()
            .find(|outage| (outage.from..outage.to).contains(&now));
        if let Some(outage) = trouble {
            return match outage.trouble {
                Trouble::Down => Reply::new(503, "Unavailable"),
                Trouble::Mute => mute,
                Trouble::Limited => {
                    let left = (outage.to - now) / 1000 + 1;
                    Reply::new(429, "Too many requests").wait(left.min(i64::from(LONGEST_WAIT_SECONDS)))
                }
            };
        }
        if self.accidents > 0 && self.sched.below(self.accidents) == 0 {
            let seconds = i64::from(self.sched.below(LONGEST_WAIT_SECONDS)) + 1;
            return match self.sched.below(6) {
                0 => Reply::new(500, "Oops"),
                1 => mute,
                2 => Reply::new(429, "Too many requests").wait(seconds),
                3 => Reply::new(403, "You have exceeded a secondary rate limit").wait(seconds),
                4 => Reply::new(409, "Another update to this commit status is in progress"),
                _ => self.does_not_know_the_commit(),
            };
        }
        match self.kind {
            Kind::GitLab => self.transition(post),
            Kind::GitHub | Kind::Bitbucket => Reply::taken(),
        }
    }

    fn does_not_know_the_commit(&self) -> Reply {
        let mut left = self.unknown.lock().unwrap();
        if *left == 0 {
            return Reply::new(500, "Oops");
        }
        *left -= 1;
        match self.kind {
            Kind::GitHub => Reply::new(422, "No commit found for SHA"),
            Kind::GitLab => Reply::new(404, "404 Commit Not Found"),
            Kind::Bitbucket => Reply::new(404, "Commit not found"),
        }
    }

    /// GitLab knows no way from pending to pending.
    fn transition(&self, post: &Post) -> Reply {
        let pending = State::Pending.word(self.kind);
        let shown = self.shown.lock().unwrap();
        let shows = shown.get(&post.key).and_then(|shown| shown.states.last());
        if post.state == pending && shows.is_some_and(|(state, _)| state == pending) {
            return Reply::new(400, "Cannot transition status via :enqueue from :pending");
        }
        Reply::taken()
    }
}
