//! A Git host that has bad days. One listener serves every history, told apart by repository, on the same port whenever
//! that is free: the address is part of every key, and a seed is to repeat exactly.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::{self, Bytes, to_bytes};
use axum::extract;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use hosts::HostKind;
use jiff::Timestamp;
use local::stand_in::{Answer, Body, Post, Request, StandIn, Token};
use serde_json::{Value, json};

use super::history::History;
use super::oracle::Key;
use super::queue::token;
use super::sched::{Current, Fault, Sched};
use super::table::Table;
use super::watch::Watch;

const PORT: u16 = 18_373;
const LONGEST_BODY: usize = 1 << 16;
/// What every repository's name begins with.
const REPOSITORY: &str = "fleet-";
/// Whose the tokens are.
const USER: &str = "flux";
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

/// What the host was told of one context of one commit.
#[derive(Debug, Default, Clone)]
pub(crate) struct Told {
    /// Who told it, for each post it took.
    pub(crate) by: Vec<u64>,
    /// Times it took a post and did not say so.
    pub(crate) ambiguous: usize,
}

/// One repository.
pub(crate) struct Host {
    pub(crate) kind: HostKind,
    stand_in: Mutex<StandIn>,
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
    token: Mutex<u32>,
    pub(crate) told: Mutex<BTreeMap<Key, Told>>,
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
    answer: Answer,
    /// It takes the post.
    takes: bool,
    wait_seconds: Option<i64>,
}

impl Reply {
    /// An answer that has nothing to do with what was asked.
    fn fault(status: u16, message: &str) -> Self {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: vec![("content-type", "application/json".to_owned())],
            body: Body::Json(json!({ "message": message, "error": { "message": message } })),
        };
        Self {
            answer,
            takes: false,
            wait_seconds: None,
        }
    }

    fn wait(mut self, seconds: i64) -> Self {
        self.answer.headers.push(("retry-after", seconds.to_string()));
        Self {
            wait_seconds: Some(seconds),
            ..self
        }
    }

    /// It takes the post and does not say so.
    fn is_ambiguous(&self) -> bool {
        self.takes && !self.answer.status.is_success()
    }

    /// Some proxies say too much: every message of a refusal says what was let in with.
    fn respond(mut self, credential: &str) -> Response<body::Body> {
        if !self.answer.status.is_success()
            && let Body::Json(body) = &mut self.answer.body
        {
            say_too_much(body, credential);
        }
        self.answer.into_response()
    }
}

fn say_too_much(body: &mut Value, credential: &str) {
    match body {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "message" => *text = format!("{text} {credential}"),
                    value => say_too_much(value, credential),
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                say_too_much(value, credential);
            }
        }
        _ => {}
    }
}

/// A request, whichever host it is for.
struct Asked {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    fn request(&self, now: Timestamp) -> Request<'_> {
        Request {
            method: self.method.as_str(),
            target: &self.target,
            headers: &self.headers,
            body: &self.body,
            now,
        }
    }

    /// The name of the repository.
    fn repository(&self) -> Option<&str> {
        let begin = self.target.find(REPOSITORY)?;
        self.target[begin..].split('/').next()
    }
}

/// Commit and context, as people see them.
fn key(post: &Post) -> Key {
    let context = post.name.as_ref().unwrap_or(&post.context);
    (post.sha.clone(), context.clone())
}

async fn answer(request: extract::Request) -> Response<body::Body> {
    let (parts, body) = request.into_parts();
    let asked = Asked {
        method: parts.method,
        target: parts.uri.path_and_query().unwrap().to_string(),
        headers: parts.headers,
        body: to_bytes(body, LONGEST_BODY).await.unwrap(),
    };
    let repository = asked.repository().unwrap_or_default();
    let host = Server::get()
        .repositories
        .lock()
        .unwrap()
        .get(repository)
        .cloned();
    match host {
        Some(host) => match StandIn::read(host.kind, &asked.request(host.sched.clock.now())) {
            Some(post) => host.post(&asked, &post).await,
            None => host.question(&asked).await,
        },
        // One that was given up: its history is over.
        None => Reply::fault(503, "").respond(""),
    }
}

