//! A reader: looks at one file after the other, and judges each by itself, as whole as one opening shows it.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fake_aws::Keys;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::doubts::{Doubt, Doubts};
use crate::options::Dice;
use crate::stage::{Member, SESSION, Stage, Which};
use crate::watch::Watch;
use crate::weather::{Concerned, Weather};

/// Between two files, so that the readers do not take the processors from the daemon.
const PAUSE: Duration = Duration::from_micros(700);

/// What a run is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Court<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) watch: &'a Watch,
    pub(crate) weather: &'a Weather,
    pub(crate) doubts: &'a Doubts,
}

/// The keys in one text, and when it says that they expire.
struct Found {
    keys: Keys,
    expiration: Option<OffsetDateTime>,
}

impl Court<'_> {
    /// Reads all files until the run is over.
    pub(crate) fn read_on(&self, seed: u64) {
        let mut dice = Dice::new(seed);
        // What was there once has to stay.
        let mut seen = vec![[false; 4]; self.stage.members.len()];
        while !self.watch.is_over() {
            let number = usize::try_from(dice.between(0, seen.len().try_into().unwrap())).unwrap();
            let member = &self.stage.members[number];
            for (form, name) in ["credentials.json", "credentials", "env", "config"].into_iter().enumerate() {
                seen[number][form] |= self.look(member, name, seen[number][form]);
                self.watch.sleep(PAUSE);
            }
            if dice.between(0, 50) == 0 {
                self.look_at_common(Which::Steady);
                self.look_at_common(Which::Victim);
            }
        }
    }

    /// Reads a file whole, with its metadata; a file that has gone is told.
    fn read(&self, path: &Path, has_been: bool) -> Option<(String, std::fs::Metadata)> {
        let mut text = Vec::new();
        let opened = File::open(path).and_then(|mut file| {
            file.read_to_end(&mut text)?;
            file.metadata()
        });
        self.doubts.reads.fetch_add(1, Ordering::Relaxed);
        match opened {
            Ok(metadata) => match String::from_utf8(text) {
                Ok(text) => Some((text, metadata)),
                Err(_) => {
                    self.doubts.say(Doubt::Torn, format!("{} is no text", path.display()));
                    None
                }
            },
            Err(cause) => {
                if has_been || cause.kind() != std::io::ErrorKind::NotFound {
                    self.doubts.say(Doubt::Torn, format!("{}: {cause}", path.display()));
                }
                None
            }
        }
    }

    /// Looks at one file of a profile; whether it was there.
    fn look(&self, member: &Member, name: &str, has_been: bool) -> bool {
        let which = if member.victim { Which::Victim } else { Which::Steady };
        let path = self.stage.out(which).join("profiles").join(&member.name).join(name);
        let Some((text, metadata)) = self.read(&path, has_been) else {
            if !has_been {
                self.judge_absence(member);
            }
            return false;
        };
        let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
        if (mode, owner) != (member.mode, member.owner) {
            let found = format!("{} is {mode:04o} of {owner}", path.display());
            self.doubts.say(Doubt::Wrong, found);
        }
        let sections = match name {
            "credentials.json" => document(&text).map(|found| vec![found]),
            "env" => environment(&text).map(|found| vec![found]),
            "credentials" => {
                let both = ["default", &member.name].map(|section| ini(&text, section));
                both.into_iter().collect::<Option<Vec<_>>>().filter(|_| text.ends_with('\n'))
            }
            _ => {
                let named = format!("\n[profile {}]\n", member.name);
                (text.contains(&named) && text.ends_with('\n')).then(Vec::new)
            }
        };
        match sections {
            None => self.doubts.say(Doubt::Torn, format!("{}:\n{text}", path.display())),
            Some(found) => found.iter().for_each(|found| self.judge(member, found, &path)),
        }
        true
    }

    /// What has never been published is as bad as what has expired, once there was time enough.
    fn judge_absence(&self, member: &Member) {
        let start = time::Duration::ZERO;
        if self.weather.makes_stale(start, start + SESSION, concerned(member), self.watch) {
            self.doubts.say(Doubt::Stale, format!("{} was never published", member.name));
        }
    }

    fn judge(&self, member: &Member, found: &Found, path: &Path) {
        let Some(session) = self.stage.fake.iam().session(&found.keys.access_key_id) else {
            self.doubts.say(Doubt::Wrong, format!("{}: nobody was given these keys", path.display()));
            return;
        };
        // Written in whole seconds.
        let says =
            |expiration: OffsetDateTime| expiration.unix_timestamp() == session.expiration.unix_timestamp();
        if session.name != member.name || session.keys != found.keys || !found.expiration.is_none_or(says) {
            self.doubts.say(Doubt::Wrong, format!("{}: it is {session:?}", path.display()));
        }
        let expired = self.watch.at(session.expiration);
        if self.weather.makes_stale(expired - SESSION, expired, concerned(member), self.watch) {
            let late = time::Duration::try_from(self.watch.now()).unwrap() - expired;
            let now = self.watch.now();
            self.doubts.say(Doubt::Stale, format!("{} at {now:?}: expired {late} ago", path.display()));
        }
    }

    /// Looks at the files of all profiles, and at that of others.
    fn look_at_common(&self, which: Which) {
        let out = self.stage.out(which);
        if let Some((text, _)) = self.read(&out.join("credentials"), false) {
            if !text.ends_with('\n') {
                self.doubts.say(Doubt::Torn, format!("{}/credentials", out.display()));
            }
            let members =
                self.stage.members.iter().filter(|member| member.victim == (which == Which::Victim));
            for member in members {
                if let Some(found) = ini(&text, &member.name) {
                    self.judge(member, &found, &out.join("credentials"));
                } else if text.contains(&format!("\n[{}]\n", member.name)) {
                    self.doubts.say(Doubt::Torn, format!("{}/credentials: {}", out.display(), member.name));
                }
            }
        }
        if let Some((text, _)) = self.read(&out.join("status.json"), false)
            && serde_json::from_str::<Value>(&text).is_err()
        {
            self.doubts.say(Doubt::Torn, format!("{}/status.json:\n{text}", out.display()));
        }
        let merged = self.stage.merged();
        if let Some((text, _)) = self.read(&merged, true) {
            if !Stage::keeps_foreign(&text) {
                self.doubts.say(Doubt::Torn, format!("{}:\n{text}", merged.display()));
            }
            for member in self.stage.members.iter().filter(|member| member.is_merged) {
                if let Some(found) = ini(&text, &member.name) {
                    self.judge(member, &found, &merged);
                }
            }
        }
    }
}

