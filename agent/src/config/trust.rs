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
    follow(path, false)
}

/// The same for the way to a directory that is about to be used: its own mode is still to be set, and it may be missing
/// as yet.
pub(crate) fn check_way(path: &Path) -> Result<PathBuf, TrustError> {
    follow(path, true)
}

fn follow(path: &Path, is_way: bool) -> Result<PathBuf, TrustError> {
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
        let stat = match status(&next) {
            // Nothing is behind it, and only root can put something there.
            Err(TrustError::Unreadable(cause)) if is_way && cause.kind() == io::ErrorKind::NotFound => {
                return Ok(next);
            }
            other => other?,
        };
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
            if !is_way || !pending.is_empty() {
                directory(&next, &stat)?;
            }
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

#[cfg(test)]
mod tests {
    use std::fs::{self, DirBuilder, File, Permissions};
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown, symlink};

    use super::*;

    /// A directory of root's with mode 0755 below the sticky temporary directory, removed at the end.
    struct Place(PathBuf);

    impl Place {
        /// `None` where the test cannot give files away, with a word about it.
        fn new(name: &str) -> Option<Self> {
            if !nix::unistd::geteuid().is_root() {
                println!("skipped: only root can make files that belong to others");
                return None;
            }
            let path = std::env::temp_dir().join(format!("rolekeeper-trust-{name}-{}", std::process::id()));
            DirBuilder::new().mode(0o755).create(&path).unwrap();
            Some(Self(path))
        }

        fn file(&self, name: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            File::create(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }

        fn directory(&self, name: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn refused(path: &Path) -> (PathBuf, Reason) {
        match check(path) {
            Err(TrustError::Untrusted(Untrusted { path, reason })) => (path, reason),
            other => panic!("{} gave {other:?}", path.display()),
        }
    }

    #[test]
    fn files_that_others_can_change_are_refused() {
        let Some(place) = Place::new("files") else { return };
        for (mode, trusted) in [(0o600, true), (0o644, true), (0o444, true), (0o660, false), (0o602, false)] {
            let path = place.file(&format!("{mode:o}"), mode);
            if trusted {
                assert_eq!(check(&path).unwrap(), path);
            } else {
                assert_eq!(refused(&path), (path, Reason::Mode(mode)));
            }
        }
        let theirs = place.file("theirs", 0o600);
        chown(&theirs, Some(12345), None).unwrap();
        assert_eq!(refused(&theirs), (theirs, Reason::Owner(12345)));
    }

    #[test]
    fn so_are_files_below_directories_that_others_can_change() {
        let Some(place) = Place::new("parents") else { return };
        for (name, mode, owner, reason) in [
            ("open", 0o777, 0, Some(Reason::Mode(0o777))),
            ("group", 0o770, 0, Some(Reason::Mode(0o770))),
            ("sticky", 0o1777, 0, None),
            ("theirs", 0o700, 12345, Some(Reason::Owner(12345))),
            ("theirs-sticky", 0o1777, 12345, Some(Reason::Owner(12345))),
        ] {
            let parent = place.directory(name, mode);
            let inner = parent.join("inner");
            DirBuilder::new().mode(0o755).create(&inner).unwrap();
            let path = place.file(&format!("{name}/inner/config"), 0o600);
            chown(&parent, Some(owner), None).unwrap();
            match reason {
                Some(reason) => assert_eq!(refused(&path), (parent, reason)),
                None => assert_eq!(check(&path).unwrap(), path),
            }
        }
    }

    #[test]
    fn links_are_followed_and_their_places_checked() {
        let Some(place) = Place::new("links") else { return };
        let real = place.directory("real", 0o755);
        let file = place.file("real/config", 0o644);
        let open = place.directory("open", 0o777);
        symlink("../real/config", open.join("link")).unwrap();
        assert_eq!(refused(&open.join("link")), (open.clone(), Reason::Mode(0o777)));
        symlink(&open, place.0.join("way")).unwrap();
        symlink("way/../real/config", place.0.join("round")).unwrap();
        assert_eq!(refused(&place.0.join("round")), (open, Reason::Mode(0o777)));
        symlink("real", place.0.join("straight")).unwrap();
        assert_eq!(check(&place.0.join("straight/../real/./config")).unwrap(), file);
        let sticky = place.directory("sticky", 0o1777);
        symlink(&real, sticky.join("link")).unwrap();
        assert_eq!(check(&sticky.join("link/config")).unwrap(), file);
        std::os::unix::fs::lchown(sticky.join("link"), Some(12345), None).unwrap();
        assert_eq!(refused(&sticky.join("link/config")), (sticky.join("link"), Reason::Owner(12345)));
        symlink("self", place.0.join("self")).unwrap();
        assert!(matches!(check(&place.0.join("self")), Err(TrustError::Unreadable(_))));
        assert!(matches!(check(&place.0.join("real/absent")), Err(TrustError::Unreadable(_))));
    }
}
