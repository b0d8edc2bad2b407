//! The command line, and which command it runs. `main` adds what it reads of the world outside.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;

use crate::commands::apply::ApplyArgs;
use crate::commands::check::CheckArgs;
use crate::commands::cluster::ClusterCommand;
use crate::commands::completions::{CompletionsArgs, ManArgs};
use crate::commands::connect::ConnectArgs;
use crate::commands::delete::DeleteArgs;
use crate::commands::describe::DescribeCommand;
use crate::commands::diff::{self, DiffArgs};
use crate::commands::dlq::DlqCommand;
use crate::commands::edit::{EditArgs, Editor};
use crate::commands::explain::ExplainArgs;
use crate::commands::get::{self, GetCommand};
use crate::commands::import::ImportArgs;
use crate::commands::retry::RetryArgs;
use crate::commands::root_key::RootKeyCommand;
use crate::commands::rotate::RotateArgs;
use crate::commands::schema::SchemaArgs;
use crate::commands::secret::{Prompt, SecretCommand};
use crate::commands::{self, FileArgs, Terminal};
use crate::queues::Queues;
use crate::secrets::SecretStore;
use crate::store::Store;

/// Name of the stack if none is said.
const DEFAULT_STACK: &str = "commitstatus";

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
        default_value = DEFAULT_STACK
    )]
    pub stack: String,
    /// Talk to the local service on this machine instead of AWS
    #[arg(long, global = true)]
    pub local: bool,
    /// Where the local service keeps its data
    #[arg(long, global = true, value_name = "DIR", env = "COMMITSTATUS_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

impl Target {
    /// How a command calls this tool for the same stack.
    pub fn tool(&self) -> String {
        let quoted = |text: &str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            match text.chars().all(is_plain) {
                true => text.to_owned(),
                false => format!("'{}'", text.replace('\'', "'\\''")),
            }
        };
        let mut tool = "commitstatus".to_owned();
        if self.stack != DEFAULT_STACK {
            tool.push_str(&format!(" --stack {}", quoted(&self.stack)));
        }
        if self.local {
            tool.push_str(" --local");
        }
        if let Some(directory) = self.data_dir.as_ref().filter(|_| self.local) {
            tool.push_str(&format!(
                " --data-dir {}",
                quoted(&directory.display().to_string())
            ));
        }
        tool
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Apply CommitStatus and Provider objects; nothing is applied unless all are right
    #[command(
        after_help = "Examples:\n  commitstatus apply -f rules/ --cluster prod-eu-1\n  \
                            commitstatus apply -f rules/ --all-clusters --dry-run\n  \
                            commitstatus apply -f rules/ --all-clusters --prune -l app=statuses\n\n\
                            Editors check files as you type, where `commitstatus schema --output-dir .schema`\n\
                            was run and each document begins with\n  \
                            # yaml-language-server: $schema=./.schema/commitstatus-objects.schema.json"
    )]
    Apply(ApplyArgs),
    /// Show what `apply` would change; exits with 0 if nothing, 1 if something, 2 if there is no telling
    #[command(
        after_help = "Examples:\n  commitstatus diff -f rules/ --cluster prod-eu-1\n  \
                            commitstatus diff -f rules/ --all-clusters --prune -l app=statuses"
    )]
    Diff(DiffArgs),
    /// Edit an applied object in your own editor: $VISUAL, else $EDITOR, else vi
    #[command(
        after_help = "Examples:\n  commitstatus edit commitstatus webapp -n flux-system --cluster prod-eu-1\n  \
                            EDITOR='code --wait' commitstatus edit provider github -n apps --cluster dev"
    )]
    Edit(EditArgs),
    /// Check files as `apply` does, without applying them
    Validate(FileArgs),
    /// List what is applied, clusters, and statuses
    #[command(subcommand)]
    Get(GetCommand),
    /// Show all that is known of a rule, a Provider, a cluster or a status
    #[command(subcommand)]
    Describe(DescribeCommand),
    /// Look whether everything is well: clusters, credentials, rules, statuses, queues; exit code 1 if it is not
    #[command(
        after_help = "Reads both tables, and asks each Git host whether the credential may post.\n\n\
                            Examples:\n  commitstatus check\n  commitstatus check --no-hosts --silent-after 1d"
    )]
    Check(CheckArgs),
    /// Show what each rule makes of an event or a commit, and why; exit code 1 if nothing of it is posted
    #[command(after_help = "Examples:\n  commitstatus explain 5394cb7\n  \
                            commitstatus explain -f rules/ --event event.json --cluster prod-eu-1")]
    Explain(ExplainArgs),
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
    /// Print the Secret, Provider and Alert with which a cluster sends its events here, or check them
    #[command(
        after_help = "Examples:\n  commitstatus connect prod-eu-1 | kubectl apply -f -\n  \
                            commitstatus connect --all --output-dir keys\n  \
                            G=notification.toolkit.fluxcd.io\n  \
                            kubectl get providers.$G,alerts.$G -A -o yaml |\n    \
                            commitstatus connect prod-eu-1 --check -"
    )]
    Connect(ConnectArgs),
    /// Turn the Providers and Alerts with which Flux itself posts commit statuses into objects for this service
    #[command(
        after_help = "Prints the objects to standard output, and to standard error what is not carried over and the \
                      commands that come next. Changes nothing, and needs no stack. Takes files from Git, or what \
                      `kubectl get -o yaml` prints of the Providers and Alerts of a cluster.\n\nExamples:\n  \
                      commitstatus import -f old.yaml --cluster dev --keep-names > imported.yaml\n  \
                      commitstatus import -R -f clusters/ --all-clusters > imported.yaml"
    )]
    Import(ImportArgs),
    /// List messages that could not be handled, send them again or delete them
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Create, rotate and retire the secret all cluster keys are derived from
    #[command(subcommand)]
    RootKey(RootKeyCommand),
    /// Replace the root key that all cluster keys are derived from, in two steps
    #[command(
        after_help = "Both keys are accepted until the second step. Example, with `connect` for each\n\
                            cluster in between:\n  \
                            commitstatus rotate\n  \
                            commitstatus connect prod-eu-1 | kubectl apply -f -\n  \
                            commitstatus rotate --finish\n\n\
                            `commitstatus root-key status` shows how far it has come."
    )]
    Rotate(RotateArgs),
    /// Print the JSON Schema of the two kinds, for editors
    #[command(
        after_help = "Examples:\n  commitstatus schema --output-dir .schema\n  commitstatus schema provider\n\n\
                            First line of each document, for editors with yaml-language-server; the path is\n\
                            from the file:\n  \
                            # yaml-language-server: $schema=./.schema/commitstatus-objects.schema.json"
    )]
    Schema(SchemaArgs),
    /// Print what a shell completes commands with
    #[command(after_help = "Examples:\n  \
                            commitstatus completions bash > \\\n    \
                            ~/.local/share/bash-completion/completions/commitstatus\n  \
                            commitstatus completions zsh > ~/.zfunc/_commitstatus   # in $fpath\n  \
                            commitstatus completions fish > ~/.config/fish/completions/commitstatus.fish\n  \
                            commitstatus completions elvish >> ~/.config/elvish/rc.elv\n  \
                            commitstatus completions powershell >> $PROFILE")]
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command
    #[command(after_help = "Examples:\n  commitstatus man | man -l -\n  \
                            commitstatus man --output-dir ~/.local/share/man/man1")]
    Man(ManArgs),
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
    /// Whether Git hosts may be asked about credentials.
    pub asks_hosts: bool,
}

