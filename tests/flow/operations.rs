//! The commands of docs/operations.md, in the order they stand there.

use std::collections::{BTreeSet, VecDeque};
use std::future::pending;
use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use cli::app::{Cli, Person, Stack, run};
use cli::commands::Terminal;
use cli::local_instance::{dynamodb_client, sqs_client};
use cli::queues::Queues;
use cli::secrets::root_key_name;
use cli::store::{rules_table, statuses_table};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use serde_json::json;
use sha2::Sha256;
use shared::PostHint;
use shared::item::{PK, SK};

use super::events::{SHA, WireEvent, build_failed, health_check_failed, progressing, succeeded};
use super::host::Reply;
use super::world::{Queue, STACK, START, TOKEN, World, function_url_event, rule_yaml};

const DOCUMENT: &str = include_str!("../../docs/operations.md");
const FUNCTION_URL: &str = "https://abc.lambda-url.eu-west-1.on.aws/";
/// What the operator types where a token is asked for.
const NEW_TOKEN: &str = "canary-token-that-is-new";
/// What begins so is for another tool.
const OTHER_TOOLS: [&str; 3] = ["kubectl ", "aws ", "jq "];
/// The commit before [`SHA`].
const OLD: &str = "a1afe267b54f38b46b487f6e938a6fd508278c07";

/// Seconds after which no function believes what it read of a cluster or a rule before.
const RULES_BELIEVE: i64 = 6;
/// Seconds after which intake looks for a root key it does not know.
const INTAKE_BELIEVES: i64 = 10;
/// Seconds after which intake reads the root keys again in any case.
const ROOT_KEYS_LAST: i64 = 300;

/// Lines of the `sh` blocks of each section that has any, by its heading.
fn sections() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut sections = Vec::new();
    for section in DOCUMENT.split("\n## ").skip(1) {
        let (heading, text) = section.split_once('\n').unwrap();
        let blocks = text.split("```").skip(1).step_by(2);
        let shell = blocks.map(|block| block.strip_prefix("sh\n").expect("every block is sh"));
        let lines: Vec<_> = shell.flat_map(str::lines).collect();
        if !lines.is_empty() {
            sections.push((heading, lines));
        }
    }
    sections
}

/// The command of a line, without its comment and what it is piped into; `None` if it is of another tool.
fn command(line: &str) -> Option<&str> {
    let line = line.split(" #").next().unwrap_or_default().trim();
    if OTHER_TOOLS.iter().any(|tool| line.starts_with(tool)) {
        return None;
    }
    let (command, pipe) = line.split_once(" | ").unwrap_or((line, ""));
    assert!(
        pipe.is_empty() || OTHER_TOOLS.iter().any(|tool| pipe.starts_with(tool)),
        "{line}"
    );
    assert!(command.starts_with("commitstatus "), "nobody runs `{line}`");
    Some(command)
}

/// An operator who goes through a section.
struct Operator {
    world: Arc<World>,
    queues: Queues,
    /// `rules/` and `rules-of-prod/`.
    files: tempfile::TempDir,
    steps: VecDeque<&'static str>,
    /// The token of each connection, which nothing but `connect` may print.
    tokens: BTreeSet<String>,
}

