//! What expressions can call, and values they can read.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators};
use cel::common::traits::Container;
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString, DYN_TYPE, Kind,
    LIST_TYPE,
};
use cel::common::value::{CowVal, Val};
use cel::parser::{Macro, MacroExprHelper};
use cel::{DeclarationError, Env, ExecutionError, extensions};
use serde_json::Value;

/// Around an expression: its result if that is text, otherwise an error with the type. No expression can call it.
pub(crate) const TEXT: &str = "@text";
/// The same for a part of a template, with numbers and bools as text too.
pub(crate) const PART: &str = "@part";
/// Around an expression whose error is looked for: spares the copy of a result.
pub(crate) const NOTHING: &str = "@nothing";

/// Compared by `sets.*` at most, each element of one list with each of the other.
const MAX_PAIRS: usize = 1_000_000;

/// Built once; it takes longer than to compile an expression.
pub(crate) static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // Fails only for a name that is declared twice, which a test would show.
    let _ = declare(&mut env);
    Arc::new(env)
});

fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    // As cel-go, where the last one counts.
    env.set_error_on_duplicate_map_keys(false);
    env.add_extension(extensions::strings)?;
    env.add_extension(extensions::encoders)?;

    env.add_member_overload("first", "list_first", LIST_TYPE, vec![], first)?;
    env.add_member_overload("last", "list_last", LIST_TYPE, vec![], last)?;
    env.add_overload(
        "optional.unwrap",
        "optional_unwrap",
        vec![LIST_TYPE],
        unwrap_optionals,
    )?;
    env.add_member_overload(
        "unwrapOpt",
        "optional_unwrapOpt",
        LIST_TYPE,
        vec![],
        unwrap_optionals,
    )?;
    env.add_macro(Macro::receiver("or", 1, |helper, target, args| {
        Ok(otherwise(helper, target, args, false))
    }))?;
    env.add_macro(Macro::receiver("orValue", 1, |helper, target, args| {
        Ok(otherwise(helper, target, args, true))
    }))?;

    let two_lists = || vec![LIST_TYPE, LIST_TYPE];
    env.add_overload("sets.contains", "list_sets_contains_list", two_lists(), contains)?;
    env.add_overload(
        "sets.equivalent",
        "list_sets_equivalent_list",
        two_lists(),
        equivalent,
    )?;
    env.add_overload(
        "sets.intersects",
        "list_sets_intersects_list",
        two_lists(),
        intersects,
    )?;

    env.add_overload(TEXT, TEXT, vec![DYN_TYPE], text)?;
    env.add_overload(PART, PART, vec![DYN_TYPE], part)?;
    env.add_overload(NOTHING, NOTHING, vec![DYN_TYPE], |_| Ok(CowVal::owned(CelNull)))
}

type Outcome<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

fn text<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    match args.pop() {
        Some(value) if value.get_type().kind() == Kind::String => Ok(value),
        value => Err(not_text(TEXT, value)),
    }
}

fn part<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    match args.pop() {
        Some(value) => match value.get_type().kind() {
            Kind::String => Ok(value),
            Kind::Boolean | Kind::Int | Kind::UInt | Kind::Double => {
                let args = vec![value];
                let string = ENVIRONMENT.find_overload("string", &args);
                string.ok_or_else(|| not_text(PART, None))?(args)
            }
            _ => Err(not_text(PART, Some(value))),
        },
        None => Err(not_text(PART, None)),
    }
}

fn not_text(function: &str, value: Option<CowVal<'_, '_>>) -> ExecutionError {
    let name = value
        .as_ref()
        .map_or("null_type", |value| value.get_type().name());
    ExecutionError::function_error(function, name)
}

fn first<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let [list] = lists(&args)?;
    Ok(optional(list.first().cloned()))
}

fn last<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let [list] = lists(&args)?;
    Ok(optional(list.last().cloned()))
}

fn optional<'b, 'v>(element: Option<Box<dyn Val + 'v>>) -> CowVal<'b, 'v> {
    CowVal::owned(CelOptional::from(element))
}

fn unwrap_optionals<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let [list] = lists(&args)?;
    let mut values = Vec::new();
    for element in list.iter() {
        match element.downcast_ref::<CelOptional>() {
            Some(optional) => values.extend(optional.option().map(Val::clone_as_boxed)),
            None => {
                return Err(ExecutionError::function_error(
                    "optional.unwrap",
                    "an element is no optional",
                ));
            }
        }
    }
    Ok(CowVal::owned(CelList::from(values)))
}

