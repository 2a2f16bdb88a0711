//! Directories of the agent's own and the atomic replacement of files in them: the only place that creates,
//! renames or removes files. Everything goes through one open handle of the directory, so that a parent that is
//! swapped in between changes nothing.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use log::debug;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use zeroize::Zeroizing;

use super::error::{OutputError, Step};
use super::mount;
use crate::config::trust::{self, Reason, TrustError, Untrusted};

/// Temporaries carry this ending; nothing else that we write does.
pub(super) const TEMPORARY: &str = ".rolekeeper-tmp";
/// Longer files are none of ours.
const MAX_FILE: usize = 16 * 1024 * 1024;

/// Owner, group and mode of a published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The owner, where it is not the agent's user.
    pub owner: Option<u32>,
    /// The group, where it is not the agent's group.
    pub group: Option<u32>,
    /// The permission bits.
    pub mode: u32,
    /// What happens to a file that is a mount point, which nothing can be renamed to.
    pub on_mount_point: OnMountPoint,
}

impl Attributes {
    /// Readable by the agent's user alone.
    pub const PRIVATE: Self =
        Self { owner: None, group: None, mode: 0o600, on_mount_point: OnMountPoint::Refuse };
}

/// What happens to a file that is a mount point of its own: a single file that was bind-mounted there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMountPoint {
    /// It is left alone, with an error.
    #[default]
    Refuse,
    /// It is written in place, where a reader may see half of it.
    WriteInPlace,
}

/// Whether a replaced file has to survive a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The content is on the disk before the name is, and the name before we go on.
    Synced,
    /// Only atomic: for files that the next run writes again anyway.
    Renamed,
}

/// What a replacement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// The file held these bytes, with these attributes.
    Unchanged,
    /// The file was replaced.
    Written,
}

/// An open directory that belongs to the agent.
#[derive(Debug)]
pub struct Directory {
    handle: OwnedFd,
    path: PathBuf,
    /// The agent's user.
    us: u32,
    /// Whether it was created a moment ago and nobody else can have used it since: then nothing is in it.
    is_new: Cell<bool>,
    /// Whether names have changed since the directory was last brought to the disk.
    has_unsynced_names: Cell<bool>,
}

impl Directory {
    /// Opens the directory at the top of everything published, creating it and its parents where they are
    /// missing, and gives it `mode` where it is ours. A directory of root's serves an agent that may write
    /// there, as a mounted volume of a container does; somebody else's is refused, because its owner could
    /// swap what lies in it. So is, for root, one whose way there another user could lead elsewhere.
    ///
    /// # Errors
    ///
    /// When it cannot be created or opened, or somebody else can swap it or what lies in it.
    pub fn open_top(path: &Path, mode: u32) -> Result<Self, OutputError> {
        if geteuid().is_root() {
            check_way(path)?;
        }
        let (handle, is_new) = match open_directory(path) {
            Err(Errno::ENOENT) => {
                create_with_parents(path, mode)?;
                (open_directory(path), true)
            }
            other => (other, false),
        };
        let failed = |cause: Errno| {
            if cause == Errno::ENOTDIR {
                OutputError::NotADirectory(path.to_owned())
            } else {
                OutputError::io(Step::Open, path, cause.into())
            }
        };
        let handle = handle.map_err(failed)?;
        let found = fstat(&handle).map_err(failed)?;
        let directory = Self::new(handle, path.to_owned(), is_new);
        if found.st_uid == directory.us {
            directory.set_mode(found.st_mode, mode)?;
        } else if found.st_uid != 0 {
            return Err(OutputError::ForeignDirectory { path: path.to_owned(), owner: found.st_uid });
        }
        Ok(directory)
    }

    fn new(handle: OwnedFd, path: PathBuf, is_new: bool) -> Self {
        let (is_new, has_unsynced_names) = (Cell::new(is_new), Cell::new(false));
        Self { handle, path, us: geteuid().as_raw(), is_new, has_unsynced_names }
    }

