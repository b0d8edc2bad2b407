//! Asks before everything is posted again.

use anyhow::{Context as _, bail};

use crate::commands::{Terminal, confirm};

/// # Errors
/// If nobody sits at a terminal.
pub(super) fn can_be_asked(terminal: &Terminal<'_>) -> anyhow::Result<()> {
    if terminal.input_is_terminal {
        return Ok(());
    }
    bail!(
        "--force with --all asks on a terminal, and standard input is none; say --yes if all are to be posted again"
    )
}

/// # Errors
/// If the answer is not yes.
pub(super) fn ask(statuses: usize, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
    let question =
        format!("{statuses} statuses are looked at, and all that are posted are posted again, one call each");
    let is_yes = confirm::is_yes(&question, terminal)
        .context("cannot read the answer; say --yes if all are to be posted again")?;
    if is_yes {
        return Ok(());
    }
    bail!("nothing was done; --provider or --commit takes fewer, `y` or --yes takes all")
}
