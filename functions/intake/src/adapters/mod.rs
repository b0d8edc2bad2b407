//! Who provides what [`crate::ports`] asks for: SQS and Secrets Manager.

mod secrets_manager;
mod sqs;

use std::error::Error;

use aws_sdk_sqs::error::SdkError;

pub use secrets_manager::SecretsManagerRootKey;
pub use sqs::SqsEventQueue;

/// The cause of a failed call, without the response: a secret may be in it.
fn cause<E, R>(error: SdkError<E, R>) -> Box<dyn Error + Send + Sync>
where
    E: Error + Send + Sync + 'static,
{
    error
        .into_source()
        .unwrap_or_else(|error| error.to_string().into())
}
