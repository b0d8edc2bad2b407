//! Lambda function `sweeper`.

use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use sweeper::adapters::{DueIndex, SqsHints};
use sweeper::config::Config;
use sweeper::handler::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment is read here and nowhere else"
    )]
    let config = Config::read(|name| std::env::var(name).ok())?;
    let aws = aws_config::load_defaults(aws_config::BehaviorVersion::v2026_01_12()).await;
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock is read here and nowhere else"
    )]
    let clock = Timestamp::now;
    let deps = &Deps {
        due: DueIndex::new(aws_sdk_dynamodb::Client::new(&aws), config.statuses_table),
        hints: SqsHints::new(aws_sdk_sqs::Client::new(&aws), config.posts_queue_url),
        clock,
        jitter: |below| fastrand::i64(0..below),
    };
    run(service_fn(move |_: LambdaEvent<serde_json::Value>| async move {
        handle(deps).await?;
        Ok::<_, Error>(())
    }))
    .await
}
