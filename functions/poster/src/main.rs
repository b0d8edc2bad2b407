//! Lambda function `poster`.

use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use poster::adapters::{CredentialsTable, ProviderSecrets, RulesTable, StatusesTable, Timer};
use poster::config::Config;
use poster::credentials::Credentials;
use poster::handler::handle;
use poster::host::Hosts;
use poster::pacer::Pacer;
use poster::post::Deps;
use poster::target::Targets;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment is read here and nowhere else"
    )]
    let config = Config::read(|name| std::env::var(name).ok())?;
    let aws = aws_config::load_defaults(aws_config::BehaviorVersion::v2026_01_12()).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
    let secrets = aws_sdk_secretsmanager::Client::new(&aws);
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock is read here and nowhere else"
    )]
    let clock = Timestamp::now;
    let deps = &Deps {
        statuses: StatusesTable::new(dynamodb.clone(), config.statuses_table.clone()),
        pacer: Pacer::new(
            CredentialsTable::new(dynamodb.clone(), config.statuses_table),
            Timer,
        ),
        targets: Targets::new(RulesTable::new(dynamodb, config.rules_table)),
        credentials: Credentials::new(ProviderSecrets::new(secrets, config.provider_secrets_prefix)),
        hosts: Hosts::new()?,
        clock,
        jitter: |below| fastrand::i64(0..below),
    };
    run(service_fn(move |event: LambdaEvent<_>| async move {
        // Lambda's deadline is in milliseconds; one beyond what a timestamp can say is none.
        let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
        let deadline = Timestamp::from_millisecond(deadline).unwrap_or(Timestamp::MAX);
        Ok::<_, Error>(handle(deps, event.payload, deadline).await)
    }))
    .await
}
