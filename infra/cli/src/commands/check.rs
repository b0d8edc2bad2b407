//! `check`: is everything well?

mod ask;
mod facts;
mod findings;

use std::collections::BTreeSet;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use shared::item::{CredentialItem, EVENT_LIFETIME_SECONDS};
use shared::{Provider, Scope};

use self::ask::{Asked, Plan};
use self::facts::{Facts, Queues as QueueFacts, Unread};
use self::findings::{Area, Finding, Level};
use super::print::{self, Output};
use super::{Terminal, style};
use crate::app::Stack;
use crate::object::{Kind, Object};
use crate::probe::{Prober, secret_names};
use crate::queues::{Queue, Queues};
use crate::root_key::{self, RootKeyError};
use crate::secrets::SecretStore;

/// Exit code if all is well, or nearly.
const WELL: u8 = 0;
/// Exit code if there is a problem.
const NOT_WELL: u8 = 1;
/// Lines of one area; it has to fit on a screen.
const SHOWN: usize = 6;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Do not ask the Git hosts whether the credentials may post
    #[arg(long)]
    pub no_hosts: bool,
    /// A cluster that sent nothing for so long has stopped: 90m, 6h, 2d; one whose events no rule takes is given 7 hours
    #[arg(long, value_name = "DURATION", default_value = "3h", value_parser = duration)]
    pub silent_after: SignedDuration,
    /// Show every finding, not the first of each area only, and ask about more than 50 repositories with a credential
    #[arg(long)]
    pub all: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: CheckOutput,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CheckOutput {
    /// For people, on one screen.
    #[default]
    Text,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = || {
        format!(
            "`{}` is no duration; expected a number and m, h or d, as 90m, 6h or 2d",
            text.escape_debug()
        )
    };
    let unit = text.chars().last().ok_or_else(wrong)?;
    let minutes = match unit {
        'm' => 1,
        'h' => 60,
        'd' => 24 * 60,
        _ => return Err(wrong()),
    };
    let number: i64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    let minutes = number
        .checked_mul(minutes)
        .filter(|minutes| (1..=525_600).contains(minutes));
    minutes.map(SignedDuration::from_mins).ok_or_else(wrong)
}

