//! Lambda function `rules`.

use std::process::ExitCode;
use std::time::Duration;

use emf::{Metrics, STACK_NAME};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use logs::Invocations;
use rules::adapters::{RulesTable, SqsHints, StatusesTable};
use rules::config::Config;
use rules::handler::{Deps, handle};
use rules::last_event::LastEvents;
use rules::lookup::Lookup;
use shared::ErrorChain;

/// What a start waits for connections at most. An event opens those that are not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// As many as the lookup of an event reads at once.
const CONNECTIONS: usize = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    logs::listen(variable);
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %ErrorChain(error.as_ref()), "rules stopped");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> Result<(), Error> {
    let config = Config::read(variable)?;
    let metrics = &Metrics::listen(variable(STACK_NAME));
    let aws = aws::environment(variable)?.build();
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock is read here and nowhere else"
    )]
    let clock = Timestamp::now;
    let rules_table = RulesTable::new(dynamodb.clone(), config.rules_table);
    connect(&rules_table).await;
    let deps = &Deps {
        lookup: Lookup::new(rules_table),
        statuses: StatusesTable::new(dynamodb, config.statuses_table),
        events: LastEvents::default(),
        hints: SqsHints::new(aws_sdk_sqs::Client::new(&aws), config.posts_queue_url),
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
