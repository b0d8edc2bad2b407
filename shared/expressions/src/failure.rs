//! What went wrong, told without a value of the event: cel's own messages quote values.

use std::mem::discriminant;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::value::Val;
use cel::{Context, ExecutionError, Value};

use crate::Failure;
use crate::environment::{NOTHING, PART, TEXT};
use crate::program::Source;

/// Longest message or path in characters.
const MAX_LENGTH: usize = 200;
/// Turns of a loop in which the origin of an error is looked for.
const MAX_TURNS: usize = 100;

/// Whether an error is one of types, which another event will not mend.
pub(crate) fn is_of_types(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::NoSuchKey(_)
        | ExecutionError::IndexOutOfBounds(_)
        | ExecutionError::DivisionByZero(_)
        | ExecutionError::RemainderByZero(_)
        | ExecutionError::Overflow(..) => false,
        ExecutionError::FunctionError { function, .. } => matches!(function.as_str(), TEXT | PART | "format"),
        _ => true,
    }
}

/// The failure that an error of a program is, and the byte of its text where it comes from.
pub(crate) fn diagnose(
    program: &IdedExpr,
    source: &Source,
    context: &Context<'_, 'static>,
    error: &ExecutionError,
) -> (Failure, usize) {
    if let ExecutionError::FunctionError { function, message } = error
        && matches!(function.as_str(), TEXT | PART)
    {
        let start = source.text().len() - source.text().trim_start().len();
        return (Failure::NotText { got: noun(message) }, start);
    }
    let origin = origin(program, context, error).unwrap_or(program);
    let is_missing = matches!(
        error,
        ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_)
    );
    let failure = match &origin.expr {
        Expr::Select(_) if is_missing => missing(origin),
        Expr::Call(call) if is_missing && call.func_name == operators::INDEX => missing(origin),
        _ => Failure::Other(cut(describe(origin, source, error))),
    };
    (failure, source.offset(origin))
}

fn missing(origin: &IdedExpr) -> Failure {
    Failure::MissingField {
        path: cut(path(origin)),
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The innermost node that fails with this error.
fn origin<'e>(
    node: &'e IdedExpr,
    context: &Context<'_, 'static>,
    error: &ExecutionError,
) -> Option<&'e IdedExpr> {
    if fails_with(node, context)? != *error {
        return None;
    }
    let inner = |child: &'e IdedExpr| origin(child, context, error);
    let deeper = match &node.expr {
        Expr::Call(call) => match call.args.as_slice() {
            [condition, yes, no] if call.func_name == operators::CONDITIONAL => {
                inner(condition).or_else(|| match Value::resolve(condition, context) {
                    Ok(Value::Bool(true)) => inner(yes),
                    _ => inner(no),
                })
            }
            args => args.iter().chain(call.target.as_deref()).find_map(inner),
        },
        Expr::Select(select) => inner(&select.operand),
        Expr::List(list) => list.elements.iter().find_map(inner),
        Expr::Map(map) => map.entries.iter().find_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => inner(&entry.key).or_else(|| inner(&entry.value)),
            EntryExpr::StructField(field) => inner(&field.value),
        }),
        Expr::Comprehension(comprehension) => inner(&comprehension.accu_init)
            .or_else(|| inner(&comprehension.iter_range))
            .or_else(|| in_turns(comprehension, context, error)),
        _ => None,
    };
    Some(deeper.unwrap_or(node))
}

/// The same inside of a loop, with the variables it binds.
fn in_turns<'e>(
    comprehension: &'e ComprehensionExpr,
    context: &Context<'_, 'static>,
    error: &ExecutionError,
) -> Option<&'e IdedExpr> {
    let mut scope = context.new_inner_scope();
    let init = Value::resolve(&comprehension.accu_init, context).ok()?;
    scope.add_variable_as_val(&comprehension.accu_var, <Box<dyn Val>>::try_from(init).ok()?);
    let items: Vec<Value> = match Value::resolve(&comprehension.iter_range, context).ok()? {
        Value::List(list) => list.iter().take(MAX_TURNS).cloned().collect(),
        Value::Map(map) => map.map.keys().take(MAX_TURNS).map(Value::from).collect(),
        _ => vec![],
    };
    let mut likely = None;
    for item in items {
        scope.add_variable_as_val(&comprehension.iter_var, <Box<dyn Val>>::try_from(item).ok()?);
        let step = &comprehension.loop_step;
        match fails_with(step, &scope) {
            Some(found) if found == *error => return origin(step, &scope, error),
            // The keys of the map may come in another order here, and another one fails first.
            Some(found) if likely.is_none() && discriminant(&found) == discriminant(error) => {
                likely = origin(step, &scope, &found);
            }
            _ => {}
        }
    }
    origin(&comprehension.result, &scope, error).or(likely)
}

