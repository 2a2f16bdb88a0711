//! The syntax that the config file and the credentials file share: sections, properties, continuation lines, each
//! with its line number. Knows nothing of what a section or a key means, and never quotes a line in an error,
//! because any line may hold a secret.

use std::fmt;

use zeroize::Zeroizing;

use super::problem::Syntax;

const BLANK: [char; 2] = [' ', '\t'];
const COMMENT: [char; 2] = ['#', ';'];

/// One `[title]` and the properties below it.
#[derive(Debug)]
pub(crate) struct Section {
    /// The text between the brackets, trimmed.
    pub(crate) title: String,
    pub(crate) line: usize,
    pub(crate) properties: Vec<Property>,
}

/// One `key = value`, with the indented lines that belong to it.
pub(crate) struct Property {
    /// Lower case.
    pub(crate) key: String,
    /// Wiped when dropped, since it may be a secret key.
    pub(crate) value: Zeroizing<String>,
    pub(crate) line: usize,
    /// The indented `key = value` lines below a property whose own value is empty.
    pub(crate) nested: Vec<Self>,
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Property").field("key", &self.key).field("line", &self.line).finish_non_exhaustive()
    }
}

/// A line that follows no rule.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) line: usize,
    pub(crate) problem: Syntax,
}

/// Reads `text` into its sections, in the order of the file; sections and keys that occur twice stay twice.
///
/// # Errors
///
/// The first line that follows no rule.
pub(crate) fn parse(text: &str) -> Result<Vec<Section>, SyntaxError> {
    let mut parser = Parser::default();
    for (line, number) in text.lines().zip(1..) {
        // `lines` leaves the CR of a last line that has no LF.
        let line = line.strip_suffix('\r').unwrap_or(line);
        parser.take(line, number).map_err(|problem| SyntaxError { line: number, problem })?;
    }
    Ok(parser.sections)
}

#[derive(Default)]
struct Parser {
    sections: Vec<Section>,
    /// How far the last property was indented; `None` directly after a section header. A line indented deeper
    /// continues that property, any other line is a property of its own. A first property in column 0 gives the
    /// published grammar; an indented one the form of the AWS user guide, which botocore reads the same way.
    level: Option<usize>,
}

impl Parser {
    fn take(&mut self, line: &str, number: usize) -> Result<(), Syntax> {
        let content = line.trim_start_matches(BLANK);
        let indent = line.len().saturating_sub(content.len());
        let content = content.trim_end_matches(BLANK);
        if content.is_empty() || content.starts_with(COMMENT) {
            return Ok(());
        }
        if indent == 0 && content.starts_with('[') {
            self.sections.push(Section { title: title(content)?, line: number, properties: Vec::new() });
            self.level = None;
            return Ok(());
        }
        let section = self.sections.last_mut().ok_or(Syntax::OutsideSection)?;
        match (self.level, section.properties.last_mut()) {
            (Some(level), Some(last)) if indent > level => continue_property(last, content, number),
            _ => {
                if indent > 0 && content.starts_with('[') && content.ends_with(']') {
                    return Err(Syntax::IndentedSection);
                }
                if indent > 0 && self.level.is_none() && !content.contains('=') {
                    return Err(Syntax::ContinuationAfterHeader);
                }
                section.properties.push(property(content, number)?);
                self.level = Some(indent);
                Ok(())
            }
        }
    }
}

fn title(content: &str) -> Result<String, Syntax> {
    let bare = content.split(COMMENT).next().unwrap_or_default().trim_matches(BLANK);
    let inner =
        bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(Syntax::UnclosedSection)?;
    Ok(inner.trim_matches(BLANK).to_owned())
}

fn property(content: &str, line: usize) -> Result<Property, Syntax> {
    let (key, value) = without_comment(content).split_once('=').ok_or(Syntax::NoEquals)?;
    let key = key.trim_matches(BLANK).to_ascii_lowercase();
    if key.is_empty() {
        return Err(Syntax::EmptyKey);
    }
    Ok(Property {
        key,
        value: Zeroizing::new(value.trim_matches(BLANK).to_owned()),
        line,
        nested: Vec::new(),
    })
}

