//! How a host is reached: with which certificates, through which proxy.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use crate::credential::{CredentialError, Keys, PASSWORD, USERNAME};

/// Flux's keys, and those it had before: <https://fluxcd.io/flux/components/notification/providers/#tls-certificates>.
const CA: [&str; 2] = ["ca.crt", "caFile"];
const CERTIFICATE: [&str; 2] = ["tls.crt", "certFile"];
const PRIVATE_KEY: [&str; 2] = ["tls.key", "keyFile"];

const ADDRESS: &str = "address";

/// As Flux's.
const MAX_PROXY_ADDRESS: usize = 2048;
const PROXY_SCHEMES: [&str; 3] = ["http", "https", "socks5"];

/// How a host is reached. The default is straight, and believing the certificate authorities this machine believes.
#[derive(Clone, Default)]
pub struct Connection {
    /// Whom to believe and what to show, if not what is usual.
    pub certificates: Option<Certificates>,
    /// What stands in between.
    pub proxy: Option<Proxy>,
}

/// Whom to believe, and what to show. Never printed.
#[derive(Clone)]
pub struct Certificates {
    /// The only certificate authorities to believe, in PEM form.
    pub authorities: Option<SecretString>,
    /// What to show: a certificate and its private key, in PEM form.
    pub identity: Option<SecretString>,
}

/// A proxy. Its name and password are never printed.
#[derive(Clone)]
pub struct Proxy {
    /// Where it is: `http`, `https`, or `socks5h`, for it is the proxy that looks up the name of the host.
    pub address: Url,
    /// Name and password for it.
    pub credential: Option<(String, SecretString)>,
}

/// A secret holds no certificates or no proxy. Names keys, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// The secret, or a key that secrets of all kinds have.
    #[error(transparent)]
    Secret(#[from] CredentialError),
    /// None of the keys is there.
    #[error("the secret has none of `ca.crt`, `tls.crt` and `tls.key`")]
    NoCertificates,
    /// A certificate and its key go together.
    #[error("the secret has `{present}` without `{missing}`")]
    Alone {
        /// The key that is there.
        present: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// Something else than PEM.
    #[error("`{key}` in the secret is not {expected} in PEM form")]
    NotPem {
        /// Which.
        key: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// No address of a proxy.
    #[error(
        "`address` in the secret is no proxy's; expected http://, https:// or socks5://, and the host and port"
    )]
    NotAProxy,
    /// Longer than Flux takes.
    #[error("`address` in the secret has {0} characters; expected at most 2048")]
    TooLong(usize),
}

impl Connection {
    /// What tells it from any other, and is no secret.
    pub fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        let mut part = |text: Option<&str>| {
            digest.update([u8::from(text.is_some())]);
            digest.update(text.unwrap_or_default());
            digest.update([0]);
        };
        let certificates = self.certificates.as_ref();
        part(
            certificates
                .and_then(|c| c.authorities.as_ref())
                .map(ExposeSecret::expose_secret),
        );
        part(
            certificates
                .and_then(|c| c.identity.as_ref())
                .map(ExposeSecret::expose_secret),
        );
        let proxy = self.proxy.as_ref();
        part(proxy.map(|proxy| proxy.address.as_str()));
        let credential = proxy.and_then(|proxy| proxy.credential.as_ref());
        part(credential.map(|(name, _)| name.as_str()));
        part(credential.map(|(_, password)| password.expose_secret()));
        hex::encode(digest.finalize())
    }
}

impl Certificates {
    /// Reads the secret `certSecretRef` names.
    ///
    /// # Errors
    /// Names the key that is missing or wrong.
    pub fn from_secret(secret: &SecretString) -> Result<Self, ConnectionError> {
        Self::read(&Keys::read(secret)?)?.ok_or(ConnectionError::NoCertificates)
    }

    /// Reads what a Provider's own secret may hold beside the credential.
    ///
    /// # Errors
    /// As [`Certificates::from_secret`].
    pub fn beside_credential(secret: &SecretString) -> Result<Option<Self>, ConnectionError> {
        Self::read(&Keys::read(secret)?)
    }

    fn read(keys: &Keys) -> Result<Option<Self>, ConnectionError> {
        let authorities = pem(keys, CA, "CERTIFICATE", "a certificate")?;
        let certificate = pem(keys, CERTIFICATE, "CERTIFICATE", "a certificate")?;
        let private_key = pem(keys, PRIVATE_KEY, "PRIVATE KEY", "a private key")?;
        let alone = |[present, ..]: [&'static str; 2], [missing, ..]: [&'static str; 2]| {
            Err(ConnectionError::Alone { present, missing })
        };
        let identity = match (certificate, private_key) {
            (Some(certificate), Some(key)) => {
                Some(format!("{}\n{}", certificate.expose_secret(), key.expose_secret()).into())
            }
            (Some(_), None) => return alone(CERTIFICATE, PRIVATE_KEY),
            (None, Some(_)) => return alone(PRIVATE_KEY, CERTIFICATE),
            (None, None) => None,
        };
        Ok((authorities.is_some() || identity.is_some()).then_some(Self {
            authorities,
            identity,
        }))
    }
}

