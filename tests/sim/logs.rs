//! What the functions say: every line with its fields, kept for the history that this thread lives through.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// One line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    /// Millisecond.
    pub(crate) at: i64,
    fields: BTreeMap<&'static str, String>,
}

impl Line {
    /// A field; empty if it is not there.
    pub(crate) fn of(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    /// A field that is a number; 0 if it is not there.
    pub(crate) fn number(&self, field: &str) -> u64 {
        self.of(field).parse().unwrap_or(0)
    }

    /// Every value.
    pub(crate) fn values(&self) -> impl Iterator<Item = &String> {
        self.fields.values()
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").unwrap();
        self.fields.insert(field.name(), text);
    }
}

type Now = Box<dyn Fn() -> i64>;

thread_local! {
    static LINES: RefCell<Option<(Now, Vec<Line>)>> = const { RefCell::new(None) };
}

/// Keeps what is said on this thread from now on. `now` tells the millisecond.
pub(crate) fn listen(now: impl Fn() -> i64 + 'static) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Listener).unwrap());
    LINES.with_borrow_mut(|lines| *lines = Some((Box::new(now), Vec::new())));
}

/// What was said since [`listen`].
pub(crate) fn heard() -> Vec<Line> {
    LINES.with_borrow_mut(|lines| lines.take().map(|(_, lines)| lines).unwrap_or_default())
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // As the functions are deployed.
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        LINES.with_borrow_mut(|lines| {
            let Some((now, lines)) = lines else {
                return;
            };
            let mut line = Line {
                at: now(),
                ..Line::default()
            };
            event.record(&mut line);
            lines.push(line);
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
