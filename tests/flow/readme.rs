//! What README.md shows of a terminal is what the commands print.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use clap::Parser;
use cli::app::{Cli, Person, Stack, run};
use cli::commands::Terminal;
use cli::local_instance::sqs_client;
use cli::queues::Queues;
use cli::secrets::{SecretStore, provider_secret_name};
use hosts::HostKind;
use local::stand_in::{Server, StandIn, Token};
use serde_json::json;
use shared::Scope;
use tokio::net::TcpListener;

use super::events::{WireEvent, health_check_failed, progressing, succeeded};
use super::world::{STACK, World};

const README: &str = include_str!("../../README.md");
const FUNCTION_URL: &str = "https://abc.lambda-url.eu-west-1.on.aws/";
/// Where the page says the Git host is.
const REPOSITORY: &str = "https://github.com/acme/fleet";
/// The stand-in's port on the page: the real one is another each time, and as long.
const PORT: &str = "40000";
/// The rule of the page is for this cluster.
const CLUSTERS: [&str; 2] = ["dev", "prod"];
/// Begins the blocks that are run.
const BLOCK: &str = "```console\n";

/// Text of each block that is run.
fn blocks() -> Vec<&'static str> {
    let blocks = README.split(BLOCK).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The commands of a block, without their output.
fn commands(block: &'static str) -> impl Iterator<Item = &'static str> {
    block.lines().filter_map(|line| line.strip_prefix("$ "))
}

/// The first YAML of the page that holds this line.
fn yaml(line: &str) -> &'static str {
    let blocks = README.split("```yaml\n").skip(1);
    let mut blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    blocks
        .find(|block| block.lines().any(|found| found == line))
        .unwrap()
}

/// Standard output and standard error in the order in which they are written.
#[derive(Clone, Default)]
struct Screen(Rc<RefCell<Vec<u8>>>);

impl io::Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader of the page, who types its commands.
struct Session {
    world: Arc<World>,
    server: Server,
    queues: Queues,
    /// Where the reader is: `rules/`, and what else the commands name.
    files: tempfile::TempDir,
    /// Commands of each block that are still to be typed.
    steps: VecDeque<VecDeque<&'static str>>,
    /// What the terminal showed, block for block.
    shown: Vec<String>,
}

