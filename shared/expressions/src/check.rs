//! What can be known before an event: names, numbers of arguments, loops, regular expressions.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::{Context, ExecutionError, Value};

use crate::environment::{ENVIRONMENT, UNUSED};
use crate::program::Source;
use crate::{Problem, VARIABLES};

/// Loops of an expression, one after the other.
const MAX_LOOPS: usize = 8;
/// Below this likeness a suggestion would be a guess.
const LIKENESS: f64 = 0.6;

/// Functions that are called with their arguments alone, and how many those are.
const FUNCTIONS: &[(&str, &[usize])] = &[
    ("base64.decode", &[1]),
    ("base64.encode", &[1]),
    ("bool", &[1]),
    ("bytes", &[1]),
    ("double", &[1]),
    ("duration", &[1]),
    ("dyn", &[1]),
    ("has", &[1]),
    ("int", &[1]),
    ("matches", &[2]),
    ("optional.none", &[0]),
    ("optional.of", &[1]),
    ("optional.ofNonZeroValue", &[1]),
    ("optional.unwrap", &[1]),
    ("sets.contains", &[2]),
    ("sets.equivalent", &[2]),
    ("sets.intersects", &[2]),
    ("size", &[1]),
    ("string", &[1]),
    ("strings.quote", &[1]),
    ("timestamp", &[1]),
    ("type", &[1]),
    ("uint", &[1]),
];

/// Functions and macros that are called on a value.
const MEMBERS: &[(&str, &[usize])] = &[
    ("all", &[2]),
    ("charAt", &[1]),
    ("contains", &[1]),
    ("endsWith", &[1]),
    ("exists", &[2]),
    ("existsOne", &[2]),
    ("exists_one", &[2]),
    ("filter", &[2]),
    ("first", &[0]),
    ("format", &[1]),
    ("getDate", &[0, 1]),
    ("getDayOfMonth", &[0, 1]),
    ("getDayOfWeek", &[0, 1]),
    ("getDayOfYear", &[0, 1]),
    ("getFullYear", &[0, 1]),
    ("getHours", &[0, 1]),
    ("getMilliseconds", &[0, 1]),
    ("getMinutes", &[0, 1]),
    ("getMonth", &[0, 1]),
    ("getSeconds", &[0, 1]),
    ("hasValue", &[0]),
    ("indexOf", &[1, 2]),
    ("join", &[0, 1]),
    ("last", &[0]),
    ("lastIndexOf", &[1, 2]),
    ("lowerAscii", &[0]),
    ("map", &[2, 3]),
    ("matches", &[1]),
    ("optFlatMap", &[2]),
    ("optMap", &[2]),
    ("or", &[1]),
    ("orValue", &[1]),
    ("replace", &[2, 3]),
    ("reverse", &[0]),
    ("size", &[0]),
    ("split", &[1, 2]),
    ("startsWith", &[1]),
    ("substring", &[1, 2]),
    ("trim", &[0]),
    ("unwrapOpt", &[0]),
    ("upperAscii", &[0]),
    ("value", &[0]),
];

/// Checks a syntax tree.
pub(crate) fn check(expression: &IdedExpr, source: &Source) -> Result<(), Problem> {
    let mut checker = Checker {
        source,
        scope: vec![],
        loops: 0,
        is_in_loop: false,
    };
    checker.node(expression)
}

struct Checker<'e> {
    source: &'e Source,
    /// Variables of the loops around a node.
    scope: Vec<&'e str>,
    loops: usize,
    is_in_loop: bool,
}

