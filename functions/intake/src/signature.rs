//! The two ways a cluster can show that it has its key: a signature over the body, as Flux's `generic-hmac`
//! Provider sends it, or the key itself as a bearer token, which a `generic` Provider can be told to send.
//!
//! <https://fluxcd.io/flux/components/notification/providers/#generic-webhook-with-hmac>

use hmac::{Hmac, KeyInit, Mac};
use lambda_http::http::header::AUTHORIZATION;
use lambda_http::http::{HeaderMap, HeaderName};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::refusal::Distrust;

/// The header with the signature.
pub const X_SIGNATURE: &str = "x-signature";

/// Flux's documentation keeps other algorithms open; it has never sent one.
const ALGORITHM: &str = "sha256=";

/// Bytes of an HMAC-SHA256.
const SIGNATURE_BYTES: usize = 32;

/// What a request offers to be believed.
#[derive(Debug)]
pub enum Credential {
    /// `X-Signature`.
    Signature([u8; SIGNATURE_BYTES]),
    /// `Authorization: Bearer`.
    Bearer(SecretString),
}

impl Credential {
    /// Finds the credential. `X-Signature` decides if it is there, even if it is odd and a bearer token is
    /// not.
    ///
    /// # Errors
    /// If there is none, if there are two, or if it has another form.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, Distrust> {
        if let Some(value) = only(
            headers,
            &HeaderName::from_static(X_SIGNATURE),
            Distrust::Signature,
        )? {
            return parse_signature(value)
                .map(Self::Signature)
                .ok_or(Distrust::Signature);
        }
        let value = only(headers, &AUTHORIZATION, Distrust::Bearer)?.ok_or(Distrust::Missing)?;
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => {
                Ok(Self::Bearer(token.into()))
            }
            _ => Err(Distrust::Bearer),
        }
    }

    /// Whether whoever made it has this key. Takes the same time wherever the first difference is.
    pub fn was_made_with(&self, key: &SecretString, body: &[u8]) -> bool {
        let key = key.expose_secret().as_bytes();
        match self {
            Self::Signature(signature) => {
                mac(key, body).is_some_and(|mac| mac.verify_slice(signature).is_ok())
            }
            // Of two texts only the codes are compared, whose differences say nothing about the texts.
            Self::Bearer(token) => mac(key, key).is_some_and(|expected| {
                mac(key, token.expose_secret().as_bytes())
                    .is_some_and(|mac| mac.verify(&expected.finalize().into_bytes()).is_ok())
            }),
        }
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName, odd: Distrust) -> Result<Option<&'a str>, Distrust> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(odd);
    }
    value.to_str().map(Some).map_err(|_| odd)
}

fn parse_signature(value: &str) -> Option<[u8; SIGNATURE_BYTES]> {
    let mut signature = [0; SIGNATURE_BYTES];
    hex::decode_to_slice(value.strip_prefix(ALGORITHM)?, &mut signature).ok()?;
    Some(signature)
}

