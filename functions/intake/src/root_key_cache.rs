//! The root keys at hand, read again by age and on a mismatch, so that neither a request nor a rotation
//! waits.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use crate::keys::RootKeys;
use crate::ports::{RootKeySource, RootKeyUnavailable};

/// After this the keys are read again: the longest time an instance goes on accepting a key that was rotated
/// out.
pub const MAX_AGE: SignedDuration = SignedDuration::from_mins(5);

/// Keys younger than this are not doubted on a mismatch, and a failed read is not repeated within it: wrong
/// signatures cost one read in this time, however many there are.
pub const MIN_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// A failed read is repeated sooner while there is no key at all: nothing can be accepted until then, and
/// Flux tries again after two seconds.
pub const MIN_INTERVAL_WITHOUT_KEYS: SignedDuration = SignedDuration::from_secs(1);

/// Caches what a [`RootKeySource`] holds. The time is always the caller's.
#[derive(Debug)]
pub struct RootKeyCache<R> {
    source: R,
    // Held during a read, so that requests that come meanwhile share it.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cached: Option<Cached>,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Cached {
    keys: Arc<RootKeys>,
    read_at: Timestamp,
}

/// The last read, if it failed.
#[derive(Debug)]
struct Failure {
    at: Timestamp,
    error: RootKeyUnavailable,
}

/// Keys to try a credential with.
#[derive(Debug, Clone)]
pub struct KeysAtHand {
    /// The keys.
    pub keys: Arc<RootKeys>,
    /// Why they are older than [`MAX_AGE`], if they are. A match still counts, a mismatch does not.
    pub stale: Option<RootKeyUnavailable>,
}

impl<R: RootKeySource> RootKeyCache<R> {
    /// An empty cache.
    pub fn new(source: R) -> Self {
        Self {
            source,
            state: Mutex::default(),
        }
    }

    /// The keys; read first if there are none or they are older than [`MAX_AGE`].
    ///
    /// # Errors
    /// If there are none and they cannot be read.
    pub async fn get(&self, now: Timestamp) -> Result<KeysAtHand, RootKeyUnavailable> {
        let mut state = self.state.lock().await;
        let read = match &state.cached {
            Some(cached) if now.duration_since(cached.read_at) < MAX_AGE => Ok(cached.keys.clone()),
            Some(_) => self.read(&mut state, now, MIN_INTERVAL).await,
            None => self.read(&mut state, now, MIN_INTERVAL_WITHOUT_KEYS).await,
        };
        match (read, &state.cached) {
            (Ok(keys), _) => Ok(KeysAtHand { keys, stale: None }),
            (Err(error), Some(cached)) => Ok(KeysAtHand {
                keys: cached.keys.clone(),
                stale: Some(error),
            }),
            (Err(error), None) => Err(error),
        }
    }

    /// Newer keys than those tried in vain, or `None` if those were read less than [`MIN_INTERVAL`] ago.
    ///
    /// # Errors
    /// If they cannot be read: then nobody knows whether the credential is wrong.
    pub async fn newer_than(
        &self,
        tried: &Arc<RootKeys>,
        now: Timestamp,
    ) -> Result<Option<Arc<RootKeys>>, RootKeyUnavailable> {
        let mut state = self.state.lock().await;
        match &state.cached {
            // Another request has read them since.
            Some(cached) if !Arc::ptr_eq(&cached.keys, tried) => Ok(Some(cached.keys.clone())),
            Some(cached) if now.duration_since(cached.read_at) < MIN_INTERVAL => Ok(None),
            _ => self.read(&mut state, now, MIN_INTERVAL).await.map(Some),
        }
    }

