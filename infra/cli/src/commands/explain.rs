//! `explain`: what each rule makes of an event, and why.

mod event;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::bail;
use clap::{ArgGroup, Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::EventMessage;
use shared::item::{EVENT_LIFETIME_SECONDS, EventItem, StatusItem};
use shared::message::StatusKey;

use super::print::{self, Cell, Output, Table, since};
use super::scope::dns_label;
use super::statuses::Stand;
use super::statuses::filter::{CommitArg, ObjectFilter};
use super::{FileArgs, Terminal, validate};
use crate::explain::{Applied, Explanation, Rules, dropped};
use crate::object::{Kind, Object};
use crate::store::{Cluster, Store};

/// Exit code if something is posted, or would be.
const POSTED: u8 = 0;
/// Exit code if nothing is.
const NOT_POSTED: u8 = 1;
/// Events that are shown to people; more are no answer.
const SHOWN: usize = 30;
/// What stands for the cluster where none was said.
const ANY_CLUSTER: &str = "<cluster>";

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true))]
pub struct ExplainArgs {
    /// Explain what the stack makes of this commit: at least the first 7 of its 40 digits, or what `get statuses -o name` prints
    #[arg(group = "what")]
    pub commit: Option<CommitArg>,
    /// Explain what the rules make of the event in this file, or `-` for standard input: the JSON Flux posts
    #[arg(long, value_name = "FILE|-", group = "what")]
    pub event: Option<PathBuf>,
    /// Ask the rules in this file, directory or `-` instead of those in the stack; needs no stack. May be repeated
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE|DIR|-",
        requires = "event",
        conflicts_with = "commit"
    )]
    pub paths: Vec<PathBuf>,
    /// Look below the directories too
    #[arg(short = 'R', long, requires = "paths")]
    pub recursive: bool,
    /// Namespace of documents that name none
    #[arg(short, long, value_parser = dns_label, requires = "paths")]
    pub namespace: Option<String>,
    /// The cluster that sent the event; with a COMMIT, only what this cluster sent
    #[arg(long, value_name = "NAME", value_parser = dns_label)]
    pub cluster: Option<String>,
    /// With a COMMIT, only events about this object: NAME, NAMESPACE/NAME, KIND/NAME or KIND/NAMESPACE/NAME
    #[arg(long, value_name = "OBJECT", conflicts_with = "event")]
    pub object: Option<ObjectFilter>,
    /// Also name each rule that is about other objects, and show every event
    #[arg(long)]
    pub all: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: ExplainOutput,
}

/// How an explanation is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ExplainOutput {
    /// For people.
    #[default]
    Text,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

impl ExplainArgs {
    /// Whether it needs no stack.
    pub fn is_offline(&self) -> bool {
        !self.paths.is_empty()
    }
}

/// An event, and what became of it.
struct Explained {
    message: EventMessage,
    is_cut: bool,
    /// Why the rules were not asked.
    dropped: Option<String>,
    explanations: Vec<Explanation>,
    /// The statuses there are of those it asks for.
    statuses: BTreeMap<StatusKey, StatusItem>,
}

impl Explained {
    /// Whether something of it is posted, or would be: where there is a status it says so.
    fn is_posted(&self) -> bool {
        self.dropped.is_none()
            && self.explanations.iter().any(|one| match one.asks_for() {
                None => false,
                Some(found) => match self.statuses.get(&found.item.key) {
                    Some(status) => matches!(Stand::of(status), Stand::Posted | Stand::Due),
                    // Of a success that only clears it is not known whether there is anything to clear.
                    None => one.posted().is_some() && !found.only_clears,
                },
            })
    }

    fn to_json(&self) -> Value {
        let statuses: Vec<&StatusItem> = self.statuses.values().collect();
        json!({
            "cluster": self.message.cluster,
            "event": self.message.event,
            "eventIsCut": self.is_cut,
            "dropped": self.dropped,
            "posted": self.is_posted(),
            "rules": self.explanations,
            "statuses": statuses,
        })
    }
}