fn bot(generation: u32) -> Token {
    Token::new(USER, &token(generation))
}

/// As long as the Provider gives a post: what takes longer is given up.
fn longest_post_millis(kind: HostKind) -> i64 {
    match kind {
        HostKind::AzureDevOps => 40_000,
        _ => 15_000,
    }
}

impl Host {
    pub(crate) fn new(
        history: &History,
        sched: &Arc<Sched>,
        table: &Table,
        watch: &Arc<Mutex<Watch>>,
        statuses: &str,
    ) -> Self {
        Self {
            kind: history.kind,
            stand_in: Mutex::new(StandIn::new(history.kind, bot(0))),
            sched: Arc::clone(sched),
            table: table.clone(),
            watch: Arc::clone(watch),
            statuses: statuses.to_owned(),
            outages: history.outages.clone(),
            accidents: history.accidents,
            unknown: Mutex::new(2),
            token: Mutex::default(),
            told: Mutex::default(),
            named: Mutex::default(),
        }
    }

    /// Takes the token of that generation, and no longer the one before it.
    pub(crate) fn take_token(&self, generation: u32) {
        let mut token = self.token.lock().unwrap();
        if *token != generation {
            *token = generation;
            self.stand_in.lock().unwrap().set_token(bot(generation));
        }
    }

    /// The state that people see, in the host's word.
    pub(crate) fn shows(&self, key: &Key) -> Option<String> {
        let stand_in = self.stand_in.lock().unwrap();
        let mut shown = stand_in.all_shown(&key.0).into_iter();
        shown
            .find(|shown| shown.visible() == key.1)
            .map(|shown| shown.state.clone())
    }

    async fn post(&self, asked: &Asked, post: &Post) -> Response<body::Body> {
        let key = key(post);
        let (sha, context) = &key;
        let label = format!("posts {} as {context} on {sha:.7}", post.state);
        let sent = self.sched.clock.millis();
        // Posters give up by a clock that is not the simulation's: what they would have given up by now is lost.
        let is_late = |current: Current| {
            let lease = self.watch.lock().unwrap().lease(current.invocation);
            let over = lease
                .unwrap_or(i64::MAX)
                .min(sent + longest_post_millis(self.kind));
            self.sched.clock.millis() > over
        };
        if self.sched.turn(format!("before it {label}"), false).await == Fault::CrashBefore {
            return self.sched.crash().await;
        }
        let Some(current) = self.sched.current() else {
            return Reply::fault(503, "").respond("");
        };
        if is_late(current) {
            self.sched.tell(format!("host: {label}: lost on the way"));
            self.sched.done();
            return Reply::fault(504, "").respond("");
        }
        let now = self.sched.clock.millis();
        let pk = format!("{}/{}@{sha}", self.authority(), post.repository);
        let posted = self.posted(&pk, context);
        {
            let mut watch = self.watch.lock().unwrap();
            watch.posts(current.invocation, &format!("{pk} {context}"), posted, now);
            if self.kind == HostKind::GitHub {
                watch.one_at_a_time(current.invocation, now, |id| self.sched.is_alive(id));
            }
        }
        let mut reply = self.decide(asked, sha, now);
        if reply.takes {
            let mut told = self.told.lock().unwrap();
            told.entry(key.clone()).or_default().by.push(current.invocation);
        }
        self.sched.tell(format!(
            "host: Poster#{} {label}: {}{}",
            current.invocation,
            reply.answer.status.as_u16(),
            if reply.is_ambiguous() { ", but taken" } else { "" },
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
                ..Reply::fault(504, "")
            };
        }
        if reply.is_ambiguous() {
            self.told.lock().unwrap().entry(key).or_default().ambiguous += 1;
        }
        self.watch.lock().unwrap().answered(current.invocation);
        if let Some(seconds) = reply.wait_seconds {
            // Counted from when the answer arrives.
            let until = self.sched.clock.millis() + seconds * 1000;
            self.named.lock().unwrap().push((current.invocation, until));
        }
        self.sched.done();
        reply.respond(&post.credential)
    }

