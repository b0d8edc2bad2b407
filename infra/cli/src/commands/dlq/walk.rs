//! Goes through the dead letters of a queue, and leaves behind none that nobody else can have.

use std::collections::BTreeSet;
use std::future::{Future, ready};
use std::io;
use std::pin::Pin;

use anyhow::bail;

use crate::commands::Terminal;
use crate::queues::{DeadLetter, DeadLetterQueue, LiveQueue, Queue, QueueError, Queues};

/// What is done with a dead letter.
pub(super) enum Action {
    /// It is sent to its own queue and deleted.
    Redrive(LiveQueue),
    /// It is deleted.
    Purge,
}

impl Action {
    const fn done(&self) -> &'static str {
        match self {
            Self::Redrive(_) => "sent again",
            Self::Purge => "deleted",
        }
    }
}

/// What became of the dead letters of a queue.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Those that were seen and are still there.
    pub(super) kept: Vec<DeadLetter>,
    /// How many were sent again or deleted.
    pub(super) done: usize,
    /// About how many there are that could not be seen: behind the first ten of their group, or in somebody's hands.
    pub(super) unseen: usize,
}

impl Walked {
    pub(super) fn add(&mut self, other: Self) {
        self.kept.extend(other.kept);
        self.done += other.done;
        self.unseen += other.unseen;
    }

    /// A sentence.
    pub(super) fn summary(&self, done: &str) -> String {
        let left = self.kept.len();
        match (self.done, left, self.unseen) {
            (0, 0, 0) => "no dead letters".to_owned(),
            (n, 0, 0) => format!("{n} {done}, none left"),
            (n, _, 0) => format!("{n} {done}, {left} left"),
            (n, _, unseen) => format!("{n} {done}, about {} left", left + unseen),
        }
    }
}

/// Goes through queues until it is done or interrupted.
pub(super) struct Walk<'a> {
    pub(super) queues: &'a Queues,
    interrupted: Pin<&'a mut dyn Future<Output = ()>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(queues: &'a Queues, interrupted: Pin<&'a mut dyn Future<Output = ()>>) -> Self {
        Self { queues, interrupted }
    }

    /// Looks at every dead letter that can be had.
    pub(super) async fn look(&mut self, queue: Queue) -> anyhow::Result<Walked> {
        let mut dead = self.queues.dead_letters(queue).await?;
        let mut walked = Walked::default();
        let all = dead.count().await?;
        let result = self.receive_all(&mut dead, &mut walked).await;
        finish(dead, result).await?;
        walked.unseen = all.saturating_sub(walked.kept.len());
        Ok(walked)
    }

    async fn receive_all(&mut self, dead: &mut DeadLetterQueue, walked: &mut Walked) -> anyhow::Result<()> {
        loop {
            self.check().await?;
            let letters = dead.receive().await?;
            if letters.is_empty() {
                return Ok(());
            }
            walked.kept.extend(letters);
        }
    }

    /// Does it to every dead letter that can be had, or to the `wanted` ones only, which it strikes off the list. Prints
    /// a line for each.
    pub(super) async fn act(
        &mut self,
        action: &Action,
        queue: Queue,
        wanted: Option<&mut BTreeSet<&str>>,
        terminal: &mut Terminal<'_>,
    ) -> (Walked, anyhow::Result<()>) {
        let mut walked = Walked::default();
        let mut dead = match self.queues.dead_letters(queue).await {
            Ok(dead) => dead,
            Err(error) => return (walked, Err(error.into())),
        };
        let all = match dead.count().await {
            Ok(all) => all,
            Err(error) => return (walked, Err(error.into())),
        };
        let result = self
            .act_on_all(action, &mut dead, wanted, &mut walked, terminal)
            .await;
        let result = finish(dead, result).await;
        walked.unseen = all.saturating_sub(walked.done + walked.kept.len());
        (walked, result)
    }

    async fn act_on_all(
        &mut self,
        action: &Action,
        dead: &mut DeadLetterQueue,
        mut wanted: Option<&mut BTreeSet<&str>>,
        walked: &mut Walked,
        terminal: &mut Terminal<'_>,
    ) -> anyhow::Result<()> {
        loop {
            // Those that are asked for are found.
            if wanted.as_ref().is_some_and(|wanted| wanted.is_empty()) {
                return Ok(());
            }
            self.check().await?;
            let letters = dead.receive().await?;
            if letters.is_empty() {
                return Ok(());
            }
            for letter in letters {
                if let Some(wanted) = &mut wanted
                    && !wanted.remove(letter.id.as_str())
                {
                    walked.kept.push(letter);
                    continue;
                }
                self.check().await?;
                act_on(action, dead, &letter).await?;
                walked.done += 1;
                tell(action, &letter, terminal)?;
            }
        }
    }

    /// Between two calls, so that none is left without knowing what it did.
    async fn check(&mut self) -> anyhow::Result<()> {
        let is_interrupted = tokio::select! {
            biased;
            () = &mut self.interrupted => true,
            () = ready(()) => false,
        };
        if is_interrupted {
            bail!("interrupted; what was not begun is left as it was");
        }
        Ok(())
    }
}

/// First sent, then deleted: a crash in between sends it twice, and never loses it.
async fn act_on(action: &Action, dead: &mut DeadLetterQueue, letter: &DeadLetter) -> Result<(), QueueError> {
    if let Action::Redrive(live) = action {
        live.send_again(letter).await?;
    }
    dead.delete(letter).await
}

fn tell(action: &Action, letter: &DeadLetter, terminal: &mut Terminal<'_>) -> io::Result<()> {
    let line = format!(
        "{} {} {}: {}",
        letter.queue.as_str(),
        letter.id,
        action.done(),
        letter.subject()
    );
    writeln!(terminal.out, "{}", line.replace(char::is_control, " "))
}

/// Gives back what is still held; the first error counts.
async fn finish(mut dead: DeadLetterQueue, result: anyhow::Result<()>) -> anyhow::Result<()> {
    let given_back = dead.give_back().await;
    result?;
    Ok(given_back?)
}
