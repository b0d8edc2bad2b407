//! Reads the environment, makes the clients, and runs [`intake::handler::handle`] behind the function URL.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use emf::{Metrics, STACK_NAME};
use intake::adapters::{SecretsManagerRootKey, SqsEventQueue};
use intake::config::Config;
use intake::function_url::presentable;
use intake::handler::{Deps, handle};
use intake::root_key_cache::RootKeyCache;
use jiff::Timestamp;
use lambda_http::lambda_runtime::Runtime;
use lambda_http::request::LambdaRequest;
use lambda_http::tower::ServiceExt as _;
use lambda_http::{Adapter, Error, LambdaEvent, Request, service_fn};
use logs::Invocations;
use shared::ErrorChain;

/// A connection within a region takes some milliseconds; one that takes longer is better tried anew.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// SQS and Secrets Manager answer within some tens of milliseconds, the first call after a start within a
/// second.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Flux tries again by itself within 15 to 60 seconds, so a 503 in time is worth more than a second attempt
/// here.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(2500);

/// The second attempt is for connections that were closed while the instance slept.
const MAX_ATTEMPTS: u32 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    logs::listen(variable);
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %ErrorChain(error.as_ref()), "intake stopped");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let config = Config::from_env(variable)?;
    let metrics = Metrics::listen(variable(STACK_NAME));
    let aws = aws::environment(variable)?
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        )
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .build();
    let deps = Deps {
        queue: SqsEventQueue::new(aws_sdk_sqs::Client::new(&aws), config.events_queue_url),
        keys: RootKeyCache::new(SecretsManagerRootKey::new(
            aws_sdk_secretsmanager::Client::new(&aws),
            config.root_key_secret,
        )),
        limits: config.limits,
    };
    // While it fails requests are answered 503, and each of them may read again: no reason not to start.
    if let Err(error) = deps.keys.get(now()).await {
        tracing::error!(error = %ErrorChain(&error), "no root key yet");
    }
    let service = service_fn(async |request: Request| {
        let answer = handle(&deps, request, now()).await;
        metrics.flush();
        Ok::<_, Infallible>(answer)
    });
    // `lambda_http::run`, but for what makes it panic.
    let service = Adapter::from(service).map_request(|event: LambdaEvent<LambdaRequest>| {
        LambdaEvent::new(presentable(event.payload), event.context)
    });
    Runtime::new(service).layer(Invocations).run().await
}

#[expect(clippy::disallowed_methods, reason = "main hands the time to everything else")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "main hands the configuration to everything else"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
