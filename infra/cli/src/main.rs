//! `commitstatus`, the operator's tool.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use aws_config::BehaviorVersion;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use cli::app::{self, Cli, Command, Person, Stack, Target};
use cli::commands::secret::{SecretCommand, WHY_NO_LITERAL};
use cli::commands::{self, Terminal, get, next_step};
use cli::local_instance::{LocalInstance, default_data_dir, dynamodb_client, secrets_dir, sqs_client};
use cli::queues::{Queues, timeouts};
use cli::secrets::{FileSecrets, SecretStore, SecretsManager};
use cli::store::Store;
use shared::ErrorChain;

/// Between two looks at what is watched.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

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
    let failure = cli.failure_code();
    let only_prints = cli.command.only_prints();
    match run(cli).await {
        Ok(code) => code.into(),
        // `commitstatus … | head` has seen enough.
        Err(error) if only_prints && is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            failure.into()
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
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

async fn run(cli: Cli) -> anyhow::Result<u8> {
    let mut input = io::stdin();
    let mut out = io::stdout();
    let mut err = io::stderr();
    let terminal = &mut Terminal {
        input_is_terminal: input.is_terminal(),
        input: &mut input,
        out_is_terminal: out.is_terminal(),
        colours: out.is_terminal() && colours_wanted(),
        out: &mut out,
        err_is_terminal: err.is_terminal(),
        err: &mut err,
    };
    // These need no stack, and so no credentials.
    match &cli.command {
        Command::Validate(files) => return commands::validate::run(files, terminal).map(|()| 0),
        Command::Import(args) => {
            return commands::import::run(args, &cli.target.tool(), terminal).map(|()| 0);
        }
        Command::Explain(args) if args.is_offline() => {
            return commands::explain::run_offline(args, now(), terminal);
        }
        Command::Schema(args) => return commands::schema::run(args, terminal).map(|()| 0),
        Command::Completions(args) => return commands::completions::completions(args, terminal).map(|()| 0),
        Command::Man(args) => return commands::completions::man(args, terminal).map(|()| 0),
        _ => {}
    }
    let person = Person {
        prompt: &mut |text: &str| rpassword::prompt_password(text),
        editor: &mut |file: &Path| edit(file),
    };
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
            asks_hosts: true,
        };
        run_on(&cli, &stack, person, terminal).await
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
            asks_hosts: true,
        };
        run_on(&cli, &stack, person, terminal).await
    }
}

async fn run_on<S: SecretStore>(
    cli: &Cli,
    stack: &Stack<'_, S>,
    person: Person<'_>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<u8> {
    let Some(command) = app::watched(cli) else {
        return app::run(cli, stack, now(), person, ctrl_c(), terminal).await;
    };
    let tick = async || {
        tokio::time::sleep(WATCH_INTERVAL).await;
        Some(now())
    };
    tokio::select! {
        watched = get::watch(command, stack.store, now(), tick, terminal) => watched.map(|()| 0),
        // The way to end it.
        () = ctrl_c() => Ok(0),
    }
}

/// Once this is waited for, Ctrl-C no longer ends the process.
async fn ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Then it does end it.
        std::future::pending::<()>().await;
    }
}

/// Runs the operator's editor, of which the arguments are kept: `code --wait`.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read here and nowhere else"
)]
fn edit(file: &Path) -> io::Result<bool> {
    let named = ["VISUAL", "EDITOR"].into_iter().find_map(|name| {
        let command = std::env::var(name).ok()?;
        (!command.trim().is_empty()).then_some(command)
    });
    let command = named.unwrap_or_else(|| "vi".to_owned());
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    let status = std::process::Command::new(program).args(words).arg(file).status();
    let status = status.map_err(|error| {
        let shown = program.escape_debug();
        io::Error::new(error.kind(), format!("`{shown}` did not start: {error}"))
    })?;
    Ok(status.success())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock is read here and nowhere else"
)]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// <https://no-color.org>, and what terminals without colours call themselves.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read here and nowhere else"
)]
fn colours_wanted() -> bool {
    let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !is_refused && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
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
