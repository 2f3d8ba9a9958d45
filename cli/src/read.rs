//! From what `-f` names to files and their bytes. Reads files, folders and standard input.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes of one file: a list of 50,000 pods as an API server returns them, at 10 kB each.
const MAX_FILE_BYTES: u64 = 512 * 1024 * 1024;

/// The endings of the files that are read of a folder, as for kubectl.
const MANIFEST_EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// What one `-f` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// `-`
    Stdin,
    /// A file or a folder.
    Path(PathBuf),
}

impl From<OsString> for Input {
    fn from(text: OsString) -> Self {
        if text == "-" {
            Self::Stdin
        } else {
            Self::Path(text.into())
        }
    }
}

/// Something to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Standard input.
    Stdin,
    /// A file that was named.
    Named(PathBuf),
    /// A file found below a folder that was named.
    Found(PathBuf),
}

/// What stands at one place of an input.
#[derive(Debug)]
pub(crate) enum Listed {
    /// A file, or standard input.
    Source(Source),
    /// A symbolic link to a folder, which is not followed: it may lead out of the folder that
    /// was named, or back into it.
    LinkedFolder(PathBuf),
    /// What cannot be read.
    Failed(PathBuf, ReadError),
}

/// Why a file or folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("failed to read: {0}")]
    Io(#[from] io::Error),
    #[error("more than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    #[error("not a regular file")]
    NotAFile,
    #[error("no .yaml, .yml or .json file in this folder")]
    EmptyFolder,
}

impl Source {
    /// The path as given, or as found below the folder given; `-` for standard input.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::Named(path) | Self::Found(path) => path.to_string_lossy().into_owned(),
        }
    }

    /// Whether nobody named it: it need not be a manifest.
    pub(crate) fn is_found(&self) -> bool {
        matches!(self, Self::Found(_))
    }

    /// Everything in it.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when it cannot be read, or is larger than any set of manifests.
    pub(crate) fn read(&self) -> Result<Vec<u8>, ReadError> {
        match self {
            Self::Stdin => read_limited(io::stdin().lock()),
            Self::Named(path) | Self::Found(path) => read_limited(File::open(path)?),
        }
    }
}

fn read_limited(reader: impl Read) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let count = reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if count as u64 > MAX_FILE_BYTES {
        return Err(ReadError::TooLarge);
    }
    Ok(bytes)
}

/// What an input stands for; the files of a folder sorted by name, folder by folder.
pub(crate) fn list(input: &Input) -> Vec<Listed> {
    let path = match input {
        Input::Stdin => return vec![Listed::Source(Source::Stdin)],
        Input::Path(path) => path,
    };
    // What was named is followed, whatever it is: `-f <(kustomize build)` is a pipe.
    match fs::metadata(path) {
        Err(error) => vec![Listed::Failed(path.clone(), error.into())],
        Ok(metadata) if metadata.is_dir() => {
            let mut listed = Vec::new();
            walk(path, &mut listed);
            if listed.is_empty() {
                listed.push(Listed::Failed(path.clone(), ReadError::EmptyFolder));
            }
            listed
        }
        Ok(_) => vec![Listed::Source(Source::Named(path.clone()))],
    }
}

fn walk(folder: &Path, listed: &mut Vec<Listed>) {
    let mut paths = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return listed.push(Listed::Failed(folder.to_owned(), error.into())),
    };
    for entry in entries {
        match entry {
            Ok(entry) => paths.push(entry.path()),
            Err(error) => listed.push(Listed::Failed(folder.to_owned(), error.into())),
        }
    }
    paths.sort_unstable();
    for path in paths {
        let is_manifest = path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| MANIFEST_EXTENSIONS.contains(&extension));
        let is_link = path.is_symlink();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() && is_link => listed.push(Listed::LinkedFolder(path)),
            Ok(metadata) if metadata.is_dir() => walk(&path, listed),
            _ if !is_manifest => {}
            Ok(metadata) if metadata.is_file() => listed.push(Listed::Source(Source::Found(path))),
            Ok(_) => listed.push(Listed::Failed(path, ReadError::NotAFile)),
            Err(error) => listed.push(Listed::Failed(path, error.into())),
        }
    }
}
