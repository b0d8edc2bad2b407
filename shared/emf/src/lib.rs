//! How what a function counts reaches CloudWatch: as lines in the embedded metric format among its log, one JSON document
//! for each set of dimensions
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
//!
//! Handlers count with the macros of the crate `metrics`, which do nothing where nobody listens. `main` makes a
//! [`Metrics`] listen, and flushes it after each invocation and before the answer: then the process may be frozen.

#![deny(missing_docs)]

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use metrics_cloudwatch_embedded::{Builder, Collector};
use shared::ErrorChain;
use shared::metrics::{ALL, NAMESPACE, STACK, Unit};

pub mod recorded;

/// The environment variable with the name of the stack. Without it a function is in no stack, and writes no metrics.
pub const STACK_NAME: &str = "STACK_NAME";

/// What has been counted since the last flush.
pub struct Metrics {
    collector: Option<&'static Collector>,
    has_complained: AtomicBool,
}

impl Metrics {
    /// Listens from now on, in the name of a stack; `None` or an empty name: does not listen. Once in a process.
    pub fn listen(stack: Option<String>) -> Self {
        let collector = stack.filter(|stack| !stack.is_empty()).and_then(|stack| {
            let builder = Builder::new()
                .cloudwatch_namespace(NAMESPACE)
                .with_dimension(STACK, stack);
            match builder.init() {
                Ok(collector) => Some(collector),
                Err(error) => {
                    tracing::error!(error = %ErrorChain(error.as_ref()), "no metrics are written");
                    None
                }
            }
        });
        if collector.is_some() {
            for (name, unit) in ALL {
                let unit = match unit {
                    Unit::Count => metrics::Unit::Count,
                    Unit::Milliseconds => metrics::Unit::Milliseconds,
                };
                // The unit goes with the name; what kind of metric is described makes no difference.
                metrics::describe_counter!(name, unit, "");
            }
        }
        Self {
            collector,
            has_complained: AtomicBool::new(false),
        }
    }

    /// Whether anybody listens.
    pub fn are_on(&self) -> bool {
        self.collector.is_some()
    }

    /// Writes to standard output what was counted since the last time. Never fails: what cannot be written is lost, and the
    /// log says so once.
    pub fn flush(&self) {
        self.flush_to(io::stdout());
    }

    /// [`Metrics::flush`], to another place.
    pub fn flush_to(&self, mut writer: impl Write) {
        let Some(collector) = self.collector else { return };
        let mut lines = Vec::new();
        // All at once, so that no line of the log gets in between.
        let written = collector
            .flush(&mut lines)
            .and_then(|()| writer.write_all(&lines))
            .and_then(|()| writer.flush());
        if let Err(error) = written
            && !self.has_complained.swap(true, Ordering::Relaxed)
        {
            tracing::error!(error = %ErrorChain(&error), "metrics could not be written and are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn flushed(metrics: &Metrics) -> Vec<Value> {
        let mut lines = Vec::new();
        metrics.flush_to(&mut lines);
        let text = String::from_utf8(lines).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines()
            .map(|line| {
                let mut document: Value = serde_json::from_str(line).unwrap();
                assert!(document["_aws"]["Timestamp"].take().is_u64());
                document
            })
            .collect()
    }

    fn document(dimensions: &Value, metrics: &Value, mut values: Value) -> Value {
        values["Stack"] = "commitstatus".into();
        values["_aws"] = json!({
            "Timestamp": null,
            "CloudWatchMetrics":
                [{"Namespace": "CommitStatus", "Dimensions": [dimensions], "Metrics": metrics}],
        });
        values
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    // One test, for a process has one recorder.
    #[test]
    fn each_flush_writes_what_was_counted_since_the_last_one_and_nothing_else() {
        for stack in [None, Some(String::new())] {
            let off = Metrics::listen(stack);
            metrics::counter!("Requests").increment(1);
            assert!(!off.are_on());
            assert!(flushed(&off).is_empty());
        }

        let on = Metrics::listen(Some("commitstatus".into()));
        assert!(on.are_on());
        assert!(
            flushed(&on).is_empty(),
            "what nobody listened to is not made up for"
        );

        metrics::counter!("Requests", "Outcome" => "accepted").increment(1);
        metrics::counter!("Requests", "Outcome" => "accepted").increment(2);
        metrics::counter!("Requests", "Outcome" => "\"\n").increment(1);
        metrics::histogram!("EventToPosted").record(1_250.0);
        metrics::histogram!("EventToPosted").record(17.0);
        metrics::histogram!("Parked").record(0.0);
        metrics::counter!("Collisions").increment(1);
        let requests = json!([{"Name": "Requests", "Unit": "Count"}]);
        let expected = [
            document(
                &json!(["Stack"]),
                &json!([
                    {"Name": "Collisions", "Unit": "Count"},
                    {"Name": "EventToPosted", "Unit": "Milliseconds"},
                    {"Name": "Parked", "Unit": "Count"},
                ]),
                json!({"Collisions": 1, "EventToPosted": [1_250.0, 17.0], "Parked": [0.0]}),
            ),
            document(
                &json!(["Stack", "Outcome"]),
                &requests,
                json!({"Outcome": "\"\n", "Requests": 1}),
            ),
            document(
                &json!(["Stack", "Outcome"]),
                &requests,
                json!({"Outcome": "accepted", "Requests": 3}),
            ),
        ];
        let sorted = |mut documents: Vec<Value>| {
            documents.sort_by_key(Value::to_string);
            documents
        };
        assert_eq!(sorted(flushed(&on)), sorted(expected.into()));
        assert!(flushed(&on).is_empty(), "not counted, set or measured again");

        // What cannot be written is lost, and nothing else comes of it.
        metrics::counter!("Collisions").increment(1);
        on.flush_to(Broken);
        assert!(on.has_complained.load(Ordering::Relaxed));
        assert!(flushed(&on).is_empty());
        metrics::counter!("Collisions").increment(1);
        assert_eq!(flushed(&on).len(), 1);

        let second = Metrics::listen(Some("another".into()));
        assert!(!second.are_on(), "a process has one recorder");
    }
}
