//! What the function is told by its environment.

use crate::host::{AddressPolicy, RangeError};

/// Names of what the function works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `RULES_TABLE`.
    pub rules_table: String,
    /// `STATUSES_TABLE`.
    pub statuses_table: String,
    /// `PROVIDER_SECRETS_PREFIX`: what stands before the cluster in the names of Provider secrets, without the slash.
    pub provider_secrets_prefix: String,
    /// `ALLOWED_PRIVATE_RANGES`: ranges in CIDR notation with commas between them, where Git hosts may be although they are
    /// not public. None if it is empty or missing.
    pub address_policy: AddressPolicy,
}

/// The function cannot start like this.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A variable is missing or empty.
    #[error("environment variable {0} is not set")]
    Missing(&'static str),
    /// A range of `ALLOWED_PRIVATE_RANGES` is none.
    #[error("environment variable ALLOWED_PRIVATE_RANGES: {0}")]
    Range(#[from] RangeError),
}

impl Config {
    /// Reads the configuration through `variable`.
    ///
    /// # Errors
    /// The first variable that is missing, empty, or cannot be read.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let required = |name| {
            variable(name)
                .filter(|value| !value.is_empty())
                .ok_or(ConfigError::Missing(name))
        };
        Ok(Self {
            rules_table: required("RULES_TABLE")?,
            statuses_table: required("STATUSES_TABLE")?,
            provider_secrets_prefix: required("PROVIDER_SECRETS_PREFIX")?,
            address_policy: variable("ALLOWED_PRIVATE_RANGES").unwrap_or_default().parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ranges: Option<&str>) -> Result<Config, ConfigError> {
        Config::read(|name| match name {
            "ALLOWED_PRIVATE_RANGES" => ranges.map(str::to_owned),
            name => Some(name.to_lowercase()),
        })
    }

    #[test]
    fn no_private_range_is_allowed_unless_one_is_named() {
        for none in [None, Some("")] {
            assert_eq!(read(none).unwrap().address_policy, AddressPolicy::default());
        }
        let allowed = read(Some("10.0.0.0/8, fd12::/16")).unwrap().address_policy;
        assert_eq!(allowed, "10.0.0.0/8,fd12::/16".parse().unwrap());
    }

    #[test]
    fn a_range_that_is_none_names_the_variable_and_what_would_be_right() {
        assert_eq!(
            read(Some("10.0.0.0/8,192.168.1.1")).unwrap_err().to_string(),
            "environment variable ALLOWED_PRIVATE_RANGES: `192.168.1.1` is an address without a prefix length; expected \
             `192.168.1.1/32` for it alone"
        );
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = Config::read(|_| None).unwrap_err();
        assert_eq!(error.to_string(), "environment variable RULES_TABLE is not set");
    }
}
