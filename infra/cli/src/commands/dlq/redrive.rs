//! `dlq redrive`: sends dead letters to their own queue again.

use super::walk::{Action, Walk, Walked};
use super::{WhichArgs, queues_of, unknown};
use crate::commands::Terminal;

pub(super) async fn run(
    args: &WhichArgs,
    mut walk: Walk<'_>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let mut wanted = args.wanted();
    let mut total = Walked::default();
    let mut result = Ok(());
    for queue in queues_of(args.queue) {
        let action = Action::Redrive(walk.queues.live(queue).await?);
        let some = (!args.ids.is_empty()).then_some(&mut wanted);
        let (walked, ended) = walk.act(&action, queue, some, terminal).await;
        total.add(walked);
        result = ended;
        if result.is_err() {
            break;
        }
    }
    terminal.hint(total.summary("sent again"))?;
    result?;
    unknown(&wanted, &total)
}
