//! What the answers of all hosts have in common.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{PostError, refusal};

/// GitHub's advice where no instant is named; the others give none:
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>.
const UNNAMED_HOLD: SignedDuration = SignedDuration::from_secs(60);

/// No documented window is longer than an hour; a nonsense value must not stop a credential for good.
const LONGEST_HOLD: SignedDuration = SignedDuration::from_hours(24);

/// An answer as it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a str,
}

impl Answer<'_> {
    /// The body, `null` if it is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.body).unwrap_or_default()
    }

    /// Status and text on one line; the text of hosts that begin with the status, as GitLab, is enough.
    pub(crate) fn message(&self, text: &str) -> String {
        let text = match text {
            // Nor are there words in an answer that says so itself.
            "" if self.is_page() || self.json()["message"] == "" => "",
            "" => self.body.trim(),
            text => text,
        };
        let code = self.status.as_str();
        if text.is_empty() {
            self.status.to_string()
        } else if text.starts_with(code) {
            text.to_owned()
        } else {
            format!("{code} {text}")
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// The instant a header names in seconds since 1970.
    pub(crate) fn epoch(&self, name: &str) -> Option<Timestamp> {
        Timestamp::from_second(self.header(name)?.parse().ok()?).ok()
    }

    pub(crate) fn asks_to_wait(&self) -> bool {
        self.headers.contains_key(RETRY_AFTER)
    }

    /// Holds until what `Retry-After` says, else until the instant the host named in its own way. `now` is when the
    /// answer arrived.
    pub(crate) fn rate_limited(
        &self,
        named: Option<Timestamp>,
        too_fast: bool,
        text: &str,
        now: Timestamp,
    ) -> PostError {
        let after = |hold| now.checked_add(hold).unwrap_or(Timestamp::MAX);
        let until = self
            .retry_after(now)
            .or(named)
            // An instant that has passed says nothing but that the clocks differ.
            .filter(|until| *until > now)
            .unwrap_or_else(|| after(UNNAMED_HOLD))
            .min(after(LONGEST_HOLD));
        PostError::RateLimited {
            until,
            too_fast,
            message: self.message(text),
        }
    }

    /// Seconds or a date: <https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>.
    fn retry_after(&self, now: Timestamp) -> Option<Timestamp> {
        let value = self.header(RETRY_AFTER.as_str())?;
        match value.parse::<i64>() {
            Ok(seconds) => Some(
                now.checked_add(SignedDuration::from_secs(seconds))
                    .unwrap_or(Timestamp::MAX),
            ),
            Err(_) => DateTimeParser::new().parse_timestamp(value).ok(),
        }
    }

    /// A page for people: a proxy, a login, a wrong address.
    pub(crate) fn is_page(&self) -> bool {
        let html = self
            .header(CONTENT_TYPE.as_str())
            .is_some_and(|value| value.starts_with("text/html"));
        html || self.body.trim_start().starts_with('<')
    }

    /// What the status alone means, with the host's words for it.
    pub(crate) fn classify(&self, text: &str, now: Timestamp) -> Result<(), PostError> {
        let message = self.message(text);
        let refused = |reason| Err(PostError::permanent(reason, message.clone()));
        match self.status.as_u16() {
            200..=299 if self.is_page() => Err(PostError::permanent(
                refusal::REJECTED,
                format!("{} with a page instead of an API's answer", self.status),
            )),
            200..=299 => Ok(()),
            300..=399 => refused(refusal::MOVED),
            401 => Err(PostError::Unauthorized(message)),
            429 => Err(self.rate_limited(None, true, text, now)),
            403 if self.asks_to_wait() => Err(self.rate_limited(None, true, text, now)),
            403 => refused(refusal::FORBIDDEN),
            404 => refused(refusal::NOT_FOUND),
            408 | 500.. => Err(PostError::Ambiguous(message)),
            409 | 425 => Err(PostError::Conflict(message)),
            410 => refused(refusal::GONE),
            _ => refused(refusal::REJECTED),
        }
    }
}

/// All text in a JSON value, in its order: hosts put messages in strings, lists and maps of lists.
pub(crate) fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => joined(values.iter().map(texts)),
        Value::Object(fields) => joined(fields.iter().map(|(name, value)| match texts(value) {
            text if text.is_empty() => text,
            text => format!("{name}: {text}"),
        })),
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    }
}

/// Those that are not empty, with `; ` between.
pub(crate) fn joined(texts: impl IntoIterator<Item = String>) -> String {
    let texts: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    texts.join("; ")
}

