//! `dlq purge`: deletes dead letters.
//!
//! They are received and deleted, and SQS's `PurgeQueue` is not used: that cannot leave any, and also takes those that
//! arrive within the next minute, which nobody has seen.

use anyhow::{Context as _, bail};

use super::walk::{Action, Walk, Walked};
use super::{PurgeArgs, queues_of, unknown};
use crate::commands::{Terminal, confirm};
use crate::queues::Queue;

pub(super) async fn run(
    args: &PurgeArgs,
    mut walk: Walk<'_>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let queues = queues_of(args.which.queue);
    if !args.yes && !terminal.input_is_terminal {
        bail!(
            "`dlq purge` asks on a terminal, and standard input is none; say --yes if they are to be deleted"
        );
    }
    let mut counts = Vec::new();
    for &queue in &queues {
        counts.push((queue, walk.queues.dead_letters(queue).await?.count().await?));
    }
    if counts.iter().all(|(_, count)| *count == 0) {
        terminal.hint("no dead letters")?;
        return unknown(&args.which.wanted(), &Walked::default());
    }
    if !args.yes {
        ask(args, &counts, terminal)?;
    }
    let mut wanted = args.which.wanted();
    let mut total = Walked::default();
    let mut result = Ok(());
    for queue in queues {
        let some = (!args.which.ids.is_empty()).then_some(&mut wanted);
        let (walked, ended) = walk.act(&Action::Purge, queue, some, terminal).await;
        total.add(walked);
        result = ended;
        if result.is_err() {
            break;
        }
    }
    terminal.hint(total.summary("deleted"))?;
    result?;
    unknown(&wanted, &total)
}

fn ask(args: &PurgeArgs, counts: &[(Queue, usize)], terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
    let is_yes = confirm::is_yes(&question(args, counts), terminal)
        .context("cannot read the answer; say --yes if they are to be deleted")?;
    if is_yes {
        return Ok(());
    }
    bail!("nothing was deleted; `dlq redrive` sends them again, `y` or --yes deletes them")
}

fn question(args: &PurgeArgs, counts: &[(Queue, usize)]) -> String {
    let named = args.which.ids.len();
    let mut parts = Vec::new();
    for &(queue, count) in counts.iter().filter(|(_, count)| *count > 0) {
        let some = if named == 0 {
            format!("about {count} of {}", queue.as_str())
        } else {
            format!("those named of the about {count} of {}", queue.as_str())
        };
        parts.push(match queue {
            Queue::Events => {
                format!("{some}, and what those events would have changed is lost")
            }
            Queue::Posts => {
                format!("{some}, which loses nothing, as the table knows what is due")
            }
        });
    }
    format!("dead letters are deleted: {}", parts.join("; "))
}
