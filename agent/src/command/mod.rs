//! The commands, one file each. A command reads its strict arguments, lets the modules below do the work and says
//! what came of it.

mod credentials;
mod exec;
mod print;
mod refresh;
mod run;
mod status;
mod whoami;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::{Command, Invocation};
use crate::clock::SystemClock;
use crate::config::{Config, LoadOptions, Texts};
use crate::environment::Environment;
use crate::error::Error;
use crate::hook;
use crate::host::Host;
use crate::output::OutputError;
use crate::output::directory::Directory;
use crate::output::place;
use crate::refresh::{Facts, last_anchor};
use crate::source::process;

/// What main knows of the process.
#[derive(Debug)]
pub struct Process {
    /// The environment.
    pub environment: Environment,
    /// Whether it runs as root.
    pub is_root: bool,
    /// The program's own path.
    pub program: PathBuf,
    /// The clocks of the system.
    pub clock: &'static SystemClock,
    /// Random bytes: a seed for jitter, and the rest a key for a host that has none.
    pub random: [u8; 40],
}

/// Carries out `invocation` and returns the exit code.
///
/// # Errors
///
/// Why the command as a whole failed.
pub fn run(invocation: &Invocation, process: &Process, host: &Host<'_>) -> Result<u8, Error> {
    let context = Context { invocation, process, host };
    match &invocation.command {
        Command::Run | Command::Refresh { .. } | Command::Whoami { .. } => context.refuse_to_go_round()?,
        // These may have an answer without obtaining anything.
        Command::Print { .. } | Command::Exec { .. } | Command::Status { .. } => {}
    }
    match &invocation.command {
        Command::Run => run::run(&context),
        Command::Refresh { profiles, force, splay } => refresh::run(&context, profiles, *force, *splay),
        Command::Print { profile, format } => print::run(&context, profile.as_deref(), *format),
        Command::Exec { profile, command, min_life, refreshing } => {
            let profile = profile.as_deref();
            if *refreshing {
                exec::run_refreshing(&context, profile, command, *min_life)
            } else {
                exec::run(&context, profile, command, *min_life)
            }
        }
        Command::Status { profiles, json, ready } => status::run(&context, profiles, *json, *ready),
        Command::Whoami { profile } => whoami::run(&context, profile.as_deref()),
    }
}

/// Does one piece of work for the daemon that has started this process.
///
/// # Errors
///
/// When the daemon cannot be heard or answered.
pub fn work(invocation: &Invocation, process: &Process, host: &Host<'_>) -> Result<u8, Error> {
    run::work(&Context { invocation, process, host })
}

/// What every command works with.
#[derive(Clone, Copy, Debug)]
struct Context<'a> {
    invocation: &'a Invocation,
    process: &'a Process,
    host: &'a Host<'a>,
}

impl Context<'_> {
    fn load_config(&self) -> Result<Config, Error> {
        self.read_config().map(|(config, _)| config)
    }

    fn read_config(&self) -> Result<(Config, Texts), Error> {
        let (config, texts) = Config::read(&self.load_options(), &self.process.environment)?;
        for warning in &config.warnings {
            log::warn!("{warning}");
        }
        Ok((config, texts))
    }

    fn load_options(&self) -> LoadOptions {
        let mut options = LoadOptions::new(self.process.is_root);
        options.config.clone_from(&self.invocation.config);
        options.command_line.clone_from(&self.invocation.profile);
        options
    }

    fn facts(&self, config: &Config) -> Result<Facts, OutputError> {
        let output_dir = place::to_publish_in(
            self.invocation.output_dir.as_deref(),
            config.settings.output_dir.as_deref(),
            &self.process.environment,
            self.process.is_root,
        )?;
        Ok(Facts {
            output_dir,
            program: self.process.program.clone(),
            hook_environment: hook::inherited(&self.process.environment),
            fresh_key: self.process.random.iter().skip(8).copied().collect(),
        })
    }

    /// The directories to read from; a configuration that cannot be loaded only means that it names none.
    fn places(&self, setting: Option<&Path>) -> Vec<PathBuf> {
        place::to_read_from(
            self.invocation.output_dir.as_deref(),
            setting,
            &self.process.environment,
            self.process.is_root,
        )
    }

    /// Learns what the last batch in `output_dir` knew of the time, so that expiry is judged without a network.
    fn recall_time(&self, output_dir: &Path) {
        if let Ok(top) = Directory::open_to_read(output_dir) {
            self.host.adopt(last_anchor(&top));
        }
    }

    /// Refuses to obtain credentials for a `credential_process` that rolekeeper itself has started: it would start it
    /// again.
    fn refuse_to_go_round(&self) -> Result<(), Error> {
        match self.process.environment.text(process::MARKER) {
            Some(profile) => Err(Error::LeadsBack { profile: profile.to_owned() }),
            None => Ok(()),
        }
    }

    fn profile_from_environment(&self) -> Option<&str> {
        self.process.environment.text("AWS_PROFILE")
    }
}

/// The seed of jitter in the random bytes of main.
#[must_use]
pub fn seed(random: &[u8; 40]) -> u64 {
    let mut first = [0_u8; 8];
    first.iter_mut().zip(random).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(first)
}

/// Writes an answer to standard output.
fn answer(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Error::Stdout)
}

/// What is wrong with a configuration that manages nothing; one without a file always has its profile.
fn nothing_managed(config: &Config) -> Error {
    Error::NothingManaged { file: config.file().map(Path::to_owned).unwrap_or_default() }
}

/// Says something on standard error. Whoever closed it does not want to hear.
pub fn complain(error: &Error) {
    let mut text = format!("rolekeeper: {}\n", error.with_causes());
    if let Some(advice) = error.advice() {
        text.push_str(&format!("    {advice}\n"));
    }
    let written = std::io::stderr().write_all(text.as_bytes());
    drop(written);
}
