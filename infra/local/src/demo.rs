//! Shows the whole way of an event in a few seconds: two clusters report on one commit, and a stand-in of a Git host
//! receives what becomes of it.

mod flux;
mod screen;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use cli::secrets::{SecretStore, provider_secret_name, root_key_name};
use cli::store::Store;
use cli::yaml::{Source, validate};
use hosts::{HostKind, Repository};
use intake::keys::{RootKey, derive_cluster_key};
use jiff::{SignedDuration, Timestamp, ToSpan};
use secrecy::{ExposeSecret, SecretString};
use shared::item::StatusItem;
use shared::{CommitSha, Scope, State};
use tokio::net::TcpListener;

use crate::service::{Options, STACK, Service};
use crate::stand_in::{Facts, Server, StandIn};
use flux::{Reason, WireEvent};
use screen::Screen;

/// The example of the RFC, unchanged: <https://github.com/fluxcd/flux2/pull/2639>.
pub const RFC_EXAMPLE: &str = "\
apiVersion: notification.toolkit.fluxcd.io/v1beta1
kind: CommitStatus
metadata:
  name: webapp
  namespace: flux-system
spec:
  providerRef:
    name: github # The `spec.type` of the provider has to be github, gitlab, or bitbucket
  eventSeverity: info
  eventSources:
    - kind: Kustomization
      name: webapp
  prefix: dev
";

/// Where everything is in the clusters.
pub const NAMESPACE: &str = "flux-system";
/// The commit both clusters report on.
const COMMIT: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";
/// A token nobody else knows.
const STAND_IN_TOKEN: &str = "demo-token-of-the-stand-in";
/// How far the story lies back, so that all of it is in the past.
const STORY_LENGTH: SignedDuration = SignedDuration::from_mins(50);
/// How long a step may take until it has come to rest; a real host may make us wait for its pace.
const LONGEST_STEP: SignedDuration = SignedDuration::from_secs(90);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(4);

/// Where it is posted to.
#[derive(Debug)]
pub enum Target {
    /// A stand-in of that host.
    StandIn(HostKind),
    /// A repository at GitHub.
    Real(RealHost),
}

/// A real repository.
#[derive(Debug)]
pub struct RealHost {
    /// Address of the repository.
    pub repository: String,
    /// A commit of it.
    pub commit: CommitSha,
    /// A token that may write commit statuses.
    pub token: SecretString,
}

/// One event and what should become of it.
struct Step {
    cluster: &'static str,
    minute: i64,
    reason: Reason,
    /// The same bytes as the step before.
    again: bool,
    /// What the host is told, if anything.
    posted: Option<State>,
    /// Why it is not, or what it shows.
    remark: &'static str,
}

const fn step(
    cluster: &'static str,
    minute: i64,
    reason: Reason,
    posted: Option<State>,
    remark: &'static str,
) -> Step {
    Step {
        cluster,
        minute,
        reason,
        again: false,
        posted,
        remark,
    }
}

/// What happens: minutes from the start of the story.
const STORY: [Step; 13] = [
    step(
        "dev",
        0,
        Reason::Progressing,
        Some(State::Pending),
        "first sign of the commit",
    ),
    step(
        "prod",
        1,
        Reason::Progressing,
        Some(State::Pending),
        "the other cluster has a status of its own",
    ),
    step(
        "dev",
        2,
        Reason::ReconciliationSucceeded,
        Some(State::Success),
        "dev runs the commit",
    ),
    step(
        "prod",
        6,
        Reason::HealthCheckFailed,
        Some(State::Failure),
        "prod does not get healthy",
    ),
    step(
        "dev",
        12,
        Reason::ReconciliationSucceeded,
        None,
        "unchanged: the success of every interval",
    ),
    Step {
        again: true,
        ..step(
            "dev",
            12,
            Reason::ReconciliationSucceeded,
            None,
            "duplicate: Flux sent the same bytes again",
        )
    },
    step(
        "prod",
        16,
        Reason::ReconciliationSucceeded,
        Some(State::Success),
        "prod has recovered",
    ),
    step(
        "prod",
        5,
        Reason::BuildFailed,
        None,
        "stale: an older failure that arrives late",
    ),
    step("dev", 22, Reason::ReconciliationSucceeded, None, "unchanged"),
    step("prod", 26, Reason::ReconciliationSucceeded, None, "unchanged"),
    step(
        "dev",
        32,
        Reason::Progressing,
        None,
        "stale: progress never replaces a result",
    ),
    step("dev", 33, Reason::ReconciliationSucceeded, None, "unchanged"),
    step("prod", 36, Reason::ReconciliationSucceeded, None, "unchanged"),
];

