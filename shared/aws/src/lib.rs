//! How a function reaches AWS: with the region and the credentials Lambda sets in its environment
//! (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>), and with one HTTP client for all services.
//!
//! The SDK's own configuration asks for credentials in six places, of which a function has one, and gives each service a client
//! that reads the root certificates twice. What that costs at a start is in docs/performance.md.

#![deny(missing_docs)]

use std::fmt;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder as HttpBuilder, Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpClient};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::sdk_config::Builder;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

const REGION: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
const ENDPOINT_URL: &str = "AWS_ENDPOINT_URL";
const USE_FIPS: &str = "AWS_USE_FIPS_ENDPOINT";
const USE_DUAL_STACK: &str = "AWS_USE_DUALSTACK_ENDPOINT";

/// What is wrong with the environment.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// Lambda sets it, and something else does not.
    #[error(
        "environment variable {0} is not set; Lambda sets it, and where a function runs elsewhere it is set by hand \
         (`aws configure export-credentials --format env` prints credentials so)"
    )]
    Missing(&'static str),
    /// It is neither yes nor no.
    #[error("environment variable {name} is `{value}`, expected `true` or `false`")]
    NotABool {
        /// Its name.
        name: &'static str,
        /// What it is.
        value: String,
    },
}

/// Region, credentials and endpoints as the environment has them, which is read through `variable`. More may be set before it is
/// built.
///
/// Beside what Lambda sets it knows `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_USE_FIPS_ENDPOINT`,
/// `AWS_USE_DUALSTACK_ENDPOINT`, and, read by the HTTP client itself, `HTTPS_PROXY` and `NO_PROXY`, as in
/// <https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>. Files and other sources of credentials are not
/// looked at.
///
/// # Errors
/// The first variable that is missing or no use.
pub fn environment<F>(variable: F) -> Result<Builder, EnvironmentError>
where
    F: Fn(&str) -> Option<String> + Send + Sync + 'static,
{
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let required = |name| set(name).ok_or(EnvironmentError::Missing(name));
    let region = REGION
        .iter()
        .find_map(|name| set(name))
        .ok_or(EnvironmentError::Missing(REGION[0]))?;
    let credentials = Credentials::new(
        required(ACCESS_KEY_ID)?,
        required(SECRET_ACCESS_KEY)?,
        set(SESSION_TOKEN),
        // Lambda replaces the instance before they expire.
        None,
        "Environment",
    );
    let mut config = SdkConfig::builder();
    config.set_use_fips(yes_or_no(USE_FIPS, set(USE_FIPS))?);
    config.set_use_dual_stack(yes_or_no(USE_DUAL_STACK, set(USE_DUAL_STACK))?);
    config.set_endpoint_url(set(ENDPOINT_URL));
    Ok(config
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::standard())
        .service_config(Endpoints(variable))
        .http_client(http_client()))
}

fn yes_or_no(name: &'static str, value: Option<String>) -> Result<Option<bool>, EnvironmentError> {
    let Some(value) = value else {
        return Ok(None);
    };
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(EnvironmentError::NotABool { name, value }),
    }
}

/// Endpoints of single services, by the name of the service.
struct Endpoints<F>(F);

impl<F> fmt::Debug for Endpoints<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoints")
    }
}

impl<F: Fn(&str) -> Option<String> + Send + Sync> LoadServiceConfig for Endpoints<F> {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_ascii_uppercase().replace(' ', "_");
        let value = (self.0)(&format!("{}_{service}", key.env()));
        value.filter(|value| !value.trim().is_empty())
    }
}

/// As the SDK would make one for each service, but one.
fn http_client() -> SharedHttpClient {
    HttpBuilder::new().build_with_connector_fn(|settings, components| match settings {
        Some(settings) => https(settings, components),
        // Each service asks for one when it is made, only so that certificates are read then, and drops it.
        None => ConnectorBuilder::default().build_http(),
    })
}

fn https(settings: &HttpConnectorSettings, components: Option<&RuntimeComponents>) -> Connector {
    let mut builder = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .connector_settings(settings.clone())
        .proxy_config(ProxyConfig::from_env());
    builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAMBDA: [(&str, &str); 4] = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "canary-secret"),
        ("AWS_SESSION_TOKEN", "canary-token"),
    ];

    fn with(more: &[(&'static str, &'static str)]) -> Result<SdkConfig, EnvironmentError> {
        let mut variables = LAMBDA.to_vec();
        variables.extend(more);
        // The last one counts, and an empty one is as none.
        let variable = move |name: &str| {
            let found = variables.iter().rev().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        environment(variable).map(Builder::build)
    }

    fn endpoint(config: &SdkConfig, service: &str) -> Option<String> {
        let key = ServiceConfigKey::builder()
            .service_id(service)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build();
        config.service_config().unwrap().load_config(key.unwrap())
    }

    #[test]
    fn what_lambda_sets_is_enough() {
        let config = with(&[]).unwrap();
        assert_eq!(config.region().map(Region::as_ref), Some("eu-west-1"));
        assert!(config.credentials_provider().is_some() && config.http_client().is_some());
        assert_eq!(
            (config.use_fips(), config.use_dual_stack(), config.endpoint_url()),
            (None, None, None)
        );
        assert_eq!(endpoint(&config, "DynamoDB"), None);
    }

    #[test]
    fn no_secret_is_in_the_debug_text() {
        let config = format!("{:?}", with(&[]).unwrap());
        assert!(!config.contains("canary"), "{config}");
    }

    #[test]
    fn what_is_missing_is_named() {
        for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            assert_eq!(with(&[(name, "")]).unwrap_err(), EnvironmentError::Missing(name));
        }
        assert!(with(&[("AWS_SESSION_TOKEN", "")]).is_ok());
        let elsewhere = with(&[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "eu-west-2")]).unwrap();
        assert_eq!(elsewhere.region().map(Region::as_ref), Some("eu-west-2"));
    }

    #[test]
    fn endpoints_may_be_others_for_all_services_and_for_one() {
        let config = with(&[
            ("AWS_ENDPOINT_URL", "http://all"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "http://one"),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://two words"),
            ("AWS_ENDPOINT_URL_SQS", " "),
        ])
        .unwrap();
        assert_eq!(config.endpoint_url(), Some("http://all"));
        assert_eq!(endpoint(&config, "DynamoDB").as_deref(), Some("http://one"));
        assert_eq!(
            endpoint(&config, "Secrets Manager").as_deref(),
            Some("http://two words")
        );
        assert_eq!(endpoint(&config, "SQS"), None);
    }

    #[test]
    fn a_kind_of_endpoint_is_asked_for_by_true_and_false() {
        let config = with(&[
            ("AWS_USE_FIPS_ENDPOINT", "true"),
            ("AWS_USE_DUALSTACK_ENDPOINT", "False"),
        ])
        .unwrap();
        assert_eq!(
            (config.use_fips(), config.use_dual_stack()),
            (Some(true), Some(false))
        );
        let odd = with(&[("AWS_USE_FIPS_ENDPOINT", "yes")]).unwrap_err();
        assert_eq!(
            odd.to_string(),
            "environment variable AWS_USE_FIPS_ENDPOINT is `yes`, expected `true` or `false`"
        );
    }
}
