//! Counts the service's log lines by outcome, and tells when `rules` found a change. They are not written: a terminal would
//! be measured.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::ledger::{Key, Ledger};

/// Warnings and errors that are kept to be shown.
const SHOWN: usize = 5;

/// What the log said.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcomes {
    /// Lines by outcome.
    pub(crate) counts: BTreeMap<String, u64>,
    /// The first warnings and errors.
    pub(crate) troubles: Vec<String>,
    /// How many there were.
    pub(crate) trouble_count: u64,
}

static OUTCOMES: Mutex<Option<Outcomes>> = Mutex::new(None);

/// Whom a change is told.
static LEDGER: Mutex<Option<Arc<Ledger>>> = Mutex::new(None);

/// Tells this one of changes from now on.
pub(crate) fn tell(ledger: &Arc<Ledger>) {
    *LEDGER.lock().unwrap() = Some(Arc::clone(ledger));
}

/// Begins to count, once in a process.
pub(crate) fn count() {
    tracing::subscriber::set_global_default(Counter).unwrap();
}

/// What was counted since the last time.
pub(crate) fn take() -> Outcomes {
    OUTCOMES.lock().unwrap().take().unwrap_or_default()
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts.iter();
        let counts: Vec<String> = counts
            .map(|(outcome, count)| format!("{outcome} {count}"))
            .collect();
        write!(f, "{}", counts.join(", "))?;
        if self.trouble_count > 0 {
            write!(f, "\n{} warnings and errors, the first:", self.trouble_count)?;
        }
        for trouble in &self.troubles {
            write!(f, "\n  {trouble}")?;
        }
        Ok(())
    }
}

struct Counter;

impl Subscriber for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let functions = ["intake", "rules", "poster", "sweeper", "local"];
        let (name, _) = metadata
            .target()
            .split_once("::")
            .unwrap_or((metadata.target(), ""));
        metadata.is_event() && *metadata.level() <= Level::INFO && functions.contains(&name)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut outcomes = OUTCOMES.lock().unwrap();
        let outcomes = outcomes.get_or_insert_default();
        if line.outcome.as_deref() == Some("changed")
            && let Some(ledger) = &*LEDGER.lock().unwrap()
        {
            ledger.decided(&line.status, Instant::now());
        }
        if let Some(outcome) = line.outcome {
            *outcomes.counts.entry(outcome).or_default() += 1;
        }
        if *event.metadata().level() <= Level::WARN {
            outcomes.trouble_count += 1;
            if outcomes.troubles.len() < SHOWN {
                outcomes.troubles.push(format!("{} {}", line.message, line.error));
            }
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    outcome: Option<String>,
    message: String,
    error: String,
    status: Key,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "outcome" => self.outcome = Some(format!("{value:?}")),
            "message" => self.message = format!("{value:?}"),
            "commit.sha" => self.status.sha = format!("{value:?}"),
            "status.context" => self.status.context = format!("{value:?}"),
            "status.state" => self.status.state = format!("{value:?}"),
            "error" => self.error = format!("{value:?}"),
            _ => {}
        }
    }
}