impl Session {
    /// Two clusters with the rule and the Provider of the page.
    async fn new() -> Self {
        let world = Arc::new(World::empty().await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stand_in = StandIn::new(HostKind::GitHub, token("dev"));
        let server = Server::start(listener, stand_in, world.clock()).unwrap();
        server.stand_in().set_token(token("prod"));
        let router = local::sqs::router(
            STACK,
            &world.events.fifo,
            &world.posts.fifo,
            Arc::new(world.clock()),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = sqs_client(&format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        let files = tempfile::tempdir().unwrap();
        std::fs::create_dir(files.path().join("rules")).unwrap();
        let blocks = blocks();
        let session = Self {
            world,
            server,
            queues: Queues::new(client, STACK),
            files,
            steps: blocks.iter().map(|block| commands(block).collect()).collect(),
            shown: vec![String::new(); blocks.len()],
        };
        for cluster in CLUSTERS {
            session.set_up(cluster).await;
        }
        session.write("rules/webapp.yaml", &rule("dev"));
        session
    }

    /// What the page does for a first cluster. `rules/` are this cluster's after that.
    async fn set_up(&self, cluster: &str) {
        self.runs(&format!("commitstatus cluster add {cluster}")).await;
        let address = format!("{}/acme/fleet", self.server.address());
        let provider = yaml("kind: Provider");
        assert!(provider.contains(REPOSITORY), "{provider}");
        self.write("rules/provider.yaml", &provider.replace(REPOSITORY, &address));
        self.write("rules/webapp.yaml", &rule(cluster));
        self.runs(&format!("commitstatus apply --cluster {cluster} -f rules/"))
            .await;
        let scope = Scope::Cluster(cluster.to_owned());
        let name = provider_secret_name(STACK, &scope, "flux-system", "github-token");
        let value = json!({ "token": secret(cluster) }).to_string();
        self.world.secrets.put(&name, &value.into()).await.unwrap();
        self.runs(&format!("commitstatus connect {cluster}")).await;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Types the next command of the page, which begins so.
    async fn types(&mut self, beginning: &str) {
        let shown = self.shown.len() - self.steps.len();
        let steps = self.steps.front_mut().expect("the page has no more blocks");
        let step = steps.pop_front().unwrap();
        if steps.is_empty() {
            self.steps.pop_front();
        }
        assert!(
            step.starts_with(&format!("commitstatus {beginning}")),
            "`{step}` where `{beginning}` is told"
        );
        let said = self.runs(step).await;
        write!(self.shown[shown], "$ {step}\n{said}").unwrap();
    }

    /// Runs a command; what the terminal shows, with the page's port and paths.
    async fn runs(&self, command: &str) -> String {
        let words = command.split_whitespace().map(|word| {
            let path = self.path(word);
            match path.exists() {
                true => path.to_str().unwrap().to_owned(),
                false => word.to_owned(),
            }
        });
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("`{command}`: {error}"));
        let screen = Screen::default();
        let (mut out, mut err) = (screen.clone(), screen.clone());
        let terminal = &mut Terminal {
            input: &mut io::empty(),
            input_is_terminal: true,
            out: &mut out,
            out_is_terminal: true,
            err: &mut err,
            // A bar is gone when the command is over.
            err_is_terminal: false,
            colours: false,
        };
        let stack = Stack {
            store: &self.world.store,
            queues: Some(&self.queues),
            secrets: &self.world.secrets,
            function_url: Some(FUNCTION_URL),
            asks_hosts: true,
        };
        let person = Person {
            prompt: &mut |_: &str| panic!("`{command}` asks for a secret"),
            editor: &mut |_: &Path| panic!("`{command}` edits"),
        };
        let result = run(&cli, &stack, self.world.now(), person, pending(), terminal).await;
        result.unwrap_or_else(|error| panic!("`{command}`: {error:#}"));
        let said = String::from_utf8(screen.0.take()).unwrap();
        for cluster in CLUSTERS {
            assert!(!said.contains(&secret(cluster)), "a secret in `{said}`");
        }
        let address = self.server.address();
        let port = address.rsplit(':').next().unwrap();
        assert_eq!(port.len(), PORT.len(), "columns are as wide as on the page");
        said.replace(&format!(":{port}"), &format!(":{PORT}"))
            .replace(&format!("{}/", self.files.path().display()), "")
    }

    async fn event(&self, cluster: &str, event: WireEvent) {
        self.world.event(cluster, webapp(event)).await;
    }
}

fn secret(cluster: &str) -> String {
    format!("canary-token-of-{cluster}")
}

fn token(cluster: &str) -> Token {
    Token::new(&format!("flux-{cluster}"), &secret(cluster))
}

fn rule(cluster: &str) -> String {
    let rule = yaml("kind: CommitStatus");
    assert!(rule.contains("  prefix: dev "), "{rule}");
    rule.replace("  prefix: dev ", &format!("  prefix: {cluster} "))
}

fn webapp(event: WireEvent) -> WireEvent {
    event.name("webapp").namespace("flux-system")
}

#[tokio::test]
async fn the_readme_shows_what_a_terminal_shows() {
    let mut session = Session::new().await;
    let world = Arc::clone(&session.world);

    session.event("dev", progressing().at(0)).await;
    session.event("dev", succeeded().at(19)).await;
    session.event("prod", progressing().at(60)).await;
    // Somebody takes the right to write from the token of prod.
    session.server.stand_in().set_token(token("prod").read_only());
    session.event("prod", health_check_failed().at(363)).await;
    world.minutes(2).await;
    session.types("check").await;
    session.types("get statuses 5394cb7").await;
    session.types("describe status 5394cb7 prod/").await;
    // And gives it back.
    session.server.stand_in().set_token(token("prod"));
    session.types("retry --provider github").await;
    world.minutes(2).await;

    // A Kustomization of the same name elsewhere.
    session.write("event.json", &succeeded().name("webapp").at(600).body());
    session.types("explain -f rules/ --event event.json").await;
    session.types("explain 5394cb7 --cluster prod").await;

    // As kubectl prints it after somebody has suspended the Alert.
    let connected = session.runs("commitstatus connect dev").await;
    let suspended = connected.replace("  eventSeverity:", "  suspend: true\n  eventSeverity:");
    assert_ne!(suspended, connected);
    session.write("cluster.yaml", &suspended);
    session.types("connect dev --check cluster.yaml").await;

    // The reader changes the rule.
    let rule = rule("dev");
    let changed = rule.replace("  prefix: ", "  reportProgress: false\n  prefix: ");
    assert_ne!(changed, rule);
    session.write("rules/webapp.yaml", &changed);
    session.types("diff -f rules/").await;

    // `rules` crashes on an event.
    let event = webapp(succeeded()).at(1200);
    world.advance(1200 - (world.now().as_second() - super::world::START));
    assert_eq!(world.send("dev", &event.body()).await.status, 202);
    while !world.events.fifo.is_empty() {
        world.events.fifo.receive(world.now());
        world.advance(180);
    }
    session.types("dlq list").await;

    assert!(session.steps.is_empty(), "no story for {:?}", session.steps);
    let page = blocks();
    let differ: Vec<String> = (session.shown.iter().zip(&page))
        .filter(|(shown, page)| shown != page)
        .map(|(shown, page)| format!("The terminal shows\n\n{shown}\nand README.md\n\n{page}"))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
