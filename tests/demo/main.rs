//! `cargo demo`: the user guide's cross-account scenario from end to end, told step by step, with the real binary
//! against a fake AWS in this process. Anything that is not as it should be ends the story with an error.

mod aws;
mod stage;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;

use fake_aws::Kind;

use crate::aws::Keys;
use crate::stage::{Failure, NAME, Stage, ensure};

/// As the user guide writes it; the second profile is for `whoami` alone.
const CONFIG: &str = "\
[profile instancecrossaccount]
role_arn = arn:aws:iam::222222222222:role/efgh
credential_source = Ec2InstanceMetadata

# The instance profile itself, so that `whoami` can be asked about it. It has no role_arn, so nothing is published.
[profile instance]
credential_source = Ec2InstanceMetadata
";

const BUCKETS: [&str; 2] = ["my-bucket-1", "my-bucket-2"];

fn main() -> ExitCode {
    let mut told = String::new();
    let outcome = tell(&mut told);
    let mut stdout = std::io::stdout().lock();
    // Whoever closed the output does not want to read; the exit code still tells.
    drop(stdout.write_all(told.as_bytes()).and_then(|()| stdout.flush()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            drop(writeln!(std::io::stderr(), "\nThe demonstration failed: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn tell(told: &mut String) -> Result<(), Failure> {
    let stage = Stage::set(CONFIG)?;
    writeln!(
        told,
        "An EC2 instance in account 111111111111 has the instance profile `abcd`, which may list my-bucket-1.\n\
         It is to work in account 222222222222 with the role `efgh`, which may list my-bucket-2.\n\
         AWS is played by a fake on loopback that verifies signatures, trust and permissions."
    )?;
    show_configuration(told, &stage)?;
    show_identity_before(told, &stage)?;
    let without = Keys::of_the_instance(&stage)?;
    show_refresh(told, &stage)?;
    show_files(told, &stage)?;
    show_status(told, &stage)?;
    show_identity_after(told, &stage)?;
    let with = Keys::published(&stage)?;
    show_buckets(told, &stage, &without, &with)?;
    show_second_refresh(told, &stage)?;
    show_where_to_look(told, &stage)
}

fn heading(told: &mut String, text: &str) -> Result<(), Failure> {
    Ok(writeln!(told, "\n== {text}\n")?)
}

fn quote(told: &mut String, text: &str) -> Result<(), Failure> {
    for line in text.trim_end().lines() {
        writeln!(told, "{}", format!("  {line}").trim_end())?;
    }
    Ok(())
}

fn show_configuration(told: &mut String, stage: &Stage) -> Result<(), Failure> {
    heading(told, "The configuration is an ordinary AWS config file")?;
    writeln!(told, "$ cat {}", stage.config().display())?;
    quote(told, CONFIG)
}

fn show_identity_before(told: &mut String, stage: &Stage) -> Result<(), Failure> {
    heading(told, "Before: the instance is `abcd`")?;
    let identity = stage.run(&["whoami", "instance"])?;
    writeln!(told, "$ rolekeeper whoami instance")?;
    quote(told, &identity)?;
    ensure(identity.contains(":assumed-role/abcd/"), "the instance is not `abcd`")
}

fn show_refresh(told: &mut String, stage: &Stage) -> Result<(), Failure> {
    heading(told, "`refresh` switches to the role and publishes; like every good cron job it says nothing")?;
    stage.fake.clear_log();
    let said = stage.run(&["refresh"])?;
    ensure(said.is_empty(), "`refresh` was not silent")?;
    writeln!(told, "$ rolekeeper refresh")?;
    let counts = stage.fake.counts();
    let assumed = counts.requests(Kind::AssumeRole);
    writeln!(told, "  (The fake saw {} requests, one of them AssumeRole.)", counts.all_requests())?;
    ensure(assumed == 1, "AssumeRole was not called exactly once")
}

fn show_files(told: &mut String, stage: &Stage) -> Result<(), Failure> {
    heading(told, "What other programs read")?;
    let top = ["credentials", "config", "status.json"].map(str::to_owned);
    let own =
        ["credentials.json", "credentials", "env", "config"].map(|file| format!("profiles/{NAME}/{file}"));
    writeln!(told, "  {:4}  {:>5}  below {}", "mode", "bytes", stage.published().display())?;
    for name in top.iter().chain(&own) {
        let metadata = fs::metadata(stage.published().join(name))?;
        let mode = metadata.mode() & 0o7777;
        writeln!(told, "  {mode:04o}  {:>5}  {name}", metadata.len())?;
        ensure(mode == 0o600, &format!("`{name}` has mode {mode:04o}, not 0600"))?;
    }
    for name in ["env", "config"] {
        let path = stage.published().join("profiles").join(NAME).join(name);
        writeln!(told, "\n$ cat {}", path.display())?;
        quote(told, &masked(&fs::read_to_string(&path)?))?;
    }
    Ok(())
}

/// `text` of an `env` file with its secrets replaced.
fn masked(text: &str) -> String {
    let line = |line: &str| match line.split_once('=') {
        Some((name @ ("AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN"), secret)) => {
            format!("{name}=(a secret of {} characters)\n", secret.len())
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn show_status(told: &mut String, stage: &Stage) -> Result<(), Failure> {
    heading(told, "`status` tells how long they last and when they are replaced")?;
    let status = stage.run(&["status"])?;
    writeln!(told, "$ rolekeeper status")?;
    quote(told, &status.replace('\t', "  "))?;
    ensure(status.starts_with(&format!("{NAME}\tfresh\t")), "the profile is not fresh")
}

fn show_identity_after(told: &mut String, stage: &Stage) -> Result<(), Failure> {
    heading(told, "After: with the profile, this is `efgh` in the other account")?;
    let identity = stage.run(&["whoami", NAME])?;
    writeln!(told, "$ rolekeeper whoami {NAME}")?;
    quote(told, &identity)?;
    ensure(
        identity.contains("arn:aws:sts::222222222222:assumed-role/efgh/rolekeeper-i-"),
        "the profile is not a session of `efgh` that names the instance",
    )
}

fn show_buckets(told: &mut String, stage: &Stage, without: &Keys, with: &Keys) -> Result<(), Failure> {
    heading(told, "Permissions are switched, not added; without the profile the original ones are back")?;
    writeln!(told, "  {:14}{:22}with the profile", "ListObjectsV2", "without the profile")?;
    let mut found = Vec::new();
    for bucket in BUCKETS {
        let (before, after) = (aws::list(stage, bucket, without)?, aws::list(stage, bucket, with)?);
        writeln!(told, "  {bucket:14}{before:22}{after}")?;
        found.push([before, after]);
    }
    let expected = [["2 objects", "AccessDenied"], ["AccessDenied", "2 objects"]];
    ensure(found == expected, "the permissions are not those of the user guide")
}

fn show_second_refresh(told: &mut String, stage: &Stage) -> Result<(), Failure> {
    heading(told, "Called again, as cron does every five minutes, it asks nobody and writes nothing")?;
    let before = written(&stage.published())?;
    stage.fake.clear_log();
    let said = stage.run(&["refresh"])?;
    let requests = stage.fake.counts().all_requests();
    writeln!(told, "$ rolekeeper refresh\n  (The fake saw {requests} requests.)")?;
    ensure(said.is_empty() && requests == 0, "the second refresh was not free")?;
    ensure(written(&stage.published())? == before, "the second refresh wrote something")
}

/// Inode and time of the last change of the files at the top and of the profile.
fn written(published: &Path) -> Result<Vec<(u64, i64, i64)>, Failure> {
    let mut identities = Vec::new();
    for directory in [published.to_owned(), published.join("profiles").join(NAME)] {
        for entry in fs::read_dir(directory)? {
            let metadata = entry?.metadata()?;
            if metadata.is_file() {
                identities.push((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()));
            }
        }
    }
    identities.sort_unstable();
    Ok(identities)
}

fn show_where_to_look(told: &mut String, stage: &Stage) -> Result<(), Failure> {
    heading(told, "The files are still there to be looked at")?;
    let (program, published) = (env!("CARGO_BIN_EXE_rolekeeper"), stage.published());
    let published = published.display();
    writeln!(told, "  find {published} -type f | xargs ls -l")?;
    writeln!(told, "  {program} status --output-dir {published}")?;
    writeln!(told, "  {program} print --output-dir {published} {NAME}")?;
    writeln!(told, "  {program} exec --output-dir {published} {NAME} -- env")?;
    Ok(())
}