fn fails_with(node: &IdedExpr, context: &Context<'_, 'static>) -> Option<ExecutionError> {
    let call = Expr::Call(CallExpr {
        target: None,
        func_name: NOTHING.to_owned(),
        args: vec![node.clone()],
    });
    Value::resolve(&IdedExpr { id: 0, expr: call }, context).err()
}

/// A node as it was written, as far as it leads to a field.
fn path(node: &IdedExpr) -> String {
    const REST: &str = "…";
    match &node.expr {
        Expr::Ident(name) => name.clone(),
        Expr::Select(select) => format!("{}.{}", path(&select.operand), select.field),
        Expr::Call(call) => match (&call.target, call.args.as_slice()) {
            (None, [list, index]) if call.func_name == operators::INDEX => {
                format!("{}[{}]", path(list), index_text(index))
            }
            (None, [map, key]) if call.func_name == operators::OPT_INDEX => {
                format!("{}[?{}]", path(map), index_text(key))
            }
            (None, [map, field]) if call.func_name == operators::OPT_SELECT => match &field.expr {
                Expr::Literal(LiteralValue::String(name)) => format!("{}.?{}", path(map), name.inner()),
                _ => REST.to_owned(),
            },
            (Some(target), []) => format!("{}.{}()", path(target), call.func_name),
            (Some(target), _) => format!("{}.{}({REST})", path(target), call.func_name),
            (None, _) if is_name(&call.func_name) => format!("{}({REST})", call.func_name),
            _ => format!("({REST})"),
        },
        _ => format!("({REST})"),
    }
}

fn index_text(index: &IdedExpr) -> String {
    match &index.expr {
        Expr::Literal(LiteralValue::String(key)) => {
            format!("'{}'", key.inner().replace('\\', r"\\").replace('\'', r"\'"))
        }
        Expr::Literal(LiteralValue::Int(index)) => index.inner().to_string(),
        Expr::Ident(_) | Expr::Select(_) => path(index),
        _ => "…".to_owned(),
    }
}

fn is_name(function: &str) -> bool {
    function.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn describe(origin: &IdedExpr, source: &Source, error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchOverload(overload) => {
            let types: Vec<_> = overload.argument_types().iter().map(|name| noun(name)).collect();
            let function = match source.name(origin) {
                name if is_name(overload.function())
                    && !name.is_empty()
                    && !overload.function().contains('.') =>
                {
                    name
                }
                _ => overload.function(),
            };
            match (function, types.as_slice()) {
                ("_._", [value, ..]) => format!("{value} has no fields"),
                (operators::INDEX, [value, index]) => format!("{value} has no index that is {index}"),
                (_, [value]) if overload.is_member_function() => {
                    format!("`{function}` does not work on {value}")
                }
                (_, [value, args @ ..]) if overload.is_member_function() => {
                    format!(
                        "`{function}` does not work on {value} with {}",
                        args.join(" and ")
                    )
                }
                _ => format!("`{}` does not take {}", symbol(function), types.join(" and ")),
            }
        }
        ExecutionError::UnsupportedBinaryOperator(operator, one, other) => {
            let symbol = match *operator {
                "add" => "+",
                "sub" => "-",
                "mul" => "*",
                "div" => "/",
                "rem" => "%",
                other => other,
            };
            format!("`{symbol}` does not take {} and {}", noun_of(one), noun_of(other))
        }
        ExecutionError::ValuesNotComparable(one, other) => {
            format!("{} and {} have no order", noun_of(one), noun_of(other))
        }
        ExecutionError::UnexpectedType { got, want } => format!("got {}, expected {}", noun(got), noun(want)),
        ExecutionError::UnsupportedKeyType(value) => format!("{} is no key of a map", noun_of(value)),
        ExecutionError::UnsupportedIndex(index, value) => {
            format!("{} has no index that is {}", noun_of(value), noun_of(index))
        }
        ExecutionError::FunctionError { function, message } => {
            let name = match source.name(origin) {
                name if !name.is_empty() && !function.contains('.') => name,
                _ => function,
            };
            format!("`{name}`: {}", reason(function, message))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "a number is out of range".to_owned(),
        ExecutionError::NoSuchKey(_) => "a key is missing".to_owned(),
        ExecutionError::IndexOutOfBounds(_) => "an element is missing".to_owned(),
        _ => "cannot be evaluated".to_owned(),
    }
}

/// Why a function fails, in place of cel's message, which may quote the argument.
fn reason<'a>(function: &str, message: &'a str) -> &'a str {
    match (function, message) {
        (_, "integer overflow" | "unsigned integer overflow") => "the number is out of range",
        ("int" | "uint" | "double", _) => "the text is no number",
        ("bool", _) => "the text is neither true nor false",
        ("string", _) => "the bytes are no text",
        ("duration", _) => "the text is no duration",
        ("timestamp", _) => "the text is no time",
        ("timezone", _) => "there is no such time zone",
        ("matches", _) => "the regular expression is not valid",
        ("value", _) => "the optional is empty",
        ("base64.decode", _) => "the text is not base64",
        ("charAt" | "indexOf" | "lastIndexOf" | "substring", _) => "the position is outside of the text",
        ("format", _) => "the text does not fit the arguments",
        ("optional.unwrap" | "sets.contains" | "sets.equivalent" | "sets.intersects", ours) => ours,
        _ => "failed",
    }
}

