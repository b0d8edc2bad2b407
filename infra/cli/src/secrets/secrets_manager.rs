//! Secrets in AWS Secrets Manager.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use secrecy::{ExposeSecret, SecretString};

use super::{SecretError, SecretStore};

/// Secrets of one account and region.
#[derive(Debug, Clone)]
pub struct SecretsManager {
    client: Client,
}

impl SecretsManager {
    /// Over this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl SecretStore for SecretsManager {
    async fn current(&self, name: &str) -> Result<Option<SecretString>, SecretError> {
        let answer = match self.client.get_secret_value().secret_id(name).send().await {
            Ok(answer) => answer,
            Err(error) if is_code(&error, "ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(SecretError::new("reading", name, error)),
        };
        let value = answer.secret_string.map(SecretString::from);
        value
            .map(Some)
            .ok_or_else(|| SecretError::new("reading", name, "it holds bytes, and text was expected"))
    }

    async fn create(&self, name: &str, value: &SecretString) -> Result<bool, SecretError> {
        let request = self.client.create_secret().name(name);
        match request.secret_string(value.expose_secret()).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_code(&error, "ResourceExistsException") => Ok(false),
            Err(error) => Err(SecretError::new("creating", name, error)),
        }
    }

    async fn put(&self, name: &str, value: &SecretString) -> Result<(), SecretError> {
        let request = self.client.put_secret_value().secret_id(name);
        match request.secret_string(value.expose_secret()).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_code(&error, "ResourceNotFoundException") => {
                if self.create(name, value).await? {
                    return Ok(());
                }
                let problem = "somebody else created it meanwhile; run the command again";
                Err(SecretError::new("writing", name, problem))
            }
            Err(error) => Err(SecretError::new("writing", name, error)),
        }
    }
}

fn is_code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>, code: &str) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some(code)
}