    /// Opens a directory that only reading is intended in, whoever owns it.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn open_to_read(path: &Path) -> io::Result<Self> {
        // Who may pass a directory to a file that is its own need not be able to list it. An ordinary open would ask
        // for that permission.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self::new(openat(AT_FDCWD, path, flags, Mode::empty())?, path.to_owned(), false))
    }

    /// Opens a directory that others use too, creating it, but not its parents, where it is missing. It may belong to
    /// this user or to root: in anybody else's, its owner has to do the work.
    ///
    /// # Errors
    ///
    /// When it cannot be created or opened, or belongs to somebody else.
    pub(super) fn open_shared(path: &Path) -> Result<Self, OutputError> {
        match mkdirat(AT_FDCWD, path, Mode::from_bits_truncate(0o700)) {
            // What stands in the way of creating it shows better when it is opened.
            Ok(()) | Err(_) => {}
        }
        let failed = |cause: Errno| OutputError::io(Step::Open, path, cause.into());
        let handle = open_directory(path).map_err(failed)?;
        let found = fstat(&handle).map_err(failed)?;
        let directory = Self::new(handle, path.to_owned(), false);
        if found.st_uid != directory.us && found.st_uid != 0 {
            return Err(OutputError::SomebodysDirectory { path: path.to_owned(), owner: found.st_uid });
        }
        Ok(directory)
    }

    /// The handle that everything goes through.
    pub(super) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// Remembers that [`Self::settle`] has something to bring to the disk.
    pub(super) fn has_renamed(&self) {
        self.has_unsynced_names.set(true);
    }

    /// Opens the subdirectory `name`, creating it where it is missing, and gives it `mode`. What a crash left
    /// in it stays until [`Self::sweep`] is called, under the lock: before, it may be another process at work.
    ///
    /// # Errors
    ///
    /// When it cannot be created or opened, or does not belong to the agent.
    pub fn subdirectory(&self, name: &str, mode: u32) -> Result<Self, OutputError> {
        let path = self.path.join(name);
        let failed = |cause: Errno| OutputError::io(Step::CreateDirectory, &path, cause.into());
        let created = match mkdirat(&self.handle, name, Mode::from_bits_truncate(mode)) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            Err(cause) => return Err(failed(cause)),
        };
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        let handle = openat(&self.handle, name, flags, Mode::empty())
            .map_err(|cause| OutputError::io(Step::Open, &path, cause.into()))?;
        let found = fstat(&handle).map_err(failed)?;
        if found.st_uid != self.us {
            return Err(OutputError::ForeignDirectory { path, owner: found.st_uid });
        }
        let has_unsynced_names = Cell::new(false);
        let directory = Self { handle, path, us: self.us, is_new: Cell::new(created), has_unsynced_names };
        directory.set_mode(found.st_mode, mode)?;
        Ok(directory)
    }

    /// Where the directory is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the regular file `name`; `None` where there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is no regular file of a sane size.
    pub fn read(&self, name: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        Ok(self.read_with_metadata(name)?.map(|(bytes, _)| bytes))
    }

    /// Writes `bytes` over the content of `name`, which is a mount point; a reader may see a part of them.
    pub(super) fn write_in_place(
        &self,
        name: &str,
        bytes: &[u8],
        attributes: Attributes,
    ) -> Result<(), OutputError> {
        let path = self.path.join(name);
        if attributes.on_mount_point == OnMountPoint::Refuse {
            return Err(OutputError::MountPoint(path));
        }
        let failed = |step| {
            let path = &path;
            move |cause: io::Error| OutputError::io(step, path, cause)
        };
        let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let handle = openat(&self.handle, name, flags, Mode::empty())
            .map_err(|cause| failed(Step::Open)(cause.into()))?;
        let found = fstat(&handle).map_err(|cause| failed(Step::Open)(cause.into()))?;
        if !is_regular(&found) {
            return Err(OutputError::NotAFile(path));
        }
        let file = File::from(handle);
        if !self.has_attributes(&found, attributes) {
            fchown(&file, attributes.owner, attributes.group).map_err(failed(Step::ChangeOwner))?;
            file.set_permissions(std::fs::Permissions::from_mode(attributes.mode))
                .map_err(failed(Step::ChangeMode))?;
        }
        // Over the old bytes and not after a truncation: at no time is the file empty, and mostly it is not shorter.
        file.write_all_at(bytes, 0).map_err(failed(Step::Write))?;
        file.set_len(bytes.len() as u64).map_err(failed(Step::Write))?;
        file.sync_all().map_err(failed(Step::Sync))?;
        nix::unistd::close(OwnedFd::from(file)).map_err(|cause| failed(Step::Close)(cause.into()))
    }

    /// Reads the file `name` where it can be read at all. What is missing, damaged or no file counts as absent.
    ///
    /// # Errors
    ///
    /// When it cannot be said, because the process lacks descriptors or memory.
    pub fn read_if_sound(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, OutputError> {
        self.read(name).or_else(|cause| OutputError::exhausted(&self.path.join(name), cause).map(|()| None))
    }

    fn read_with_metadata(&self, name: &str) -> io::Result<Option<(Zeroizing<Vec<u8>>, FileStat)>> {
        // Without O_NONBLOCK, a FIFO that somebody put in place would hold us for ever.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let handle = match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => handle,
            Err(Errno::ENOENT) => return Ok(None),
            Err(cause) => return Err(cause.into()),
        };
        let found = fstat(&handle)?;
        let size = usize::try_from(found.st_size).unwrap_or(usize::MAX);
        if !is_regular(&found) || size > MAX_FILE {
            return Err(io::Error::other("not a regular file of a sane size"));
        }
        // Files of ours are replaced and never written to, so the size is final: one read, and no growing buffer
        // that would leave unwiped copies behind.
        let mut bytes = Zeroizing::new(vec![0; size]);
        File::from(handle).read_exact(&mut bytes)?;
        Ok(Some((bytes, found)))
    }

    /// Whether the regular file `name` is there with these attributes. Of a file that was given away only the owner
    /// counts: mode and group are its owner's to change, and the next rotation sets them again.
    #[must_use]
    pub fn holds(&self, name: &str, attributes: Attributes) -> bool {
        let Ok(found) = fstatat(&self.handle, name, AtFlags::AT_SYMLINK_NOFOLLOW) else { return false };
        is_regular(&found)
            && match attributes.owner.filter(|owner| *owner != self.us) {
                Some(owner) => found.st_uid == owner,
                None => self.has_attributes(&found, attributes),
            }
    }

    /// Replaces the file `name` by one that holds `bytes`, so that a reader sees the old file or the new one,
    /// whole, with its final owner and mode, at any instant. Bytes that are there already are not written.
    /// [`Self::settle`] has to follow the last replacement.
    ///
    /// # Errors
    ///
    /// When a step fails; the old file is then still in place, and nothing of the new one is left.
    pub fn replace(
        &self,
        name: &str,
        bytes: &[u8],
        attributes: Attributes,
        durability: Durability,
    ) -> Result<Replacement, OutputError> {
        if !self.is_new.get()
            && let Ok(Some((current, found))) = self.read_with_metadata(name)
            && current.as_slice() == bytes
            && self.has_attributes(&found, attributes)
        {
            return Ok(Replacement::Unchanged);
        }
        let temporary = format!(".{name}{TEMPORARY}");
        let written = self.write_temporary(&temporary, bytes, attributes, durability).and_then(|()| {
            renameat(&self.handle, temporary.as_str(), &self.handle, name)
                .map_err(|cause| OutputError::io(Step::Rename, &self.path.join(name), cause.into()))
        });
        if let Err(error) = written {
            // The first error is the one that matters; a temporary that stays is swept by the next run.
            if let Err(leftover) = self.remove(&temporary) {
                debug!("{leftover}");
            }
            if !mount::is_mount_point(&self.handle, name) {
                return Err(error);
            }
            self.write_in_place(name, bytes, attributes)?;
            return Ok(Replacement::Written);
        }
        if durability == Durability::Synced {
            self.has_unsynced_names.set(true);
        }
        Ok(Replacement::Written)
    }

    pub(super) fn write_temporary(
        &self,
        temporary: &str,
        bytes: &[u8],
        attributes: Attributes,
        durability: Durability,
    ) -> Result<(), OutputError> {
        let path = self.path.join(temporary);
        let failed = |step| {
            let path = &path;
            move |cause: io::Error| OutputError::io(step, path, cause)
        };
        let handle = self.create(temporary).map_err(failed(Step::Create))?;
        let mut file = File::from(handle);
        // The mode and the owner are set before the content and the name exist. In another order there is an instant
        // at which a reader is refused, or one who must not read can. The mode goes first, because that of a file that
        // was given away is not ours to change, unless by a capability that a service had better not have.
        file.set_permissions(std::fs::Permissions::from_mode(attributes.mode))
            .map_err(failed(Step::ChangeMode))?;
        if attributes.owner.is_some() || attributes.group.is_some() {
            fchown(&file, attributes.owner, attributes.group).map_err(failed(Step::ChangeOwner))?;
        }
        file.write_all(bytes).map_err(failed(Step::Write))?;
        if durability == Durability::Synced {
            file.sync_all().map_err(failed(Step::Sync))?;
        }
        // Dropping a File loses the error of close(2), which is where a full quota shows on network file systems.
        nix::unistd::close(OwnedFd::from(file)).map_err(|cause| failed(Step::Close)(cause.into()))
    }

    /// A temporary of a run that crashed has the same name: it is removed, once.
    fn create(&self, temporary: &str) -> io::Result<OwnedFd> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        match openat(&self.handle, temporary, flags, mode) {
            Err(Errno::EEXIST) => {
                unlinkat(&self.handle, temporary, UnlinkatFlags::NoRemoveDir)?;
                Ok(openat(&self.handle, temporary, flags, mode)?)
            }
            other => Ok(other?),
        }
    }

    /// Brings the names of replaced files to the disk: the last step of publishing, once for all files of the
    /// directory.
    ///
    /// # Errors
    ///
    /// When the disk does not take them.
    pub fn settle(&self) -> Result<(), OutputError> {
        if self.has_unsynced_names.replace(false) {
            nix::unistd::fsync(&self.handle)
                .map_err(|cause| OutputError::io(Step::SyncDirectory, &self.path, cause.into()))?;
        }
        Ok(())
    }

    /// Whether nothing is in it, because it was created when it was opened.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new.get()
    }

    /// Takes back that nothing is in it: between creating it and holding the lock, another process had its turn.
    pub fn mark_in_use(&self) {
        self.is_new.set(false);
    }

    /// Opens the lock file `name`, creating it where it is missing.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn lock_file(&self, name: &str) -> Result<File, OutputError> {
        let flags = OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        openat(&self.handle, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map(File::from)
            .map_err(|cause| OutputError::io(Step::Open, &self.path.join(name), cause.into()))
    }

    /// Locks the directory itself, which leaves nothing behind, for as long as the file is open; `None` where
    /// another process has it locked, or this user may not.
    #[must_use]
    pub fn try_lock(&self) -> Option<File> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.handle, ".", flags, Mode::empty()).ok()?);
        file.try_lock().ok().map(|()| file)
    }

    /// The names of all entries.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn entries(&self) -> Result<Vec<String>, OutputError> {
        let failed = |cause: Errno| OutputError::io(Step::List, &self.path, cause.into());
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let mut listing = Dir::openat(&self.handle, ".", flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in listing.iter() {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if let Some(text) = name.to_str().filter(|text| !matches!(*text, "." | "..")) {
                names.push(text.to_owned());
            }
        }
        Ok(names)
    }

    /// Removes the temporaries that a crash left. Only for whoever holds the lock: a temporary may also be the
    /// work of another process.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read, or a temporary not removed.
    pub fn sweep(&self) -> Result<(), OutputError> {
        if self.is_new() {
            return Ok(());
        }
        for name in self.entries()? {
            if name.starts_with('.') && name.ends_with(TEMPORARY) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Removes the file `name`, where it is there.
    ///
    /// # Errors
    ///
    /// When it is there and stays.
    pub fn remove(&self, name: &str) -> Result<(), OutputError> {
        match unlinkat(&self.handle, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(cause) => Err(OutputError::io(Step::Remove, &self.path.join(name), cause.into())),
        }
    }

    /// Removes the subdirectory `name` and the files in it.
    ///
    /// # Errors
    ///
    /// When it is there and stays, for instance because it holds another directory.
    pub fn remove_subdirectory(&self, name: &str) -> Result<(), OutputError> {
        let path = self.path.join(name);
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        let handle = match openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => handle,
            Err(Errno::ENOENT) => return Ok(()),
            Err(cause) => return Err(OutputError::io(Step::Open, &path, cause.into())),
        };
        let directory = Self::new(handle, path, false);
        for entry in directory.entries()? {
            directory.remove(&entry)?;
        }
        match unlinkat(&self.handle, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(cause) => Err(OutputError::io(Step::Remove, &directory.path, cause.into())),
        }
    }

    fn has_attributes(&self, found: &FileStat, wanted: Attributes) -> bool {
        found.st_mode & 0o7777 == wanted.mode
            && found.st_uid == wanted.owner.unwrap_or(self.us)
            && wanted.group.is_none_or(|group| group == found.st_gid)
    }

    fn set_mode(&self, current: u32, wanted: u32) -> Result<(), OutputError> {
        if current & 0o7777 == wanted {
            return Ok(());
        }
        nix::sys::stat::fchmod(self.handle.as_fd(), Mode::from_bits_truncate(wanted))
            .map_err(|cause| OutputError::io(Step::ChangeMode, &self.path, cause.into()))
    }
}

