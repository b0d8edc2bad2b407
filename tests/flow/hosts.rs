//! The same short history for every Git host, against what it would do.

use std::collections::BTreeMap;

use hosts::HostKind;
use local::stand_in::{Credentials, Received, Server, StandIn, Token};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::events::{SHA, WireEvent, health_check_failed, progressing, succeeded};
use super::world::{TOKEN, World, rule_yaml};

const OLD: &str = "a1afe267b54f38b46b487f6e938a6fd508278c07";
const DEV: &str = "dev/apps/kustomization/podinfo";

/// A world whose statuses go to a stand-in.
pub(crate) struct Hosted {
    pub(crate) world: World,
    pub(crate) server: Server,
}

impl Hosted {
    /// `path` is that of the repository in the Provider's address.
    pub(crate) async fn new(
        kind: HostKind,
        path: &str,
        credentials: impl Into<Credentials>,
        secret: &Value,
    ) -> Self {
        let world = World::empty().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::start(listener, StandIn::new(kind, credentials), world.clock()).unwrap();
        world.store.add_cluster("dev").await.unwrap();
        world.secret("_all", secret).await;
        let provider = format!(
            "apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\n\
             metadata: {{name: git, namespace: apps}}\n\
             spec: {{type: {kind}, address: \"{}{path}\", secretRef: {{name: token}}}}\n",
            server.address()
        );
        world.apply("*", &provider).await;
        let rule = rule_yaml("podinfo", "").replace("name: github", "name: git");
        world.apply("*", &rule).await;
        Self { world, server }
    }

    /// Method and path of every call since the last time, and the status of its answer.
    pub(crate) fn calls_since(&self, before: &mut usize) -> Vec<(String, String, u16)> {
        let calls = self.server.calls().split_off(*before);
        *before += calls.len();
        let calls = calls.into_iter();
        calls
            .map(|call| (call.method, call.target, call.status))
            .collect()
    }
}

/// What is particular about a host.
pub(crate) struct Case {
    pub(crate) kind: HostKind,
    pub(crate) path: &'static str,
    pub(crate) token: Token,
    pub(crate) secret: Value,
    /// As it calls the repository.
    repository: &'static str,
    /// Its words for pending, failure, success and superseded.
    words: [&'static str; 4],
    /// Where a click leads on a commit if nobody has said so: `{root}` and `{sha}` are replaced.
    target_url: Option<&'static str>,
    taken: u16,
}

pub(crate) fn cases() -> [Case; 6] {
    let token = || Token::new("flux", TOKEN);
    let secret = || json!({ "token": TOKEN });
    [
        Case {
            kind: HostKind::GitHub,
            path: "/acme/fleet",
            token: token(),
            secret: secret(),
            repository: "acme/fleet",
            words: ["pending", "failure", "success", "error"],
            target_url: None,
            taken: 201,
        },
        Case {
            kind: HostKind::GitLab,
            path: "/gitlab/api/v4/projects/acme%2Finfra%2Ffleet",
            token: token(),
            secret: secret(),
            repository: "acme/infra/fleet",
            words: ["pending", "failed", "success", "canceled"],
            target_url: None,
            taken: 201,
        },
        Case {
            kind: HostKind::Bitbucket,
            path: "/acme/fleet",
            token: Token::password("flux@example.com", TOKEN),
            secret: json!({ "token": format!("flux@example.com:{TOKEN}") }),
            repository: "acme/fleet",
            words: ["INPROGRESS", "FAILED", "SUCCESSFUL", "STOPPED"],
            target_url: Some("https://bitbucket.org/acme/fleet/commits/{sha}"),
            taken: 201,
        },
        Case {
            kind: HostKind::BitbucketServer,
            path: "/git/scm/acme/fleet.git",
            token: Token::password("flux", TOKEN),
            secret: json!({ "username": "flux", "password": TOKEN }),
            repository: "acme/fleet",
            words: ["INPROGRESS", "FAILED", "SUCCESSFUL", "CANCELLED"],
            target_url: Some("{root}/git/projects/acme/repos/fleet/commits/{sha}"),
            taken: 204,
        },
        Case {
            kind: HostKind::Gitea,
            path: "/gitea/api/v1/repos/acme/fleet",
            token: token(),
            secret: secret(),
            repository: "acme/fleet",
            words: ["pending", "failure", "success", "error"],
            target_url: None,
            taken: 201,
        },
        Case {
            kind: HostKind::AzureDevOps,
            path: "/tfs/Main/Our%20Web/_git/fleet",
            token: token(),
            secret: secret(),
            repository: "Main/Our Web/fleet",
            words: ["pending", "error", "succeeded", "notApplicable"],
            target_url: None,
            taken: 201,
        },
    ]
}

fn on_old(event: WireEvent) -> WireEvent {
    event.revision(&format!("main@sha1:{OLD}"))
}

/// State and description of each post, in order, by commit.
fn told(received: &[Received]) -> BTreeMap<&str, Vec<(&str, &str)>> {
    let mut told: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for received in received {
        let description = received.description.as_deref().unwrap_or_default();
        let of_commit = told.entry(&received.sha).or_default();
        of_commit.push((&received.state, description));
    }
    told
}

/// All that people see on a commit.
fn seen<'a>(stand_in: &'a StandIn, sha: &str) -> Vec<(&'a str, &'a str, Option<&'a str>)> {
    let shown = stand_in.all_shown(sha).into_iter();
    shown
        .map(|shown| (shown.visible(), shown.state.as_str(), shown.target_url.as_deref()))
        .collect()
}

