//! A list of things, printed in whatever way was asked for.

use std::collections::BTreeMap;
use std::io;

use serde_json::Value;

use crate::commands::Terminal;
use crate::commands::print::{self, Cell, Output, PrintArgs, Table};

/// Things of one sort.
#[derive(Debug)]
pub(in crate::commands) struct Listing {
    /// Names of the columns.
    pub(in crate::commands) header: Vec<&'static str>,
    /// The things, in order.
    pub(in crate::commands) entries: Vec<Entry>,
    /// All of them as one value, for programs.
    pub(in crate::commands) whole: fn(Vec<Value>) -> Value,
    /// What there is to say where there are none.
    pub(in crate::commands) nothing: String,
    /// What was named and is not there.
    pub(in crate::commands) missing: Option<String>,
    /// What people should know of these.
    pub(in crate::commands) warnings: Vec<String>,
    /// What to do about them.
    pub(in crate::commands) hints: Vec<String>,
}

/// One of them.
#[derive(Debug)]
pub(in crate::commands) struct Entry {
    /// Tells it from the others.
    pub(in crate::commands) key: String,
    /// As other commands take it.
    pub(in crate::commands) name: String,
    /// For programs. What changes it is a change.
    pub(in crate::commands) value: Value,
    /// For people; one for each column.
    pub(in crate::commands) cells: Vec<Cell>,
}

impl Listing {
    /// Prints all of it.
    ///
    /// # Errors
    /// If something was named that is not there.
    pub(in crate::commands) fn print(
        self,
        args: PrintArgs,
        terminal: &mut Terminal<'_>,
    ) -> anyhow::Result<()> {
        match args.output {
            Output::Yaml | Output::Json => {
                self.found()?;
                let values = self.entries.into_iter().map(|entry| entry.value).collect();
                print::value(terminal.out, args.output, &(self.whole)(values))
            }
            Output::Table | Output::Wide | Output::Name => Ok(Shown::new(args).begin(self, terminal)?),
        }
    }

    fn found(&self) -> anyhow::Result<()> {
        match &self.missing {
            Some(missing) => Err(anyhow::anyhow!("{missing}")),
            None => Ok(()),
        }
    }
}

/// What was printed of a list that is watched.
pub(super) struct Shown {
    args: PrintArgs,
    table: Option<Table>,
    /// Name and value of each by its key.
    before: BTreeMap<String, (String, Value)>,
}

impl Shown {
    pub(super) fn new(args: PrintArgs) -> Self {
        Self {
            args,
            table: None,
            before: BTreeMap::new(),
        }
    }

    /// Prints the list as it is at first.
    ///
    /// # Errors
    /// If something was named that is not there.
    pub(super) fn begin(&mut self, mut listing: Listing, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
        listing.found()?;
        if listing.entries.is_empty() {
            terminal.hint(&listing.nothing)?;
        }
        let warnings = std::mem::take(&mut listing.warnings);
        let hints = std::mem::take(&mut listing.hints);
        self.go_on(listing, terminal)?;
        if self.args.output.is_table() {
            warnings.iter().try_for_each(|warning| terminal.warn(warning))?;
            hints.iter().try_for_each(|hint| terminal.hint(hint))?;
        }
        Ok(())
    }

    /// Prints what is new or changed since the last time, and says what is there no more.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn go_on(&mut self, listing: Listing, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
        let mut before = std::mem::take(&mut self.before);
        let mut changed = Vec::new();
        for entry in listing.entries {
            let was = before.remove(&entry.key);
            let now = (entry.name.clone(), entry.value.clone());
            let is_changed = was.is_none_or(|(_, was)| was != entry.value);
            self.before.insert(entry.key.clone(), now);
            if is_changed {
                changed.push(entry);
            }
        }
        self.write(listing.header, &changed, terminal)?;
        for (name, _) in before.values() {
            terminal.hint(format!("no longer listed: {}", print::masked(name)))?;
        }
        // A pipe is to have it now.
        terminal.out.flush()?;
        Ok(())
    }

    fn write(
        &mut self,
        header: Vec<&'static str>,
        entries: &[Entry],
        terminal: &mut Terminal<'_>,
    ) -> anyhow::Result<()> {
        match self.args.output {
            Output::Table | Output::Wide => {
                let rows: Vec<Vec<Cell>> = entries.iter().map(|entry| entry.cells.clone()).collect();
                let table = self
                    .table
                    .get_or_insert_with(|| Table::new(header, self.args.no_headers));
                table.print(&rows, terminal)?;
            }
            Output::Name => print::names(terminal.out, entries.iter().map(|entry| entry.name.as_str()))?,
            Output::Yaml => {
                for entry in entries {
                    writeln!(terminal.out, "---")?;
                    print::value(terminal.out, Output::Yaml, &entry.value)?;
                }
            }
            Output::Json => {
                for entry in entries {
                    serde_json::to_writer(&mut *terminal.out, &entry.value).map_err(io::Error::from)?;
                    writeln!(terminal.out)?;
                }
            }
        }
        Ok(())
    }
}
