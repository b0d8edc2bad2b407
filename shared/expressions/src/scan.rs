//! Finds where an expression ends, and what would make the parser's own message hard to read: strings and brackets that
//! are not closed. Everything else is left to the parser.

use crate::Problem;

/// Each operator, call and selection can be a level of the syntax tree, and each level costs stack where the tree is
/// walked. More than anyone writes.
const MAX_OPERATORS: usize = 250;
/// With `in`, and with each word that begins so.
const OPERATORS: &[u8] = b"+-*/%<>=?.[({";

/// Scans an expression that begins at a byte of the text. Inside of a template it ends at the `}` that is returned,
/// otherwise with the text.
pub(crate) fn scan(text: &str, from: usize, in_template: bool) -> Result<usize, Problem> {
    let bytes = text.as_bytes();
    let mut open = Vec::new();
    let mut operators = 0;
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => {
                at = string(text, at)?;
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at = text[at..].find('\n').map_or(text.len(), |length| at + length);
                continue;
            }
            b'(' | b'[' | b'{' => open.push(at),
            b'}' if in_template && open.is_empty() => return Ok(at),
            b')' | b']' | b'}' => match open.pop() {
                None => return Err(Problem::new(at, format!("unexpected `{}`", char::from(byte)))),
                Some(opening) if !closes(bytes[opening], byte) => return Err(unclosed(text, opening)),
                Some(_) => {}
            },
            _ => {}
        }
        let is_in = byte == b'n' && word_before(text, at + 1) == "in";
        if is_in || OPERATORS.contains(&byte) {
            operators += 1;
            if operators > MAX_OPERATORS {
                let problem = format!("more than {MAX_OPERATORS} operators, calls and fields");
                return Err(Problem::new(at, problem));
            }
        }
        at += 1;
    }
    match open.pop() {
        _ if in_template => Err(Problem::new(from.saturating_sub(2), "unclosed `${`")),
        Some(opening) => Err(unclosed(text, opening)),
        None => Ok(at),
    }
}

const fn closes(opening: u8, closing: u8) -> bool {
    matches!((opening, closing), (b'(', b')') | (b'[', b']') | (b'{', b'}'))
}

fn unclosed(text: &str, opening: usize) -> Problem {
    Problem::new(opening, format!("unclosed `{}`", &text[opening..=opening]))
}

/// Where a string literal ends whose first quote is at a byte of the text.
pub(crate) fn string(text: &str, at: usize) -> Result<usize, Problem> {
    let bytes = text.as_bytes();
    let quote = &text[at..=at];
    let is_triple = text[at..].starts_with(&quote.repeat(3));
    let quotes = if is_triple { 3 } else { 1 };
    let is_raw = matches!(word_before(text, at), "r" | "R" | "br" | "bR" | "Br" | "BR");
    let mut end = at + quotes;
    while let Some(&byte) = bytes.get(end) {
        match byte {
            b'\\' if !is_raw => end += escape(text, end)?,
            b'\n' | b'\r' if !is_triple => break,
            b'"' | b'\'' if text[end..].starts_with(&quote.repeat(quotes)) => return Ok(end + quotes),
            _ => end += 1,
        }
    }
    Err(Problem::new(at, "unclosed string"))
}

/// Length of an escape sequence.
fn escape(text: &str, at: usize) -> Result<usize, Problem> {
    let mut chars = text[at..].chars().skip(1);
    let Some(kind) = chars.next() else { return Ok(1) };
    let digits = match kind {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '?' | '"' | '\'' | '`' => 0,
        '0'..='3' => 2,
        'x' | 'X' => 2,
        'u' => 4,
        'U' => 8,
        _ => return Err(Problem::new(at, format!("unknown escape `\\{kind}`"))),
    };
    let radix = if kind.is_ascii_digit() { 8 } else { 16 };
    if chars.take(digits).filter(|digit| digit.is_digit(radix)).count() < digits {
        return Err(Problem::new(
            at,
            format!("`\\{kind}` needs {digits} digits after it"),
        ));
    }
    Ok(2 + digits)
}

/// The letters, digits and underscores right before a byte of the text.
pub(crate) fn word_before(text: &str, end: usize) -> &str {
    let before = &text[..end];
    let rest = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    &before[rest.len()..]
}

#[cfg(test)]
mod tests {
    use crate::tests::{MESSAGE, evaluated, refused, variables};
    use crate::{Expression, Template};
    use proptest::prelude::*;