impl Operator {
    async fn new(heading: &str) -> Self {
        let world = Arc::new(World::new().await);
        let clock = Arc::clone(&world);
        let router = local::sqs::router(
            STACK,
            &world.events.fifo,
            &world.posts.fifo,
            Arc::new(move || clock.now()),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = sqs_client(&format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        let files = tempfile::tempdir().unwrap();
        let write = |directory: &str, text: String| {
            let directory = files.path().join(directory);
            std::fs::create_dir(&directory).unwrap();
            std::fs::write(directory.join("all.yaml"), text).unwrap();
        };
        let all = format!("{}---\n{}", world.provider_yaml(), rule_yaml("podinfo", ""));
        write("rules", all);
        write("rules-of-prod", rule_yaml("own", ""));
        let section = sections().into_iter().find(|(found, _)| *found == heading);
        let (_, lines) = section.unwrap_or_else(|| panic!("no section `{heading}` with commands"));
        Self {
            world,
            queues: Queues::new(client, STACK),
            files,
            steps: lines.into_iter().filter_map(command).collect(),
            tokens: BTreeSet::new(),
        }
    }

    /// Runs the next step, which begins so and goes well.
    async fn step(&mut self, beginning: &str) -> String {
        let step = self.next(beginning);
        self.runs(step).await
    }

    /// Runs the next step, which begins so, and whose exit code says that something is not as it should be.
    async fn finds(&mut self, beginning: &str) -> String {
        let step = self.next(beginning);
        let (result, said) = self.tries(step).await;
        assert_eq!(result.unwrap(), 1, "`{step}`: {said}");
        said
    }

    fn next(&mut self, beginning: &str) -> &'static str {
        let step = self.steps.pop_front().expect("the section has no more steps");
        let arguments = step.strip_prefix("commitstatus ").unwrap();
        assert!(
            arguments.starts_with(beginning),
            "`{step}` where `{beginning}` is tested"
        );
        step
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.files.path().join(name), text).unwrap();
    }

    async fn runs(&mut self, step: &str) -> String {
        let (result, said) = self.tries(step).await;
        let code = result.unwrap_or_else(|error| panic!("`{step}`: {error}\n{said}"));
        assert_eq!(code, 0, "`{step}`: {said}");
        said
    }

    /// Runs a command; how it ended, and all it said.
    async fn tries(&self, step: &str) -> (Result<u8, String>, String) {
        let words = step.split_whitespace().map(|word| {
            let path = self.files.path().join(word);
            match path.exists() {
                true => path.to_str().unwrap().to_owned(),
                false => word.to_owned(),
            }
        });
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("`{step}`: {error}"));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let terminal = &mut Terminal {
            input: &mut &b"y\n"[..],
            input_is_terminal: true,
            out: &mut out,
            out_is_terminal: false,
            err: &mut err,
            err_is_terminal: false,
            colours: false,
        };
        let stack = Stack {
            store: &self.world.store,
            queues: Some(&self.queues),
            secrets: &self.world.secrets,
            function_url: Some(FUNCTION_URL),
            asks_hosts: false,
        };
        let person = Person {
            prompt: &mut |_: &str| Ok(NEW_TOKEN.to_owned()),
            editor: &mut |_: &Path| Ok(false),
        };
        let result = run(&cli, &stack, self.world.now(), person, pending(), terminal).await;
        let said = String::from_utf8([out, err].concat()).unwrap();
        let hands_out_keys = step.starts_with("commitstatus connect ") && !step.contains(" --check ");
        if !hands_out_keys {
            self.holds_no_secret(&said);
        }
        (result.map_err(|error| format!("{error:#}")), said)
    }

    fn holds_no_secret(&self, said: &str) {
        let versions = self
            .world
            .secrets
            .versions(&root_key_name(STACK))
            .unwrap()
            .unwrap();
        let roots = [Some(versions.current), versions.previous];
        let roots = roots.iter().flatten().map(ExposeSecret::expose_secret);
        let tokens = self.tokens.iter().map(String::as_str);
        for secret in roots.chain(tokens).chain([TOKEN, NEW_TOKEN]) {
            assert!(!said.contains(secret), "a secret in `{said}`");
        }
    }

    /// As [`Operator::step`] for `connect`; what the cluster has then.
    async fn connects(&mut self, cluster: &str) -> Connection {
        let manifests = self.step(&format!("connect {cluster}")).await;
        self.connection(&manifests)
    }

    /// A cluster that was connected before the section begins.
    async fn connected(&mut self, cluster: &str) -> Connection {
        let manifests = self.runs(&format!("commitstatus connect {cluster}")).await;
        self.connection(&manifests)
    }

    fn connection(&mut self, manifests: &str) -> Connection {
        let field = |name: &str| {
            let (_, rest) = manifests.split_once(&format!("  {name}: \"")).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        let address = field("address");
        let path_and_query = address.strip_prefix(FUNCTION_URL.trim_end_matches('/')).unwrap();
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let token = field("token");
        self.tokens.insert(token.clone());
        Connection {
            path: path.to_owned(),
            query: query.to_owned(),
            token,
        }
    }

    /// What intake answers to an event of this moment, and what comes of it.
    async fn sends(&self, connection: &Connection, event: WireEvent) -> u16 {
        // No two events of the same time, and none with what was believed before.
        self.world.advance(RULES_BELIEVE);
        let event = event.at(self.world.now().as_second() - START);
        let answer = self.world.request(&connection.request(&event.body())).await;
        self.world.settle().await;
        answer.status
    }

    /// State of each status the host was told, in order.
    fn told(&self) -> Vec<String> {
        self.world
            .host
            .told()
            .into_iter()
            .map(|(_, state)| state)
            .collect()
    }

    fn last_authorization(&self) -> String {
        self.world.host.calls().last().unwrap().authorization.clone()
    }
}

