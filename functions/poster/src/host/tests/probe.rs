//! Whether a credential may post, without a status.

use super::*;

async fn probed(template: ResponseTemplate) -> (Result<(), PostError>, Request) {
    let server = answering(template).await;
    let hosts = Hosts::new(THIS_MACHINE.parse().unwrap()).unwrap();
    let access = GitHub
        .access(&format!(r#"{{"token":"{CANARY}"}}"#).into(), None)
        .unwrap();
    let repository = repository(GitHub, &server.uri());
    let outcome = hosts
        .probe(&hosts.straight, &access, &repository, LONG, &now)
        .await;
    assert!(!format!("{outcome:?}").contains(CANARY));
    (outcome, the_only_request(&server).await)
}

fn said(code: u16, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(code).set_body_json(json!({ "message": message }))
}

#[tokio::test]
async fn who_is_told_that_the_commit_is_missing_may_post() {
    let null = "0".repeat(40);
    let (outcome, request) = probed(said(422, &format!("No commit found for SHA: {null}"))).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(
        request.url.path(),
        format!("/api/v3/repos/acme/fleet.infra/statuses/{null}")
    );
}

#[tokio::test]
async fn who_is_told_anything_else_learns_what_a_post_would_meet() {
    for (template, expected) in [
        (said(401, "Bad credentials"), "unauthorized"),
        (
            said(403, "Resource not accessible by personal access token"),
            "forbidden",
        ),
        (said(404, "Not Found"), "not-found"),
        (said(502, "x"), "ambiguous"),
        (said(429, "x").insert_header("retry-after", "7"), "until +7"),
    ] {
        let (outcome, _) = probed(template).await;
        assert_eq!(decision(&outcome), expected);
    }
}
