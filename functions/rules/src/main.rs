//! Lambda function `rules`.

use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use rules::adapters::{RulesTable, SqsHints, StatusesTable};
use rules::config::Config;
use rules::handler::{Deps, handle};
use rules::lookup::Lookup;

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
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock is read here and nowhere else"
    )]
    let clock = Timestamp::now;
    let deps = &Deps {
        lookup: Lookup::new(RulesTable::new(dynamodb.clone(), config.rules_table)),
        statuses: StatusesTable::new(dynamodb, config.statuses_table),
        hints: SqsHints::new(aws_sdk_sqs::Client::new(&aws), config.posts_queue_url),
        clock,
    };
    run(service_fn(move |event: LambdaEvent<_>| async move {
        // Lambda's deadline is in milliseconds; one beyond what a timestamp can say is none.
        let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
        let deadline = Timestamp::from_millisecond(deadline).unwrap_or(Timestamp::MAX);
        Ok::<_, Error>(handle(deps, event.payload, deadline).await)
    }))
    .await
}
