//! Secrets as files that only their owner can read.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use shared::message::hex_sha256;

use super::{Current, SecretError, SecretStore, Stages, Version};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A directory of secrets, one file each: `<secret name>.json`.
#[derive(Debug, Clone)]
pub struct FileSecrets {
    directory: PathBuf,
}

/// Both versions of a secret.
#[derive(Debug, Clone)]
pub struct Versions {
    /// The one in force.
    pub current: SecretString,
    /// The one before it.
    pub previous: Option<SecretString>,
}

/// Stages as Secrets Manager calls them.
#[derive(Serialize, Deserialize)]
struct Content {
    #[serde(rename = "AWSCURRENT")]
    current: String,
    #[serde(rename = "AWSPREVIOUS", default, skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    /// When the current version was put in force by a rotation.
    #[serde(rename = "CreatedDate", default, skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
}

/// Where Secrets Manager draws one, a version is named by a hash of what it holds: for secrets nobody can guess.
fn version_id(value: &str) -> String {
    hex_sha256(&["version of a secret", value])
}

impl FileSecrets {
    /// Secrets below this directory, which is created when the first is written.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// Reads both versions.
    ///
    /// # Errors
    /// If the name could lead elsewhere, or the file cannot be read.
    pub fn versions(&self, name: &str) -> Result<Option<Versions>, SecretError> {
        let content = self
            .read(name)
            .map_err(|error| SecretError::new("reading", name, error))?;
        Ok(content.map(|content| Versions {
            current: content.current.into(),
            previous: content.previous.map(Into::into),
        }))
    }

    fn read(&self, name: &str) -> io::Result<Option<Content>> {
        let text = match std::fs::read(self.path(name)?) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // What serde says may quote the secret.
        let content = serde_json::from_slice(&text).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the file holds no versions of a secret",
            )
        })?;
        Ok(Some(content))
    }

    /// Whether it was written; a file that exists is replaced only if asked.
    fn write(&self, name: &str, content: &Content, replace: bool) -> io::Result<bool> {
        let path = self.path(name)?;
        let directory = path.parent().unwrap_or(&self.directory);
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)?;
        // Written beside it and renamed: a reader sees the old file or the new one.
        let mut file = tempfile::Builder::new()
            .prefix(".")
            .permissions(Permissions::from_mode(FILE_MODE))
            .tempfile_in(directory)?;
        serde_json::to_writer(&mut file, content)?;
        file.flush()?;
        file.as_file().sync_all()?;
        if replace {
            file.persist(&path)?;
            return Ok(true);
        }
        match file.persist_noclobber(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.error),
        }
    }

    /// Replaces what is there if `change` says by what, with no other such change between reading and writing; whether
    /// it did.
    fn change(&self, name: &str, change: impl FnOnce(Content) -> Option<Content>) -> io::Result<bool> {
        let path = self.path(name)?;
        // Not the file itself: it is replaced. The lock ends when this is closed.
        let directory = File::open(path.parent().unwrap_or(&self.directory))?;
        directory.lock()?;
        match self.read(name)?.and_then(change) {
            Some(content) => self.write(name, &content, true),
            None => Ok(false),
        }
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        // The characters Secrets Manager allows.
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
        let leads_below = name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.'));
        if !leads_below || !name.chars().all(allowed) {
            let problem = "the name may hold letters, digits and _+=.@- in parts divided by single slashes, none \
                           beginning with a dot";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        Ok(self.directory.join(Path::new(&format!("{name}.json"))))
    }
}

impl SecretStore for FileSecrets {
    async fn current_version(&self, name: &str) -> Result<Option<Current>, SecretError> {
        let versions = self.versions(name)?;
        Ok(versions.map(|versions| Current {
            id: version_id(versions.current.expose_secret()),
            value: versions.current,
        }))
    }

    async fn stages(&self, name: &str) -> Result<Option<Stages>, SecretError> {
        let content = self
            .read(name)
            .map_err(|error| SecretError::new("reading", name, error))?;
        Ok(content.map(|content| Stages {
            current: Version {
                id: version_id(&content.current),
                created_at: content.created_at,
            },
            previous: content.previous.map(|previous| Version {
                id: version_id(&previous),
                created_at: None,
            }),
        }))
    }

    async fn create(&self, name: &str, value: &SecretString) -> Result<bool, SecretError> {
        let content = Content {
            current: value.expose_secret().to_owned(),
            previous: None,
            created_at: None,
        };
        self.write(name, &content, false)
            .map_err(|error| SecretError::new("creating", name, error))
    }

