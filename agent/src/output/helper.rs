//! Who writes a file that others own too. Where root's way to it leads through a directory or a link of another user,
//! that user could point it anywhere at any time; so a process that runs as that user does all of the work, from
//! opening the directory on, and gains nothing that they could not do alone.
//!
//! The process is this program again, with nothing in its arguments and environment; what to write comes over its
//! standard input, and its answer is an exit code and a line that is not believed to be clean.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{getegid, geteuid, getgroups, getuid};
use zeroize::Zeroizing;

use super::directory::{Attributes, OnMountPoint, Replacement};
use super::error::{OutputError, Step};
use super::merge::{Target, merge};
use crate::clock::Clock;
use crate::config::trust::{self, Reason, TrustError, Untrusted};
use crate::credentials::{Credentials, Secret};

/// The argument that makes this program the helper. Not a command: nobody types it.
pub const ARGUMENT: &str = "--merge-for-the-owner-of-the-directory";

/// A helper that takes longer was stopped by its owner.
const DEADLINE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(2);
/// More than credentials and a path can take.
const MOST_REQUEST: u64 = 64 * 1024;
const MOST_ANSWER: usize = 600;
/// The group of nobody, for users whose own is not known.
const NO_GROUP: u32 = 65534;
const PASSWD: &str = "/etc/passwd";

const WRITTEN: u8 = 0;
const UNCHANGED: u8 = 3;
const FAILED: u8 = 1;

/// Merges as whoever has to.
///
/// # Errors
///
/// Those of [`merge`], and when the file is where nobody trustworthy could write it, or the helper fails.
pub fn publish(target: &Target<'_>, clock: &dyn Clock) -> Result<Replacement, OutputError> {
    if !geteuid().is_root() {
        return merge(target, clock);
    }
    match worker(target.path)? {
        Worker::Us(path) => merge(&Target { path: &path, ..*target }, clock),
        Worker::User(owner) => delegate(target, owner, clock),
    }
}

enum Worker {
    /// Root, at this path without links, which nobody else can change.
    Us(PathBuf),
    /// The first other user on the way.
    User(u32),
}

fn worker(path: &Path) -> Result<Worker, OutputError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(OutputError::NotAFile(path.to_owned()));
    };
    let directory = match trust::check(parent) {
        // A directory that is missing is created, so the one above it counts.
        Err(TrustError::Unreadable(cause)) if cause.kind() == io::ErrorKind::NotFound => {
            match (parent.parent(), parent.file_name()) {
                (Some(above), Some(last)) => trust::check(above).map(|above| above.join(last)),
                _ => Err(TrustError::Unreadable(cause)),
            }
        }
        other => other,
    };
    let untrusted = |untrusted| OutputError::Untrusted { path: path.to_owned(), untrusted };
    let directory = match directory {
        Ok(directory) => directory,
        Err(TrustError::Untrusted(Untrusted { reason: Reason::Owner(owner), .. })) => {
            return Ok(Worker::User(owner));
        }
        Err(TrustError::Untrusted(by_mode)) => return Err(untrusted(by_mode)),
        Err(TrustError::Unreadable(cause)) => return Err(OutputError::io(Step::Open, parent, cause)),
    };
    // Where everybody may create files, the file itself may be anybody's, whether the directory is sticky or not.
    match std::fs::metadata(&directory) {
        Ok(found) if found.mode() & 0o022 != 0 => {
            Err(untrusted(Untrusted { path: directory, reason: Reason::Mode(found.mode() & 0o7777) }))
        }
        Ok(_) | Err(_) => Ok(Worker::Us(directory.join(name))),
    }
}