    #[test]
    fn strings_and_brackets_that_are_not_closed_are_shown_where_they_begin() {
        let cases = [
            ("'abc", "column 1: unclosed string"),
            ("'é' + \"abc", "column 7: unclosed string"),
            ("'abc\n'", "line 1, column 1: unclosed string"),
            ("'''abc''", "column 1: unclosed string"),
            (r"'abc\", "column 1: unclosed string"),
            ("(event.reason", "column 1: unclosed `(`"),
            ("event.reason)", "column 13: unexpected `)`"),
            ("[event.reason)", "column 1: unclosed `[`"),
            ("{'a': [event.reason}", "column 7: unclosed `[`"),
            ("event.reason }", "column 14: unexpected `}`"),
            (r"'a\q'", r"column 3: unknown escape `\q`"),
            (r"'é' + '\x4'", r"column 8: `\x` needs 2 digits after it"),
            (r"'\u12'", r"column 2: `\u` needs 4 digits after it"),
            (r"'\18'", r"column 2: `\1` needs 2 digits after it"),
        ];
        for (text, mistake) in cases {
            assert_eq!(refused(text), mistake, "{text}");
        }
    }

    #[test]
    fn strings_are_read_as_cel_reads_them() {
        let cases = [
            (r#"'a"b' + "a'b""#, r#"a"ba'b"#),
            (r"'(' + '\'[' + r'\{' + '//'", r"('[\{//"),
            ("'''a'b\n''' + \"\"\"a\"b\"\"\"", "a'b\na\"b"),
            (r"'\x41\u00e9\U0001f431\101\n!'", "Aé🐱A\n!"),
            ("cluster // ' ( \"", "prod-eu"),
            ("cluster // é\n + '!'", "prod-eu!"),
            (r"string(b'\x41') + string(bR'\q')", r"A\q"),
        ];
        for (text, result) in cases {
            assert_eq!(evaluated(text), Ok(result.to_owned()), "{text}");
        }
    }

    /// In a quarter of what a thread has.
    fn in_little_stack(test: impl FnOnce() + Send + 'static) {
        let thread = std::thread::Builder::new().stack_size(512 * 1024).spawn(test);
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn deep_texts_are_refused_before_they_cost_the_stack() {
        in_little_stack(|| {
            for piece in [
                "(",
                "[",
                "{",
                "!",
                "-",
                "true?'a':",
                ".a",
                "'a'+",
                "1<",
                "1 in ",
                "[0]",
                ".size()",
                "true&&",
                ".map(x,x)",
                "event.optMap(x,",
                ".?b",
                "[?",
                "{?'a':",
                "${",
                "'",
                "\\",
                "optional.none().orValue(",
            ] {
                for beginning in ["", "event"] {
                    let text = format!("{beginning}{}", piece.repeat(4096));
                    let text = &text[..4096];
                    assert!(Expression::compile(text).is_err(), "{text}");
                    let _ = Template::compile(text);
                }
            }
        });
        assert_eq!(refused(&"a".repeat(4097)), "column 4097: longer than 4096 bytes");
        assert_eq!(
            refused(&format!("event{}", ".é".repeat(251))),
            "column 506: more than 250 operators, calls and fields"
        );
        assert_eq!(
            refused(&format!("'é' + {}'a'{}", "(".repeat(40), ")".repeat(40))),
            "column 40: more than 32 brackets or conditions inside each other"
        );
    }

    #[test]
    fn the_deepest_texts_that_are_taken_do_not_cost_the_stack() {
        in_little_stack(|| {
            let nested = |before: &str, after: &str| format!("{}'a'{}", before.repeat(31), after.repeat(31));
            for text in [
                format!("'a'{}", "+'a'".repeat(250)),
                format!("cluster{}", ".trim()".repeat(125)),
                format!("string(''{})", " in event.nope".repeat(124)),
                format!("cluster{}", "+event.nope".repeat(125)),
                nested("(", ")"),
                nested("[", "][0]"),
                nested("{'a':", "}.a"),
                nested("string(", ")"),
                nested("optional.of('a').optMap(x,", ").value()"),
                nested("optional.none().orValue(", ")"),
                nested("false?'b':", ""),
            ] {
                let expression =
                    Expression::compile(&text).unwrap_or_else(|mistake| panic!("{text}: {mistake}"));
                let _ = expression.evaluate(&variables());
            }
        });
    }

    /// Pieces of expressions in any order.
    fn soup() -> impl Strategy<Value = String> {
        let pieces = "event;event.metadata;.reason;.?a;[?'a'];[0];cluster;';\";''';\\;\\u00;(;);[;];{;};${;$;:;?;,;.;+;-;!;&&;\
                      ||;==; in ;//;\n;\r;é;🐱;\0;1;1u;1.5;0x;1e9;null;true;if;x;r';b';`;@;has(;.map(x,;.exists(x,;\
                      .optMap(x,;.orValue(;.format([;.split('-');.first();.value();.substring(;size(;string(;int(;\
                      timestamp(;duration(;sets.contains(;optional.of(;base64.decode(;.getHours(;.matches(";
        let pieces: Vec<_> = pieces.split(';').collect();
        prop::collection::vec(prop::sample::select(pieces), 0..16).prop_map(|pieces| pieces.concat())
    }

    fn holds(text: &str) {
        let variables = variables();
        for compiled in [
            Expression::compile(text).map(|expression| expression.evaluate(&variables)),
            Template::compile(text).map(|template| template.evaluate(&variables)),
        ] {
            match compiled {
                Ok(Ok(_)) => {}
                Ok(Err(failure)) => assert!(!failure.to_string().contains(MESSAGE), "{text:?}: {failure}"),
                Err(mistake) => {
                    let line = text.split('\n').nth(mistake.line - 1).unwrap();
                    let columns = 1..=line.chars().count() + 1;
                    assert!(columns.contains(&mistake.column), "{text:?}: {mistake}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_compiled_or_refused_at_a_place_in_it(text in "(?s).*", soup in soup()) {
            holds(&text);
            holds(&soup);
        }
    }
}
