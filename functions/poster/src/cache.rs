//! Values that are believed for a while.

use std::collections::HashMap;
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};

/// Entries kept at most; above it the cache starts anew.
const ENTRIES: usize = 2_000;

/// A map whose values grow old.
pub struct Timed<K, V> {
    lifetime: SignedDuration,
    entries: HashMap<K, (Timestamp, V)>,
}

impl<K: Hash + Eq, V: Clone> Timed<K, V> {
    /// Empty; values count for `lifetime`.
    pub fn new(lifetime: SignedDuration) -> Self {
        Self {
            lifetime,
            entries: HashMap::new(),
        }
    }

    /// The value, unless it is too old.
    pub fn get(&self, key: &K, now: Timestamp) -> Option<V> {
        let (read_at, value) = self.entries.get(key)?;
        (now.duration_since(*read_at).abs() < self.lifetime).then(|| value.clone())
    }

    /// Keeps a value read at `now`.
    pub fn put(&mut self, key: K, value: V, now: Timestamp) {
        if self.entries.len() >= ENTRIES {
            self.entries.clear();
        }
        self.entries.insert(key, (now, value));
    }
}
