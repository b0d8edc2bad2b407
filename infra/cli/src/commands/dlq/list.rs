//! `dlq list`: shows dead letters and leaves them where they are.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::walk::Walk;
use super::{ListArgs, queues_of};
use crate::commands::Terminal;
use crate::commands::print::{self, Output};
use crate::queues::DeadLetter;

/// SQS cannot show a message without handing it out, and hands out no more of a group while somebody has some of it. So
/// all that can be had are received first, and given back together.
pub(super) async fn run(
    args: &ListArgs,
    mut walk: Walk<'_>,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let (mut letters, mut unseen) = (Vec::new(), 0);
    for queue in queues_of(args.queue) {
        let walked = walk.look(queue).await?;
        letters.extend(walked.kept);
        unseen += walked.unseen;
    }
    letters.sort_by_key(|letter| letter.since);
    if args.output == Output::Name {
        return Ok(print::names(
            terminal.out,
            letters.iter().map(|letter| letter.id.as_str()),
        )?);
    }
    if !args.output.is_table() {
        let letters: Vec<Value> = letters.iter().map(value).collect();
        let value = json!({ "dead_letters": letters, "unseen": unseen });
        return print::value(terminal.out, args.output, &value);
    }
    if letters.is_empty() && unseen == 0 {
        return Ok(terminal.hint("no dead letters")?);
    }
    if !letters.is_empty() {
        let header = ["QUEUE", "AGE", "ABOUT", "RECEIVES", "ID"];
        print::table(
            terminal.out,
            &header,
            letters.iter().map(|letter| row(letter, now)),
        )?;
    }
    terminal.hint(summary(letters.len(), unseen))?;
    terminal.hint("mend what keeps them from being handled, then `commitstatus dlq redrive`")?;
    Ok(())
}

fn summary(letters: usize, unseen: usize) -> String {
    let shown = match letters {
        1 => "1 dead letter".to_owned(),
        _ => format!("{letters} dead letters"),
    };
    match unseen {
        0 => shown,
        _ => format!(
            "{shown}, and about {unseen} that cannot be seen now: behind the first ten of their group, or in \
             somebody's hands"
        ),
    }
}

fn row(letter: &DeadLetter, now: Timestamp) -> Vec<String> {
    vec![
        letter.queue.as_str().to_owned(),
        letter
            .since
            .map_or_else(|| "-".into(), |since| print::age(now.duration_since(since))),
        letter.subject().to_string(),
        letter.receives.to_string(),
        letter.id.clone(),
    ]
}

fn value(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id,
        "queue": letter.queue,
        "since": letter.since,
        "receives": letter.receives,
        "subject": letter.subject(),
    })
}
