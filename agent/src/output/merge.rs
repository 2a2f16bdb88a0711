//! One section of ours in a file that others own too: locked among our own processes, read, merged, looked at once
//! more, replaced. Acts as whoever runs the process; who that has to be is not decided here.
//!
//! Other tools take no lock. What they change until the last look before the rename is noticed by the file's identity,
//! size, times and bytes, and merged anew. Tools that write in place and come between that look and the rename write
//! to the old file, which is still open here: what they left there is merged in a second round. What remains is a tool
//! that renames its own file to this name within those microseconds, or that changes the file again before the second
//! round; and one that read the file before the rename and writes it back afterwards, which takes our section back
//! until the next run.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use log::{debug, warn};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fstat};
use zeroize::Zeroizing;

use super::directory::{Attributes, Directory, Durability, Replacement, TEMPORARY, is_regular};
use super::error::{OutputError, Step};
use super::{mount, shared_file};
use crate::clock::Clock;
use crate::credentials::Credentials;

/// A larger file is no credentials file.
const MAX_FILE: usize = 4 * 1024 * 1024;
/// The lock is held for milliseconds; a process that holds it for longer is stopped.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(10);
/// So often a file that is changing, or that is empty or half-written for the moment, is looked at again.
const ATTEMPTS: u32 = 25;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);
/// For so long a tool that is writing the old file may take to finish.
const LATE_LOOKS: u32 = 200;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// What is to be merged, and where.
#[derive(Debug)]
pub struct Target<'a> {
    /// The file, absolute.
    pub path: &'a Path,
    /// The section.
    pub section: &'a str,
    /// What goes into it.
    pub credentials: &'a Credentials,
    /// Owner, group and mode of the file where it has to be created; one that is there keeps its own.
    pub attributes: Attributes,
    /// Whether the section was in the file before: then an empty file means that somebody is about to write it, or
    /// lost it.
    pub was_merged: bool,
}

/// Brings the section up to date. The file is replaced whole, with its owner and mode, and only where bytes change.
///
/// # Errors
///
/// When the file cannot be understood, is empty though it was not before, changes all the time, is a mount point and
/// may not be written in place, is no regular file, or when a system call fails. The file is then as it was.
pub fn merge(target: &Target<'_>, clock: &dyn Clock) -> Result<Replacement, OutputError> {
    let unnamed = || OutputError::NotAFile(target.path.to_owned());
    let parent = target.path.parent().ok_or_else(unnamed)?;
    let name = target.path.file_name().and_then(|name| name.to_str()).ok_or_else(unnamed)?;
    let directory = Directory::open_shared(parent)?;
    let is_mount_point = mount::is_mount_point(directory.handle(), name);
    let mut work = Work {
        target,
        clock,
        directory,
        name,
        is_mount_point,
        written: None,
        late: None,
        seen: None,
        is_moving: false,
    };
    // Held until the end; closing the file releases it.
    let _lock = work.lock()?;
    work.sweep();
    for attempt in 1..=ATTEMPTS {
        match work.attempt(attempt == ATTEMPTS)? {
            Attempt::Done(replacement) => return Ok(replacement),
            // Empty or half-written at this instant says little of a file that somebody is busy with.
            Attempt::Disturbed(_) if attempt == ATTEMPTS && work.is_moving => break,
            Attempt::Disturbed(error) if attempt == ATTEMPTS => return Err(error),
            Attempt::Disturbed(error) => debug!("{error}; looking again"),
        }
        // What another tool wrote is missing from the file until it is merged.
        if work.late.is_none() {
            clock.pause(BETWEEN_ATTEMPTS);
        }
    }
    Err(OutputError::Unsteady(target.path.to_owned()))
}

enum Attempt {
    Done(Replacement),
    /// Somebody else is at work; the error stands where they go on for too long.
    Disturbed(OutputError),
}

/// The file at one instant.
struct Snapshot {
    file: File,
    stat: FileStat,
    bytes: Zeroizing<Vec<u8>>,
}

