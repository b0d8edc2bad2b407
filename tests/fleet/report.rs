//! Says what came of it.

use super::model::bill::EMPTY_POLLS;
use super::model::clock::START;
use super::model::run::{Outcome, Plan, Shape};
use super::model::usage::Function;
use super::summary::{Late, Summary};

/// Digits in threes.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn count(what: &str, amount: u64, note: &str) {
    println!("  {what:<44}{:>14}  {note}", grouped(amount as f64));
}

/// Milliseconds, for people.
fn span(millis: u64) -> String {
    match millis {
        0..10_000 => format!("{:.1} s", millis as f64 / 1000.0),
        10_000..600_000 => format!("{:.0} s", millis as f64 / 1000.0),
        _ => format!("{:.0} min", millis as f64 / 60_000.0),
    }
}

fn late(what: &str, late: Late) {
    println!(
        "  {what:<44}p50 {}, p99 {}, longest {}",
        span(late.p50),
        span(late.p99),
        span(late.max)
    );
}

/// A day.
pub(crate) fn day(day: &Summary) {
    let hours = f64::from(day.hours);
    println!(
        "\n{} at {}, {} hours, {} commits, credentials: {}",
        day.size(),
        day.host,
        day.hours,
        day.commits,
        day.credentials
    );
    count("events", day.events, "");
    count(
        "  results",
        day.results,
        &format!("of them {} failures", grouped(day.failures as f64)),
    );
    count(
        "  changes",
        day.changes,
        &format!("of them {} to pending", grouped(day.pendings as f64)),
    );
    count("  unchanged", day.events - day.changes, "");
    println!("\n  this service, at the Git host:");
    count("    reads", day.host_reads, "");
    count(
        "    writes",
        day.posts,
        &format!("{} by the end of the day", grouped(day.posts_by_midnight as f64)),
    );
    count(
        "    of them needless",
        day.needless,
        "told already, or no longer so",
    );
    count(
        "    changes that another one's post told",
        day.changes - (day.posts - day.needless),
        "",
    );
    count("    most writes in a minute", day.most_posts_in_a_minute, "");
    count(
        "    due at the end of the day",
        day.untold_at_midnight as u64,
        &format!("and {} at last", day.untold_at_last),
    );
    late("    from event to host, results", day.late);
    late("    from event to host, pending", day.late_pending);
    println!(
        "  longest queues: {} events, {} hints",
        day.longest_queues.0, day.longest_queues.1
    );
    println!("\n  notification-controller, by its code, at the Git host:");
    count(
        "    reads",
        day.controller_reads,
        &format!("{} an hour", grouped(day.controller_reads as f64 / hours)),
    );
    count(
        "    writes",
        day.controller_writes,
        &format!(
            "{} if it found each of its own",
            grouped(day.controller_changes as f64)
        ),
    );
    let most = day.controller_by_hour.iter().copied().max().unwrap_or_default();
    count("    most requests in an hour", most, "");
    println!(
        "\n  {:<28}{:>10}{:>12}{:>10}{:>10}{:>16}",
        "function", "requests", "seconds", "each, ms", "cold", "messages each"
    );
    for function in &day.functions {
        println!(
            "  {:<28}{:>10}{:>12.0}{:>10.1}{:>10}{:>16.2}",
            function.name,
            grouped(function.count as f64),
            function.seconds,
            function.seconds * 1000.0 / function.count.max(1) as f64,
            function.cold,
            function.messages as f64 / function.count.max(1) as f64,
        );
    }
    println!(
        "\n  {:<28}{:>10}{:>12}{:>14}{:>14}",
        "DynamoDB", "calls", "refused", "read units", "write units"
    );
    for calls in &day.dynamodb {
        println!(
            "  {:<28}{:>10}{:>12}{:>14}{:>14}",
            format!("{}: {}", calls.function, calls.what),
            grouped(calls.calls as f64),
            grouped(calls.refused as f64),
            grouped(calls.read_units),
            grouped(calls.write_units),
        );
    }
    println!(
        "\n  {:<28}{:>14}{:>16}{:>12}{:>12}{:>14}",
        "bill", "amount", "per 1,000 events", "$ a day", "$ a month", "$ per million"
    );
    let show = |what: &str, amount: String, each: String, dollars: f64| {
        println!(
            "  {what:<28}{amount:>14}{each:>18}{:>12.3}{:>12.2}{:>15.2}",
            dollars * 24.0 / hours,
            day.per_month(dollars),
            day.per_million(dollars),
        );
    };
    for line in day.lines() {
        let each = format!("{:.1}", line.amount * 1000.0 / day.events as f64);
        show(&line.what, grouped(line.amount), each, line.dollars);
    }
    show("together", String::new(), String::new(), day.dollars());
    println!();
    for line in day.bill.iter().filter(|line| line.what == EMPTY_POLLS) {
        show(
            &line.what,
            grouped(line.amount),
            "whatever comes".to_owned(),
            line.dollars,
        );
    }
}

