//! The way over the network, against servers on this machine.

mod probe;
mod ways;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::dns::{Addrs, Name, Resolving};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use HostKind::{AzureDevOps, Bitbucket, BitbucketServer, GitHub, GitLab, Gitea};

const SHA: &str = "a1afe267b54f38b46b487f6e938a6fd508278c07";
const CANARY: &str = "c4n4ry-0f-the-m1ne";
/// Nobody waits for it where all goes well.
const LONG: Duration = Duration::from_secs(30);
/// Servers that keep silent are waited for this long.
const SHORT: Duration = Duration::from_millis(200);

/// The servers are on this machine.
const THIS_MACHINE: &str = "127.0.0.0/8";

const NOW: i64 = 1_786_108_382;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn now() -> Timestamp {
    at(NOW)
}

/// `ok`, the name of the decision, `forbidden` and its like, or `until +60` in seconds from now, and `used up until +60`
/// if the posts did not come too fast.
fn decision(outcome: &Result<(), PostError>) -> String {
    match outcome {
        Ok(()) => "ok".into(),
        Err(PostError::Ambiguous(_)) => "ambiguous".into(),
        Err(PostError::NotSent(_)) => "not sent".into(),
        Err(PostError::Conflict(_)) => "conflict".into(),
        Err(PostError::RateLimited { until, too_fast, .. }) => {
            let used_up = if *too_fast { "" } else { "used up " };
            format!("{used_up}until +{}", until.as_second() - NOW)
        }
        Err(PostError::Unauthorized(_)) => "unauthorized".into(),
        Err(PostError::UnknownCommit(_)) => "unknown commit".into(),
        Err(PostError::Permanent { reason, .. }) => (*reason).into(),
    }
}

fn repository(host_kind: HostKind, root: &str) -> Repository {
    let address = match host_kind {
        BitbucketServer => format!("{root}/scm/acme/fleet.infra.git"),
        AzureDevOps => format!("{root}/acme/web/_git/fleet.infra"),
        _ => format!("{root}/acme/fleet.infra"),
    };
    Repository::parse(host_kind, &address, false).unwrap()
}

fn credential_in(host_kind: HostKind, secret: &str) -> Credential {
    match host_kind.access(&secret.into(), None).unwrap() {
        Access::Direct(credential) => credential,
        Access::GitHubApp(_) => panic!("no token"),
    }
}

async fn post(host_kind: HostKind, root: &str, timeout: Duration) -> Result<(), PostError> {
    post_at(host_kind, root, timeout, &now).await
}

async fn post_at(
    host_kind: HostKind,
    root: &str,
    timeout: Duration,
    clock: &impl Fn() -> Timestamp,
) -> Result<(), PostError> {
    let hosts = Hosts::new(THIS_MACHINE.parse().unwrap()).unwrap();
    post_over(&hosts, host_kind, root, timeout, clock).await
}