fn symbol(function: &str) -> &str {
    match function {
        operators::IN => "in",
        name => name.trim_matches('_'),
    }
}

fn noun_of(value: &Value) -> String {
    noun(&value.type_of().to_string())
}

/// A type of cel in plain words.
fn noun(name: &str) -> String {
    match name {
        "int" => "an int".to_owned(),
        "float" => "a double".to_owned(),
        "null" | "null_type" => "null".to_owned(),
        "bytes" => "bytes".to_owned(),
        "opaque" | "optional_type" => "an optional".to_owned(),
        "google.protobuf.Duration" => "a duration".to_owned(),
        "google.protobuf.Timestamp" => "a timestamp".to_owned(),
        "iterable" => "a list or a map".to_owned(),
        "map key" => "a key of a map".to_owned(),
        name => format!("a {name}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::evaluated;
    use crate::{Expression, Failure, Variables};
    use serde_json::json;

    #[test]
    fn a_missing_field_is_named_with_its_path() {
        let cases = [
            ("event.metadata.nope", "the event has no `event.metadata.nope`"),
            (
                "event.metadata['x/y']",
                "the event has no `event.metadata['x/y']`",
            ),
            (
                r"event.metadata['it\'s']",
                r"the event has no `event.metadata['it\'s']`",
            ),
            ("event.spec.template.name", "the event has no `event.spec`"),
            (
                "event.reason + event.metadata.nope",
                "the event has no `event.metadata.nope`",
            ),
            (
                "string(event.metadata.nope).lowerAscii()",
                "the event has no `event.metadata.nope`",
            ),
            (
                "['a', event.metadata.nope][0]",
                "the event has no `event.metadata.nope`",
            ),
            (
                "{'a': event.metadata.nope}.a",
                "the event has no `event.metadata.nope`",
            ),
            (
                "provider.metadata.labels.team",
                "the provider has no `provider.metadata.labels`",
            ),
            (
                "alert.metadata.labels.team",
                "the alert has no `alert.metadata.labels`",
            ),
            (
                "event.metadata[provider.metadata.uid]",
                "the event has no `event.metadata[provider.metadata.uid]`",
            ),
            (
                "event.metadata[event.message]",
                "the event has no `event.metadata[event.message]`",
            ),
            (
                "event.metadata[event.message + 'x']",
                "the event has no `event.metadata[…]`",
            ),
            ("event.sources[7].name", "the event has no `event.sources[7]`"),
            (
                "provider.metadata.uid.split('-')[7]",
                "the provider has no `provider.metadata.uid.split(…)[7]`",
            ),
            (
                "event.sources.map(source, source.name).join()",
                "there is no `source.name`",
            ),
            (
                "event.metadata.map(k, event.metadata.nope).join()",
                "the event has no `event.metadata.nope`",
            ),
            (
                "event.metadata.map(k, event.metadata[k + event.message]).join()",
                "the event has no `event.metadata[…]`",
            ),
            (
                "event.?metadata.optMap(m, event.spec.name).value()",
                "the event has no `event.spec`",
            ),
            ("{'a': 'b'}.nope", "there is no `(…).nope`"),
            // The same key is missing in a branch that is not taken.
            (
                "has(event.metadata.nope) ? event.metadata.nope : provider.nope",
                "the provider has no `provider.nope`",
            ),
            (
                "event.on ? provider.nope : alert.nope",
                "the provider has no `provider.nope`",
            ),
            (
                "event.nope == 'a' || event.on ? provider.nope : 'a'",
                "the provider has no `provider.nope`",
            ),
            (
                "event.metadata.?a.orValue(alert.nope)",
                "the alert has no `alert.nope`",
            ),
        ];
        for (text, failure) in cases {
            let found = evaluated(text).unwrap_err();
            assert_eq!(found.to_string(), failure, "{text}");
            assert!(matches!(found, Failure::MissingField { .. }), "{text}: {found:?}");
        }
    }

    #[test]
    fn other_failures_say_what_does_not_fit() {
        let not_text = |got: &str| Failure::NotText { got: got.into() };
        let other = |problem: &str| Failure::Other(problem.into());
        let cases = [
            ("event.count", not_text("an int")),
            ("event.on", not_text("a bool")),
            ("event.nothing", not_text("null")),
            ("event.sources", not_text("a list")),
            ("event.metadata.blank", Failure::Empty),
            ("''", Failure::Empty),
            (
                "event.half + 1 > 3.0 ? 'a' : 'b'",
                other("`+` does not take a double and an int"),
            ),
            ("event.nothing.name", other("null has no fields")),
            ("event.sources.name", other("a list has no fields")),
            (
                "event.sources['a']",
                other("a list has no index that is a string"),
            ),
            (
                "event.metadata.?nope.value()",
                other("`value`: the optional is empty"),
            ),
            (
                "string(int(event.message))",
                other("`int`: the text is no number"),
            ),
            ("string(int(1e300))", other("`int`: the number is out of range")),
            (
                "string(9223372036854775807 + size(event.reason))",
                other("a number is out of range"),
            ),
            ("string(1 / (size(event.reason) - 14))", other("division by zero")),
            (
                "string(timestamp(event.message))",
                other("`timestamp`: the text is no time"),
            ),
            (
                "string(duration(event.message))",
                other("`duration`: the text is no duration"),
            ),
            (
                "string(timestamp('2026-08-07T13:13:02Z').getHours(event.message))",
                other("`getHours`: there is no such time zone"),
            ),
            (
                "string(event.reason.matches(event.message + '('))",
                other("`matches`: the regular expression is not valid"),
            ),
            (
                "string(base64.decode(event.message + '!'))",
                other("`base64.decode`: the text is not base64"),
            ),
            (
                "event.reason.substring(90)",
                other("`substring`: the position is outside of the text"),
            ),
            (
                "event.pattern.format([event.message])",
                other("`format`: the text does not fit the arguments"),
            ),
            (
                "string(optional.unwrap([event.message]))",
                other("`optional.unwrap`: an element is no optional"),
            ),
        ];
        for (text, failure) in cases {
            assert_eq!(evaluated(text), Err(failure), "{text}");
        }
    }

    // The keys come in an order of their own each time, and only some are looked at.
    #[test]
    fn a_missing_field_is_named_in_a_loop_over_thousands() {
        let metadata: serde_json::Map<_, _> = (0..5000).map(|key| (key.to_string(), json!(""))).collect();
        let variables = Variables::new(json!({"metadata": metadata}), json!({}), json!({}), "");
        let expression = Expression::compile("event.metadata.map(k, alert[k]).join()").unwrap();
        let path = "alert[k]".to_owned();
        assert_eq!(
            expression.evaluate(&variables),
            Err(Failure::MissingField { path })
        );
    }

    #[test]
    fn a_failure_is_short() {
        let long = "k".repeat(3000);
        let failure = evaluated(&format!("event.metadata.{long}")).unwrap_err();
        let path = format!("event.metadata.{}…", &long[..185]);
        assert_eq!(failure, Failure::MissingField { path });
    }
}
