//! Asks before everything is posted again.

use std::io::{self, BufRead as _, BufReader, Read};

use anyhow::{Context as _, bail};

use crate::commands::Terminal;

/// Longest answer that is read.
const LONGEST_ANSWER: u64 = 80;

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
    write!(
        terminal.err,
        "{statuses} statuses are looked at, and all that are posted are posted again, one call each; go on? [y/N] "
    )?;
    terminal.err.flush()?;
    let answer =
        line(terminal.input).context("cannot read the answer; say --yes if all are to be posted again")?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    bail!("nothing was done; --provider or --commit takes fewer, `y` or --yes takes all")
}

fn line(input: &mut dyn Read) -> io::Result<String> {
    let mut answer = Vec::new();
    BufReader::new(input.take(LONGEST_ANSWER)).read_until(b'\n', &mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