async fn post_over(
    hosts: &Hosts,
    host_kind: HostKind,
    root: &str,
    timeout: Duration,
    clock: &impl Fn() -> Timestamp,
) -> Result<(), PostError> {
    let repository = repository(host_kind, root);
    let credential = match host_kind {
        Bitbucket => format!(r#"{{"token":"user:{CANARY}"}}"#),
        _ => format!(r#"{{"token":"{CANARY}"}}"#),
    };
    let credential = credential_in(host_kind, &credential);
    let status = CommitStatus {
        repository: &repository,
        sha: &SHA.parse().unwrap(),
        context: "dev/apps/kustomization/podinfo",
        summary: None,
        state: State::Failure,
        description: "health check failed",
        target_url: None,
    };
    let outcome = hosts
        .post(&hosts.straight, &credential, &status, timeout, clock)
        .await;
    if let Err(error) = &outcome {
        let told = format!("{error} {error:?}");
        assert!(!told.contains(CANARY), "{told}");
        assert!(!told.contains(credential.value().to_str().unwrap()), "{told}");
        assert!(error.message().chars().count() <= 200, "{told}");
    }
    outcome
}

async fn answering(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(template).mount(&server).await;
    server
}

async fn the_only_request(server: &MockServer) -> Request {
    let mut requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

fn path_of(host_kind: HostKind) -> String {
    match host_kind {
        GitHub => format!("/api/v3/repos/acme/fleet.infra/statuses/{SHA}"),
        GitLab => format!("/api/v4/projects/acme%2Ffleet%2Einfra/statuses/{SHA}"),
        Bitbucket => format!("/2.0/repositories/acme/fleet.infra/commit/{SHA}/statuses/build"),
        BitbucketServer => {
            format!("/rest/api/latest/projects/acme/repos/fleet.infra/commits/{SHA}/builds")
        }
        Gitea => format!("/api/v1/repos/acme/fleet.infra/statuses/{SHA}"),
        AzureDevOps => format!("/acme/web/_apis/git/repositories/fleet.infra/commits/{SHA}/statuses"),
    }
}

fn headers_of(request: &Request) -> Vec<(String, String)> {
    let mut headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| name != "host" && name != "content-length")
        .collect();
    headers.sort();
    headers
}

async fn asserts_the_whole_request(host_kind: HostKind, headers: &[(&str, &str)], body: Value) {
    let server = answering(ResponseTemplate::new(201)).await;

    assert_eq!(post(host_kind, &server.uri(), LONG).await, Ok(()));

    let request = the_only_request(&server).await;
    assert_eq!(request.method.as_str(), "POST");
    assert_eq!(request.url.path(), path_of(host_kind));
    assert_eq!(request.url.query(), None);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    assert_eq!(headers_of(&request), headers);
    assert_eq!(request.body_json::<Value>().unwrap(), body);
}

#[tokio::test]
async fn posts_to_github() {
    asserts_the_whole_request(
        GitHub,
        &[
            ("accept", "application/vnd.github+json"),
            ("authorization", "Bearer c4n4ry-0f-the-m1ne"),
            ("content-type", "application/json"),
            ("user-agent", USER_AGENT),
            ("x-github-api-version", "2022-11-28"),
        ],
        json!({
            "state": "failure",
            "description": "health check failed",
            "context": "dev/apps/kustomization/podinfo",
        }),
    )
    .await;
}

#[tokio::test]
async fn posts_to_gitlab() {
    asserts_the_whole_request(
        GitLab,
        &[
            ("accept", "*/*"),
            ("content-type", "application/json"),
            ("private-token", CANARY),
            ("user-agent", USER_AGENT),
        ],
        json!({
            "state": "failed",
            "name": "dev/apps/kustomization/podinfo",
            "description": "health check failed",
        }),
    )
    .await;
}

#[tokio::test]
async fn posts_to_bitbucket() {
    asserts_the_whole_request(
        Bitbucket,
        &[
            ("accept", "*/*"),
            ("authorization", "Basic dXNlcjpjNG40cnktMGYtdGhlLW0xbmU="),
            ("content-type", "application/json"),
            ("user-agent", USER_AGENT),
        ],
        json!({
            "key": "a144f8a42935d90a626d1f8340a5619974f462b2",
            "url": format!("https://bitbucket.org/acme/fleet.infra/commits/{SHA}"),
            "state": "FAILED",
            "name": "dev/apps/kustomization/podinfo",
            "description": "health check failed",
        }),
    )
    .await;
}

#[tokio::test]
async fn every_answer_costs_one_request_and_is_a_decision() {
    let cases = [
        (200, "ok"),
        (201, "ok"),
        (301, "moved"),
        (302, "moved"),
        (400, "rejected"),
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "not-found"),
        (409, "conflict"),
        (410, "gone"),
        (422, "rejected"),
        (429, "until +60"),
        (500, "ambiguous"),
        (502, "ambiguous"),
        (503, "ambiguous"),
    ];
    for host_kind in HostKind::ALL {
        for (code, expected) in cases {
            let server = answering(ResponseTemplate::new(code)).await;

            let outcome = post(host_kind, &server.uri(), LONG).await;

            assert_eq!(decision(&outcome), expected, "{host_kind} {code}");
            // Gitea is asked about the commit where its answer does not tell.
            let requests = if (host_kind, code) == (Gitea, 500) { 2 } else { 1 };
            assert_eq!(server.received_requests().await.unwrap().len(), requests);
        }
    }
}

#[tokio::test]
async fn a_host_is_understood_over_the_wire() {
    let cases = [
        (
            GitHub,
            ResponseTemplate::new(422).set_body_json(json!({"message": "No commit found for SHA: a1afe26"})),
            "unknown commit",
        ),
        (
            GitHub,
            ResponseTemplate::new(403)
                .insert_header("x-ratelimit-remaining", "0")
                .insert_header("x-ratelimit-reset", "1786108412")
                .set_body_json(json!({"message": "API rate limit exceeded"})),
            "used up until +30",
        ),
        (
            GitLab,
            ResponseTemplate::new(400)
                .set_body_json(json!({"message": "Cannot transition status via :drop from :failed"})),
            "ok",
        ),
        (
            Bitbucket,
            ResponseTemplate::new(404).set_body_json(json!({"error": {"message": "Commit not found"}})),
            "unknown commit",
        ),
    ];
    for (host_kind, template, expected) in cases {
        let server = answering(template).await;
        assert_eq!(decision(&post(host_kind, &server.uri(), LONG).await), expected);
    }
}

/// The post takes 10 seconds.
#[tokio::test]
async fn a_wait_is_counted_from_the_answer_and_an_instant_is_taken_as_it_is() {
    let reset = (NOW + 90).to_string();
    let cases = [
        (("retry-after", "90"), "until +100"),
        (("retry-after", "Fri, 07 Aug 2026 13:14:32 GMT"), "until +90"),
        (("ratelimit-reset", reset.as_str()), "until +90"),
        (("x-other", ""), "until +70"),
    ];
    for ((name, value), expected) in cases {
        let clock = Arc::new(AtomicI64::new(NOW));
        let server = MockServer::start().await;
        let (answer, moving) = (
            ResponseTemplate::new(429).insert_header(name, value),
            Arc::clone(&clock),
        );
        Mock::given(any())
            .respond_with(move |_: &Request| {
                moving.fetch_add(10, Ordering::Relaxed);
                answer.clone()
            })
            .mount(&server)
            .await;

        let outcome = post_at(GitLab, &server.uri(), LONG, &|| at(clock.load(Ordering::Relaxed))).await;

        assert_eq!(decision(&outcome), expected, "{name}: {value}");
    }
}

#[tokio::test]
async fn an_echoed_credential_is_masked_before_the_message_is_cut() {
    // The token would straddle the cut.
    let filling = "x".repeat(200 - "401 ".len() - CANARY.len() / 2);
    for host_kind in HostKind::ALL {
        for echo in [CANARY, "dXNlcjpjNG40cnktMGYtdGhlLW0xbmU="] {
            let words = format!("{filling}{echo}\n\t{}", "y".repeat(300));
            let body = match host_kind {
                Bitbucket => json!({"error": {"message": words}}),
                _ => json!({"message": words}),
            };
            let server = answering(ResponseTemplate::new(401).set_body_json(body)).await;

            let error = post(host_kind, &server.uri(), LONG).await.unwrap_err();

            assert!(!error.message().contains(&CANARY[..4]), "{error}");
            assert!(!error.message().contains(char::is_control), "{error}");
        }
    }
}

#[tokio::test]
async fn a_renamed_repository_is_followed_with_method_body_and_credential() {
    for host_kind in HostKind::ALL {
        for code in [301, 302, 307, 308] {
            let server = MockServer::start().await;
            Mock::given(path("/renamed"))
                .respond_with(ResponseTemplate::new(201))
                .mount(&server)
                .await;
            Mock::given(any())
                .respond_with(ResponseTemplate::new(code).insert_header("location", "/renamed"))
                .mount(&server)
                .await;

            assert_eq!(post(host_kind, &server.uri(), LONG).await, Ok(()), "{code}");

            let requests = server.received_requests().await.unwrap();
            let [first, second] = requests.as_slice() else {
                panic!("{} requests", requests.len());
            };
            assert_eq!(first.url.path(), path_of(host_kind));
            assert_eq!(second.url.path(), "/renamed");
            assert_eq!(second.method, first.method);
            assert_eq!(second.body, first.body);
            assert_eq!(headers_of(second), headers_of(first));
        }
    }
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let server = answering(ResponseTemplate::new(307).insert_header("location", "/again")).await;

    assert_eq!(decision(&post(GitHub, &server.uri(), LONG).await), "moved");
    assert_eq!(server.received_requests().await.unwrap().len(), 1 + MAX_REDIRECTS);
}

#[tokio::test]
async fn p11_the_credential_does_not_follow_to_another_host() {
    let elsewhere = answering(ResponseTemplate::new(201)).await;
    let https = elsewhere.uri().replace("http://", "https://");
    let query = format!("{}/x?token={CANARY}", elsewhere.uri());
    for location in [elsewhere.uri(), https, query, "//bitbucket.org/a".to_owned()] {
        let server = answering(ResponseTemplate::new(301).insert_header("location", location.as_str())).await;

        let error = post(GitLab, &server.uri(), LONG).await.unwrap_err();

        assert_eq!(decision(&Err(error.clone())), "moved", "{location}");
        assert!(error.message().starts_with("redirected to http"), "{error}");
        the_only_request(&server).await;
    }
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_see_other_is_not_followed() {
    let server = answering(ResponseTemplate::new(303).insert_header("location", "/login")).await;

    assert_eq!(decision(&post(GitLab, &server.uri(), LONG).await), "moved");
    the_only_request(&server).await;
}

#[tokio::test]
async fn a_silent_host_may_have_taken_it() {
    let server = answering(ResponseTemplate::new(201).set_delay(LONG)).await;

    let error = post(GitHub, &server.uri(), SHORT).await.unwrap_err();

    assert_eq!(error, PostError::Ambiguous("no answer within 200ms".into()));
}

/// A server that answers every connection alike.
async fn serving<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream));
        }
    });
    address
}

