//! What the demo prints.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use jiff::Timestamp;

const POST: &str = "POST ";
const MIN_CALL_WIDTH: usize = 13;

/// Where it prints to.
pub(super) struct Screen<'a> {
    out: &'a mut dyn Write,
    /// Of what is said about a call.
    call_width: usize,
}

/// State, description and number of posts.
pub(super) type Shown = (String, String, usize);

impl<'a> Screen<'a> {
    /// `longest_state` is as long as the longest of the host's words.
    pub(super) fn new(out: &'a mut dyn Write, longest_state: usize) -> Self {
        Self {
            out,
            call_width: MIN_CALL_WIDTH.max(POST.len() + longest_state),
        }
    }

    pub(super) fn title(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n{text}\n{}", "─".repeat(text.chars().count()))
    }

    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    pub(super) fn yaml(&mut self, text: &str, whose: &str) -> io::Result<()> {
        writeln!(self.out, "# {whose}\n{text}")
    }

    /// `told`: what the host was told meanwhile.
    pub(super) fn step(
        &mut self,
        cluster: &str,
        timestamp: Timestamp,
        reason: &str,
        told: &[String],
        remark: &str,
    ) -> io::Result<()> {
        let time = timestamp.strftime("%H:%M:%S");
        let call = match told {
            [] => "no call".to_owned(),
            told => format!("{POST}{}", told.join(", ")),
        };
        let width = self.call_width;
        writeln!(
            self.out,
            "{time}  {cluster:<5} {reason:<24} → 202   {call:<width$} {remark}"
        )
    }

    pub(super) fn table(&mut self, rows: &[(&str, Shown)]) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["context", "state", "description", "posts"]);
        for (context, (state, description, posts)) in rows {
            table.add_row([context, state.as_str(), description, &posts.to_string()]);
        }
        writeln!(self.out, "{table}")
    }
}
