//! What the tests of the network look at: what was sent, on how many connections, what was published, and what
//! `status` says of it. Decides nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use fake_aws::{Kind, Received, Service};
use rolekeeper::timestamp::between;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::World;

/// Publishes the instance's own credentials: IMDS alone is asked.
pub(crate) const INSTANCE: &str = "[profile instance]\ncredential_source = Ec2InstanceMetadata\n\
     rolekeeper_publish = true\nregion = us-east-1\n";

impl World {
    /// What `service` received, in order.
    pub(crate) fn received(&self, service: Service) -> Vec<Received> {
        self.fake.requests().into_iter().filter(|request| request.service == service).collect()
    }

    /// What `service` was asked for, in order.
    pub(crate) fn kinds(&self, service: Service) -> Vec<Kind> {
        self.received(service).iter().map(|request| request.kind).collect()
    }

    /// The `AssumeRole` requests, in order.
    pub(crate) fn assumptions(&self) -> Vec<Received> {
        self.fake.requests().into_iter().filter(|request| request.kind == Kind::AssumeRole).collect()
    }

    /// The published `credentials.json` of `profile`.
    pub(crate) fn document(&self, profile: &str) -> Value {
        serde_json::from_str(&self.published(&format!("profiles/{profile}/credentials.json"))).unwrap()
    }

    /// How long the published credentials of `profile` are valid from here on.
    pub(crate) fn life(&self, profile: &str) -> time::Duration {
        between(now(), instant(&self.document(profile)["Expiration"]))
    }

    /// The files that were added, removed or changed since `before` was taken.
    pub(crate) fn changed(&self, before: &[(PathBuf, Vec<u8>)]) -> BTreeSet<PathBuf> {
        let after = self.snapshot();
        let only = |these: &[(PathBuf, Vec<u8>)], those: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
            these.iter().filter(|file| !those.contains(file)).map(|(path, _)| path.clone()).collect()
        };
        only(before, &after).into_iter().chain(only(&after, before)).collect()
    }

    /// Whether nothing at all is published for `profile`.
    pub(crate) fn is_unpublished(&self, profile: &str) -> bool {
        !self.out().join("profiles").join(profile).join("credentials.json").exists()
    }

    /// What `status --json` says of `profile`.
    #[track_caller]
    pub(crate) fn status(&self, profile: &str) -> Value {
        let run = self.run(&["status", "--json"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        let status: Value = serde_json::from_str(&run.stdout).unwrap();
        let mut profiles = status["profiles"].as_array().unwrap().iter();
        profiles.find(|entry| entry["profile"] == profile).unwrap().clone()
    }
}

/// On how many connections `requests` came.
pub(crate) fn connections(requests: &[Received]) -> usize {
    requests.iter().map(|request| request.connection).collect::<BTreeSet<_>>().len()
}

/// Tries all cases at the same time, because most of what they do is to wait.
pub(crate) fn at_once<T: Send>(cases: impl IntoIterator<Item = T>, attempt: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        let attempt = &attempt;
        for case in cases {
            scope.spawn(move || attempt(case));
        }
    });
}

/// The instant that an expiration names.
pub(crate) fn instant(text: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap()
}

/// The time, by the clock that the fake and the binary have too.
#[expect(clippy::disallowed_methods, reason = "whoever judges expirations from outside has no other clock")]
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// What `work` gives, and how long it took.
#[expect(clippy::disallowed_methods, reason = "that a command gives up in time is what is tested")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let result = work();
    (result, start.elapsed())
}
