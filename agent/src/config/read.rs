//! Reads one file whole: bounded, never waiting for a pipe, into memory that is wiped. Knows nothing of its content
//! beyond being text, where that is wanted.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use zeroize::Zeroizing;

use super::problem::Problem;
use super::trust::{self, TrustError};

/// More than any configuration needs.
pub(crate) const LARGEST: usize = 1024 * 1024;

/// Why there is no text.
pub(crate) enum ReadError {
    /// There is no such file.
    Absent,
    /// Something else, and the line where it is one line's fault.
    Other(Problem, Option<usize>),
}

impl From<Problem> for ReadError {
    fn from(problem: Problem) -> Self {
        Self::Other(problem, None)
    }
}

/// Reads `path`, following links. `/dev/null` is an empty file: it is how the other file is switched off.
pub(crate) fn read_text(path: &Path) -> Result<Zeroizing<String>, ReadError> {
    if path == Path::new("/dev/null") {
        return Ok(Zeroizing::default());
    }
    let bytes = read_bytes(path, LARGEST)?;
    match str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
            Err(ReadError::Other(Problem::NotUtf8, Some(line)))
        }
    }
}

/// Reads a file that a setting names, at most `largest` bytes; root reads only what nobody else can change.
pub(crate) fn read_trusted(path: &Path, largest: usize) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let trusted = if nix::unistd::geteuid().is_root() {
        match trust::check(path) {
            Ok(trusted) => trusted,
            Err(TrustError::Untrusted(untrusted)) => return Err(Problem::Untrusted(untrusted)),
            Err(TrustError::Unreadable(cause)) if cause.kind() == io::ErrorKind::NotFound => {
                return Err(Problem::Missing);
            }
            Err(TrustError::Unreadable(cause)) => return Err(Problem::Unreadable(cause)),
        }
    } else {
        path.to_owned()
    };
    read_bounded(&trusted, largest)
}

/// Reads a file that a setting names, at most `largest` bytes, whoever may change it.
pub(crate) fn read_bounded(path: &Path, largest: usize) -> Result<Zeroizing<Vec<u8>>, Problem> {
    read_bytes(path, largest).map_err(|error| match error {
        ReadError::Absent => Problem::Missing,
        ReadError::Other(problem, _) => problem,
    })
}

fn read_bytes(path: &Path, largest: usize) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    // Without NONBLOCK, opening a FIFO would wait for its writer.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = openat(AT_FDCWD, path, flags, Mode::empty());
    let mut file = File::from(opened.map_err(|cause| {
        if matches!(cause, Errno::ENOENT | Errno::ENOTDIR) {
            ReadError::Absent
        } else {
            Problem::Unreadable(cause.into()).into()
        }
    })?);
    let metadata = file.metadata().map_err(Problem::Unreadable)?;
    let kind = metadata.file_type();
    if !kind.is_file() {
        let name = match (kind.is_dir(), kind.is_fifo()) {
            (true, _) => "a directory",
            (_, true) => "a pipe",
            _ => "a device",
        };
        return Err(Problem::NotAFile(name).into());
    }
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if size > largest {
        return Err(Problem::TooLarge(largest).into());
    }
    // One allocation of the final size: a growing buffer would leave copies behind that nobody wipes. The byte more
    // shows a file that grew meanwhile; that much and a little is read of it.
    let mut buffer = Zeroizing::new(vec![0; largest.min(size.saturating_add(512)).saturating_add(1)]);
    let mut filled = 0_usize;
    loop {
        let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) else {
            return Err(Problem::TooLarge(largest).into());
        };
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(Problem::Unreadable(cause).into()),
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::PathBuf;

    use super::*;

    fn place(name: &str) -> PathBuf {
        let place = std::env::temp_dir().join(format!("rolekeeper-read-{name}-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        place
    }

    fn problem(path: &Path) -> String {
        match read_text(path) {
            Ok(text) => format!("{} bytes", text.len()),
            Err(ReadError::Absent) => "absent".to_owned(),
            Err(ReadError::Other(problem, line)) => format!("{line:?} {problem}"),
        }
    }

    #[test]
    fn only_files_of_text_are_read() {
        let place = place("kinds");
        let file = |name: &str, bytes: &[u8]| {
            let path = place.join(name);
            File::create(&path).unwrap().write_all(bytes).unwrap();
            path
        };
        assert_eq!(problem(&file("text", b"[a]\nb = c\n")), "10 bytes");
        assert_eq!(problem(&file("largest", &vec![b'#'; LARGEST])), format!("{LARGEST} bytes"));
        assert_eq!(
            problem(&file("larger", &vec![b'#'; LARGEST + 1])),
            format!("None the file is larger than {LARGEST} bytes")
        );
        assert_eq!(
            problem(&file("latin1", b"[a]\nb = c\nname = b\xfcro\n")),
            "Some(3) the line is not UTF-8"
        );
        assert_eq!(problem(&place.join("nowhere")), "absent");
        assert_eq!(problem(&place.join("text/below")), "absent");
        assert_eq!(problem(&place), "None a directory, not a file");
        assert_eq!(problem(Path::new("/dev/null")), "0 bytes");
        assert_eq!(problem(Path::new("/dev/zero")), "None a device, not a file");
        let pipe = place.join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        assert_eq!(problem(&pipe), "None a pipe, not a file");
        fs::remove_dir_all(place).unwrap();
    }
}
