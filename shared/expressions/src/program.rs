//! One expression, compiled: of an [`Expression`](crate::Expression) or between the braces of a template.

use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, Expr, IdedExpr, SourceInfo};
use cel::{Context, ParseError, ParseErrors, Value};
use serde_json::json;

use crate::environment::{ENVIRONMENT, PART, TEXT};
use crate::scan::{scan, string, word_before};
use crate::{Failure, Problem, Variables, check, failure};

/// Longest text in bytes.
pub(crate) const MAX_LENGTH: usize = 4096;
/// Nested brackets and conditions: what the parser's stack is spent on.
const MAX_DEPTH: u16 = 32;

/// As much of a token as a message shows, in characters.
const MAX_SHOWN: usize = 40;

/// What an expression is to give.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gives {
    Text,
    /// Or what CEL's `string` makes one of.
    Part,
}

#[derive(Debug)]
pub(crate) struct Program {
    /// A call of [`TEXT`] or [`PART`] with the expression as it was written.
    call: IdedExpr,
    source: Source,
}

/// Where a node of the syntax tree was written.
#[derive(Debug)]
pub(crate) struct Source(SourceInfo);

impl Source {
    pub(crate) fn text(&self) -> &str {
        &self.0.source
    }

    /// Where a variable, a literal, an operator or the name of a function is.
    pub(crate) fn offset(&self, node: &IdedExpr) -> usize {
        let (called, end) = self.name_and_offset(node);
        let start = end - called.len();
        match &node.expr {
            // `optMap` repeats the variable it is called on.
            Expr::Ident(name) if !called.is_empty() => self.text()[..start].rfind(name).unwrap_or(start),
            _ => start,
        }
    }

    /// The name of the function that a node calls, as it was written: cel expands macros to other functions.
    pub(crate) fn name(&self, node: &IdedExpr) -> &str {
        self.name_and_offset(node).0
    }

    /// cel has a call, what a macro makes of one, and a message where the bracket is.
    fn name_and_offset(&self, node: &IdedExpr) -> (&str, usize) {
        let start = self.0.offset_for(node.id).map_or(0, |(start, _)| start as usize);
        let is_message = matches!(node.expr, Expr::Struct(_));
        match self.text().as_bytes().get(start) {
            Some(byte) if *byte == b'(' || is_message => {
                let end = self.text()[..start].trim_end().len();
                match word_before(self.text(), end) {
                    "" => ("", start),
                    name => (name, end),
                }
            }
            _ => ("", start),
        }
    }
}

impl Program {
    pub(crate) fn compile(text: &str, gives: Gives) -> Result<Self, Problem> {
        if text.len() > MAX_LENGTH {
            return Err(too_long());
        }
        if text.trim().is_empty() {
            return Err(Problem::new(0, "the expression is empty"));
        }
        scan(text, 0, false)?;
        let (expression, source) = ENVIRONMENT
            .parser()
            .max_recursion_depth(MAX_DEPTH)
            .parse_with_source_info(text)
            .map_err(|errors| syntax_problem(text, &errors))?;
        let source = Source(source);
        check::check(&expression, &source)?;
        let call = Expr::Call(CallExpr {
            target: None,
            func_name: match gives {
                Gives::Text => TEXT.to_owned(),
                Gives::Part => PART.to_owned(),
            },
            args: vec![expression],
        });
        let program = Self {
            call: IdedExpr { id: 0, expr: call },
            source,
        };
        program.try_on(&SAMPLE.context)?;
        Ok(program)
    }

    pub(crate) fn text(&self) -> &str {
        self.source.text()
    }

    pub(crate) fn evaluate(&self, context: &Context<'_, 'static>) -> Result<String, Failure> {
        match Value::resolve(&self.call, context) {
            Ok(Value::String(text)) => Ok(Arc::unwrap_or_clone(text)),
            Ok(_) => Err(Failure::Other("gives no text".to_owned())),
            Err(error) => Err(failure::diagnose(&self.call, &self.source, context, &error).0),
        }
    }

