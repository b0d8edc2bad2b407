//! Lambda function `sweeper`.

use std::process::ExitCode;

use emf::{Metrics, STACK_NAME};
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use logs::Invocations;
use shared::ErrorChain;
use sweeper::adapters::{DueIndex, SqsHints, Timer};
use sweeper::config::Config;
use sweeper::handler::{Deps, STAY, count_parked, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    logs::listen(variable);
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %ErrorChain(error.as_ref()), "sweeper stopped");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> Result<(), Error> {
    let config = Config::read(variable)?;
    let metrics = &Metrics::listen(variable(STACK_NAME));
    let aws = aws::environment(variable)?.build();
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
    let service = service_fn(move |_: LambdaEvent<serde_json::Value>| async move {
        let swept = handle(deps).await;
        if metrics.are_on() {
            count_parked(deps).await;
        }
        metrics.flush();
        swept?;
        Ok::<_, Error>(())
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