/// Asks the rules in files. Returns the exit code.
///
/// # Errors
/// If the event or the files cannot be read.
pub fn run_offline(args: &ExplainArgs, now: Timestamp, terminal: &mut Terminal<'_>) -> anyhow::Result<u8> {
    let reads_both = args.event.as_ref().is_some_and(|event| event.as_os_str() == "-")
        && args.paths.iter().any(|path| path.as_os_str() == "-");
    if reads_both {
        bail!("--event and -f cannot both be standard input; name a file for one of them");
    }
    let cluster = args.cluster.clone().unwrap_or_else(|| ANY_CLUSTER.to_owned());
    let message = event::read(args.event.as_deref(), &cluster, now, terminal)?;
    let files = FileArgs {
        paths: args.paths.clone(),
        recursive: args.recursive,
        namespace: args.namespace.clone(),
    };
    let scope = shared::Scope::Cluster(cluster);
    let mut applied = Applied::default();
    for document in validate::read(&files, terminal)?.documents {
        match document.object {
            Object::CommitStatus(rule) => applied.rules.push((scope.clone(), rule)),
            Object::Provider(provider) => applied.providers.push((scope.clone(), provider)),
        }
    }
    if applied.rules.is_empty() {
        bail!("no CommitStatus in the files; name one with -f, or leave out -f to ask those in the stack");
    }
    let explained = Explained {
        explanations: Rules::new(applied).explain(&message),
        message,
        is_cut: false,
        dropped: None,
        statuses: BTreeMap::new(),
    };
    // The files were named for this event: each rule is worth a line.
    print(&[explained], true, args.output, now, terminal)
}

