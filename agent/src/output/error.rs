//! Why a file could not be published.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::shared_file::Refusal;
use crate::config::trust::Untrusted;

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
    /// A file that was not published by rolekeeper is where one would be.
    NotOurs(PathBuf),
    /// The file is a mount point, which nothing can be renamed to.
    MountPoint(PathBuf),
    /// The file is a link, a directory or something else that is not a file.
    NotAFile(PathBuf),
    /// A file that others own too cannot be understood.
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: Refusal,
    },
    /// A file that others own too was not empty before, and is.
    Emptied(PathBuf),
    /// A file that others own too changes all the time.
    Unsteady(PathBuf),
    /// The directory of a file that others own too belongs to a user whom this one cannot act for.
    SomebodysDirectory {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Root does not write where others can swap what it writes.
    Untrusted {
        /// The file.
        path: PathBuf,
        /// Who can change what.
        untrusted: Untrusted,
    },
    /// The file that others own too is one of the agent's own.
    OwnFile(PathBuf),
    /// The process that acts for the owner of a directory did not do its work.
    Helper {
        /// The file.
        path: PathBuf,
        /// The owner.
        owner: u32,
        /// What it said, cleaned.
        message: String,
    },
}

impl OutputError {
    pub(super) fn io(step: Step, path: &Path, cause: io::Error) -> Self {
        Self::Io { step, path: path.to_owned(), cause }
    }

    /// `cause` as an error of reading `path`, where it says nothing of the file: the process lacks descriptors or
    /// memory, and will not for ever. Any other cause is the file's, which then counts as absent.
    pub(crate) fn exhausted(path: &Path, cause: io::Error) -> Result<(), Self> {
        match cause.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => Err(Self::io(Step::Read, path, cause)),
            _ => Ok(()),
        }
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
            Self::MountPoint(_) => {
                "mount its directory instead of the single file, or write `rolekeeper_write_mode = in-place`"
                    .to_owned()
            }
            Self::NotAFile(_) => "name the file itself, where it is a link".to_owned(),
            Self::Refused { .. } => "mend the file; until then it stays as it is".to_owned(),
            Self::Emptied(_) => {
                "restore the file, or remove it where it was emptied on purpose; until then it stays as it is"
                    .to_owned()
            }
            Self::Unsteady(_) => "see which program writes it all the time".to_owned(),
            Self::SomebodysDirectory { .. } => "run as that user, or as root".to_owned(),
            Self::Untrusted { untrusted, .. } => untrusted.advice(),
            Self::OwnFile(_) => "name a file outside of the output directory".to_owned(),
            Self::Helper { .. } => return None,
            Self::NotOurs(_) => "name a directory of its own with --output-dir or output_dir".to_owned(),
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
            Self::NotOurs(path) => {
                write!(f, "`{}` was not published by rolekeeper, and stays as it is", path.display())
            }
            Self::MountPoint(path) => write!(f, "`{}` is a mount point", path.display()),
            Self::NotAFile(path) => write!(f, "`{}` is not a regular file", path.display()),
            Self::Refused { path, .. } => write!(f, "`{}` is left as it is", path.display()),
            Self::Emptied(path) => write!(f, "`{}` was not empty before, and is", path.display()),
            Self::Unsteady(path) => write!(f, "`{}` changes all the time", path.display()),
            Self::SomebodysDirectory { path, owner } => {
                write!(f, "the directory `{}` belongs to user {owner}", path.display())
            }
            Self::Untrusted { path, untrusted } => {
                write!(f, "`{}` is not written by root: {untrusted}", path.display())
            }
            Self::OwnFile(path) => {
                write!(f, "`{}` is among the files that are replaced whole", path.display())
            }
            Self::Helper { path, owner, message } => {
                write!(f, "cannot write `{}` as user {owner}: {message}", path.display())
            }
        }
    }
}

impl Error for OutputError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { cause, .. } => Some(cause),
            Self::Refused { cause, .. } => Some(cause),
            Self::NotADirectory(_)
            | Self::ForeignDirectory { .. }
            | Self::Locked(_)
            | Self::NoDirectory
            | Self::NotOurs(_)
            | Self::MountPoint(_)
            | Self::NotAFile(_)
            | Self::Emptied(_)
            | Self::Unsteady(_)
            | Self::SomebodysDirectory { .. }
            | Self::Untrusted { .. }
            | Self::OwnFile(_)
            | Self::Helper { .. } => None,
        }
    }
}