    fn try_on(&self, context: &Context<'_, 'static>) -> Result<(), Problem> {
        let Err(error) = Value::resolve(&self.call, context) else {
            return Ok(());
        };
        if !failure::is_of_types(&error) {
            return Ok(());
        }
        let (failure, offset) = failure::diagnose(&self.call, &self.source, context, &error);
        Err(Problem::new(offset, failure.to_string()))
    }
}

pub(crate) fn too_long() -> Problem {
    Problem::new(MAX_LENGTH, format!("longer than {MAX_LENGTH} bytes"))
}

/// The first of cel's errors. Never its `Display`, which panics on a column over 65535.
fn syntax_problem(text: &str, errors: &ParseErrors) -> Problem {
    const SYNTAX: &str = "Syntax error: ";
    const BACKTICK: &str = "names have no backticks; a field is read as `event.metadata['a/b']` too";
    // What cel finds missing in its own tree is a consequence of a syntax error and may stand before it.
    let is_syntax = |error: &&ParseError| error.msg.starts_with(SYNTAX);
    let Some(error) = errors.errors.iter().find(is_syntax).or(errors.errors.first()) else {
        return Problem::new(0, "cannot be read");
    };
    let message = error.msg.strip_prefix(SYNTAX).unwrap_or(&error.msg);
    let (line, column) = error.pos;
    let (line, column) = (
        usize::try_from(line).unwrap_or(1),
        usize::try_from(column).unwrap_or(1),
    );
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let column = column.saturating_sub(1);
    // cel counts in bytes what its macros find, and in characters what its parser finds.
    let of_macro = match message {
        "argument must be a simple name" => Some("expected the name of a variable"),
        "invalid argument to has() macro" => Some("`has` takes a field: `has(event.metadata.name)`"),
        _ => None,
    };
    if let Some(problem) = of_macro {
        return Problem::new(start + column, problem);
    }
    let rest = &text[start.min(text.len())..];
    let offset = start + rest.chars().take(column).map(char::len_utf8).sum::<usize>();
    if message.starts_with("unsupported syntax: '`'") {
        let length = text[offset..].find('`').unwrap_or_default();
        return Problem::new(offset + length, BACKTICK);
    }
    let token = token(&text[offset..]);
    let shown: String = token.chars().take(MAX_SHOWN).collect();
    let problem = if message.contains("Recursion limit") {
        format!("more than {MAX_DEPTH} brackets or conditions inside each other")
    } else if token == "`" {
        BACKTICK.to_owned()
    } else if token.is_empty() {
        "unexpected end of the expression".to_owned()
    } else if let Some(missing) = message
        .strip_prefix("missing '")
        .and_then(|rest| rest.split('\'').next())
    {
        format!("expected `{missing}` before `{shown}`")
    } else if message.starts_with("reserved identifier") {
        format!("`{shown}` is a reserved word")
    } else if message.ends_with("int literal") || message.ends_with("double literal") {
        format!("`{shown}` is out of range")
    } else if message.ends_with("literal") || message.contains(" literal: ") {
        format!("`{shown}` is not valid")
    } else {
        format!("unexpected `{shown}`")
    };
    Problem::new(offset, problem)
}

/// What the text begins with: a word, a number, a string, or a character.
fn token(text: &str) -> &str {
    let text = text.trim_start();
    let word = text.len()
        - text
            .trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
            .len();
    let length = match text.chars().next() {
        None => 0,
        Some('"' | '\'') => string(text, 0).unwrap_or(1),
        Some(_) if word > 0 => word,
        Some(c) => c.len_utf8(),
    };
    &text[..length]
}