pub(super) fn is_regular(found: &FileStat) -> bool {
    found.st_mode & 0o170_000 == 0o100_000
}

/// Refuses a way to `path` that another user could change.
fn check_way(path: &Path) -> Result<(), OutputError> {
    match trust::check_way(path) {
        Err(TrustError::Untrusted(Untrusted { path, reason: Reason::Owner(owner) })) => {
            Err(OutputError::ForeignDirectory { path, owner })
        }
        Err(TrustError::Untrusted(untrusted)) => {
            Err(OutputError::Untrusted { path: path.to_owned(), untrusted })
        }
        // What stands in the way shows better when it is opened.
        Err(TrustError::Unreadable(_)) | Ok(_) => Ok(()),
    }
}

fn open_directory(path: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    openat(AT_FDCWD, path, flags, Mode::empty())
}

fn create_with_parents(path: &Path, mode: u32) -> Result<(), OutputError> {
    let failed = |cause| OutputError::io(Step::CreateDirectory, path, cause);
    let create = || match mkdirat(AT_FDCWD, path, Mode::from_bits_truncate(mode)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(cause) => Err(cause),
    };
    match (create(), path.parent()) {
        (Err(Errno::ENOENT), Some(parent)) => {
            std::fs::create_dir_all(parent).map_err(failed)?;
            create().map_err(|cause| failed(cause.into()))
        }
        (outcome, _) => outcome.map_err(|cause| failed(cause.into())),
    }
}
