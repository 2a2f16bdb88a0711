//! Why a file could not be published.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Creating a directory.
    CreateDirectory,
    /// Opening a directory or file.
    Open,
    /// Reading a file.
    Read,
    /// Listing a directory.
    List,
    /// Creating the temporary file.
    Create,
    /// Giving the temporary file to its owner.
    ChangeOwner,
    /// Setting the mode.
    ChangeMode,
    /// Writing the content.
    Write,
    /// Bringing the content to the disk.
    Sync,
    /// Closing the file.
    Close,
    /// Renaming the temporary file.
    Rename,
    /// Bringing the name to the disk.
    SyncDirectory,
    /// Removing a file.
    Remove,
    /// Waiting for the lock.
    Lock,
}

/// Why a file could not be published.
#[derive(Debug)]
#[non_exhaustive]
pub enum OutputError {
    /// A system call failed.
    Io {
        /// What it was for.
        step: Step,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The path is there, and is no directory.
    NotADirectory(PathBuf),
    /// The directory belongs to somebody else.
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Another process held the lock for too long.
    Locked(PathBuf),
    /// No directory is configured and none can be derived.
    NoDirectory,
}

impl OutputError {
    pub(super) fn io(step: Step, path: &Path, cause: io::Error) -> Self {
        Self::Io { step, path: path.to_owned(), cause }
    }

    /// One sentence for the operator.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most kinds of errors explain themselves")]
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Io { step: Step::ChangeOwner, .. } => {
                "only root may give files away: run as root, or remove rolekeeper_owner and rolekeeper_group"
                    .into()
            }
            Self::Io { path, cause, .. } => match cause.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    format!(
                        "free some space where `{}` lies; the old files stay in place until then",
                        path.display()
                    )
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    "mount a writable directory there, or name one with --output-dir".to_owned()
                }
                io::ErrorKind::PermissionDenied => {
                    "name a directory that this user may write, with --output-dir or output_dir".to_owned()
                }
                _ => return None,
            },
            Self::NotADirectory(_) => "name a directory with --output-dir or output_dir".to_owned(),
            Self::ForeignDirectory { .. } => {
                "its owner could swap what is written there: use a directory of root's or of this user's own"
                    .to_owned()
            }
            Self::Locked(_) => "another rolekeeper is busy; see which with `fuser` on that file".to_owned(),
            Self::NoDirectory => {
                "name one with --output-dir, or set XDG_RUNTIME_DIR or output_dir in [rolekeeper]".to_owned()
            }
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateDirectory => "create the directory",
            Self::Open => "open",
            Self::Read => "read",
            Self::List => "list",
            Self::Create => "create",
            Self::ChangeOwner => "set the owner of",
            Self::ChangeMode => "set the mode of",
            Self::Write => "write",
            Self::Sync => "bring to the disk",
            Self::Close => "close",
            Self::Rename => "rename the new file to",
            Self::SyncDirectory => "bring to the disk the directory",
            Self::Remove => "remove",
            Self::Lock => "lock",
        })
    }
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { step, path, .. } => write!(f, "cannot {step} `{}`", path.display()),
            Self::NotADirectory(path) => write!(f, "`{}` is not a directory", path.display()),
            Self::ForeignDirectory { path, owner } => {
                write!(f, "the directory `{}` belongs to user {owner}", path.display())
            }
            Self::Locked(path) => write!(f, "the lock `{}` was held for too long", path.display()),
            Self::NoDirectory => f.write_str("no directory to publish files in"),
        }
    }
}

impl Error for OutputError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { cause, .. } => Some(cause),
            Self::NotADirectory(_) | Self::ForeignDirectory { .. } | Self::Locked(_) | Self::NoDirectory => {
                None
            }
        }
    }
}
