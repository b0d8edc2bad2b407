//! What a function logs: lines on standard output, which Lambda hands on to CloudWatch.
//!
//! The runtime's own subscriber writes the span of the invocation twice in every line, and no time: Lambda then takes each
//! line for `INFO`, whatever level it has
//! (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>).

#![deny(missing_docs)]

use std::task::{Context, Poll};

use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Error, LambdaInvocation};
use tracing::instrument::{Instrument as _, Instrumented};
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// `JSON` or `Text`: Lambda sets it to what the function's configuration says.
const LOG_FORMAT: &str = "AWS_LAMBDA_LOG_FORMAT";

/// The least level of a line. Lambda sets it, where the format is JSON, to what the function's configuration says.
const LOG_LEVEL: &str = "AWS_LAMBDA_LOG_LEVEL";

/// Other levels for parts of the program: `aws_smithy_runtime=debug,hyper_util=warn`.
const RUST_LOG: &str = "RUST_LOG";

/// The most that anybody else says: at `TRACE` the runtime logs an event as it came, with the key or the signature in its
/// header.
const MOST_OF_OTHERS: LevelFilter = LevelFilter::DEBUG;

/// Whose lines are written from the least level on. Of everybody else those from `INFO` on: for two events the SDK writes a
/// megabyte at `DEBUG`.
const OURS: [&str; 4] = ["intake", "rules", "poster", "sweeper"];

/// Logs from now on, as `variable` says; once in a process.
pub fn listen(variable: impl Fn(&str) -> Option<String>) {
    // Somebody logs already: so be it.
    let _ = subscriber(variable, std::io::stdout).try_init();
}

/// What writes the lines to `writer`, each of them in one piece.
pub fn subscriber<W>(
    variable: impl Fn(&str) -> Option<String>,
    writer: W,
) -> impl Subscriber + Send + Sync + 'static
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_writer(writer);
    let is_json = variable(LOG_FORMAT).is_some_and(|format| format.eq_ignore_ascii_case("json"));
    let layer = match is_json {
        true => layer
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
        // CloudWatch has the time of each line.
        false => layer.with_ansi(false).without_time().boxed(),
    };
    tracing_subscriber::registry().with(levels(variable)).with(layer)
}

/// What is said that is none counts for nothing: a function is not to stop for it.
fn levels(variable: impl Fn(&str) -> Option<String>) -> Targets {
    let least = match variable(LOG_LEVEL) {
        // Lambda's word for what nobody survives.
        Some(level) if level.eq_ignore_ascii_case("fatal") => LevelFilter::ERROR,
        Some(level) => level.parse().unwrap_or(LevelFilter::INFO),
        None => LevelFilter::INFO,
    };
    let asked: Targets = variable(RUST_LOG)
        // As a directive nothing is one for errors.
        .filter(|directives| !directives.trim().is_empty())
        .and_then(|directives| directives.parse().ok())
        .unwrap_or_default();
    let others = asked.default_level().unwrap_or(least.min(LevelFilter::INFO));
    let asked = asked
        .iter()
        .map(|(target, level)| (target.to_owned(), level.min(MOST_OF_OTHERS)));
    Targets::new()
        .with_default(others.min(MOST_OF_OTHERS))
        .with_targets(OURS.map(|target| (target, least)))
        .with_targets(asked)
}

/// The span of an invocation, whose id is in all lines logged in it. `trace` is the header in which Lambda says what X-Ray
/// makes of it
/// (<https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>): the id of a trace is in
/// the lines if there is one to look up.
pub fn invocation(request_id: &str, trace: Option<&str>) -> Span {
    match trace.and_then(recorded_trace) {
        Some(id) => tracing::info_span!("invocation", requestId = request_id, xrayTraceId = id),
        None => tracing::info_span!("invocation", requestId = request_id),
    }
}

/// `1-5759e988-bd862e3fe1be46a994272793` of `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`.
fn recorded_trace(header: &str) -> Option<&str> {
    let part = |name| header.split(';').find_map(|part| part.trim().strip_prefix(name));
    part("Root=").filter(|_| part("Sampled=") == Some("1"))
}

/// A layer of the runtime: every invocation is in a span of its own, [`invocation`].
#[derive(Debug, Clone, Copy)]
pub struct Invocations;

impl<S> Layer<S> for Invocations {
    type Service = InSpan<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InSpan(inner)
    }
}

/// What [`Invocations`] makes of a service.
#[derive(Debug, Clone)]
pub struct InSpan<S>(S);

impl<S> Service<LambdaInvocation> for InSpan<S>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
{
    type Response = ();
    type Error = Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let context = &invocation.context;
        let span = self::invocation(&context.request_id, context.xray_trace_id.as_deref());
        let future = span.in_scope(|| self.0.call(invocation));
        future.instrument(span)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written while `log` logs in a function that finds these variables.
    fn written(variables: &[(&str, &str)], log: impl FnOnce()) -> String {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        };
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(variable, move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        let written = lines.0.lock().unwrap().clone();
        String::from_utf8(written).unwrap()
    }