/// Asks the rules of the stack. Returns the exit code.
///
/// # Errors
/// If the event cannot be read, or the store does not answer.
pub async fn run(
    args: &ExplainArgs,
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<u8> {
    let Some(commit) = &args.commit else {
        return of_event(args, store, now, terminal).await;
    };
    let mut events = store.events_about(&commit.digits).await?;
    events.retain(|item| {
        let is_of_cluster = args
            .cluster
            .as_ref()
            .is_none_or(|cluster| *cluster == item.cluster);
        let is_of_object = args
            .object
            .as_ref()
            .is_none_or(|object| object.names(&item.cluster, &object_of(item)));
        is_of_cluster && is_of_object
    });
    if events.is_empty() {
        return nothing(args, commit, store, now, terminal).await;
    }
    if let Some(several) = several(&events) {
        terminal.hint(format!(
            "several commits begin with {}; give more digits for one of: {several}",
            commit.digits
        ))?;
    }
    let applied = applied(store).await?;
    let clusters = store.clusters().await?;
    let of_commit = by_key(store.statuses(&commit.digits).await?);
    let bar = terminal.progress(u64::try_from(events.len()).unwrap_or_default(), "asking rules");
    let mut explained = Vec::with_capacity(events.len());
    for item in events {
        bar.inc(1);
        let message = EventMessage {
            id: item.event_id,
            cluster: item.cluster,
            generation: item.generation,
            previous_root_key: item.previous_root_key,
            received_at: Timestamp::from_millisecond(item.received_at).unwrap_or(now),
            event: item.event,
        };
        explained.push(asked(&applied, &clusters, &of_commit, message, item.is_cut));
    }
    bar.finish_and_clear();
    print(&explained, args.all, args.output, now, terminal)
}

fn by_key(statuses: Vec<StatusItem>) -> BTreeMap<StatusKey, StatusItem> {
    let keyed = statuses.into_iter().map(|status| (status.key.clone(), status));
    keyed.collect()
}

/// An event that was brought along, and the rules of the stack.
async fn of_event(
    args: &ExplainArgs,
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<u8> {
    let Some(cluster) = &args.cluster else {
        bail!("whose event is it? Say --cluster NAME, or -f FILE to ask rules in files");
    };
    let clusters = store.clusters().await?;
    let mut message = event::read(args.event.as_deref(), cluster, now, terminal)?;
    if let Some(cluster) = clusters.iter().find(|one| one.name == *cluster) {
        message.generation = cluster.generation;
    }
    let sha = rules::evaluate::commit(&message.event, true);
    let of_commit = match sha {
        Some(sha) => by_key(store.statuses(sha.as_str()).await?),
        None => BTreeMap::new(),
    };
    let explained = asked(&applied(store).await?, &clusters, &of_commit, message, false);
    print(&[explained], args.all, args.output, now, terminal)
}

async fn applied(store: &Store) -> anyhow::Result<Rules> {
    let mut applied = Applied::default();
    for kind in [Kind::CommitStatus, Kind::Provider] {
        for (scope, object) in store.list(kind, None).await? {
            match object {
                Object::CommitStatus(rule) => applied.rules.push((scope, rule)),
                Object::Provider(provider) => applied.providers.push((scope, provider)),
            }
        }
    }
    Ok(Rules::new(applied))
}

fn asked(
    rules: &Rules,
    clusters: &[Cluster],
    of_commit: &BTreeMap<StatusKey, StatusItem>,
    message: EventMessage,
    is_cut: bool,
) -> Explained {
    let cluster = clusters.iter().find(|cluster| cluster.name == message.cluster);
    let explanations = rules.explain(&message);
    let statuses = explanations
        .iter()
        .filter_map(|one| one.asks_for())
        .filter_map(|found| of_commit.get_key_value(&found.item.key))
        .map(|(key, status)| (key.clone(), status.clone()))
        .collect();
    Explained {
        dropped: dropped(cluster, &message),
        explanations,
        message,
        is_cut,
        statuses,
    }
}

fn object_of(item: &EventItem) -> String {
    let object = &item.event.involved_object;
    format!("{}/{}/{}", object.kind, object.namespace, object.name)
}

fn several(events: &[EventItem]) -> Option<String> {
    let commits: BTreeSet<&str> = events
        .iter()
        .filter_map(|item| item.sk.split_once('@').map(|(_, sha)| sha))
        .collect();
    (commits.len() > 1).then(|| Vec::from_iter(commits).join(", "))
}

fn print(
    explained: &[Explained],
    all: bool,
    output: ExplainOutput,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<u8> {
    let as_value = |output, terminal: &mut Terminal<'_>| {
        let events: Vec<Value> = explained.iter().map(Explained::to_json).collect();
        print::value(terminal.out, output, &json!({ "events": events }))
    };
    match output {
        ExplainOutput::Text => {
            let shown = if all { explained.len() } else { SHOWN };
            for (index, one) in explained.iter().take(shown).enumerate() {
                if index > 0 {
                    writeln!(terminal.out)?;
                }
                text::print(one, all, now, terminal)?;
            }
            if let Some(more) = explained.len().checked_sub(shown).filter(|more| *more > 0) {
                terminal.hint(format!(
                    "and {more} more events; --cluster and --object choose, --all or -o json shows every one"
                ))?;
            }
        }
        ExplainOutput::Yaml => as_value(Output::Yaml, terminal)?,
        ExplainOutput::Json => as_value(Output::Json, terminal)?,
    }
    Ok(match explained.iter().any(Explained::is_posted) {
        true => POSTED,
        false => NOT_POSTED,
    })
}

/// No event about the commit: says what there is instead, for that is where to look.
async fn nothing(
    args: &ExplainArgs,
    commit: &CommitArg,
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<u8> {
    let statuses = store.statuses(&commit.digits).await?;
    let digits = print::masked(&commit.digits);
    if args.output != ExplainOutput::Text {
        let output = match args.output {
            ExplainOutput::Json => Output::Json,
            ExplainOutput::Text | ExplainOutput::Yaml => Output::Yaml,
        };
        print::value(
            terminal.out,
            output,
            &json!({ "events": [], "statuses": statuses }),
        )?;
        return Ok(NOT_POSTED);
    }
    if args.cluster.is_some() || args.object.is_some() {
        terminal.hint(format!(
            "no such event about {digits}; `commitstatus explain {digits}` shows those of every cluster and object"
        ))?;
        return Ok(NOT_POSTED);
    }
    if !statuses.is_empty() {
        terminal.hint(format!(
            "no event about {digits} is kept: each is for 30 days. `commitstatus describe status {digits}` shows what became of \
             it"
        ))?;
        return Ok(NOT_POSTED);
    }
    terminal.hint(format!(
        "no event about {digits} was taken in 30 days. No cluster has reconciled it yet; or its source went on to a newer \
         commit before, and Flux never sees the ones between two polls; or its cluster is not registered, suspended or has a \
         key that was revoked, and then its events are dropped. The last event of each cluster:"
    ))?;
    let since_then = now
        .checked_sub(SignedDuration::from_secs(EVENT_LIFETIME_SECONDS))
        .unwrap_or(Timestamp::MIN);
    let events = store.events_since(since_then).await?;
    let clusters = store.clusters().await?;
    if clusters.is_empty() {
        terminal.hint("no cluster is registered; `commitstatus cluster add NAME` registers one")?;
    }
    let rows: Vec<Vec<Cell>> = clusters
        .iter()
        .map(|cluster| last_event(cluster, &events, now))
        .collect();
    let header = vec!["CLUSTER", "SUSPENDED", "LAST EVENT", "COMMIT", "OBJECT", "REASON"];
    Table::new(header, false).print(&rows, terminal)?;
    terminal.hint("`commitstatus check` says which clusters stopped sending")?;
    Ok(NOT_POSTED)
}

fn last_event(cluster: &Cluster, events: &[EventItem], now: Timestamp) -> Vec<Cell> {
    let last = events
        .iter()
        .filter(|item| item.cluster == cluster.name)
        .max_by_key(|item| item.received_at);
    let Some(last) = last else {
        return vec![
            cluster.name.clone().into(),
            Cell::suspended(cluster.suspended),
            "none".into(),
            "-".into(),
            "-".into(),
            "-".into(),
        ];
    };
    vec![
        cluster.name.clone().into(),
        Cell::suspended(cluster.suspended),
        format!("{} ago", since(last.received_at, now)).into(),
        last.commit7.clone().unwrap_or_else(|| "-".into()).into(),
        object_of(last).into(),
        last.event.reason.clone().into(),
    ]
}
