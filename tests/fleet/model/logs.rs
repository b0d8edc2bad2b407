//! What the functions write for CloudWatch: their log, and their metrics in it. It is counted and not kept.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// As long as all of Lambda are.
const REQUEST_ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";

static LINES: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static METRICS: OnceLock<emf::Metrics> = OnceLock::new();

/// Lines and bytes written in this process since [`listen`]; a process makes one run at a time, or does not ask.
pub(crate) fn written() -> (u64, u64) {
    (LINES.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed))
}

/// Counts from now on what functions write that are deployed as the template has it.
pub(crate) fn listen() {
    let variable = |name: &str| match name {
        "AWS_LAMBDA_LOG_FORMAT" => Some("JSON".to_owned()),
        "AWS_LAMBDA_LOG_LEVEL" => Some("INFO".to_owned()),
        _ => None,
    };
    METRICS.get_or_init(|| {
        tracing::subscriber::set_global_default(logs::subscriber(variable, || Scales)).unwrap();
        emf::Metrics::listen(Some("commitstatus".into()))
    });
}

/// An invocation, in a span of its own and with its metrics written when it ends. Many of them take turns in one thread.
pub(crate) async fn invocation<T>(future: impl Future<Output = T>) -> T {
    let Some(metrics) = METRICS.get() else {
        return future.await;
    };
    let span = logs::invocation(REQUEST_ID, None);
    let counted = Counted::default();
    let mut future = pin!(future);
    let done = poll_fn(|context| {
        span.in_scope(|| metrics::with_local_recorder(&counted, || future.as_mut().poll(context)))
    })
    .await;
    counted.hand_over();
    metrics.flush_to(Scales);
    done
}

/// Counts what is written to it.
struct Scales;

impl Write for Scales {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        LINES.fetch_add(lines as u64, Ordering::Relaxed);
        BYTES.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Counter,
    Histogram,
}

type Values = Arc<std::sync::Mutex<Vec<f64>>>;

/// What one invocation counted: a process has one recorder, and here four functions and many invocations are one process.
#[derive(Default)]
struct Counted(RefCell<BTreeMap<(Sort, Key), Values>>);

impl Counted {
    fn values(&self, sort: Sort, key: &Key) -> Arc<Kept> {
        let mut all = self.0.borrow_mut();
        Arc::new(Kept(Arc::clone(all.entry((sort, key.clone())).or_default())))
    }

    /// To the recorder of the process.
    fn hand_over(self) {
        const METADATA: Metadata<'static> = Metadata::new("fleet", metrics::Level::INFO, None);
        for ((sort, key), values) in self.0.into_inner() {
            for value in values.lock().unwrap().iter() {
                metrics::with_recorder(|recorder| match sort {
                    Sort::Counter => recorder
                        .register_counter(&key, &METADATA)
                        .increment(*value as u64),
                    Sort::Histogram => recorder.register_histogram(&key, &METADATA).record(*value),
                });
            }
        }
    }
}

struct Kept(Values);

impl CounterFn for Kept {
    fn increment(&self, value: u64) {
        self.0.lock().unwrap().push(value as f64);
    }

    /// Nobody sets a counter here.
    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Kept {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

impl Recorder for Counted {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.values(Sort::Counter, key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.values(Sort::Histogram, key))
    }
}
