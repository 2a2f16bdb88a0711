//! Whether another user could change a file that root is about to believe: the file, every directory on the way to
//! it, and every link in between. Reads names, owners and modes; never content.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::error::Shown;

const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Who can change what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untrusted {
    /// The file, directory or link that another user can change.
    pub path: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// Why another user can change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It belongs to this user.
    Owner(u32),
    /// Its mode, given here, lets the group or everybody write.
    Mode(u32),
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.to_string_lossy();
        match self.reason {
            Reason::Owner(owner) => write!(f, "`{}` belongs to user {owner}", Shown(&path)),
            Reason::Mode(mode) => {
                write!(f, "`{}` has mode {mode:04o}, which lets others write", Shown(&path))
            }
        }
    }
}

impl Untrusted {
    /// The command that mends it.
    pub(crate) fn advice(&self) -> String {
        let path = self.path.to_string_lossy();
        match self.reason {
            Reason::Owner(_) => format!("run `chown -h root {}`, or keep the file elsewhere", Shown(&path)),
            Reason::Mode(_) => format!("run `chmod go-w {}`, or keep the file elsewhere", Shown(&path)),
        }
    }
}

/// What came of following a path.
#[derive(Debug)]
pub(crate) enum TrustError {
    Untrusted(Untrusted),
    Unreadable(io::Error),
}

/// Checks that only root can change what `path` names, and returns it without links.
///
/// Directories that everybody may write to are accepted where they are sticky, since there nobody can replace what
/// belongs to root. Access lists need no extra look: their mask shows as the group's bits.
pub(crate) fn check(path: &Path) -> Result<PathBuf, TrustError> {
    const MOST_LINKS: usize = 40;
    let absolute = std::path::absolute(path).map_err(TrustError::Unreadable)?;
    let mut pending: VecDeque<OsString> = parts(&absolute).collect();
    let mut here = PathBuf::from("/");
    let mut links = 0_usize;
    directory(&here, &status(&here)?)?;
    while let Some(part) = pending.pop_front() {
        if part == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&part);
        let stat = status(&next)?;
        let kind = stat.file_type();
        if stat.uid() != 0 {
            return Err(TrustError::Untrusted(Untrusted { path: next, reason: Reason::Owner(stat.uid()) }));
        }
        if kind.is_symlink() {
            links = links.saturating_add(1);
            if links > MOST_LINKS {
                return Err(TrustError::Unreadable(nix::errno::Errno::ELOOP.into()));
            }
            let target = std::fs::read_link(&next).map_err(TrustError::Unreadable)?;
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                pending.push_front(part);
            }
            continue;
        }
        if kind.is_dir() {
            directory(&next, &stat)?;
        } else {
            writable(&next, &stat, 0)?;
        }
        here = next;
    }
    Ok(here)
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
}

fn status(path: &Path) -> Result<Metadata, TrustError> {
    std::fs::symlink_metadata(path).map_err(TrustError::Unreadable)
}

fn directory(path: &Path, stat: &Metadata) -> Result<(), TrustError> {
    if stat.uid() != 0 {
        return Err(TrustError::Untrusted(Untrusted {
            path: path.to_owned(),
            reason: Reason::Owner(stat.uid()),
        }));
    }
    writable(path, stat, STICKY)
}

fn writable(path: &Path, stat: &Metadata, excuse: u32) -> Result<(), TrustError> {
    if stat.mode() & GROUP_OR_OTHERS_WRITE != 0 && stat.mode() & excuse == 0 {
        let reason = Reason::Mode(stat.mode() & 0o7777);
        return Err(TrustError::Untrusted(Untrusted { path: path.to_owned(), reason }));
    }
    Ok(())
}