impl Snapshot {
    /// Device and number, size, and the times of the last change of content and of anything.
    fn identity(&self) -> impl PartialEq + use<> {
        let stat = &self.stat;
        let times = (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
        (stat.st_dev, stat.st_ino, stat.st_size, times)
    }
}

struct Work<'a> {
    target: &'a Target<'a>,
    clock: &'a dyn Clock,
    directory: Directory,
    name: &'a str,
    is_mount_point: bool,
    /// What this run has put in place.
    written: Option<Zeroizing<Vec<u8>>>,
    /// What another tool wrote into the file that was replaced.
    late: Option<Zeroizing<Vec<u8>>>,
    /// What the last attempt found.
    seen: Option<Zeroizing<Vec<u8>>>,
    /// Whether two attempts found different bytes.
    is_moving: bool,
}

impl Work<'_> {
    fn attempt(&mut self, is_last: bool) -> Result<Attempt, OutputError> {
        let path = || self.target.path.to_owned();
        let found = self.read()?;
        let current = found.as_ref().map(|snapshot| snapshot.bytes.as_slice());
        let before = self.seen.replace(Zeroizing::new(current.unwrap_or_default().to_vec()));
        self.is_moving |= before.is_some_and(|before| before.as_slice() != current.unwrap_or_default());
        // Empty for good, or for the moment between another tool's truncation and its writing; gone for good, or in the
        // middle of a replacement by a tool that removes first. Only a file that stays so is believed.
        let was_merged = self.target.was_merged;
        match current {
            Some(bytes) if shared_file::is_blank(bytes) && (was_merged || !is_last) => {
                return Ok(Attempt::Disturbed(OutputError::Emptied(path())));
            }
            None if was_merged && !is_last => {
                return Ok(Attempt::Disturbed(OutputError::Unsteady(path())));
            }
            None | Some(_) => {}
        }
        let is_ours = self.written.as_ref().map(|bytes| bytes.as_slice()) == current;
        let base = self.late.as_ref().filter(|_| is_ours).map(|late| late.as_slice()).or(current);
        let merged = match shared_file::merge(
            base.unwrap_or_default(),
            self.target.section,
            self.target.credentials,
        ) {
            Ok(merged) => merged,
            Err(cause) => {
                return Ok(Attempt::Disturbed(OutputError::Refused { path: path(), cause }));
            }
        };
        if current == Some(merged.as_slice()) {
            let replacement =
                if self.written.is_some() { Replacement::Written } else { Replacement::Unchanged };
            return Ok(Attempt::Done(replacement));
        }
        let attributes = found.as_ref().map_or(self.target.attributes, |found| Attributes {
            owner: Some(found.stat.st_uid),
            group: Some(found.stat.st_gid),
            mode: found.stat.st_mode & 0o777,
            ..self.target.attributes
        });
        if self.is_mount_point {
            if self.has_changed_since(found.as_ref())? {
                return Ok(Attempt::Disturbed(OutputError::Unsteady(path())));
            }
            self.directory.write_in_place(self.name, &merged, attributes)?;
            return Ok(Attempt::Done(Replacement::Written));
        }
        if !self.replace(found.as_ref(), &merged, attributes)? {
            return Ok(Attempt::Disturbed(OutputError::Unsteady(path())));
        }
        self.written = Some(merged);
        self.late = found.as_ref().and_then(|old| self.late_change(old));
        Ok(if self.late.is_some() {
            Attempt::Disturbed(OutputError::Unsteady(path()))
        } else {
            Attempt::Done(Replacement::Written)
        })
    }

    /// Puts `bytes` in the place of what was `found`; `false` where that is not what is there any more.
    fn replace(
        &self,
        found: Option<&Snapshot>,
        bytes: &[u8],
        attributes: Attributes,
    ) -> Result<bool, OutputError> {
        let temporary = self.temporary();
        let outcome = self
            .directory
            .write_temporary(&temporary, bytes, attributes, Durability::Synced)
            .and_then(|()| self.has_changed_since(found))
            .and_then(|changed| {
                if changed {
                    return Ok(false);
                }
                let handle = self.directory.handle();
                renameat(handle, temporary.as_str(), handle, self.name)
                    .map_err(|cause| OutputError::io(Step::Rename, self.target.path, cause.into()))?;
                Ok(true)
            });
        if !matches!(outcome, Ok(true)) {
            // The first error is the one that matters; a temporary that stays is replaced by the next run.
            if let Err(leftover) = self.directory.remove(&temporary) {
                debug!("{leftover}");
            }
            return outcome;
        }
        self.directory.has_renamed();
        self.directory.settle()?;
        Ok(true)
    }

    /// Removes what a crash left; under the lock it can be nobody's work in progress.
    fn sweep(&self) {
        if !self.is_mount_point
            && let Err(leftover) = self.directory.remove(&self.temporary())
        {
            debug!("{leftover}");
        }
    }

    fn temporary(&self) -> String {
        format!(".{}{TEMPORARY}", self.name)
    }

    /// Whether anybody has touched the file since it was `found`. The times alone would miss a change within one tick
    /// of the kernel's clock, so the bytes are compared too.
    fn has_changed_since(&self, found: Option<&Snapshot>) -> Result<bool, OutputError> {
        let now = self.read()?;
        Ok(match (found, &now) {
            (None, None) => false,
            (Some(found), Some(now)) => found.identity() != now.identity() || found.bytes != now.bytes,
            (None, Some(_)) | (Some(_), None) => true,
        })
    }

    /// What a tool that writes in place has made of the file that was replaced under its hands, once it is finished.
    fn late_change(&self, old: &Snapshot) -> Option<Zeroizing<Vec<u8>>> {
        let mut last = read_all(&old.file).ok()?;
        if last == old.bytes {
            return None;
        }
        for _ in 0..LATE_LOOKS {
            self.clock.pause(BETWEEN_LOOKS);
            let bytes = read_all(&old.file).ok()?;
            let is_whole = !shared_file::is_blank(&bytes)
                && shared_file::merge(&bytes, self.target.section, self.target.credentials).is_ok();
            if bytes == last && is_whole {
                return Some(bytes).filter(|bytes| *bytes != old.bytes);
            }
            last = bytes;
        }
        warn!("what another program began to write into `{}` is lost", self.target.path.display());
        None
    }

    fn read(&self) -> Result<Option<Snapshot>, OutputError> {
        let failed = |step, cause: io::Error| OutputError::io(step, self.target.path, cause);
        // Without O_NONBLOCK, a FIFO in this place would hold us for ever.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = match openat(self.directory.handle(), self.name, flags, Mode::empty()) {
            Ok(handle) => File::from(handle),
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP | Errno::ENXIO) => {
                return Err(OutputError::NotAFile(self.target.path.to_owned()));
            }
            Err(cause) => return Err(failed(Step::Open, cause.into())),
        };
        let stat = fstat(&file).map_err(|cause| failed(Step::Read, cause.into()))?;
        if !is_regular(&stat) {
            return Err(OutputError::NotAFile(self.target.path.to_owned()));
        }
        let bytes = read_all(&file).map_err(|cause| failed(Step::Read, cause))?;
        Ok(Some(Snapshot { file, stat, bytes }))
    }

    /// Waits for the other processes of ours that merge into this file. The lock is a file beside it, which stays:
    /// removing it would leave two processes with two locks. A mount point is its own lock, since its directory may
    /// be read-only, and nothing ever takes its place.
    fn lock(&self) -> Result<File, OutputError> {
        let beside = format!(".{}.rolekeeper-lock", self.name);
        let lock = if self.is_mount_point {
            let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
            openat(self.directory.handle(), self.name, flags, Mode::empty())
                .map(File::from)
                .map_err(|cause| OutputError::io(Step::Open, self.target.path, cause.into()))?
        } else {
            self.directory.lock_file(&beside)?
        };
        let path = || self.target.path.with_file_name(&beside);
        let deadline = self.clock.uptime().saturating_add(LOCK_DEADLINE);
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(std::fs::TryLockError::WouldBlock) if self.clock.uptime() < deadline => {
                    self.clock.pause(LOCK_POLL);
                }
                Err(std::fs::TryLockError::WouldBlock) => return Err(OutputError::Locked(path())),
                Err(std::fs::TryLockError::Error(cause)) => {
                    return Err(OutputError::io(Step::Lock, &path(), cause));
                }
            }
        }
    }
}

/// All bytes from the beginning. One buffer of the file's size, since one that grows leaves copies behind; of a file
/// that is growing, a part.
fn read_all(file: &File) -> io::Result<Zeroizing<Vec<u8>>> {
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if size > MAX_FILE {
        return Err(io::Error::other("too large for a credentials file"));
    }
    let mut bytes = Zeroizing::new(vec![0; size]);
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
