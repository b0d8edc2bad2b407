//! The command line, and which command it runs. `main` adds what it reads of the world outside.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;

use crate::commands::apply::ApplyArgs;
use crate::commands::cluster::ClusterCommand;
use crate::commands::connect::ConnectArgs;
use crate::commands::delete::DeleteArgs;
use crate::commands::dlq::DlqCommand;
use crate::commands::get::GetCommand;
use crate::commands::retry::RetryArgs;
use crate::commands::root_key::RootKeyCommand;
use crate::commands::secret::{Prompt, SecretCommand};
use crate::commands::{self, FileArgs, Terminal};
use crate::queues::Queues;
use crate::secrets::SecretStore;
use crate::store::Store;

/// Says which Flux events become commit statuses, which clusters may send them, and what became of them.
#[derive(Debug, Parser)]
#[command(name = "commitstatus", version, max_term_width = 110)]
pub struct Cli {
    /// Which stack.
    #[command(flatten)]
    pub target: Target,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which stack the commands are for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where to")]
pub struct Target {
    /// Name of the stack: its tables are NAME-rules and NAME-statuses, its queues NAME-events.fifo and
    /// NAME-posts.fifo, its secrets lie below NAME/
    #[arg(
        long,
        global = true,
        env = "COMMITSTATUS_STACK",
        default_value = "commitstatus"
    )]
    pub stack: String,
    /// Talk to the local service on this machine instead of AWS
    #[arg(long, global = true)]
    pub local: bool,
    /// Where the local service keeps its data
    #[arg(long, global = true, value_name = "DIR", env = "COMMITSTATUS_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Apply CommitStatus and Provider objects; nothing is applied unless all are right
    #[command(after_help = "Example:\n  commitstatus apply -f rules/ --cluster prod-eu-1")]
    Apply(ApplyArgs),
    /// Check files as `apply` does, without applying them
    Validate(FileArgs),
    /// Show what is applied, the statuses of a commit, or what is parked
    #[command(subcommand)]
    Get(GetCommand),
    /// Try parked statuses again; with --force, post again what was posted
    #[command(
        after_help = "Examples:\n  commitstatus retry --provider github -n flux-system\n  \
                            commitstatus retry --commit 5394cb7 --force"
    )]
    Retry(RetryArgs),
    /// Delete CommitStatus and Provider objects
    #[command(
        after_help = "Examples:\n  commitstatus delete provider github -n flux-system --all-clusters\n  \
                            commitstatus delete -f rules/ --cluster prod-eu-1"
    )]
    Delete(DeleteArgs),
    /// Register, suspend, revoke and remove clusters
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Write the secrets Providers name
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Print the Secret, Provider and Alert with which a cluster sends its events here
    #[command(after_help = "Example:\n  commitstatus connect prod-eu-1 | kubectl apply -f -")]
    Connect(ConnectArgs),
    /// List messages that could not be handled, send them again or delete them
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Create, rotate and retire the secret all cluster keys are derived from
    #[command(subcommand)]
    RootKey(RootKeyCommand),
}

/// What the commands work on.
pub struct Stack<'a, S> {
    /// Its tables.
    pub store: &'a Store,
    /// Its queues; `None` if they cannot be reached, as those of a local service of an older release.
    pub queues: Option<&'a Queues>,
    /// Its secrets.
    pub secrets: &'a S,
    /// Where it takes events, if that is known.
    pub function_url: Option<&'a str>,
}

/// Runs a command at `now`. Secrets are asked for with `prompt`; once `interrupted` is over, what can be left unfinished
/// is.
///
/// # Errors
/// Whatever the command says.
pub async fn run<S: SecretStore>(
    cli: &Cli,
    stack: &Stack<'_, S>,
    now: Timestamp,
    prompt: Prompt<'_>,
    interrupted: impl Future<Output = ()>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let Stack {
        store,
        queues,
        secrets,
        function_url,
    } = *stack;
    let name = cli.target.stack.as_str();
    match &cli.command {
        Command::Apply(args) => commands::apply::run(args, store, now, terminal).await,
        Command::Validate(files) => commands::validate::run(files, terminal),
        Command::Get(command) => commands::get::run(command, store, terminal).await,
        Command::Retry(args) => commands::retry::run(args, store, now, terminal).await,
        Command::Delete(args) => commands::delete::run(args, store, now, terminal).await,
        Command::Cluster(command) => commands::cluster::run(command, store, terminal).await,
        Command::Secret(command) => {
            commands::secret::run(command, store, secrets, name, now, prompt, terminal).await
        }
        Command::Connect(args) => {
            commands::connect::run(args, store, secrets, name, function_url, terminal).await
        }
        Command::Dlq(command) => {
            let queues = queues.context(
                "the local service is of a release whose dead letters cannot be reached; stop it, and start this one \
                 with `cargo run -p local`",
            )?;
            commands::dlq::run(command, queues, now, interrupted, terminal).await
        }
        Command::RootKey(command) => {
            commands::root_key::run(command, store, secrets, name, now, terminal).await
        }
    }
}