/// The newer spelling of a key comes first.
fn pem(
    keys: &Keys,
    spellings: [&'static str; 2],
    label: &str,
    expected: &'static str,
) -> Result<Option<SecretString>, ConnectionError> {
    let Some(key) = spellings.into_iter().find(|key| keys.has(key)) else {
        return Ok(None);
    };
    let text = keys.text(key)?;
    let is_pem = |text: &SecretString| {
        text.expose_secret().lines().any(|line| {
            line.trim_start().starts_with("-----BEGIN ")
                && line.trim_end().ends_with(&format!("{label}-----"))
        })
    };
    match text {
        Some(text) if !is_pem(&text) => Err(ConnectionError::NotPem { key, expected }),
        text => Ok(text),
    }
}

impl Proxy {
    /// Reads the secret `proxySecretRef` names.
    ///
    /// # Errors
    /// Names the key that is missing or wrong.
    pub fn from_secret(secret: &SecretString) -> Result<Self, ConnectionError> {
        let keys = Keys::read(secret)?;
        let address = keys.text(ADDRESS)?.ok_or(CredentialError::Missing {
            key: ADDRESS,
            expected: "the address of the proxy",
        })?;
        let address = address.expose_secret();
        let length = address.chars().count();
        if length > MAX_PROXY_ADDRESS {
            return Err(ConnectionError::TooLong(length));
        }
        let mut url = Url::parse(address).map_err(|_| ConnectionError::NotAProxy)?;
        if !PROXY_SCHEMES.contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
            return Err(ConnectionError::NotAProxy);
        }
        // As in Go, whose proxies for SOCKS are told the name of the host.
        let address = match url.scheme() {
            "socks5" => Url::parse(&address.replacen("socks5", "socks5h", 1)),
            _ => Ok(url.clone()),
        };
        let mut address = address.map_err(|_| ConnectionError::NotAProxy)?;
        let within = (!url.username().is_empty()).then(|| {
            (
                decoded(url.username()),
                decoded(url.password().unwrap_or_default()).into(),
            )
        });
        for url in [&mut url, &mut address] {
            // Neither fails where there is a host.
            let _ = url.set_username("");
            let _ = url.set_password(None);
        }
        let name = keys.text(USERNAME)?.map(|name| name.expose_secret().to_owned());
        let credential = match (name, keys.text(PASSWORD)?) {
            (Some(name), Some(password)) => Some((name, password)),
            (Some(name), None) => Some((name, String::new().into())),
            (None, _) => within,
        };
        Ok(Self { address, credential })
    }
}

