//! Runs one case some number of times, for `.ci/counts` to count the instructions: `counts list`, `counts CASE TIMES`.
//!
//! All that is worked on is made beforehand, as much for few times as for many: the difference of two runs is the work.

#[path = "../../../functions/intake/benches/cases.rs"]
#[expect(dead_code, reason = "the benchmark uses more of it")]
mod intake_cases;
#[path = "../../../functions/rules/benches/cases.rs"]
#[expect(dead_code, reason = "the benchmark uses more of it")]
mod rules_cases;

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use intake_cases::{Intake, SIZES, Text};
use lambda_http::http::StatusCode;
use rules_cases::{Has, Looking, Rules};

/// One time of a case; whether it went as it should.
type Step = Box<dyn FnOnce() -> bool>;

/// What is done, and how often a run does it at most.
struct Case {
    name: String,
    most: usize,
    steps: Box<dyn Fn(usize) -> Vec<Step>>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["list"] => list(),
        [name, times] => run(name, times),
        _ => Err("usage: counts list | counts CASE TIMES".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Name and most times of each.
fn list() -> Result<(), String> {
    cases().into_iter().try_for_each(|Case { name, most, .. }| {
        writeln!(io::stdout(), "{name} {most}").map_err(|error| error.to_string())
    })
}

fn run(name: &str, times: &str) -> Result<(), String> {
    let case = cases().into_iter().find(|case| case.name == name);
    let Case { most, steps, .. } = case.ok_or_else(|| format!("no case `{name}`: see `counts list`"))?;
    let times = times.parse().ok().filter(|times| (1..=most).contains(times));
    let times = times.ok_or_else(|| format!("{name}: expected a number of times from 1 to {most}"))?;
    let steps = steps(most).into_iter().take(times);
    match steps.map(|step| step()).filter(|went_well| *went_well).count() {
        well if well == times => Ok(()),
        well => Err(format!("{name}: {well} of {times} went as they should")),
    }
}

fn cases() -> Vec<Case> {
    let longest = SIZES[SIZES.len() - 1];
    let mut cases: Vec<Case> = SIZES
        .into_iter()
        .map(|bytes| {
            let name = format!("intake/receive/{bytes}");
            receiving(name, StatusCode::ACCEPTED, move || {
                Intake::new(bytes, Text::Ascii)
            })
        })
        .collect();
    cases.push(receiving(
        format!("intake/receive-what-is-not-ascii/{longest}"),
        StatusCode::ACCEPTED,
        move || Intake::new(longest, Text::NotAscii),
    ));
    cases.push(receiving(
        format!("intake/refuse-what-is-forged/{longest}"),
        StatusCode::UNAUTHORIZED,
        move || Intake::forged(longest),
    ));
    // Each rule more costs the same: a thousand are enough once, and would take minutes to compile here.
    cases.push(evaluating("rules/evaluate/1000".into(), 1000, Has::Nothing));
    for count in [1, 10] {
        for (word, has) in [
            ("evaluate", Has::Nothing),
            ("evaluate-patterns", Has::Patterns),
            ("evaluate-cel", Has::Cel),
        ] {
            cases.push(evaluating(format!("rules/{word}/{count}"), count, has));
        }
        let first = |rules: &Arc<Rules>| rules.lookup().look();
        cases.push(ruling(
            format!("rules/find-first/{count}"),
            count,
            Has::Cel,
            first,
        ));
        let when_applied = Looking::look_when_applied;
        let name = format!("rules/find-when-applied/{count}");
        cases.push(finding(name, count, 40, when_applied));
        // So little that the making of the lookup, which is not the same in two runs, would be seen; and within the hour in which
        // an answer is believed.
        let later = Looking::look_later;
        cases.push(finding(format!("rules/find-later/{count}"), count, 500, later));
        let again = |looking: &mut Looking| looking.look();
        cases.push(finding(format!("rules/find-again/{count}"), count, 4000, again));
    }
    for (word, has) in [("patterns", Has::Patterns), ("cel", Has::Cel)] {
        let compile = |rules: &Arc<Rules>| rules.compile().len();
        cases.push(ruling(format!("rules/compile-{word}/1"), 1, has, compile));
    }
    cases
}

fn receiving(name: String, answer: StatusCode, intake: impl Fn() -> Intake + 'static) -> Case {
    let steps = move |most| {
        let intake = Rc::new(intake());
        let step = |_| {
            let (intake, request) = (Rc::clone(&intake), intake.request());
            Box::new(move || intake.receive(request) == answer) as Step
        };
        (0..most).map(step).collect()
    };
    Case {
        name,
        most: 40,
        steps: Box::new(steps),
    }
}

fn evaluating(name: String, count: usize, has: Has) -> Case {
    let steps = move |most| {
        let rules = Rules::new(count, has);
        let shared = Rc::new((rules.compile(), rules));
        let step = |_| {
            let shared = Rc::clone(&shared);
            Box::new(move || shared.1.apply(&shared.0) == count) as Step
        };
        (0..most).map(step).collect()
    };
    Case {
        name,
        most: times(count),
        steps: Box::new(steps),
    }
}

/// What keeps nothing from one time to the next.
fn ruling(name: String, count: usize, has: Has, work: fn(&Arc<Rules>) -> usize) -> Case {
    let steps = move |most| {
        let rules = Arc::new(Rules::new(count, has));
        let step = |_| {
            let rules = Arc::clone(&rules);
            Box::new(move || work(&rules) == count) as Step
        };
        (0..most).map(step).collect()
    };
    Case {
        name,
        most: times(count),
        steps: Box::new(steps),
    }
}

/// A lookup that has answered before.
fn finding(name: String, count: usize, most: usize, look: fn(&mut Looking) -> usize) -> Case {
    let steps = move |most| {
        let looking = Arc::new(Rules::new(count, Has::Cel)).lookup();
        looking.look();
        let looking = Rc::new(RefCell::new(looking));
        let step = |_| {
            let looking = Rc::clone(&looking);
            Box::new(move || look(&mut looking.borrow_mut()) == count) as Step
        };
        (0..most).map(step).collect()
    };
    Case {
        name,
        most,
        steps: Box::new(steps),
    }
}

/// Of a thousand rules a few times are enough.
fn times(count: usize) -> usize {
    if count > 100 { 4 } else { 40 }
}
