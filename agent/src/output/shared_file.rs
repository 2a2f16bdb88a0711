//! Merging one section into a credentials file that others own too: bytes in, bytes out, or a named refusal. Pure;
//! whatever is not in the section `[NAME]`, or not one of its three keys, stays byte for byte.
//!
//! A section that occurs twice becomes one, at the place of the first: the SDKs merge such sections and let the last
//! value win, while botocore refuses the whole file, so this is the one form that means the same to all. Its other
//! keys keep their order, and with it their meaning. Lines indented below a replaced key belonged to its value and go
//! with it, except for comments, which lose their indentation, because some SDKs read an indented comment as a value.

use std::error::Error;
use std::fmt;

use zeroize::Zeroizing;

use super::ini_lines::{Line, LineError, LineProblem, Match, Role, scan};
use crate::credentials::Credentials;

/// The keys that are ours in the section.
const KEYS: [&str; 3] = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
const BYTE_ORDER_MARK: &str = "\u{feff}";
/// What botocore reads as defaults of all other sections.
const DEFAULTS: &str = "DEFAULT";

/// Why a file is not touched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not UTF-8.
    NotText,
    /// A line of it cannot be understood.
    Line(LineError),
    /// The section's name would not be read as it is written, or would change other sections.
    SectionName(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => f.write_str("it is not UTF-8"),
            Self::Line(cause) => cause.fmt(f),
            Self::SectionName(name) => write!(f, "`[{name}]` is no name for a section of one profile"),
        }
    }
}

impl Error for Refusal {}

impl From<LineError> for Refusal {
    fn from(cause: LineError) -> Self {
        Self::Line(cause)
    }
}

/// Whether `name` can be a section of its own: the published grammar's characters, and not the one name that botocore
/// reads as defaults for every other section.
#[must_use]
pub fn is_section_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-/.%@:+".contains(&byte);
    !name.is_empty() && name != DEFAULTS && name.bytes().all(allowed)
}

/// Whether nothing at all is in the file.
#[must_use]
pub fn is_blank(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(bytes);
    bytes.iter().all(u8::is_ascii_whitespace)
}

/// `current` with `credentials` as its section `[section]`: one header, one line for each key, `key = value` without
/// a comment behind it, with the line ends of the file. The section is added at the end where there is none. The same
/// bytes come back where nothing has to change.
///
/// # Errors
///
/// When the file, or what is asked for, could be read in more than one way.
pub fn merge(
    current: &[u8],
    section: &str,
    credentials: &Credentials,
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    if !is_section_name(section) {
        return Err(Refusal::SectionName(section.to_owned()));
    }
    let text = std::str::from_utf8(current).map_err(|_| Refusal::NotText)?;
    let (mark, text) = text.strip_prefix(BYTE_ORDER_MARK).map_or(("", text), |rest| (BYTE_ORDER_MARK, rest));
    let lines = scan(text)?;
    let found = sections(&lines, section)?;
    let end = lines.iter().map(|line| line.end).find(|end| !end.is_empty() && *end != "\r").unwrap_or("\n");
    let values = [
        Some(credentials.access_key_id.as_str()),
        Some(credentials.secret_access_key.expose()),
        credentials.session_token.as_ref().map(|token| token.expose()),
    ];
    let mut writer = Writer::new(text, section, end, values);
    writer.out.push_str(mark);
    let mut next = 0;
    for (index, line) in lines.iter().enumerate() {
        if index < next {
            continue;
        }
        match found.iter().position(|ours| ours.header == index) {
            None => writer.line(line),
            Some(0) => {
                writer.line(line);
                let bodies = found.iter().flat_map(|ours| lines.get(ours.header.saturating_add(1)..ours.end));
                bodies.flatten().for_each(|line| writer.edit(line));
                writer.missing();
                next = found.first().map_or(0, |ours| ours.end);
            }
            // Its body is in the first one already.
            Some(later) => next = found.get(later).map_or(0, |ours| ours.end),
        }
    }
    if found.is_empty() {
        writer.append(lines.last().is_none_or(|line| line.role == Role::Blank));
    }
    Ok(Zeroizing::new(std::mem::take(&mut *writer.out).into_bytes()))
}

/// One section of ours: its header, and the index behind the last line that belongs to it. Blank lines and comments
/// below that stay where they are: they may speak of what follows.
struct Ours {
    header: usize,
    end: usize,
}

