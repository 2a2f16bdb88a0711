//! The binary: captures what the process was given, lets the library work, and turns the outcome into an exit code.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use log::LevelFilter;
use rolekeeper::cli::{self, Action, Invocation};
use rolekeeper::clock::SystemClock;
use rolekeeper::command::{self, Process};
use rolekeeper::environment::Environment;
use rolekeeper::error::Error;
use rolekeeper::host::Host;
use rolekeeper::transport::{HttpTransport, random_bytes};
use simple_logger::SimpleLogger;

fn main() -> ExitCode {
    let outcome = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Action::Help(command)) => say(&cli::help(command)),
        Ok(Action::Version) => say(concat!("rolekeeper ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Action::Run(invocation)) => run(&invocation),
        Err(error) => Err(Error::Usage(error)),
    };
    ExitCode::from(outcome.unwrap_or_else(|error| {
        command::complain(&error);
        error.exit_code()
    }))
}

fn run(invocation: &Invocation) -> Result<u8, Error> {
    start_log(invocation.verbosity);
    let process = Process {
        environment: Environment::capture(),
        is_root: nix::unistd::geteuid().is_root(),
        program: program(),
        host_name: nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned(),
        random: random_bytes(),
        stdout_is_terminal: std::io::stdout().is_terminal(),
    };
    let clock = SystemClock::start();
    let transport = HttpTransport::new(&clock);
    let host = Host::new(&clock, &transport, command::seed(&process.random));
    command::run(invocation, &process, &host)
}

/// Only this crate speaks: the libraries below log requests with their headers, session tokens included.
fn start_log(verbosity: u8) {
    let level = match verbosity {
        0 => return,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    let logger = SimpleLogger::new().with_level(LevelFilter::Off).with_module_level("rolekeeper", level);
    if logger.init().is_err() {
        // There is a log already; it will do.
    }
}

/// The path that published commands call. Without /proc it is unknown, and the name has to be found by the shell.
fn program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("rolekeeper"))
}

fn say(text: &str) -> Result<u8, Error> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Stdout)?;
    Ok(0)
}
