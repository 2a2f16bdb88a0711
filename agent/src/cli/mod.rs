//! The command line: argv in, one strict type for each command out. Does nothing of what it understands.

mod help;
mod table;

pub use help::help;
pub use table::{COMMANDS, CommandName, CommandSpec, OPTIONS, OptionName, OptionSpec, Scope};

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, ValueExt as _};

use crate::config::CommandLineProfile;
use crate::hook;
use crate::output::render::Format;

const DEFAULT_MIN_LIFE: Duration = Duration::from_secs(15 * 60);
/// A longer splay than a day is a mistake.
const LONGEST_SPLAY: u64 = 86_400;

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Show the help of the program or of a command.
    Help(Option<CommandName>),
    /// Show the version.
    Version,
    /// Carry out a command.
    Run(Box<Invocation>),
    /// Become a hook: what the agent says to itself.
    StartHook(Vec<OsString>),
}

/// A command with what applies to all of them.
#[derive(Debug)]
pub struct Invocation {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--output-dir`
    pub output_dir: Option<PathBuf>,
    /// How often `-v` was given.
    pub verbosity: u8,
    /// The profile that the options describe.
    pub profile: Option<CommandLineProfile>,
    /// The command.
    pub command: Command,
}

/// One command, complete.
#[derive(Debug)]
pub enum Command {
    /// Keep all profiles fresh.
    Run,
    /// Refresh once.
    Refresh {
        /// The profiles named; all where there are none.
        profiles: Vec<String>,
        /// Refresh what is fresh, too.
        force: bool,
        /// Wait a random part of this first.
        splay: Duration,
    },
    /// Print credentials.
    Print {
        /// The profile named.
        profile: Option<String>,
        /// In which form.
        format: Format,
    },
    /// Run a program.
    Exec {
        /// The profile named.
        profile: Option<String>,
        /// The program and its arguments; never empty.
        command: Vec<OsString>,
        /// Refresh first where less life is left.
        min_life: Duration,
        /// Hand over the published config instead of credentials.
        refreshing: bool,
    },
    /// Show the status.
    Status {
        /// The profiles named; all where there are none.
        profiles: Vec<String>,
        /// As JSON.
        json: bool,
        /// Fail unless each of them has valid credentials.
        ready: bool,
    },
    /// Ask STS.
    Whoami {
        /// The profile named.
        profile: Option<String>,
    },
}

/// The command line does not make sense.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

/// Understands `arguments`, the program's own name left out.
///
/// # Errors
///
/// What is wrong with them.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Action, UsageError> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.first().is_some_and(hook::is_second_half) {
        return Ok(Action::StartHook(arguments));
    }
    let trailing = arguments.iter().position(|argument| argument == "--").map(|at| {
        let mut trailing = arguments.split_off(at);
        trailing.remove(0);
        trailing
    });
    let mut typed = Typed::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(word) if typed.command.is_none() => typed.command = Some(command_named(&word)?),
            Arg::Value(word) => typed.operands.push(word.string()?),
            Arg::Short(_) | Arg::Long(_) => {
                let spec = find_option(&argument)?;
                let value = if spec.value.is_some() { Some(parser.value()?) } else { None };
                typed.take(spec, value)?;
            }
        }
    }
    typed.finish(trailing)
}

fn command_named(word: &OsString) -> Result<CommandName, UsageError> {
    let found = COMMANDS.iter().find(|spec| word == spec.word).map(|spec| spec.name);
    found.ok_or_else(|| {
        UsageError(format!("`{}` is no command; `rolekeeper --help` lists them", word.to_string_lossy()))
    })
}

fn find_option(argument: &Arg<'_>) -> Result<&'static OptionSpec, UsageError> {
    let (found, typed) = match argument {
        Arg::Short(short) => (OPTIONS.iter().find(|spec| spec.short == Some(*short)), format!("-{short}")),
        Arg::Long(long) => (OPTIONS.iter().find(|spec| spec.long == *long), format!("--{long}")),
        Arg::Value(value) => (None, value.to_string_lossy().into_owned()),
    };
    found.ok_or_else(|| UsageError(format!("`{typed}` is no option; `rolekeeper --help` lists them")))
}

/// What was typed, before anybody asked whether it fits together.
#[derive(Debug, Default)]
struct Typed {
    command: Option<CommandName>,
    operands: Vec<String>,
    seen: Vec<&'static OptionSpec>,
    config: Option<PathBuf>,
    output_dir: Option<PathBuf>,
    verbosity: u8,
    splay: Option<Duration>,
    format: Option<Format>,
    min_life: Option<Duration>,
    described: CommandLineProfile,
}

impl Typed {
    fn take(&mut self, spec: &'static OptionSpec, value: Option<OsString>) -> Result<(), UsageError> {
        if spec.name != OptionName::Verbose && self.has(spec.name) {
            return Err(UsageError(format!("`--{}` is given twice", spec.long)));
        }
        self.seen.push(spec);
        let value = value.unwrap_or_default();
        if spec.value.is_some() && value.is_empty() {
            return Err(UsageError(format!("`--{}` needs a value", spec.long)));
        }
        let text =
            || value.clone().into_string().map_err(|_| UsageError(format!("`--{}` is not UTF-8", spec.long)));
        match spec.name {
            OptionName::Config => self.config = Some(value.into()),
            OptionName::OutputDir => self.output_dir = Some(value.into()),
            OptionName::Verbose => self.verbosity = self.verbosity.saturating_add(1),
            OptionName::Splay => self.splay = Some(seconds(spec, &text()?, LONGEST_SPLAY)?),
            OptionName::MinLife => self.min_life = Some(seconds(spec, &text()?, LONGEST_SPLAY)?),
            OptionName::Format => self.format = Some(format_named(&text()?)?),
            OptionName::RoleArn => self.described.role_arn = Some(text()?),
            OptionName::CredentialSource => self.described.credential_source = Some(text()?),
            OptionName::ProfileName => self.described.profile_name = Some(text()?),
            OptionName::ExternalId => self.described.external_id = Some(text()?),
            OptionName::DurationSeconds => self.described.duration_seconds = Some(text()?),
            OptionName::RoleSessionName => self.described.role_session_name = Some(text()?),
            OptionName::Region => self.described.region = Some(text()?),
            OptionName::Help
            | OptionName::Version
            | OptionName::Force
            | OptionName::Refreshing
            | OptionName::Json
            | OptionName::Ready => {}
        }
        Ok(())
    }

    fn has(&self, name: OptionName) -> bool {
        self.seen.iter().any(|spec| spec.name == name)
    }

    fn finish(mut self, trailing: Option<Vec<OsString>>) -> Result<Action, UsageError> {
        if self.has(OptionName::Help) {
            return Ok(Action::Help(self.command));
        }
        if self.has(OptionName::Version) {
            return Ok(Action::Version);
        }
        let name = self
            .command
            .ok_or_else(|| UsageError("no command is given; `rolekeeper --help` lists them".to_owned()))?;
        if let Some(misplaced) = self.seen.iter().find(|spec| !spec.scope.includes(Some(name))) {
            return Err(UsageError(format!("`--{}` does not go with `{}`", misplaced.long, word_of(name))));
        }
        let described = std::mem::take(&mut self.described);
        let profile = Some(described).filter(|described| *described != CommandLineProfile::default());
        let (config, output_dir, verbosity) = (self.config.take(), self.output_dir.take(), self.verbosity);
        let command = self.command(name, trailing)?;
        Ok(Action::Run(Box::new(Invocation { config, output_dir, verbosity, profile, command })))
    }

    fn command(mut self, name: CommandName, trailing: Option<Vec<OsString>>) -> Result<Command, UsageError> {
        if name == CommandName::Exec {
            let command = trailing.filter(|words| !words.is_empty()).ok_or_else(|| {
                UsageError("`exec` needs `--` and a command: rolekeeper exec PROFILE -- COMMAND".to_owned())
            })?;
            return Ok(Command::Exec {
                min_life: self.min_life.unwrap_or(DEFAULT_MIN_LIFE),
                refreshing: self.has(OptionName::Refreshing),
                profile: self.one_profile(name)?,
                command,
            });
        }
        for word in trailing.unwrap_or_default() {
            self.operands.push(word.string()?);
        }
        Ok(match name {
            CommandName::Refresh => Command::Refresh {
                force: self.has(OptionName::Force),
                splay: self.splay.unwrap_or_default(),
                profiles: self.operands,
            },
            CommandName::Print => Command::Print {
                format: self.format.unwrap_or(Format::Json),
                profile: self.one_profile(name)?,
            },
            CommandName::Whoami => Command::Whoami { profile: self.one_profile(name)? },
            CommandName::Status => Command::Status {
                json: self.has(OptionName::Json),
                ready: self.has(OptionName::Ready),
                profiles: self.operands,
            },
            CommandName::Run | CommandName::Exec => {
                if let Some(operand) = self.operands.first() {
                    return Err(UsageError(format!(
                        "`{operand}` is one operand too many for `{}`",
                        word_of(name)
                    )));
                }
                Command::Run
            }
        })
    }

    fn one_profile(&mut self, name: CommandName) -> Result<Option<String>, UsageError> {
        if let Some(operand) = self.operands.get(1) {
            return Err(UsageError(format!("`{operand}` is one operand too many for `{}`", word_of(name))));
        }
        Ok(self.operands.pop())
    }
}

fn word_of(name: CommandName) -> &'static str {
    name.spec().map_or("", |spec| spec.word)
}

fn seconds(spec: &OptionSpec, text: &str, most: u64) -> Result<Duration, UsageError> {
    match text.parse::<u64>() {
        Ok(number) if number <= most => Ok(Duration::from_secs(number)),
        _ => Err(UsageError(format!("`--{} {text}`: write whole seconds, 0 to {most}", spec.long))),
    }
}

fn format_named(text: &str) -> Result<Format, UsageError> {
    match text {
        "json" => Ok(Format::Json),
        "env" => Ok(Format::Env),
        "export" => Ok(Format::Export),
        "ini" => Ok(Format::Ini),
        _ => Err(UsageError(format!("`--format {text}`: write json, env, export or ini"))),
    }
}

#[cfg(test)]
mod papers;
