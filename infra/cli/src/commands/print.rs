//! Tables for people, YAML and JSON for programs.

use std::io::Write;

use clap::ValueEnum;
use comfy_table::{Table, presets};
use jiff::Timestamp;
use serde_json::Value;
use shared::item::StatusItem;

/// Characters of the last error in a table; `-o yaml` prints all.
const SHOWN_ERROR: usize = 80;

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
}

pub(super) fn table(
    out: &mut dyn Write,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> std::io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    for row in rows {
        // Git hosts are quoted in these: nothing may move the cursor.
        table.add_row(row.into_iter().map(|cell| cell.replace(char::is_control, " ")));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Prints a value as YAML or JSON.
pub(super) fn value(out: &mut dyn Write, output: Output, value: &Value) -> anyhow::Result<()> {
    match output {
        Output::Table | Output::Yaml => write!(out, "{}", serde_saphyr::to_string(value)?)?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(value)?)?,
    }
    Ok(())
}

/// An instant as people read it.
pub(super) fn instant(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).map_or_else(|_| milliseconds.to_string(), |at| at.to_string())
}

/// The beginning of what the host said last.
pub(super) fn short_error(status: &StatusItem) -> String {
    let error = status.last_error.as_deref();
    error.map_or_else(|| "-".into(), |error| error.chars().take(SHOWN_ERROR).collect())
}
