//! Figures as they are printed.

use std::time::Duration;

use hdrhistogram::Histogram;

/// What is told of latencies, in this order.
pub(crate) const PERCENTILES: &str = "p50 | p90 | p99 | p99.9 | max";

/// The same for the line below.
pub(crate) const RULES: &str = "---|---|---|---|---";

/// Milliseconds of a percentile.
pub(crate) fn millis(latencies: &Histogram<u64>, percentile: f64) -> f64 {
    of_micros(latencies.value_at_percentile(percentile))
}

/// In milliseconds.
pub(crate) fn of_micros(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1000.0
}

/// Milliseconds, in cells.
pub(crate) fn percentiles(latencies: &Histogram<u64>) -> String {
    let mut cells: Vec<String> = [50.0, 90.0, 99.0, 99.9]
        .map(|percentile| short(millis(latencies, percentile)))
        .into();
    cells.push(short(of_micros(latencies.max())));
    cells.join(" | ")
}

/// With as many digits as say something.
pub(crate) fn short(value: f64) -> String {
    match value {
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}
