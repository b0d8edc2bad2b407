//! `validate`: the checks of `apply`, and nothing else.

use anyhow::bail;

use super::{FileArgs, Terminal};
use crate::yaml::{Mistakes, Validated, validate};

/// Validates files; what is right is named on standard output.
///
/// # Errors
/// All mistakes at once.
pub fn run(files: &FileArgs, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
    for document in read(files, terminal)?.documents {
        let object = document.object;
        writeln!(
            terminal.out,
            "{}/{} valid (namespace {})",
            object.kind().resource(),
            object.metadata().name,
            object.metadata().namespace
        )?;
    }
    Ok(())
}

/// Reads and validates files, and prints the notes.
pub(super) fn read(files: &FileArgs, terminal: &mut Terminal<'_>) -> anyhow::Result<Validated> {
    let sources = files.read(terminal.input)?;
    match validate(&sources, files.namespace.as_deref()) {
        Ok(validated) if validated.documents.is_empty() => {
            bail!("no objects in the files; write at least one CommitStatus or Provider")
        }
        Ok(validated) => {
            terminal.notes(&validated.notes)?;
            Ok(validated)
        }
        Err(mistakes) => Err(refuse(&mistakes, terminal)?),
    }
}

pub(super) fn refuse(mistakes: &Mistakes, terminal: &mut Terminal<'_>) -> anyhow::Result<anyhow::Error> {
    terminal.notes(&mistakes.notes)?;
    let count = match mistakes.mistakes.len() {
        1 => "1 mistake".to_owned(),
        several => format!("{several} mistakes"),
    };
    Ok(anyhow::anyhow!(
        "{count} in the files, so nothing was done; correct what follows and run the command again\n{mistakes}"
    ))
}
