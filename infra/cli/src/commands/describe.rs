//! `describe`: all that is known of one rule, Provider, cluster or status.

mod block;
mod cluster;
mod provider;
mod rule;
mod stack;
mod status;

use std::collections::BTreeSet;
use std::io;

use anyhow::bail;
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use shared::item::{EVENT_LIFETIME_SECONDS, StatusItem};

use self::block::Block;
use self::stack::Everything;
use super::Terminal;
use super::check::pages;
use super::cluster::cluster_name;
use super::get::objects::Wanted;
use super::print::short;
use super::scope::{AnyScopeArgs, dns_label};
use super::statuses::filter::{CommitArg, FilterArgs, is_context};
use super::statuses::{self, Stand};
use crate::object::Kind;
use crate::secrets::SecretStore;
use crate::store::{Store, StoreError};

/// What to describe.
#[derive(Debug, Subcommand)]
pub enum DescribeCommand {
    /// A rule: what it takes, where it is in effect, and how its statuses stand
    #[command(
        visible_alias = "cs",
        aliases = ["commitstatuses", "rule", "rules"],
        after_help = "Example:\n  commitstatus describe commitstatus webapp -n flux-system"
    )]
    Commitstatus(DescribeArgs),
    /// A Provider: where it leads, whether its secret is there, and what holds it up
    #[command(
        alias = "providers",
        after_help = "Example:\n  commitstatus describe provider github -n flux-system --all-clusters"
    )]
    Provider(DescribeArgs),
    /// A cluster: its key, what it watches, and the rules in effect there
    #[command(
        alias = "clusters",
        after_help = "Example:\n  commitstatus describe cluster prod-eu-1"
    )]
    Cluster(DescribeClusterArgs),
    /// A status: what it should say and why, what the host was told, and what comes next
    #[command(
        alias = "statuses",
        after_help = "Examples:\n  commitstatus describe status 5394cb7\n  \
                      commitstatus describe status 5394cb7 dev/kustomization/webapp\n  \
                      commitstatus get statuses --parked -o name |\n    xargs -d '\\n' -n 1 commitstatus describe status"
    )]
    Status(DescribeStatusArgs),
}

/// Which object of a kind.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Names of the objects; all if there is none
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Only objects of this namespace
    #[arg(short, long, value_parser = dns_label)]
    pub namespace: Option<String>,
    /// Objects of every namespace, as when none is named
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// For which clusters.
    #[command(flatten)]
    pub scope: AnyScopeArgs,
}

/// Which cluster.
#[derive(Debug, Args)]
pub struct DescribeClusterArgs {
    /// Names of the clusters; all if there is none
    #[arg(value_name = "NAME", value_parser = cluster_name)]
    pub names: Vec<String>,
}

