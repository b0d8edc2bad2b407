//! What people read beside the state: Flux's reason in words, never the message, which may hold what does not belong
//! in public.

/// Splits a reason where its capitals start words and lower-cases them, as notification-controller's
/// `formatNameAndDescription`: `HealthCheckFailed` → `health check failed`.
pub fn describe(reason: &str) -> String {
    let mut words = String::with_capacity(reason.len() + 4);
    let chars: Vec<char> = reason.chars().collect();
    for (index, c) in chars.iter().enumerate() {
        let starts_word = c.is_uppercase() && index > 0 && {
            let before = chars[index - 1];
            let after_is_lower = chars.get(index + 1).is_some_and(|next| next.is_lowercase());
            before.is_lowercase() || before.is_numeric() || (before.is_uppercase() && after_is_lower)
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
            ("info", "info"),
            ("", ""),
        ];
        for (reason, words) in cases {
            assert_eq!(describe(reason), words);
        }
    }
}
