//! The functions' ports, served in this process.

use std::sync::Arc;

use cli::secrets::{FileSecrets, root_key_name};
use intake::keys::RootKeys;
use intake::ports::{EventQueue, QueueUnavailable, RootKeySource, RootKeyUnavailable};
use poster::ports::SecretStore;
use secrecy::SecretString;
use shared::message::QueueMessage;

use crate::Clock;
use crate::fifo::FifoQueue;

/// A queue one can send to.
#[derive(Debug, Clone)]
pub struct Sender {
    queue: Arc<FifoQueue>,
    clock: Clock,
}

impl Sender {
    /// To that queue.
    pub fn new(queue: Arc<FifoQueue>, clock: Clock) -> Self {
        Self { queue, clock }
    }

    fn take(&self, message: QueueMessage) {
        self.queue.send(message, (self.clock)());
    }
}

impl EventQueue for Sender {
    async fn send(&self, message: QueueMessage) -> Result<(), QueueUnavailable> {
        self.take(message);
        Ok(())
    }
}

impl rules::ports::HintQueue for Sender {
    async fn send(&self, message: QueueMessage) -> Result<(), rules::ports::Unavailable> {
        self.take(message);
        Ok(())
    }
}

impl sweeper::ports::HintQueue for Sender {
    async fn send(&self, message: QueueMessage) -> Result<(), sweeper::ports::Unavailable> {
        self.take(message);
        Ok(())
    }
}

/// Secrets from files, under the names they have in Secrets Manager.
#[derive(Debug, Clone)]
pub struct Secrets {
    files: FileSecrets,
    stack: String,
}

impl Secrets {
    /// The secrets of a stack.
    pub fn new(files: FileSecrets, stack: &str) -> Self {
        Self {
            files,
            stack: stack.to_owned(),
        }
    }
}

impl RootKeySource for Secrets {
    async fn fetch(&self) -> Result<RootKeys, RootKeyUnavailable> {
        let name = root_key_name(&self.stack);
        let versions = self.files.versions(&name).map_err(RootKeyUnavailable::new)?;
        let versions =
            versions.ok_or_else(|| RootKeyUnavailable::new(format!("there is no secret {name}")))?;
        RootKeys::new(&versions.current, versions.previous.as_ref()).map_err(RootKeyUnavailable::new)
    }
}

impl SecretStore for Secrets {
    async fn secret(&self, name: &str) -> Result<Option<SecretString>, poster::ports::Unavailable> {
        let name = format!("{}/providers/{name}", self.stack);
        self.files
            .versions(&name)
            .map(|versions| versions.map(|versions| versions.current))
            .map_err(poster::ports::Unavailable::to("read a Provider's secret"))
    }
}
