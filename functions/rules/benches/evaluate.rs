//! How long rules works on one event for the rules it may concern, without tables:
//! `cargo bench --workspace --profile e2e --bench evaluate`. docs/performance.md says what came of it.

#[path = "cases.rs"]
mod cases;

use std::sync::Arc;

use cases::{Has, RULES, Rules};
use divan::Bencher;

fn main() {
    divan::main();
}

#[divan::bench(args = RULES)]
fn evaluate(bencher: Bencher<'_, '_>, count: usize) {
    run(bencher, &Rules::new(count, Has::Nothing));
}

#[divan::bench(args = RULES)]
fn evaluate_patterns(bencher: Bencher<'_, '_>, count: usize) {
    run(bencher, &Rules::new(count, Has::Patterns));
}

#[divan::bench(args = RULES)]
fn evaluate_cel(bencher: Bencher<'_, '_>, count: usize) {
    run(bencher, &Rules::new(count, Has::Cel));
}

fn run(bencher: Bencher<'_, '_>, rules: &Rules) {
    let candidates = rules.compile();
    bencher.bench_local(|| rules.apply(&candidates));
}

/// What no event pays for that finds its rules as the one before did.
mod compile {
    use super::*;

    #[divan::bench]
    fn patterns(bencher: Bencher<'_, '_>) {
        let rules = Rules::new(1, Has::Patterns);
        bencher.bench_local(|| rules.compile());
    }

    #[divan::bench]
    fn cel(bencher: Bencher<'_, '_>) {
        let rules = Rules::new(1, Has::Cel);
        bencher.bench_local(|| rules.compile());
    }
}

/// Finding them, over a table in memory.
mod find {
    use super::*;

    /// Each for the first time: read and compiled.
    #[divan::bench(args = RULES)]
    fn first(bencher: Bencher<'_, '_>, count: usize) {
        let rules = Arc::new(Rules::new(count, Has::Cel));
        bencher
            .with_inputs(|| rules.lookup())
            .bench_local_refs(|looking| looking.look());
    }

    /// Read anew as something was applied, and found unchanged.
    #[divan::bench(args = RULES)]
    fn when_applied(bencher: Bencher<'_, '_>, count: usize) {
        let mut looking = Arc::new(Rules::new(count, Has::Cel)).lookup();
        looking.look();
        bencher.bench_local(|| looking.look_when_applied());
    }

    /// Nothing was applied.
    #[divan::bench(args = RULES)]
    fn later(bencher: Bencher<'_, '_>, count: usize) {
        let mut looking = Arc::new(Rules::new(count, Has::Cel)).lookup();
        looking.look();
        bencher.bench_local(|| looking.look_later());
    }

    /// Cached.
    #[divan::bench(args = RULES)]
    fn again(bencher: Bencher<'_, '_>, count: usize) {
        let looking = Arc::new(Rules::new(count, Has::Cel)).lookup();
        looking.look();
        bencher.bench_local(|| looking.look());
    }
}
