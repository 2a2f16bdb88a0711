//! How questions and answers travel between the daemon and a worker: numbers of eight bytes, and texts after their
//! length. Both sides are the same program, so there are no versions, and what cannot be read is no answer.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::time::Duration;

use time::OffsetDateTime;

use super::serving::Tokens;
use super::work::{Member, Reply, Roster, Work};
use crate::anchor::Anchor;
use crate::disposition::Disposition;
use crate::error::Told;
use crate::output::directory::{Attributes, OnMountPoint};
use crate::output::token_file::TokenCheck;
use crate::refresh::{Held, Served, Standing};
use crate::schedule::Known;

/// No instant.
const NEVER: i64 = i64::MIN;
const NONE: u64 = u64::MAX;

/// From the daemon, whose process id this is.
pub(super) fn question(daemon: u32, work: &Work, anchor: Option<&Anchor>) -> Vec<u8> {
    let mut writer = Writer(Vec::new());
    writer.number(daemon.into());
    writer.anchor(anchor);
    match work {
        Work::Load => writer.number(0),
        Work::Look => writer.number(1),
        Work::Hooks => writer.number(2),
        Work::Refresh(profiles) => {
            writer.number(3);
            writer.length(profiles.len());
            for (index, generation) in profiles {
                writer.length(*index);
                writer.number(*generation);
            }
        }
        Work::Tokens(Tokens { known, note }) => {
            writer.number(4);
            writer.bytes(note.as_deref().unwrap_or_default().as_bytes());
            writer.number(known.is_some().into());
            writer.served(known.as_deref().unwrap_or_default());
        }
    }
    writer.0
}

pub(super) fn read_question(bytes: &[u8]) -> Option<(u32, Work, Option<Anchor>)> {
    let mut reader = Reader(bytes);
    let daemon = reader.number()?.try_into().ok()?;
    let anchor = reader.anchor()?;
    let work = match reader.number()? {
        0 => Work::Load,
        1 => Work::Look,
        2 => Work::Hooks,
        3 => Work::Refresh(reader.list(|reader| Some((reader.length()?, reader.number()?)))?),
        4 => {
            let note = Some(reader.text()?).filter(|note| !note.is_empty());
            let is_open = reader.number()? == 1;
            Work::Tokens(Tokens { known: Some(reader.served()?).filter(|_| is_open), note })
        }
        _ => return None,
    };
    Some((daemon, work, anchor))
}

/// From the worker.
pub(super) fn answer(reply: &Reply, anchor: Option<&Anchor>) -> Vec<u8> {
    let mut writer = Writer(Vec::new());
    writer.anchor(anchor);
    match reply {
        Reply::Loaded(roster) => {
            writer.number(0);
            writer.bytes(roster.output_dir.as_os_str().as_bytes());
            writer.number(roster.mode.into());
            writer.bytes(roster.serve.map(|serve| serve.to_string()).unwrap_or_default().as_bytes());
            writer.length(roster.members.len());
            for member in &roster.members {
                writer.bytes(member.name.as_bytes());
                writer.number(member.has_hook.into());
            }
        }
        Reply::Standings(standings) => {
            writer.number(1);
            writer.length(standings.len());
            for (known, generation, held) in standings {
                let (issued, due) = match known {
                    Known::Nothing => (None, None),
                    Known::Published { issued, due } => (Some(*issued), *due),
                };
                writer.instant(issued);
                writer.instant(due);
                writer.number(*generation);
                writer.instant(held.as_ref().map(|held| held.until));
                if let Some(held) = held {
                    writer.number(held.refusals);
                    writer.told(&held.told);
                }
            }
        }
        Reply::Report(report) => {
            writer.number(2);
            writer.length(report.len());
            for (index, became) in report {
                writer.length(*index);
                match became {
                    Ok(standing) => {
                        writer.number(standing.generation);
                        writer.instant(standing.due);
                        writer.instant(standing.expiration);
                        writer.number(standing.is_extended.into());
                    }
                    Err((told, expiration)) => {
                        writer.number(NONE);
                        writer.told(told);
                        writer.instant(*expiration);
                    }
                }
            }
        }
        Reply::Hooks(wait) => {
            writer.number(3);
            writer.number(wait.map_or(NONE, |wait| wait.as_secs()));
        }
        Reply::Failed(told) => {
            writer.number(4);
            writer.told(told);
        }
        Reply::Served(served) => {
            writer.number(5);
            writer.served(served);
        }
    }
    writer.0
}

