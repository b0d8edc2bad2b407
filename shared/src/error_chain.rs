//! A failure and all its causes on one line.

use std::error::Error;
use std::fmt;

/// Prints an error and the chain of its sources, separated by `: `.
///
/// Structured log formats print only the outer sentence of an error, and the SDK's own says next to nothing. A source
/// whose text its parent already ends with is left out.
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printed = self.0.to_string();
        f.write_str(&printed)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !printed.ends_with(&text) {
                write!(f, ": {text}")?;
                printed = text;
            }
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("connection refused")]
    struct Inner;

    #[derive(Debug, thiserror::Error)]
    #[error("could not read rules")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Transparent(#[source] Inner);

    #[test]
    fn prints_every_cause_once() {
        assert_eq!(
            ErrorChain(&Outer(Inner)).to_string(),
            "could not read rules: connection refused"
        );
        assert_eq!(ErrorChain(&Transparent(Inner)).to_string(), "connection refused");
    }
}
