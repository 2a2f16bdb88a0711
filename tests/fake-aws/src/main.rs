//! `fake-aws`: starts the fake, writes where it is, obeys the lines of its input, and ends with it.

mod commands;
mod dump;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use fake_aws::{FakeAws, Options};

const USAGE: &str = "usage: fake-aws [--dir DIR] [--imds ADDRESS:PORT] [--sts ADDRESS:PORT] [--container ADDRESS:PORT]... \
                     [--name NAME]... [--sts-delay-ms N]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "fake-aws: {error}"));
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    directory: PathBuf,
    options: Options,
    sts_delay: Duration,
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = parse(std::env::args_os().skip(1))?;
    let directory = std::path::absolute(&arguments.directory)?;
    std::fs::create_dir_all(&directory)?;
    let fake = FakeAws::start(arguments.options.directory(&directory))?;
    fake.sts().delay(arguments.sts_delay);
    File::create(directory.join("env"))?.write_all(environment(&fake, &directory).as_bytes())?;
    writeln!(io::stdout(), "READY")?;
    io::stdout().flush()?;
    // Whoever started this holds the other end of the input, and has gone when it ends.
    for line in io::stdin().lines() {
        match commands::obey(&fake, &line?) {
            Ok(answer) => writeln!(io::stdout(), "{answer}")?,
            Err(error) => writeln!(io::stdout(), "ERROR {error}")?,
        }
        io::stdout().flush()?;
    }
    Ok(())
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Arguments, Box<dyn std::error::Error>> {
    let mut parsed =
        Arguments { directory: PathBuf::from("."), options: Options::new(), sts_delay: Duration::ZERO };
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Long("dir") => parsed.directory = parser.value()?.into(),
            lexopt::Arg::Long("imds") => {
                let address = lexopt::ValueExt::parse(&parser.value()?)?;
                parsed.options = parsed.options.imds_address(address);
            }
            lexopt::Arg::Long("sts") => {
                let address = lexopt::ValueExt::parse(&parser.value()?)?;
                parsed.options = parsed.options.sts_address(address);
            }
            // Repeated where ECS and EKS both have to find theirs.
            lexopt::Arg::Long("container") => {
                let address = lexopt::ValueExt::parse(&parser.value()?)?;
                parsed.options = parsed.options.container_address(address);
            }
            // One more name in the certificate.
            lexopt::Arg::Long("name") => {
                let name = lexopt::ValueExt::string(parser.value()?)?;
                parsed.options = parsed.options.name(name);
            }
            lexopt::Arg::Long("sts-delay-ms") => {
                parsed.sts_delay = Duration::from_millis(lexopt::ValueExt::parse(&parser.value()?)?);
            }
            lexopt::Arg::Long(_) | lexopt::Arg::Short(_) | lexopt::Arg::Value(_) => return Err(USAGE.into()),
        }
    }
    Ok(parsed)
}

/// What a shell sources to point a client at the fake.
fn environment(fake: &FakeAws, directory: &Path) -> String {
    let ca = directory.join("ca.pem");
    [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.imds_url()),
        ("AWS_ENDPOINT_URL_STS", fake.sts_url()),
        ("AWS_ENDPOINT_URL_S3", fake.s3_url()),
        ("AWS_CA_BUNDLE", ca.display().to_string()),
    ]
    .into_iter()
    .map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', "'\\''")))
    .collect()
}
