//! The terminal of whoever runs a command, and the one question that is asked there: the code of an MFA device. Knows
//! nothing of what the code is for.

use std::error::Error;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::credentials::Secret;

/// So long somebody may take: three codes of a device. Other batches wait meanwhile.
const PATIENCE: Duration = Duration::from_secs(90);
const DIGITS: usize = 6;

const INTERRUPT: u8 = 0x03;
const END_OF_INPUT: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;

/// Why there is no code.
#[derive(Debug)]
pub enum NoCode {
    /// The daemon has nobody to ask.
    Unattended,
    /// There is no terminal, or it cannot be used.
    NoTerminal(io::Error),
    /// Nobody typed one in time, or somebody would not.
    NotTyped,
}

impl fmt::Display for NoCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unattended => "`run` has nobody to ask for it",
            Self::NoTerminal(_) => "there is no terminal to ask for it at",
            Self::NotTyped => "nobody has typed it",
        })
    }
}

impl Error for NoCode {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Self::NoTerminal(cause) = self { Some(cause) } else { None }
    }
}

/// Asks at the controlling terminal, whatever standard input and output are, for the code that `device` shows now. What
/// is typed is not shown. `used` is the device's code that was given before: none counts twice.
///
/// # Errors
///
/// When there is no terminal, and when no code of six digits is typed in 90 seconds. An interrupt ends the process as
/// anywhere else.
pub fn ask_for_code(
    device: &str,
    profile: &str,
    used: Option<&Secret>,
    clock: &dyn Clock,
) -> Result<Secret, NoCode> {
    let flags = OFlag::O_NOCTTY.bits();
    let opened = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/tty");
    let terminal = Quiet::new(opened.map_err(NoCode::NoTerminal)?)?;
    let deadline = clock.uptime().saturating_add(PATIENCE);
    let mut complaint = "";
    loop {
        terminal.say(&format!("{complaint}MFA code of `{device}` for profile `{profile}`: "))?;
        let mut code = terminal.line(deadline, clock)?;
        terminal.say("\n")?;
        if code.len() != DIGITS || !code.bytes().all(|byte| byte.is_ascii_digit()) {
            complaint = "A code has six digits. ";
        } else if used.is_some_and(|used| used.expose() == code.as_str()) {
            complaint = "This code was used already; wait for the next one. ";
        } else {
            return Ok(Secret::new(std::mem::take(&mut code)));
        }
    }
}

/// A terminal that shows nothing of what is typed, until it is dropped.
struct Quiet {
    file: File,
    before: Termios,
}

impl Quiet {
    fn new(file: File) -> Result<Self, NoCode> {
        let failed = |cause: nix::Error| NoCode::NoTerminal(cause.into());
        let before = tcgetattr(&file).map_err(failed)?;
        let mut quiet = before.clone();
        // Keys arrive one by one, Ctrl-C among them: a signal would leave the terminal mute.
        quiet.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        for (index, value) in [(SpecialCharacterIndices::VMIN, 1), (SpecialCharacterIndices::VTIME, 0)] {
            if let Some(character) = quiet.control_chars.get_mut(index as usize) {
                *character = value;
            }
        }
        // What was typed before the question stays: a script may be quicker than the program that it types for.
        tcsetattr(&file, SetArg::TCSADRAIN, &quiet).map_err(failed)?;
        Ok(Self { file, before })
    }

    fn say(&self, text: &str) -> Result<(), NoCode> {
        (&self.file).write_all(text.as_bytes()).map_err(NoCode::NoTerminal)
    }

    /// What is typed before the next Enter.
    fn line(&self, deadline: Duration, clock: &dyn Clock) -> Result<Zeroizing<String>, NoCode> {
        let mut line = Zeroizing::new(String::with_capacity(64));
        loop {
            match self.key(deadline, clock)? {
                Some(b'\n' | b'\r') => return Ok(line),
                Some(BACKSPACE | DELETE) => {
                    line.pop();
                }
                Some(INTERRUPT) => {
                    self.restore();
                    raise(Signal::SIGINT).unwrap_or_default();
                    return Err(NoCode::NotTyped);
                }
                None | Some(END_OF_INPUT) => return Err(NoCode::NotTyped),
                Some(key) if line.len() < line.capacity() && key.is_ascii_graphic() => {
                    line.push(char::from(key));
                }
                Some(_) => {}
            }
        }
    }

    /// The next key; `None` where there is no more.
    fn key(&self, deadline: Duration, clock: &dyn Clock) -> Result<Option<u8>, NoCode> {
        let left = deadline.saturating_sub(clock.uptime());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let mut ready = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, timeout).map_err(|cause| NoCode::NoTerminal(cause.into()))? == 0 {
            return Ok(None);
        }
        let mut key = [0];
        let count = (&self.file).read(&mut key).map_err(NoCode::NoTerminal)?;
        Ok(key.first().copied().filter(|_| count > 0))
    }

    fn restore(&self) {
        tcsetattr(&self.file, SetArg::TCSADRAIN, &self.before).unwrap_or_default();
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.restore();
    }
}
