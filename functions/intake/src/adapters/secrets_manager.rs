//! The root key in Secrets Manager.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::{GetSecretValueError, GetSecretValueOutput};
use secrecy::SecretString;

use super::cause;
use crate::keys::RootKeys;
use crate::ports::{RootKeySource, RootKeyUnavailable};

/// The version in force.
const CURRENT: &str = "AWSCURRENT";

/// The version before it: still accepted, so that clusters can be given their new keys one after the other
/// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html#term_version>).
const PREVIOUS: &str = "AWSPREVIOUS";

/// Reads the secret whose text is the root key.
#[derive(Debug, Clone)]
pub struct SecretsManagerRootKey {
    client: Client,
    secret_id: String,
}

#[derive(Debug, thiserror::Error)]
#[error("the secret holds no text")]
struct NotText;

impl SecretsManagerRootKey {
    /// `secret_id` is the name or ARN of the secret.
    pub fn new(client: Client, secret_id: impl Into<String>) -> Self {
        Self {
            client,
            secret_id: secret_id.into(),
        }
    }

    async fn version(
        &self,
        stage: &str,
    ) -> Result<GetSecretValueOutput, SdkError<GetSecretValueError, HttpResponse>> {
        self.client
            .get_secret_value()
            .secret_id(&self.secret_id)
            .version_stage(stage)
            .send()
            .await
    }
}

impl RootKeySource for SecretsManagerRootKey {
    async fn fetch(&self) -> Result<RootKeys, RootKeyUnavailable> {
        let (current, previous) = tokio::join!(self.version(CURRENT), self.version(PREVIOUS));
        let unavailable = |error| RootKeyUnavailable::new(cause(error));
        let current = text_of(current.map_err(unavailable)?)?;
        let previous = match previous {
            Ok(version) => Some(text_of(version)?),
            // A secret that was never rotated has no earlier version.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetSecretValueError::is_resource_not_found_exception) =>
            {
                None
            }
            Err(error) => return Err(unavailable(error)),
        };
        RootKeys::new(&current, previous.as_ref()).map_err(RootKeyUnavailable::new)
    }
}

fn text_of(version: GetSecretValueOutput) -> Result<SecretString, RootKeyUnavailable> {
    match version.secret_string {
        Some(text) => Ok(text.into()),
        None => Err(RootKeyUnavailable::new(NotText)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_sdk_secretsmanager::config::retry::RetryConfig;
    use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
    use serde_json::json;
    use shared::ErrorChain;
    use wiremock::matchers::{body_json, header};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    const KEY: &str = "0123456789abcdef0123456789abcdef";
    const NOT_FOUND: &str = "ResourceNotFoundException";

    fn source(server: &MockServer) -> SecretsManagerRootKey {
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("id", "key", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(server.uri())
            .build();
        SecretsManagerRootKey::new(Client::from_conf(config), "stack/root-key")
    }

    fn text(secret: &str) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_json(json!({"Name": "stack/root-key", "SecretString": secret}))
    }

    fn refusal(kind: &str) -> ResponseTemplate {
        ResponseTemplate::new(400).set_body_json(json!({"__type": kind, "message": "so it is"}))
    }

    async fn store(current: ResponseTemplate, previous: ResponseTemplate) -> MockServer {
        let server = MockServer::start().await;
        for (stage, answer) in [("AWSCURRENT", current), ("AWSPREVIOUS", previous)] {
            Mock::given(header("x-amz-target", "secretsmanager.GetSecretValue"))
                .and(body_json(
                    json!({"SecretId": "stack/root-key", "VersionStage": stage}),
                ))
                .respond_with(answer)
                .expect(1)
                .mount(&server)
                .await;
        }
        server
    }

    #[tokio::test]
    async fn both_versions_are_read() {
        let server = store(text(KEY), text(&KEY.to_uppercase())).await;

        let keys = source(&server).fetch().await.unwrap();

        assert_eq!(keys.iter().count(), 2);
    }

    #[tokio::test]
    async fn a_secret_that_was_never_rotated_has_one_version() {
        let server = store(text(&format!("{KEY}\n")), refusal(NOT_FOUND)).await;

        assert!(source(&server).fetch().await.unwrap().previous.is_none());
    }

    #[tokio::test]
    async fn anything_else_is_told_with_its_cause() {
        let binary = || ResponseTemplate::new(200).set_body_json(json!({"SecretBinary": "AAAA"}));
        for (current, previous, cause) in [
            (
                refusal(NOT_FOUND),
                refusal(NOT_FOUND),
                "ResourceNotFoundException: so it is",
            ),
            (
                text(KEY),
                refusal("AccessDeniedException"),
                "unhandled error (AccessDeniedException)",
            ),
            (text("short"), text(KEY), "the root key is shorter than 32 bytes"),
            (binary(), text(KEY), "the secret holds no text"),
        ] {
            let server = store(current, previous).await;

            let error = source(&server).fetch().await.unwrap_err();

            let text = ErrorChain(&error).to_string();
            assert!(
                text.starts_with(&format!("the root key could not be read: {cause}")),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_read_does_not_show_what_was_in_it() {
        let odd = || ResponseTemplate::new(200).set_body_string(format!("{{\"SecretString\":\"{KEY}\""));
        let server = store(odd(), odd()).await;

        let error = source(&server).fetch().await.unwrap_err();

        let text = format!("{} {error:?}", ErrorChain(&error));
        assert!(!text.contains(KEY), "{text}");
    }
}
