//! The binary: captures what the process was given, lets the library work, and turns the outcome into an exit code.

use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::process::ExitCode;

use log::LevelFilter;
use rolekeeper::cli::{self, Action, Command, Invocation};
use rolekeeper::clock::SystemClock;
use rolekeeper::command::{self, Process};
use rolekeeper::daemon;
use rolekeeper::environment::Environment;
use rolekeeper::error::Error;
use rolekeeper::hook;
use rolekeeper::host::Host;
use rolekeeper::logging;
use rolekeeper::output::helper;
use rolekeeper::transport::{HttpTransport, ProxyRules, random_bytes};

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == helper::ARGUMENT) {
        return ExitCode::from(helper::serve(&SystemClock::start()));
    }
    let works = std::env::args_os().nth(1).is_some_and(|argument| argument == daemon::WORKER);
    let outcome = match cli::parse(std::env::args_os().skip(if works { 2 } else { 1 })) {
        Ok(Action::Help(command)) => say(&cli::help(command)),
        Ok(Action::Version) => say(concat!("rolekeeper ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Action::Run(invocation)) => run(&invocation, works),
        Ok(Action::StartHook(words)) => {
            hook::second_half(&words).map_err(|(command, cause)| Error::Execute { command, cause })
        }
        Err(error) => Err(Error::Usage(error)),
    };
    ExitCode::from(outcome.unwrap_or_else(|error| {
        command::complain(&error);
        error.exit_code()
    }))
}

fn run(invocation: &Invocation, works: bool) -> Result<u8, Error> {
    // The daemon speaks by itself; cron mails whatever a one-shot command says.
    let speaks = matches!(invocation.command, Command::Run);
    let level = match (invocation.verbosity, speaks) {
        (0, false) => LevelFilter::Off,
        (0, true) | (1, false) => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    logging::start(level, speaks);
    // Keys must not end up in a core dump. What `exec` starts decides anew.
    nix::sys::prctl::set_dumpable(false).unwrap_or_default();
    let clock: &'static SystemClock = Box::leak(Box::new(SystemClock::start()));
    let process = Process {
        clock,
        environment: Environment::capture(),
        is_root: nix::unistd::geteuid().is_root(),
        program: program(works),
        random: random_bytes(),
    };
    // Never dropped: the process is about to end, and the system closes connections faster than we could.
    let transport = ManuallyDrop::new(HttpTransport::new(clock, ProxyRules::of(&process.environment)));
    let host = Host::new(clock, &*transport, command::seed(&process.random))
        .correcting(process.environment.corrects_clock())
        .attended(!speaks);
    if works { command::work(invocation, &process, &host) } else { command::run(invocation, &process, &host) }
}

/// The path that published commands call. Without /proc it is unknown, and the name has to be found by the shell. The
/// daemon tells those who work for it: its file may have been replaced since.
fn program(works: bool) -> PathBuf {
    if works {
        return std::env::args_os().next().unwrap_or_default().into();
    }
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("rolekeeper"))
}

fn say(text: &str) -> Result<u8, Error> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Stdout)?;
    Ok(0)
}
