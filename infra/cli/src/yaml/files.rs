//! What `-f` names: files, directories and standard input.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Name of standard input in `-f`.
const STDIN: &str = "-";

/// Text with the name it goes by in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// File as it was named, or `stdin`.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// Something `-f` names cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system said no.
    #[error("cannot read `{path}`; check the path given with -f")]
    Io {
        /// What was named.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory with nothing in it.
    #[error("no *.yaml or *.yml in `{0}`; say -R to look below it too")]
    Empty(PathBuf),
    /// Standard input twice.
    #[error("standard input can be read once only; say `-f -` once")]
    StdinTwice,
}

/// Reads everything in the order it was named; a directory by name of file, one level deep unless
/// `recursive`.
///
/// # Errors
/// At the first that cannot be read.
pub fn read_sources(
    paths: &[PathBuf],
    recursive: bool,
    stdin: &mut dyn Read,
) -> Result<Vec<Source>, FileError> {
    let mut sources = Vec::new();
    let mut stdin_is_read = false;
    for path in paths {
        if path.as_os_str() == STDIN {
            if std::mem::replace(&mut stdin_is_read, true) {
                return Err(FileError::StdinTwice);
            }
            let mut text = String::new();
            stdin
                .read_to_string(&mut text)
                .map_err(|source| failed(Path::new(STDIN), source))?;
            sources.push(Source {
                name: "stdin".into(),
                text,
            });
        } else if path.is_dir() {
            let mut files = Vec::new();
            collect(path, recursive, &mut files)?;
            if files.is_empty() {
                return Err(FileError::Empty(path.clone()));
            }
            for file in files {
                sources.push(read(&file)?);
            }
        } else {
            sources.push(read(path)?);
        }
    }
    Ok(sources)
}

fn collect(directory: &Path, recursive: bool, files: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let entries = std::fs::read_dir(directory)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(|source| failed(directory, source))?;
    let mut entries: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let is_hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_yaml = path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml");
        // A linked directory may lead back to where it stands.
        let is_directory = path.is_dir() && !path.is_symlink();
        match (is_hidden, is_directory) {
            (true, _) => {}
            (false, true) if recursive => collect(&path, recursive, files)?,
            (false, true) => {}
            (false, false) if is_yaml => files.push(path),
            (false, false) => {}
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Source, FileError> {
    let text = std::fs::read_to_string(path).map_err(|source| failed(path, source))?;
    Ok(Source {
        name: path.display().to_string(),
        text,
    })
}

fn failed(path: &Path, source: io::Error) -> FileError {
    FileError::Io {
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sources: &[Source], below: &Path) -> Vec<String> {
        let prefix = format!("{}/", below.display());
        sources
            .iter()
            .map(|source| source.name.replace(&prefix, ""))
            .collect()
    }

    #[test]
    fn a_directory_is_read_one_level_deep_unless_asked() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("below")).unwrap();
        for file in ["b.yml", "a.yaml", ".hidden.yaml", "notes.txt", "below/c.yaml"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        let paths = [root.to_owned()];

        let flat = read_sources(&paths, false, &mut io::empty()).unwrap();
        assert_eq!(names(&flat, root), ["a.yaml", "b.yml"]);
        let deep = read_sources(&paths, true, &mut io::empty()).unwrap();
        assert_eq!(names(&deep, root), ["a.yaml", "b.yml", "below/c.yaml"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = read_sources(&["no/such.yaml".into()], false, &mut io::empty()).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "cannot read `no/such.yaml`; check the path given with -f"
        );
        let empty = read_sources(&[directory.path().to_owned()], false, &mut io::empty()).unwrap_err();
        assert!(empty.to_string().starts_with("no *.yaml or *.yml in"), "{empty}");
        let twice = read_sources(&["-".into(), "-".into()], false, &mut io::empty()).unwrap_err();
        assert!(matches!(twice, FileError::StdinTwice));
    }

    #[test]
    fn standard_input_goes_by_its_name() {
        let sources = read_sources(&["-".into()], false, &mut "kind: x".as_bytes()).unwrap();
        assert_eq!(
            sources,
            [Source {
                name: "stdin".into(),
                text: "kind: x".into()
            }]
        );
    }
}
