//! CEL as Flux's notification-controller compiles it for `Provider.spec.commitStatusExpr`
//! (<https://github.com/fluxcd/pkg/blob/main/runtime/cel/expression.go>), and templates with such expressions in them:
//! `https://example.com/${event.involvedObject.name}`.
//!
//! The standard library, optional types with `first`, `last`, `optional.unwrap` and `unwrapOpt`, and cel-go's extensions
//! Strings, Sets and Encoders; times are in UTC. The variables are `event`, `provider` and `alert` as in Flux, and
//! `cluster`, which Flux does not have.
//!
//! # What differs from cel-go 0.27 as Flux uses it
//!
//! Taken here and refused by Flux, for there is no type check, only a try on a sample event:
//! - expressions of type `dyn`: `event.metadata.environment` alone, or two fields added. Flux wants `string(…)` around.
//! - a type error, or a result that is no text, where the sample does not lead. It fails when an event leads there.
//! - `1 == '1'`, which is false; a list or map of several types (`HomogeneousAggregateLiterals`); a list plus a map, which
//!   adds its keys.
//! - `[?a]` and `{?'k': a}` where `a` is no optional: it is taken as its value.
//! - more arguments to `format` than its text has clauses.
//!
//! Refused here and taken by Flux:
//! - more than 4 KiB of text, 250 operators, 32 brackets or conditions inside each other, or 8 loops (`map` and the like).
//! - a loop inside a loop, which takes quadratic time; `sets` functions fail on more than a million pairs of elements.
//! - messages such as `google.protobuf.Struct{}`.
//! - a result that is blank, when it is evaluated: Flux refuses only an empty one.
//!
//! Another result:
//! - `string` of a double has no exponent: `1234567` where cel-go has `1.234567e+06`; and `inf` where it has `+Inf`.
//! - `indexOf` and `lastIndexOf` from a position beyond the text fail; cel-go gives -1.
//! - in regular expressions `\d`, `\w`, `\s` and `\b` know Unicode, in RE2 only ASCII; there is no `\Q…\E` and no `\C`.
//!
//! As in cel-go, the keys of a map come in no particular order, and nothing bounds the length of a result: `replace`
//! and `join` can multiply a long message.

#![deny(missing_docs)]

mod check;
mod environment;
mod failure;
#[cfg(test)]
mod parity;
mod program;
mod scan;
mod template;

use std::fmt;
use std::sync::Arc;

use cel::Context;
use serde_json::Value;

use crate::environment::{ENVIRONMENT, to_val};
use crate::program::{Gives, Program};

pub use crate::template::Template;

/// Names of the variables, as a message lists them.
const VARIABLES: [&str; 4] = ["event", "provider", "alert", "cluster"];

/// What an expression can read, converted once for an event.
pub struct Variables {
    context: Context<'static, 'static>,
}

impl Variables {
    /// `event`, `provider` and `alert` are objects as Flux has them; their whole numbers become ints, the others doubles.
    pub fn new(event: Value, provider: Value, alert: Value, cluster: &str) -> Self {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        let values = [event, provider, alert, Value::String(cluster.to_owned())];
        for (name, value) in VARIABLES.into_iter().zip(values) {
            context.add_variable_as_val(name, to_val(value));
        }
        Self { context }
    }
}

/// Without the values: what an event says must not get into a log.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variables").finish_non_exhaustive()
    }
}

/// A compiled expression that gives text.
#[derive(Clone)]
pub struct Expression {
    program: Arc<Program>,
}

impl Expression {
    /// Compiles an expression and tries it on a sample event.
    ///
    /// # Errors
    /// The first mistake, and where it is.
    pub fn compile(text: &str) -> Result<Self, Mistake> {
        let program = Program::compile(text, Gives::Text).map_err(|problem| problem.in_text(text))?;
        Ok(Self {
            program: Arc::new(program),
        })
    }

    /// What the expression says of an event.
    ///
    /// # Errors
    /// Says what is missing or wrong, and quotes nothing of the event.
    pub fn evaluate(&self, variables: &Variables) -> Result<String, Failure> {
        let text = self.program.evaluate(&variables.context)?;
        if text.trim().is_empty() {
            return Err(Failure::Empty);
        }
        Ok(text)
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        self.program.text()
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text()).finish()
    }
}

