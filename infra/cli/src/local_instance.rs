//! The process `local` on this machine: where it keeps its data and where it listens.

use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use serde::{Deserialize, Serialize};

/// File in the data directory that tells where the process listens.
const FILE: &str = "local.json";
/// Directory below the XDG data directory.
const DATA_DIR: &str = "commitstatus-local";
/// On the same machine an answer takes far less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a running `local` listens; what it writes to `local.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalInstance {
    /// Endpoint of its DynamoDB.
    pub dynamodb: String,
    /// Address clusters send events to, with a slash at the end.
    pub function_url: String,
    /// Endpoint of its SQS; `None` if the process is of a release that had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqs: Option<String>,
}

/// There is no running `local`.
#[derive(Debug, thiserror::Error)]
pub enum LocalInstanceError {
    /// It never ran with this data directory, or does not run any more.
    #[error(
        "no local service runs with data in `{0}`; start it with `cargo run -p local`, or name its directory with \
         --data-dir"
    )]
    NotRunning(PathBuf),
    /// Its file is there and makes no sense.
    #[error("`{0}` cannot be read; start the local service again with `cargo run -p local`")]
    Unreadable(PathBuf, #[source] io::Error),
}

/// `$XDG_DATA_HOME/commitstatus-local`, or below `$HOME/.local/share`. `None` if neither is set.
pub fn default_data_dir(xdg_data_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let set = |value: Option<OsString>| value.filter(|value| !value.is_empty()).map(PathBuf::from);
    // The specification has relative paths ignored.
    let data_home = set(xdg_data_home).filter(|path| path.is_absolute());
    let data_home = data_home.or_else(|| set(home).map(|home| home.join(".local").join("share")));
    data_home.map(|data_home| data_home.join(DATA_DIR))
}

/// Directory of the secrets: one file each.
pub fn secrets_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("secrets")
}

impl LocalInstance {
    /// Finds the running process.
    ///
    /// # Errors
    /// If there is none, or its file cannot be read.
    pub fn find(data_dir: &Path) -> Result<Self, LocalInstanceError> {
        let file = data_dir.join(FILE);
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LocalInstanceError::NotRunning(data_dir.into()));
            }
            Err(error) => return Err(LocalInstanceError::Unreadable(file, error)),
        };
        let instance: Self = serde_json::from_slice(&text)
            .map_err(|error| LocalInstanceError::Unreadable(file, error.into()))?;
        // A process that was killed leaves its file.
        if !answers(&instance.dynamodb) {
            return Err(LocalInstanceError::NotRunning(data_dir.into()));
        }
        Ok(instance)
    }

    /// Tells where the process listens, replacing what an earlier one wrote.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
        serde_json::to_writer(&mut file, self)?;
        file.persist(data_dir.join(FILE))?;
        Ok(())
    }

    /// Removes what [`LocalInstance::write`] wrote.
    ///
    /// # Errors
    /// If there is a file that cannot be removed.
    pub fn remove(data_dir: &Path) -> io::Result<()> {
        match std::fs::remove_file(data_dir.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

fn answers(endpoint: &str) -> bool {
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let address: Option<SocketAddr> = address.parse().ok();
    address.is_some_and(|address| TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).is_ok())
}

/// A client of a DynamoDB on this machine, which takes any credentials.
pub fn dynamodb_client(endpoint: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}

/// A client of an SQS on this machine, which takes any credentials.
pub fn sqs_client(endpoint: &str) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .endpoint_url(endpoint)
        .timeout_config(crate::queues::timeouts())
        .build();
    aws_sdk_sqs::Client::from_conf(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_directory_follows_the_xdg_specification() {
        let dir = |xdg: Option<&str>, home: Option<&str>| {
            default_data_dir(xdg.map(Into::into), home.map(Into::into))
        };
        assert_eq!(dir(Some("/x"), Some("/h")), Some("/x/commitstatus-local".into()));
        for ignored in [None, Some(""), Some("relative")] {
            let expected = Some("/h/.local/share/commitstatus-local".into());
            assert_eq!(dir(ignored, Some("/h")), expected);
        }
        assert_eq!(dir(None, None), None);
    }

    #[test]
    fn a_file_of_a_process_that_is_gone_is_no_running_process() {
        let data = tempfile::tempdir().unwrap();
        let missing = LocalInstance::find(data.path()).unwrap_err().to_string();
        assert!(
            missing.contains("start it with `cargo run -p local`"),
            "{missing}"
        );

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let instance = LocalInstance {
            dynamodb: format!("http://{}", listener.local_addr().unwrap()),
            function_url: "http://127.0.0.1:1/".into(),
            sqs: None,
        };
        instance.write(data.path()).unwrap();
        assert_eq!(LocalInstance::find(data.path()).unwrap(), instance);

        // What 0.1.0 wrote before it had an SQS.
        let older = format!(
            r#"{{"dynamodb":"{}","function_url":"http://127.0.0.1:1/"}}"#,
            instance.dynamodb
        );
        std::fs::write(data.path().join(FILE), older).unwrap();
        assert_eq!(LocalInstance::find(data.path()).unwrap(), instance);

        drop(listener);
        assert_eq!(LocalInstance::find(data.path()).unwrap_err().to_string(), missing);
        LocalInstance::remove(data.path()).unwrap();
        LocalInstance::remove(data.path()).unwrap();
    }
}
