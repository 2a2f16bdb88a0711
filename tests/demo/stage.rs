//! Where the demonstration plays: its directory, the fake AWS, and the real binary under an environment that holds
//! nothing else.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fake_aws::{FakeAws, Options};

/// The profile of the user guide.
pub(crate) const NAME: &str = "instancecrossaccount";

/// Why the story ended early.
pub(crate) type Failure = Box<dyn Error>;

/// Ends the story with `complaint` where `is_right` is false.
pub(crate) fn ensure(is_right: bool, complaint: &str) -> Result<(), Failure> {
    if is_right { Ok(()) } else { Err(complaint.into()) }
}

/// A directory with a configuration in it, and a fake AWS.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) fake: FakeAws,
    directory: PathBuf,
}

impl Stage {
    /// Makes the directory anew, in the build's own, and starts the fake.
    pub(crate) fn set(config: &str) -> Result<Self, Failure> {
        let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let directory = temporary.parent().unwrap_or(temporary).join("demo");
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let fake = FakeAws::start(Options::new().directory(&directory))?;
        let stage = Self { fake, directory };
        let mut options = fs::OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(stage.config())?
            .write_all(config.as_bytes())?;
        Ok(stage)
    }

    /// The config file.
    pub(crate) fn config(&self) -> PathBuf {
        self.directory.join("config")
    }

    /// The CA of the fake.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// Where files are published.
    pub(crate) fn published(&self) -> PathBuf {
        self.directory.join("published")
    }

    /// What the binary says on standard output; an error where it fails or complains.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, Failure> {
        let output = Command::new(env!("CARGO_BIN_EXE_rolekeeper"))
            .args(arguments)
            .env_clear()
            .env("ROLEKEEPER_CONFIG", self.config())
            .env("RUNTIME_DIRECTORY", self.published())
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.fake.imds_url())
            .env("AWS_ENDPOINT_URL_STS", self.fake.sts_url())
            .env("AWS_CA_BUNDLE", self.ca_file())
            .stdin(Stdio::null())
            .output()?;
        let complaints = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || !complaints.is_empty() {
            let command = arguments.join(" ");
            return Err(format!("`rolekeeper {command}` ended with {}: {complaints}", output.status).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}