pub(super) fn read_answer(bytes: &[u8]) -> Option<(Reply, Option<Anchor>)> {
    let mut reader = Reader(bytes);
    let anchor = reader.anchor()?;
    let reply = match reader.number()? {
        0 => Reply::Loaded(Roster {
            output_dir: OsString::from_vec(reader.bytes()?.to_vec()).into(),
            mode: reader.number()?.try_into().ok()?,
            serve: reader.text()?.parse().ok(),
            members: reader
                .list(|reader| Some(Member { name: reader.text()?, has_hook: reader.number()? == 1 }))?,
        }),
        1 => Reply::Standings(reader.list(|reader| {
            let (issued, due) = (reader.instant()?, reader.instant()?);
            let known = issued.map_or(Known::Nothing, |issued| Known::Published { issued, due });
            let (generation, until) = (reader.number()?, reader.instant()?);
            let held = match until {
                Some(until) => Some(Held { until, refusals: reader.number()?, told: reader.told()? }),
                None => None,
            };
            Some((known, generation, held))
        })?),
        2 => Reply::Report(reader.list(|reader| Some((reader.length()?, reader.became()?)))?),
        3 => Reply::Hooks(Some(reader.number()?).filter(|wait| *wait != NONE).map(Duration::from_secs)),
        4 => Reply::Failed(reader.told()?),
        5 => Reply::Served(reader.served()?),
        _ => return None,
    };
    Some((reply, anchor))
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn length(&mut self, length: usize) {
        self.number(u64::try_from(length).unwrap_or_default());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Whole seconds, as the agent remembers its instants.
    fn instant(&mut self, instant: Option<OffsetDateTime>) {
        let seconds = instant.map_or(NEVER, OffsetDateTime::unix_timestamp);
        self.0.extend_from_slice(&seconds.to_le_bytes());
    }

    fn served(&mut self, served: &[Served]) {
        self.length(served.len());
        for Served { profile, token, attributes } in served {
            self.bytes(profile.as_bytes());
            self.bytes(&token.0);
            for id in [attributes.owner, attributes.group] {
                self.number(id.map_or(NONE, u64::from));
            }
            self.number(attributes.mode.into());
            self.number((attributes.on_mount_point == OnMountPoint::WriteInPlace).into());
        }
    }

    fn told(&mut self, told: &Told) {
        self.bytes(told.message.as_bytes());
        self.bytes(told.advice.as_deref().unwrap_or_default().as_bytes());
        let place = Disposition::ALL.iter().position(|disposition| *disposition == told.pace);
        self.length(place.unwrap_or_default());
        self.number(u64::try_from(told.wish.as_millis()).unwrap_or(u64::MAX));
        self.number(told.exit_code.into());
    }

    /// Not as in `status.json`: within one daemon an anchor holds without a name of the boot, and to the millisecond.
    fn anchor(&mut self, anchor: Option<&Anchor>) {
        self.instant(anchor.map(|anchor| anchor.true_time));
        if let Some(anchor) = anchor {
            self.number(anchor.true_time.millisecond().into());
            self.number(u64::try_from(anchor.since_boot.as_millis()).unwrap_or_default());
            self.bytes(anchor.boot_id.as_bytes());
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn eight(&mut self) -> Option<[u8; 8]> {
        let (eight, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*eight)
    }

    fn number(&mut self) -> Option<u64> {
        self.eight().map(u64::from_le_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        Some(str::from_utf8(self.bytes()?).ok()?.to_owned())
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.length()?;
        (0..length).map(|_| item(self)).collect()
    }

    fn instant(&mut self) -> Option<Option<OffsetDateTime>> {
        let seconds = i64::from_le_bytes(self.eight()?);
        if seconds == NEVER {
            return Some(None);
        }
        OffsetDateTime::from_unix_timestamp(seconds).ok().map(Some)
    }

    fn became(&mut self) -> Option<Result<Standing, (Told, Option<OffsetDateTime>)>> {
        let generation = self.number()?;
        if generation == NONE {
            return Some(Err((self.told()?, self.instant()?)));
        }
        let (due, expiration) = (self.instant()?, self.instant()?);
        Some(Ok(Standing { generation, due, expiration, is_extended: self.number()? == 1 }))
    }

    fn served(&mut self) -> Option<Vec<Served>> {
        self.list(|reader| {
            Some(Served {
                profile: reader.text()?,
                token: TokenCheck(reader.bytes()?.try_into().ok()?),
                attributes: Attributes {
                    owner: reader.id()?,
                    group: reader.id()?,
                    mode: reader.number()?.try_into().ok()?,
                    on_mount_point: match reader.number()? {
                        0 => OnMountPoint::Refuse,
                        _ => OnMountPoint::WriteInPlace,
                    },
                },
            })
        })
    }

    fn id(&mut self) -> Option<Option<u32>> {
        let id = self.number()?;
        if id == NONE { Some(None) } else { id.try_into().ok().map(Some) }
    }

    fn told(&mut self) -> Option<Told> {
        Some(Told {
            message: self.text()?,
            advice: Some(self.text()?).filter(|advice| !advice.is_empty()),
            pace: *Disposition::ALL.get(self.length()?)?,
            wish: Duration::from_millis(self.number()?),
            exit_code: self.number()?.try_into().ok()?,
        })
    }

    fn anchor(&mut self) -> Option<Option<Anchor>> {
        let Some(second) = self.instant()? else { return Some(None) };
        let milliseconds = time::Duration::milliseconds(self.number()?.try_into().ok()?);
        let since_boot = Duration::from_millis(self.number()?);
        let true_time = second.checked_add(milliseconds)?;
        Some(Some(Anchor { boot_id: self.text()?, since_boot, true_time }))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOON: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

    fn anchor() -> Anchor {
        let since_boot = Duration::from_millis(86_400_123);
        Anchor { boot_id: String::new(), since_boot, true_time: datetime!(1969-12-31 23:59:59.987 UTC) }
    }

    fn served(owner: Option<u32>, on_mount_point: OnMountPoint) -> Served {
        let attributes = Attributes { owner, group: Some(0), mode: 0o640, on_mount_point };
        Served { profile: "a/b".to_owned(), token: TokenCheck([7; 32]), attributes }
    }

    fn told(advice: Option<&str>, pace: Disposition) -> Told {
        let advice = advice.map(str::to_owned);
        let wish = Duration::from_millis(45_007);
        Told { message: "profile `x`: why\nnot".to_owned(), advice, pace, wish, exit_code: 78 }
    }

    /// Every answer is read back as it was given, and nothing shorter is taken for one.
    fn assert_travels(reply: &Reply, anchor: Option<&Anchor>) {
        let bytes = answer(reply, anchor);
        let (read, since) = read_answer(&bytes).unwrap();
        assert_eq!(format!("{read:?}"), format!("{reply:?}"));
        assert_eq!(since.as_ref(), anchor);
        for cut in 0..bytes.len() {
            assert!(read_answer(&bytes[..cut]).is_none(), "{cut} bytes are taken for {reply:?}");
        }
    }

    #[test]
    fn answers_travel_whole() {
        let member = |name: &str, has_hook| Member { name: name.to_owned(), has_hook };
        let output_dir: std::path::PathBuf = OsString::from_vec(b"/run/\xff x".to_vec()).into();
        let members = vec![member("default", false), member("b\u{fc}ro", true)];
        for serve in [None, Some("[::1]:9911".parse().unwrap())] {
            let (output_dir, members) = (output_dir.clone(), members.clone());
            assert_travels(&Reply::Loaded(Roster { output_dir, mode: 0o711, serve, members }), None);
        }
        let published = Known::Published { issued: NOON, due: Some(datetime!(1970-01-01 00:00 UTC)) };
        let lasting = Known::Published { issued: NOON, due: None };
        let held = Held { refusals: 3, until: NOON, told: told(None, Disposition::Refused) };
        let standings = vec![
            (Known::Nothing, 0, None),
            (Known::Nothing, 0, Some(held.clone())),
            (published, 7, Some(held)),
            (lasting, u64::MAX - 1, None),
        ];
        assert_travels(&Reply::Standings(standings), Some(&anchor()));
        let standing = |is_extended, due| Standing { generation: 3, due, expiration: due, is_extended };
        let failures = Disposition::ALL.map(|pace| (9, Err((told(Some("mend it"), pace), None))));
        let mut report = vec![(0, Ok(standing(true, None))), (4, Ok(standing(false, Some(NOON))))];
        report.extend(failures);
        report.push((9, Err((told(None, Disposition::Retry), Some(NOON)))));
        assert_travels(&Reply::Report(report), Some(&Anchor { boot_id: "b".to_owned(), ..anchor() }));
        for wait in [None, Some(Duration::ZERO), Some(Duration::from_secs(300))] {
            assert_travels(&Reply::Hooks(wait), None);
        }
        assert_travels(&Reply::Failed(told(None, Disposition::Local)), Some(&anchor()));
        let all = vec![served(None, OnMountPoint::Refuse), served(Some(0), OnMountPoint::WriteInPlace)];
        assert_travels(&Reply::Served(all), None);
    }

    #[test]
    fn questions_travel_whole() {
        let tokens = |known: Option<Vec<Served>>, note: Option<&str>| {
            Work::Tokens(Tokens { known, note: note.map(str::to_owned) })
        };
        for work in [
            Work::Load,
            Work::Look,
            Work::Hooks,
            Work::Refresh(vec![(0, 0), (999, u64::MAX)]),
            tokens(None, None),
            tokens(Some(Vec::new()), Some("{}")),
            tokens(Some(vec![served(Some(65534), OnMountPoint::Refuse)]), Some("{\"error\":null}")),
        ] {
            for anchor in [None, Some(anchor())] {
                let bytes = question(4711, &work, anchor.as_ref());
                let (daemon, read, since) = read_question(&bytes).unwrap();
                assert_eq!((daemon, format!("{read:?}"), since), (4711, format!("{work:?}"), anchor));
                for cut in 0..bytes.len() {
                    assert!(read_question(&bytes[..cut]).is_none(), "{cut} bytes are taken for {work:?}");
                }
            }
        }
    }
}