/// What the tables of the hosts' tests are written with.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    pub(crate) const NOW: i64 = 1_786_108_382;

    pub(crate) fn now() -> Timestamp {
        at(NOW)
    }

    pub(crate) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    pub(crate) fn headers(headers: &[(&'static str, &str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    /// `ok`, the name of the decision, `forbidden` and its like, or `until +60` in seconds from now, and `used up until +60`
    /// if the posts did not come too fast.
    pub(crate) fn decision(outcome: &Result<(), PostError>) -> String {
        match outcome {
            Ok(()) => "ok".into(),
            Err(PostError::Ambiguous(_)) => "ambiguous".into(),
            Err(PostError::NotSent(_)) => "not sent".into(),
            Err(PostError::Conflict(_)) => "conflict".into(),
            Err(PostError::RateLimited { until, too_fast, .. }) => {
                let used_up = if *too_fast { "" } else { "used up " };
                format!("{used_up}until +{}", until.as_second() - NOW)
            }
            Err(PostError::Unauthorized(_)) => "unauthorized".into(),
            Err(PostError::UnknownCommit(_)) => "unknown commit".into(),
            Err(PostError::Permanent { reason, .. }) => (*reason).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;

    fn classify(code: u16, fields: &[(&'static str, &str)], body: &str) -> Result<(), PostError> {
        Answer {
            status: StatusCode::from_u16(code).unwrap(),
            headers: &headers(fields),
            body,
        }
        .classify("", now())
    }

    #[test]
    fn every_status_is_a_decision() {
        let cases = [
            (200, "ok"),
            (201, "ok"),
            (202, "ok"),
            (301, "moved"),
            (303, "moved"),
            (308, "moved"),
            (400, "rejected"),
            (401, "unauthorized"),
            (403, "forbidden"),
            (404, "not-found"),
            (405, "rejected"),
            (408, "ambiguous"),
            (409, "conflict"),
            (410, "gone"),
            (413, "rejected"),
            (422, "rejected"),
            (425, "conflict"),
            (429, "until +60"),
            (451, "rejected"),
            (500, "ambiguous"),
            (502, "ambiguous"),
            (503, "ambiguous"),
            (504, "ambiguous"),
            (520, "ambiguous"),
            (599, "ambiguous"),
        ];
        for (code, expected) in cases {
            assert_eq!(decision(&classify(code, &[], "{}")), expected, "{code}");
        }
    }

    #[test]
    fn holds_until_the_instant_that_was_named() {
        let cases = [
            ("1", "until +1"),
            ("3600", "until +3600"),
            (" 90 ", "until +90"),
            // 1,786,108,382 seconds since 1970 are 13:13:02 that day.
            ("Fri, 07 Aug 2026 13:20:02 GMT", "until +420"),
            ("Fri, 7 Aug 2026 13:20:02 +0000", "until +420"),
            // Nothing to go by.
            ("0", "until +60"),
            ("-5", "until +60"),
            ("soon", "until +60"),
            ("", "until +60"),
            ("1.5", "until +60"),
            ("99999999999999999999999", "until +60"),
            ("Fri, 07 Aug 2026 13:10:02 GMT", "until +60"),
            // Nonsense.
            ("9223372036854775807", "until +86400"),
            ("864000", "until +86400"),
            ("Fri, 07 Aug 2065 13:20:02 GMT", "until +86400"),
        ];
        for (value, expected) in cases {
            for code in [403, 429] {
                let outcome = classify(code, &[("retry-after", value)], "");
                assert_eq!(decision(&outcome), expected, "{code} {value}");
            }
        }
        assert_eq!(
            decision(&classify(503, &[("retry-after", "5")], "")),
            "ambiguous",
            "a 503 may have been taken"
        );
    }

    #[test]
    fn a_page_is_no_answer() {
        let page = "<!DOCTYPE html><title>Sign in</title>";
        let html = [("content-type", "text/html; charset=utf-8")];

        let login = classify(200, &html, page).unwrap_err();
        assert_eq!(
            login,
            PostError::permanent("rejected", "200 OK with a page instead of an API's answer")
        );
        let proxy = classify(502, &html, page).unwrap_err();
        assert_eq!(proxy.message(), "502 Bad Gateway");
        assert_eq!(
            classify(503, &[], "no healthy upstream").unwrap_err().message(),
            "503 no healthy upstream"
        );
    }

    #[test]
    fn finds_the_text_in_any_shape() {
        let cases = [
            (r#""a""#, "a"),
            (
                r#"{"name":["is too long","is odd"],"state":[]}"#,
                "name: is too long; is odd",
            ),
            (r#"[1,null,true,"a",["b"]]"#, "a; b"),
        ];
        for (json, expected) in cases {
            assert_eq!(texts(&serde_json::from_str(json).unwrap()), expected);
        }
    }
}
