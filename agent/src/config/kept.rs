//! The texts of a configuration in a file that only processes of ours have open: so the daemon keeps the configuration
//! in force, keys included, outside its own memory, and a file that was changed meanwhile changes nothing.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::locate::{Text, Texts};

impl Texts {
    /// Writes them to an empty file: path and text of either, each after its length in eight bytes.
    pub(crate) fn write(&self, mut file: &File) -> io::Result<()> {
        for text in [&self.config, &self.credentials] {
            // A path is never empty, so that one without length stands for a file that is not there.
            let [path, text] = match text {
                Some(Text { file, text }) => [file.as_os_str().as_bytes(), text.as_bytes()],
                None => [[].as_slice(), &[]],
            };
            for part in [path, text] {
                file.write_all(&u64::try_from(part.len()).unwrap_or_default().to_le_bytes())?;
                file.write_all(part)?;
            }
        }
        Ok(())
    }

    /// Reads what [`Self::write`] wrote, from the beginning, wherever other processes read at this moment.
    pub(crate) fn read(file: &File) -> io::Result<Self> {
        let size = usize::try_from(file.metadata()?.len()).unwrap_or_default();
        let mut bytes = Zeroizing::new(vec![0; size]);
        file.read_exact_at(&mut bytes, 0)?;
        let mut rest = bytes.as_slice();
        let mut next = || text(&mut rest).ok_or(io::ErrorKind::InvalidData);
        Ok(Self { config: next()?, credentials: next()? })
    }
}

fn text(rest: &mut &[u8]) -> Option<Option<Text>> {
    let (path, text) = (part(rest)?, part(rest)?);
    let file = Path::new(OsStr::from_bytes(path)).into();
    let text = Zeroizing::new(str::from_utf8(text).ok()?.to_owned());
    Some((!path.is_empty()).then_some(Text { file, text }))
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (part, after) = after.split_at_checked(u64::from_le_bytes(*length).try_into().ok()?)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    fn text(path: &[u8], text: &str) -> Option<Text> {
        Some(Text { file: Path::new(OsStr::from_bytes(path)).into(), text: text.to_owned().into() })
    }

    fn flat(texts: &Texts) -> Vec<(Vec<u8>, String)> {
        let parts = [&texts.config, &texts.credentials].into_iter().flatten();
        parts.map(|text| (text.file.as_os_str().as_bytes().to_vec(), text.text.to_string())).collect()
    }

    #[test]
    fn texts_are_read_as_they_were_written_and_nothing_shorter_is_taken_for_them() {
        for texts in [
            Texts::default(),
            Texts { config: text(b"/etc/\xff \n", "[a]\r\n\u{feff}"), credentials: None },
            Texts { config: None, credentials: text(b"c", "") },
            Texts { config: text(b"/a", "1 2 3 4\n"), credentials: text(b"/b c", "x\n") },
        ] {
            let file = File::from(memfd_create("texts", MFdFlags::MFD_CLOEXEC).unwrap());
            texts.write(&file).unwrap();
            assert_eq!(flat(&Texts::read(&file).unwrap()), flat(&texts));
            assert_eq!(flat(&Texts::read(&file).unwrap()), flat(&texts), "a second time");
            let length = file.metadata().unwrap().len();
            file.set_len(length - 1).unwrap();
            assert!(Texts::read(&file).is_err());
        }
    }
}