/// What a cluster got from `connect`.
struct Connection {
    path: String,
    query: String,
    token: String,
}

impl Connection {
    fn request(&self, body: &str) -> serde_json::Value {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.token.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let mut request = function_url_event(&self.path, body, &signature);
        request["rawQueryString"] = json!(self.query);
        request
    }
}

/// Lets a function crash on what is on a queue until that is a dead letter.
fn crash_on(world: &World, queue: &Queue) {
    while !queue.fifo.is_empty() {
        queue.fifo.receive(world.now());
        world.advance(180);
    }
}

/// A table loses all it holds.
async fn lose(world: &World, table: &str) {
    let client = dynamodb_client(&world.dynamodb_endpoint);
    let items = client.scan().table_name(table).send().await.unwrap();
    assert!(!items.items().is_empty());
    for item in items.items() {
        let delete = client.delete_item().table_name(table);
        let delete = delete.key(PK, item[PK].clone()).key(SK, item[SK].clone());
        delete.send().await.unwrap();
    }
}

/// A test for each section, which runs all its steps.
macro_rules! sections {
    ($($test:ident: $heading:literal, $story:ident;)*) => {
        const TESTED: &[&str] = &[$($heading),*];

        $(
            #[tokio::test]
            async fn $test() {
                let mut operator = Operator::new($heading).await;
                $story(&mut operator).await;
                assert!(operator.steps.is_empty(), "no test of {:?}", operator.steps);
            }
        )*
    };
}

sections! {
    a_cluster_that_is_not_heard_is_resumed_and_connected: "Nothing arrives from a cluster", nothing_arrives;
    a_missing_status_is_explained_and_posted_after_the_rule_is_changed: "A status is missing", missing;
    a_late_status_says_what_it_waits_for: "Statuses are late", late;
    parked_statuses_are_posted_after_the_retry: "Statuses are parked", parked;
    p6_dead_letters_are_sent_again_or_deleted: "Dead letters", dead_letters;
    p2_after_days_without_a_host_nothing_needs_to_be_done: "A Git host was away for days", host_away;
    a_token_is_replaced_before_it_expires: "A token is about to expire", token_expires;
    a_leaked_token_is_replaced_and_what_waited_is_posted: "A token leaked", token_leaked;
    p13_a_leaked_key_is_worth_nothing_after_it_is_revoked: "The key of a cluster leaked", key_leaked;
    p9_a_rotation_of_the_root_key_rejects_nothing_until_the_old_one_is_retired: "The root key is rotated", root_key;
    p9_a_leaked_root_key_is_worth_nothing_five_minutes_later: "The root key leaked", root_key_leaked;
    a_removed_cluster_is_not_heard_again: "A cluster is removed", removed;
    without_the_table_of_rules_no_revoked_key_counts_again: "A table or a secret is lost", lost;
}

#[test]
fn every_section_with_commands_is_run_by_a_test() {
    let there: Vec<&str> = sections().into_iter().map(|(heading, _)| heading).collect();
    assert_eq!(there, TESTED);
}

#[test]
fn every_link_of_the_contents_leads_to_a_section() {
    let anchor = |heading: &str| heading.to_lowercase().replace(' ', "-");
    let headings = DOCUMENT.lines().filter_map(|line| line.strip_prefix("## "));
    let anchors: BTreeSet<String> = headings.map(anchor).collect();
    let links = DOCUMENT
        .split("](#")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap());
    let links: BTreeSet<String> = links.map(str::to_owned).collect();
    assert_eq!(links, anchors);
}

