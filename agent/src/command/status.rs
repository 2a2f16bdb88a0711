//! `status`: what the last refresh left, judged by the true time as far as it is known. Contacts nothing.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::Path;

use serde_json::Value;
use time::OffsetDateTime;

use super::{Context, answer};
use crate::anchor::Anchor;
use crate::error::{Error, exit_code};
use crate::output::directory::Directory;
use crate::timestamp::{between, parse_rfc3339};

pub(super) fn run(
    context: &Context<'_>,
    names: &[String],
    as_json: bool,
    must_be_ready: bool,
) -> Result<u8, Error> {
    let setting = context.load_config().ok().and_then(|config| config.settings.output_dir);
    let mut status = context
        .places(setting.as_deref())
        .iter()
        .find_map(|place| read_status(place))
        .ok_or(Error::NoStatus)?;
    context.host.adopt(status.get("anchor").and_then(Anchor::from_json));
    let offset = context.host.clock_offset().whole_seconds();
    if let Some(status) = status.as_object_mut() {
        status.insert("clock_offset_seconds".to_owned(), offset.into());
    }
    judge(&mut status, context.host.true_time());
    select(&mut status, names)?;
    let text = if as_json {
        format!("{status:#}\n")
    } else if std::io::stdout().is_terminal() {
        for_people(&status, context.process.environment.text("NO_COLOR").is_none())
    } else {
        for_pipes(&status)
    };
    answer(text.as_bytes())?;
    let unready = if must_be_ready { unready(&status) } else { None };
    unready.map_or(Ok(exit_code::OK), Err)
}