// HMAC takes keys of any length; should that ever change, nothing is believed.
fn mac(key: &[u8], message: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(message);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::Path;

    // notification-controller internal/notifier/forwarder_test.go TestForwarder_Post.
    const UPSTREAM_KEY: &str = "7152fed34dd6149a7c75a276c510da27cb6f82b0";
    const UPSTREAM_BODY: &str = concat!(
        r#"{"involvedObject":{"kind":"GitRepository","namespace":"gitops-system","name":"webapp"},"#,
        r#""severity":"info","timestamp":"2022-09-30T06:40:29Z","message":"message","reason":"reason","#,
        r#""metadata":{"test":"metadata"},"reportingController":"source-controller","#,
        r#""reportingInstance":"source-controller-xyz"}"#
    );
    const UPSTREAM_SIGNATURE: &str =
        "sha256=65b018549b1254e7226d1c08f9567ee45bc9de0fc4e7b1a40253f9a018b08be7";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    fn credential(pairs: &[(&'static str, &str)]) -> Result<Credential, Distrust> {
        Credential::from_headers(&headers(pairs))
    }

    fn is_signed(signature: &str, key: &str, body: &[u8]) -> bool {
        credential(&[(X_SIGNATURE, signature)])
            .unwrap()
            .was_made_with(&key.into(), body)
    }

    #[test]
    fn p18_upstreams_signature_is_right_in_either_case() {
        let upper = format!("sha256={}", UPSTREAM_SIGNATURE[ALGORITHM.len()..].to_uppercase());
        for signature in [UPSTREAM_SIGNATURE, &upper] {
            assert!(is_signed(signature, UPSTREAM_KEY, UPSTREAM_BODY.as_bytes()));
        }
    }

    #[test]
    fn p8_another_key_body_or_signature_is_wrong() {
        let body = UPSTREAM_BODY.as_bytes();
        let reformatted = UPSTREAM_BODY.replace(':', ": ");
        let changed = UPSTREAM_SIGNATURE.replace("65b0", "65b1");

        assert!(!is_signed(
            UPSTREAM_SIGNATURE,
            &UPSTREAM_KEY.replace('7', "8"),
            body
        ));
        assert!(!is_signed(UPSTREAM_SIGNATURE, &format!("{UPSTREAM_KEY}\n"), body));
        assert!(!is_signed(
            UPSTREAM_SIGNATURE,
            UPSTREAM_KEY,
            reformatted.as_bytes()
        ));
        assert!(!is_signed(UPSTREAM_SIGNATURE, UPSTREAM_KEY, b""));
        assert!(!is_signed(&changed, UPSTREAM_KEY, body));
    }

    #[test]
    fn every_captured_event_is_signed_as_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/flux-events");
        let list = std::fs::read_to_string(folder.join("SIGNATURES.tsv")).unwrap();
        let mut count = 0;
        for line in list.lines() {
            let (file, signature) = line.split_once('\t').unwrap();
            let body = std::fs::read(folder.join(file)).unwrap();

            assert!(is_signed(signature, "test-hmac-key", &body), "{file}");
            count += 1;
        }
        assert_eq!(count, 14);
    }

    #[test]
    fn a_bearer_token_is_the_key() {
        let is_token = |value: &str| {
            credential(&[("authorization", value)])
                .unwrap()
                .was_made_with(&UPSTREAM_KEY.into(), b"any body")
        };

        assert!(is_token(&format!("Bearer {UPSTREAM_KEY}")));
        assert!(is_token(&format!("bearer {UPSTREAM_KEY}")));
        assert!(!is_token(&format!("Bearer  {UPSTREAM_KEY}")));
        assert!(!is_token(&format!("Bearer {}", UPSTREAM_KEY.to_uppercase())));
        assert!(!is_token(&format!("Bearer {}", &UPSTREAM_KEY[1..])));
        assert!(!is_token(&format!("Bearer {UPSTREAM_KEY},Bearer {UPSTREAM_KEY}")));
    }

    #[test]
    fn one_credential_of_the_right_form_is_asked_for() {
        let digits = &UPSTREAM_SIGNATURE[ALGORITHM.len()..];
        let joined = format!("{UPSTREAM_SIGNATURE},{UPSTREAM_SIGNATURE}");
        let cases: &[(&[(&'static str, &str)], Distrust)] = &[
            (&[], Distrust::Missing),
            (&[("x-hub-signature-256", UPSTREAM_SIGNATURE)], Distrust::Missing),
            (&[(X_SIGNATURE, "")], Distrust::Signature),
            (&[(X_SIGNATURE, digits)], Distrust::Signature),
            (&[(X_SIGNATURE, "sha256=")], Distrust::Signature),
            (&[(X_SIGNATURE, &UPSTREAM_SIGNATURE[..69])], Distrust::Signature),
            (
                &[(X_SIGNATURE, &format!("{UPSTREAM_SIGNATURE}00"))],
                Distrust::Signature,
            ),
            (
                &[(X_SIGNATURE, &format!("sha1={}", &digits[..40]))],
                Distrust::Signature,
            ),
            (
                &[(X_SIGNATURE, &format!("sha512={digits}{digits}"))],
                Distrust::Signature,
            ),
            (&[(X_SIGNATURE, &format!("SHA256={digits}"))], Distrust::Signature),
            (
                &[(X_SIGNATURE, &format!("sha256={}", "g".repeat(64)))],
                Distrust::Signature,
            ),
            (&[(X_SIGNATURE, &joined)], Distrust::Signature),
            (
                &[
                    (X_SIGNATURE, UPSTREAM_SIGNATURE),
                    (X_SIGNATURE, UPSTREAM_SIGNATURE),
                ],
                Distrust::Signature,
            ),
            (
                &[(X_SIGNATURE, "odd"), ("authorization", "Bearer x")],
                Distrust::Signature,
            ),
            (&[("authorization", "")], Distrust::Bearer),
            (&[("authorization", "Bearer")], Distrust::Bearer),
            (&[("authorization", "Bearer ")], Distrust::Bearer),
            (&[("authorization", "Basic eDp5")], Distrust::Bearer),
            (
                &[("authorization", "Bearer x"), ("authorization", "Bearer x")],
                Distrust::Bearer,
            ),
        ];
        for (pairs, distrust) in cases {
            assert_eq!(credential(pairs).unwrap_err(), *distrust, "{pairs:?}");
        }
    }

    // A `generic` Provider passes a custom X-Signature on as it is, so what is there is what counts.
    #[test]
    fn a_signature_decides_over_a_token() {
        let pairs = [
            (X_SIGNATURE, UPSTREAM_SIGNATURE),
            ("authorization", "Bearer something else"),
        ];
        let credential = credential(&pairs).unwrap();

        assert!(credential.was_made_with(&UPSTREAM_KEY.into(), UPSTREAM_BODY.as_bytes()));
        assert!(!credential.was_made_with(&"something else".into(), UPSTREAM_BODY.as_bytes()));
    }

    #[test]
    fn a_token_is_not_in_the_debug_text() {
        let credential = credential(&[("authorization", "Bearer secret-token")]).unwrap();

        assert!(!format!("{credential:?}").contains("secret-token"));
    }
}
