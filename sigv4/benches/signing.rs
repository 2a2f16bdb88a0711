//! Our signer beside aws-sigv4 on the request that the agent sends: one `AssumeRole` POST with a session
//! token.
//!
//! Prints the times and their ratio, measured in turn in one run. Never fails: a busy machine is no
//! regression.

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials as ReferenceCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as reference_sign};
use aws_sigv4::sign::v4;
use sigv4::{Credentials, KeyCache, Payload, Request, Scheme, Scope, Settings, sign, sign_into};
use time::OffsetDateTime;

const URL: &str = "https://sts.eu-central-1.amazonaws.com/";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
const KEY: &str = "ASIABENCHMARK0000001";
const SECRET: &str = "a secret of forty characters, not a key!";
const HEADERS: [(&str, &str); 2] = [("content-type", FORM), ("host", "sts.eu-central-1.amazonaws.com")];
const REPETITIONS: u32 = 5_000;
const ROUNDS: usize = 21;

/// The median time of one call over all rounds.
struct Series {
    name: &'static str,
    rounds: Vec<Duration>,
}

impl Series {
    fn median(&mut self) -> Duration {
        self.rounds.sort_unstable();
        self.rounds.get(ROUNDS / 2).copied().unwrap_or_default()
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn time(repetitions: u32, mut call: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..repetitions {
        call();
    }
    start.elapsed().checked_div(repetitions).unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "a bench's result is what it prints")]
fn main() {
    let body =
        format!("Action=AssumeRole&Version=2011-06-15&RoleSessionName=bench&{}", "Tags.member=x&".repeat(18));
    let session_token = "FwoGZXIvYXdzEJr//////////wEa".repeat(22);
    let request = Request {
        method: "POST",
        scheme: Scheme::Https,
        authority: "sts.eu-central-1.amazonaws.com",
        path: "/",
        query: "",
        headers: &HEADERS,
        payload: Payload::Bytes(body.as_bytes()),
    };
    let credentials = Credentials::new(KEY, SECRET, Some(&session_token));
    let scope = Scope::new("eu-central-1", "sts");
    let at = OffsetDateTime::UNIX_EPOCH;
    let settings = Settings::default();
    let identity = ReferenceCredentials::new(KEY, SECRET, Some(session_token.clone()), None, "bench").into();
    let reference = || {
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-central-1")
            .name("sts")
            .time(SystemTime::from(at))
            .settings(SigningSettings::default())
            .build()
            .ok()?
            .into();
        let payload = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", URL, HEADERS.into_iter(), payload).ok()?;
        let (instructions, _) = reference_sign(signable, &params).ok()?.into_parts();
        let authorization = instructions.headers().find(|(name, _)| *name == "authorization");
        authorization.map(|(_, value)| value.to_owned())
    };

    let ours =
        sign(&request, &credentials, scope, at, settings).map(|signed| signed.authorization().to_owned());
    if ours.ok() != reference() {
        println!("the two signers disagree: the times below mean nothing");
    }

    let mut cache = KeyCache::new();
    let mut buffer = String::with_capacity(512);
    let mut series = ["aws-sigv4", "sign, key derived each time", "sign_into, key kept"]
        .map(|name| Series { name, rounds: vec![] });
    for _ in 0..ROUNDS {
        let [theirs, derived, kept] = &mut series;
        theirs.rounds.push(time(REPETITIONS, || {
            black_box(reference());
        }));
        derived.rounds.push(time(REPETITIONS, || {
            black_box(sign(black_box(&request), &credentials, scope, at, settings).is_ok());
        }));
        kept.rounds.push(time(REPETITIONS, || {
            if let Ok(key) = cache.key(SECRET, scope, at) {
                black_box(
                    sign_into(black_box(&request), &credentials, key, at, settings, &mut buffer).is_ok(),
                );
            }
        }));
    }
    let [theirs, ..] = &mut series;
    let base = theirs.median();
    for entry in &mut series {
        let median = entry.median();
        let ratio = median.as_secs_f64() / base.as_secs_f64();
        println!("{:<28} {:>6} ns  {ratio:.2}x", entry.name, median.as_nanos());
    }
}
