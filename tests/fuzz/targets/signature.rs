//! A header and a body: what the cluster's key made is believed, and nothing else is. The input is the header's value,
//! an empty line, and the body.

#![no_main]

use std::sync::LazyLock;

use fuzz::intake::keys::{RootKey, derive_cluster_key};
use fuzz::intake::signature::{Credential, X_SIGNATURE};
use fuzz::{head_and_body, sign};
use lambda_http::http::header::AUTHORIZATION;
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use secrecy::{ExposeSecret, SecretString};

static KEY: LazyLock<SecretString> = LazyLock::new(|| {
    let root = RootKey::new(&"root-key-one-root-key-one-root-key-one".into()).unwrap();
    derive_cluster_key(&root, "dev", 1)
});

fuzz_target!(|input: &[u8]| {
    let (value, body) = head_and_body(input).unwrap_or(("", input));
    let right = sign(&KEY, body);

    // The hexadecimal digits of a signature may be capital ones, as in Flux.
    assert!(is_signed(right.as_bytes(), body));
    let digits = right.trim_start_matches("sha256=");
    assert!(is_signed(
        format!("sha256={}", digits.to_uppercase()).as_bytes(),
        body
    ));
    let is_right = value
        .strip_prefix("sha256=")
        .is_some_and(|value| value.eq_ignore_ascii_case(digits));
    assert_eq!(is_signed(value.as_bytes(), body), is_right);

    let key = KEY.expose_secret();
    assert!(is_borne(format!("Bearer {key}").as_bytes()));
    let token = value
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    assert_eq!(
        is_borne(value.as_bytes()),
        token.is_some_and(|(_, token)| token == key)
    );

    // Any one change, at a place and by a difference the input chooses.
    let at = body
        .iter()
        .fold(0_usize, |sum, byte| sum * 31 % 1_000_003 + usize::from(*byte));
    let difference = (at % 255) as u8 + 1;
    if !body.is_empty() {
        let mut changed = body.to_vec();
        changed[at % body.len()] ^= difference;
        assert!(!is_signed(right.as_bytes(), &changed));
        assert!(!is_signed(right.as_bytes(), &body[..at % body.len()]));
    }
    assert!(!is_signed(right.as_bytes(), &[body, &[difference]].concat()));
    let mut changed = right.clone().into_bytes();
    let place = at % changed.len();
    changed[place] ^= difference;
    if !changed.eq_ignore_ascii_case(right.as_bytes()) || place < "sha256=".len() {
        assert!(!is_signed(&changed, body));
    }
    let mut changed = format!("Bearer {key}").into_bytes();
    let place = at % key.len() + "Bearer ".len();
    changed[place] ^= difference;
    assert!(!is_borne(&changed));
});

fn is_signed(value: &[u8], body: &[u8]) -> bool {
    is_believed(HeaderName::from_static(X_SIGNATURE), value, body)
}

fn is_borne(value: &[u8]) -> bool {
    is_believed(AUTHORIZATION, value, b"any")
}

fn is_believed(name: HeaderName, value: &[u8], body: &[u8]) -> bool {
    let Ok(value) = HeaderValue::from_bytes(value) else {
        return false;
    };
    let headers = HeaderMap::from_iter([(name, value)]);
    Credential::from_headers(&headers).is_ok_and(|credential| {
        assert!(!format!("{credential:?}").contains(KEY.expose_secret()));
        credential.was_made_with(&KEY, body)
    })
}
