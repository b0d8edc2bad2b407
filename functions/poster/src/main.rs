//! Lambda function `poster`.

use std::process::ExitCode;
use std::time::Duration;

use emf::{Metrics, STACK_NAME};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use logs::Invocations;
use poster::adapters::{CredentialsTable, ProviderSecrets, RulesTable, StatusesTable, Timer};
use poster::app_tokens::AppTokens;
use poster::config::Config;
use poster::credentials::Credentials;
use poster::handler::handle;
use poster::host::Hosts;
use poster::pacer::Pacer;
use poster::post::Deps;
use poster::target::Targets;
use shared::ErrorChain;

/// What a start waits for connections at most. An event opens those that are not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// As many as a post uses at once.
const CONNECTIONS: usize = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    logs::listen(variable);
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %ErrorChain(error.as_ref()), "poster stopped");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> Result<(), Error> {
    let config = Config::read(variable)?;
    let metrics = &Metrics::listen(variable(STACK_NAME));
    let aws = aws::environment(variable)?.build();
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
    let secrets = aws_sdk_secretsmanager::Client::new(&aws);
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock is read here and nowhere else"
    )]
    let clock = Timestamp::now;
    let rules_table = RulesTable::new(dynamodb.clone(), config.rules_table);
    connect(&rules_table).await;
    let hosts = Hosts::new(config.address_policy)?;
    let deps = &Deps {
        statuses: StatusesTable::new(dynamodb.clone(), config.statuses_table.clone()),
        pacer: Pacer::new(CredentialsTable::new(dynamodb, config.statuses_table), Timer),
        targets: Targets::new(rules_table),
        credentials: Credentials::new(
            ProviderSecrets::new(secrets, config.provider_secrets_prefix),
            hosts.clone(),
        ),
        hosts,
        app_tokens: AppTokens::default(),
        clock,
    };
    let service = service_fn(move |event: LambdaEvent<_>| async move {
        // Lambda's deadline is in milliseconds; one beyond what a timestamp can say is none.
        let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
        let deadline = Timestamp::from_millisecond(deadline).unwrap_or(Timestamp::MAX);
        let response = handle(deps, event.payload, deadline).await;
        metrics.flush();
        Ok::<_, Error>(response)
    });
    Runtime::new(service).layer(Invocations).run().await
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read here and nowhere else"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Opens connections to DynamoDB while the function starts. On AWS a start has a whole CPU, and an event only what the
/// memory of the function buys: docs/performance.md.
async fn connect(table: &RulesTable) {
    let connections = try_join_all((0..CONNECTIONS).map(|_| table.connect()));
    let error: Error = match tokio::time::timeout(CONNECT_TIMEOUT, connections).await {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error.into(),
        Err(elapsed) => elapsed.into(),
    };
    tracing::warn!(error = %ErrorChain(error.as_ref()), "started without connections to DynamoDB");
}
