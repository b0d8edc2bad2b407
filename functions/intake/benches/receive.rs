//! How long intake works on one event, without network: `cargo bench --workspace --profile e2e --bench receive`.
//! docs/performance.md says what came of it.

#[path = "cases.rs"]
mod cases;

use cases::{Intake, SIZES, Text, root_key};
use divan::Bencher;
use divan::counter::BytesCount;

fn main() {
    divan::main();
}

/// Verify, parse and encode: all that is done with a request.
#[divan::bench(args = SIZES)]
fn receive(bencher: Bencher<'_, '_>, bytes: usize) {
    run(bencher, bytes, &Intake::new(bytes, Text::Ascii));
}

#[divan::bench(args = SIZES)]
fn receive_what_is_not_ascii(bencher: Bencher<'_, '_>, bytes: usize) {
    run(bencher, bytes, &Intake::new(bytes, Text::NotAscii));
}

#[divan::bench(args = SIZES)]
fn refuse_what_is_forged(bencher: Bencher<'_, '_>, bytes: usize) {
    run(bencher, bytes, &Intake::forged(bytes));
}

fn run(bencher: Bencher<'_, '_>, bytes: usize, intake: &Intake) {
    bencher
        .counter(BytesCount::new(bytes))
        .with_inputs(|| intake.request())
        .bench_local_values(|request| intake.receive(request));
}

/// Before it: what becomes of the JSON that Lambda hands over.
#[divan::bench(args = SIZES)]
fn read_from_the_function_url(bencher: Bencher<'_, '_>, bytes: usize) {
    let payload = Intake::new(bytes, Text::Ascii).at_the_url();
    bencher.bench_local(|| Intake::read(&payload));
}

/// What `receive` is made of.
mod parts {
    use super::*;

    #[divan::bench]
    fn derive_the_key(bencher: Bencher<'_, '_>) {
        let root = root_key();
        bencher.bench_local(|| Intake::derive(&root));
    }

    #[divan::bench(args = SIZES)]
    fn verify(bencher: Bencher<'_, '_>, bytes: usize) {
        let intake = Intake::new(bytes, Text::Ascii);
        bencher.bench_local(|| intake.verify());
    }

    #[divan::bench(args = SIZES)]
    fn event_id(bencher: Bencher<'_, '_>, bytes: usize) {
        let intake = Intake::new(bytes, Text::Ascii);
        bencher.bench_local(|| intake.name());
    }

    #[divan::bench(args = SIZES)]
    fn parse(bencher: Bencher<'_, '_>, bytes: usize) {
        let intake = Intake::new(bytes, Text::Ascii);
        bencher.bench_local(|| intake.parse());
    }

    #[divan::bench(args = SIZES)]
    fn encode(bencher: Bencher<'_, '_>, bytes: usize) {
        let message = Intake::new(bytes, Text::Ascii).message();
        bencher.bench_local(|| message.to_queue());
    }
}