async fn nothing_arrives(operator: &mut Operator) {
    let manifests = operator.runs("commitstatus connect prod").await;
    let old = operator.connection(&manifests);
    let on_old = succeeded().revision(&format!("main@sha1:{OLD}"));
    assert_eq!(operator.sends(&old, on_old).await, 202);
    assert_eq!(operator.told(), ["success"]);
    // Somebody suspends the Alert in the cluster, which reconciles the next commit.
    operator.world.advance(4 * 60 * 60);

    let said = operator.finds("check").await;
    assert!(
        said.contains("problem   clusters   prod: has stopped sending; its last event was 4h ago"),
        "{said}"
    );
    let said = operator.finds(&format!("explain {}", &SHA[..7])).await;
    assert!(said.starts_with("CLUSTER"), "{said}");
    assert!(
        said.contains("no event about 5394cb7 was taken in 30 days"),
        "{said}"
    );
    let last = said.lines().find(|line| line.starts_with("prod ")).unwrap();
    assert!(last.contains("4h ago") && last.contains(&OLD[..7]), "{said}");
    let suspended = manifests.replace("  eventSeverity:", "  suspend: true\n  eventSeverity:");
    assert_ne!(suspended, manifests);
    operator.write("now.yaml", &suspended);
    let said = operator.finds("connect prod --check now.yaml").await;
    assert!(
        said.contains(
            "Alert flux-system/commitstatus: spec.suspend: true, so nothing is sent; `flux resume alert"
        ),
        "{said}"
    );

    // It is resumed there, and suspended here.
    operator.runs("commitstatus cluster suspend prod").await;
    assert_eq!(operator.sends(&old, succeeded()).await, 202);
    assert_eq!(operator.told(), ["success"], "a suspended cluster is dropped");

    let said = operator.step("describe cluster prod").await;
    assert!(said.contains("Suspended:        true"), "{said}");
    operator.step("cluster resume prod").await;
    assert_eq!(operator.sends(&old, succeeded()).await, 202);
    assert_eq!(operator.told(), ["success", "success"]);

    let wrong = Connection {
        token: "0".repeat(64),
        ..old
    };
    assert_eq!(operator.sends(&wrong, build_failed()).await, 401);
    let new = operator.connects("prod").await;
    assert_eq!(operator.sends(&new, build_failed()).await, 202);
    assert_eq!(operator.told(), ["success", "success", "failure"]);
}

async fn missing(operator: &mut Operator) {
    let dev = operator.connected("dev").await;
    let elsewhere = || succeeded().namespace("web");
    operator.sends(&dev, elsewhere()).await;
    assert_eq!(operator.told(), [""; 0]);

    let said = operator.finds("explain 5394cb7").await;
    assert!(said.contains("no-rule: 1 rule is about other objects"), "{said}");
    let said = operator.finds("explain 5394cb7 --all").await;
    assert!(said.contains("skipped(namespace)"), "{said}");
    assert!(
        said.contains("to have it posted: add an event source with namespace: web"),
        "{said}"
    );

    let said = operator.finds("explain 5394cb7 -o json").await;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    operator.write("event.json", &said["events"][0]["event"].to_string());
    let rule = rule_yaml("podinfo", "");
    let changed = rule.replace(
        "name: '*'}",
        "name: '*'}, {kind: Kustomization, name: '*', namespace: web}",
    );
    assert_ne!(changed, rule);
    operator.write(
        "rules/all.yaml",
        &format!("{}---\n{changed}", operator.world.provider_yaml()),
    );
    let said = operator.step("explain -f rules/ --event event.json").await;
    assert!(said.contains("dev/web/kustomization/podinfo"), "{said}");
    let said = operator.finds("diff -f rules/").await;
    assert!(said.lines().any(|line| line == "+    namespace: web"), "{said}");
    operator.step("apply -f rules/").await;

    operator.sends(&dev, elsewhere()).await;
    assert_eq!(operator.told(), ["success"]);
    let said = operator.step("explain 5394cb7").await;
    assert!(said.contains("matched"), "{said}");
    assert!(said.contains("stands        success posted 20"), "{said}");
}