    fn log_all() {
        tracing::error!(target: "poster::post", "e");
        tracing::warn!(target: "poster::post", "w");
        tracing::info!(target: "poster::post", "i");
        tracing::debug!(target: "poster::post", "d");
        tracing::trace!(target: "poster::post", "t");
        tracing::error!(target: "aws_smithy_runtime::client", "E");
        tracing::warn!(target: "aws_smithy_runtime::client", "W");
        tracing::info!(target: "aws_smithy_runtime::client", "I");
        tracing::debug!(target: "aws_smithy_runtime::client", "D");
        tracing::trace!(target: "aws_smithy_runtime::client", "T");
    }

    /// The messages of the lines.
    fn messages(variables: &[(&str, &str)]) -> String {
        let written = written(variables, log_all);
        written.lines().filter_map(|line| line.chars().last()).collect()
    }

    #[test]
    fn a_json_line_has_level_time_and_request_and_what_was_said_at_its_top() {
        let written = written(&[(LOG_FORMAT, "JSON")], || {
            invocation("an-id", None).in_scope(|| tracing::warn!(event.cluster = "dev", "said \"so\"\n"));
            tracing::info!("outside");
        });
        let lines: Vec<Value> = written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let [inside, outside] = &lines[..] else {
            panic!("{written}")
        };
        assert_eq!(inside["level"], "WARN");
        assert_eq!(inside["message"], "said \"so\"\n");
        assert_eq!(inside["event.cluster"], "dev");
        assert_eq!(
            inside["span"],
            serde_json::json!({"name": "invocation", "requestId": "an-id"})
        );
        let keys: Vec<&String> = inside.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["event.cluster", "level", "message", "span", "timestamp"]);
        // RFC 3339, or Lambda takes the line for INFO.
        let time = inside["timestamp"].as_str().unwrap();
        let form: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(form, "0000-00-00T00:00:00.000000Z");
        assert_eq!(outside["level"], "INFO");
        assert!(outside.get("span").is_none());
    }

    #[test]
    fn the_trace_is_named_that_x_ray_records() {
        let root = "1-5759e988-bd862e3fe1be46a994272793";
        for (header, expected) in [
            (
                format!("Root={root};Parent=53995c3f42cd8ad8;Sampled=1"),
                Some(root),
            ),
            (
                format!("Self=1-5759e988-1;Root={root};Lineage=a:0; Sampled=1"),
                Some(root),
            ),
            (format!("Root={root};Parent=53995c3f42cd8ad8;Sampled=0"), None),
            (format!("Root={root}"), None),
            ("Sampled=1".to_owned(), None),
            (String::new(), None),
        ] {
            let written = written(&[(LOG_FORMAT, "JSON")], || {
                invocation("an-id", Some(&header)).in_scope(|| tracing::info!("said"));
            });
            let line: Value = serde_json::from_str(&written).unwrap();
            assert_eq!(line["span"]["xrayTraceId"].as_str(), expected, "{header}");
            assert_eq!(line["span"]["requestId"], "an-id");
        }
    }

    #[test]
    fn a_line_of_text_has_neither_colours_nor_time() {
        for variables in [&[][..], &[(LOG_FORMAT, "Text")], &[(LOG_FORMAT, "")]] {
            let written = written(variables, || {
                invocation("an-id", None).in_scope(|| tracing::warn!(outcome = "held", "said"));
            });
            assert_eq!(
                written,
                " WARN invocation{requestId=\"an-id\"}: said outcome=\"held\"\n"
            );
        }
    }

    #[test]
    fn the_least_level_is_that_of_the_function_and_others_say_no_more_than_info() {
        for (level, expected) in [
            ("FATAL", "eE"),
            ("ERROR", "eE"),
            ("warn", "ewEW"),
            ("INFO", "ewiEWI"),
            ("DEBUG", "ewidEWI"),
            ("TRACE", "ewidtEWI"),
            ("none at all", "ewiEWI"),
        ] {
            assert_eq!(messages(&[(LOG_LEVEL, level)]), expected, "{level}");
        }
        assert_eq!(messages(&[]), "ewiEWI");
    }

    #[test]
    fn rust_log_says_otherwise_for_parts_of_the_program() {
        for (directives, expected) in [
            ("aws_smithy_runtime=debug", "ewiEWID"),
            ("debug", "ewiEWID"),
            ("poster::post=error,aws_smithy_runtime=off", "e"),
            ("poster=nonsense", "ewiEWI"),
            ("", "ewiEWI"),
        ] {
            assert_eq!(messages(&[(RUST_LOG, directives)]), expected, "{directives}");
        }
        // What came with an event is not logged, whoever asks for it.
        for directives in ["trace", "aws_smithy_runtime=trace"] {
            let both = [(LOG_LEVEL, "DEBUG"), (RUST_LOG, directives)];
            assert_eq!(messages(&both), "ewidEWID", "{directives}");
        }
    }
}