/// Why a text is no expression, or no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub problem: String,
    is_one_line: bool,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_one_line {
            write!(f, "line {}, ", self.line)?;
        }
        write!(f, "column {}: {}", self.column, self.problem)
    }
}

/// A mistake at a byte of the text.
#[derive(Debug)]
struct Problem {
    offset: usize,
    problem: String,
}

impl Problem {
    fn new(offset: usize, problem: impl Into<String>) -> Self {
        Self {
            offset,
            problem: problem.into(),
        }
    }

    fn in_text(self, text: &str) -> Mistake {
        let before = &text[..text.floor_char_boundary(self.offset)];
        let line = before.rsplit('\n').next().unwrap_or(before);
        Mistake {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            problem: self.problem,
            is_one_line: !text.trim_end().contains('\n'),
        }
    }
}

/// Why an expression gives no text for an event. Quotes the expression, and no value of the event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A field or an element is not there.
    #[error("{} `{path}`", has_no(path))]
    MissingField {
        /// As the expression names it: `event.metadata['x/y']`.
        path: String,
    },
    /// The result is no text.
    #[error("gives {got}, expected text{}", remedy(got))]
    NotText {
        /// `a bool`, `an optional`.
        got: String,
    },
    /// An expression gives an empty or blank text.
    #[error("gives an empty text")]
    Empty,
    /// Anything else: a type that does not fit, a number out of range.
    #[error("{0}")]
    Other(String),
}

fn has_no(path: &str) -> String {
    let root = path.split(['.', '[']).next().unwrap_or_default();
    match VARIABLES.contains(&root) {
        true => format!("the {root} has no"),
        false => "there is no".to_owned(),
    }
}

fn remedy(got: &str) -> &'static str {
    match got {
        "an optional" => "; add `.value()` or `.orValue('…')`",
        _ => "",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn variables() -> Variables {
        let event = json!({
            "involvedObject": {"kind": "Kustomization", "name": "gitops-system", "namespace": "flux-system"},
            "severity": "info",
            "message": MESSAGE,
            "reason": "ApplySucceeded",
            "count": 3,
            "half": 1.5,
            "pattern": "%d",
            "on": true,
            "nothing": null,
            "sources": [{"name": "one"}, {"kind": "Kustomization"}],
            "metadata": {"environment": "production", "a/b": "slash", "blank": " "},
        });
        let provider = json!({"metadata": {"uid": "0c9c2e41-d2f9-4f9b-9c41-bebc1984d67a"}});
        Variables::new(
            event,
            provider,
            json!({"metadata": {"name": "test-alert"}}),
            "prod-eu",
        )
    }

    /// What must not get into a failure.
    pub(crate) const MESSAGE: &str = "hunter2";

    pub(crate) fn evaluated(text: &str) -> Result<String, Failure> {
        let expression = Expression::compile(text).unwrap_or_else(|mistake| panic!("{text}: {mistake}"));
        expression.evaluate(&variables())
    }

    pub(crate) fn refused(text: &str) -> String {
        match Expression::compile(text) {
            Ok(_) => panic!("{text}: compiles"),
            Err(mistake) => mistake.to_string(),
        }
    }

    #[test]
    fn what_is_kept_can_go_anywhere_and_shows_no_event() {
        fn is_shared<T: Send + Sync + 'static>(_: &T) {}
        let expression = Expression::compile("event.reason").unwrap();
        let template = Template::compile("${event.reason}").unwrap();
        let variables = variables();
        is_shared(&variables);
        is_shared(&expression);
        is_shared(&template);
        assert_eq!(expression.clone().text(), "event.reason");
        assert_eq!(format!("{expression:?}"), r#"Expression("event.reason")"#);
        assert_eq!(format!("{template:?}"), r#"Template("${event.reason}")"#);
        assert_eq!(format!("{variables:?}"), "Variables { .. }");
    }

    #[test]
    fn whole_numbers_are_ints_and_others_doubles() {
        let cases = [
            ("string(event.count + 1)", "4"),
            ("string(event.half)", "1.5"),
            (
                "type(event.count) == int && type(event.half) == double ? 'a' : 'b'",
                "a",
            ),
            (
                "event.count == 3 && event.count < 4 && event.half >= 1u ? 'a' : 'b'",
                "a",
            ),
            ("'%d'.format([event.count])", "3"),
        ];
        for (text, result) in cases {
            assert_eq!(evaluated(text), Ok(result.to_owned()), "{text}");
        }
    }
}