/// What each expression is tried on. Of the metadata of events nothing is certain but the revision.
static SAMPLE: LazyLock<Variables> = LazyLock::new(|| {
    let event = json!({
        "involvedObject": {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "name": "apps",
            "namespace": "flux-system",
            "resourceVersion": "183230",
            "uid": "7d0cdc51-ddcf-4743-b223-83ca5c699632",
        },
        "severity": "info",
        "timestamp": "2026-08-07T13:13:02Z",
        "message": "Reconciliation finished in 20.117483391s, next run in 10m0s",
        "reason": "ReconciliationSucceeded",
        "metadata": {
            "commit_status": "update",
            "revision": "main@sha1:5394cb7f48332b2de7c17dd8b8384bbc84b7e738",
        },
        "reportingController": "kustomize-controller",
        "reportingInstance": "kustomize-controller-7f7c9b8d4c-x2l9k",
    });
    let metadata = |name: &str| {
        json!({
            "name": name,
            "namespace": "flux-system",
            "uid": "0c9c2e41-d2f9-4f9b-9c41-bebc1984d67a",
            "generation": 1,
            "labels": {},
            "annotations": {},
        })
    };
    let provider = json!({
        "apiVersion": "notification.toolkit.fluxcd.io/v1beta3",
        "kind": "Provider",
        "metadata": metadata("github-status"),
        "spec": {
            "type": "github",
            "address": "https://github.com/acme/fleet",
            "secretRef": {"name": "github-token"},
        },
    });
    let alert = json!({
        "apiVersion": "notification.toolkit.fluxcd.io/v1beta3",
        "kind": "Alert",
        "metadata": metadata("github-status"),
        "spec": {
            "providerRef": {"name": "github-status"},
            "eventSeverity": "info",
            "eventSources": [{"kind": "Kustomization", "name": "*", "namespace": "flux-system"}],
        },
    });
    Variables::new(event, provider, alert, "production")
});

#[cfg(test)]
mod tests {
    use crate::Expression;
    use crate::tests::refused;

    #[test]
    fn a_mistake_is_told_with_its_position() {
        let cases = [
            ("", "column 1: the expression is empty"),
            (" \n ", "column 1: the expression is empty"),
            ("// nothing", "column 11: unexpected end of the expression"),
            ("event.reason event", "column 14: unexpected `event`"),
            ("event.reason + ", "column 16: unexpected end of the expression"),
            ("event.", "column 7: unexpected end of the expression"),
            ("event..reason", "column 7: unexpected `.`"),
            ("event.reason == = 'a'", "column 17: unexpected `=`"),
            ("event.on ? 'a'", "column 15: unexpected end of the expression"),
            ("'a' + @x", "column 7: unexpected `@`"),
            ("'é🐱' + @x", "column 8: unexpected `@`"),
            ("event.é", "column 7: unexpected `é`"),
            ("'a' +\n  'é' + @x", "line 2, column 9: unexpected `@`"),
            ("'a' +\r\n  @x", "line 2, column 3: unexpected `@`"),
            ("'a' @\n+ 'b'", "line 1, column 5: unexpected `@`"),
            ("if + 'a'", "column 1: `if` is a reserved word"),
            (
                "'a' + 99999999999999999999",
                "column 7: `99999999999999999999` is out of range",
            ),
            ("string(1e999)", "column 8: `1e999` is out of range"),
            (r"'a' + '\ud800'", r"column 7: `'\ud800'` is not valid"),
            (
                "event.`reason`",
                "column 7: names have no backticks; a field is read as `event.metadata['a/b']` too",
            ),
            (
                "`event`",
                "column 1: names have no backticks; a field is read as `event.metadata['a/b']` too",
            ),
            ("'é'.map(1, 2)", "column 9: expected the name of a variable"),
            (
                "'é' +\n'é'.map(1, 2)",
                "line 2, column 9: expected the name of a variable",
            ),
            (
                "has(event)",
                "column 5: `has` takes a field: `has(event.metadata.name)`",
            ),
            (
                "'é' + string(has(event))",
                "column 18: `has` takes a field: `has(event.metadata.name)`",
            ),
        ];
        for (text, mistake) in cases {
            assert_eq!(refused(text), mistake, "{text}");
        }
        let mistake = Expression::compile("'a' +\n  'é' + @x").unwrap_err();
        assert_eq!((mistake.line, mistake.column), (2, 9));
    }

