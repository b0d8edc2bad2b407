//! One module for each command. None reads the clock or the environment: `main` does, and passes on what it
//! read.

pub mod apply;
pub mod check;
pub mod cluster;
pub mod completions;
mod confirm;
pub mod connect;
pub mod delete;
pub mod describe;
pub mod diff;
pub mod dlq;
pub mod edit;
pub mod explain;
pub mod get;
pub mod import;
pub mod parked;
mod print;
pub mod retry;
pub mod root_key;
pub mod rotate;
pub mod schema;
pub mod scope;
pub mod secret;
pub mod statuses;
pub mod validate;

use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::Args;
use shared::Scope;

use crate::object::{ObjectId, describe_scope};
use crate::queues::QueueError;
use crate::root_key::RootKeyError;
use crate::secrets::SecretError;
use crate::store::StoreError;
use crate::yaml::{Finding, Source, read_sources};

/// Where a command reads and writes.
pub struct Terminal<'a> {
    /// Standard input.
    pub input: &'a mut dyn Read,
    /// Whether a person types it.
    pub input_is_terminal: bool,
    /// Standard output: only what was asked for.
    pub out: &'a mut dyn Write,
    /// Whether a person sees it.
    pub out_is_terminal: bool,
    /// Standard error: notes, warnings and hints.
    pub err: &'a mut dyn Write,
    /// Whether a person sees it, and with it how far long work has come.
    pub err_is_terminal: bool,
    /// Whether standard output may be coloured.
    pub colours: bool,
}

/// What is well, what needs a look, and what is wrong; for [`Terminal::paint`].
pub(crate) mod style {
    use anstyle::{AnsiColor, Style};

    pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
    pub(crate) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
    pub(crate) const BAD: Style = AnsiColor::Red.on_default();
    pub(crate) const STRONG: Style = Style::new().bold();
}

impl Terminal<'_> {
    /// The text in a style, where standard output may be coloured.
    pub(crate) fn paint(&self, style: anstyle::Style, text: impl std::fmt::Display) -> String {
        match self.colours {
            true => format!("{style}{text}{style:#}"),
            false => text.to_string(),
        }
    }

    /// A bar on standard error for work of so many steps, where a person sees it. It goes when it is dropped.
    pub(crate) fn progress(&self, steps: u64, what: &'static str) -> indicatif::ProgressBar {
        if !self.err_is_terminal {
            return indicatif::ProgressBar::hidden();
        }
        let style = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}")
            .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar());
        indicatif::ProgressBar::new(steps)
            .with_style(style)
            .with_message(what)
            .with_finish(indicatif::ProgressFinish::AndClear)
    }

    fn warn(&mut self, text: impl std::fmt::Display) -> io::Result<()> {
        writeln!(self.err, "warning: {text}")
    }

    /// A line as kubectl prints it of what became of an object.
    fn became(&mut self, id: &ObjectId, what: &str, scope: &Scope) -> io::Result<()> {
        let (resource, name) = (id.kind.resource(), &id.name);
        let scope = describe_scope(scope);
        let namespace = &name.namespace;
        writeln!(
            self.out,
            "{resource}/{} {what} (namespace {namespace}, {scope})",
            name.name
        )
    }

    fn hint(&mut self, text: impl std::fmt::Display) -> io::Result<()> {
        writeln!(self.err, "{text}")
    }

    fn notes(&mut self, notes: &[Finding]) -> io::Result<()> {
        notes
            .iter()
            .try_for_each(|note| writeln!(self.err, "note: {note}"))
    }
}

/// Which files.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// File, directory (its *.yaml and *.yml) or `-` for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", required = true)]
    pub paths: Vec<PathBuf>,
    /// Look below the directories too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Namespace of documents that name none
    #[arg(short, long, value_parser = scope::dns_label)]
    pub namespace: Option<String>,
}

impl FileArgs {
    fn read(&self, input: &mut dyn Read) -> anyhow::Result<Vec<Source>> {
        Ok(read_sources(&self.paths, self.recursive, input)?)
    }
}

/// What to do about errors whose text ends with what somebody else said.
pub fn next_step(error: &anyhow::Error) -> Option<&'static str> {
    if let Some(StoreError::Unavailable { .. }) = error.downcast_ref() {
        return Some(
            "check --stack, the AWS region and credentials; `--local` talks to a running local service",
        );
    }
    if let Some(QueueError::Unavailable { .. }) = error.downcast_ref() {
        return Some(
            "check the AWS region and credentials; `--local` talks to a running local service. What was not done is left as \
             it was: run the same command again",
        );
    }
    if let Some(StoreError::Unfinished { .. }) = error.downcast_ref() {
        return Some("run the same command again; what is written already is left as it is");
    }
    let is_secret =
        error.is::<SecretError>() || matches!(error.downcast_ref(), Some(RootKeyError::Secret(_)));
    is_secret.then_some(
        "check --stack, the AWS region and credentials, and that the secret is not scheduled for deletion",
    )
}

#[cfg(test)]
mod tests;
