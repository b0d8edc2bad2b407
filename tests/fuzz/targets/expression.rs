//! An expression, or a template, and an event: a mistake stands at a place of the text, and what fails on an event says
//! nothing of its message. The input is the text, an empty line, and an event in JSON.

#![no_main]

use expressions::{Expression, Mistake, Template, Variables};
use fuzz::head_and_body;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// What an event may hold that must not be shown.
const MESSAGE: &str = "hunter2hunter2";

fuzz_target!(|input: &[u8]| {
    let Some((text, event)) = head_and_body(input) else {
        return;
    };
    if text.contains("hunter") {
        return;
    }
    let mut event: Value = serde_json::from_slice(event).unwrap_or_else(|_| json!({}));
    if let Some(event) = event.as_object_mut() {
        event.insert("message".into(), MESSAGE.into());
    }
    let variables = || {
        let provider = json!({"metadata": {"uid": "0c9c2e41-d2f9-4f9b-9c41-bebc1984d67a"}});
        Variables::new(event.clone(), provider, json!({}), "prod-eu-1")
    };
    match Expression::compile(text) {
        Ok(expression) => match expression.evaluate(&variables()) {
            Ok(given) => assert!(!given.trim().is_empty()),
            Err(failure) => assert!(!format!("{failure} {failure:?}").contains(MESSAGE), "{failure}"),
        },
        Err(mistake) => check(&mistake, text),
    }
    match Template::compile(text) {
        Ok(template) => {
            if let Err(failure) = template.evaluate(&variables()) {
                assert!(!format!("{failure} {failure:?}").contains(MESSAGE), "{failure}");
            }
        }
        Err(mistake) => check(&mistake, text),
    }
});

fn check(mistake: &Mistake, text: &str) {
    let lines: Vec<&str> = text.split('\n').collect();
    assert!(!mistake.problem.is_empty());
    assert!((1..=lines.len()).contains(&mistake.line), "{mistake:?}");
    let columns = lines[mistake.line - 1].chars().count() + 1;
    assert!((1..=columns).contains(&mistake.column), "{mistake:?}");
}
