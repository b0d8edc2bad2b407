//! Secrets in AWS Secrets Manager.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use shared::message::hex_sha256;

use super::{Current, SecretError, SecretStore, Stages, Version};

/// Label of the version in force.
const CURRENT: &str = "AWSCURRENT";
/// Label of the version before it.
const PREVIOUS: &str = "AWSPREVIOUS";

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
    async fn current_version(&self, name: &str) -> Result<Option<Current>, SecretError> {
        let answer = match self.client.get_secret_value().secret_id(name).send().await {
            Ok(answer) => answer,
            Err(error) if is_code(&error, "ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(SecretError::new("reading", name, error)),
        };
        let (Some(id), Some(value)) = (answer.version_id, answer.secret_string) else {
            let problem = "it holds bytes, and text was expected";
            return Err(SecretError::new("reading", name, problem));
        };
        Ok(Some(Current {
            id,
            value: value.into(),
        }))
    }

    async fn stages(&self, name: &str) -> Result<Option<Stages>, SecretError> {
        // Versions without a label are left out, so there are few.
        let answer = match self.client.list_secret_version_ids().secret_id(name).send().await {
            Ok(answer) => answer,
            Err(error) if is_code(&error, "ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(SecretError::new("listing the versions of", name, error)),
        };
        let labelled = |label: &str| {
            let mut versions = answer.versions().iter();
            let version = versions.find(|version| version.version_stages().iter().any(|it| it == label))?;
            Some(Version {
                id: version.version_id()?.to_owned(),
                created_at: version
                    .created_date()
                    .and_then(|at| Timestamp::from_second(at.secs()).ok()),
            })
        };
        let previous = labelled(PREVIOUS);
        Ok(labelled(CURRENT).map(|current| Stages { current, previous }))
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

    async fn rotate(
        &self,
        name: &str,
        from: &str,
        value: &SecretString,
        _now: Timestamp,
    ) -> Result<bool, SecretError> {
        // The token becomes the id of the new version, and a version is never altered: of two rotations of the same
        // version one is refused.
        // https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
        let request = self.client.put_secret_value().secret_id(name);
        let request = request.client_request_token(hex_sha256(&["in place of", from]));
        match request.secret_string(value.expose_secret()).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_code(&error, "ResourceExistsException") => Ok(false),
            Err(error) => Err(SecretError::new("rotating", name, error)),
        }
    }

    async fn retire(&self, name: &str, previous: &str) -> Result<bool, SecretError> {
        // Refused if the label is elsewhere by now.
        // https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
        let request = self.client.update_secret_version_stage().secret_id(name);
        let request = request.version_stage(PREVIOUS).remove_from_version_id(previous);
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_code(&error, "InvalidParameterException") => Ok(false),
            Err(error) => {
                let action = "retiring the previous version of";
                Err(SecretError::new(action, name, error))
            }
        }
    }
}

fn is_code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>, code: &str) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some(code)
}
