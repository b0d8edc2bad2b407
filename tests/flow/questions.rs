//! What the operator's tool answers, beside the functions it answers for: `explain`, `check`, and what `secret set` says.

use std::future::pending;
use std::sync::Arc;

use clap::Parser;
use cli::app::{Cli, Person, Stack, run};
use cli::commands::Terminal;
use cli::local_instance::sqs_client;
use cli::queues::Queues;
use hosts::HostKind;
use local::stand_in::Token;
use serde_json::{Value, json};

use super::events::{SHA, progressing, succeeded};
use super::hosts::{Case, Hosted, cases};
use super::world::{STACK, TOKEN, World};

/// What a command said.
struct Said {
    code: u8,
    out: String,
    err: String,
}

async fn queues(world: &World) -> Queues {
    let clock = world.clock();
    let router = local::sqs::router(STACK, &world.events.fifo, &world.posts.fifo, Arc::new(clock));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = sqs_client(&format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    Queues::new(client, STACK)
}

/// Runs a command; `typed` is what a person answers when asked for a secret.
async fn says(world: &World, queues: &Queues, command: &str, typed: &str) -> Said {
    let words = std::iter::once("commitstatus").chain(command.split_whitespace());
    let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("`{command}`: {error}"));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let terminal = &mut Terminal {
        input: &mut std::io::empty(),
        input_is_terminal: true,
        out: &mut out,
        out_is_terminal: false,
        err: &mut err,
        err_is_terminal: false,
        colours: false,
    };
    let stack = Stack {
        store: &world.store,
        queues: Some(queues),
        secrets: &world.secrets,
        function_url: Some("https://abc.lambda-url.eu-west-1.on.aws/"),
        asks_hosts: true,
    };
    let person = Person {
        prompt: &mut |_: &str| Ok(typed.to_owned()),
        editor: &mut |_| Ok(false),
    };
    let code = run(&cli, &stack, world.now(), person, pending(), terminal).await;
    let (out, err) = (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap());
    let code = code.unwrap_or_else(|error| panic!("`{command}`: {error:#}\n{err}"));
    assert!(!format!("{out}{err}").contains(TOKEN), "a secret in `{out}{err}`");
    Said { code, out, err }
}

#[tokio::test]
async fn check_asks_each_host_whether_the_credential_may_post_and_nobody_sees_it() {
    for Case {
        kind,
        path,
        token,
        secret,
        ..
    } in cases()
    {
        let user = token.user.clone();
        let hosted = Hosted::new(kind, path, token.clone(), &secret).await;
        let (world, queues) = (&hosted.world, queues(&hosted.world).await);
        world.event("dev", succeeded()).await;
        world.minutes(1).await;
        let posted = hosted.server.stand_in().received().len();

        let said = says(world, &queues, "check", "").await;
        assert_eq!(said.code, 0, "{kind}: {}", said.out);
        assert!(
            said.out.contains("ok        providers  1 credential may post\n"),
            "{kind}: {}",
            said.out
        );

        hosted.server.stand_in().revoke(&user);
        let said = says(world, &queues, "check", "").await;
        assert_eq!(said.code, 1, "{kind}: {}", said.out);
        let line = said.out.lines().find(|line| line.starts_with("problem")).unwrap();
        assert!(
            line.starts_with("problem   providers  */apps/git: the credential is not valid: "),
            "{kind}: {line}"
        );
        assert_eq!(hosted.server.stand_in().received().len(), posted, "{kind}");

        // One that may read only.
        if kind != HostKind::BitbucketServer {
            hosted.server.stand_in().set_token(token.read_only());
            let said = says(world, &queues, "check -o json", "").await;
            let value: Value = serde_json::from_str(&said.out).unwrap();
            let problem = value["findings"][0]["problem"].as_str().unwrap_or_default();
            assert!(
                problem.starts_with("refused (forbidden): "),
                "{kind}: {}",
                said.out
            );
        }
        assert_eq!(hosted.server.stand_in().received().len(), posted, "{kind}");
    }
}