    async fn read(
        &self,
        state: &mut State,
        now: Timestamp,
        min_interval: SignedDuration,
    ) -> Result<Arc<RootKeys>, RootKeyUnavailable> {
        if let Some(failure) = &state.failure
            && now.duration_since(failure.at) < min_interval
        {
            return Err(failure.error.clone());
        }
        match self.source.fetch().await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                *state = State {
                    cached: Some(Cached {
                        keys: keys.clone(),
                        read_at: now,
                    }),
                    failure: None,
                };
                Ok(keys)
            }
            Err(error) => {
                state.failure = Some(Failure {
                    at: now,
                    error: error.clone(),
                });
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Mutex as StdMutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::keys::RootKeys;

    #[derive(Default)]
    struct Store {
        is_away: StdMutex<bool>,
        reads: AtomicUsize,
    }

    impl RootKeySource for &Store {
        async fn fetch(&self) -> Result<RootKeys, RootKeyUnavailable> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            if *self.is_away.lock().unwrap() {
                return Err(RootKeyUnavailable::new("away"));
            }
            Ok(RootKeys::new(&"k".repeat(32).into(), None).unwrap())
        }
    }

    impl Store {
        fn set_away(&self, is_away: bool) {
            *self.is_away.lock().unwrap() = is_away;
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::Relaxed)
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_786_000_000 + seconds).unwrap()
    }

    #[tokio::test]
    async fn keys_are_read_again_by_age() {
        let store = Store::default();
        let cache = RootKeyCache::new(&store);

        for (seconds, reads) in [(0, 1), (1, 1), (299, 1), (300, 2), (301, 2), (-100, 2), (600, 3)] {
            assert!(cache.get(at(seconds)).await.unwrap().stale.is_none());
            assert_eq!(store.reads(), reads, "at {seconds} s");
        }
    }

    #[tokio::test]
    async fn keys_that_cannot_be_read_again_are_kept_and_asked_for_every_ten_seconds() {
        let store = Store::default();
        let cache = RootKeyCache::new(&store);
        let first = cache.get(at(0)).await.unwrap().keys;
        store.set_away(true);

        for (seconds, reads) in [(300, 2), (309, 2), (310, 3), (311, 3), (100_000, 4)] {
            let at_hand = cache.get(at(seconds)).await.unwrap();
            assert!(at_hand.stale.is_some());
            assert!(Arc::ptr_eq(&at_hand.keys, &first));
            assert_eq!(store.reads(), reads, "at {seconds} s");
        }
        store.set_away(false);
        assert!(cache.get(at(100_010)).await.unwrap().stale.is_none());
    }

    #[tokio::test]
    async fn without_keys_a_failed_read_is_repeated_after_a_second() {
        let store = Store::default();
        store.set_away(true);
        let cache = RootKeyCache::new(&store);

        assert!(cache.get(at(0)).await.is_err());
        assert!(cache.get(at(0)).await.is_err());
        assert_eq!(store.reads(), 1);
        store.set_away(false);
        assert!(cache.get(at(1)).await.is_ok());
    }

    #[tokio::test]
    async fn a_mismatch_reads_again_once_in_ten_seconds() {
        let store = Store::default();
        let cache = RootKeyCache::new(&store);
        let mut tried = cache.get(at(0)).await.unwrap().keys;

        for (seconds, reads) in [(0, 1), (9, 1), (10, 2), (11, 2), (19, 2), (20, 3)] {
            let newer = cache.newer_than(&tried, at(seconds)).await.unwrap();
            assert_eq!(store.reads(), reads, "at {seconds} s");
            tried = newer.unwrap_or(tried);
        }
    }

    #[tokio::test]
    async fn a_mismatch_that_cannot_be_settled_is_an_error_and_costs_one_read_in_ten_seconds() {
        let store = Store::default();
        let cache = RootKeyCache::new(&store);
        let tried = cache.get(at(0)).await.unwrap().keys;
        store.set_away(true);

        for (seconds, reads) in [(10, 2), (11, 2), (19, 2), (20, 3)] {
            assert!(cache.newer_than(&tried, at(seconds)).await.is_err());
            assert_eq!(store.reads(), reads, "at {seconds} s");
        }
    }

    #[tokio::test]
    async fn keys_another_request_has_read_meanwhile_are_tried() {
        let store = Store::default();
        let cache = RootKeyCache::new(&store);
        let tried = cache.get(at(0)).await.unwrap().keys;
        let newer = cache.newer_than(&tried, at(20)).await.unwrap().unwrap();

        let also = cache.newer_than(&tried, at(21)).await.unwrap().unwrap();

        assert!(Arc::ptr_eq(&newer, &also));
        assert_eq!(store.reads(), 2);
    }
}