/// Looks at everything and says what is not as it should be. Returns the exit code.
///
/// # Errors
/// If the store does not answer.
pub async fn run<S: SecretStore>(
    args: &CheckArgs,
    stack: &Stack<'_, S>,
    name: &str,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<u8> {
    let facts = gather(args, stack, name, now, terminal).await?;
    let findings = findings::of(&facts);
    let is_well = findings.iter().all(|finding| finding.level != Level::Problem);
    match args.output {
        CheckOutput::Text => text(&findings, &facts, args.all, terminal)?,
        CheckOutput::Yaml => print::value(
            terminal.out,
            Output::Yaml,
            &json!({ "well": is_well, "findings": findings }),
        )?,
        CheckOutput::Json => print::value(
            terminal.out,
            Output::Json,
            &json!({ "well": is_well, "findings": findings }),
        )?,
    }
    Ok(if is_well { WELL } else { NOT_WELL })
}

async fn gather<S: SecretStore>(
    args: &CheckArgs,
    stack: &Stack<'_, S>,
    name: &str,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Facts> {
    let Stack {
        store,
        queues,
        secrets,
        asks_hosts,
        function_url: _,
    } = *stack;
    let bar = terminal.progress(3, "looking");
    let clusters = store.clusters().await?;
    bar.inc(1);
    let (mut rules, mut providers) = (Vec::new(), Vec::new());
    for kind in [Kind::CommitStatus, Kind::Provider] {
        for applied in store.applied(kind, None).await? {
            match applied.object {
                Object::CommitStatus(rule) => rules.push((applied.scope, rule, applied.applied_at)),
                Object::Provider(provider) => providers.push((applied.scope, provider)),
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let since = now
        .checked_sub(SignedDuration::from_secs(EVENT_LIFETIME_SECONDS))
        .unwrap_or(Timestamp::MIN);
    let (statuses, events) = store.statuses_and_events(None, since, pages(terminal)).await?;

    // Who operates a stack need not be allowed to look at its secrets; the rest is told all the same.
    let stages = match root_key::stages(secrets, name).await {
        Ok(stages) => Ok(Some(stages)),
        Err(RootKeyError::Missing(_)) => Ok(None),
        Err(error) => Err(Unread::of(&error)),
    };
    let credentials: BTreeSet<String> = providers
        .iter()
        .map(|(scope, provider)| secret_names(scope, &provider.metadata.namespace, &provider.spec).credential)
        .collect();
    let holds = store
        .credentials(&credentials.iter().map(String::as_str).collect())
        .await?;
    let asked = match asks_hosts && !args.no_hosts {
        true => {
            let is_held = |credential: &str| holds.get(credential).is_some_and(|item| is_held(item, now));
            let plan = Plan::of(&providers, is_held, args.all);
            ask(plan, &providers, secrets, name, now, terminal).await?
        }
        false => Vec::new(),
    };
    Ok(Facts {
        now,
        silent_after: args.silent_after,
        clusters,
        rules,
        providers,
        statuses,
        events,
        stages,
        holds,
        asked,
        queues: count(queues).await,
    })
}

/// A bar over the items of a table. A small one is one page, and read before anybody has seen a bar.
pub(super) fn pages(terminal: &Terminal<'_>) -> impl FnMut(u64) {
    let (mut read, mut bar) = (0, None);
    move |items| {
        if read > 0 {
            let bar = bar.get_or_insert_with(|| terminal.progress(read, "reading statuses"));
            bar.set_length(read + items);
            bar.set_position(read + items);
        }
        read += items;
    }
}

/// Whether nothing is posted with it now.
fn is_held(credential: &CredentialItem, now: Timestamp) -> bool {
    credential
        .hold_until
        .is_some_and(|until| until > now.as_millisecond())
}

async fn ask<S: SecretStore>(
    plan: Plan,
    providers: &[(Scope, Provider)],
    secrets: &S,
    stack: &str,
    now: Timestamp,
    terminal: &Terminal<'_>,
) -> anyhow::Result<Vec<Asked>> {
    let prober = &Prober::new(secrets, stack)?;
    let bar = terminal.progress(u64::try_from(plan.len()).unwrap_or_default(), "asking Git hosts");
    let probe = |index: usize| async move {
        let (scope, provider) = providers.get(index).context("a question without a Provider")?;
        prober.probe(scope, provider, now).await
    };
    Ok(plan.ask(probe, || bar.inc(1)).await)
}

/// Whatever keeps a queue from being counted is a finding, and the rest is told all the same.
async fn count(queues: Option<&Queues>) -> Result<Vec<QueueFacts>, String> {
    let queues =
        queues.ok_or("the local service is of a release whose queues cannot be reached; start this one")?;
    let mut counts = Vec::new();
    for queue in Queue::ALL {
        let counted = async {
            Ok::<_, crate::queues::QueueError>(QueueFacts {
                queue,
                live: queues.live(queue).await?.count().await?,
                dead: queues.dead_letters(queue).await?.count().await?,
            })
        };
        counts.push(
            counted
                .await
                .map_err(|error| shared::ErrorChain(&error).to_string())?,
        );
    }
    Ok(counts)
}

fn text(findings: &[Finding], facts: &Facts, all: bool, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    let mut counts = (0_usize, 0_usize);
    for area in Area::ALL {
        let of_area: Vec<&Finding> = findings.iter().filter(|finding| finding.area == area).collect();
        if of_area.iter().all(|finding| finding.level == Level::Ok) {
            line(Level::Ok, area, &area.well(facts), terminal)?;
        }
        for (index, finding) in of_area.iter().enumerate() {
            match finding.level {
                Level::Problem => counts.0 += 1,
                Level::Warning => counts.1 += 1,
                Level::Ok => {}
            }
            if all || index < SHOWN {
                line(finding.level, area, &finding.text(), terminal)?;
            }
        }
        if !all && of_area.len() > SHOWN {
            let more = of_area.len() - SHOWN;
            writeln!(
                terminal.out,
                "{:8}  {:9}  and {more} more; --all shows them",
                "", ""
            )?;
        }
    }
    let plural = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        several => format!("{several} {word}s"),
    };
    match counts {
        (0, 0) => terminal.hint("everything is well"),
        (problems, warnings) => terminal.hint(format!(
            "{}, {}",
            plural(problems, "problem"),
            plural(warnings, "warning")
        )),
    }
}

fn line(level: Level, area: Area, text: &str, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    let (word, style) = match level {
        Level::Ok => ("ok", style::GOOD),
        Level::Warning => ("warning", style::DOUBTFUL),
        Level::Problem => ("problem", style::BAD),
    };
    let painted = terminal.paint(style, word);
    let padding = " ".repeat(8 - word.len());
    writeln!(
        terminal.out,
        "{painted}{padding}  {:9}  {}",
        area.as_str(),
        print::masked(text)
    )
}

#[cfg(test)]
mod tests;
