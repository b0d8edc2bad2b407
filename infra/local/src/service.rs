//! Puts everything together.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use aws_sdk_dynamodb::Client;
use cli::local_instance::{LocalInstance, dynamodb_client, secrets_dir};
use cli::queues::{Queue, Subject};
use cli::root_key;
use cli::secrets::FileSecrets;
use cli::store::{create_tables, rules_table, statuses_table};
use dynoxide::Database;
use intake::event::Limits;
use intake::root_key_cache::RootKeyCache;
use jiff::SignedDuration;
use poster::host::{AddressPolicy, Hosts};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::fifo::{FifoQueue, Received, Settings};
use crate::ports::{Secrets, Sender};
use crate::pump::{FUNCTION_TIMEOUT, pump};
use crate::{Clock, function_url, sqs};

/// The one stack this process is: the tool's default.
pub const STACK: &str = "commitstatus";

/// File of the tables in the data directory.
const DATABASE: &str = "dynamodb.sqlite";

/// As often as on AWS.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// DynamoDB itself takes up to two days.
const EXPIRE_EVERY: Duration = Duration::from_secs(3600);

/// A message that is not deleted comes back after this time: six times the function's timeout would be AWS's advice,
/// but nobody else is there to take it meanwhile.
const EVENTS: Settings = Settings {
    visibility: SignedDuration::from_secs(30),
    max_receives: 100,
};

/// See [`EVENTS`]; a claimed status is kept by its lease anyway.
const POSTS: Settings = Settings {
    visibility: FUNCTION_TIMEOUT,
    max_receives: 10,
};

/// How to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where rules, statuses and secrets are kept. Created if missing.
    pub data_dir: PathBuf,
    /// Port of the function URL on the loopback interface; 0 for any.
    pub port: u16,
    /// Where Git hosts may be besides public addresses.
    pub address_policy: AddressPolicy,
    /// The clock.
    pub clock: Clock,
}

/// The service, running.
pub struct Service {
    /// Where it listens.
    pub instance: LocalInstance,
    /// Client of its DynamoDB.
    pub dynamodb: Client,
    /// Its secrets.
    pub secrets: FileSecrets,
    /// Accepted events that `rules` has not handled yet.
    pub events: Arc<FifoQueue>,
    /// Hints that `poster` has not handled yet.
    pub posts: Arc<FifoQueue>,
    data_dir: PathBuf,
    tasks: JoinSet<()>,
}

impl Service {
    /// Starts everything and tells where in the data directory.
    ///
    /// # Errors
    /// If the directory cannot be used, or a port is taken.
    pub async fn start(options: &Options) -> anyhow::Result<Self> {
        let Options {
            data_dir,
            port,
            address_policy,
            clock,
        } = options;
        let clock = *clock;
        create_private_dir(data_dir)
            .with_context(|| format!("cannot create the data directory `{}`", data_dir.display()))?;
        if let Ok(running) = LocalInstance::find(data_dir) {
            anyhow::bail!(
                "a local service runs with data in `{}` already, at {}; stop it first, or name another \
                 directory with --data-dir",
                data_dir.display(),
                running.function_url
            );
        }
        let listener = listen(*port, "--port").await?;
        let mut tasks = JoinSet::new();

        let database = data_dir.join(DATABASE);
        create_private_file(&database).with_context(|| format!("cannot create `{}`", database.display()))?;
        let path = database
            .to_str()
            .context("the path of the data directory is not text")?;
        let database = Database::new(path)
            .with_context(|| format!("cannot open `{path}`; is another local service running on it?"))?;
        // The journal reaches the disk at its checkpoints and not with every write: a process that is killed loses nothing, a
        // machine that is switched off perhaps the last moments, which are in the queues of this process only anyway.
        database.disable_bulk_loading()?;
        let dynamodb_listener = listen(0, "--port").await?;
        let endpoint = format!("http://{}", dynamodb_listener.local_addr()?);
        tasks.spawn(dynoxide::server::serve_on(dynamodb_listener, database.clone()));
        tasks.spawn(expire(database));
        let dynamodb = dynamodb_client(&endpoint);
        create_tables(&dynamodb, &rules_table(STACK), &statuses_table(STACK)).await?;

        let secrets = FileSecrets::new(secrets_dir(data_dir));
        root_key::create_if_absent(&secrets, STACK).await?;

        let events = FifoQueue::new(EVENTS).on_death(|letter| log_dead_letter(Queue::Events, letter));
        let posts = FifoQueue::new(POSTS).on_death(|letter| log_dead_letter(Queue::Posts, letter));
        let (events, posts) = (Arc::new(events), Arc::new(posts));
        let sqs_listener = listen(0, "--port").await?;
        let ports = Secrets::new(secrets.clone(), STACK);

        let intake = Arc::new(intake::handler::Deps {
            queue: Sender::new(Arc::clone(&events), clock),
            keys: RootKeyCache::new(ports.clone()),
            limits: Limits::default(),
        });
        let instance = LocalInstance {
            dynamodb: endpoint,
            function_url: format!("http://{}/", listener.local_addr()?),
            sqs: Some(format!("http://{}", sqs_listener.local_addr()?)),
        };
        let queues = sqs::router(STACK, &events, &posts, Arc::new(clock));
        tasks.spawn(async move {
            // It ends with the process.
            let _ = axum::serve(sqs_listener, queues).await;
        });
        tasks.spawn(async move {
            // It ends with the process.
            let _ = axum::serve(listener, function_url::router(intake, clock)).await;
        });
        spawn_rules(&mut tasks, &dynamodb, &events, &posts, clock);
        let hosts = Hosts::new(address_policy.clone())?;
        spawn_poster(&mut tasks, &dynamodb, ports, hosts, &posts, clock);
        spawn_sweeper(&mut tasks, &dynamodb, &posts, clock);

        instance
            .write(data_dir)
            .context("cannot write to the data directory")?;
        Ok(Self {
            instance,
            dynamodb,
            secrets,
            events,
            posts,
            data_dir: data_dir.clone(),
            tasks,
        })
    }