/// Reads a request to its end: a body that is a JSON object of no depth.
async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        if stream.read_buf(&mut request).await.unwrap() == 0 {
            return;
        }
    }
}

#[tokio::test]
async fn a_refused_connection_was_not_sent() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };

    let error = post(GitHub, &format!("http://{address}"), LONG)
        .await
        .unwrap_err();

    assert_eq!(decision(&Err(error.clone())), "not sent");
    assert!(error.message().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_failed_handshake_was_not_sent() {
    let address = serving(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;

    let outcome = post(GitLab, &format!("https://{address}"), LONG).await;

    assert_eq!(decision(&outcome), "not sent", "{outcome:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_may_have_been_enough() {
    let address = serving(|mut stream| async move { read_request(&mut stream).await }).await;

    let outcome = post(Bitbucket, &format!("http://{address}"), LONG).await;

    assert_eq!(decision(&outcome), "ambiguous", "{outcome:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_counts_as_far_as_its_status_goes() {
    let cases = [
        ("201 Created", "ok"),
        ("401 Unauthorized", "unauthorized"),
        ("422 Unprocessable Entity", "ambiguous"),
        ("400 Bad Request", "ambiguous"),
        ("500 Internal Server Error", "ambiguous"),
    ];
    // Once the connection is closed, once it stays open and nothing more comes.
    let posts = cases.into_iter().flat_map(|case| [(case, false), (case, true)]);
    futures_util::future::join_all(posts.map(|((status, expected), stays_open)| async move {
        let address = serving(move |mut stream| async move {
            read_request(&mut stream).await;
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 100\r\n\r\n{{\"mess");
            stream.write_all(answer.as_bytes()).await.unwrap();
            if stays_open {
                std::future::pending::<()>().await;
            }
        })
        .await;

        let outcome = post(GitLab, &format!("http://{address}"), SHORT * 5).await;

        assert_eq!(decision(&outcome), expected, "{status} {stays_open} {outcome:?}");
    }))
    .await;
}

#[tokio::test]
async fn an_endless_answer_is_read_to_the_limit_only() {
    let address = serving(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 403 Forbidden\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        let chunk = format!("1000\r\n{}\r\n", "z".repeat(0x1000));
        while stream.write_all(chunk.as_bytes()).await.is_ok() {}
    })
    .await;

    let outcome = post(GitHub, &format!("http://{address}"), LONG).await;

    assert_eq!(decision(&outcome), "forbidden");
}

#[tokio::test]
async fn one_connection_carries_many_posts() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let address = serving(move |mut stream| {
        counter.fetch_add(1, Ordering::Relaxed);
        async move {
            loop {
                read_request(&mut stream).await;
                let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    let repository = repository(GitHub, &format!("http://{address}"));
    let credential = credential_in(GitHub, r#"{"token":"t"}"#);
    let sha = SHA.parse().unwrap();
    let hosts = Hosts::new(THIS_MACHINE.parse().unwrap()).unwrap();
    for state in [State::Pending, State::Failure, State::Success] {
        let status = CommitStatus {
            repository: &repository,
            sha: &sha,
            context: "c",
            summary: None,
            state,
            description: "d",
            target_url: None,
        };
        assert_eq!(
            hosts
                .post(&hosts.straight, &credential, &status, LONG, &now)
                .await,
            Ok(())
        );
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

/// A resolver that gives these answers one after the other, and the number of questions it was asked.
#[derive(Default)]
struct Lookup {
    answers: Mutex<VecDeque<Vec<SocketAddr>>>,
    questions: AtomicUsize,
}

impl Lookup {
    fn answering(answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers
            .iter()
            .map(|ips| {
                ips.iter()
                    .map(|ip| SocketAddr::new(ip.parse().unwrap(), 0))
                    .collect()
            })
            .collect();
        Arc::new(Self {
            answers: Mutex::new(answers),
            ..Self::default()
        })
    }
}

impl Resolve for Lookup {
    fn resolve(&self, _: Name) -> Resolving {
        self.questions.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async move {
            let addresses: Addrs = Box::new(answer.ok_or("no such name")?.into_iter());
            Ok(addresses)
        })
    }
}

/// A server that takes every post and closes the connection, on the same port of several addresses of this machine; and
/// how many connections each had.
async fn serving_on<const N: usize>(ips: [&str; N]) -> (u16, [Arc<AtomicUsize>; N]) {
    let connections = std::array::from_fn(|_| Arc::new(AtomicUsize::new(0)));
    let listeners = loop {
        let first = TcpListener::bind((ips[0], 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut listeners = vec![first];
        for ip in &ips[1..] {
            // Somebody else may have that port there.
            match TcpListener::bind((*ip, port)).await {
                Ok(listener) => listeners.push(listener),
                Err(_) => break,
            }
        }
        if listeners.len() == N {
            break listeners;
        }
    };
    let port = listeners[0].local_addr().unwrap().port();
    for (listener, count) in listeners.into_iter().zip(&connections) {
        let count = Arc::clone(count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                read_request(&mut stream).await;
                let answer = b"HTTP/1.1 201 Created\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
                stream.write_all(answer).await.unwrap();
            }
        });
    }
    (port, connections)
}

fn counted<const N: usize>(connections: &[Arc<AtomicUsize>; N]) -> [usize; N] {
    std::array::from_fn(|n| connections[n].load(Ordering::Relaxed))
}

fn hosts_with(lookup: &Arc<Lookup>, allowed: &str) -> Hosts {
    Hosts::resolving_with(Arc::clone(lookup) as Arc<dyn Resolve>, allowed.parse().unwrap()).unwrap()
}

#[tokio::test]
async fn p11_an_address_in_any_spelling_is_refused_before_anything_is_connected_to() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let loopback = "loopback address 127.0.0.1 is not in AllowedPrivateRanges: 127.0.0.1";
    let metadata = "link-local address 169.254.169.254 is not named in AllowedPrivateRanges: 169.254.169.254";
    let cases = [
        ("http://127.0.0.1", loopback),
        ("https://127.0.0.1", loopback),
        ("https://127.0.0.1.", loopback),
        ("https://2130706433", loopback),
        ("https://0x7f000001", loopback),
        ("https://0x7f.1", loopback),
        ("https://0177.0.0.1", loopback),
        ("https://017700000001", loopback),
        ("https://127.1", loopback),
        ("https://127.0.1", loopback),
        ("https://%31%32%37.0.0.1", loopback),
        ("https://\u{ff11}27.0.0.1", loopback),
        ("https://127\u{3002}0\u{3002}0\u{3002}1", loopback),
        ("https://token@127.0.0.1", loopback),
        ("ssh://git@127.0.0.1", loopback),
        ("ssh://git@2130706433", loopback),
        (
            "https://[::ffff:127.0.0.1]",
            "loopback address 127.0.0.1 is not in AllowedPrivateRanges: [::ffff:7f00:1]",
        ),
        (
            "https://[0:0:0:0:0:ffff:7f00:0001]",
            "loopback address 127.0.0.1 is not in AllowedPrivateRanges: [::ffff:7f00:1]",
        ),
        (
            "https://[::127.0.0.1]",
            "loopback address 127.0.0.1 is not in AllowedPrivateRanges: [::7f00:1]",
        ),
        (
            "https://[::1]",
            "loopback address ::1 is not in AllowedPrivateRanges: [::1]",
        ),
        (
            "https://0",
            "unspecified address 0.0.0.0 is not in AllowedPrivateRanges: 0.0.0.0",
        ),
        (
            "https://[::]",
            "unspecified address :: is not in AllowedPrivateRanges: [::]",
        ),
        (
            "https://10.1.2.3",
            "private address 10.1.2.3 is not in AllowedPrivateRanges: 10.1.2.3",
        ),
        ("https://169.254.169.254", metadata),
        ("https://2852039166", metadata),
        ("https://0xa9fea9fe", metadata),
        ("https://0251.0376.0251.0376", metadata),
        (
            "https://[fd00:ec2::254]",
            "metadata address fd00:ec2::254 is not named in AllowedPrivateRanges: [fd00:ec2::254]",
        ),
        // These are names, and the system's resolver is asked.
        ("http://localhost", "is not in AllowedPrivateRanges: localhost"),
        ("https://LOCALHOST", "is not in AllowedPrivateRanges: localhost"),
    ];
    let hosts = Hosts::new(AddressPolicy::default()).unwrap();
    for (root, expected) in cases {
        let root = format!("{root}:{port}");
        let error = post_over(&hosts, GitLab, &root, LONG, &now).await.unwrap_err();

        assert_eq!(
            decision(&Err(error.clone())),
            "address-refused",
            "{root}: {error}"
        );
        assert!(error.message().ends_with(expected), "{root}: {error}");
    }
    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn p11_a_name_that_leads_to_a_refused_address_is_refused() {
    let cases = [
        ("localhost.", "127.0.0.1", "loopback address 127.0.0.1 is not in"),
        (
            "gitlab.corp.example",
            "10.1.2.3",
            "private address 10.1.2.3 is not in",
        ),
        (
            "gitlab.corp.example.",
            "::ffff:10.1.2.3",
            "private address 10.1.2.3 is not in",
        ),
        (
            "127.0.0.1.nip.example",
            "127.0.0.1",
            "loopback address 127.0.0.1 is not in",
        ),
        ("git.example", "fd12::1", "private address fd12::1 is not in"),
        (
            "metadata.example",
            "169.254.169.254",
            "link-local address 169.254.169.254 is not named in",
        ),
        (
            "b\u{fc}cher.example",
            "fe80::1",
            "link-local address fe80::1 is not named in",
        ),
    ];
    for (name, ip, expected) in cases {
        let hosts = hosts_with(&Lookup::answering(&[&[ip]]), "");
        let root = format!("https://{name}");
        let error = post_over(&hosts, GitLab, &root, LONG, &now).await.unwrap_err();
        assert_eq!(
            decision(&Err(error.clone())),
            "address-refused",
            "{name}: {error}"
        );
        assert!(error.message().starts_with(expected), "{name}: {error}");
    }
}

/// Plain HTTP is for this machine, also where a range is allowed.
#[test]
fn p11_no_credential_crosses_a_network_unprotected() {
    for address in [
        "http://10.1.2.3/a/b",
        "http://gitlab.corp.example/a/b",
        "http://169.254.169.254/a/b",
    ] {
        let error = Repository::parse(GitLab, address, false).unwrap_err();
        assert!(
            error.problem.contains("would send the credential unprotected"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn p11_an_allowed_range_is_posted_to() {
    let (port, connections) = serving_on(["127.0.0.1"]).await;
    for allowed in ["127.0.0.0/8", "10.0.0.0/8, 127.0.0.1/32", "0.0.0.0/0"] {
        let hosts = Hosts::new(allowed.parse().unwrap()).unwrap();
        let root = format!("http://127.0.0.1:{port}");
        assert_eq!(
            post_over(&hosts, GitLab, &root, LONG, &now).await,
            Ok(()),
            "{allowed}"
        );
    }
    assert_eq!(counted(&connections), [3]);
}

/// The second address stands for one nobody may be led to: the first answer is judged and used, and no other asked for.
#[tokio::test]
async fn p11_what_was_judged_is_connected_to() {
    let (port, connections) = serving_on(["127.0.0.1", "127.0.0.2"]).await;
    let lookup = Lookup::answering(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let hosts = hosts_with(&lookup, "127.0.0.1/32");
    let root = format!("http://localhost:{port}");

    assert_eq!(post_over(&hosts, GitLab, &root, LONG, &now).await, Ok(()));
    assert_eq!(lookup.questions.load(Ordering::Relaxed), 1);
    assert_eq!(counted(&connections), [1, 0]);

    let error = post_over(&hosts, GitLab, &root, LONG, &now).await.unwrap_err();
    assert_eq!(
        error,
        PostError::permanent(
            refusal::ADDRESS_REFUSED,
            "loopback address 127.0.0.2 is not in AllowedPrivateRanges: localhost"
        )
    );
    assert_eq!(lookup.questions.load(Ordering::Relaxed), 2);
    assert_eq!(counted(&connections), [1, 0]);
}

#[tokio::test]
async fn p11_of_several_addresses_only_those_that_may_be_are_used() {
    let (port, connections) = serving_on(["127.0.0.1", "127.0.0.2"]).await;
    let answers: [&[&str]; 3] = [
        &["127.0.0.2", "127.0.0.1", "fd00:ec2::254"],
        &["::ffff:127.0.0.2", "127.0.0.1"],
        &["169.254.169.254", "127.0.0.2"],
    ];
    let hosts = hosts_with(&Lookup::answering(&answers), "127.0.0.1/32");
    let root = format!("http://localhost:{port}");

    assert_eq!(post_over(&hosts, GitLab, &root, LONG, &now).await, Ok(()));
    assert_eq!(post_over(&hosts, GitLab, &root, LONG, &now).await, Ok(()));
    let error = post_over(&hosts, GitLab, &root, LONG, &now).await.unwrap_err();
    assert_eq!(
        error.message(),
        "link-local address 169.254.169.254 is not named in AllowedPrivateRanges: localhost"
    );
    assert_eq!(counted(&connections), [2, 0]);
}

#[tokio::test]
async fn a_name_that_is_not_found_was_not_sent() {
    for answers in [&[][..], &[&[][..]][..]] {
        let hosts = hosts_with(&Lookup::answering(answers), "");
        let outcome = post_over(&hosts, GitLab, "https://gitlab.example", LONG, &now).await;
        assert_eq!(decision(&outcome), "not sent", "{outcome:?}");
    }
}

/// It would resolve names itself. Another process, for the environment is everybody's: there a test posts to a server of
/// its own.
#[tokio::test]
async fn p11_no_proxy_of_the_environment_is_used() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "host::tests::posts_to_gitlab"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        test.env(name, &address).env(name.to_lowercase(), &address);
    }
    for name in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        test.env_remove(name);
    }

    let output = test.output().unwrap();

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
    let nobody = proxy.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}