/// Contexts and what they should show in the end.
const EXPECTED: [(&str, State); 2] = [
    ("dev/kustomization/webapp", State::Success),
    ("prod/kustomization/webapp", State::Success),
];

/// Runs the demo in a directory of its own and prints each step to `out`.
///
/// # Errors
/// If something cannot be started, or anything ended otherwise than it should.
pub async fn run(clock: crate::Clock, target: Target, out: &mut dyn std::io::Write) -> anyhow::Result<()> {
    let data = tempfile::tempdir().context("cannot create a temporary directory")?;
    let service = Service::start(&Options {
        data_dir: data.path().to_owned(),
        port: 0,
        // For the stand-in.
        address_policy: "127.0.0.0/8".parse()?,
        clock,
    })
    .await?;
    let mut demo = Demo::prepare(&service, clock, target, out).await?;
    let result = demo.tell().await;
    drop(demo);
    service.stop().await;
    result
}

struct Demo<'a> {
    service: &'a Service,
    store: Store,
    clock: crate::Clock,
    screen: Screen<'a>,
    stand_in: Option<Server>,
    keys: BTreeMap<&'static str, SecretString>,
    commit: CommitSha,
    http: reqwest::Client,
}

impl<'a> Demo<'a> {
    async fn prepare(
        service: &'a Service,
        clock: crate::Clock,
        target: Target,
        out: &'a mut dyn std::io::Write,
    ) -> anyhow::Result<Self> {
        let store = Store::new(service.dynamodb.clone(), STACK);
        let (kind, stand_in, host) = match target {
            Target::Real(real) => (HostKind::GitHub, None, real),
            Target::StandIn(kind) => {
                let (server, host) = start_stand_in(kind, clock).await?;
                (kind, Some(server), host)
            }
        };
        let repository = Repository::parse(kind, &host.repository, false)
            .with_context(|| format!("cannot post to `{}`", host.repository))?;

        let words = STORY.iter().filter_map(|step| step.posted);
        let words = words.map(|state| word(stand_in.as_ref(), state).len());
        let mut screen = Screen::new(out, words.max().unwrap_or_default());
        screen.title("The service")?;
        screen.line(&format!("function URL   {}", service.instance.function_url))?;
        screen.line(&format!("Git host       {repository}"))?;
        screen.title("Rules")?;
        let provider = provider_yaml(kind, &host.repository);
        screen.yaml(&provider, "for all clusters")?;
        apply(&store, &Scope::AllClusters, &provider, clock()).await?;
        let secret = serde_json::json!({ "token": host.token.expose_secret() }).to_string();
        let name = secret_name(kind);
        let name = provider_secret_name(STACK, &Scope::AllClusters, NAMESPACE, &name);
        service.secrets.put(&name, &secret.into()).await?;

        let root = service
            .secrets
            .versions(&root_key_name(STACK))?
            .context("there is no root key")?;
        let root = RootKey::new(&root.current)?;
        let mut keys = BTreeMap::new();
        let (example, changed) = match kind {
            HostKind::GitHub => (RFC_EXAMPLE.to_owned(), "unchanged".to_owned()),
            kind => (
                RFC_EXAMPLE.replace("name: github", &format!("name: {kind}")),
                format!("with Provider `{kind}`"),
            ),
        };
        let of_prod = example.replace("prefix: dev", "prefix: prod");
        for (cluster, yaml) in [("dev", example), ("prod", of_prod)] {
            let generation = store.add_cluster(cluster).await?;
            keys.insert(cluster, derive_cluster_key(&root, cluster, generation));
            let whose = match cluster {
                "dev" => format!("for cluster dev: the RFC's example, {changed}"),
                _ => "for cluster prod: the same with `prefix: prod`".to_owned(),
            };
            if cluster == "dev" {
                screen.yaml(&yaml, &whose)?;
            } else {
                screen.line(&format!("# {whose}"))?;
            }
            apply(&store, &Scope::Cluster(cluster.to_owned()), &yaml, clock()).await?;
        }
        Ok(Self {
            service,
            store,
            clock,
            screen,
            stand_in,
            keys,
            commit: host.commit,
            http: reqwest::Client::builder().no_proxy().build()?,
        })
    }

