//! `commitstatus`, the operator's tool.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use aws_config::BehaviorVersion;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use cli::app::{self, Cli, Command, Stack, Target};
use cli::commands::secret::{SecretCommand, WHY_NO_LITERAL};
use cli::commands::{self, Terminal, next_step};
use cli::local_instance::{LocalInstance, default_data_dir, dynamodb_client, secrets_dir, sqs_client};
use cli::queues::{Queues, timeouts};
use cli::secrets::{FileSecrets, SecretsManager};
use cli::store::Store;
use shared::ErrorChain;

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
    let prompt = &mut |text: &str| rpassword::prompt_password(text);
    let target = &cli.target;
    if target.local {
        let data_dir = data_dir(target)?;
        let instance = LocalInstance::find(&data_dir)?;
        let store = Store::new(dynamodb_client(&instance.dynamodb), &target.stack);
        let secrets = FileSecrets::new(secrets_dir(&data_dir));
        let queues = instance.sqs.as_deref().map(sqs_client);
        let queues = queues.map(|client| Queues::new(client, &target.stack));
        let stack = Stack {
            store: &store,
            queues: queues.as_ref(),
            secrets: &secrets,
            function_url: Some(&instance.function_url),
        };
        app::run(&cli, &stack, now(), prompt, ctrl_c(), terminal).await
    } else {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let store = Store::new(aws_sdk_dynamodb::Client::new(&config), &target.stack);
        let secrets = SecretsManager::new(aws_sdk_secretsmanager::Client::new(&config));
        let sqs = aws_sdk_sqs::config::Builder::from(&config).timeout_config(timeouts());
        let queues = Queues::new(aws_sdk_sqs::Client::from_conf(sqs.build()), &target.stack);
        let function_url = function_url();
        let stack = Stack {
            store: &store,
            queues: Some(&queues),
            secrets: &secrets,
            function_url: function_url.as_deref(),
        };
        app::run(&cli, &stack, now(), prompt, ctrl_c(), terminal).await
    }
}

/// Once this is waited for, Ctrl-C no longer ends the process.
async fn ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Then it does end it.
        std::future::pending::<()>().await;
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