async fn late(operator: &mut Operator) {
    let dev = operator.connected("dev").await;
    let reset = operator.world.now().as_second() + 1800;
    operator
        .world
        .host
        .answer_next([Reply::new(403, r#"{"message":"API rate limit exceeded"}"#)
            .header("x-ratelimit-remaining", 0)
            .header("x-ratelimit-reset", reset)]);
    operator.sends(&dev, succeeded()).await;

    let said = operator.step("get statuses").await;
    assert!(said.contains("due 20") && said.contains("rate limit"), "{said}");

    operator.world.minutes(33).await;
    let said = operator.runs(&format!("commitstatus get statuses {SHA}")).await;
    assert!(said.contains("posted 20"), "{said}");
}

async fn parked(operator: &mut Operator) {
    let dev = operator.connected("dev").await;
    let forbidden = Reply::new(403, r#"{"message":"Resource not accessible"}"#);
    operator.world.host.answer_next([forbidden]);
    operator.sends(&dev, build_failed()).await;

    assert!(operator.step("get parked").await.contains("forbidden"));
    let said = operator.step("describe status").await;
    assert!(
        said.contains("Resource not accessible") && said.contains("What to do:"),
        "{said}"
    );
    // Nothing is changed in the files.
    let said = operator.step("apply").await;
    assert_eq!(said.matches(" unchanged ").count(), 2, "{said}");
    let said = operator.step("retry").await;
    assert!(
        said.contains("1 status will be posted within two minutes"),
        "{said}"
    );
    operator.world.minutes(2).await;
    assert_eq!(operator.step("get parked").await, "nothing parked\n");
    assert_eq!(operator.told(), ["failure", "failure"]);
    assert!(operator.world.status(SHA).await.is_posted());
}

async fn dead_letters(operator: &mut Operator) {
    let world = Arc::clone(&operator.world);
    let dev = operator.connected("dev").await;
    let event = succeeded().at(0).body();
    assert_eq!(world.request(&dev.request(&event)).await.status, 202);
    crash_on(&world, &world.events);

    assert!(
        operator
            .step("dlq list")
            .await
            .contains("Kustomization/apps/podinfo of dev")
    );
    operator.step("dlq redrive").await;
    world.settle().await;
    assert_eq!(operator.told(), ["success"]);

    // A hint: what it was about is posted without it.
    let event = build_failed().at(world.now().as_second() - START).body();
    assert_eq!(world.request(&dev.request(&event)).await.status, 202);
    world.settle_rules_and_lose_hints().await;
    let hint = PostHint {
        key: world.status(SHA).await.key,
    };
    world.posts.fifo.send(hint.to_queue("lost").unwrap(), world.now());
    crash_on(&world, &world.posts);
    let said = operator.step("dlq purge --queue posts").await;
    assert!(said.contains("1 deleted, none left"), "{said}");
    assert_eq!(operator.step("dlq list").await, "no dead letters\n");
    world.minutes(3).await;
    assert_eq!(operator.told(), ["success", "failure"]);
}

async fn host_away(operator: &mut Operator) {
    let world = Arc::clone(&operator.world);
    let dev = operator.connected("dev").await;
    world.host.answer_always(Some(Reply::new(503, "unavailable")));
    operator.sends(&dev, build_failed()).await;
    // Three days.
    for _ in 0..12 {
        world.advance(6 * 60 * 60);
        world.minute().await;
    }
    operator.sends(&dev, succeeded()).await;
    let tries = operator.told().len();

    let said = operator.step("get statuses").await;
    assert!(said.contains("due 20") && said.contains(", attempts"), "{said}");
    assert_eq!(operator.step("get parked").await, "nothing parked\n");
    world.host.answer_always(None);
    world.minutes(20).await;
    assert_eq!(
        operator.told()[tries..],
        ["success"],
        "once, with the newest state"
    );

    // It is back, and does not find the repository yet.
    world
        .host
        .answer_next([Reply::new(404, r#"{"message":"Not Found"}"#)]);
    operator.sends(&dev, build_failed()).await;
    operator.step("retry --all").await;
    world.minutes(2).await;
    assert_eq!(operator.told()[tries..], ["success", "failure", "failure"]);
    assert!(world.status(SHA).await.is_posted());
}

async fn token_expires(operator: &mut Operator) {
    let dev = operator.connected("dev").await;
    operator.sends(&dev, progressing()).await;
    assert_eq!(operator.last_authorization(), format!("Bearer {TOKEN}"));

    operator.step("secret set token").await;
    operator.world.advance(300);
    operator.sends(&dev, succeeded()).await;

    assert_eq!(operator.last_authorization(), format!("Bearer {NEW_TOKEN}"));
    assert!(operator.step("get statuses").await.contains("posted 20"));
}

async fn token_leaked(operator: &mut Operator) {
    let dev = operator.connected("dev").await;
    let revoked = Reply::new(401, r#"{"message":"Bad credentials"}"#);
    operator.world.host.answer_always(Some(revoked.clone()));
    operator.sends(&dev, succeeded()).await;
    operator.world.minutes(5).await;
    // `poster` still believes the old token, and reads again once that is refused.
    operator.world.host.answer_always(None);
    operator.world.host.answer_next([revoked]);
    let before = operator.told().len();

    let said = operator.step("secret set token").await;
    assert!(said.contains("will be tried within two minutes"), "{said}");
    operator.world.minutes(2).await;
    assert_eq!(operator.told()[before..], ["success", "success"]);
    assert_eq!(operator.last_authorization(), format!("Bearer {NEW_TOKEN}"));
    assert!(operator.step("get statuses").await.contains("posted 20"));

    operator.step("retry --commit").await;
    operator.world.minutes(2).await;
    assert_eq!(operator.told()[before..], ["success", "success", "success"]);
}

async fn key_leaked(operator: &mut Operator) {
    let leaked = operator.connected("prod").await;
    assert_eq!(operator.sends(&leaked, succeeded()).await, 202);
    assert_eq!(operator.told(), ["success"]);

    operator.step("cluster revoke prod").await;
    assert_eq!(operator.sends(&leaked, build_failed()).await, 202);
    assert_eq!(
        operator.told(),
        ["success"],
        "accepted, and then skipped(revoked)"
    );

    let new = operator.connects("prod").await;
    assert_eq!(new.query, "generation=2");
    assert_eq!(operator.sends(&leaked, build_failed()).await, 202);
    assert_eq!(operator.told(), ["success"]);
    assert_eq!(operator.sends(&new, build_failed()).await, 202);
    assert_eq!(operator.told(), ["success", "failure"]);
    assert!(
        operator
            .step("cluster list")
            .await
            .contains("prod  2           false")
    );
}

async fn root_key(operator: &mut Operator) {
    let old_dev = operator.connected("dev").await;
    let old_prod = operator.connected("prod").await;
    assert_eq!(operator.sends(&old_dev, progressing()).await, 202);

    let said = operator.step("root-key status").await;
    assert!(said.contains("no other is accepted"), "{said}");
    let said = operator.step("rotate").await;
    for cluster in ["dev", "prod"] {
        assert!(
            said.contains(&format!("cluster/{cluster} uses the old root key")),
            "{said}"
        );
    }
    for old in [&old_dev, &old_prod] {
        assert_eq!(operator.sends(old, succeeded()).await, 202);
    }
    operator.world.advance(INTAKE_BELIEVES);

    let new_dev = operator.connects("dev").await;
    for connection in [&new_dev, &old_dev, &old_prod] {
        assert_eq!(operator.sends(connection, build_failed()).await, 202);
    }
    operator.world.advance(ROOT_KEYS_LAST);
    let new_prod = operator.connects("prod").await;
    for connection in [&old_dev, &old_prod] {
        assert_eq!(operator.sends(connection, succeeded()).await, 202);
    }
    assert_eq!(operator.sends(&new_dev, health_check_failed()).await, 202);
    // What `connect` printed for prod was not applied yet.
    let (result, _) = operator.tries("commitstatus rotate --finish").await;
    let refusal = result.unwrap_err();
    assert!(refusal.contains("locked out by this: prod;"), "{refusal}");
    let (result, said) = operator.tries("commitstatus check").await;
    assert_eq!(result.unwrap(), 0, "{said}");
    assert!(
        said.contains("prod: was given its new key, and still sends with the old one"),
        "{said}"
    );
    assert_eq!(operator.sends(&new_prod, health_check_failed()).await, 202);
    let said = operator.step("root-key status").await;
    assert_eq!(said.matches(" current").count(), 2, "{said}");

    operator.step("rotate --finish").await;
    operator.world.advance(ROOT_KEYS_LAST);
    for (connection, answer) in [
        (&old_dev, 401),
        (&old_prod, 401),
        (&new_dev, 202),
        (&new_prod, 202),
    ] {
        assert_eq!(operator.sends(connection, build_failed()).await, answer);
    }
    let said = operator.step("root-key status").await;
    assert!(said.contains("no other is accepted"), "{said}");
}

async fn root_key_leaked(operator: &mut Operator) {
    let stolen = operator.connected("dev").await;
    operator.connected("prod").await;
    // The last rotation was not finished.
    operator.runs("commitstatus rotate").await;
    assert_eq!(operator.sends(&stolen, progressing()).await, 202);

    operator.step("rotate --force").await;
    operator.step("rotate --finish --force").await;
    operator.world.advance(ROOT_KEYS_LAST);
    assert_eq!(operator.sends(&stolen, succeeded()).await, 401);
    let dev = operator.connects("dev").await;
    let prod = operator.connects("prod").await;
    for (connection, answer) in [(&stolen, 401), (&dev, 202), (&prod, 202)] {
        assert_eq!(operator.sends(connection, succeeded()).await, answer);
    }
    let said = operator.step("root-key status").await;
    assert!(said.contains("no other is accepted"), "{said}");
    assert_eq!(said.matches(" current").count(), 2, "{said}");
}

async fn removed(operator: &mut Operator) {
    let prod = operator.connected("prod").await;
    operator.world.apply("prod", &rule_yaml("own", "")).await;
    operator.sends(&prod, succeeded()).await;
    let before = operator.told().len();

    operator.step("delete -f rules-of-prod/ --cluster prod").await;
    operator.step("cluster delete prod").await;
    assert!(!operator.step("cluster list").await.contains("prod"));

    assert_eq!(operator.sends(&prod, build_failed()).await, 202);
    operator.runs("commitstatus cluster add prod").await;
    assert_eq!(operator.sends(&prod, build_failed()).await, 202);
    assert_eq!(operator.told().len(), before, "its key stays refused");
}

async fn lost(operator: &mut Operator) {
    let world = Arc::clone(&operator.world);
    let revoked = operator.connected("prod").await;
    operator.runs("commitstatus cluster revoke prod").await;
    let dev = operator.connected("dev").await;
    operator.sends(&dev, succeeded()).await;
    lose(&world, &statuses_table(STACK)).await;
    operator.sends(&dev, succeeded()).await;
    // The queue takes the hint for the one before, which was about the first change too.
    world.minutes(2).await;
    operator.sends(&dev, succeeded()).await;
    assert_eq!(
        operator.told(),
        ["success", "success"],
        "posted once more, and then unchanged"
    );
    lose(&world, &rules_table(STACK)).await;

    operator.step("rotate --force").await;
    operator.step("rotate --finish --force").await;
    operator.step("cluster add dev").await;
    operator.step("cluster add prod").await;
    operator.step("apply -f rules/ --all-clusters").await;
    world.advance(ROOT_KEYS_LAST);
    let new_dev = operator.connects("dev").await;
    operator.connects("prod").await;
    for (connection, answer) in [(&dev, 401), (&revoked, 401), (&new_dev, 202)] {
        assert_eq!(operator.sends(connection, build_failed()).await, answer);
    }
    assert_eq!(operator.told(), ["success", "success", "failure"]);
    let said = operator.step("root-key status").await;
    assert_eq!(said.matches(" current").count(), 2, "{said}");
}