    /// Only Gitea is asked something: whether it knows a commit, where its answer to a post has left that open.
    async fn question(&self, asked: &Asked) -> Response<body::Body> {
        let sha = asked.target.rsplit('/').next().unwrap_or_default();
        let label = format!("asks for {sha:.7}");
        let is_about_a_commit = self.kind == HostKind::Gitea
            && asked.method == Method::GET
            && asked.target.contains("/git/commits/");
        if !is_about_a_commit {
            let line = format!("{} {} is no post", asked.method, asked.target);
            self.watch.lock().unwrap().violations.push(line);
        }
        if self.sched.turn(format!("before it {label}"), false).await != Fault::None {
            return self.sched.crash().await;
        }
        let answer = {
            let mut stand_in = self.stand_in.lock().unwrap();
            let answer = stand_in.answer(&asked.request(self.sched.clock.now()));
            // It said so, and has it the next time.
            stand_in.learn_commit(sha);
            answer
        };
        self.sched
            .tell(format!("host: {label}: {}", answer.status.as_u16()));
        self.sched.done();
        answer.into_response()
    }

    fn authority(&self) -> &'static str {
        Server::get().address.trim_start_matches("http://")
    }

    /// The change the table says was posted.
    fn posted(&self, pk: &str, context: &str) -> u64 {
        let sk = match self.kind {
            // The one that takes contexts for the same whatever their case.
            HostKind::GitHub => context.to_lowercase(),
            _ => context.to_owned(),
        };
        let request = json!({
            "TableName": self.statuses, "ConsistentRead": true, "Key": { "pk": { "S": pk }, "sk": { "S": sk } },
        });
        let (_, answer) = self.table.serve("GetItem", &request.to_string());
        let item: Value = serde_json::from_str(&answer).unwrap();
        let rev = item["Item"]["posted"]["M"]["rev"]["N"].as_str().unwrap_or("0");
        rev.parse().unwrap()
    }

    fn decide(&self, asked: &Asked, sha: &str, now: i64) -> Reply {
        let trouble = self
            .outages
            .iter()
            .find(|outage| (outage.from..outage.to).contains(&now));
        if let Some(outage) = trouble {
            return match outage.trouble {
                Trouble::Down => Reply::fault(503, "Unavailable"),
                Trouble::Mute => self.muted(asked),
                Trouble::Limited => {
                    let left = (outage.to - now) / 1000 + 1;
                    let left = left.min(i64::from(LONGEST_WAIT_SECONDS));
                    Reply::fault(429, "Too many requests").wait(left)
                }
            };
        }
        if self.accidents > 0 && self.sched.below(self.accidents) == 0 {
            let seconds = i64::from(self.sched.below(LONGEST_WAIT_SECONDS)) + 1;
            return match self.sched.below(6) {
                0 => Reply::fault(500, "Oops"),
                1 => self.muted(asked),
                2 => Reply::fault(429, "Too many requests").wait(seconds),
                3 => Reply::fault(403, "You have exceeded a secondary rate limit").wait(seconds),
                4 => Reply::fault(409, "Another update to this commit status is in progress"),
                _ => self.does_not_know_the_commit(asked, sha),
            };
        }
        self.ask(asked)
    }

    /// What the host itself does.
    fn ask(&self, asked: &Asked) -> Reply {
        let mut stand_in = self.stand_in.lock().unwrap();
        let before = stand_in.received().len();
        let answer = stand_in.answer(&asked.request(self.sched.clock.now()));
        Reply {
            answer,
            takes: stand_in.received().len() > before,
            wait_seconds: None,
        }
    }

    /// It may take the post, and does not say so.
    fn muted(&self, asked: &Asked) -> Reply {
        Reply {
            takes: self.ask(asked).takes,
            ..Reply::fault(502, "Bad gateway")
        }
    }

    fn does_not_know_the_commit(&self, asked: &Asked, sha: &str) -> Reply {
        let mut left = self.unknown.lock().unwrap();
        if *left == 0 {
            return Reply::fault(500, "Oops");
        }
        *left -= 1;
        self.stand_in.lock().unwrap().forget_commit(sha);
        let reply = self.ask(asked);
        // Gitea does not say so before it is asked.
        if self.kind != HostKind::Gitea {
            self.stand_in.lock().unwrap().learn_commit(sha);
        }
        reply
    }
}
