//! Cluster keys, derived from one root key: nothing is stored per cluster, and nothing is looked up.

use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// Bytes a root key must have at least: as many as the hash yields, so that it is no weaker than what is
/// derived.
pub const MIN_ROOT_KEY_BYTES: usize = 32;

/// Bytes of a cluster key before it is written as hexadecimal digits: one block of HKDF-SHA256.
const CLUSTER_KEY_BYTES: usize = 32;

/// What keeps these keys apart from any other use of the root key, and from a later scheme.
const PURPOSE: &[u8] = b"commitstatus/v1";

/// A root key that is long enough.
#[derive(Debug, Clone)]
pub struct RootKey(SecretString);

impl RootKey {
    /// Takes the text of the secret, without the white space around it: a newline at the end is the editor's.
    ///
    /// # Errors
    /// If fewer than [`MIN_ROOT_KEY_BYTES`] are left.
    pub fn new(secret: &SecretString) -> Result<Self, RootKeyTooShort> {
        let text = secret.expose_secret().trim();
        if text.len() < MIN_ROOT_KEY_BYTES {
            return Err(RootKeyTooShort);
        }
        Ok(Self(text.into()))
    }
}

/// A root key that could be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the root key is shorter than {MIN_ROOT_KEY_BYTES} bytes")]
pub struct RootKeyTooShort;

/// One of the root keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one in force.
    Current,
    /// The one before it.
    Previous,
}

/// The root keys that are accepted at the same time, so that a rotation rejects nothing.
#[derive(Debug, Clone)]
pub struct RootKeys {
    /// The one in force.
    pub current: RootKey,
    /// The one before it, if there was one.
    pub previous: Option<RootKey>,
}

impl RootKeys {
    /// Checks both. An earlier key that is too short counts as none: it was refused while it was in force, so
    /// no cluster has a key made from it, and a good one must be able to replace it.
    ///
    /// # Errors
    /// If the one in force is too short.
    pub fn new(current: &SecretString, previous: Option<&SecretString>) -> Result<Self, RootKeyTooShort> {
        Ok(Self {
            current: RootKey::new(current)?,
            previous: previous.and_then(|previous| RootKey::new(previous).ok()),
        })
    }

    /// Both, the one in force first.
    pub fn iter(&self) -> impl Iterator<Item = (Which, &RootKey)> {
        let previous = self.previous.iter().map(|key| (Which::Previous, key));
        std::iter::once((Which::Current, &self.current)).chain(previous)
    }
}

/// The key of one generation of a cluster: 64 lower-case hexadecimal digits, whose *text* is what the cluster
/// signs with (`token` in Flux's secret) or sends as its bearer token.
///
/// HKDF-SHA256 ([RFC 5869](https://www.rfc-editor.org/rfc/rfc5869)) over the text of the root key, without
/// salt, for `commitstatus/v1\0<cluster>\0<generation>`. `cluster` must be a [`crate::address::ClusterName`];
/// `generation` counts from 1.
pub fn derive_cluster_key(root: &RootKey, cluster: &str, generation: u32) -> SecretString {
    let generation = generation.to_string();
    let mut key = [0; CLUSTER_KEY_BYTES];
    Hkdf::<Sha256>::new(None, root.0.expose_secret().as_bytes())
        .expand_multi_info(
            &[PURPOSE, b"\0", cluster.as_bytes(), b"\0", generation.as_bytes()],
            &mut key,
        )
        .expect("HKDF refuses only more than 255 blocks, and this is one");
    hex::encode(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> RootKey {
        RootKey::new(&text.into()).unwrap()
    }

    fn derive(root_key: &str, cluster: &str, generation: u32) -> String {
        derive_cluster_key(&root(root_key), cluster, generation)
            .expose_secret()
            .to_owned()
    }

    const ROOT: &str = "0123456789abcdef0123456789abcdef";

    // Computed with another implementation: HMAC-SHA256 of Python's standard library, step by step as in RFC
    // 5869.
    #[test]
    fn derives_what_another_implementation_derives() {
        let cases = [
            (
                "prod-eu-1",
                1,
                "2cefb2eec76ce34b321894047732ee8383875e6ab00300ad49c264372c4dd8d7",
            ),
            (
                "prod-eu-1",
                2,
                "0b2fde95626bee1dd079843094dfd1b231593bdbfe8f172bb3d42f3bc9e2a097",
            ),
            (
                "staging",
                u32::MAX,
                "1318013699404d5b6516bd74c8eebe151ea6383cf0f6c506707933517b825a0d",
            ),
        ];
        for (cluster, generation, key) in cases {
            assert_eq!(derive(ROOT, cluster, generation), key, "{cluster} {generation}");
        }
    }

    #[test]
    fn every_part_changes_the_key() {
        let key = derive(ROOT, "prod", 11);

        assert_eq!(key, derive(&format!("\n {ROOT}\n"), "prod", 11));
        assert_ne!(key, derive("fedcba9876543210fedcba9876543210", "prod", 11));
        assert_ne!(key, derive(ROOT, "prod2", 11));
        assert_ne!(key, derive(ROOT, "prod1", 1));
        assert_ne!(key, derive(ROOT, "prod", 1));
    }

    #[test]
    fn a_short_root_key_is_refused_where_it_is_in_force_and_forgotten_where_it_was() {
        let (long, short) = (SecretString::from(ROOT), SecretString::from(&ROOT[1..]));

        assert_eq!(RootKeys::new(&short, None).unwrap_err(), RootKeyTooShort);
        assert_eq!(
            RootKeys::new(&format!("{} ", &ROOT[1..]).into(), None).unwrap_err(),
            RootKeyTooShort
        );
        assert!(RootKeys::new(&long, Some(&short)).unwrap().previous.is_none());
        assert_eq!(RootKeys::new(&long, Some(&long)).unwrap().iter().count(), 2);
    }

    #[test]
    fn nothing_secret_is_in_the_debug_text() {
        let keys = RootKeys::new(&ROOT.into(), Some(&ROOT.into())).unwrap();
        let key = derive_cluster_key(&keys.current, "prod", 1);

        let text = format!("{keys:?} {key:?}");

        assert!(!text.contains(ROOT), "{text}");
        assert!(!text.contains(key.expose_secret()), "{text}");
    }
}
