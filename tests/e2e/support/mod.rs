//! One test's world: a directory of its own, a fake AWS of its own, and the real binary under an environment that
//! holds only what the test names.

pub(crate) mod proxy;
pub(crate) mod wrong_clock;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use fake_aws::{FakeAws, Options};

/// The cross-account profile of the AWS user guide.
pub(crate) const INSTANCE_CROSS_ACCOUNT: &str = "[profile instancecrossaccount]\n\
     role_arn = arn:aws:iam::222222222222:role/efgh\n\
     credential_source = Ec2InstanceMetadata\n";

/// A directory of its own, removed at the end, and a fake AWS.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) fake: FakeAws,
    pub(crate) directory: PathBuf,
}

impl World {
    /// A world whose config file holds `config`.
    pub(crate) fn new(config: &str) -> Self {
        Self::with_options(config, |options| options)
    }

    /// A world with another fake.
    pub(crate) fn with_options(config: &str, options: impl FnOnce(Options) -> Options) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("rolekeeper-e2e-{}-{number}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&directory).unwrap();
        let fake = FakeAws::start(options(Options::new().directory(&directory))).unwrap();
        let world = Self { fake, directory };
        world.write("config", config);
        world
    }

    /// Where files are published.
    pub(crate) fn out(&self) -> PathBuf {
        self.directory.join("out")
    }

    /// Writes the file `name` of this world's directory, for its owner alone.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.join(name);
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(content.as_ref()).unwrap();
        path
    }

    /// The binary with `arguments`, this world's config and output directory, and an environment that holds only the
    /// fake's endpoints. `AWS_EC2_METADATA_SERVICE_ENDPOINT` always names loopback.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let split = arguments.iter().position(|argument| *argument == "--").unwrap_or(arguments.len());
        let (before, after) = arguments.split_at(split);
        let mut command = self.bare_command(before);
        command.env("ROLEKEEPER_CONFIG", self.directory.join("config"));
        command.arg("--output-dir").arg(self.out()).args(after);
        command
    }

    /// The binary with `arguments` and the fake's endpoints; neither config nor output directory is named.
    pub(crate) fn bare_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolekeeper"));
        command
            .args(arguments)
            .env_clear()
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.fake.imds_url())
            .env("AWS_ENDPOINT_URL_STS", self.fake.sts_url())
            .env("AWS_CA_BUNDLE", self.fake.ca_file().unwrap())
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary with `arguments`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(arguments))
    }

    /// Runs the binary with `arguments` and further variables.
    pub(crate) fn run_with(&self, variables: &[(&str, &OsStr)], arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).envs(variables.iter().copied()))
    }

    /// The published file `name`, below the output directory.
    pub(crate) fn published(&self, name: &str) -> String {
        fs::read_to_string(self.out().join(name)).unwrap()
    }

    /// Every file below the output directory, with its content, to see that nothing changed.
    pub(crate) fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.out(), &mut files);
        files.sort();
        files
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.directory).unwrap();
        }
    }
}

fn collect(directory: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
}

/// What a run of the binary came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        Self {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Asserts exit code 0 and silence.
    #[track_caller]
    pub(crate) fn assert_silent_success(&self) {
        assert_eq!((self.code, self.stdout.as_str(), self.stderr.as_str()), (0, "", ""));
    }

    /// Asserts this exit code and that standard error says all of `parts`.
    #[track_caller]
    pub(crate) fn assert_failure(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is missing in: {}", self.stderr);
        }
    }
}