fn contains<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let [one, other] = pair("sets.contains", &args)?;
    Ok(CowVal::owned(CelBool::from(has_all(one, other)?)))
}

fn equivalent<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let [one, other] = pair("sets.equivalent", &args)?;
    let are_equivalent = has_all(one, other)? && has_all(other, one)?;
    Ok(CowVal::owned(CelBool::from(are_equivalent)))
}

fn intersects<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Outcome<'b, 'v> {
    let [one, other] = pair("sets.intersects", &args)?;
    for element in one.iter() {
        if other.contains(element.as_ref())? {
            return Ok(CowVal::owned(CelBool::from(true)));
        }
    }
    Ok(CowVal::owned(CelBool::from(false)))
}

fn has_all(list: &CelList<'_>, elements: &CelList<'_>) -> Result<bool, ExecutionError> {
    for element in elements.iter() {
        if !Container::contains(list, element.as_ref())? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn pair<'a, 'b, 'v>(
    function: &str,
    args: &'a [CowVal<'b, 'v>],
) -> Result<[&'a CelList<'v>; 2], ExecutionError> {
    let [one, other] = lists(args)?;
    if one.len().saturating_mul(other.len()) > MAX_PAIRS {
        return Err(ExecutionError::function_error(function, "the lists are too long"));
    }
    Ok([one, other])
}

fn lists<'a, 'b, 'v, const N: usize>(
    args: &'a [CowVal<'b, 'v>],
) -> Result<[&'a CelList<'v>; N], ExecutionError> {
    let lists: Vec<_> = args
        .iter()
        .filter_map(|arg| arg.downcast_ref::<CelList>())
        .collect();
    <[_; N]>::try_from(lists).map_err(|lists| ExecutionError::invalid_argument_count(N, lists.len()))
}

/// `a.orValue(b)` as `a.hasValue() ? a.value() : b`, and `a.or(b)` alike. As functions, which cel has them as, they would
/// fail where `b` does though nobody needs it: cel-go does not look at `b` if `a` has a value.
fn otherwise(
    helper: &mut MacroExprHelper<'_>,
    target: &mut Option<IdedExpr>,
    args: &mut Vec<IdedExpr>,
    of_value: bool,
) -> Option<IdedExpr> {
    // As cel itself binds the target of `optMap`: to what no expression can name, in a loop over nothing.
    const TARGET: &str = "@target";
    let (target, alternative) = (target.take()?, args.pop()?);
    let has_value = on_target(helper, TARGET, "hasValue");
    let value = match of_value {
        true => on_target(helper, TARGET, "value"),
        false => helper.next_expr(Expr::Ident(TARGET.to_owned())),
    };
    let result = helper.next_expr(Expr::Call(CallExpr {
        func_name: operators::CONDITIONAL.to_owned(),
        target: None,
        args: vec![has_value, value, alternative],
    }));
    let iter_range = helper.next_expr(Expr::List(ListExpr::new(vec![])));
    let loop_cond = helper.next_expr(Expr::Literal(LiteralValue::Boolean(false.into())));
    let loop_step = helper.next_expr(Expr::Ident(TARGET.to_owned()));
    Some(helper.next_expr(Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range,
        iter_var: UNUSED.to_owned(),
        iter_var2: None,
        accu_var: TARGET.to_owned(),
        accu_init: target,
        loop_cond,
        loop_step,
        result,
    }))))
}

/// The variable of a loop that only binds another one.
pub(crate) const UNUSED: &str = "#unused";

fn on_target(helper: &mut MacroExprHelper<'_>, target: &str, func_name: &str) -> IdedExpr {
    let target = helper.next_expr(Expr::Ident(target.to_owned()));
    helper.next_expr(Expr::Call(CallExpr {
        func_name: func_name.to_owned(),
        target: Some(Box::new(target)),
        args: vec![],
    }))
}