#[tokio::test]
async fn every_host_shows_what_the_cluster_says_and_is_called_once_for_each_change() {
    assert_eq!(cases().map(|case| case.kind), HostKind::ALL);
    for case in cases() {
        let Case { kind, words, .. } = case;
        let [pending, failure, success, superseded] = words;
        let hosted = Hosted::new(kind, case.path, case.token, &case.secret).await;
        let world = &hosted.world;

        world.event("dev", on_old(progressing()).at(0)).await;
        world.event("dev", progressing().at(60)).await;
        world.event("dev", health_check_failed().at(90)).await;
        world.event("dev", succeeded().at(120)).await;
        world.event("dev", succeeded().at(720)).await;
        world.minutes(3).await;

        {
            let stand_in = hosted.server.stand_in();
            let received = stand_in.received();
            let expected = BTreeMap::from([
                (
                    OLD,
                    vec![(pending, "progressing"), (superseded, "superseded by 5394cb7")],
                ),
                (
                    SHA,
                    vec![
                        (pending, "progressing"),
                        (failure, "health check failed"),
                        (success, "reconciliation succeeded"),
                    ],
                ),
            ]);
            assert_eq!(told(received), expected, "{kind}");
            let url = |sha: &str| {
                let url = case.target_url?.replace("{sha}", sha);
                Some(url.replace("{root}", &hosted.server.address()))
            };
            for (sha, state) in [(OLD, superseded), (SHA, success)] {
                let url = url(sha);
                assert_eq!(
                    seen(&stand_in, sha),
                    [(DEV, state, url.as_deref())],
                    "{kind} {sha}"
                );
            }
            assert!(
                received
                    .iter()
                    .all(|received| received.repository == case.repository),
                "{kind} {received:?}"
            );
        }
        let calls = hosted.calls_since(&mut 0);
        assert_eq!(calls.len(), 5, "{kind} {calls:?}");
        assert!(
            calls
                .iter()
                .all(|(method, _, status)| method == "POST" && *status == case.taken),
            "{kind} {calls:?}"
        );
        for status in [world.status(OLD).await, world.status(SHA).await] {
            assert!(status.is_posted() && status.due.is_none(), "{kind} {status:?}");
        }
    }
}

/// Each host has its own way to say so, and is asked again within ten minutes: a mirror may lag.
#[tokio::test]
async fn no_host_shows_anything_on_a_commit_it_does_not_know_until_it_does() {
    for case in cases() {
        let kind = case.kind;
        let hosted = Hosted::new(kind, case.path, case.token, &case.secret).await;
        let world = &hosted.world;
        hosted.server.stand_in().forget_commit(SHA);

        world.event("dev", succeeded().at(0)).await;
        world.minutes(1).await;

        let status = world.status(SHA).await;
        assert_eq!(
            (status.unknown_commits, status.attempts),
            (1, 0),
            "{kind} {status:?}"
        );
        assert_eq!(hosted.server.stand_in().received(), [], "{kind}");

        hosted.server.stand_in().learn_commit(SHA);
        world.minutes(3).await;

        assert!(world.status(SHA).await.is_posted(), "{kind}");
        let stand_in = hosted.server.stand_in();
        assert_eq!(stand_in.all_shown(SHA).len(), 1, "{kind}");
    }
}

/// A token that is not valid is nothing a status is parked for; one that may not do it is.
#[tokio::test]
async fn every_hosts_refusals_are_told_apart() {
    for case in cases() {
        let kind = case.kind;
        let hosted = Hosted::new(kind, case.path, case.token.clone(), &case.secret).await;
        let world = &hosted.world;
        hosted.server.stand_in().revoke(&case.token.user);

        world.event("dev", succeeded().at(0)).await;

        let status = world.status(SHA).await;
        assert_eq!(
            (status.parked.as_deref(), status.attempts),
            (None, 0),
            "{kind} {status:?}"
        );
        hosted.server.stand_in().set_token(case.token.clone());
        world.minutes(3).await;
        assert!(world.status(SHA).await.is_posted(), "{kind}");

        hosted.server.stand_in().set_token(case.token.read_only());
        world.event("dev", health_check_failed().at(600)).await;

        let status = world.status(SHA).await;
        assert_eq!(status.parked.as_deref(), Some("forbidden"), "{kind} {status:?}");
    }
}
