//! The world of a run: a fake AWS with short sessions, two directories with a configuration each, and who is in them.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fake_aws::scenario::{ABCD, ALICE, alice};
use fake_aws::{FakeAws, Options as FakeOptions, Role, Trust, TrustStatement};

/// How long sessions live.
pub(crate) const SESSION: Duration = Duration::from_secs(30);
/// How many roles there are, which are denied one at a time.
pub(crate) const ROLES: usize = 8;
/// How many profiles the second daemon has.
const VICTIMS: usize = 20;
/// A user who owns nothing else.
const STRANGER: u32 = 54_321;
/// What is in the file that some profiles are merged into, and stays.
const FOREIGN: &str = "# kept by hand\n[other]\naws_access_key_id = AKIAOTHER\r\n  indented\n";

/// One profile, and how its files have to be.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) role: usize,
    pub(crate) victim: bool,
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) has_hook: bool,
    pub(crate) is_merged: bool,
}

/// The daemons of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// It runs from the beginning to the end, and is measured.
    Steady,
    /// It is killed again and again.
    Victim,
}

/// The world of a run.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) fake: FakeAws,
    pub(crate) directory: PathBuf,
    pub(crate) members: Vec<Member>,
    program: PathBuf,
}

impl Stage {
    pub(crate) fn new(profiles: usize) -> Self {
        let directory = memory().join(format!("rolekeeper-soak-{}", std::process::id()));
        let private = |path: &Path| fs::DirBuilder::new().mode(0o711).create(path).unwrap();
        private(&directory);
        let fake = FakeAws::start(FakeOptions::new().directory(&directory)).unwrap();
        fake.sts().session_lifetime(Some(SESSION));
        (0..ROLES).for_each(|number| fake.iam().add_role(role(number)));
        let is_root = nix::unistd::geteuid().is_root();
        let member = |number: usize, victim: bool| Member {
            name: format!("{}{number}", if victim { "victim" } else { "steady" }),
            role: number % ROLES,
            victim,
            mode: if number % 4 == 1 { 0o640 } else { 0o600 },
            owner: if is_root && number % 10 == 3 { STRANGER } else { nix::unistd::geteuid().as_raw() },
            has_hook: number % 20 == 7,
            is_merged: !victim && number % 40 == 5,
        };
        let victims = VICTIMS.min(profiles / 2);
        let members = (0..profiles).map(|number| member(number, false));
        let members: Vec<Member> = members.chain((0..victims).map(|number| member(number, true))).collect();
        let stage = Self { fake, directory, members, program: program() };
        for which in [Which::Steady, Which::Victim] {
            private(&stage.home(which));
            stage.write(&stage.home(which).join("config"), &stage.config(which));
            let keys = alice();
            let keys = format!(
                "[keys]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
                keys.access_key_id, keys.secret_access_key
            );
            stage.write(&stage.home(which).join("credentials"), &keys);
        }
        private(&stage.directory.join("shared"));
        stage.write(&stage.merged(), FOREIGN);
        stage
    }

    fn home(&self, which: Which) -> PathBuf {
        self.directory.join(if which == Which::Steady { "steady" } else { "victim" })
    }

    /// Where a daemon publishes.
    pub(crate) fn out(&self, which: Which) -> PathBuf {
        self.home(which).join("out")
    }

    /// The file of others that some profiles are merged into.
    pub(crate) fn merged(&self) -> PathBuf {
        self.directory.join("shared/credentials")
    }

    /// While this file exists, hooks fail.
    pub(crate) fn spoiler(&self) -> PathBuf {
        self.directory.join("hooks-fail")
    }

    /// What hooks write to.
    pub(crate) fn hooked(&self) -> PathBuf {
        self.directory.join("hooked")
    }

    /// Whether `text` still has what others have written.
    pub(crate) fn keeps_foreign(text: &str) -> bool {
        text.starts_with(FOREIGN)
    }

    pub(crate) fn write(&self, path: &Path, text: &str) {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn config(&self, which: Which) -> String {
        let mut text = String::from("[rolekeeper]\nmanaged = all\n");
        for member in self.members.iter().filter(|member| member.victim == (which == Which::Victim)) {
            let Member { name, role, mode, owner, .. } = member;
            write!(text, "\n[profile {name}]\nrole_arn = {}\nrole_session_name = {name}\n", arn(*role))
                .unwrap();
            match role % 4 {
                0 => text.push_str("source_profile = keys\nregion = us-east-1\n"),
                1 => text.push_str("credential_source = Ec2InstanceMetadata\n"),
                _ => text.push_str("credential_source = Ec2InstanceMetadata\nregion = us-east-1\n"),
            }
            writeln!(text, "rolekeeper_mode = {mode:04o}").unwrap();
            if *owner == STRANGER {
                writeln!(text, "rolekeeper_owner = {owner}").unwrap();
            }
            if member.has_hook {
                let (spoiler, hooked) = (self.spoiler(), self.hooked());
                writeln!(
                    text,
                    "rolekeeper_on_rotate = /bin/sh -c 'test ! -e {} || exit 3; echo $ROLEKEEPER_PROFILE \
                     $ROLEKEEPER_GENERATION >> {}'",
                    spoiler.display(),
                    hooked.display()
                )
                .unwrap();
            }
            if member.is_merged {
                writeln!(text, "rolekeeper_credentials_file = {}", self.merged().display()).unwrap();
            }
        }
        text
    }

    /// The program with `arguments`, in the world of `which`, and nothing else in its environment.
    pub(crate) fn command(&self, which: Which, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let home = self.home(which);
        command
            .args(arguments)
            .arg("--output-dir")
            .arg(self.out(which))
            .env_clear()
            .env("ROLEKEEPER_CONFIG", home.join("config"))
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.fake.imds_url())
            .env("AWS_ENDPOINT_URL_STS", self.fake.sts_url())
            .env("AWS_CA_BUNDLE", self.fake.ca_file().unwrap())
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null());
        command
    }
}

/// The program under test.
#[expect(clippy::disallowed_methods, reason = "which program is measured is no setting of the agent")]
fn program() -> PathBuf {
    std::env::var_os("ROLEKEEPER_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_rolekeeper").into(), PathBuf::from)
}

/// A file system in memory, as `/run` is one: the disk of a build machine is slower than two hundred profiles with
/// sessions of thirty seconds allow.
fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

fn arn(number: usize) -> String {
    format!("arn:aws:iam::222222222222:role/soak{number}")
}

fn role(number: usize) -> Role {
    Role::new(&arn(number)).trust(trusting())
}

fn trusting() -> Trust {
    Trust::of(ABCD).and(TrustStatement::new(ALICE))
}

/// Lets the role number `number` be assumed, or nobody.
pub(crate) fn allow(fake: &FakeAws, number: usize, is_allowed: bool) {
    fake.iam().set_trust(&arn(number), if is_allowed { trusting() } else { Trust::nobody() });
}
