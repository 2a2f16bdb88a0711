//! From sections to profiles: which sections of which file are profiles, how duplicates and the two files merge, and
//! that every key of our own is one that exists. Knows names of keys, but not what a value means.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::error::{ConfigError, Location, Shown, Warning};
use super::ini::{self, Property};
use super::keys::{self, PREFIX};
use super::names::{is_valid, nearest};
use super::problem::Problem;

/// Which of the two files a text comes from: their section headers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Config,
    Credentials,
}

/// One value and where it stands.
pub(crate) struct Entry {
    pub(crate) value: Zeroizing<String>,
    pub(crate) nested: Vec<Property>,
    pub(crate) file: Option<Arc<Path>>,
    pub(crate) line: Option<usize>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("file", &self.file).field("line", &self.line).finish_non_exhaustive()
    }
}

/// A section after merging: each key once.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) file: Option<Arc<Path>>,
    pub(crate) line: Option<usize>,
    pub(crate) entries: BTreeMap<String, Entry>,
}

impl Section {
    /// The value of `key`, where it is written at all.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|entry| entry.value.as_str())
    }

    /// Where this profile's `key` stands, or its header where it has no such key.
    pub(crate) fn at(&self, key: &str) -> Location {
        let (file, line) =
            self.entries.get(key).map_or((&self.file, self.line), |entry| (&entry.file, entry.line));
        Location { file: file.clone(), line, profile: Some(self.name.clone()) }
    }

    /// `problem` at `key` of this profile.
    pub(crate) fn error(&self, key: &str, problem: Problem) -> ConfigError {
        ConfigError::new(self.at(key), problem)
    }
}

/// Everything that the files say, each name once.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) profiles: Vec<Section>,
    pub(crate) services: Vec<Section>,
    pub(crate) agent: Option<Section>,
    /// Names of sections that are ignored because they lack the word `profile`.
    pub(crate) unprefixed: Vec<String>,
}

/// Sections of the AWS CLI itself that never had a prefix.
const OTHERS: [&str; 2] = ["plugins", "preview"];

/// What a section header stands for.
enum Header<'a> {
    Profile {
        name: &'a str,
        prefixed: bool,
    },
    Services(&'a str),
    Agent,
    NamedAgent,
    /// Another tool's, which ours has no use for.
    Foreign,
    Unprefixed(&'a str),
    Invalid,
}

fn header(title: &str, kind: FileKind) -> Header<'_> {
    let (prefix, name) = match title.split_once([' ', '\t']) {
        Some((prefix, name)) => (Some(prefix), name.trim_matches([' ', '\t'])),
        None => (None, title),
    };
    match (kind, prefix) {
        (FileKind::Credentials, Some(_)) => Header::Invalid,
        (FileKind::Credentials, None) if is_valid(name) => Header::Profile { name, prefixed: true },
        (FileKind::Config, None) if name == "default" => Header::Profile { name, prefixed: false },
        (FileKind::Config, None) if name == "rolekeeper" => Header::Agent,
        (FileKind::Config, Some("rolekeeper")) => Header::NamedAgent,
        (FileKind::Config, None) if OTHERS.contains(&name) => Header::Foreign,
        (FileKind::Config, None) if is_valid(name) => Header::Unprefixed(name),
        (_, Some("profile" | "services")) | (_, None) if !is_valid(name) => Header::Invalid,
        (_, Some("profile")) => Header::Profile { name, prefixed: true },
        (_, Some("services")) => Header::Services(name),
        _ => Header::Foreign,
    }
}

impl Document {
    /// Adds what one file says; a credentials file is added after the config file, and wins key by key.
    ///
    /// # Errors
    ///
    /// A key of our own that does not exist, and `[rolekeeper]` with a name.
    pub(crate) fn add(
        &mut self,
        sections: Vec<ini::Section>,
        kind: FileKind,
        file: &Arc<Path>,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), ConfigError> {
        // `[profile default]` beats `[default]` wherever it stands, and nothing of the loser is kept.
        let default_is_prefixed = sections.iter().any(|section| {
            matches!(header(&section.title, kind), Header::Profile { name: "default", prefixed: true })
        });
        for section in sections {
            let at = |line, profile: Option<&str>| Location {
                file: Some(Arc::clone(file)),
                line: Some(line),
                profile: profile.map(str::to_owned),
            };
            let mut warn = |line, text| warnings.push(Warning { location: at(line, None), text });
            let title = section.title;
            let header = header(&title, kind);
            let (agent, profile) = match header {
                Header::Profile { name, .. } | Header::Unprefixed(name) => (false, Some(name)),
                Header::Agent => (true, None),
                Header::Services(_) | Header::NamedAgent | Header::Foreign | Header::Invalid => (false, None),
            };
            for property in &section.properties {
                check_key(property, agent, || at(property.line, profile))?;
                if matches!(header, Header::Services(_) | Header::Foreign) && property.key.starts_with(PREFIX)
                {
                    warn(
                        property.line,
                        format!("key `{}` is ignored outside of a profile", Shown(&property.key)),
                    );
                }
            }
            match header {
                Header::Profile { name, prefixed } => {
                    if !prefixed && default_is_prefixed {
                        warn(section.line, "`[default]` is ignored beside `[profile default]`".to_owned());
                        continue;
                    }
                    merge(&mut self.profiles, name, section.line, section.properties, file, &mut warn);
                }
                Header::Services(name) => {
                    merge(&mut self.services, name, section.line, section.properties, file, &mut warn);
                }
                Header::Agent => {
                    let mut agent: Vec<Section> = self.agent.take().into_iter().collect();
                    merge(&mut agent, "rolekeeper", section.line, section.properties, file, &mut warn);
                    self.agent = agent.pop();
                }
                Header::NamedAgent => {
                    return Err(ConfigError::new(at(section.line, None), Problem::NamedAgentSection));
                }
                Header::Foreign => {}
                Header::Unprefixed(name) => {
                    let right = nearest(name, ["rolekeeper"]).map_or_else(
                        || format!("a profile is `[profile {}]`", Shown(name)),
                        |agent| format!("did you mean `[{agent}]`?"),
                    );
                    warn(section.line, format!("section `[{}]` is ignored; {right}", Shown(name)));
                    self.unprefixed.push(name.to_owned());
                }
                Header::Invalid => {
                    warn(
                        section.line,
                        format!("section `[{}]` is ignored; its name is not valid", Shown(&title)),
                    );
                }
            }
        }
        Ok(())
    }

