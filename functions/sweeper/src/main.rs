//! Lambda function `sweeper`.

use emf::{Metrics, STACK_NAME};
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use sweeper::adapters::{DueIndex, SqsHints, Timer};
use sweeper::config::Config;
use sweeper::handler::{Deps, STAY, count_parked, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment is read here and nowhere else"
    )]
    let variable = |name: &str| std::env::var(name).ok();
    let config = Config::read(variable)?;
    let metrics = &Metrics::listen(variable(STACK_NAME));
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
        sleep: Timer,
        stay: STAY,
        jitter: |below| fastrand::i64(0..below),
    };
    run(service_fn(move |_: LambdaEvent<serde_json::Value>| async move {
        let swept = handle(deps).await;
        if metrics.are_on() {
            count_parked(deps).await;
        }
        metrics.flush();
        swept?;
        Ok::<_, Error>(())
    }))
    .await
}