/// A JSON value as expressions see it.
pub(crate) fn to_val(value: Value) -> Box<dyn Val> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(bool) => Box::new(CelBool::from(bool)),
        // As Kubernetes has them: `ToUnstructured` knows whole numbers and others.
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Box::new(CelInt::from(whole)),
            None => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(string) => Box::new(CelString::from(string)),
        Value::Array(elements) => {
            let elements: Vec<_> = elements.into_iter().map(to_val).collect();
            Box::new(CelList::from(elements))
        }
        Value::Object(fields) => {
            let fields: HashMap<CelMapKey<'static>, Box<dyn Val>> = fields
                .into_iter()
                .map(|(key, value)| (CelMapKey::String(CelString::from(key)), to_val(value)))
                .collect();
            Box::new(CelMap::from(fields))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Failure;
    use crate::tests::{evaluated, refused};

    #[test]
    fn no_name_is_declared_twice() {
        assert_eq!(declare(&mut Env::stdlib()), Ok(()));
    }

    /// Each expression is a condition: it is to be true, or to fail so.
    fn hold(cases: &[(&str, Result<(), &str>)]) {
        for (condition, result) in cases {
            let found = evaluated(&format!("string({condition})"));
            let expected = match result {
                Ok(()) => Ok("true".to_owned()),
                Err(problem) => Err(Failure::Other((*problem).to_owned())),
            };
            assert_eq!(found, expected, "{condition}");
        }
    }

    // cel-go v0.27.0 ext/README.md "Strings" and ext/strings_test.go.
    #[test]
    fn p18_strings_are_as_in_cel_go() {
        let char_at = "`charAt`: the position is outside of the text";
        let index_of = "`indexOf`: the position is outside of the text";
        let last_index_of = "`lastIndexOf`: the position is outside of the text";
        let substring = "`substring`: the position is outside of the text";
        hold(&[
            ("'hello'.charAt(4) == 'o'", Ok(())),
            ("'hello'.charAt(5) == ''", Ok(())),
            ("'©αT'.charAt(1) == 'α'", Ok(())),
            ("'hello'.charAt(-1) == ''", Err(char_at)),
            (
                "'%% %d %s %.3f %x'.format([1, 'a', 1.2345, 30]) == '% 1 a 1.234 1e'",
                Ok(()),
            ),
            (
                "'%s'.format([['abc', 3.14, null, {'a': 1u}]]) == '[abc, 3.14, null, {a: 1}]'",
                Ok(()),
            ),
            ("'hello mellow'.indexOf('') == 0", Ok(())),
            ("'hello mellow'.indexOf('ello') == 1", Ok(())),
            ("'hello mellow'.indexOf('jello') == -1", Ok(())),
            ("'hello mellow'.indexOf('', 2) == 2", Ok(())),
            ("'hello mellow'.indexOf('ello', 2) == 7", Ok(())),
            ("'ta©o©αT'.indexOf('©', 3) == 4", Ok(())),
            ("'hello mellow'.indexOf('ello', -1) == -1", Err(index_of)),
            // True in cel-go.
            ("'hello mellow'.indexOf('ello', 20) == -1", Err(index_of)),
            ("['hello', 'mellow'].join() == 'hellomellow'", Ok(())),
            ("['hello', 'mellow'].join(' ') == 'hello mellow'", Ok(())),
            ("[].join() == '' && [].join('/') == ''", Ok(())),
            ("'hello mellow'.lastIndexOf('') == 12", Ok(())),
            ("'hello mellow'.lastIndexOf('ello') == 7", Ok(())),
            ("'hello mellow'.lastIndexOf('jello') == -1", Ok(())),
            ("'hello mellow'.lastIndexOf('ello', 6) == 1", Ok(())),
            ("'hello mellow'.lastIndexOf('ello', -1) == -1", Err(last_index_of)),
            // True in cel-go.
            ("'hello mellow'.lastIndexOf('ello', 20) == -1", Err(last_index_of)),
            ("'TacoCÆt Xii'.lowerAscii() == 'tacocÆt xii'", Ok(())),
            (
                r#"strings.quote('single-quote with "double quote"') == '"single-quote with \\"double quote\\""'"#,
                Ok(()),
            ),
            (
                r#"strings.quote("two escape sequences \a\n") == '"two escape sequences \\a\\n"'"#,
                Ok(()),
            ),
            ("'hello hello'.replace('he', 'we') == 'wello wello'", Ok(())),
            ("'hello hello'.replace('he', 'we', -1) == 'wello wello'", Ok(())),
            ("'hello hello'.replace('he', 'we', 1) == 'wello hello'", Ok(())),
            ("'hello hello'.replace('he', 'we', 0) == 'hello hello'", Ok(())),
            (
                "'hello hello'.replace('', '_') == '_h_e_l_l_o_ _h_e_l_l_o_'",
                Ok(()),
            ),
            (
                "'gums'.reverse() == 'smug' && 'John Smith'.reverse() == 'htimS nhoJ'",
                Ok(()),
            ),
            (
                "'hello hello hello'.split(' ') == ['hello', 'hello', 'hello']",
                Ok(()),
            ),
            ("'hello hello hello'.split(' ', 0) == []", Ok(())),
            (
                "'hello hello hello'.split(' ', 1) == ['hello hello hello']",
                Ok(()),
            ),
            (
                "'hello hello hello'.split(' ', 2) == ['hello', 'hello hello']",
                Ok(()),
            ),
            (
                "'hello hello hello'.split(' ', -1) == ['hello', 'hello', 'hello']",
                Ok(()),
            ),
            (
                "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco'",
                Ok(()),
            ),
            ("'ta©o©αT'.substring(2, 6) == '©o©α'", Ok(())),
            ("'tacocat'.substring(-1) == ''", Err(substring)),
            ("'tacocat'.substring(2, 1) == ''", Err(substring)),
            (
                r"'  \ttrim\n    '.trim() == 'trim' && '\u0085\u00a0\u1680text\u3000'.trim() == 'text'",
                Ok(()),
            ),
            (r"'\u180etext\u200b'.trim() == '\u180etext\u200b'", Ok(())),
            ("'TacoCÆt Xii'.upperAscii() == 'TACOCÆT XII'", Ok(())),
        ]);
    }

    // cel-go v0.27.0 ext/README.md "Sets" and ext/sets_test.go.
    #[test]
    fn p18_sets_are_as_in_cel_go() {
        hold(&[
            ("sets.contains([], [])", Ok(())),
            ("!sets.contains([], [1])", Ok(())),
            ("sets.contains([1, 2, 3, 4], [2, 3])", Ok(())),
            ("sets.contains([1, 2.0, 3u], [1.0, 2u, 3])", Ok(())),
            ("sets.contains([1], [1, 1])", Ok(())),
            ("sets.contains([[1], [2, 3]], [[2, 3.0]])", Ok(())),
            ("!sets.contains([1], ['1', 1])", Ok(())),
            ("!sets.contains([1], [1.1, 1u])", Ok(())),
            ("sets.equivalent([], [])", Ok(())),
            ("sets.equivalent([1], [1, 1])", Ok(())),
            ("sets.equivalent([1], [1u, 1.0])", Ok(())),
            ("sets.equivalent([1, 2, 3], [3u, 2.0, 1])", Ok(())),
            ("!sets.equivalent([2, 1], [1])", Ok(())),
            ("!sets.equivalent([1], [1, 2])", Ok(())),
            ("!sets.intersects([1], []) && !sets.intersects([], [])", Ok(())),
            ("sets.intersects([1], [1, 2])", Ok(())),
            ("sets.intersects([[1], [2, 3]], [[1, 2], [2, 3.0]])", Ok(())),
            (
                "!sets.intersects([1], ['1', 2]) && !sets.intersects([1], [1.1, 2u])",
                Ok(()),
            ),
        ]);
        let long = format!("'{}'.split('')", "a".repeat(1001));
        for function in ["contains", "equivalent", "intersects"] {
            let condition = format!("sets.{function}({long}, {long})");
            let problem = format!("`sets.{function}`: the lists are too long");
            hold(&[(&condition, Err(&problem))]);
        }
    }

    // cel-go v0.27.0 ext/encoders_test.go; its README calls the second one an error.
    #[test]
    fn p18_encoders_are_as_in_cel_go() {
        hold(&[
            ("base64.decode('aGVsbG8=') == b'hello'", Ok(())),
            ("base64.decode('aGVsbG8') == b'hello'", Ok(())),
            ("base64.encode(b'hello') == 'aGVsbG8='", Ok(())),
            (
                "base64.decode('!') == b''",
                Err("`base64.decode`: the text is not base64"),
            ),
        ]);
        assert_eq!(
            refused("base64.encode('hello')"),
            "column 8: `base64.encode` does not take a string"
        );
    }

    // cel-go v0.27.0 cel/library.go OptionalTypes and cel/cel_test.go.
    #[test]
    fn p18_optionals_are_as_in_cel_go() {
        hold(&[
            (
                "[].first() == optional.none() && [].last() == optional.none()",
                Ok(()),
            ),
            (
                "['a', 'b', 'c'].first() == optional.of('a') && [1, 2, 3].last().value() == 3",
                Ok(()),
            ),
            ("optional.unwrap([]) == [] && [].unwrapOpt() == []", Ok(())),
            (
                "optional.unwrap([optional.none(), optional.none()]) == []",
                Ok(()),
            ),
            (
                "optional.unwrap([optional.of(42), optional.none(), optional.of('a')]) == [42, 'a']",
                Ok(()),
            ),
            (
                "[optional.of(42), optional.none(), optional.of('a')].unwrapOpt() == [42, 'a']",
                Ok(()),
            ),
            (
                "optional.ofNonZeroValue('') == optional.none() && optional.ofNonZeroValue(1).hasValue()",
                Ok(()),
            ),
            (
                "{'a': {'b': 'c'}}.?a.b.orValue('') == 'c' && {}.?a.b.orValue('d') == 'd'",
                Ok(()),
            ),
            (
                "{'a': 'b'}[?'a'].value() == 'b' && [1][?1].orValue(2) == 2",
                Ok(()),
            ),
            (
                "{}.?a.or({'b': 1}.?b).value() == 1 && optional.of(1).or(optional.of(2)).value() == 1",
                Ok(()),
            ),
            ("{}.?a.or({}.?b).or(optional.of(3)).orValue(4) == 3", Ok(())),
            (
                "optional.of(42).optMap(y, y + 1).value() == 43 && !optional.none().optMap(y, y).hasValue()",
                Ok(()),
            ),
            ("{'k': {'s': 'v'}}.?k.optFlatMap(k, k.?s).value() == 'v'", Ok(())),
            (
                "[?optional.none(), ?optional.of(1)] == [1] && {?'a': optional.none()} == {}",
                Ok(()),
            ),
            ("!has({}.?a.b)", Ok(())),
            (
                "optional.none().value() == 1",
                Err("`value`: the optional is empty"),
            ),
            // What is not needed is not looked at.
            ("optional.of('a').orValue(event.metadata.nope) == 'a'", Ok(())),
            ("optional.of('a').or(event.metadata.nope).value() == 'a'", Ok(())),
            (
                "optional.of('a').optMap(x, x + optional.none().orValue(x)).orValue('') == 'aa'",
                Ok(()),
            ),
        ]);
    }

    // The rest of the environment in pkg runtime/cel/expression.go.
    #[test]
    fn p18_numbers_compare_across_types_and_times_are_in_utc() {
        hold(&[
            ("1 < 1.5 && 1u < 2 && 2.5 > 2u", Ok(())),
            ("timestamp('2026-08-07T23:30:00Z').getHours() == 23", Ok(())),
            (
                "timestamp('2026-08-07T23:30:00Z').getDate() == 7 && duration('90m').getHours() == 1",
                Ok(()),
            ),
            (
                "timestamp('2026-08-07T23:30:00Z').getDayOfMonth('Europe/Berlin') == 7",
                Ok(()),
            ),
            (
                "string(timestamp('2026-08-07T23:30:00+02:00')) == '2026-08-07T21:30:00Z'",
                Ok(()),
            ),
            (
                "event.metadata.exists(k, k == 'environment') && event.metadata.all(k, k != 'nope')",
                Ok(()),
            ),
            (
                "event.metadata.exists_one(k, k == 'a/b') && event.metadata.existsOne(k, k == 'a/b')",
                Ok(()),
            ),
            (
                "event.sources.map(s, has(s.name), s.name) == ['one'] && size(event.sources) == 2",
                Ok(()),
            ),
            ("{'a': 1, 'a': 2} == {'a': 2}", Ok(())),
            ("'main@sha1:5394'.matches('^[a-z]+@sha1:[0-9a-f]+$')", Ok(())),
        ]);
    }

    // Each of these is a line of the crate's list of differences.
    #[test]
    fn where_cel_go_refuses_or_gives_another_result() {
        let cases = [
            ("event.metadata.environment", "production"),
            (
                "event.metadata.environment + event.reason",
                "productionApplySucceeded",
            ),
            ("1 == '1' ? 'a' : 'b'", "b"),
            ("string([1, 'a'].size())", "2"),
            ("string([1] + {'a': 1} == [1, 'a'])", "true"),
            ("[?'a'][0]", "a"),
            ("'%s'.format(['a', 'b'])", "a"),
            ("string(1234567.0)", "1234567"),
            ("string(1.0 / 0.0)", "inf"),
            (r"'٣'.matches('^\\d$') ? 'a' : 'b'", "a"),
        ];
        for (text, result) in cases {
            assert_eq!(evaluated(text), Ok(result.to_owned()), "{text}");
        }
    }
}
