//! A GitHub App in the place of a token.

use std::sync::OnceLock;

use hosts::HostKind;
use http::HeaderMap;
use local::stand_in::{App, Installation, Request};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::json;

use super::events::{SHA, health_check_failed, progressing, succeeded};
use super::hosts::Hosted;

const APP: u64 = 42;
const LOOKUPS: [&str; 2] = [
    "/api/v3/orgs/acme/installation",
    "/api/v3/users/acme/installation",
];
const TOKENS: &str = "/api/v3/app/installations/7/access_tokens";

/// The private and the public half.
fn keys() -> &'static (String, String) {
    static KEYS: OnceLock<(String, String)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let keys = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        (keys.serialize_pem(), keys.public_key_pem())
    })
}

/// Installed by an organization, or by a person of that name.
async fn hosted(is_organization: bool) -> Hosted {
    let mut app = App::new(APP, &keys().1).unwrap();
    let permissions = [("statuses", "write"), ("metadata", "read")];
    app.installations.push(Installation {
        id: 7,
        owner: "acme".into(),
        is_organization,
        repositories: vec!["fleet".into(), "other".into()],
        permissions: permissions
            .map(|(name, level)| (name.to_owned(), level.to_owned()))
            .into(),
        is_suspended: false,
    });
    let secret = json!({
        "githubAppID": APP.to_string(),
        "githubAppInstallationOwner": "acme",
        "githubAppPrivateKey": keys().0,
    });
    Hosted::new(HostKind::GitHub, "/acme/fleet", app, &secret).await
}

impl Hosted {
    fn installation<T>(&self, change: impl FnOnce(&mut Installation) -> T) -> T {
        change(&mut self.server.stand_in().app_mut().unwrap().installations[0])
    }

    /// The states it took, in order.
    fn states(&self) -> Vec<String> {
        let stand_in = self.server.stand_in();
        let received = stand_in.received().iter();
        received.map(|received| received.state.clone()).collect()
    }

    /// What the last post was made with.
    fn last_token(&self) -> String {
        let mut calls = self.server.calls();
        calls.retain(|call| call.target.contains("/statuses/"));
        calls.pop().unwrap().authorization
    }
}

fn call(method: &str, target: &str, status: u16) -> (String, String, u16) {
    (method.to_owned(), target.to_owned(), status)
}

fn post(status: u16) -> (String, String, u16) {
    call(
        "POST",
        &format!("/api/v3/repos/acme/fleet/statuses/{SHA}"),
        status,
    )
}

#[tokio::test]
async fn an_organization_is_found_at_once_and_a_token_is_good_for_several_posts() {
    let hosted = hosted(true).await;
    let mut before = 0;

    hosted.world.event("dev", progressing().at(0)).await;
    let first = hosted.last_token();
    hosted.world.event("dev", health_check_failed().at(60)).await;
    hosted.world.event("dev", succeeded().at(3_400)).await;

    let expected = [
        call("GET", LOOKUPS[0], 200),
        call("POST", TOKENS, 201),
        post(201),
        post(201),
        post(201),
    ];
    assert_eq!(hosted.calls_since(&mut before), expected);
    assert_eq!(hosted.states(), ["pending", "failure", "success"]);
    assert_eq!(hosted.last_token(), first);
    let stand_in = hosted.server.stand_in();
    assert_eq!(stand_in.received()[0].by, "installation 7");
}

#[tokio::test]
async fn a_person_is_found_at_the_second_place() {
    let hosted = hosted(false).await;

    hosted.world.event("dev", succeeded().at(0)).await;

    let expected = [
        call("GET", LOOKUPS[0], 404),
        call("GET", LOOKUPS[1], 200),
        call("POST", TOKENS, 201),
        post(201),
    ];
    assert_eq!(hosted.calls_since(&mut 0), expected);
}

#[tokio::test]
async fn a_token_that_has_expired_is_not_tried() {
    let hosted = hosted(true).await;
    hosted.world.event("dev", progressing().at(0)).await;
    let (first, mut before) = (hosted.last_token(), 3);

    hosted.world.event("dev", succeeded().at(3_601)).await;

    let expected = [call("GET", LOOKUPS[0], 200), call("POST", TOKENS, 201), post(201)];
    assert_eq!(hosted.calls_since(&mut before), expected);
    assert_eq!(hosted.states(), ["pending", "success"]);
    assert_ne!(hosted.last_token(), first);
}

#[tokio::test]
async fn a_token_that_was_taken_back_is_replaced_within_the_same_post() {
    let hosted = hosted(true).await;
    hosted.world.event("dev", progressing().at(0)).await;
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", "test".parse().unwrap());
    headers.insert("authorization", hosted.last_token().parse().unwrap());
    let revoked = hosted.server.stand_in().answer(&Request {
        method: "DELETE",
        target: "/api/v3/installation/token",
        headers: &headers,
        body: b"",
        now: hosted.world.now(),
    });
    assert_eq!(revoked.status, 204);
    let mut before = 3;

    hosted.world.event("dev", succeeded().at(60)).await;

    let expected = [
        post(401),
        call("GET", LOOKUPS[0], 200),
        call("POST", TOKENS, 201),
        post(201),
    ];
    assert_eq!(hosted.calls_since(&mut before), expected);
    assert_eq!(hosted.states(), ["pending", "success"]);
    assert!(hosted.world.status(SHA).await.is_posted());
}

#[tokio::test]
async fn a_suspended_installation_holds_the_credential_until_it_is_no_longer() {
    let hosted = hosted(true).await;
    let world = &hosted.world;
    hosted.installation(|installation| installation.is_suspended = true);

    world.event("dev", progressing().at(0)).await;
    world.event("dev", succeeded().at(1)).await;

    let asked = [call("GET", LOOKUPS[0], 200), call("POST", TOKENS, 403)];
    let mut before = 0;
    assert_eq!(
        hosted.calls_since(&mut before),
        asked,
        "nothing is asked while it is held"
    );
    let status = world.status(SHA).await;
    assert_eq!((status.parked.as_deref(), status.attempts), (None, 0));
    let error = status.last_error.unwrap_or_default();
    assert!(error.contains("This installation has been suspended"), "{error}");
    world.minutes(60).await;
    let tries = hosted.calls_since(&mut before).len() / asked.len();
    assert!((2..10).contains(&tries), "{tries} tries in an hour");

    hosted.installation(|installation| installation.is_suspended = false);
    world.minutes(31).await;

    assert_eq!(hosted.states(), ["success"]);
    assert!(world.status(SHA).await.is_posted());
}

#[tokio::test]
async fn an_installation_that_is_suspended_later_holds_the_credential_too() {
    let hosted = hosted(true).await;
    let world = &hosted.world;
    world.event("dev", progressing().at(0)).await;
    let mut before = 3;
    hosted.installation(|installation| installation.is_suspended = true);

    world.event("dev", succeeded().at(60)).await;

    let asked = [post(403), call("GET", LOOKUPS[0], 200), call("POST", TOKENS, 403)];
    assert_eq!(hosted.calls_since(&mut before), asked);
    let status = world.status(SHA).await;
    assert_eq!((status.parked.as_deref(), status.attempts), (None, 0));

    hosted.installation(|installation| installation.is_suspended = false);
    world.minutes(3).await;

    assert_eq!(hosted.states(), ["pending", "success"]);
}
