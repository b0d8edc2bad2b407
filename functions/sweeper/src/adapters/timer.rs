//! The runtime's timer.

use std::time::Duration;

use crate::ports::Sleep;

/// Time as it passes.
#[derive(Debug, Clone, Copy)]
pub struct Timer;

impl Sleep for Timer {
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
