//! The lines of a credentials file that others own too, each with its role. Keeps every byte; knows which lines are
//! headers, properties and what belongs to them, and nothing of what a key means.
//!
//! Two readers have to agree on what is found here: botocore (Python's `configparser`) and the grammar that the other
//! SDKs share. A line that either of them reads is accepted; where both read it and differ, what they see is kept
//! apart, so that the caller can refuse to touch it.

use std::error::Error;
use std::fmt;

const BLANK: [char; 2] = [' ', '\t'];
const COMMENT: [char; 2] = ['#', ';'];

/// One line, or the rest of a text without a line end.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// Without its end.
    pub(super) text: &'a str,
    /// `\n`, `\r\n`, or what a last line has instead.
    pub(super) end: &'a str,
    pub(super) role: Role<'a>,
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role<'a> {
    Blank,
    Comment,
    /// A comment to botocore; to others, behind a property, a part of its value.
    IndentedComment,
    Header(Titles<'a>),
    Property(Names<'a>),
    Continuation,
}

/// The text between the brackets as the readers see it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Titles<'a> {
    /// By the SDKs' grammar, with its blanks; `None` where that refuses the line.
    shared: Option<&'a str>,
    /// By `configparser`, up to the last bracket, and up to the first as older versions of it.
    python: [&'a str; 2],
}

/// Whether a header names a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    No,
    Yes,
    /// For some readers it does.
    Disputed,
}

impl Titles<'_> {
    pub(super) fn matches(&self, name: &str) -> Match {
        let all = [self.shared.unwrap_or_default(), self.python[0], self.python[1]];
        if all == [name; 3] {
            Match::Yes
        } else if all.iter().any(|title| title.trim() == name) {
            Match::Disputed
        } else {
            Match::No
        }
    }
}

/// The key of a property as the readers see it; `None` where one refuses the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names<'a> {
    shared: Option<&'a str>,
    python: Option<&'a str>,
}

impl Names<'_> {
    /// Whether any reader takes the property for `name`, which is in lower case.
    pub(super) fn includes(&self, name: &str) -> bool {
        [self.shared, self.python].into_iter().flatten().any(|key| key.trim().to_lowercase() == name)
    }
}

impl Line<'_> {
    /// The blanks that the line begins with.
    pub(super) fn indent(&self) -> &str {
        let rest = self.text.trim_start_matches(BLANK);
        self.text.strip_suffix(rest).unwrap_or_default()
    }
}

/// A line that no reader, or not every one, can make sense of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: LineProblem,
}

/// What is wrong with a line. Never says what is in it, because any line may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineProblem {
    /// A control character, which a text file has no use for; a carriage return without a line feed among them.
    ControlCharacter,
    /// It begins with a blank that only some readers know as one.
    UnusualBlank,
    /// A header without its closing bracket.
    UnclosedHeader,
    /// A property above the first header.
    OutsideSection,
    /// Neither header, comment nor property.
    NoSeparator,
    /// A property without a name.
    NoKey,
    /// A header of ours to some readers only.
    DisputedHeader,
    /// A second section of ours, whose indented lines would change their meaning below the first.
    IndentedDuplicate,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            LineProblem::ControlCharacter => "has a control character",
            LineProblem::UnusualBlank => "begins with a blank that is neither space nor tab",
            LineProblem::UnclosedHeader => "is a section header without `]`",
            LineProblem::OutsideSection => "is a property above the first section header",
            LineProblem::NoSeparator => "has no `=`",
            LineProblem::NoKey => "has no key in front of its `=`",
            LineProblem::DisputedHeader => {
                "names the section of this profile for some SDKs and not for others"
            }
            LineProblem::IndentedDuplicate => {
                "opens the section of this profile a second time, with indented lines"
            }
        };
        write!(f, "line {} {problem}", self.line)
    }
}

impl Error for LineError {}

/// Splits `text`, which has no byte order mark, into lines.
///
/// # Errors
///
/// The first line that none of the readers accepts, or that they take apart differently.
pub(super) fn scan(text: &str) -> Result<Vec<Line<'_>>, LineError> {
    let mut lines = Vec::new();
    let mut scanner = Scanner { in_section: false, level: None };
    for (whole, number) in text.split_inclusive('\n').zip(1..) {
        let bare = whole.strip_suffix('\n').unwrap_or(whole);
        let bare = bare.strip_suffix('\r').unwrap_or(bare);
        let end = whole.strip_prefix(bare).unwrap_or_default();
        let role = scanner.role(bare).map_err(|problem| LineError { line: number, problem })?;
        lines.push(Line { text: bare, end, role });
    }
    Ok(lines)
}

struct Scanner {
    in_section: bool,
    /// How far the last property is indented; `None` directly below a header. Deeper lines continue it.
    level: Option<usize>,
}

impl Scanner {
    fn role<'a>(&mut self, line: &'a str) -> Result<Role<'a>, LineProblem> {
        if line.contains(|character: char| character.is_control() && character != '\t') {
            return Err(LineProblem::ControlCharacter);
        }
        let content = line.trim_start_matches(BLANK);
        let indent = line.len().saturating_sub(content.len());
        if content.is_empty() {
            return Ok(Role::Blank);
        }
        if content.starts_with(char::is_whitespace) {
            return Err(LineProblem::UnusualBlank);
        }
        if content.starts_with(COMMENT) {
            return Ok(if indent == 0 { Role::Comment } else { Role::IndentedComment });
        }
        if self.level.is_some_and(|level| indent > level) {
            return Ok(Role::Continuation);
        }
        if content.starts_with('[') {
            let titles = titles(content, indent).ok_or(LineProblem::UnclosedHeader)?;
            *self = Self { in_section: true, level: None };
            return Ok(Role::Header(titles));
        }
        if !self.in_section {
            return Err(LineProblem::OutsideSection);
        }
        let shared = without_comment(content).split_once('=').map(|(key, _)| key);
        let python = content.split_once(['=', ':']).map(|(key, _)| key);
        let names = Names { shared, python };
        let mut keys = [shared, python].into_iter().flatten().peekable();
        if keys.peek().is_none() {
            return Err(LineProblem::NoSeparator);
        }
        if keys.all(|key| key.trim().is_empty()) {
            return Err(LineProblem::NoKey);
        }
        self.level = Some(indent);
        Ok(Role::Property(names))
    }
}

/// What stands between the brackets of `content`; `None` where nothing closes them.
fn titles(content: &str, indent: usize) -> Option<Titles<'_>> {
    let inner = content.strip_prefix('[')?;
    let (first, _) = inner.split_once(']')?;
    let (last, _) = inner.rsplit_once(']')?;
    // An indented header is one to botocore alone.
    let shared = inner.split(COMMENT).next().filter(|_| indent == 0);
    let shared = shared.and_then(|text| text.trim_end_matches(BLANK).strip_suffix(']'));
    Some(Titles { shared, python: [last, first] })
}

/// Cuts a comment as the SDKs' grammar does: `#` or `;` after a blank.
fn without_comment(content: &str) -> &str {
    let mut previous = 'x';
    for (at, character) in content.char_indices() {
        if COMMENT.contains(&character) && BLANK.contains(&previous) {
            return content.get(..at).unwrap_or(content);
        }
        previous = character;
    }
    content
}
