//! DynamoDB and SQS behind the ports.

mod due_index;
mod sqs;
mod timer;

pub use due_index::DueIndex;
pub use sqs::SqsHints;
pub use timer::Timer;
