//! DynamoDB and SQS behind the ports.

mod due_index;
mod sqs;

pub use due_index::DueIndex;
pub use sqs::SqsHints;