impl<'e> Checker<'e> {
    fn node(&mut self, node: &'e IdedExpr) -> Result<(), Problem> {
        match &node.expr {
            Expr::Unspecified => Err(self.problem(node, "cannot be read")),
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(node, name),
            Expr::Select(_) if is_type(&qualified_name(node).unwrap_or_default()) => Ok(()),
            Expr::Select(select) => self.node(&select.operand),
            Expr::Call(call) => self.call(node, call),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.node(element)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.node(&entry.key)?;
                    self.node(&entry.value)
                }
                EntryExpr::StructField(field) => self.node(&field.value),
            }),
            Expr::Struct(message) => Err(self.problem(node, format!("unknown type `{}`", message.type_name))),
            Expr::Comprehension(comprehension) => self.comprehension(node, comprehension),
        }
    }

    fn problem(&self, node: &IdedExpr, problem: impl Into<String>) -> Problem {
        Problem::new(self.source.offset(node), problem)
    }

    fn variable(&self, node: &IdedExpr, name: &str) -> Result<(), Problem> {
        let is_bound = self.scope.contains(&name);
        // A dot before the name passes by the variables of loops.
        let scope = match name.starts_with('.') {
            true => &[],
            false => self.scope.as_slice(),
        };
        let name = name.trim_start_matches('.');
        if is_bound || VARIABLES.contains(&name) || is_type(name) {
            return Ok(());
        }
        let known = scope.iter().copied().chain(VARIABLES);
        let problem = match nearest(name, known.filter(|name| !name.starts_with(['@', '#']))) {
            Some(nearest) => format!("undeclared variable `{name}`; did you mean `{nearest}`?"),
            None => format!(
                "undeclared variable `{name}`; expected one of {}",
                VARIABLES.join(", ")
            ),
        };
        Err(self.problem(node, problem))
    }

    fn call(&mut self, node: &'e IdedExpr, call: &'e CallExpr) -> Result<(), Problem> {
        let Some(target) = &call.target else {
            if call
                .func_name
                .starts_with(|c: char| c.is_ascii_alphabetic() || c == '.')
            {
                self.function(node, call.func_name.trim_start_matches('.'), call.args.len())?;
            }
            call.args.iter().try_for_each(|arg| self.node(arg))?;
            return self.pattern(call);
        };
        if let Some(name) = self.qualified_function(target, &call.func_name) {
            self.function(target, &name, call.args.len())?;
        } else {
            self.node(target)?;
            self.member(node, &call.func_name, call.args.len())?;
        }
        call.args.iter().try_for_each(|arg| self.node(arg))?;
        self.pattern(call)
    }

    /// `strings.quote`, where `strings` is the beginning of the name of a function and no variable.
    fn qualified_function(&self, target: &IdedExpr, function: &str) -> Option<String> {
        let namespace = qualified_name(target)?;
        let name = format!("{}.{function}", namespace.trim_start_matches('.'));
        // cel decides so too: a function wins over a variable.
        if find(FUNCTIONS, &name).is_some() {
            return Some(name);
        }
        let root = name.split('.').next()?;
        let is_namespace = FUNCTIONS.iter().any(|(name, _)| {
            name.split_once('.')
                .is_some_and(|(namespace, _)| namespace == root)
        });
        (is_namespace && !self.scope.contains(&root)).then_some(name)
    }

    fn function(&self, at: &IdedExpr, name: &str, count: usize) -> Result<(), Problem> {
        if let Some(counts) = find(FUNCTIONS, name) {
            return self.count(at, name, counts, count);
        }
        if find(MEMBERS, name).is_some() {
            return Err(self.problem(at, format!("`{name}` is called on a value: `value.{name}(…)`")));
        }
        Err(self.unknown_function(at, name, FUNCTIONS))
    }

    fn member(&self, at: &IdedExpr, name: &str, count: usize) -> Result<(), Problem> {
        if let Some(counts) = find(MEMBERS, name) {
            return self.count(at, name, counts, count);
        }
        if find(FUNCTIONS, name).is_some() {
            return Err(self.problem(at, format!("`{name}` is called with a value: `{name}(value)`")));
        }
        Err(self.unknown_function(at, name, MEMBERS))
    }

    fn unknown_function(&self, at: &IdedExpr, name: &str, known: &[(&'static str, &[usize])]) -> Problem {
        let problem = match nearest(name, known.iter().map(|(name, _)| *name)) {
            Some(nearest) => format!("unknown function `{name}`; did you mean `{nearest}`?"),
            None => format!("unknown function `{name}`"),
        };
        self.problem(at, problem)
    }

    fn count(&self, at: &IdedExpr, name: &str, counts: &[usize], count: usize) -> Result<(), Problem> {
        if counts.contains(&count) {
            return Ok(());
        }
        let takes = match counts {
            [0] => "no arguments".to_owned(),
            [1] => "1 argument".to_owned(),
            [0, 1] => "at most 1 argument".to_owned(),
            counts => {
                let counts: Vec<_> = counts.iter().map(usize::to_string).collect();
                format!("{} arguments", counts.join(" or "))
            }
        };
        Err(self.problem(at, format!("`{name}` takes {takes}, not {count}")))
    }

    /// A pattern that is written out fails at every event if it is not valid.
    fn pattern(&self, call: &CallExpr) -> Result<(), Problem> {
        let Some(pattern) = call.args.last().filter(|_| call.func_name == "matches") else {
            return Ok(());
        };
        let Expr::Literal(LiteralValue::String(_)) = &pattern.expr else {
            return Ok(());
        };
        let call = Expr::Call(CallExpr {
            target: None,
            func_name: "matches".to_owned(),
            args: vec![pattern.clone(), pattern.clone()],
        });
        let context = Context::with_env(ENVIRONMENT.clone());
        match Value::resolve(&IdedExpr { id: 0, expr: call }, &context) {
            Err(ExecutionError::FunctionError { message, .. }) => {
                let why = message.lines().last().unwrap_or_default();
                let why = why.strip_prefix("error: ").unwrap_or(why);
                Err(self.problem(pattern, format!("the regular expression is not valid: {why}")))
            }
            _ => Ok(()),
        }
    }

    fn comprehension(
        &mut self,
        node: &'e IdedExpr,
        comprehension: &'e ComprehensionExpr,
    ) -> Result<(), Problem> {
        // `optMap` and the like bind a variable with a loop that takes no turn.
        let is_loop = comprehension.iter_var != UNUSED;
        self.node(&comprehension.iter_range)?;
        self.node(&comprehension.accu_init)?;
        if is_loop {
            self.loops += 1;
            if self.is_in_loop {
                return Err(self.problem(
                    node,
                    "a loop inside a loop takes quadratic time: an event may have thousands of metadata entries",
                ));
            }
            if self.loops > MAX_LOOPS {
                return Err(self.problem(node, format!("more than {MAX_LOOPS} loops")));
            }
        }
        let was_in_loop = self.is_in_loop;
        self.is_in_loop |= is_loop;
        self.scope
            .extend([comprehension.iter_var.as_str(), comprehension.accu_var.as_str()]);
        self.node(&comprehension.loop_cond)?;
        self.node(&comprehension.loop_step)?;
        self.node(&comprehension.result)?;
        self.scope.truncate(self.scope.len() - 2);
        self.is_in_loop = was_in_loop;
        Ok(())
    }
}

fn find(functions: &[(&str, &'static [usize])], name: &str) -> Option<&'static [usize]> {
    functions
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, counts)| *counts)
}

fn is_type(name: &str) -> bool {
    ENVIRONMENT.types().find_type(name).is_some()
}

/// `a.b.c`, if a node is nothing but that.
fn qualified_name(node: &IdedExpr) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", qualified_name(&select.operand)?, select.field))
        }
        _ => None,
    }
}

fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .map(|candidate| {
            let likeness = strsim::normalized_damerau_levenshtein(&lower, &candidate.to_lowercase());
            (likeness, candidate)
        })
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Expression;
    use crate::tests::{evaluated, refused};

    #[test]
    fn names_that_are_not_known_are_refused_with_the_nearest() {
        let cases = [
            (
                "evnt.reason",
                "column 1: undeclared variable `evnt`; did you mean `event`?",
            ),
            (
                "'é' + Events",
                "column 7: undeclared variable `Events`; did you mean `event`?",
            ),
            (
                ".evnt.reason",
                "column 2: undeclared variable `evnt`; did you mean `event`?",
            ),
            (
                "notification.name",
                "column 1: undeclared variable `notification`; expected one of event, provider, alert, cluster",
            ),
            (
                "event.metadata.map(key, kye).join()",
                "column 25: undeclared variable `kye`; did you mean `key`?",
            ),
            (
                "event.metadata.map(k, k).join(k)",
                "column 31: undeclared variable `k`; expected one of event, provider, alert, cluster",
            ),
            (
                "event.metadata.map(k, .k).join()",
                "column 24: undeclared variable `k`; expected one of event, provider, alert, cluster",
            ),
            (
                "event.?a.optMap(part, prat).value()",
                "column 23: undeclared variable `prat`; did you mean `part`?",
            ),
            (
                "'a' + evnt.optMap(x, x).value()",
                "column 7: undeclared variable `evnt`; did you mean `event`?",
            ),
            (
                "evnt.?a.orValue('b')",
                "column 1: undeclared variable `evnt`; did you mean `event`?",
            ),
            (
                "event.?a.orValue(evnt)",
                "column 18: undeclared variable `evnt`; did you mean `event`?",
            ),
            (
                "math.greatest(1, 2)",
                "column 1: undeclared variable `math`; expected one of event, provider, alert, cluster",
            ),
            (
                "event.reason.lowerAsci()",
                "column 14: unknown function `lowerAsci`; did you mean `lowerAscii`?",
            ),
            (
                "event.reason . lowercase ()",
                "column 16: unknown function `lowercase`; did you mean `lowerAscii`?",
            ),
            (
                "event.reason.frobnicate()",
                "column 14: unknown function `frobnicate`",
            ),
            (
                "'a' + strng(1)",
                "column 7: unknown function `strng`; did you mean `string`?",
            ),
            (
                "strings.qoute('a')",
                "column 1: unknown function `strings.qoute`; did you mean `strings.quote`?",
            ),
            (
                "google.protobuf.Struct{}",
                "column 17: unknown type `google.protobuf.Struct`",
            ),
        ];
        for (text, mistake) in cases {
            assert_eq!(refused(text), mistake, "{text}");
        }
    }

    #[test]
    fn functions_are_called_in_their_style_and_with_their_arguments() {
        let cases = [
            (
                "event.reason.split()",
                "column 14: `split` takes 1 or 2 arguments, not 0",
            ),
            (
                "event.reason.replace('a')",
                "column 14: `replace` takes 2 or 3 arguments, not 1",
            ),
            (
                "event.reason.trim('a')",
                "column 14: `trim` takes no arguments, not 1",
            ),
            (
                "['a'].join('a', 'b')",
                "column 7: `join` takes at most 1 argument, not 2",
            ),
            ("size()", "column 1: `size` takes 1 argument, not 0"),
            ("optional.of()", "column 1: `optional.of` takes 1 argument, not 0"),
            (
                "event.metadata.map(k)",
                "column 16: `map` takes 2 or 3 arguments, not 1",
            ),
            (
                "event.metadata.all()",
                "column 16: `all` takes 2 arguments, not 0",
            ),
            ("has()", "column 1: `has` takes 1 argument, not 0"),
            (
                "event.?a.orValue()",
                "column 10: `orValue` takes 1 argument, not 0",
            ),
            (
                "split('a', 'b')",
                "column 1: `split` is called on a value: `value.split(…)`",
            ),
            (
                "event.count.string()",
                "column 13: `string` is called with a value: `string(value)`",
            ),
        ];
        for (text, mistake) in cases {
            assert_eq!(refused(text), mistake, "{text}");
        }
    }

    #[test]
    fn names_that_are_bound_or_types_are_known() {
        let cases = [
            (
                "event.metadata.filter(k, k == 'a/b').map(k, event.metadata[k]).join()",
                "slash",
            ),
            (
                "['a', 'b'].map(event, event + cluster.substring(0, 0)).join()",
                "ab",
            ),
            ("['a'].map(event, .event.reason)[0]", "ApplySucceeded"),
            (
                "event.metadata.?environment.optMap(e, e + '!').value()",
                "production!",
            ),
            ("['a'].map(a, optional.of(a).optMap(b, a + b).value())[0]", "aa"),
            ("['a'].map(strings, strings.upperAscii())[0]", "A"),
            (
                "type(cluster) == string && type(event) == map && type(1) != google.protobuf.Timestamp ? 'a' : 'b'",
                "a",
            ),
            (".cluster", "prod-eu"),
            ("string(.size('a'))", "1"),
        ];
        for (text, result) in cases {
            assert_eq!(evaluated(text), Ok(result.to_owned()), "{text}");
        }
    }

    #[test]
    fn quadratic_work_is_refused() {
        const WHY: &str =
            "a loop inside a loop takes quadratic time: an event may have thousands of metadata entries";
        for (text, column) in [
            (
                "event.metadata.map(a, event.metadata.map(b, b).join()).join()",
                38,
            ),
            (
                "event.metadata.filter(a, event.metadata.exists(b, a == b)).join()",
                41,
            ),
            (
                "string(event.metadata.all(a, optional.of(a).optMap(b, [b].map(c, c)).hasValue()))",
                59,
            ),
        ] {
            assert_eq!(refused(text), format!("column {column}: {WHY}"), "{text}");
        }
        let chain = |loops: usize| format!("event.metadata{}.join()", ".map(k, k)".repeat(loops));
        assert!(Expression::compile(&chain(MAX_LOOPS)).is_ok());
        assert_eq!(refused(&chain(MAX_LOOPS + 1)), "column 96: more than 8 loops");
    }

    #[test]
    fn a_pattern_is_compiled_where_it_is_written_out() {
        let cases = [
            (
                "string('a'.matches('(')) + cluster",
                "column 20: the regular expression is not valid: unclosed group",
            ),
            (
                r"event.on && matches(cluster, r'\Qa\E') ? 'a' : 'b'",
                "column 30: the regular expression is not valid: unrecognized escape sequence",
            ),
        ];
        for (text, mistake) in cases {
            assert_eq!(refused(text), mistake, "{text}");
        }
    }

    #[test]
    fn every_function_of_the_tables_is_one_of_cels() {
        let is_unknown = |text: String| {
            let node = ENVIRONMENT.parser().parse(&text).unwrap();
            let context = Context::with_env(ENVIRONMENT.clone());
            let result = Value::resolve(&node, &context);
            matches!(result, Err(ExecutionError::UndeclaredReference(_)))
        };
        assert!(is_unknown("frobnicate(null)".to_owned()));
        assert!(is_unknown("null.frobnicate()".to_owned()));
        for (name, counts) in FUNCTIONS.iter().filter(|(name, _)| *name != "has") {
            for count in *counts {
                let args = ["null", "null"][..*count].join(", ");
                assert!(!is_unknown(format!("{name}({args})")), "{name}");
            }
        }
        for (name, counts) in MEMBERS {
            for count in *counts {
                let args = match count {
                    1 => "null".to_owned(),
                    // The first argument of a macro is a name.
                    count => ["x", "true", "true"][..*count].join(", "),
                };
                let args = if matches!(
                    *name,
                    "replace" | "indexOf" | "lastIndexOf" | "split" | "substring"
                ) {
                    args.replace('x', "null")
                } else {
                    args
                };
                assert!(!is_unknown(format!("optional.none().{name}({args})")), "{name}");
            }
        }
    }
}
