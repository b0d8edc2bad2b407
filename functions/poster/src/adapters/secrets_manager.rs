//! The Providers' secrets in Secrets Manager.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use secrecy::SecretString;

use crate::ports::{SecretStore, Unavailable};

/// Secrets below `<prefix>/`.
pub struct ProviderSecrets {
    client: Client,
    prefix: String,
}

impl ProviderSecrets {
    /// `prefix`: what stands before the cluster in their names, without the slash.
    pub fn new(client: Client, prefix: String) -> Self {
        Self { client, prefix }
    }
}

impl SecretStore for ProviderSecrets {
    async fn secret(&self, name: &str) -> Result<Option<SecretString>, Unavailable> {
        let action = "read a Provider's secret";
        let answer = self
            .client
            .get_secret_value()
            .secret_id(format!("{}/{name}", self.prefix))
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(answer.secret_string.map(SecretString::from)),
            Err(error) => match error.into_service_error() {
                GetSecretValueError::ResourceNotFoundException(_) => Ok(None),
                // Marked for deletion.
                GetSecretValueError::InvalidRequestException(_) => Ok(None),
                other => Err(Unavailable::to(action)(other)),
            },
        }
    }
}
