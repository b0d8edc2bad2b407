//! For tests: what was counted, without CloudWatch's format.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, LocalRecorderGuard, Metadata, Recorder,
    SharedString,
};

/// What was recorded, in order, by `Name{Label=value,…}`.
#[derive(Debug, Clone, Default)]
pub struct Recorded(Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

impl Recorded {
    /// Listens on this thread until the guard is dropped.
    pub fn listen(&self) -> LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(self)
    }

    /// The sum of each metric, as `Name{Label=value,…} sum`, in the order of the alphabet.
    pub fn sums(&self) -> Vec<String> {
        let line = |(name, values): (&String, &Vec<f64>)| format!("{name} {}", values.iter().sum::<f64>());
        self.values().iter().map(line).collect()
    }

    /// The single values of one metric, as [`Recorded::sums`] names it.
    pub fn of(&self, name: &str) -> Vec<f64> {
        self.values().get(name).cloned().unwrap_or_default()
    }

    fn values(&self) -> MutexGuard<'_, BTreeMap<String, Vec<f64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metric(&self, key: &Key) -> Arc<Metric> {
        let labels: Vec<String> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        let name = match labels.is_empty() {
            true => key.name().to_owned(),
            false => format!("{}{{{}}}", key.name(), labels.join(",")),
        };
        Arc::new(Metric {
            name,
            recorded: self.clone(),
        })
    }
}

#[derive(Debug)]
struct Metric {
    name: String,
    recorded: Recorded,
}

impl Metric {
    fn push(&self, value: f64) {
        let mut values = self.recorded.values();
        values.entry(self.name.clone()).or_default().push(value);
    }
}

impl CounterFn for Metric {
    fn increment(&self, value: u64) {
        self.push(value as f64);
    }

    /// Nobody sets a counter here.
    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Metric {
    fn record(&self, value: f64) {
        self.push(value);
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<metrics::Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<metrics::Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<metrics::Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.metric(key))
    }

    /// No gauges: the collector says them again at every flush, set or not.
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.metric(key))
    }
}