fn delegate(target: &Target<'_>, owner: u32, clock: &dyn Clock) -> Result<Replacement, OutputError> {
    let failed = |message: String| OutputError::Helper { path: target.path.to_owned(), owner, message };
    let cannot = |what: &str, cause: &io::Error| failed(format!("{what}: {cause}"));
    // The link leads to this very program, also where the owner could not find its way to it.
    let mut child = Command::new("/proc/self/exe")
        .arg0("rolekeeper")
        .arg(ARGUMENT)
        .env_clear()
        .current_dir("/")
        .uid(owner)
        .gid(group_of(owner))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|cause| cannot("the process cannot be started", &cause))?;
    // A helper that ended early says why below.
    if let Some(mut stdin) = child.stdin.take()
        && let Err(cause) = stdin.write_all(request(target).as_bytes())
    {
        log::debug!("the helper took no request: {cause}");
    }
    let code = wait(&mut child, clock).map_err(|cause| cannot("the process is lost", &cause))?;
    match code {
        Some(code) if code == i32::from(WRITTEN) => Ok(Replacement::Written),
        Some(code) if code == i32::from(UNCHANGED) => Ok(Replacement::Unchanged),
        Some(_) => Err(failed(child.stderr.take().map(answer).unwrap_or_default())),
        None => Err(failed("the process did not end by itself".to_owned())),
    }
}

/// The exit code; `None` where a signal ended the helper, ours after the deadline or another.
fn wait(child: &mut Child, clock: &dyn Clock) -> io::Result<Option<i32>> {
    let deadline = clock.uptime().saturating_add(DEADLINE);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if clock.uptime() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        clock.pause(POLL);
    }
}

/// What the helper said. It runs as somebody who may make it say anything, or leave the pipe open for ever.
fn answer(stderr: ChildStderr) -> String {
    let mut buffer = [0; MOST_ANSWER];
    let read = fcntl(&stderr, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map_err(io::Error::from)
        .and_then(|_| File::from(std::os::fd::OwnedFd::from(stderr)).read(&mut buffer));
    let text = String::from_utf8_lossy(buffer.get(..read.unwrap_or(0)).unwrap_or_default());
    text.trim_end().chars().map(|said| if said.is_control() { '?' } else { said }).collect()
}

/// The primary group of `user`: it is one that they are in, while the group of a directory need not be.
fn group_of(user: u32) -> u32 {
    let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
    primary_group(&passwd, user).unwrap_or(NO_GROUP)
}

fn primary_group(passwd: &str, user: u32) -> Option<u32> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2).map(str::parse::<u32>);
        let (Some(Ok(id)), Some(Ok(group))) = (fields.next(), fields.next()) else { return None };
        (id == user).then_some(group)
    })
}

/// One `NAME value` on each line. The configuration allows no line feed in any of them.
fn request(target: &Target<'_>) -> Zeroizing<String> {
    let keys = target.credentials;
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let attributes = target.attributes;
    let in_place = (attributes.on_mount_point == OnMountPoint::WriteInPlace).then(|| "yes".to_owned());
    let lines = [
        ("path", Some(target.path.to_string_lossy().into_owned())),
        ("section", Some(target.section.to_owned())),
        ("owner", number(attributes.owner)),
        ("group", number(attributes.group)),
        ("mode", number(Some(attributes.mode))),
        ("in_place", in_place),
        ("was_merged", target.was_merged.then(|| "yes".to_owned())),
        ("access_key_id", Some(keys.access_key_id.clone())),
    ];
    let token = keys.session_token.as_ref().map_or("", |token| token.expose());
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(MOST_REQUEST).unwrap_or_default()));
    for (name, value) in lines {
        value.iter().for_each(|value| [name, " ", value, "\n"].iter().for_each(|part| text.push_str(part)));
    }
    for part in [
        "secret_access_key ",
        keys.secret_access_key.expose(),
        "\nsession_token ",
        token,
        "\nend of request\n",
    ] {
        text.push_str(part);
    }
    text
}

/// The helper's whole life: reads a request, merges, and returns the exit code. Refuses to act as root or with groups
/// that were left over.
#[must_use]
pub fn serve(clock: &dyn Clock) -> u8 {
    // Nothing that it may start gains rights, and its core dump holds no keys. It works without either.
    nix::sys::prctl::set_no_new_privs().unwrap_or_default();
    nix::sys::prctl::set_dumpable(false).unwrap_or_default();
    let outcome = read_request().and_then(|text| {
        refuse_rights()?;
        let target = parse(&text).ok_or("the request is incomplete")?;
        merge(&target.borrow(), clock).map_err(|error| {
            let error = crate::error::Error::Output(error);
            let advice = error.advice().map(|advice| format!("; {advice}")).unwrap_or_default();
            format!("{}{advice}", error.with_causes())
        })
    });
    match outcome {
        Ok(Replacement::Written) => WRITTEN,
        Ok(Replacement::Unchanged) => UNCHANGED,
        Err(message) => {
            // Whoever does not listen still sees the exit code.
            let said = io::stderr().write_all(message.as_bytes());
            drop(said);
            FAILED
        }
    }
}