    #[test]
    fn types_that_do_not_fit_are_found_before_there_is_an_event() {
        let cases = [
            (
                "event.involvedObject.kind == 'Kustomization'",
                "column 1: gives a bool, expected text",
            ),
            ("  event", "column 3: gives a map, expected text"),
            ("size(event.reason)", "column 1: gives an int, expected text"),
            ("1u", "column 1: gives a uint, expected text"),
            ("1.5", "column 1: gives a double, expected text"),
            ("null", "column 1: gives null, expected text"),
            ("b'a'", "column 1: gives bytes, expected text"),
            ("['a']", "column 1: gives a list, expected text"),
            ("type(event.reason)", "column 1: gives a type, expected text"),
            ("string", "column 1: gives a type, expected text"),
            (
                "timestamp(event.timestamp)",
                "column 1: gives a timestamp, expected text",
            ),
            ("duration('1h')", "column 1: gives a duration, expected text"),
            (
                "event.reason.split('-').first()",
                "column 1: gives an optional, expected text; add `.value()` or `.orValue('…')`",
            ),
            (
                "event.involvedObject.kind + 1",
                "column 27: `+` does not take a string and an int",
            ),
            (
                "'a' +\n  event.reason + 1",
                "line 2, column 16: `+` does not take a string and an int",
            ),
            (
                "string(event.reason - 'a')",
                "column 21: `-` does not take a string and a string",
            ),
            (
                "event.reason.split('a').size() < '1' ? 'a' : 'b'",
                "column 32: `<` does not take an int and a string",
            ),
            (
                "event.reason ? 'a' : 'b'",
                "column 14: got a string, expected a bool",
            ),
            (
                "!event.reason ? 'a' : 'b'",
                "column 1: `!` does not take a string",
            ),
            (
                "event.reason && true ? 'a' : 'b'",
                "column 14: `&&` does not take a string and a bool",
            ),
            (
                "'a' in event.reason ? 'a' : 'b'",
                "column 5: `in` does not take a string and a string",
            ),
            ("event.reason.name", "column 13: a string has no fields"),
            (
                "event.reason[0]",
                "column 13: a string has no index that is an int",
            ),
            (
                "event.reason.map(c, c).join()",
                "column 14: got a string, expected a list or a map",
            ),
            (
                "event.metadata.map(k, k + 1).join()",
                "column 25: `+` does not take a string and an int",
            ),
            (
                "event.reason.startsWith(1) ? 'a' : 'b'",
                "column 14: `startsWith` does not work on a string with an int",
            ),
            (
                "size(1) == 1 ? 'a' : 'b'",
                "column 1: `size` does not take an int",
            ),
            (
                "'x'.orValue('y')",
                "column 5: `orValue` does not work on a string",
            ),
            ("{null: 'a'}['a']", "column 1: null is no key of a map"),
            (
                "'%s'.format([])",
                "column 6: `format`: the text does not fit the arguments",
            ),
        ];
        for (text, mistake) in cases {
            assert_eq!(refused(text), mistake, "{text}");
        }
    }

    #[test]
    fn what_only_an_event_can_tell_is_no_mistake() {
        for text in [
            "event.metadata.environment",
            "event.metadata['x/y'].split('-')[3]",
            "event.metadata.revision.split('@')[7]",
            "provider.metadata.annotations.team",
            "string(int(event.metadata.revision))",
            "event.severity == 'error' ? event.metadata : 'fine'",
            "event.metadata.?team.value()",
            "string(1 / (size(event.reason) - 23))",
        ] {
            assert!(Expression::compile(text).is_ok(), "{text}");
        }
    }
}
