//! What `--help` says of every command, at 80 columns.

use std::path::Path;

use clap::{Command, CommandFactory as _};
use cli::app::Cli;
use similar::TextDiff;

const COLUMNS: usize = 80;
const REWRITE: &str = "UPDATE_HELP=1 cargo test --workspace --test help";

/// The command and all below it, with all they have in common.
fn built() -> Command {
    fn without_environment(command: Command) -> Command {
        // Its values differ from one machine to the next.
        command
            .mut_args(|argument| argument.hide_env_values(true))
            .mut_subcommands(without_environment)
    }
    let mut command = without_environment(Cli::command())
        .term_width(COLUMNS)
        .disable_help_subcommand(true);
    command.build();
    command
}

fn walk(command: &Command, look: &mut dyn FnMut(&Command)) {
    look(command);
    for below in command.get_subcommands() {
        walk(below, look);
    }
}

fn help_of(command: &Command) -> String {
    command.clone().render_long_help().to_string()
}

fn name_of(command: &Command) -> String {
    command.get_bin_name().unwrap_or(command.get_name()).to_owned()
}

fn all_help() -> String {
    let mut text = String::new();
    walk(&built(), &mut |command| {
        let help = help_of(command);
        let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        text += &format!("$ {} --help\n{}\n\n", name_of(command), lines.join("\n"));
    });
    text
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is committed is written by its own test, when that is asked for"
)]
fn is_to_be_rewritten() -> bool {
    std::env::var_os("UPDATE_HELP").is_some_and(|value| !value.is_empty())
}

#[test]
fn help_is_as_committed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    let help = all_help();
    if is_to_be_rewritten() {
        std::fs::write(&file, &help).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == help,
        "infra/cli/tests/help.txt is not what --help says; `{REWRITE}` rewrites it\n{}",
        TextDiff::from_lines(&committed, &help)
            .unified_diff()
            .header("committed", "--help")
    );
}

#[test]
fn help_fits_a_terminal_of_80_columns() {
    let mut wide = Vec::new();
    walk(&built(), &mut |command| {
        // clap does not break the usage, and where a terminal does it stays readable.
        for line in help_of(command)
            .lines()
            .filter(|line| !line.starts_with("Usage:"))
        {
            let columns = line.trim_end().chars().count();
            if columns > COLUMNS {
                wide.push(format!("{}: {columns} columns: {line}", name_of(command)));
            }
        }
        // What is to be typed must not be broken into two lines either.
        let examples = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        for line in examples.lines().filter(|line| line.starts_with(' ')) {
            if line.chars().count() > COLUMNS {
                wide.push(format!("{}: an example is broken: {line}", name_of(command)));
            }
        }
    });
    assert!(
        wide.is_empty(),
        "wider than {COLUMNS} columns:\n{}",
        wide.join("\n")
    );
}

#[test]
fn every_command_and_argument_says_what_it_is_for() {
    let mut mute = Vec::new();
    walk(&built(), &mut |command| {
        let name = name_of(command);
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        if about.is_empty() {
            mute.push(format!("{name}: no help"));
        }
        // The first line is a headline.
        if command.get_name() != "commitstatus" && about.ends_with('.') {
            mute.push(format!("{name}: its help ends with a full stop: {about}"));
        }
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            if help.trim().is_empty() {
                mute.push(format!("{name}: no help of {}", argument.get_id()));
            }
            if help.ends_with('.') && argument.get_id() != "help" {
                mute.push(format!(
                    "{name}: help of {} ends with a full stop",
                    argument.get_id()
                ));
            }
        }
    });
    assert!(mute.is_empty(), "{}", mute.join("\n"));
}
