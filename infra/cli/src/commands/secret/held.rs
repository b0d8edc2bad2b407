//! What was held because of the secret before.

use jiff::Timestamp;
use shared::ErrorChain;

use super::super::Terminal;
use crate::store::{Hold, Store, StoreError};

/// Lets a credential whose secret was written be used at once, and says so.
pub(super) async fn release(
    credential: &str,
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    match tried_again(credential, store, now).await {
        Ok((Hold::None, 0)) => {}
        Ok((Hold::Dropped, 0)) => terminal.hint("what was posted with it was held, and no longer is")?,
        Ok((Hold::Kept(reason), _)) => terminal.hint(format!(
            "what is posted with it stays held: {}; it is posted then by itself",
            reason.replace(char::is_control, " ")
        ))?,
        Ok((Hold::None | Hold::Dropped, waiting)) => {
            let statuses = if waiting == 1 { "status" } else { "statuses" };
            terminal.hint(format!(
                "{waiting} {statuses} waiting for it will be tried within two minutes"
            ))?;
        }
        // The secret is written, and a held credential is tried now and then anyway.
        Err(error) => terminal.warn(format!(
            "the secret is set, but what the one before held up was not made due: {}; it is tried by itself within \
             half an hour, or set the secret once more",
            ErrorChain(&error)
        ))?,
    }
    Ok(())
}

async fn tried_again(credential: &str, store: &Store, now: Timestamp) -> Result<(Hold, usize), StoreError> {
    let hold = store.drop_hold(credential, now).await?;
    let waiting = match hold {
        Hold::Kept(_) => 0,
        // Also where nothing is held any more: an earlier call may have come as far as that and no further.
        Hold::None | Hold::Dropped => store.hurry(credential, now).await?,
    };
    Ok((hold, waiting))
}