fn read_status(place: &Path) -> Option<Value> {
    let bytes = Directory::open_to_read(place).ok()?.read("status.json").ok()??;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

/// Adds what depends on the time of looking: the state of each profile and the seconds that are left.
fn judge(status: &mut Value, now: OffsetDateTime) {
    let Some(profiles) = status.get_mut("profiles").and_then(Value::as_array_mut) else { return };
    for profile in profiles {
        let time_of = |name: &str| profile.get(name).and_then(Value::as_str).and_then(parse_rfc3339);
        let left = time_of("expiration").map(|expiration| between(now, expiration).whole_seconds());
        let due = time_of("next_refresh").is_some_and(|due| due <= now);
        let state = match (profile.get("generation").is_some(), left) {
            (false, _) => "missing",
            (true, Some(left)) if left <= 0 => "expired",
            (true, _) if profile.get("last_error").is_some() => "failing",
            (true, _) if due => "due",
            (true, _) => "fresh",
        };
        if let Some(entry) = profile.as_object_mut() {
            entry.insert("state".to_owned(), state.into());
            entry.insert("expires_in_seconds".to_owned(), left.map_or(Value::Null, Value::from));
        }
    }
}

/// Leaves the profiles of these names, or all where there are none.
fn select(status: &mut Value, names: &[String]) -> Result<(), Error> {
    let is_called =
        |profile: &Value, name: &String| profile.get("profile").is_some_and(|known| known == name);
    let unknown = |name: &&String| !profiles(status).iter().any(|profile| is_called(profile, name));
    if let Some(name) = names.iter().find(unknown) {
        return Err(lacking(name, "no refresh was asked for it"));
    }
    if let Some(profiles) = status.get_mut("profiles").and_then(Value::as_array_mut) {
        profiles.retain(|profile| names.is_empty() || names.iter().any(|name| is_called(profile, name)));
    }
    Ok(())
}

/// What the first of the profiles that has no valid credentials lacks.
fn unready(status: &Value) -> Option<Error> {
    let mut rows = profiles(status).iter().map(Row::of);
    rows.find(|row| row.state == "missing" || row.state == "expired")
        .map(|row| lacking(&row.name, &row.state))
}

fn lacking(profile: &str, reason: &str) -> Error {
    Error::NothingPublished { profile: profile.to_owned(), reason: reason.to_owned() }
}

/// One line for each profile: name, state, seconds left, next refresh, source and roles, last error; separated by
/// tabs. A line about the clock, where it is wrong, begins with `#`, and so does one about an endpoint that is not open.
fn for_pipes(status: &Value) -> String {
    let mut text = String::new();
    for profile in profiles(status) {
        let row = Row::of(profile);
        let left = profile.get("expires_in_seconds").and_then(Value::as_i64);
        let left = left.map_or_else(|| "-".to_owned(), |left| left.to_string());
        let fields = [&row.name, &row.state, &left, &row.next_refresh, &row.source, &row.error];
        text.push_str(&fields.map(String::as_str).join("\t"));
        text.push('\n');
    }
    let remarks = [clock_line(status), serve_line(status)];
    for remark in remarks.iter().flatten() {
        text.push_str(&format!("# {remark}\n"));
    }
    text
}

/// How wrong this host's clock is, where it is.
fn clock_line(status: &Value) -> Option<String> {
    let offset = status.get("clock_offset_seconds").and_then(Value::as_i64).filter(|offset| *offset != 0)?;
    let direction = if offset > 0 { "behind" } else { "ahead of" };
    Some(format!("the clock of this host is {} seconds {direction} AWS's", offset.unsigned_abs()))
}

/// Why no credentials are served, where they should be.
fn serve_line(status: &Value) -> Option<String> {
    Some(status.get("serve")?.get("error")?.as_str()?.to_owned())
}

fn for_people(status: &Value, colours: bool) -> String {
    let rows: Vec<Row> = profiles(status).iter().map(Row::of).collect();
    let width = |of: fn(&Row) -> &str, heading: &str| {
        rows.iter().map(|row| of(row).chars().count()).chain([heading.len()]).max().unwrap_or_default()
    };
    let names = width(|row| &row.name, "PROFILE");
    let lefts = width(|row| &row.expires_in, "EXPIRES IN");
    let nexts = width(|row| &row.next_refresh, "NEXT REFRESH");
    let mut text = format!(
        "{:names$}  {:8}  {:lefts$}  {:nexts$}  SOURCE\n",
        "PROFILE", "STATE", "EXPIRES IN", "NEXT REFRESH"
    );
    for row in &rows {
        let (on, off) = if colours { (row.colour(), "\u{1b}[0m") } else { ("", "") };
        // Writing into a String cannot fail.
        let written = writeln!(
            text,
            "{:names$}  {on}{:8}{off}  {:lefts$}  {:nexts$}  {}",
            row.name, row.state, row.expires_in, row.next_refresh, row.source
        );
        debug_assert!(written.is_ok());
        if !row.error.is_empty() {
            text.push_str(&format!("    {}\n", row.error));
        }
    }
    let clock = clock_line(status).map(|clock| format!("{clock}; that is allowed for"));
    for warning in [clock, serve_line(status)].iter().flatten() {
        text.push_str(&format!("warning: {warning}\n"));
    }
    let warnings = status.get("warnings").and_then(Value::as_array).into_iter().flatten();
    for warning in warnings.filter_map(Value::as_str) {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

fn profiles(status: &Value) -> &[Value] {
    status.get("profiles").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

struct Row {
    name: String,
    state: String,
    expires_in: String,
    next_refresh: String,
    source: String,
    error: String,
}

impl Row {
    fn of(profile: &Value) -> Self {
        let text = |name: &str| profile.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let left = profile.get("expires_in_seconds").and_then(Value::as_i64);
        let roles = profile.get("roles").and_then(Value::as_array).into_iter().flatten();
        let mut source = text("source");
        for role in roles.filter_map(Value::as_str) {
            source.push_str(" -> ");
            source.push_str(role);
        }
        let error = profile.get("last_error").and_then(|error| error.get("message")).and_then(Value::as_str);
        let error = error.map(str::to_owned).or_else(|| failed_hook(profile));
        Self {
            name: text("profile"),
            state: text("state"),
            expires_in: left.map_or_else(|| "-".to_owned(), in_words),
            next_refresh: text("next_refresh"),
            source,
            error: error.unwrap_or_default(),
        }
    }

    fn colour(&self) -> &'static str {
        match self.state.as_str() {
            "fresh" => "\u{1b}[32m",
            "due" | "failing" => "\u{1b}[33m",
            _ => "\u{1b}[31m",
        }
    }
}

/// What there is to say of a hook that has failed.
fn failed_hook(profile: &Value) -> Option<String> {
    let hook = profile.get("hook")?;
    let attempts = hook.get("failed_attempts").and_then(Value::as_u64).filter(|attempts| *attempts > 0)?;
    let error = hook.get("last_error").and_then(Value::as_str).unwrap_or_default();
    Some(format!("the hook has failed {attempts} times: {error}"))
}

/// `1 h 05 min`, `12 min`, `40 s`.
fn in_words(seconds: i64) -> String {
    let minutes = seconds.checked_div(60).unwrap_or_default();
    match seconds {
        ..=0 => "expired".to_owned(),
        1..=119 => format!("{seconds} s"),
        120..=7199 => format!("{minutes} min"),
        _ => {
            let (hours, rest) =
                (minutes.checked_div(60).unwrap_or_default(), minutes.checked_rem(60).unwrap_or_default());
            format!("{hours} h {rest:02} min")
        }
    }
}