fn concerned(member: &Member) -> Concerned {
    Concerned { role: member.role, victim: member.victim }
}

fn instant(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// The keys in a `credential_process` document.
fn document(text: &str) -> Option<Found> {
    let value: Value = serde_json::from_str(text.strip_suffix('\n')?).ok()?;
    let member = |name: &str| value[name].as_str().map(str::to_owned);
    let keys = Keys {
        access_key_id: member("AccessKeyId")?,
        secret_access_key: member("SecretAccessKey")?,
        session_token: Some(member("SessionToken")?),
    };
    Some(Found { keys, expiration: Some(instant(&member("Expiration")?)?) })
}

/// Whether the `credential_process` document `text` holds the keys of `member`, valid at `at`.
pub(crate) fn is_valid_document(stage: &Stage, member: &Member, text: &str, at: OffsetDateTime) -> bool {
    document(text).is_some_and(|found| {
        let session = stage.fake.iam().session(&found.keys.access_key_id);
        session.is_some_and(|session| {
            session.name == member.name && session.keys == found.keys && session.expiration > at
        })
    })
}

fn environment(text: &str) -> Option<Found> {
    let last = text.lines().last()?;
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let keys = Keys {
        access_key_id: value("AWS_ACCESS_KEY_ID=")?,
        secret_access_key: value("AWS_SECRET_ACCESS_KEY=")?,
        session_token: Some(value("AWS_SESSION_TOKEN=")?),
    };
    let is_whole = text.ends_with('\n') && last == "AWS_DEFAULT_REGION=us-east-1";
    is_whole.then_some(Found { keys, expiration: Some(instant(&value("AWS_CREDENTIAL_EXPIRATION=")?)?) })
}

/// The keys in one section of a credentials file.
fn ini(text: &str, section: &str) -> Option<Found> {
    let (_, after) = text.split_once(&format!("\n[{section}]\n"))?;
    let mut lines = after.lines();
    let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(" = ").map(str::to_owned);
    let keys = Keys {
        access_key_id: value("aws_access_key_id")?,
        secret_access_key: value("aws_secret_access_key")?,
        session_token: Some(value("aws_session_token")?),
    };
    Some(Found { keys, expiration: None })
}
