//! What intake is told by its environment.

use jiff::SignedDuration;
use shared::item::STATUS_LIFETIME_SECONDS;

use crate::event::Limits;

/// URL of the `events` queue.
pub const EVENTS_QUEUE_URL: &str = "EVENTS_QUEUE_URL";

/// Name or ARN of the secret with the root key.
pub const ROOT_KEY_SECRET: &str = "ROOT_KEY_SECRET";

/// Hours after which an event is refused; 24 if absent.
pub const MAX_EVENT_AGE_HOURS: &str = "MAX_EVENT_AGE_HOURS";

/// No event may be older than a status is kept: it would start a forgotten one anew.
const LONGEST_EVENT_AGE_HOURS: i64 = STATUS_LIFETIME_SECONDS / (60 * 60);

/// Everything there is to configure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where events go.
    pub events_queue_url: String,
    /// Where the root key is.
    pub root_key_secret: String,
    /// How old an event may be.
    pub limits: Limits,
}

/// Why intake cannot start. Names the variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It must be set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// It is set to something that is no number of hours.
    #[error("the environment variable {0} is not a whole number from 1 to {LONGEST_EVENT_AGE_HOURS}")]
    NotHours(&'static str),
}

impl Config {
    /// Reads the configuration through `variable`, for which an empty variable is as good as none.
    ///
    /// # Errors
    /// If a variable is missing or cannot be read.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let optional = |name| variable(name).filter(|value| !value.is_empty());
        let required = |name| optional(name).ok_or(ConfigError::Missing(name));
        let mut limits = Limits::default();
        if let Some(hours) = optional(MAX_EVENT_AGE_HOURS) {
            limits.max_age = hours
                .parse()
                .ok()
                .filter(|hours| (1..=LONGEST_EVENT_AGE_HOURS).contains(hours))
                .map(SignedDuration::from_hours)
                .ok_or(ConfigError::NotHours(MAX_EVENT_AGE_HOURS))?;
        }
        Ok(Self {
            events_queue_url: required(EVENTS_QUEUE_URL)?,
            root_key_secret: required(ROOT_KEY_SECRET)?,
            limits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_env(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    const QUEUE: (&str, &str) = (EVENTS_QUEUE_URL, "https://sqs.example/events.fifo");
    const SECRET: (&str, &str) = (ROOT_KEY_SECRET, "commitstatus/root-key");

    #[test]
    fn an_age_is_optional() {
        assert_eq!(read(&[QUEUE, SECRET]).unwrap().limits, Limits::default());
        assert_eq!(
            read(&[QUEUE, SECRET, (MAX_EVENT_AGE_HOURS, "48")])
                .unwrap()
                .limits
                .max_age,
            SignedDuration::from_hours(48)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (variables, error) in [
            (
                vec![SECRET],
                "the environment variable EVENTS_QUEUE_URL is not set",
            ),
            (vec![QUEUE], "the environment variable ROOT_KEY_SECRET is not set"),
            (
                vec![QUEUE, (ROOT_KEY_SECRET, "")],
                "the environment variable ROOT_KEY_SECRET is not set",
            ),
        ] {
            assert_eq!(read(&variables).unwrap_err().to_string(), error);
        }
        for hours in ["0", "-1", "1.5", "24h", "2161", "99999999999999999999"] {
            let error = read(&[QUEUE, SECRET, (MAX_EVENT_AGE_HOURS, hours)]).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the environment variable MAX_EVENT_AGE_HOURS is not a whole number from 1 to 2160",
                "{hours}"
            );
        }
    }
}
