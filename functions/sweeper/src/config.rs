//! What the function is told by its environment.

/// Names of what the function works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `STATUSES_TABLE`.
    pub statuses_table: String,
    /// `POSTS_QUEUE_URL`.
    pub posts_queue_url: String,
}

/// A variable is missing.
#[derive(Debug, thiserror::Error)]
#[error("environment variable {0} is not set")]
pub struct MissingVariable(pub &'static str);

impl Config {
    /// Reads the configuration through `variable`.
    ///
    /// # Errors
    /// The first variable that is missing or empty.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, MissingVariable> {
        let required = |name| {
            variable(name)
                .filter(|value| !value.is_empty())
                .ok_or(MissingVariable(name))
        };
        Ok(Self {
            statuses_table: required("STATUSES_TABLE")?,
            posts_queue_url: required("POSTS_QUEUE_URL")?,
        })
    }
}
