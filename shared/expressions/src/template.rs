//! Text with expressions in it.

use std::fmt;
use std::sync::Arc;

use crate::program::{Gives, MAX_LENGTH, Program, too_long};
use crate::scan::scan;
use crate::{Failure, Mistake, Problem, Variables};

/// A compiled template: text in which `${…}` stands for what an expression gives, and `$${` for `${`.
///
/// An expression gives text, a number or a bool; numbers and bools are written as CEL's `string` writes them, whole
/// doubles without `.0`.
#[derive(Clone)]
pub struct Template {
    inner: Arc<Inner>,
}

struct Inner {
    text: String,
    parts: Vec<Part>,
}

enum Part {
    Literal(String),
    Expression(Program),
}

impl Template {
    /// Compiles a template and tries each expression on a sample event.
    ///
    /// # Errors
    /// The first mistake, and where in the template it is.
    pub fn compile(text: &str) -> Result<Self, Mistake> {
        let parts = parts(text).map_err(|problem| problem.in_text(text))?;
        let text = text.to_owned();
        Ok(Self {
            inner: Arc::new(Inner { text, parts }),
        })
    }

    /// The text for an event. It may be empty.
    ///
    /// # Errors
    /// Says what is missing or wrong, and quotes nothing of the event.
    pub fn evaluate(&self, variables: &Variables) -> Result<String, Failure> {
        let mut text = String::new();
        for part in &self.inner.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Expression(program) => text.push_str(&program.evaluate(&variables.context)?),
            }
        }
        Ok(text)
    }

    /// The template as it was written.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// What every result begins with: the text before the first expression.
    pub fn literal_prefix(&self) -> &str {
        match self.inner.parts.first() {
            Some(Part::Literal(literal)) => literal,
            _ => "",
        }
    }

    /// Whether no expression is in it.
    pub fn is_constant(&self) -> bool {
        !self
            .inner
            .parts
            .iter()
            .any(|part| matches!(part, Part::Expression(_)))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.text()).finish()
    }
}

fn parts(text: &str) -> Result<Vec<Part>, Problem> {
    if text.len() > MAX_LENGTH {
        return Err(too_long());
    }
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(length) = text[at..].find('$') {
        let dollar = at + length;
        literal.push_str(&text[at..dollar]);
        let rest = &text[dollar..];
        if rest.starts_with("$${") {
            literal.push_str("${");
            at = dollar + 3;
        } else if rest.starts_with("${") {
            let start = dollar + 2;
            let end = scan(text, start, true)?;
            let expression = &text[start..end];
            if expression.trim().is_empty() {
                return Err(Problem::new(dollar, "no expression in `${}`"));
            }
            let program = Program::compile(expression, Gives::Part).map_err(|problem| Problem {
                offset: start + problem.offset,
                ..problem
            })?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Expression(program));
            at = end + 1;
        } else {
            literal.push('$');
            at = dollar + 1;
        }
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::variables;

    fn evaluated(text: &str) -> Result<String, String> {
        let template = Template::compile(text).unwrap_or_else(|mistake| panic!("{text}: {mistake}"));
        assert_eq!(template.text(), text);
        template
            .evaluate(&variables())
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn expressions_stand_between_braces() {
        let cases = [
            ("", ""),
            (
                "no expression, $5 and {braces}$",
                "no expression, $5 and {braces}$",
            ),
            ("${cluster}", "prod-eu"),
            (
                "https://x/${cluster}/${event.reason}?a=b#c",
                "https://x/prod-eu/ApplySucceeded?a=b#c",
            ),
            ("$${cluster} $$ $$${cluster}", "${cluster} $$ $${cluster}"),
            ("$${", "${"),
            (r#"${'}'}${"}"}${'''}'''}${"""}"""}"#, "}}}}"),
            (r"${'\'}'}${r'\'}${R'\'}", r"'}\\"),
            (r"${'\\'}}", r"\}"),
            (r"${string(br'\')}", r"\"),
            ("${{'a': {'b': '}'}}.a.b}", "}"),
            ("${ cluster // }\n }", "prod-eu"),
            ("${'$${'}", "$${"),
            ("é${'🐱'}é", "é🐱é"),
            ("${''}", ""),
        ];
        for (text, result) in cases {
            assert_eq!(evaluated(text), Ok(result.to_owned()), "{text}");
        }
    }

    #[test]
    fn numbers_and_bools_are_written_as_text() {
        let cases = [
            ("${event.count}", Ok("3")),
            ("${event.half}/${-0.25}/${1234567.0}", Ok("1.5/-0.25/1234567")),
            ("${size(cluster)}/${-7}/${7u}", Ok("7/-7/7")),
            ("${event.on}/${event.count > 4}", Ok("true/false")),
            ("${event.sources}", Err("gives a list, expected text")),
            ("${event.nothing}", Err("gives null, expected text")),
            (
                "a ${event.metadata.nope}",
                Err("the event has no `event.metadata.nope`"),
            ),
        ];
        for (text, result) in cases {
            let result = result.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(evaluated(text), result, "{text}");
        }
    }

    #[test]
    fn a_mistake_is_where_it_is_in_the_whole_text() {
        let cases = [
            ("a${}", "column 2: no expression in `${}`"),
            ("é${ \n }", "line 1, column 2: no expression in `${}`"),
            ("a ${cluster", "column 3: unclosed `${`"),
            ("a ${'}", "column 5: unclosed string"),
            ("a ${ {'b': cluster }", "column 3: unclosed `${`"),
            ("a ${cluster // }", "column 3: unclosed `${`"),
            ("a ${(cluster}", "column 5: unclosed `(`"),
            ("a ${cluster)}", "column 12: unexpected `)`"),
            (
                "é ${evnt.a}",
                "column 5: undeclared variable `evnt`; did you mean `event`?",
            ),
            (
                "a\n${cluster}é ${'é' +\n  evnt}",
                "line 3, column 3: undeclared variable `evnt`; did you mean `event`?",
            ),
            (
                "${cluster} ${cluster +}",
                "column 23: unexpected end of the expression",
            ),
            (
                "${cluster} ${cluster.trim(1)}",
                "column 22: `trim` takes no arguments, not 1",
            ),
            (
                "${cluster} ${ event.reason + 1}",
                "column 28: `+` does not take a string and an int",
            ),
            (
                "${cluster} ${ event.metadata}",
                "column 15: gives a map, expected text",
            ),
        ];
        for (text, mistake) in cases {
            assert_eq!(
                Template::compile(text).unwrap_err().to_string(),
                mistake,
                "{text}"
            );
        }
    }

    #[test]
    fn tells_what_is_constant() {
        let cases = [
            ("", "", true),
            ("https://x", "https://x", true),
            ("https://x/$${a}/${cluster}/y", "https://x/${a}/", false),
            ("${cluster}/y", "", false),
            ("${'a'}", "", false),
        ];
        for (text, prefix, is_constant) in cases {
            let template = Template::compile(text).unwrap();
            let told = (template.literal_prefix(), template.is_constant());
            assert_eq!(told, (prefix, is_constant), "{text}");
        }
    }

    #[test]
    fn a_text_has_a_limit() {
        assert!(Template::compile(&"a".repeat(4096)).is_ok());
        let mistake = Template::compile(&"a".repeat(4097)).unwrap_err();
        assert_eq!(mistake.to_string(), "column 4097: longer than 4096 bytes");
    }
}
