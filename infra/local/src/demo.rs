//! Shows the whole way of an event in a few seconds: two clusters report on one commit, and a stand-in of GitHub's API
//! receives what becomes of it.

mod flux;
mod screen;

use std::collections::BTreeMap;
use std::sync::Arc;
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
use shared::{CommitSha, Scope};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::github::GitHub;
use crate::service::{Options, STACK, Service};
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

/// Where the stand-in has the repository.
const STAND_IN_REPOSITORY: &str = "acme/fleet";
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

/// A real repository instead of the stand-in.
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
    posted: Option<&'static str>,
    /// Why it is not, or what it shows.
    remark: &'static str,
}

const fn step(
    cluster: &'static str,
    minute: i64,
    reason: Reason,
    posted: Option<&'static str>,
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
        Some("pending"),
        "first sign of the commit",
    ),
    step(
        "prod",
        1,
        Reason::Progressing,
        Some("pending"),
        "the other cluster has a status of its own",
    ),
    step(
        "dev",
        2,
        Reason::ReconciliationSucceeded,
        Some("success"),
        "dev runs the commit",
    ),
    step(
        "prod",
        6,
        Reason::HealthCheckFailed,
        Some("failure"),
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
        Some("success"),
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
const EXPECTED: [(&str, &str); 2] = [
    ("dev/kustomization/webapp", "success"),
    ("prod/kustomization/webapp", "success"),
];

/// Runs the demo in a directory of its own and prints each step to `out`.
///
/// # Errors
/// If something cannot be started, or anything ended otherwise than it should.
pub async fn run(
    clock: crate::Clock,
    real: Option<RealHost>,
    out: &mut dyn std::io::Write,
) -> anyhow::Result<()> {
    let data = tempfile::tempdir().context("cannot create a temporary directory")?;
    let service = Service::start(&Options {
        data_dir: data.path().to_owned(),
        port: 0,
        // For the stand-in.
        address_policy: "127.0.0.0/8".parse()?,
        clock,
    })
    .await?;
    let mut demo = Demo::prepare(&service, clock, real, Screen::new(out)).await?;
    let result = demo.tell().await;
    demo.stand_in.take().inspect(|stand_in| stand_in.server.abort());
    service.stop().await;
    result
}

struct StandIn {
    github: Arc<GitHub>,
    server: JoinHandle<()>,
}

struct Demo<'a> {
    service: &'a Service,
    store: Store,
    clock: crate::Clock,
    screen: Screen<'a>,
    stand_in: Option<StandIn>,
    keys: BTreeMap<&'static str, SecretString>,
    commit: CommitSha,
    http: reqwest::Client,
}

impl<'a> Demo<'a> {
    async fn prepare(
        service: &'a Service,
        clock: crate::Clock,
        real: Option<RealHost>,
        mut screen: Screen<'a>,
    ) -> anyhow::Result<Self> {
        let store = Store::new(service.dynamodb.clone(), STACK);
        let (stand_in, host) = match real {
            Some(real) => (None, real),
            None => {
                let (stand_in, address) = start_stand_in().await?;
                let host = RealHost {
                    repository: format!("{address}/{STAND_IN_REPOSITORY}"),
                    commit: COMMIT.parse()?,
                    token: STAND_IN_TOKEN.into(),
                };
                (Some(stand_in), host)
            }
        };
        let repository = Repository::parse(HostKind::GitHub, &host.repository, false)
            .with_context(|| format!("cannot post to `{}`", host.repository))?;

        screen.title("The service")?;
        screen.line(&format!("function URL   {}", service.instance.function_url))?;
        screen.line(&format!("Git host       {repository}"))?;
        screen.title("Rules")?;
        let provider = provider_yaml(&host.repository);
        screen.yaml(&provider, "for all clusters")?;
        apply(&store, &Scope::AllClusters, &provider, clock()).await?;
        let secret = serde_json::json!({ "token": host.token.expose_secret() }).to_string();
        let name = provider_secret_name(STACK, &Scope::AllClusters, "flux-system", "github-token");
        service.secrets.put(&name, &secret.into()).await?;

        let root = service
            .secrets
            .versions(&root_key_name(STACK))?
            .context("there is no root key")?;
        let root = RootKey::new(&root.current)?;
        let mut keys = BTreeMap::new();
        for (cluster, yaml) in [
            ("dev", RFC_EXAMPLE.to_owned()),
            ("prod", RFC_EXAMPLE.replace("prefix: dev", "prefix: prod")),
        ] {
            let generation = store.add_cluster(cluster).await?;
            keys.insert(cluster, derive_cluster_key(&root, cluster, generation));
            let whose = match cluster {
                "dev" => "for cluster dev: the RFC's example, unchanged",
                _ => "for cluster prod: the same with `prefix: prod`",
            };
            if cluster == "dev" {
                screen.yaml(&yaml, whose)?;
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
            let expected: Vec<&str> = step.posted.into_iter().collect();
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
        self.screen.title(match self.stand_in {
            Some(_) => "What the stand-in of GitHub received",
            None => "What the Git host took",
        })?;
        let statuses = self.store.statuses(self.commit.as_str()).await?;
        let mut rows = Vec::new();
        for (context, expected) in EXPECTED {
            let status = statuses.iter().find(|status| status.context == context);
            let status = status.with_context(|| format!("there is no status {context}"))?;
            let row = match &self.stand_in {
                Some(stand_in) => shown(&stand_in.github, context),
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
            Some(stand_in) => Ok(stand_in
                .github
                .received()
                .into_iter()
                .map(|status| status.state)
                .collect()),
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

/// State, description and number of posts of a context, as the stand-in received them.
fn shown(github: &GitHub, context: &str) -> (String, String, usize) {
    let received = github.received();
    let of_context: Vec<_> = received
        .iter()
        .filter(|status| status.context == context)
        .collect();
    let last = of_context.last();
    (
        last.map(|status| status.state.clone()).unwrap_or_default(),
        last.map(|status| status.description.clone()).unwrap_or_default(),
        of_context.len(),
    )
}

async fn start_stand_in() -> anyhow::Result<(StandIn, String)> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("cannot listen on 127.0.0.1")?;
    let address = format!("http://{}", listener.local_addr()?);
    let github = GitHub::new(STAND_IN_TOKEN);
    let router = github.router();
    let server = tokio::spawn(async move {
        // It is aborted at the end.
        let _ = axum::serve(listener, router).await;
    });
    Ok((StandIn { github, server }, address))
}

fn provider_yaml(address: &str) -> String {
    format!(
        "\
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata:
  name: github
  namespace: flux-system
spec:
  type: github
  address: {address}
  secretRef:
    name: github-token
"
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
