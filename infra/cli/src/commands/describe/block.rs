//! What is known of a thing, as `kubectl describe` shows it: names of fields, and beside them what they hold.

use std::fmt::Display;
use std::io;

use anstyle::Style;

use crate::commands::Terminal;
use crate::commands::print::masked;

/// Columns between the longest name and what it holds.
const GAP: usize = 2;
/// Columns that fields of a section stand further to the right.
const INDENT: usize = 2;

/// Fields, in order.
#[derive(Debug, Default)]
pub(super) struct Block {
    lines: Vec<Line>,
    depth: usize,
}

#[derive(Debug)]
struct Line {
    depth: usize,
    /// Empty below the first of a list.
    label: String,
    value: String,
    style: Option<Style>,
}

impl Block {
    pub(super) fn field(&mut self, label: &str, value: impl Display) {
        self.line(label, value, None);
    }

    /// Nothing if there is none.
    pub(super) fn optional(&mut self, label: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.field(label, value);
        }
    }

    pub(super) fn painted(&mut self, label: &str, value: impl Display, style: Option<Style>) {
        self.line(label, value, style);
    }

    /// Several, one below the other; `<none>` if there are none.
    pub(super) fn list(&mut self, label: &str, values: impl IntoIterator<Item = impl Display>) {
        let mut values = values.into_iter();
        match values.next() {
            None => self.field(label, "<none>"),
            Some(first) => self.field(label, first),
        }
        for value in values {
            self.field("", value);
        }
    }

    /// A heading with fields of its own below it.
    pub(super) fn section(&mut self, label: &str, fields: impl FnOnce(&mut Self)) {
        self.field(label, "");
        self.depth += 1;
        fields(self);
        self.depth -= 1;
    }

    fn line(&mut self, label: &str, value: impl Display, style: Option<Style>) {
        self.lines.push(Line {
            depth: self.depth,
            label: label.to_owned(),
            // Hosts and clusters are quoted in these.
            value: masked(&value.to_string()),
            style,
        });
    }

    pub(super) fn print(&self, terminal: &mut Terminal<'_>) -> io::Result<()> {
        let width = |line: &Line| INDENT * line.depth + line.label.len() + ":".len();
        let widest = self.lines.iter().map(width).max().unwrap_or_default() + GAP;
        for line in &self.lines {
            let label = match line.label.as_str() {
                "" => String::new(),
                label => format!("{}{label}:", " ".repeat(INDENT * line.depth)),
            };
            let value = match line.style {
                Some(style) => terminal.paint(style, &line.value),
                None => line.value.clone(),
            };
            writeln!(terminal.out, "{}", format!("{label:<widest$}{value}").trim_end())?;
        }
        Ok(())
    }
}
