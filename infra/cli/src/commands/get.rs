//! `get`: what is applied, clusters, and statuses.

pub(super) mod listing;
pub(super) mod objects;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use self::listing::{Listing, Shown};
pub use self::objects::GetArgs;
use super::Terminal;
use super::cluster::{self, GetClustersArgs};
use super::parked::{self, ParkedArgs};
use super::print::{Output, PrintArgs};
use super::statuses::{self, StatusesArgs};
use crate::object::Kind;
use crate::store::Store;

/// What to get.
#[derive(Debug, Subcommand)]
pub enum GetCommand {
    /// Rules
    #[command(
        visible_alias = "cs",
        aliases = ["commitstatus", "rules", "rule"],
        after_help = "Examples:\n  commitstatus get commitstatuses\n  \
                      commitstatus get cs webapp -n flux-system --cluster prod-eu-1 -o yaml"
    )]
    Commitstatuses(GetArgs),
    /// Providers
    #[command(
        alias = "provider",
        after_help = "Example:\n  commitstatus get providers --all-clusters -o wide"
    )]
    Providers(GetArgs),
    /// Registered clusters
    #[command(alias = "cluster", after_help = "Example:\n  commitstatus get clusters")]
    Clusters(GetClustersArgs),
    /// Statuses: what they should say, and what the Git host was told
    ///
    /// Without a commit, --unposted or --parked the whole table of statuses is read, which takes its time where there are
    /// many.
    #[command(
        alias = "status",
        after_help = "Examples:\n  commitstatus get statuses 5394cb7\n  commitstatus get statuses --unposted\n  \
                      commitstatus get statuses --cluster prod-eu-1 --object apps/podinfo\n  \
                      commitstatus get statuses 5394cb7 --watch"
    )]
    Statuses(StatusesArgs),
    /// Statuses that wait for a person, and why; `get statuses --parked` with columns of its own
    #[command(after_help = "Examples:\n  commitstatus get parked\n  \
                            commitstatus get parked --provider github -n flux-system")]
    Parked(ParkedArgs),
}

/// How what is got is printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct ShowArgs {
    /// Once or as columns.
    #[command(flatten)]
    pub print: PrintArgs,
    /// Go on after that with what changes, until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
}

impl ShowArgs {
    pub(super) fn is_wide(self) -> bool {
        self.print.output == Output::Wide
    }
}

impl GetCommand {
    const fn show(&self) -> ShowArgs {
        match self {
            Self::Commitstatuses(args) | Self::Providers(args) => args.show,
            Self::Clusters(args) => args.show,
            Self::Statuses(args) => args.show,
            Self::Parked(args) => args.show,
        }
    }

    /// Whether it goes on until it is interrupted: [`watch`].
    pub const fn watches(&self) -> bool {
        self.show().watch
    }

    async fn list(&self, store: &Store, now: Timestamp, terminal: &Terminal<'_>) -> anyhow::Result<Listing> {
        match self {
            Self::Commitstatuses(args) => objects::list(Kind::CommitStatus, args, store, now).await,
            Self::Providers(args) => objects::list(Kind::Provider, args, store, now).await,
            Self::Clusters(args) => cluster::list(&args.names, args.show.is_wide(), store).await,
            Self::Statuses(args) => statuses::list(args, store, now, terminal).await,
            Self::Parked(args) => parked::list(args, store, now, terminal).await,
        }
    }
}

/// Prints what is there.
///
/// # Errors
/// If an object was named and is not there.
pub async fn run(
    command: &GetCommand,
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let listing = command.list(store, now, terminal).await?;
    listing.print(command.show().print, terminal)
}

/// Prints what is there, and at each tick what has changed. `tick` waits, and returns the time; `None` ends it.
///
/// # Errors
/// If an object was named and is not there at first.
pub async fn watch(
    command: &GetCommand,
    store: &Store,
    now: Timestamp,
    mut tick: impl AsyncFnMut() -> Option<Timestamp>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    if let GetCommand::Statuses(args) = command
        && args.reads_everything()
    {
        terminal.warn(
            "each look reads the whole table of statuses, and on AWS that is paid for; name a commit, or say --unposted \
             or --parked",
        )?;
    }
    let mut shown = Shown::new(command.show().print);
    let listing = command.list(store, now, terminal).await?;
    shown.begin(listing, terminal)?;
    while let Some(now) = tick().await {
        let listing = command.list(store, now, terminal).await?;
        shown.go_on(listing, terminal)?;
    }
    Ok(())
}
