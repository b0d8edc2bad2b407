//! DynamoDB and SQS behind the ports.

mod rules_table;
mod sqs;
mod statuses_table;

pub use rules_table::RulesTable;
pub use sqs::SqsHints;
pub use statuses_table::StatusesTable;
