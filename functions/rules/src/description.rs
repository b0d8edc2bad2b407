//! What people read beside the state: Flux's reason in words, never the message, which may hold what does not belong
//! in public.

/// What a character is, where words begin and end.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Class {
    Lower,
    Upper,
    Digit,
    Other,
}

impl Class {
    fn of(c: char) -> Self {
        match c {
            c if c.is_lowercase() => Self::Lower,
            c if c.is_uppercase() => Self::Upper,
            c if c.is_numeric() => Self::Digit,
            _ => Self::Other,
        }
    }
}

/// Splits a reason where its words begin and lower-cases them, as notification-controller's `formatNameAndDescription`:
/// `HealthCheckFailed` → `health check failed`. A word is what follows a capital, several capitals, digits, or other signs;
/// of several capitals before a small letter the last one belongs to that.
pub fn describe(reason: &str) -> String {
    let mut words = String::with_capacity(reason.len() + 4);
    let chars: Vec<char> = reason.chars().collect();
    let class = |index: usize| chars.get(index).copied().map(Class::of);
    for (index, c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).and_then(class);
        let (here, after) = (class(index), class(index + 1));
        let starts_word = match (before, here) {
            (None, _) | (Some(Class::Upper), Some(Class::Lower)) => false,
            (Some(Class::Upper), Some(Class::Upper)) => after == Some(Class::Lower),
            (before, here) => before != here,
        };
        if starts_word {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_a_reason_in_words() {
        let cases = [
            ("ApplySucceeded", "apply succeeded"), // upstream util_test.go
            ("ReconciliationSucceeded", "reconciliation succeeded"),
            ("HealthCheckFailed", "health check failed"),
            ("Progressing", "progressing"),
            ("InvalidCELExpression", "invalid cel expression"),
            ("Phase2Done", "phase 2 done"),
            ("HTTP2Error", "http 2 error"),
            ("foo_Bar-Baz", "foo _ bar - baz"),
            ("部署Failed", "部署 failed"),
            ("A", "a"),
            ("ABc", "a bc"),
            ("info", "info"),
            ("", ""),
        ];
        for (reason, words) in cases {
            assert_eq!(describe(reason), words);
        }
    }
}
