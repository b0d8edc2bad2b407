//! `dlq`: messages that were received too often without being handled. Lists them, sends them again, deletes them.

mod list;
mod purge;
mod redrive;
mod walk;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;

use anyhow::bail;
use clap::{Args, Subcommand};
use jiff::Timestamp;

use self::walk::{Walk, Walked};
use super::Terminal;
use super::print::Output;
use crate::queues::{Queue, Queues};

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List dead letters; of each group the first ten can be seen
    #[command(after_help = "Example:\n  commitstatus dlq list --queue events")]
    List(ListArgs),
    /// Send dead letters again, each to the queue it was on; always safe, as no older state replaces a newer one
    #[command(after_help = "Examples:\n  commitstatus dlq redrive\n  \
                            commitstatus dlq redrive --id 6b1f0f1e-8d4c-4a53-9a0b-2f6a3b1d5c77")]
    Redrive(WhichArgs),
    /// Delete dead letters; of `posts` that loses nothing, of `events` what they would have changed
    #[command(after_help = "Example:\n  commitstatus dlq purge --queue posts")]
    Purge(PurgeArgs),
}

/// Arguments of `dlq list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those of this queue
    #[arg(long, value_enum)]
    pub queue: Option<Queue>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Which dead letters: all, if nothing is said.
#[derive(Debug, Args)]
pub struct WhichArgs {
    /// Only those of this queue
    #[arg(long, value_enum)]
    pub queue: Option<Queue>,
    /// Only the one with this id, as `dlq list` shows it; may be repeated
    #[arg(long = "id", value_name = "ID")]
    pub ids: Vec<String>,
}

/// Arguments of `dlq purge`.
#[derive(Debug, Args)]
pub struct PurgeArgs {
    /// Which ones.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Do not ask before they are deleted
    #[arg(long)]
    pub yes: bool,
}

fn queues_of(queue: Option<Queue>) -> Vec<Queue> {
    queue.map_or_else(|| Queue::ALL.to_vec(), |queue| vec![queue])
}

impl WhichArgs {
    fn wanted(&self) -> BTreeSet<&str> {
        self.ids.iter().map(String::as_str).collect()
    }
}

/// # Errors
/// If some that were asked for were not found.
fn unknown(wanted: &BTreeSet<&str>, walked: &Walked) -> anyhow::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let ids = Vec::from_iter(wanted.iter().copied()).join(", ");
    let unseen = match walked.unseen {
        0 => "`commitstatus dlq list` shows those there are".to_owned(),
        unseen => format!(
            "about {unseen} cannot be seen now, as they are behind the first ten of their group or in somebody's hands"
        ),
    };
    bail!("no dead letter has the id {ids}; {unseen}")
}

/// Lists dead letters, sends them again or deletes them. That there are none is no error.
///
/// What is looked at is nobody else's for a minute. Once `interrupted` is over nothing more is begun; what was looked at
/// is given back then, as it is after an error.
///
/// # Errors
/// If a queue is not there or does not answer, if an id is unknown, if nobody confirmed, or if it was interrupted.
pub async fn run(
    command: &DlqCommand,
    queues: &Queues,
    now: Timestamp,
    interrupted: impl Future<Output = ()>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let interrupted = pin!(interrupted);
    let walk = Walk::new(queues, interrupted);
    match command {
        DlqCommand::List(args) => list::run(args, walk, now, terminal).await,
        DlqCommand::Redrive(args) => redrive::run(args, walk, terminal).await,
        DlqCommand::Purge(args) => purge::run(args, walk, terminal).await,
    }
}
