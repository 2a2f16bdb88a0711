//! Whether a file is a mount point of this process's namespace. Reads the kernel's list; changes nothing.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

/// Whether `name` in the directory that `handle` is open on is a mount point. Without `/proc` nothing is known, and
/// the answer is no.
///
/// Device numbers would not tell: a bind mount of the same file system has the same one, and on an overlay the files
/// of one directory may have several.
pub(super) fn is_mount_point(handle: &OwnedFd, name: &str) -> bool {
    let link = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let Ok(directory) = fs::read_link(link) else { return false };
    fs::read("/proc/self/mountinfo").is_ok_and(|list| is_listed(&list, &directory.join(name)))
}

fn is_listed(list: &[u8], path: &Path) -> bool {
    // Identifier, parent, device, root, mount point: proc_pid_mountinfo(5).
    let points = list.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points.into_iter().any(|point| unescape(point).as_os_str() == path.as_os_str())
}

/// Blanks, line feeds and backslashes are written as `\` and three octal digits.
fn unescape(text: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|_| first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_found_by_their_whole_name() {
        let list = b"22 1 8:1 / / rw - ext4 /dev/a rw\n\
            23 22 8:1 /x /srv/one\\040two/credentials rw,relatime shared:1 - ext4 /dev/a rw\n\
            24 22 8:1 /srv/root /back\\134slash ro - ext4 /dev/a rw\n";
        for (path, expected) in [
            ("/srv/one two/credentials", true),
            ("/back\\slash", true),
            ("/", true),
            ("/srv/one two", false),
            ("/srv/root", false),
            ("/srv/one two/credentials2", false),
        ] {
            assert_eq!(is_listed(list, Path::new(path)), expected, "{path}");
        }
        assert!(!is_listed(b"", Path::new("/")));
    }
}
