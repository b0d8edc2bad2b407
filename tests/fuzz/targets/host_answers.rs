//! A Git host's answer, whatever it holds: what is made of it is never worse than what it says. The input is a status,
//! headers, an empty line, and the body; the word `TOKEN` in it is the credential.

#![no_main]

use fuzz::{fields, head_and_body};
use hosts::{Access, GitHubApp, HostKind, PostError, refusal};
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use libfuzzer_sys::fuzz_target;
use shared::State;

const TOKEN: &str = "s3cr3t:t0k3nt0k3nt0k3n";
const PASSWORD: &str = "t0k3nt0k3nt0k3n";
/// The same, as Bitbucket is told it, and as Azure DevOps is.
const BASIC: &str = "czNjcjN0OnQwazNudDBrM250MGszbg==";
const BASIC_WITHOUT_USER: &str = "OnMzY3IzdDp0MGszbnQwazNudDBrM24=";

const MAX_MESSAGE_CHARS: usize = 200;
const LONGEST_HOLD: SignedDuration = SignedDuration::from_hours(24);

const REASONS: [&str; 7] = [
    refusal::FORBIDDEN,
    refusal::NOT_FOUND,
    refusal::STATUS_LIMIT,
    refusal::REJECTED,
    refusal::MOVED,
    refusal::GONE,
    refusal::CANNOT_TRANSITION,
];

fuzz_target!(|input: &[u8]| {
    let Some((head, body)) = head_and_body(input) else {
        return;
    };
    let (head, body) = (
        head.replace("TOKEN", TOKEN),
        String::from_utf8_lossy(body).replace("TOKEN", TOKEN),
    );
    let mut lines = head.lines();
    let Some(Ok(status)) = lines.next().map(|code| StatusCode::from_bytes(code.as_bytes())) else {
        return;
    };
    let headers: HeaderMap = fields(lines)
        .filter_map(|(name, value)| {
            Some((
                name.parse::<HeaderName>().ok()?,
                HeaderValue::from_bytes(value.as_bytes()).ok()?,
            ))
        })
        .collect();
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
    let is_page = content_type.is_some_and(|value| value.trim().starts_with("text/html"))
        || body.trim_start().starts_with('<');
    let arrived: Timestamp = "2026-08-07T13:13:02Z".parse().unwrap();

    for outcome in [
        GitHubApp::token(status, &headers, &body, arrived).map(drop),
        GitHubApp::found(status, &headers, &body, arrived).map(drop),
    ] {
        let taken = outcome.is_ok();
        assert!(
            !taken || status.is_success() || status == StatusCode::NOT_FOUND,
            "{status} {body}"
        );
    }
    for host_kind in HostKind::ALL {
        let secret = serde_json::json!({ "token": TOKEN }).to_string().into();
        let Ok(Access::Direct(credential)) = host_kind.access(&secret, None) else {
            panic!("{host_kind}");
        };
        for wanted in [State::Pending, State::Success, State::Failure, State::Superseded] {
            let outcome = host_kind
                .classify(wanted, status, &headers, &body, arrived)
                .map_err(|error| error.presented(&credential));
            if let Err(error) = &outcome {
                check_words(host_kind, error);
            }
            check_meaning(host_kind, status.as_u16(), is_page, &body, &outcome, arrived);
        }
    }
});

fn check_words(host_kind: HostKind, error: &PostError) {
    let message = error.message();
    assert!(
        !message.is_empty() && message.chars().count() <= MAX_MESSAGE_CHARS,
        "{message}"
    );
    assert!(!message.contains(char::is_control), "{message:?}");
    // The others know no parts of a token.
    let secrets: &[&str] = match host_kind {
        HostKind::Bitbucket => &[TOKEN, PASSWORD, BASIC],
        HostKind::AzureDevOps => &[TOKEN, BASIC_WITHOUT_USER],
        _ => &[TOKEN],
    };
    for secret in secrets {
        assert!(!format!("{error} {error:?}").contains(secret), "{error}");
    }
}

/// Whether the answer's words, however they are spelt and escaped, hold these.
fn says(body: &str, words: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(body)
        .is_ok_and(|body| body.to_string().to_ascii_lowercase().contains(words))
}

fn check_meaning(
    host_kind: HostKind,
    code: u16,
    is_page: bool,
    body: &str,
    outcome: &Result<(), PostError>,
    arrived: Timestamp,
) {
    // What went wrong has a name of its own at these, which counts whatever the status is.
    let names_its_class = match host_kind {
        HostKind::AzureDevOps => says(body, "exception"),
        HostKind::BitbucketServer => says(body, "exception"),
        _ => false,
    };
    let as_it_should_be = match outcome {
        Ok(()) => {
            let shows_it_already =
                host_kind == HostKind::GitLab && code == 400 && says(body, "transition status");
            (200..=299).contains(&code) && !is_page || shows_it_already
        }
        Err(PostError::Ambiguous(_)) => code == 408 || code >= 500,
        Err(PostError::NotSent(_)) => false,
        Err(PostError::Conflict(_)) => matches!(code, 409 | 425),
        Err(PostError::RateLimited { until, .. }) => {
            let hold = until.duration_since(arrived);
            matches!(code, 403 | 429) && hold > SignedDuration::ZERO && hold <= LONGEST_HOLD
        }
        Err(PostError::Unauthorized(_)) => code == 401 || host_kind == HostKind::AzureDevOps && code == 203,
        Err(PostError::UnknownCommit(_)) => matches!(code, 404 | 422) || names_its_class && code > 299,
        Err(PostError::Permanent { reason, .. }) => {
            REASONS.contains(reason)
                && match code {
                    200..=299 => is_page && *reason == refusal::REJECTED,
                    300..=399 => *reason == refusal::MOVED,
                    401 | 408 | 409 | 425 | 429 | 500.. => names_its_class,
                    _ => true,
                }
        }
    };
    assert!(as_it_should_be, "{host_kind} {code} {body}: {outcome:?}");
}
