//! `root-key`: the secret all cluster keys are derived from.

use clap::Subcommand;

use super::Terminal;
use crate::root_key::create_if_absent;
use crate::secrets::{SecretStore, root_key_name};

/// What to do with the root key.
#[derive(Debug, Subcommand)]
pub enum RootKeyCommand {
    /// Create the root key unless there is one; never replaces it
    Init,
}

/// Creates the root key.
///
/// # Errors
/// If the secret cannot be written.
pub async fn run(
    command: &RootKeyCommand,
    secrets: &impl SecretStore,
    stack: &str,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let RootKeyCommand::Init = command;
    let created = create_if_absent(secrets, stack).await?;
    let verb = if created { "created" } else { "unchanged" };
    writeln!(terminal.out, "secret/{} {verb}", root_key_name(stack))?;
    Ok(())
}