    async fn tell(&mut self) -> anyhow::Result<()> {
        let short = self.commit.short().to_owned();
        self.screen.title(&format!(
            "Events about Kustomization flux-system/webapp at commit {short}, signed, over HTTP"
        ))?;
        let start = (self.clock)() - STORY_LENGTH;
        let mut without_call = 0;
        let mut last_body = String::new();
        for (number, step) in STORY.iter().enumerate() {
            let timestamp = start + step.minute.minutes();
            let event = WireEvent {
                reason: step.reason,
                timestamp,
                commit: &self.commit,
                version: number,
            };
            if !step.again {
                last_body = event.body();
            }
            let before = self.posts().await?;
            self.send(step.cluster, &last_body).await?;
            self.come_to_rest().await?;
            let told: Vec<String> = self.posts().await?.split_off(before.len());
            self.screen
                .step(step.cluster, timestamp, step.reason.as_str(), &told, step.remark)?;
            let expected: Vec<String> = step
                .posted
                .into_iter()
                .map(|state| word(self.stand_in.as_ref(), state))
                .collect();
            ensure!(
                told == expected,
                "step {}: the host was told {told:?} and should have been told {expected:?}{}",
                number + 1,
                self.last_errors().await?
            );
            if told.is_empty() {
                without_call += 1;
            }
        }
        self.conclude(without_call).await
    }

    async fn conclude(&mut self, without_call: usize) -> anyhow::Result<()> {
        self.screen.title(&match &self.stand_in {
            Some(server) => format!("What the stand-in of {} received", facts(server).title),
            None => "What the Git host took".to_owned(),
        })?;
        let statuses = self.store.statuses(self.commit.as_str()).await?;
        let mut rows = Vec::new();
        for (context, expected) in EXPECTED {
            let status = statuses.iter().find(|status| status.context == context);
            let status = status.with_context(|| format!("there is no status {context}"))?;
            let row = match &self.stand_in {
                Some(server) => shown(server, self.commit.as_str(), context),
                None => (
                    status
                        .posted
                        .as_ref()
                        .map(|posted| posted.state.to_string())
                        .unwrap_or_default(),
                    status.desired.description.clone(),
                    usize::try_from(status.posts)?,
                ),
            };
            let expected = word(self.stand_in.as_ref(), expected);
            ensure!(
                row.0 == expected,
                "{context} shows {} and should show {expected}",
                row.0
            );
            rows.push((context, row));
        }
        ensure!(
            statuses.len() == EXPECTED.len(),
            "there are {} statuses",
            statuses.len()
        );
        self.screen.table(&rows)?;
        let posts: usize = rows.iter().map(|(_, (_, _, posts))| posts).sum();
        if let Some(server) = &self.stand_in {
            let calls = server.calls();
            ensure!(calls.len() == posts, "the host was called otherwise: {calls:?}");
        }
        self.screen.line(&format!(
            "{} events, {posts} calls to the Git host, none of them a read. {without_call} events cost no call.",
            STORY.len()
        ))?;
        self.screen
            .line("Nothing was overwritten, and nothing was posted twice.")?;
        Ok(())
    }

    /// What the host was told so far, in order.
    async fn posts(&self) -> anyhow::Result<Vec<String>> {
        match &self.stand_in {
            Some(server) => {
                let stand_in = server.stand_in();
                let received = stand_in.received().iter();
                Ok(received.map(|received| received.state.clone()).collect())
            }
            None => {
                // A real host is never read: the table knows what it took, the newest of each status.
                let mut posted: Vec<_> = self
                    .store
                    .statuses(self.commit.as_str())
                    .await?
                    .iter()
                    .filter_map(|status| Some((status.posted.clone()?, status.posts)))
                    .collect();
                posted.sort_by_key(|(posted, _)| posted.at);
                let count: u32 = posted.iter().map(|(_, posts)| posts).sum();
                let newest = posted
                    .pop()
                    .map(|(posted, _)| posted.state.to_string())
                    .unwrap_or_default();
                Ok(vec![newest; usize::try_from(count)?])
            }
        }
    }

