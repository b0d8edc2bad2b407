//! The metrics and their document.

use std::collections::BTreeSet;

use shared::metrics::{ALL, CLASS, FUNCTION, HOST, NAMESPACE, OUTCOME, STACK};

const DOCUMENT: &str = include_str!("../../docs/metrics.md");
const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// What stands in the first column of a table, in code style.
fn rows() -> BTreeSet<&'static str> {
    DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect()
}

#[test]
fn every_metric_has_its_row_and_no_row_is_of_another() {
    assert_eq!(rows(), ALL.map(|(name, _)| name).into());
    for name in [NAMESPACE, STACK, OUTCOME, FUNCTION, HOST, CLASS] {
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_alarms_on_metrics_of_ours_name_metrics_there_are() {
    let (_, alarms) = OPERATIONS.split_once("## What to keep an eye on").unwrap();
    for name in [
        "Parked",
        "CredentialsRefused",
        "RateLimits",
        "Sweeps",
        "Collisions",
        "Requests",
        "Failures",
    ] {
        assert!(ALL.iter().any(|(known, _)| *known == name), "{name}");
        assert!(alarms.contains(&format!("`{name}`")), "{name}");
    }
}