fn decoded(text: &str) -> String {
    crate::address::percent_decode(text).unwrap_or_else(|| text.to_owned())
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("certificates", &self.certificates)
            .field("proxy", &self.proxy)
            .finish()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("authorities", &self.authorities.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address.as_str())
            .field("credential", &self.credential.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const CANARY: &str = "c4n4ry-0f-the-m1ne";
    const CERTIFICATE_PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const KEY_PEM: &str = "-----BEGIN PRIVATE KEY-----\nc4n4ry-0f-the-m1ne\n-----END PRIVATE KEY-----\n";

    fn certificates(secret: Value) -> Result<(bool, bool), ConnectionError> {
        let certificates = Certificates::from_secret(&secret.to_string().into())?;
        Ok((
            certificates.authorities.is_some(),
            certificates.identity.is_some(),
        ))
    }

    // fluxcd/pkg runtime/secrets TLSConfigFromSecret, newer and older keys.
    #[test]
    fn certificates_are_an_authority_a_pair_or_both() {
        let cases = [
            (json!({"ca.crt": CERTIFICATE_PEM}), (true, false)),
            (json!({"caFile": CERTIFICATE_PEM}), (true, false)),
            (
                json!({"tls.crt": CERTIFICATE_PEM, "tls.key": KEY_PEM}),
                (false, true),
            ),
            (
                json!({"ca.crt": CERTIFICATE_PEM, "certFile": CERTIFICATE_PEM, "keyFile": KEY_PEM}),
                (true, true),
            ),
            (
                json!({"ca.crt": CERTIFICATE_PEM, "caFile": "not looked at"}),
                (true, false),
            ),
        ];
        for (secret, expected) in cases {
            assert_eq!(certificates(secret), Ok(expected));
        }
        let mistakes = [
            (
                json!({"token": "t"}),
                "the secret has none of `ca.crt`, `tls.crt` and `tls.key`",
            ),
            (
                json!({"tls.crt": CERTIFICATE_PEM}),
                "the secret has `tls.crt` without `tls.key`",
            ),
            (
                json!({"tls.key": KEY_PEM}),
                "the secret has `tls.key` without `tls.crt`",
            ),
            (
                json!({"ca.crt": CANARY}),
                "`ca.crt` in the secret is not a certificate in PEM form",
            ),
            (
                json!({"tls.crt": CERTIFICATE_PEM, "tls.key": CANARY}),
                "`tls.key` in the secret is not a private key in PEM form",
            ),
            (json!({"ca.crt": ""}), "`ca.crt` in the secret is empty"),
            (json!({"ca.crt": 1}), "`ca.crt` in the secret is not text"),
            (json!([]), "the secret is not a JSON object with Flux's keys"),
        ];
        for (secret, message) in mistakes {
            let error = certificates(secret).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(!format!("{error:?}").contains(CANARY));
        }
        let secret = json!({"token": "t"}).to_string().into();
        assert!(Certificates::beside_credential(&secret).unwrap().is_none());
    }

    // fluxcd/pkg runtime/secrets ProxyURLFromSecret.
    #[test]
    fn a_proxy_is_an_address_with_or_without_a_name_and_password() {
        type Case = (Value, &'static str, Option<(&'static str, &'static str)>);
        let cases: [Case; 6] = [
            (
                json!({"address": "http://proxy.acme.com:3128"}),
                "http://proxy.acme.com:3128/",
                None,
            ),
            (
                json!({"address": "https://proxy.acme.com\n"}),
                "https://proxy.acme.com/",
                None,
            ),
            (
                json!({"address": "socks5://10.0.0.1:1080"}),
                "socks5h://10.0.0.1:1080",
                None,
            ),
            (
                json!({"address": "http://proxy:3128", "username": "u", "password": "p"}),
                "http://proxy:3128/",
                Some(("u", "p")),
            ),
            (
                json!({"address": "http://u:p%40@proxy:3128"}),
                "http://proxy:3128/",
                Some(("u", "p@")),
            ),
            (
                json!({"address": "http://x:y@proxy:3128", "username": "u", "password": "p"}),
                "http://proxy:3128/",
                Some(("u", "p")),
            ),
        ];
        for (secret, address, credential) in cases {
            let proxy = Proxy::from_secret(&secret.to_string().into()).unwrap();
            assert_eq!(proxy.address.as_str(), address);
            let read = proxy
                .credential
                .as_ref()
                .map(|(name, password)| (name.as_str(), password.expose_secret()));
            assert_eq!(read, credential, "{address}");
        }
        let long = format!("http://{}", "x".repeat(2_048));
        let mistakes = [
            (
                json!({}),
                "the secret has no `address`; expected the address of the proxy",
            ),
            (
                json!({"address": "proxy:3128"}),
                "`address` in the secret is no proxy's; expected http://, https:// or socks5://, and the host and port",
            ),
            (
                json!({"address": "ftp://c4n4ry-0f-the-m1ne@proxy"}),
                "`address` in the secret is no proxy's; expected http://, https:// or socks5://, and the host and port",
            ),
            (
                json!({"address": long}),
                "`address` in the secret has 2055 characters; expected at most 2048",
            ),
        ];
        for (secret, message) in mistakes {
            let error = Proxy::from_secret(&secret.to_string().into()).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn is_never_printed_and_told_from_any_other() {
        let certificates = |key: &str| Certificates {
            authorities: Some(CERTIFICATE_PEM.into()),
            identity: Some(key.to_owned().into()),
        };
        let proxy = |password: &str| Proxy {
            address: Url::parse("http://proxy:3128").unwrap(),
            credential: Some(("u".into(), password.to_owned().into())),
        };
        let connection = |key: Option<&str>, password: Option<&str>| Connection {
            certificates: key.map(certificates),
            proxy: password.map(proxy),
        };
        let all = [
            connection(None, None),
            connection(Some(KEY_PEM), None),
            connection(None, Some(CANARY)),
            connection(None, Some("other")),
            connection(Some(KEY_PEM), Some(CANARY)),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!format!("{one:?}").contains(CANARY), "{one:?}");
            for (other_index, other) in all.iter().enumerate() {
                let same = one.fingerprint() == other.fingerprint();
                assert_eq!(same, index == other_index);
            }
        }
    }
}