/// Many events of one moment.
pub(crate) fn drain(plan: &Plan, outcome: &Outcome) {
    let Outcome {
        ledger,
        usage_in_all: usage,
        ..
    } = outcome;
    let pace = plan.kind.pace();
    let posts = ledger.posts;
    let all = i64::from(plan.fleet.objects());
    let advised =
        (all - i64::from(plan.credentials) * pace.burst) * pace.interval_millis / i64::from(plan.credentials);
    let took = ledger.last_post - START - 1000;
    println!(
        "\n{} {} at {}, credentials: {}",
        grouped(all as f64),
        match plan.shape {
            Shape::Contexts => "statuses of one commit",
            _ => "commits with a status each",
        },
        plan.kind,
        plan.credentials
    );
    println!(
        "  all posted after {} s; the pace alone: {} s; {:.2} x",
        took / 1000,
        advised / 1000,
        took as f64 / advised as f64
    );
    count(
        "posts",
        posts,
        &format!(
            "needless {}, untold at last {}",
            ledger.needless, outcome.untold_at_last
        ),
    );
    let minutes = &ledger.posts_by_minute;
    let mut whole = minutes[..minutes.len().saturating_sub(1)].to_vec();
    whole.sort_unstable();
    if let (Some(least), Some(most)) = (whole.first(), whole.last()) {
        println!(
            "  posts in a whole minute: least {least}, median {}, most {most}",
            whole[whole.len() / 2]
        );
    }
    let histogram: Vec<String> = minutes.iter().take(12).map(u64::to_string).collect();
    println!("  the first minutes: {} …", histogram.join(" "));
    late("from event to host", Late::of(&ledger.late));
    let each = |amount: f64| amount / posts.max(1) as f64;
    println!(
        "  DynamoDB for each post: {:.2} write units, {:.2} read units; of them",
        each(usage.write_units()),
        each(usage.read_units())
    );
    for ((function, what), calls) in &usage.dynamodb {
        println!(
            "    {:<32}{:>10} calls, {:>8} refused, {:>6.2} write, {:>6.2} read units a post",
            format!("{}: {what}", function.name()),
            calls.calls,
            calls.refused,
            each(calls.write_units),
            each(calls.read_units),
        );
    }
    let hints = usage.posts;
    println!(
        "  hints: {} sent, {} dropped as duplicates, {} batches, {} came back; longest queue {}",
        hints.sends, hints.duplicates, hints.receives, hints.returned, outcome.longest_posts_queue
    );
    for function in Function::ALL {
        let of = usage.of(function);
        println!(
            "  {:<10}{:>8} invocations, {:>10.1} s, {} cold",
            function.name(),
            of.count,
            of.millis as f64 / 1000.0,
            of.cold
        );
    }
    println!("  peak memory of this process: {} MiB", peak_mib());
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