fn refuse_rights() -> Result<(), String> {
    let own_group = |group: &nix::unistd::Gid| *group == getegid();
    if geteuid().is_root() || getuid().is_root() {
        return Err("the helper does not work as root".to_owned());
    }
    match getgroups() {
        Ok(groups) if groups.iter().all(own_group) => Ok(()),
        Ok(_) => Err("the groups of the agent are not gone; it needs CAP_SETGID".to_owned()),
        Err(cause) => Err(cause.to_string()),
    }
}

fn read_request() -> Result<Zeroizing<String>, String> {
    // The capacity is final: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(MOST_REQUEST).unwrap_or_default()));
    let read = io::stdin().lock().take(MOST_REQUEST).read_to_end(&mut bytes);
    read.map_err(|cause| cause.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|cause| cause.to_string())?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A request that was read.
struct Owned {
    path: PathBuf,
    section: String,
    credentials: Credentials,
    attributes: Attributes,
    was_merged: bool,
}

impl Owned {
    fn borrow(&self) -> Target<'_> {
        Target {
            path: &self.path,
            section: &self.section,
            credentials: &self.credentials,
            attributes: self.attributes,
            was_merged: self.was_merged,
        }
    }
}

fn parse(text: &str) -> Option<Owned> {
    let find = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned)
    };
    if !text.ends_with("\nend of request\n") {
        return None;
    }
    let number = |name| find(name).and_then(|number| number.parse().ok());
    let on_mount_point =
        if find("in_place").is_some() { OnMountPoint::WriteInPlace } else { OnMountPoint::Refuse };
    Some(Owned {
        path: find("path")?.into(),
        section: find("section")?,
        credentials: Credentials {
            access_key_id: find("access_key_id")?,
            secret_access_key: Secret::new(find("secret_access_key")?),
            session_token: find("session_token").filter(|token| !token.is_empty()).map(Secret::new),
        },
        attributes: Attributes {
            owner: number("owner"),
            group: number("group"),
            mode: number("mode")?,
            on_mount_point,
        },
        was_merged: find("was_merged").is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_pipe() {
        let credentials = Credentials {
            access_key_id: "AKID".to_owned(),
            secret_access_key: Secret::new("s/+=".to_owned()),
            session_token: Some(Secret::new("token==".to_owned())),
        };
        let attributes = Attributes {
            owner: Some(7),
            group: None,
            mode: 0o640,
            on_mount_point: OnMountPoint::WriteInPlace,
        };
        let path = Path::new("/home/a b/.aws/credentials");
        let target =
            Target { path, section: "team+x", credentials: &credentials, attributes, was_merged: true };
        let text = request(&target);
        let read = parse(&text).unwrap();
        assert_eq!((read.path.as_path(), read.section.as_str()), (path, "team+x"));
        assert_eq!((read.attributes, read.was_merged), (attributes, true));
        assert_eq!(read.credentials.secret_access_key.expose(), "s/+=");
        assert_eq!(read.credentials.session_token.unwrap().expose(), "token==");
        for cut in 0..text.len() {
            assert!(parse(text.get(..cut).unwrap()).is_none(), "{cut} bytes are taken for a request");
        }
        let none = Credentials { session_token: None, ..credentials.clone() };
        let target = Target { credentials: &none, was_merged: false, ..target };
        let read = parse(&request(&target)).unwrap();
        assert!(read.credentials.session_token.is_none() && !read.was_merged);
    }

    #[test]
    fn the_primary_group_is_that_of_the_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\na:x:1000:1001::/:\nb:x:1001:50::/:\n";
        assert_eq!(primary_group(passwd, 1001), Some(50));
        assert_eq!(primary_group(passwd, 1000), Some(1001));
        assert_eq!(primary_group(passwd, 1002), None);
    }
}
