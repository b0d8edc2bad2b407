//! Runs the service in one process.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use cli::local_instance::default_data_dir;
use hosts::HostKind;
use jiff::Timestamp;
use local::demo::{self, NAMESPACE, RealHost, Target, provider_yaml, secret_name};
use local::service::{self, Options, Service};
use local::stand_in::{Facts, Server, StandIn};
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
    /// Serve a stand-in of this Git host as well
    #[arg(long, value_parser = host_kind(), value_name = "TYPE")]
    host: Option<HostKind>,
    /// Port of the stand-in on 127.0.0.1
    #[arg(long, default_value_t = 9393, requires = "host", value_name = "PORT")]
    host_port: u16,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the whole way of an event in a directory of its own, against a stand-in of a Git host's API
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// The Git host that is stood in for
    #[arg(long, value_parser = host_kind(), default_value = "github", value_name = "TYPE", conflicts_with = "repository")]
    host: HostKind,
    /// Post to this GitHub repository instead, with the token in GITHUB_TOKEN
    #[arg(long, requires = "commit", value_name = "URL")]
    repository: Option<String>,
    /// The commit to post on
    #[arg(long, requires = "repository", value_name = "SHA")]
    commit: Option<CommitSha>,
}

fn host_kind() -> impl TypedValueParser<Value = HostKind> {
    let names = PossibleValuesParser::new(HostKind::ALL.map(HostKind::as_str));
    names.try_map(|name| HostKind::from_type(&name).ok_or("no Git host"))
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
    let target = match (args.repository, args.commit) {
        (Some(repository), Some(commit)) => {
            let token = std::env::var("GITHUB_TOKEN")
                .context("set GITHUB_TOKEN to a token that may write commit statuses of the repository")?;
            Target::Real(RealHost {
                repository,
                commit,
                token: token.into(),
            })
        }
        _ => Target::StandIn(args.host),
    };
    demo::run(CLOCK, target, &mut std::io::stdout()).await
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
    let stand_in = match args.host {
        Some(kind) => Some(start_stand_in(kind, args.host_port).await?),
        None => None,
    };
    let service = Service::start(&Options {
        data_dir: data_dir.clone(),
        port: args.port,
        address_policy: args.allowed_private_ranges,
        clock: CLOCK,
    })
    .await?;
    welcome(&service, &data_dir)?;
    if let Some(server) = &stand_in {
        introduce(server)?;
    }
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
  commitstatus explain COMMIT                         # and why, where there is no status
  commitstatus check                                  # whether all is well
",
        data_dir.display(),
        service.instance.function_url,
        service.instance.dynamodb,
    )
}

/// It is on this machine, and must still be the same after a restart.
const STAND_IN_TOKEN: &str = "token-of-the-stand-in";

async fn start_stand_in(kind: HostKind, port: u16) -> anyhow::Result<Server> {
    let listener = service::listen(port, "--host-port").await?;
    let (token, _) = Facts::of(kind).token(STAND_IN_TOKEN);
    Ok(Server::start(listener, StandIn::new(kind, token), CLOCK)?)
}

fn introduce(server: &Server) -> std::io::Result<()> {
    use std::io::Write;
    let kind = server.stand_in().kind();
    let facts = Facts::of(kind);
    let (_, secret) = facts.token(STAND_IN_TOKEN);
    writeln!(
        std::io::stdout(),
        "\
A stand-in of {} runs beside it. What it is told is listed at {}/ until Ctrl-C.
To have statuses posted to it, apply this Provider, and name it in a CommitStatus:

{}
and let the service in with:

  echo '{secret}' | commitstatus secret set {} --cluster dev --namespace {NAMESPACE} --from-stdin token
",
        facts.title,
        server.address(),
        provider_yaml(kind, &format!("{}{}", server.address(), facts.example)),
        secret_name(kind),
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
