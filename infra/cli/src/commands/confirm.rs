//! Asks before something that cannot be taken back.

use std::io::{self, BufRead as _, BufReader, Read};

use super::Terminal;

/// Longest answer that is read.
const LONGEST_ANSWER: u64 = 80;

/// Asks the question; anything but `y` or `yes` is no.
///
/// # Errors
/// If the terminal cannot be read or written.
pub(super) fn is_yes(question: &str, terminal: &mut Terminal<'_>) -> io::Result<bool> {
    write!(terminal.err, "{question}; go on? [y/N] ")?;
    terminal.err.flush()?;
    let answer = line(terminal.input)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn line(input: &mut dyn Read) -> io::Result<String> {
    let mut answer = Vec::new();
    BufReader::new(input.take(LONGEST_ANSWER)).read_until(b'\n', &mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