fn continue_property(last: &mut Property, content: &str, line: usize) -> Result<(), Syntax> {
    if last.value.is_empty() {
        let nested = property(content, line)
            .map_err(|problem| if problem == Syntax::NoEquals { Syntax::NestedNoEquals } else { problem })?;
        last.nested.push(nested);
    } else {
        // A new string of the exact size, because growing the old one could leave a copy that nobody wipes.
        last.value = Zeroizing::new([last.value.as_str(), content].join("\n"));
    }
    Ok(())
}

/// Cuts a comment: `#` or `;`, but only after a space or a tab.
fn without_comment(content: &str) -> &str {
    let mut previous = ' ';
    for (at, character) in content.char_indices() {
        if at > 0 && COMMENT.contains(&character) && BLANK.contains(&previous) {
            return content.get(..at).unwrap_or(content);
        }
        previous = character;
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator of the same numbers for the same seed: a failure names its seed.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 33).unwrap().checked_rem(bound).unwrap()
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic() {
        const PIECES: [&str; 16] = [
            "[", "]", "=", "#", ";", " ", "\t", "\n", "\r\n", "\r", "a", "profile ", "default", "\u{e9}",
            "\0", "\u{feff}",
        ];
        for seed in 1..20_000 {
            let mut numbers = Numbers(seed);
            let text: String = (0..numbers.below(40)).map(|_| PIECES[numbers.below(PIECES.len())]).collect();
            let lines = text.lines().count();
            match parse(&text) {
                Ok(sections) => {
                    let properties = sections.iter().flat_map(|section| &section.properties);
                    let nested = properties.clone().flat_map(|property| &property.nested);
                    let of_properties = properties.chain(nested).map(|property| property.line);
                    assert!(
                        of_properties
                            .chain(sections.iter().map(|section| section.line))
                            .all(|line| line <= lines),
                        "seed {seed}"
                    );
                }
                Err(error) => assert!((1..=lines).contains(&error.line), "seed {seed}"),
            }
        }
    }

    #[test]
    fn every_line_keeps_its_number() {
        for seed in 1..2_000 {
            let mut numbers = Numbers(seed);
            let end = ["\n", "\r\n"][numbers.below(2)];
            let mut text = format!("[start]{end}");
            let mut expected = Vec::new();
            let mut after_property = false;
            for number in 2..numbers.below(30) + 2 {
                let line = match numbers.below(if after_property { 6 } else { 5 }) {
                    0 => String::new(),
                    1 => "# comment".to_owned(),
                    2 => " \t".to_owned(),
                    3 => {
                        after_property = false;
                        "[next] ; comment".to_owned()
                    }
                    4 => {
                        after_property = true;
                        expected.push((format!("k{number}"), number));
                        format!("K{number} = v{number} # comment")
                    }
                    _ => "  continued".to_owned(),
                };
                text.push_str(&line);
                text.push_str(end);
            }
            let sections = parse(&text).unwrap();
            let found: Vec<_> = sections
                .iter()
                .flat_map(|section| &section.properties)
                .map(|property| (property.key.clone(), property.line))
                .collect();
            assert_eq!(found, expected, "seed {seed}:\n{text}");
            let bad = text.lines().count() + 1;
            assert_eq!(parse(&format!("{text}word{end}k = v")).unwrap_err().line, bad, "seed {seed}");
        }
    }

    #[test]
    fn values_and_what_belongs_to_them() {
        let text = "[s]\na = b ; c\nb = c;d\nc =\n  x = 1 # one\n\n  # comment\n  Y = 2\nd = 1\n  2 # two\n\t3\ne =;f\n";
        let sections = parse(text).unwrap();
        let values: Vec<_> = sections[0].properties.iter().map(|property| property.value.as_str()).collect();
        assert_eq!(values, ["b", "c;d", "", "1\n2 # two\n3", ";f"]);
        let nested: Vec<_> = sections[0].properties[2]
            .nested
            .iter()
            .map(|property| (property.key.as_str(), property.value.as_str(), property.line))
            .collect();
        assert_eq!(nested, [("x", "1", 5), ("y", "2", 8)]);
    }

    #[test]
    fn debug_shows_no_value() {
        let sections = parse("[s]\nkey = hidden\n  hidden\n").unwrap();
        assert!(!format!("{sections:?}").contains("hidden"));
    }
}