fn sections(lines: &[Line<'_>], name: &str) -> Result<Vec<Ours>, LineError> {
    let mut found: Vec<Ours> = Vec::new();
    let mut inside = false;
    let mut has_property = false;
    for (index, line) in lines.iter().enumerate() {
        let number = index.saturating_add(1);
        let refuse = |problem| Err(LineError { line: number, problem });
        let many = found.len() > 1;
        match &line.role {
            Role::Header(titles) => {
                // To botocore an indented header directly below ours is one; below our keys it would continue them.
                if inside && !line.indent().is_empty() {
                    return refuse(LineProblem::DisputedHeader);
                }
                has_property = false;
                inside = match titles.matches(name) {
                    Match::No => false,
                    Match::Yes => true,
                    Match::Disputed => return refuse(LineProblem::DisputedHeader),
                };
                if inside {
                    found.push(Ours { header: index, end: number });
                }
            }
            Role::Blank | Role::Comment => {}
            Role::Property(_) | Role::Continuation | Role::IndentedComment => {
                if inside && many && !has_property && !line.indent().is_empty() {
                    return refuse(LineProblem::IndentedDuplicate);
                }
                has_property = has_property || is_property(line);
                if let Some(ours) = found.last_mut().filter(|_| inside) {
                    ours.end = number;
                }
            }
        }
    }
    Ok(found)
}

fn is_property(line: &Line<'_>) -> bool {
    matches!(line.role, Role::Property(_))
}

struct Writer<'a> {
    out: Zeroizing<String>,
    section: &'a str,
    /// The line end of the file.
    end: &'a str,
    values: [Option<&'a str>; 3],
    written: [bool; 3],
    /// Whether the last property was one of ours, so that what continues it goes too.
    dropping: bool,
}

impl<'a> Writer<'a> {
    /// With room for everything: a buffer that grows leaves copies behind that nobody wipes.
    fn new(text: &str, section: &'a str, end: &'a str, values: [Option<&'a str>; 3]) -> Self {
        /// Names, brackets and line ends of three lines and a header.
        const AROUND: usize = 128;
        let room = values.iter().flatten().map(|value| value.len()).fold(AROUND, usize::saturating_add);
        let room = room.saturating_add(section.len()).saturating_add(text.len());
        Self {
            out: Zeroizing::new(String::with_capacity(room)),
            section,
            end,
            values,
            written: [false; 3],
            dropping: false,
        }
    }

    /// Ends a last line that has no end, because another one follows.
    fn end_line(&mut self) {
        if self.out.ends_with('\r') {
            self.out.push('\n');
        } else if !self.out.is_empty() && *self.out != BYTE_ORDER_MARK && !self.out.ends_with('\n') {
            self.out.push_str(self.end);
        }
    }

    fn push(&mut self, parts: &[&str]) {
        self.end_line();
        parts.iter().for_each(|part| self.out.push_str(part));
    }

    fn line(&mut self, line: &Line<'_>) {
        self.push(&[line.text, line.end]);
    }

    /// A line of the section.
    fn edit(&mut self, line: &Line<'_>) {
        match &line.role {
            Role::Property(names) => {
                let ours = KEYS.iter().position(|key| names.includes(key));
                self.dropping = ours.is_some();
                match ours {
                    Some(index) => self.key(index, line.indent(), line.end),
                    None => self.line(line),
                }
            }
            Role::Continuation if self.dropping => {}
            Role::IndentedComment if self.dropping => {
                let comment = line.text.strip_prefix(line.indent()).unwrap_or(line.text);
                self.push(&[comment, line.end]);
            }
            Role::Blank | Role::Comment | Role::IndentedComment | Role::Continuation | Role::Header(_) => {
                self.line(line);
            }
        }
    }

    fn key(&mut self, index: usize, indent: &str, end: &str) {
        let (Some(name), Some(Some(value)), Some(written)) =
            (KEYS.get(index), self.values.get(index).copied(), self.written.get_mut(index))
        else {
            return;
        };
        if !std::mem::replace(written, true) {
            self.push(&[indent, name, " = ", value, end]);
        }
    }

    /// The keys that the section did not have. In column 0, so that they continue nothing.
    fn missing(&mut self) {
        for index in 0..KEYS.len() {
            self.key(index, "", self.end);
        }
    }

    fn append(&mut self, after_blank: bool) {
        if !after_blank {
            self.push(&[self.end]);
        }
        self.push(&["[", self.section, "]", self.end]);
        self.missing();
    }
}

#[cfg(test)]
mod tests;
