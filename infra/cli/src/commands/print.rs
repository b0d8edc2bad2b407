//! Tables for people, YAML and JSON for programs.

use std::io::{self, Write};

use anstyle::Style;
use clap::{Args, ValueEnum};
use comfy_table::presets;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::State;

use super::{Terminal, style};

/// Characters of an error in a table; `-o wide` and `-o yaml` print all.
const SHOWN_ERROR: usize = 60;

/// How something is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns.
    #[default]
    Table,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// More columns, and nothing is cut.
    Wide,
    /// Names only, one to a line, as other commands take them.
    Name,
}

impl Output {
    /// Whether it is made of columns.
    pub(super) fn is_table(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct PrintArgs {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// Leave out the names of the columns
    #[arg(long)]
    pub no_headers: bool,
}

/// What stands in one column of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    style: Option<Style>,
}

impl Cell {
    /// In a style, where there are colours.
    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            style: Some(style),
            ..text.into().into()
        }
    }

    /// A state, in the colour of what it means.
    pub(super) fn state(state: State) -> Self {
        Self {
            style: state_style(state),
            ..state.as_str().into()
        }
    }

    /// Whether something is set aside.
    pub(super) fn suspended(is_suspended: bool) -> Self {
        match is_suspended {
            true => Self::styled("true", style::DOUBTFUL),
            false => "false".into(),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            // Git hosts are quoted in these: nothing may move the cursor.
            text: masked(&text),
            style: None,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// The colour of what a state means.
pub(super) const fn state_style(state: State) -> Option<Style> {
    match state {
        State::Success => Some(style::GOOD),
        State::Pending => Some(style::DOUBTFUL),
        State::Failure => Some(style::BAD),
        State::Superseded => None,
    }
}

/// A text in which nothing moves the cursor.
pub(super) fn masked(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// A table that grows: what is printed later stands in the same columns, if it fits.
#[derive(Debug)]
pub(super) struct Table {
    header: Vec<&'static str>,
    no_headers: bool,
    /// Of each column; empty until something was printed.
    widths: Vec<u16>,
}

impl Table {
    pub(super) fn new(header: Vec<&'static str>, no_headers: bool) -> Self {
        Self {
            header,
            no_headers,
            widths: Vec::new(),
        }
    }

    /// Prints rows, after the header if they are the first.
    pub(super) fn print(&mut self, rows: &[Vec<Cell>], terminal: &mut Terminal<'_>) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let (header, rulers): (&[&str], _) = match self.widths.as_slice() {
            [] if self.no_headers => (&[], None),
            [] => (&self.header, None),
            // A row as wide as those before, which is not printed.
            widths => {
                let ruler = |width: &u16| "-".repeat(usize::from(*width));
                (&[], Some(widths.iter().map(ruler).collect::<Vec<_>>()))
            }
        };
        let texts = rows
            .iter()
            .map(|row| row.iter().map(|cell| cell.text.clone()).collect());
        let not_printed = usize::from(rulers.is_some());
        let table = layout(header, rulers.into_iter().chain(texts));
        self.widths = table.column_max_content_widths();
        let is_headed = !header.is_empty();
        let rows = std::iter::repeat_n(None, usize::from(is_headed)).chain(rows.iter().map(Some));
        for (line, row) in table.lines().skip(not_printed).zip(rows) {
            let line = match row {
                Some(row) => painted(line.trim_end(), row, terminal),
                None => line.trim_end().to_owned(),
            };
            writeln!(terminal.out, "{line}")?;
        }
        Ok(())
    }
}

pub(super) fn table(
    out: &mut dyn Write,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> io::Result<()> {
    let rows = rows
        .into_iter()
        .map(|row| row.iter().map(|text| masked(text)).collect());
    for line in layout(header, rows).lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn layout(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    if !header.is_empty() {
        table.set_header(header.to_vec());
    }
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// A line of a table with its cells in their styles. Escape codes would count as width, so they come after the layout.
fn painted(line: &str, row: &[Cell], terminal: &Terminal<'_>) -> String {
    let mut rest = line;
    let mut painted = String::with_capacity(line.len());
    for cell in row {
        // The last cell has lost what it ended in.
        let text = cell.text.trim_end();
        let Some(after) = rest.strip_prefix(text) else {
            break;
        };
        match cell.style {
            Some(style) => painted.push_str(&terminal.paint(style, text)),
            None => painted.push_str(text),
        }
        let next = after.trim_start_matches(' ');
        painted.push_str(&" ".repeat(after.len() - next.len()));
        rest = next;
    }
    painted.push_str(rest);
    painted
}

/// Prints a value as YAML or JSON.
pub(super) fn value(out: &mut dyn Write, output: Output, value: &Value) -> anyhow::Result<()> {
    match output {
        Output::Table | Output::Wide | Output::Name | Output::Yaml => {
            write!(out, "{}", serde_saphyr::to_string(value)?)?;
        }
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(value)?)?,
    }
    Ok(())
}

/// Prints names, one to a line.
pub(super) fn names<'a>(out: &mut dyn Write, names: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
    names
        .into_iter()
        .try_for_each(|name| writeln!(out, "{}", masked(name)))
}

/// An instant as people read it.
pub(super) fn instant(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| milliseconds.to_string(), |at| format!("{at:.0}"))
}

/// An instant, and how far away that is.
pub(super) fn moment(milliseconds: i64, now: Timestamp) -> String {
    let away = SignedDuration::from_millis(milliseconds.saturating_sub(now.as_millisecond()));
    let away = match away.is_positive() {
        true => format!("in {}", age(away)),
        false => format!("{} ago", age(away.abs())),
    };
    format!("{} ({away})", instant(milliseconds))
}

/// How long ago an instant was.
pub(super) fn since(milliseconds: i64, now: Timestamp) -> String {
    age(SignedDuration::from_millis(
        now.as_millisecond().saturating_sub(milliseconds),
    ))
}

/// The largest unit that is at least two, as `kubectl` has it.
pub(super) fn age(age: SignedDuration) -> String {
    // Their clock and ours may differ.
    let seconds = age.as_secs().max(0);
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(length, _)| seconds >= 2 * length);
    let (length, unit) = unit.unwrap_or((1, "s"));
    format!("{}{unit}", seconds / length)
}

/// The beginning of an error, for a table.
pub(super) fn short(error: &str) -> String {
    let mut characters = error.chars();
    let mut shown: String = characters.by_ref().take(SHOWN_ERROR).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(colours: bool, print: impl Fn(&mut Terminal<'_>)) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        print(&mut Terminal {
            input: &mut io::empty(),
            input_is_terminal: false,
            out: &mut out,
            out_is_terminal: colours,
            err: &mut err,
            err_is_terminal: false,
            colours,
        });
        String::from_utf8(out).unwrap()
    }

    fn row(name: &str, state: State, last: &str) -> Vec<Cell> {
        vec![name.into(), Cell::state(state), last.into()]
    }

    #[test]
    fn an_age_is_told_in_the_largest_unit_there_are_two_of() {
        for (seconds, expected) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7199, "119m"),
            (7200, "2h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (1_209_600, "14d"),
        ] {
            assert_eq!(age(SignedDuration::from_secs(seconds)), expected);
        }
        let now = Timestamp::from_second(100).unwrap();
        assert_eq!(moment(140_000, now), "1970-01-01T00:02:20Z (in 40s)");
        assert_eq!(moment(99_000, now), "1970-01-01T00:01:39Z (1s ago)");
    }

    #[test]
    fn colours_do_not_count_as_width_and_are_not_taken_from_outside() {
        let print = |terminal: &mut Terminal<'_>| {
            let rows = [
                row("ä b", State::Success, "x"),
                row("\u{1b}[31m success", State::Failure, "a\nb"),
                row("", State::Pending, ""),
            ];
            Table::new(vec!["NAME", "STATE", "LAST"], false)
                .print(&rows, terminal)
                .unwrap();
        };
        let plain = printed(false, print);
        insta::assert_snapshot!(plain, @r"
        NAME           STATE    LAST
        ä b            success  x
         [31m success  failure  a b
                       pending
        ");
        let coloured = printed(true, print);
        assert!(coloured.contains("\u{1b}[32msuccess\u{1b}[0m  x"), "{coloured:?}");
        assert!(
            coloured.contains("\u{1b}[31mfailure\u{1b}[0m  a b"),
            "{coloured:?}"
        );
        let without = ["\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[0m"]
            .iter()
            .fold(coloured, |text, code| text.replace(code, ""));
        assert_eq!(without, plain);
    }

    #[test]
    fn rows_that_come_later_stand_in_the_same_columns() {
        let out = printed(false, |terminal| {
            let mut table = Table::new(vec!["NAME", "STATE", "LAST"], false);
            table.print(&[], terminal).unwrap();
            table
                .print(&[row("long name", State::Success, "x")], terminal)
                .unwrap();
            table.print(&[row("a", State::Failure, "y")], terminal).unwrap();
            let mut table = Table::new(vec!["NAME", "STATE", "LAST"], true);
            table.print(&[row("a", State::Success, "z")], terminal).unwrap();
        });
        insta::assert_snapshot!(out, @r"
        NAME       STATE    LAST
        long name  success  x
        a          failure  y
        a  success  z
        ");
    }

    #[test]
    fn an_error_in_a_table_is_cut_and_says_so() {
        assert_eq!(short("502"), "502");
        assert_eq!(short(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
        assert_eq!(short(&"é".repeat(60)), "é".repeat(60));
    }
}
