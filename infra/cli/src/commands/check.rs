//! `check`: is everything well?

mod facts;
mod findings;

use clap::{Args, ValueEnum};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use shared::item::EVENT_LIFETIME_SECONDS;

use self::facts::{Facts, Queues as QueueFacts};
use self::findings::{Area, Finding, Level};
use super::print::{self, Output};
use super::{Terminal, style};
use crate::app::Stack;
use crate::object::{Kind, Object};
use crate::probe::{Probed, Prober};
use crate::queues::{Queue, Queues};
use crate::root_key::{self, RootKeyError};
use crate::secrets::SecretStore;

/// Exit code if all is well, or nearly.
const WELL: u8 = 0;
/// Exit code if there is a problem.
const NOT_WELL: u8 = 1;
/// Hosts that are asked at the same time.
const AT_ONCE: usize = 8;
/// Lines of one area; it has to fit on a screen.
const SHOWN: usize = 6;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Do not ask the Git hosts whether the credentials may post
    #[arg(long)]
    pub no_hosts: bool,
    /// A cluster that sent nothing for so long has stopped: 90m, 6h, 2d
    #[arg(long, value_name = "DURATION", default_value = "3h", value_parser = duration)]
    pub silent_after: SignedDuration,
    /// Show every finding, and not the first of each area only
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
    let bar = terminal.progress(5, "looking");
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
    let statuses = store.scan_statuses(None, None, |_| {}).await?;
    bar.inc(1);
    let since = now
        .checked_sub(SignedDuration::from_secs(EVENT_LIFETIME_SECONDS))
        .unwrap_or(Timestamp::MIN);
    let events = store.events_since(since).await?;
    bar.finish_and_clear();

    let stages = match root_key::stages(secrets, name).await {
        Ok(stages) => Some(stages),
        Err(RootKeyError::Missing(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let mut holds = Vec::new();
    for (scope, provider) in &providers {
        let credential =
            crate::probe::secret_names(scope, &provider.metadata.namespace, &provider.spec).credential;
        if holds.iter().all(|(held, _)| *held != credential)
            && let Some(item) = store.credential(&credential).await?
        {
            holds.push((credential, item));
        }
    }
    let probes = match asks_hosts && !args.no_hosts {
        true => probe(&providers, secrets, name, now, terminal).await?,
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
        probes,
        queues: count(queues).await,
    })
}

async fn probe<S: SecretStore>(
    providers: &[(shared::Scope, shared::Provider)],
    secrets: &S,
    stack: &str,
    now: Timestamp,
    terminal: &Terminal<'_>,
) -> anyhow::Result<Vec<(usize, Probed)>> {
    let prober = &Prober::new(secrets, stack)?;
    let asked: Vec<_> = providers
        .iter()
        .enumerate()
        .filter(|(_, (_, provider))| !provider.spec.suspend)
        .collect();
    let bar = &terminal.progress(u64::try_from(asked.len()).unwrap_or_default(), "asking Git hosts");
    let probes = stream::iter(asked).map(|(index, (scope, provider))| async move {
        let probed = prober.probe(scope, provider, now).await;
        bar.inc(1);
        probed.map(|probed| (index, probed))
    });
    let mut probes: Vec<_> = probes.buffer_unordered(AT_ONCE).try_collect().await?;
    probes.sort_by_key(|(index, _)| *index);
    Ok(probes)
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
        if of_area.is_empty() {
            line(Level::Ok, area, &area.well(facts), terminal)?;
            continue;
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