    /// Ends every task. What is in the tables stays; what is in the queues is in the tables already, or was accepted
    /// within the last moments.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        if let Err(error) = LocalInstance::remove(&self.data_dir) {
            tracing::warn!(%error, "file that tells where this process listened stays behind");
        }
    }
}

fn spawn_rules(
    tasks: &mut JoinSet<()>,
    dynamodb: &Client,
    events: &Arc<FifoQueue>,
    posts: &Arc<FifoQueue>,
    clock: Clock,
) {
    use rules::adapters::{RulesTable, StatusesTable};
    let deps = Arc::new(rules::handler::Deps {
        lookup: rules::lookup::Lookup::new(RulesTable::new(dynamodb.clone(), rules_table(STACK))),
        statuses: StatusesTable::new(dynamodb.clone(), statuses_table(STACK)),
        events: rules::last_event::LastEvents::default(),
        hints: Sender::new(Arc::clone(posts), clock),
        clock,
    });
    tasks.spawn(pump(Arc::clone(events), clock, move |batch, deadline| {
        let deps = Arc::clone(&deps);
        async move { rules::handler::handle(&deps, batch, deadline).await }
    }));
}

fn spawn_poster(
    tasks: &mut JoinSet<()>,
    dynamodb: &Client,
    secrets: Secrets,
    hosts: Hosts,
    posts: &Arc<FifoQueue>,
    clock: Clock,
) {
    use poster::adapters::{CredentialsTable, RulesTable, StatusesTable, Timer};
    let deps = Arc::new(poster::post::Deps {
        statuses: StatusesTable::new(dynamodb.clone(), statuses_table(STACK)),
        pacer: poster::pacer::Pacer::new(
            CredentialsTable::new(dynamodb.clone(), statuses_table(STACK)),
            Timer,
        ),
        targets: poster::target::Targets::new(RulesTable::new(dynamodb.clone(), rules_table(STACK))),
        credentials: poster::credentials::Credentials::new(secrets, hosts.clone()),
        hosts,
        app_tokens: poster::app_tokens::AppTokens::default(),
        clock,
    });
    tasks.spawn(pump(Arc::clone(posts), clock, move |batch, deadline| {
        let deps = Arc::clone(&deps);
        async move { poster::handler::handle(&deps, batch, deadline).await }
    }));
}

fn spawn_sweeper(tasks: &mut JoinSet<()>, dynamodb: &Client, posts: &Arc<FifoQueue>, clock: Clock) {
    let deps = sweeper::handler::Deps {
        due: sweeper::adapters::DueIndex::new(dynamodb.clone(), statuses_table(STACK)),
        hints: Sender::new(Arc::clone(posts), clock),
        clock,
        sleep: sweeper::adapters::Timer,
        stay: sweeper::handler::STAY,
        jitter: |below: i64| fastrand::i64(0..below),
    };
    tasks.spawn(async move {
        let mut minute = tokio::time::interval(SWEEP_EVERY);
        loop {
            minute.tick().await;
            if let Err(error) = sweeper::handler::handle(&deps).await {
                tracing::error!(error = %shared::ErrorChain(&error), outcome = "failed", "sweep failed");
            }
        }
    });
}

/// Nobody else would tell.
fn log_dead_letter(queue: Queue, letter: &Received) {
    let subject = match Subject::read(queue, &letter.body) {
        // It may hold anything.
        Subject::Malformed(_) => "a malformed message".to_owned(),
        subject => subject.to_string(),
    };
    tracing::error!(
        outcome = "dead-letter",
        queue = queue.as_str(),
        message.id = letter.id,
        message.receives = letter.receives,
        "{}",
        format!("{subject} became a dead letter: see `commitstatus dlq list`").replace(char::is_control, " ")
    );
}

async fn expire(database: Database) {
    let mut hour = tokio::time::interval(EXPIRE_EVERY);
    loop {
        hour.tick().await;
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, outcome = "failed", "expired items stay"),
            Err(_) => return,
        }
    }
}

/// Listens on the loopback interface; `option` chooses the port.
///
/// # Errors
/// If the port is taken.
pub async fn listen(port: u16, option: &str) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another port with {option}"))
}

/// SQLite gives its other files the mode of this one.
fn create_private_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

fn create_private_dir(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use shared::message::QueueMessage;
    use std::io::Write;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_message_that_becomes_a_dead_letter_is_logged_once_with_what_it_is() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let queue = FifoQueue::new(POSTS).on_death(|letter| log_dead_letter(Queue::Posts, letter));
        let mut now = Timestamp::UNIX_EPOCH;
        let message = QueueMessage {
            body: r#"{"pk":"github.com/a/b@0","sk":"dev/x"}"#.into(),
            group_id: "a".into(),
            dedupe_id: "a".into(),
        };
        queue.send(message, now);

        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..20 {
                queue.receive(now);
                now += POSTS.visibility;
            }
        });

        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.lines().count(), 1, "{log}");
        for part in [
            "ERROR",
            "github.com/a/b@0 dev/x became a dead letter",
            "outcome=\"dead-letter\"",
            "queue=\"posts\"",
            "message.receives=10",
        ] {
            assert!(log.contains(part), "{part}: {log}");
        }
    }
}
