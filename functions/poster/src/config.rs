//! What the function is told by its environment.

/// Names of what the function works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `RULES_TABLE`.
    pub rules_table: String,
    /// `STATUSES_TABLE`.
    pub statuses_table: String,
    /// `PROVIDER_SECRETS_PREFIX`: what stands before the cluster in the names of Provider secrets, without the slash.
    pub provider_secrets_prefix: String,
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
            rules_table: required("RULES_TABLE")?,
            statuses_table: required("STATUSES_TABLE")?,
            provider_secrets_prefix: required("PROVIDER_SECRETS_PREFIX")?,
        })
    }
}