    async fn send(&self, cluster: &str, body: &str) -> anyhow::Result<()> {
        let key = self.keys.get(cluster).context("unknown cluster")?;
        let url = format!("{}events/{cluster}", self.service.instance.function_url);
        let answer = self
            .http
            .post(url)
            .header("Content-Type", "application/json")
            .header("Gotk-Component", "kustomize-controller")
            .header("X-Signature", flux::signature(key, body))
            .body(body.to_owned())
            .send()
            .await?;
        let status = answer.status();
        if status != reqwest::StatusCode::ACCEPTED {
            bail!("intake answered {status}: {}", answer.text().await?);
        }
        Ok(())
    }

    /// Waits until both queues are empty and nothing is due any more.
    async fn come_to_rest(&self) -> anyhow::Result<()> {
        let deadline = (self.clock)() + LONGEST_STEP;
        while (self.clock)() < deadline {
            if self.service.events.is_empty() && self.service.posts.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!(
            "an event was not handled within {LONGEST_STEP:#}{}",
            self.last_errors().await?
        )
    }

    async fn last_errors(&self) -> anyhow::Result<String> {
        let statuses = self.store.statuses(self.commit.as_str()).await?;
        let describe = |status: &StatusItem| {
            let why = status.parked.as_ref().or(status.ended.as_ref());
            let error = status.last_error.as_ref()?;
            Some(format!(
                "\n  {}: {} {error}",
                status.context,
                why.map_or("", String::as_str)
            ))
        };
        Ok(statuses.iter().filter_map(describe).collect())
    }
}

/// State, description and number of posts of a context, as the stand-in shows it.
fn shown(server: &Server, commit: &str, context: &str) -> screen::Shown {
    let stand_in = server.stand_in();
    let shown = stand_in.all_shown(commit);
    let shown = shown.into_iter().find(|shown| shown.visible() == context);
    let posts = stand_in.received().iter();
    (
        shown.map(|shown| shown.state.clone()).unwrap_or_default(),
        shown
            .and_then(|shown| shown.description.clone())
            .unwrap_or_default(),
        posts.filter(|post| post.visible() == context).count(),
    )
}

/// The host's word, or our own for one we never see.
fn word(stand_in: Option<&Server>, state: State) -> String {
    match stand_in {
        Some(server) => facts(server).word(state).to_owned(),
        None => state.to_string(),
    }
}

fn facts(server: &Server) -> Facts {
    Facts::of(server.stand_in().kind())
}

async fn start_stand_in(kind: HostKind, clock: crate::Clock) -> anyhow::Result<(Server, RealHost)> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("cannot listen on 127.0.0.1")?;
    let facts = Facts::of(kind);
    let (token, secret) = facts.token(STAND_IN_TOKEN);
    let server = Server::start(listener, StandIn::new(kind, token), clock)?;
    let host = RealHost {
        repository: format!("{}{}", server.address(), facts.example),
        commit: COMMIT.parse()?,
        token: secret.into(),
    };
    Ok((server, host))
}

/// What the secret of [`provider_yaml`] is called.
pub fn secret_name(kind: HostKind) -> String {
    format!("{kind}-token")
}

/// A Provider that is called as its host.
pub fn provider_yaml(kind: HostKind, address: &str) -> String {
    format!(
        "\
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata:
  name: {kind}
  namespace: {NAMESPACE}
spec:
  type: {kind}
  address: {address}
  secretRef:
    name: {}
",
        secret_name(kind)
    )
}

async fn apply(store: &Store, scope: &Scope, yaml: &str, now: Timestamp) -> anyhow::Result<()> {
    let source = Source {
        name: "demo.yaml".to_owned(),
        text: yaml.to_owned(),
    };
    let validated = validate(&[source], None)?;
    let objects: Vec<_> = validated
        .documents
        .into_iter()
        .map(|document| document.object)
        .collect();
    store.apply(scope, &objects, now).await?;
    Ok(())
}