/// Which status.
#[derive(Debug, Args)]
pub struct DescribeStatusArgs {
    /// The commit: at least the first 7 of its 40 digits, or what `get statuses -o name` prints
    pub commit: CommitArg,
    /// The context; every one of the commit if there is none
    pub context: Option<String>,
    /// Which of them.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Prints all there is to say.
///
/// # Errors
/// If what was named is not there.
pub async fn run<S: SecretStore>(
    command: &DescribeCommand,
    store: &Store,
    secrets: &S,
    stack: &str,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let blocks = match command {
        DescribeCommand::Commitstatus(args) => {
            objects(Kind::CommitStatus, args, store, secrets, stack, now, terminal).await?
        }
        DescribeCommand::Provider(args) => {
            objects(Kind::Provider, args, store, secrets, stack, now, terminal).await?
        }
        DescribeCommand::Cluster(args) => clusters(args, store, secrets, stack, now, terminal).await?,
        DescribeCommand::Status(args) => of_commit(args, store, now, terminal).await?,
    };
    Ok(print(&blocks, terminal)?)
}

fn print(blocks: &[Block], terminal: &mut Terminal<'_>) -> io::Result<()> {
    for (n, block) in blocks.iter().enumerate() {
        if n > 0 {
            writeln!(terminal.out, "\n")?;
        }
        block.print(terminal)?;
    }
    Ok(())
}

async fn objects<S: SecretStore>(
    kind: Kind,
    args: &DescribeArgs,
    store: &Store,
    secrets: &S,
    stack: &str,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Vec<Block>> {
    let wanted = Wanted {
        names: &args.names,
        namespace: args.namespace.as_deref(),
        scope: &args.scope,
    };
    let found = wanted.find(kind, store).await?;
    if let Some(missing) = wanted.missing(kind, &found) {
        bail!(missing);
    }
    if found.is_empty() {
        terminal.hint("nothing applied")?;
        return Ok(Vec::new());
    }
    let everything = Everything::read(store).await?;
    let statuses = match kind {
        Kind::CommitStatus => {
            let filter = match found.as_slice() {
                [only] => FilterArgs::of_rule(&only.object.metadata().object_name()),
                _ => FilterArgs::default(),
            };
            statuses::scan(&filter, store, terminal).await?
        }
        // Those that are posted say nothing of the way to the host.
        Kind::Provider => store.due_or_parked().await?,
    };
    let mut blocks = Vec::with_capacity(found.len());
    for applied in &found {
        blocks.push(match &applied.object {
            crate::object::Object::CommitStatus(rule) => {
                rule::block(applied, rule, &everything, &statuses, now)
            }
            crate::object::Object::Provider(provider) => {
                let place = provider::Place {
                    store,
                    secrets,
                    stack,
                };
                provider::block(applied, provider, &everything, &statuses, &place, now).await?
            }
        });
    }
    Ok(blocks)
}

async fn clusters<S: SecretStore>(
    args: &DescribeClusterArgs,
    store: &Store,
    secrets: &S,
    stack: &str,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Vec<Block>> {
    let everything = Everything::read(store).await?;
    for name in &args.names {
        if !everything.clusters.iter().any(|cluster| cluster.name == *name) {
            return Err(StoreError::ClusterNotFound(name.clone()).into());
        }
    }
    let found: Vec<_> = everything
        .clusters
        .iter()
        .filter(|cluster| args.names.is_empty() || args.names.contains(&cluster.name))
        .collect();
    if found.is_empty() {
        terminal.hint("no clusters; `commitstatus cluster add NAME` registers one")?;
        return Ok(Vec::new());
    }
    let only = match found.as_slice() {
        [only] => Some(only.name.as_str()),
        _ => None,
    };
    let events_since = now
        .checked_sub(SignedDuration::from_secs(EVENT_LIFETIME_SECONDS))
        .unwrap_or(Timestamp::MIN);
    let (statuses, events) = store
        .statuses_and_events(only, events_since, pages(terminal))
        .await?;
    let roots = cluster::Roots::read(secrets, stack).await;
    let blocks = found
        .into_iter()
        .map(|cluster| cluster::block(cluster, &everything, &statuses, &events, &roots, now));
    Ok(blocks.collect())
}

async fn of_commit(
    args: &DescribeStatusArgs,
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Vec<Block>> {
    let commit = &args.commit;
    let mut found = store.statuses(&commit.digits).await?;
    found.retain(|status| commit.takes(status));
    if found.is_empty() {
        bail!("{}", statuses::no_statuses(commit));
    }
    if let Some(several) = statuses::several(commit, &found) {
        terminal.hint(several)?;
    }
    found.retain(|status| is_context(args.context.as_deref(), status) && args.filter.takes(status));
    if found.is_empty() {
        bail!(
            "none of the statuses of {0} is such a one; `commitstatus get statuses {0}` lists their contexts",
            commit.digits
        );
    }
    let named: BTreeSet<&str> = found.iter().map(|status| status.credential.as_str()).collect();
    let credentials = store
        .credentials(&named.into_iter().filter(|name| !name.is_empty()).collect())
        .await?;
    let mut blocks = Vec::with_capacity(found.len());
    for status in &found {
        blocks.push(status::block(status, credentials.get(&status.credential), now));
    }
    Ok(blocks)
}

/// How many stand where, and the error of the newest event among them.
fn stands(block: &mut Block, statuses: &[&StatusItem]) {
    let count = |stand| {
        statuses
            .iter()
            .filter(|status| Stand::of(status) == stand)
            .count()
    };
    let counts: Vec<_> = Stand::ALL
        .into_iter()
        .map(|stand| (stand, count(stand)))
        .collect();
    if counts.iter().all(|(_, count)| *count == 0) {
        block.field("Statuses", "<none>");
    } else {
        block.section("Statuses", |block| {
            for (stand, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                block.painted(stand.title(), count, stand.style());
            }
        });
    }
    let last = statuses
        .iter()
        .filter_map(|status| {
            Some((
                statuses::event_time(status),
                *status,
                status.last_error.as_deref()?,
            ))
        })
        .max_by_key(|(at, _, _)| *at);
    if let Some((_, status, error)) = last {
        block.field(
            "Last error",
            format!(
                "{} (`commitstatus describe status {} {}`)",
                short(error),
                status.commit7,
                status.context
            ),
        );
    }
}
