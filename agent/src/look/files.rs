//! Reads files with a bound. Does file I/O.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};

/// Tells one content of a file from another without reading it. `ctime` cannot be set by programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system says no.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It has more bytes than this.
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    /// It is a folder, a device, a pipe or a socket.
    #[error("it is no regular file")]
    NotRegular,
}

/// A file that is open for reading.
#[derive(Debug)]
pub struct Opened {
    file: File,
    /// Which content it is.
    pub stamp: Stamp,
    /// When it was written last.
    pub written: SystemTime,
}

impl Opened {
    /// Opens a file, which may be a link.
    ///
    /// # Errors
    /// When it cannot be opened, or is none.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        // A pipe that nobody writes to must not be waited for.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file =
            File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(ReadError::NotRegular);
        }
        Ok(Self {
            file,
            stamp: Stamp {
                device: metadata.dev(),
                inode: metadata.ino(),
                size: metadata.size(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            },
            written: metadata.modified()?,
        })
    }

    /// Its content.
    ///
    /// # Errors
    /// When it cannot be read, or has more than `most` bytes.
    pub fn content(self, most: u64) -> Result<Vec<u8>, ReadError> {
        let mut content = Vec::new();
        // One more, for it may have grown since it was opened.
        self.file.take(most + 1).read_to_end(&mut content)?;
        if content.len() as u64 > most {
            return Err(ReadError::TooLarge(most));
        }
        Ok(content)
    }
}

/// The content of a file of the kernel, without the end of the line.
///
/// # Errors
/// When it cannot be read.
pub fn line(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MOST_OF_A_LINE)
        .read_to_string(&mut text)?;
    Ok(text.trim_end().to_owned())
}

/// The kernel's files have at most a page.
const MOST_OF_A_LINE: u64 = 4096;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::{Opened, ReadError};

    #[test]
    fn what_is_no_readable_file_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let open = |name: &str| Opened::open(&path(name));
        assert!(matches!(open("none"), Err(ReadError::Io(_))));
        assert!(matches!(open("."), Err(ReadError::NotRegular)));
        let made = Command::new("mkfifo").arg(path("pipe")).status();
        assert!(made.expect("mkfifo").success());
        assert!(matches!(open("pipe"), Err(ReadError::NotRegular)));
        fs::write(path("file"), "12345").expect("writes");
        let content = |most| open("file").expect("opens").content(most);
        assert!(matches!(content(4), Err(ReadError::TooLarge(4))));
        assert_eq!(content(5).expect("reads"), b"12345");
    }

    #[test]
    fn another_content_has_another_stamp() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let stamp = || Opened::open(&path).expect("opens").stamp;
        fs::write(&path, "one").expect("writes");
        let first = stamp();
        assert_eq!(stamp(), first);
        let other = folder.path().join("other");
        fs::write(&other, "two").expect("writes");
        fs::rename(other, &path).expect("replaces");
        assert_ne!(stamp(), first);
    }
}
