//! An explanation for people.

use std::io;

use jiff::Timestamp;
use shared::State;
use shared::event::Severity;

use super::Explained;
use crate::commands::print::{masked, moment};
use crate::commands::statuses::stands;
use crate::commands::{Terminal, style};
use crate::explain::{Condition, Explanation, Match, Outcome};

/// Width of the names of fields.
const NAMES: usize = 14;

pub(super) fn print(
    explained: &Explained,
    all: bool,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> io::Result<()> {
    let message = &explained.message;
    let (event, object) = (&message.event, &message.event.involved_object);
    let severity = match event.severity {
        Severity::Trace => "trace",
        Severity::Info => "info",
        Severity::Error => "error",
    };
    let title = format!(
        "{}/{}/{} of {}: {} ({severity}) at {}",
        object.kind, object.namespace, object.name, message.cluster, event.reason, event.timestamp
    );
    line(&terminal.paint(style::STRONG, masked(&title)), terminal)?;
    if explained.is_cut {
        line(
            "  only the beginning of its message and metadata is kept: inclusion and exclusion lists may have seen more",
            terminal,
        )?;
    }
    if let Some(dropped) = &explained.dropped {
        let dropped = terminal.paint(style::BAD, masked(dropped));
        return line(&format!("  {dropped}"), terminal);
    }
    if explained.explanations.is_empty() {
        let nothing = terminal.paint(style::BAD, "no-rule: there is none for this cluster");
        return line(
            &format!("  {nothing}; `commitstatus apply -f FILE` applies one"),
            terminal,
        );
    }
    let (others, ours): (Vec<_>, Vec<_>) = explained
        .explanations
        .iter()
        .partition(|one| !all && one.is_about_others());
    for explanation in &ours {
        rule(explanation, explained, now, terminal)?;
    }
    match others.len() {
        0 => {}
        count if ours.is_empty() => {
            let nothing = terminal.paint(style::BAD, "no-rule");
            line(
                &format!(
                    "  {nothing}: {} about other objects; --all shows what keeps each from this one",
                    rules(count)
                ),
                terminal,
            )?;
        }
        count => line(
            &format!("  {} about other objects; --all shows each", rules(count)),
            terminal,
        )?,
    }
    Ok(())
}

fn rules(count: usize) -> String {
    match count {
        1 => "1 rule is".to_owned(),
        several => format!("{several} rules are"),
    }
}

fn line(text: &str, terminal: &mut Terminal<'_>) -> io::Result<()> {
    writeln!(terminal.out, "{text}")
}

fn rule(
    explanation: &Explanation,
    explained: &Explained,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> io::Result<()> {
    let head = |word: String, terminal: &mut Terminal<'_>| {
        line(&format!("  {}  {word}", explanation.rule), terminal)
    };
    match &explanation.outcome {
        Outcome::Hidden { by } => {
            let word = terminal.paint(style::DOUBTFUL, "hidden");
            head(format!("{word} by {by}, which is asked instead"), terminal)
        }
        Outcome::Invalid { error } => {
            let word = terminal.paint(style::BAD, "skipped(invalid-rule)");
            head(format!("{word} {}; apply it again", masked(error)), terminal)
        }
        Outcome::Skipped(condition) => {
            let word = format!("skipped({})", condition.reason);
            head(terminal.paint(style::DOUBTFUL, word), terminal)?;
            skipped(condition, terminal)
        }
        Outcome::Matched(found) => {
            head(terminal.paint(style::GOOD, "matched"), terminal)?;
            matched(found, explained, now, terminal)
        }
    }
}

fn field(name: &str, value: &str, terminal: &mut Terminal<'_>) -> io::Result<()> {
    line(&format!("    {name:NAMES$}{}", masked(value)), terminal)
}

/// Both sides, one below the other, so that they can be compared.
fn skipped(condition: &Condition, terminal: &mut Terminal<'_>) -> io::Result<()> {
    let width = condition.field.len().max(condition.event_field.len()) + 2;
    let mut side = |whose: &str, name: &str, value: &str| {
        if name.is_empty() {
            return Ok(());
        }
        line(&format!("    {whose:7}{name:width$}{}", masked(value)), terminal)
    };
    side("rule", condition.field, &condition.rule)?;
    side("event", condition.event_field, &condition.event)?;
    line(
        &format!("    to have it posted: {}", masked(&condition.next)),
        terminal,
    )
}

fn matched(
    found: &Match,
    explained: &Explained,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> io::Result<()> {
    if let Some(repository) = &found.repository {
        field("repository", repository, terminal)?;
    }
    field("commit", found.commit.as_str(), terminal)?;
    let state = terminal.paint(state_style(found.state), found.state);
    line(&format!("    {:NAMES$}{state}", "state"), terminal)?;
    field("context", &found.context, terminal)?;
    field("description", &found.description, terminal)?;
    if let Some(url) = &found.target_url {
        field("link", url, terminal)?;
    }
    for left_out in &found.left_out {
        field("left out", left_out, terminal)?;
    }
    if found.only_clears {
        field(
            "posted",
            "only if it clears a failure: spec.eventSeverity is error",
            terminal,
        )?;
    }
    if let Some(parked) = &found.parked {
        let parked = terminal.paint(style::BAD, masked(&format!("parked({parked})")));
        line(&format!("    {:NAMES$}{parked}", "instead"), terminal)?;
    }
    if let Some(request) = &found.request {
        field(
            "request",
            &format!("{} {}", request.method, request.url),
            terminal,
        )?;
        if !request.body.is_null() {
            field("", &request.body.to_string(), terminal)?;
        }
    }
    match explained.statuses.get(&found.item.key) {
        None => Ok(()),
        Some(status) => {
            let stands = format!("{} {}", status.desired.state, stands(status));
            field("stands", &stands, terminal)?;
            if let Some(due_at) = status.due_at.filter(|_| status.is_due()) {
                field("next attempt", &moment(due_at, now), terminal)?;
            }
            if let Some(error) = &status.last_error {
                field("last error", error, terminal)?;
            }
            if status.desired.state != found.state {
                let text = "a newer event, or one that weighs more, says otherwise; progress never replaces a result";
                field("", text, terminal)?;
            }
            Ok(())
        }
    }
}

const fn state_style(state: State) -> anstyle::Style {
    match state {
        State::Success => style::GOOD,
        State::Failure => style::BAD,
        State::Pending | State::Superseded => style::DOUBTFUL,
    }
}
