//! `commitstatus`, the operator's tool.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use aws_config::BehaviorVersion;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use cli::commands::apply::ApplyArgs;
use cli::commands::cluster::ClusterCommand;
use cli::commands::connect::ConnectArgs;
use cli::commands::delete::DeleteArgs;
use cli::commands::get::GetCommand;
use cli::commands::retry::RetryArgs;
use cli::commands::root_key::RootKeyCommand;
use cli::commands::secret::{SecretCommand, WHY_NO_LITERAL};
use cli::commands::{self, FileArgs, Terminal, next_step};
use cli::local_instance::{LocalInstance, default_data_dir, dynamodb_client, secrets_dir};
use cli::secrets::{FileSecrets, SecretStore, SecretsManager};
use cli::store::Store;
use shared::ErrorChain;

/// Says which Flux events become commit statuses, which clusters may send them, and what became of them.
#[derive(Debug, Parser)]
#[command(name = "commitstatus", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Where to")]
struct Target {
    /// Name of the stack: its tables are NAME-rules and NAME-statuses, its secrets lie below NAME/
    #[arg(
        long,
        global = true,
        env = "COMMITSTATUS_STACK",
        default_value = "commitstatus"
    )]
    stack: String,
    /// Talk to the local service on this machine instead of AWS
    #[arg(long, global = true)]
    local: bool,
    /// Where the local service keeps its data
    #[arg(long, global = true, value_name = "DIR", env = "COMMITSTATUS_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
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
    /// Create the secret all cluster keys are derived from
    #[command(subcommand)]
    RootKey(RootKeyCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Secret(SecretCommand::Set(args)) = &cli.command
        && args.from_literal.is_some()
    {
        Cli::command()
            .error(ErrorKind::UnknownArgument, WHY_NO_LITERAL)
            .exit();
    }
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the last words of the process, when nothing else can be written"
)]
fn report(error: &anyhow::Error) {
    eprintln!("error: {}", ErrorChain(error.as_ref()));
    if let Some(next) = next_step(error) {
        eprintln!("{next}");
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let mut input = io::stdin();
    let mut out = io::stdout();
    let mut err = io::stderr();
    let terminal = &mut Terminal {
        input_is_terminal: input.is_terminal(),
        input: &mut input,
        out_is_terminal: out.is_terminal(),
        out: &mut out,
        err: &mut err,
    };
    if let Command::Validate(files) = &cli.command {
        return commands::validate::run(files, terminal);
    }
    let target = &cli.target;
    if target.local {
        let data_dir = data_dir(target)?;
        let instance = LocalInstance::find(&data_dir)?;
        let store = Store::new(dynamodb_client(&instance.dynamodb), &target.stack);
        let secrets = FileSecrets::new(secrets_dir(&data_dir));
        dispatch(&cli, &store, &secrets, Some(&instance.function_url), terminal).await
    } else {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let store = Store::new(aws_sdk_dynamodb::Client::new(&config), &target.stack);
        let secrets = SecretsManager::new(aws_sdk_secretsmanager::Client::new(&config));
        dispatch(&cli, &store, &secrets, function_url().as_deref(), terminal).await
    }
}

async fn dispatch(
    cli: &Cli,
    store: &Store,
    secrets: &impl SecretStore,
    function_url: Option<&str>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let stack = cli.target.stack.as_str();
    match &cli.command {
        Command::Apply(args) => commands::apply::run(args, store, now(), terminal).await,
        Command::Validate(files) => commands::validate::run(files, terminal),
        Command::Get(command) => commands::get::run(command, store, terminal).await,
        Command::Retry(args) => commands::retry::run(args, store, now(), terminal).await,
        Command::Delete(args) => commands::delete::run(args, store, terminal).await,
        Command::Cluster(command) => commands::cluster::run(command, store, terminal).await,
        Command::Secret(command) => {
            let prompt = &mut |text: &str| rpassword::prompt_password(text);
            commands::secret::run(command, store, secrets, stack, now(), prompt, terminal).await
        }
        Command::Connect(args) => {
            commands::connect::run(args, store, secrets, stack, function_url, terminal).await
        }
        Command::RootKey(command) => commands::root_key::run(command, secrets, stack, terminal).await,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock is read here and nowhere else"
)]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read here and nowhere else"
)]
fn data_dir(target: &Target) -> anyhow::Result<PathBuf> {
    let named = target.data_dir.clone();
    named
        .or_else(|| default_data_dir(std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME")))
        .context("neither XDG_DATA_HOME nor HOME is set; name the data directory with --data-dir")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read here and nowhere else"
)]
fn function_url() -> Option<String> {
    // No argument of clap's: `--local` must not take the address of a stack on AWS.
    std::env::var("COMMITSTATUS_URL")
        .ok()
        .filter(|url| !url.is_empty())
}