/// What only a person can say.
pub struct Person<'a> {
    /// Types a secret.
    pub prompt: Prompt<'a>,
    /// Edits a file.
    pub editor: Editor<'a>,
}

impl Command {
    /// Whether it writes nothing but what it prints, and its exit code says no more than that it did.
    pub const fn only_prints(&self) -> bool {
        matches!(
            self,
            Self::Get(_) | Self::Describe(_) | Self::Schema(_) | Self::Completions(_) | Self::Man(_)
        )
    }
}

impl Cli {
    /// What the process exits with when the command fails.
    pub const fn failure_code(&self) -> u8 {
        match self.command {
            Command::Check(_) | Command::Diff(_) | Command::Explain(_) => diff::FAILED,
            _ => 1,
        }
    }
}

/// What a command watches that goes on until it is interrupted; [`run`] would print it once.
pub const fn watched(cli: &Cli) -> Option<&GetCommand> {
    match &cli.command {
        Command::Get(command) if command.watches() => Some(command),
        _ => None,
    }
}

/// Runs a command at `now`, and returns what the process exits with. Once `interrupted` is over, what can be left
/// unfinished is.
///
/// # Errors
/// Whatever the command says.
pub async fn run<S: SecretStore>(
    cli: &Cli,
    stack: &Stack<'_, S>,
    now: Timestamp,
    person: Person<'_>,
    interrupted: impl Future<Output = ()>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<u8> {
    let Stack {
        store,
        queues,
        secrets,
        function_url,
        asks_hosts,
    } = *stack;
    let Person { prompt, editor } = person;
    let name = cli.target.stack.as_str();
    // Commands that answer with more than success or failure return their code at once.
    let done = match &cli.command {
        Command::Apply(args) => commands::apply::run(args, store, now, terminal).await,
        Command::Diff(args) => return diff::run(args, store, now, terminal).await,
        Command::Edit(args) => commands::edit::run(args, store, now, editor, terminal).await,
        Command::Validate(files) => commands::validate::run(files, terminal),
        Command::Get(command) => get::run(command, store, now, terminal).await,
        Command::Describe(command) => {
            commands::describe::run(command, store, secrets, name, now, terminal).await
        }
        Command::Check(args) => {
            return commands::check::run(args, stack, name, now, terminal).await;
        }
        Command::Explain(args) if args.is_offline() => {
            return commands::explain::run_offline(args, now, terminal);
        }
        Command::Explain(args) => return commands::explain::run(args, store, now, terminal).await,
        Command::Retry(args) => commands::retry::run(args, store, now, terminal).await,
        Command::Delete(args) => commands::delete::run(args, store, now, terminal).await,
        Command::Cluster(command) => commands::cluster::run(command, store, terminal).await,
        Command::Secret(command) => {
            let context = commands::secret::Context {
                store,
                secrets,
                stack: name,
                asks_hosts,
            };
            commands::secret::run(command, &context, now, prompt, terminal).await
        }
        Command::Connect(args) => {
            return commands::connect::run(args, store, secrets, name, function_url, terminal).await;
        }
        Command::Import(args) => commands::import::run(args, &cli.target.tool(), terminal),
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
        Command::Rotate(args) => commands::rotate::run(args, store, secrets, name, now, terminal).await,
        Command::Schema(args) => commands::schema::run(args, terminal),
        Command::Completions(args) => commands::completions::completions(args, terminal),
        Command::Man(args) => commands::completions::man(args, terminal),
    };
    done.map(|()| 0)
}
