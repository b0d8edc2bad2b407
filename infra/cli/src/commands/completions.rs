//! `completions` and `man`, both made from the definition the arguments are read by.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Terminal;
use crate::app::Cli;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for each command into this directory, instead of printing the main one
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
}

/// Prints the script a shell completes with.
///
/// # Errors
/// If it cannot be printed.
pub fn completions(args: &CompletionsArgs, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    terminal.out.write_all(&script)?;
    Ok(())
}

/// Prints the main page, or writes all of them into a directory.
///
/// # Errors
/// If the directory cannot be written.
pub fn man(args: &ManArgs, terminal: &mut Terminal<'_>) -> anyhow::Result<()> {
    // Values of the environment would differ from one machine to the next.
    let mut command = without_environment(Cli::command()).disable_help_subcommand(true);
    command.build();
    let Some(directory) = &args.output_dir else {
        Man::new(command).render(terminal.out)?;
        return Ok(());
    };
    std::fs::create_dir_all(directory).with_context(|| unwritable(directory))?;
    for page in pages(command) {
        let file = page
            .generate_to(directory)
            .with_context(|| unwritable(directory))?;
        let file = file.display().to_string().replace(char::is_control, " ");
        writeln!(terminal.out, "{file} written")?;
    }
    Ok(())
}

/// The pages of a command that was built and of all below it.
fn pages(command: clap::Command) -> Vec<Man> {
    let below: Vec<clap::Command> = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
        .cloned()
        .collect();
    std::iter::once(Man::new(command))
        .chain(below.into_iter().flat_map(pages))
        .collect()
}

fn without_environment(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| argument.hide_env_values(true))
}

fn unwritable(directory: &Path) -> String {
    format!(
        "cannot write to `{}`; name a directory you may write to with --output-dir",
        directory.display().to_string().replace(char::is_control, " ")
    )
}