#[tokio::test]
async fn secret_set_says_whether_the_host_takes_it() {
    let secret = json!({ "token": "old" });
    let hosted = Hosted::new(
        HostKind::GitHub,
        "/acme/fleet",
        Token::new("flux", TOKEN),
        &secret,
    )
    .await;
    let (world, queues) = (&hosted.world, queues(&hosted.world).await);

    // The key it asks for is the one hosts take, and the secret the one the Provider names.
    let wrong = says(
        world,
        &queues,
        "secret set provider/git -n apps --all-clusters",
        "wrong",
    )
    .await;
    assert_eq!(
        wrong.out,
        "secret/commitstatus/providers/_all/apps/token set (all clusters; keys token)\n"
    );
    assert!(
        wrong
            .err
            .starts_with("warning: Provider apps/git: the credential is not valid: "),
        "{}",
        wrong.err
    );
    let right = says(
        world,
        &queues,
        "secret set token -n apps --all-clusters --key token",
        TOKEN,
    )
    .await;
    let address = format!("{}/acme/fleet", hosted.server.address());
    assert!(
        right
            .out
            .ends_with(&format!("\nprovider/git checked: it may post to {address}\n")),
        "{}",
        right.out
    );
    assert_eq!(right.err, "");
    let silent = "secret set token -n apps --all-clusters --key token --no-check";
    assert!(!says(world, &queues, silent, TOKEN).await.out.contains("checked"));
    let other = says(
        world,
        &queues,
        "secret set other -n apps --all-clusters --key token",
        TOKEN,
    )
    .await;
    assert!(
        other
            .err
            .contains("no Provider of all clusters in namespace apps names it yet"),
        "{}",
        other.err
    );
}

#[tokio::test]
async fn explain_tells_of_events_no_rule_took_and_of_what_was_posted() {
    let secret = json!({ "token": TOKEN });
    let hosted = Hosted::new(
        HostKind::GitHub,
        "/acme/fleet",
        Token::new("flux", TOKEN),
        &secret,
    )
    .await;
    let (world, queues) = (&hosted.world, queues(&hosted.world).await);
    world.event("dev", progressing()).await;
    world.event("dev", succeeded().at(60)).await;
    world
        .event("dev", succeeded().at(60).name("web").namespace("other"))
        .await;
    world.minutes(1).await;

    let said = says(world, &queues, "explain 5394cb7", "").await;
    assert_eq!(said.code, 0, "{}", said.out);
    let (other, podinfo) = said
        .out
        .split_once("\n\n")
        .map(|(one, two)| match one.contains("web of dev") {
            true => (one, two),
            false => (two, one),
        })
        .unwrap();
    assert!(
        other.contains("  no-rule: 1 rule is about other objects"),
        "{other}"
    );
    let received = hosted.server.stand_in().received().last().cloned().unwrap();
    assert!(
        podinfo.contains(&format!("    context       {}\n", received.context)),
        "{podinfo}"
    );
    assert!(
        podinfo.contains(&format!("/api/v3/repos/acme/fleet/statuses/{SHA}\n")),
        "{podinfo}"
    );
    assert!(
        podinfo.contains("    stands        success posted 20"),
        "{podinfo}"
    );

    let said = says(world, &queues, "explain 5394cb7 --object web -o json", "").await;
    assert_eq!(said.code, 1);
    let value: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(value["events"][0]["rules"][0]["reason"], "namespace");
}

#[tokio::test]
async fn check_finds_a_cluster_that_fell_silent_and_one_that_never_succeeds() {
    let world = World::new().await;
    let queues = queues(&world).await;
    let connect = "connect dev -n apps --url https://abc.lambda-url.eu-west-1.on.aws/";
    assert_eq!(says(&world, &queues, connect, "").await.code, 0);
    world.event("dev", progressing()).await;
    world.event("prod", succeeded()).await;
    world.minutes(1).await;
    let said = says(&world, &queues, "check --no-hosts", "").await;
    assert!(!said.out.contains("dev: sends progress"), "{}", said.out);

    world.advance(2 * 3600);
    world.event("dev", progressing().at(7200)).await;
    let said = says(&world, &queues, "check --no-hosts --silent-after 1h", "").await;
    assert_eq!(said.code, 1);
    assert!(
        said.out
            .contains("problem   clusters   dev: sends progress and failures, and no success since"),
        "{}",
        said.out
    );
    assert!(
        said.out
            .contains("problem   clusters   prod: has stopped sending; its last event was 2h ago"),
        "{}",
        said.out
    );
    assert!(!said.out.contains("dev: has stopped"), "{}", said.out);

    world.event("dev", succeeded().at(7260)).await;
    let said = says(&world, &queues, "check --no-hosts", "").await;
    assert!(!said.out.contains("dev: "), "{}", said.out);
}