    /// The profile `name`.
    pub(crate) fn profile(&self, name: &str) -> Option<&Section> {
        self.profiles.iter().find(|section| section.name == name)
    }

    /// The profile most like the absent `name`, and whether a section of that name merely lacks its prefix.
    pub(crate) fn near(&self, name: &str) -> (Option<String>, bool) {
        let unprefixed = self.unprefixed.iter().any(|other| other == name);
        let near = nearest(name, self.profiles.iter().map(|section| section.name.as_str()));
        (near.filter(|_| !unprefixed).map(str::to_owned), unprefixed)
    }
}

fn check_key(property: &Property, agent: bool, at: impl Fn() -> Location) -> Result<(), ConfigError> {
    if (agent || keys::is_for_us(&property.key)) && !keys::is_known(&property.key, agent) {
        let meant = keys::meant(&property.key, agent);
        return Err(ConfigError::new(at(), Problem::UnknownKey { key: property.key.clone(), meant }));
    }
    Ok(())
}

fn merge(
    sections: &mut Vec<Section>,
    name: &str,
    line: usize,
    properties: Vec<Property>,
    file: &Arc<Path>,
    warn: &mut impl FnMut(usize, String),
) {
    let index = sections.iter().position(|section| section.name == name).unwrap_or_else(|| {
        sections.push(Section {
            name: name.to_owned(),
            file: Some(Arc::clone(file)),
            line: Some(line),
            entries: BTreeMap::new(),
        });
        sections.len().saturating_sub(1)
    });
    let Some(section) = sections.get_mut(index) else { return };
    for Property { key, value, line, nested } in properties {
        if is_valid(&key) {
            let entry = Entry { value, nested, file: Some(Arc::clone(file)), line: Some(line) };
            section.entries.insert(key, entry);
        } else {
            warn(line, format!("key `{}` is ignored; its name is not valid", Shown(&key)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of the block `name` of a case of `agreed.txt`.
    fn block<'a>(case: &'a str, name: &str) -> &'a str {
        let Some((_, text)) = case.split_once(&format!("--- {name}\n")) else { return "" };
        text.split("--- ").next().unwrap()
    }

    fn listing(prefix: &str, sections: &[Section]) -> Vec<String> {
        let mut lines = Vec::new();
        for section in sections {
            for (key, entry) in &section.entries {
                let name = format!("{prefix}.{}.{key}", section.name);
                if entry.nested.is_empty() {
                    let value = entry.value.replace('\n', "\\n");
                    lines.push(format!("{name} = {value}").trim_end().to_owned());
                }
                for nested in &entry.nested {
                    lines.push(format!("{name}.{} = {}", nested.key, nested.value.as_str()));
                }
            }
        }
        lines
    }

    #[test]
    fn reads_what_botocore_reads() {
        let mut cases = 0;
        for case in include_str!("../../../tests/config/agreed.txt").split("\n=== ").skip(1) {
            let mut document = Document::default();
            for (name, kind) in [("config", FileKind::Config), ("credentials", FileKind::Credentials)] {
                let text = block(case, name).replace("<tab>", "\t").replace("<cr>", "\r");
                let file: Arc<Path> = Path::new(name).into();
                document.add(ini::parse(&text).unwrap(), kind, &file, &mut Vec::new()).unwrap();
            }
            let mut found = listing("profile", &document.profiles);
            found.extend(listing("services", &document.services));
            found.sort();
            let expected: Vec<_> = block(case, "expect").lines().filter(|line| !line.is_empty()).collect();
            assert_eq!(found, expected, "{case}");
            cases += 1;
        }
        assert!(cases > 20, "only {cases} cases");
    }
}
