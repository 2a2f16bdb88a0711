//! The lines that `fake-aws` takes on its input while it runs, for tests in other languages and for hands. Knows
//! the words; what they do is the library's.

use std::time::Duration;

use fake_aws::{Action, Assertion, FakeAws, Fault, Kind, Service};

/// What the lines may say, for whoever asks or errs.
pub(crate) const HELP: &str = "imds|sts|s3 fail STATUS CODE [TIMES], imds|sts|s3 hang|reset|truncate [TIMES], \
                               imds|sts|s3 delay MS, imds|sts|s3 heal, imds|sts lifetime SECONDS, \
                               imds|sts clock SECONDS, sts token ISSUER SUBJECT AUDIENCE SECONDS, \
                               sts assertion ROLE PROVIDER SESSION, imds attach ARN|none, imds rotate, \
                               container token TEXT|none, counts, requests";

/// Carries out one line, and says what to answer.
///
/// # Errors
///
/// When the line makes no sense.
pub(crate) fn obey(fake: &FakeAws, line: &str) -> Result<String, Box<dyn std::error::Error>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["counts"] => return Ok(counts(fake)),
        ["requests"] => return Ok(crate::dump::take(fake)),
        ["sts", "token", issuer, subject, audience, seconds] => {
            let lifetime = time::Duration::seconds(seconds.parse()?);
            return Ok(format!("OK {}", fake.sts().web_identity_token(issuer, subject, audience, lifetime)));
        }
        ["sts", "assertion", role, provider, session] => {
            let assertion = Assertion::new(role, provider, session);
            return Ok(format!("OK {}", fake.sts().saml_response(&assertion)));
        }
        [service, "fail", status, code, times @ ..] => {
            fail(fake, service, Action::error(status.parse()?, code), times)?;
        }
        [service, "hang", times @ ..] => fail(fake, service, Action::Hang, times)?,
        [service, "reset", times @ ..] => fail(fake, service, Action::ResetBefore, times)?,
        [service, "truncate", times @ ..] => fail(fake, service, Action::Truncate, times)?,
        ["imds", "delay", pause] => fake.imds().delay(milliseconds(pause)?),
        ["sts", "delay", pause] => fake.sts().delay(milliseconds(pause)?),
        ["s3", "delay", pause] => fake.s3().delay(milliseconds(pause)?),
        ["imds", "heal"] => fake.imds().heal(),
        ["sts", "heal"] => fake.sts().heal(),
        ["s3", "heal"] => fake.s3().heal(),
        ["imds", "lifetime", seconds] => {
            fake.imds().credential_lifetime(Duration::from_secs(seconds.parse()?));
        }
        ["sts", "lifetime", seconds] => {
            fake.sts().session_lifetime(Some(Duration::from_secs(seconds.parse()?)));
        }
        ["imds", "clock", seconds] => fake.imds().clock_offset(time::Duration::seconds(seconds.parse()?)),
        ["sts", "clock", seconds] => fake.sts().clock_offset(time::Duration::seconds(seconds.parse()?)),
        ["imds", "attach", "none"] => fake.imds().attach_role(None),
        ["imds", "attach", arn] => fake.imds().attach_role(Some(arn)),
        ["imds", "rotate"] => fake.imds().rotate(),
        ["container", "token", "none"] => fake.container().require_authorization(None),
        ["container", "token", text] => fake.container().require_authorization(Some(text)),
        _ => return Err(HELP.into()),
    }
    Ok("OK".to_owned())
}

fn milliseconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}

fn fail(
    fake: &FakeAws,
    service: &str,
    action: Action,
    times: &[&str],
) -> Result<(), Box<dyn std::error::Error>> {
    let fault = match times {
        [] => Fault::new(action),
        [times] => Fault::new(action).times(times.parse()?),
        _ => return Err(HELP.into()),
    };
    match service {
        "imds" => fake.imds().fail(fault),
        "sts" => fake.sts().fail(fault),
        "s3" => fake.s3().fail(fault),
        _ => return Err(HELP.into()),
    }
    Ok(())
}

/// One line of `name=count` pairs.
fn counts(fake: &FakeAws) -> String {
    let counts = fake.counts();
    let pairs = [
        ("imds_token", counts.requests(Kind::Token)),
        ("imds_extended_listing", counts.requests(Kind::ExtendedListing)),
        ("imds_legacy_listing", counts.requests(Kind::LegacyListing)),
        ("imds_extended_document", counts.requests(Kind::ExtendedDocument)),
        ("imds_legacy_document", counts.requests(Kind::LegacyDocument)),
        ("imds_connections", counts.connections(Service::Imds)),
        ("sts_assume_role", counts.requests(Kind::AssumeRole)),
        ("sts_get_caller_identity", counts.requests(Kind::GetCallerIdentity)),
        ("sts_connections", counts.connections(Service::Sts)),
        ("sts_handshakes", counts.handshakes(Service::Sts)),
        ("s3_list_objects", counts.requests(Kind::ListObjects)),
        ("s3_connections", counts.connections(Service::S3)),
    ];
    let pairs = pairs.map(|(name, count)| format!("{name}={count}"));
    format!("OK {}", pairs.join(" "))
}
