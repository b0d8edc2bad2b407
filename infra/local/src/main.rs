//! Runs the service in one process.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use cli::local_instance::default_data_dir;
use jiff::Timestamp;
use local::demo::{self, RealHost};
use local::service::{Options, Service};
use poster::host::AddressPolicy;
use shared::{CommitSha, ErrorChain};
use tracing_subscriber::EnvFilter;

/// Flux commit statuses in one process: what AWS Lambda runs, over embedded stand-ins.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Args)]
struct Serve {
    /// Directory of rules, statuses and secrets [default: commitstatus-local in the XDG data directory]
    #[arg(long, env = "COMMITSTATUS_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Port of the function URL on 127.0.0.1
    #[arg(long, default_value_t = 9292)]
    port: u16,
    /// Ranges where Git hosts may be besides public addresses, in CIDR notation with commas between them
    #[arg(long, default_value = "127.0.0.0/8,::1/128", value_name = "RANGES")]
    allowed_private_ranges: AddressPolicy,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the whole way of an event in a directory of its own, against a stand-in of GitHub's API
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Post to this GitHub repository instead, with the token in GITHUB_TOKEN
    #[arg(long, requires = "commit", value_name = "URL")]
    repository: Option<String>,
    /// The commit to post on
    #[arg(long, requires = "repository", value_name = "SHA")]
    commit: Option<CommitSha>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Demo(args)) => run_demo(args).await,
        None => serve(cli.serve).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the last words of a command")]
            {
                eprintln!("error: {}", ErrorChain(error.as_ref()));
            }
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock is read here and nowhere else"
)]
const CLOCK: local::Clock = Timestamp::now;

#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read here and nowhere else"
)]
async fn run_demo(args: DemoArgs) -> anyhow::Result<()> {
    init_logs("warn");
    let real = match (args.repository, args.commit) {
        (Some(repository), Some(commit)) => {
            let token = std::env::var("GITHUB_TOKEN")
                .context("set GITHUB_TOKEN to a token that may write commit statuses of the repository")?;
            Some(RealHost {
                repository,
                commit,
                token: token.into(),
            })
        }
        _ => None,
    };
    demo::run(CLOCK, real, &mut std::io::stdout()).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read here and nowhere else"
)]
async fn serve(args: Serve) -> anyhow::Result<()> {
    init_logs("info");
    let data_dir = args
        .data_dir
        .or_else(|| default_data_dir(std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME")))
        .context("neither XDG_DATA_HOME nor HOME is set; name a directory with --data-dir")?;
    let service = Service::start(&Options {
        data_dir: data_dir.clone(),
        port: args.port,
        address_policy: args.allowed_private_ranges,
        clock: CLOCK,
    })
    .await?;
    welcome(&service, &data_dir)?;
    stop_signal().await.context("cannot wait for Ctrl-C")?;
    service.stop().await;
    Ok(())
}

/// Waits for Ctrl-C, or for what a supervisor sends.
async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

fn welcome(service: &Service, data_dir: &std::path::Path) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(
        std::io::stdout(),
        "\
The service runs until Ctrl-C. Rules, statuses and secrets are kept in {}.

  function URL   {}
  DynamoDB       {}

In another terminal:

  alias commitstatus='cargo run -q -p cli -- --local'
  commitstatus cluster add dev                        # register a cluster
  commitstatus apply --cluster dev -f rules.yaml      # a CommitStatus and its Provider
  commitstatus secret set github-token --cluster dev --namespace flux-system --key token
  commitstatus connect dev                            # what the cluster needs, for kubectl apply -f -
  commitstatus get statuses COMMIT                    # what became of a commit
  commitstatus dlq list                               # what could not be handled
",
        data_dir.display(),
        service.instance.function_url,
        service.instance.dynamodb,
    )
}

fn init_logs(level: &str) {
    // The embedded engine warns of every condition that does not hold, which is how this service works.
    let default = format!("{level},dynoxide=error");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
