//! The queues and the secrets behind the functions' ports. Every call has its turn and may fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;

use intake::keys::RootKeys;
use intake::ports::{EventQueue, QueueUnavailable, RootKeySource, RootKeyUnavailable};
use jiff::SignedDuration;
use local::fifo::{FifoQueue, Settings};
use poster::ports::SecretStore;
use secrecy::SecretString;
use serde_json::json;
use shared::message::QueueMessage;

use super::sched::{Fault, Sched};

/// Part of every root key.
pub(crate) const ROOT_KEY: &str = "canary-0123456789abcdef-root-key";
/// Part of every token.
pub(crate) const CANARY: &str = "canary-token";
/// The same where it is a password without a user.
pub(crate) const CANARY_IN_BASE64: &str = "OmNhbmFyeS10b2tl";

pub(crate) const VISIBILITY: SignedDuration = SignedDuration::from_secs(180);

const LOST: &str = "simulated";

/// Runs `effect` or not, as the fault says; `Err` if the caller is to see an error.
async fn call<T>(sched: &Sched, label: &str, mut effect: impl FnMut() -> T) -> Result<T, &'static str> {
    let result = match sched.turn(label.to_owned(), true).await {
        Fault::None => Ok(effect()),
        Fault::Twice => {
            effect();
            Ok(effect())
        }
        Fault::ErrorBefore => Err(LOST),
        Fault::ErrorAfter => {
            effect();
            Err(LOST)
        }
        Fault::CrashBefore => sched.crash().await,
        Fault::CrashAfter => {
            effect();
            sched.crash().await
        }
    };
    sched.done();
    result
}

/// A queue.
#[derive(Clone)]
pub(crate) struct Queue {
    pub(crate) fifo: Arc<FifoQueue>,
    /// Everything it was ever given.
    pub(crate) taken: Arc<Mutex<Vec<QueueMessage>>>,
    /// The messages that became of it: some were the same within five minutes.
    pub(crate) messages: Arc<Mutex<BTreeSet<String>>>,
    sched: Arc<Sched>,
}

impl Queue {
    pub(crate) fn new(sched: &Arc<Sched>, max_receives: u32) -> Self {
        Self {
            fifo: Arc::new(FifoQueue::new(Settings {
                visibility: VISIBILITY,
                max_receives,
            })),
            taken: Arc::default(),
            messages: Arc::default(),
            sched: Arc::clone(sched),
        }
    }

    pub(crate) fn take(&self, message: QueueMessage) {
        assert!(
            message.body.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "SQS would refuse {}",
            message.body
        );
        for secret in [CANARY, ROOT_KEY] {
            assert!(!message.body.contains(secret), "a secret on a queue");
        }
        self.taken.lock().unwrap().push(message.clone());
        let id = self.fifo.send(message, self.sched.clock.now());
        self.messages.lock().unwrap().insert(id);
    }

    async fn send(&self, message: QueueMessage) -> Result<(), &'static str> {
        call(&self.sched, "send to a queue", || self.take(message.clone())).await
    }
}

impl EventQueue for Queue {
    async fn send(&self, message: QueueMessage) -> Result<(), QueueUnavailable> {
        self.send(message).await.map_err(QueueUnavailable::new)
    }
}

impl rules::ports::HintQueue for Queue {
    async fn send(&self, message: QueueMessage) -> Result<(), rules::ports::Unavailable> {
        self.send(message)
            .await
            .map_err(rules::ports::Unavailable::to("send a hint"))
    }
}

impl sweeper::ports::HintQueue for Queue {
    async fn send(&self, message: QueueMessage) -> Result<(), sweeper::ports::Unavailable> {
        self.send(message)
            .await
            .map_err(sweeper::ports::Unavailable::to("send a hint"))
    }
}

/// Secrets Manager.
#[derive(Clone)]
pub(crate) struct Secrets {
    /// Generation of the token in the store.
    pub(crate) token: Arc<Mutex<u32>>,
    /// Generation of the root key.
    pub(crate) root: Arc<Mutex<u32>>,
    sched: Arc<Sched>,
}

/// The root key of a generation.
pub(crate) fn root_key(generation: u32) -> SecretString {
    format!("{ROOT_KEY}-{generation}").into()
}

/// The token of a generation.
pub(crate) fn token(generation: u32) -> String {
    format!("{CANARY}-{generation}")
}

impl Secrets {
    pub(crate) fn new(sched: &Arc<Sched>) -> Self {
        Self {
            token: Arc::default(),
            root: Arc::default(),
            sched: Arc::clone(sched),
        }
    }
}

impl RootKeySource for Secrets {
    async fn fetch(&self) -> Result<RootKeys, RootKeyUnavailable> {
        let current = call(&self.sched, "read the root key", || *self.root.lock().unwrap())
            .await
            .map_err(RootKeyUnavailable::new)?;
        let previous = current.checked_sub(1).map(root_key);
        RootKeys::new(&root_key(current), previous.as_ref()).map_err(RootKeyUnavailable::new)
    }
}

impl SecretStore for Secrets {
    async fn secret(&self, _name: &str) -> Result<Option<SecretString>, poster::ports::Unavailable> {
        let generation = call(&self.sched, "read a secret", || *self.token.lock().unwrap())
            .await
            .map_err(poster::ports::Unavailable::to("read a secret"))?;
        let secret = json!({ "token": token(generation) }).to_string();
        Ok(Some(secret.into()))
    }
}