    async fn put(&self, name: &str, value: &SecretString) -> Result<(), SecretError> {
        let failed = |error| SecretError::new("writing", name, error);
        let content = Content {
            current: value.expose_secret().to_owned(),
            previous: self.read(name).map_err(failed)?.map(|content| content.current),
            created_at: None,
        };
        self.write(name, &content, true).map_err(failed).map(drop)
    }

    async fn rotate(
        &self,
        name: &str,
        from: &str,
        value: &SecretString,
        now: Timestamp,
    ) -> Result<bool, SecretError> {
        self.change(name, |content| {
            (version_id(&content.current) == from).then(|| Content {
                current: value.expose_secret().to_owned(),
                previous: Some(content.current),
                created_at: Some(now),
            })
        })
        .map_err(|error| SecretError::new("rotating", name, error))
    }

    async fn retire(&self, name: &str, previous: &str) -> Result<bool, SecretError> {
        self.change(name, |content| {
            let is_there = content.previous.as_deref().map(version_id).as_deref() == Some(previous);
            is_there.then_some(Content {
                previous: None,
                ..content
            })
        })
        .map_err(|error| SecretError::new("retiring the previous version of", name, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ErrorChain;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn only_the_owner_can_read_a_secret() {
        let data = tempfile::tempdir().unwrap();
        let secrets = FileSecrets::new(data.path().join("secrets"));
        let name = "commitstatus/providers/_all/flux-system/github";

        secrets.put(name, &"first".into()).await.unwrap();

        let file = data.path().join(format!("secrets/{name}.json"));
        assert_eq!(mode(&file), 0o600);
        for directory in file.ancestors().skip(1).take(5) {
            assert_eq!(mode(directory), 0o700, "{}", directory.display());
        }
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            r#"{"AWSCURRENT":"first"}"#
        );
        secrets.put(name, &"second".into()).await.unwrap();
        assert_eq!(mode(&file), 0o600);
    }

    #[tokio::test]
    async fn what_was_current_becomes_previous() {
        let data = tempfile::tempdir().unwrap();
        let secrets = FileSecrets::new(data.path());
        assert!(secrets.versions("a/b").unwrap().is_none());
        for value in ["first", "second", "third"] {
            secrets.put("a/b", &value.into()).await.unwrap();
        }

        let versions = secrets.versions("a/b").unwrap().unwrap();
        assert_eq!(versions.current.expose_secret(), "third");
        assert_eq!(versions.previous.unwrap().expose_secret(), "second");
        let current = secrets.current("a/b").await.unwrap().unwrap();
        assert_eq!(current.expose_secret(), "third");
    }

    #[tokio::test]
    async fn create_never_replaces() {
        let data = tempfile::tempdir().unwrap();
        let secrets = FileSecrets::new(data.path());
        assert!(secrets.create("a", &"first".into()).await.unwrap());
        assert!(!secrets.create("a", &"second".into()).await.unwrap());

        let current = secrets.current("a").await.unwrap().unwrap();
        assert_eq!(current.expose_secret(), "first");
        let left: Vec<_> = std::fs::read_dir(data.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file is left: {left:?}");
    }

    #[tokio::test]
    async fn a_name_cannot_lead_elsewhere() {
        let data = tempfile::tempdir().unwrap();
        let secrets = FileSecrets::new(data.path().join("secrets"));
        for name in [
            "..",
            "../a",
            "a/../../b",
            "/etc/a",
            "a//b",
            "",
            "a/",
            ".a",
            "a\\b",
            "a\0b",
        ] {
            assert!(secrets.put(name, &"x".into()).await.is_err(), "{name:?}");
            assert!(secrets.current(name).await.is_err(), "{name:?}");
        }
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn no_secret_is_in_the_debug_text_or_in_an_error() {
        let data = tempfile::tempdir().unwrap();
        let secrets = FileSecrets::new(data.path());
        secrets.put("a", &"ghp_hidden".into()).await.unwrap();
        let versions = secrets.versions("a").unwrap();
        std::fs::write(data.path().join("b.json"), r#"{"AWSCURRENT":["ghp_hidden"]}"#).unwrap();
        let error = secrets.current("b").await.unwrap_err();

        let text = format!("{secrets:?} {versions:?} {error:?} {}", ErrorChain(&error));
        assert!(!text.contains("ghp_hidden"), "{text}");
        assert_eq!(
            ErrorChain(&error).to_string(),
            "reading secret `b` failed: the file holds no versions of a secret"
        );
    }
}
