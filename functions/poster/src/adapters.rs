//! DynamoDB and Secrets Manager behind the ports.

mod credentials_table;
mod expression;
mod rules_table;
mod secrets_manager;
mod statuses_table;
mod timer;

pub use credentials_table::CredentialsTable;
pub use rules_table::RulesTable;
pub use secrets_manager::ProviderSecrets;
pub use statuses_table::StatusesTable;
pub use timer::Timer;
