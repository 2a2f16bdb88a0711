//! The manual page: synopsis, commands and options are written from the tables, keys from `keys.roff` where the table
//! says that they work; exit codes are described by hand and checked for being complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{agrees, read};
use crate::cli::table::{COMMANDS, CommandSpec, OPTIONS, OptionSpec, Scope};
use crate::config::keys::{KEYS, State};

const PAGE: &str = "man/rolekeeper.1";
/// The keys, described by hand: `.It Ic NAME , Ic NAME`, and what they mean.
const KEY_ITEMS: &str = include_str!("keys.roff");

#[test]
fn commands_options_and_keys_are_those_of_the_tables() {
    let page = replaced(&read(PAGE), "synopsis", &synopsis());
    let page = replaced(&page, "commands", &commands());
    let page = replaced(&page, "options", &options());
    let page = replaced(&page, "keys", &keys());
    agrees(PAGE, &page);
}

#[test]
fn every_key_that_works_is_described() {
    let described: Vec<&str> = KEY_ITEMS.lines().flat_map(names).collect();
    for key in KEYS.iter().filter(|key| key.state == State::Built && !key.name.contains(" = ")) {
        let is_there = described.iter().any(|name| key.matches(name));
        assert!(is_there, "papers/keys.roff has no `.It Ic {}`", key.name);
    }
    for name in described {
        assert!(
            KEYS.iter().any(|key| key.matches(name)),
            "papers/keys.roff describes `{name}`, which is no key"
        );
    }
}

#[test]
fn every_key_of_the_agent_s_own_is_in_the_readme() {
    let readme = include_str!("../../../../README.md");
    for key in KEYS.iter().filter(|key| key.state == State::Built && key.is_ours()) {
        let name = key.name.trim_end_matches('*');
        assert!(readme.contains(name), "README.md does not name `{}`", key.name);
    }
}

#[test]
fn every_exit_code_is_described_and_no_other() {
    let page = read(PAGE);
    let source = include_str!("../../error.rs");
    let constants = source.lines().filter_map(|line| line.trim().strip_prefix("pub const "));
    let codes: BTreeSet<&str> =
        constants.filter_map(|line| line.split_once(": u8 = ")?.1.strip_suffix(';')).collect();
    assert!(codes.len() > 5, "the constants of error.rs look different now");
    let lines = region(&page, "exit codes").lines().filter_map(|line| line.strip_prefix(".It "));
    let described: BTreeSet<&str> = lines.flat_map(|line| line.split(" , ")).collect();
    assert_eq!(described, codes, "{PAGE}, `exit codes`");
}

/// What `exec` takes away and nothing reads, the older name of another variable, and the mark of a process of ours.
const NOT_FOR_USERS: [&str; 4] =
    ["AWS_CREDENTIAL_FILE", "AWS_DEFAULT_PROFILE", "AWS_SECURITY_TOKEN", "ROLEKEEPER_CREDENTIAL_PROCESS"];

#[test]
fn every_variable_that_the_sources_name_is_described() {
    let page = read(PAGE);
    let described: BTreeSet<&str> = page
        .lines()
        .filter(|line| line.starts_with(".Ev ") || line.starts_with(".It Ev "))
        .flat_map(|line| line.split([' ', ',']))
        .collect();
    let mut variables = BTreeSet::new();
    collect_variables(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut variables);
    assert!(variables.len() > 40, "{variables:?}");
    for variable in variables {
        let is_expected = !NOT_FOR_USERS.contains(&variable.as_str());
        assert_eq!(described.contains(variable.as_str()), is_expected, "{PAGE}, `{variable}`");
    }
}

/// The strings of all sources below `directory`, their tests apart, that are the name of a variable.
fn collect_variables(directory: &Path, variables: &mut BTreeSet<String>) {
    const BEGIN: [&str; 8] =
        ["AWS_", "HTTPS_", "NO_", "NOTIFY_", "ROLEKEEPER_", "RUNTIME_", "WATCHDOG_", "XDG_"];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("papers") {
            collect_variables(&path, variables);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(path).unwrap();
            let code = source.split("\n#[cfg(test)]").next().unwrap_or_default();
            let is_variable = |text: &&str| {
                BEGIN.iter().any(|begin| text.starts_with(begin) && text.len() > begin.len())
                    && text
                        .bytes()
                        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
            };
            variables.extend(code.split('"').filter(is_variable).map(str::to_owned));
        }
    }
}

/// What stands between the marks of `name`.
fn region<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!(".\\\" begin {name}\n")).unwrap();
    rest.split_once(&format!(".\\\" end {name}\n")).unwrap().0
}

fn replaced(page: &str, name: &str, content: &str) -> String {
    let old = region(page, name);
    let (begin, end) = (format!(".\\\" begin {name}\n"), format!(".\\\" end {name}\n"));
    page.replacen(&format!("{begin}{old}{end}"), &format!("{begin}{content}{end}"), 1)
}

/// The names in `.It Ic NAME , Ic NAME`; none in any other line.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let item = line.strip_prefix(".It ").into_iter();
    item.flat_map(|item| item.split(" , ")).map(|item| item.strip_prefix("Ic ").unwrap())
}

/// Of the items, those that this version acts on, with the values that it knows.
fn keys() -> String {
    let built = || KEYS.iter().filter(|key| key.state == State::Built);
    let values: Vec<String> = built()
        .filter_map(|key| key.name.strip_prefix("credential_source = "))
        .map(|value| format!(".Ql {value}"))
        .collect();
    let mut text = String::new();
    let mut shown = false;
    for line in KEY_ITEMS.lines() {
        if line.starts_with(".It ") {
            let works = |name: &&str| built().any(|key| key.matches(name));
            let names: Vec<String> = names(line).filter(works).map(|name| format!("Ic {name}")).collect();
            shown = !names.is_empty();
            if shown {
                text.push_str(&format!(".It {}\n", names.join(" , ")));
            }
        } else if shown && line == "VALUES" {
            text.push_str(&format!("{}\n", listed(&values)));
        } else if shown {
            text.push_str(&format!("{line}\n"));
        }
    }
    text
}

fn synopsis() -> String {
    let line = |spec: &CommandSpec| {
        let operands = Some(operands(spec)).filter(|operands| !operands.is_empty());
        let operands = operands.map_or_else(String::new, |operands| format!(".{operands}\n"));
        format!(".Nm\n.Cm {}\n.Op Ar OPTION ...\n{operands}", spec.word)
    };
    COMMANDS.iter().map(line).collect()
}

/// The operands as macros of one line.
fn operands(spec: &CommandSpec) -> &'static str {
    match spec.operands {
        "" => "",
        "[PROFILE]" => "Oo Ar PROFILE Oc",
        "[PROFILE...]" => "Oo Ar PROFILE ... Oc",
        "[PROFILE] -- COMMAND [ARGUMENT...]" => "Oo Ar PROFILE Oc Fl - Ar COMMAND Oo Ar ARGUMENT ... Oc",
        other => panic!("operands that the manual page does not know: {other}"),
    }
}

fn commands() -> String {
    let item = |spec: &CommandSpec| {
        let item = format!(".It Cm {} {}", spec.word, operands(spec));
        format!("{}\n{}{}", item.trim_end(), sentence(spec.summary), prose(spec.details))
    };
    COMMANDS.iter().map(item).collect()
}

fn options() -> String {
    let item = |option: &OptionSpec| {
        let short = option.short.map_or_else(String::new, |short| format!("Fl {short} , "));
        let value = option.value.map_or_else(String::new, |value| format!(" Ar {value}"));
        let with = match option.scope {
            Scope::Everywhere => String::new(),
            Scope::With(commands) => {
                let words: Vec<String> = commands
                    .iter()
                    .filter_map(|name| name.spec())
                    .map(|spec| format!(".Cm {}", spec.word))
                    .collect();
                format!("With\n{}\n", listed(&words))
            }
        };
        format!(".It {short}Fl -{}{value}\n{}{with}", option.long, sentence(option.help))
    };
    OPTIONS.iter().map(item).collect()
}

/// `.Cm a ,`, `.Cm b`, `and`, `.Cm c .`, each on a line.
fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => format!("{only} ."),
        [first @ .., before, last] => {
            let first: String = first.iter().map(|word| format!("{word} ,\n")).collect();
            format!("{first}{before}\nand\n{last} .")
        }
    }
}

/// With a capital letter, unless a word to be typed comes first, and a full stop.
fn sentence(text: &str) -> String {
    let is_typed = text.split(' ').nth(1).is_some_and(|second| second.starts_with('('));
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    prose(&if is_typed { format!("{text}.") } else { format!("{first}{}.", letters.as_str()) })
}

/// Text as roff takes it: a sentence begins a line, lines are short, and none looks like a request.
fn prose(text: &str) -> String {
    const WIDTH: usize = 78;
    let mut quoted = false;
    let mut filled = String::new();
    let mut column = 0_usize;
    for word in text.split_whitespace() {
        let mut written = String::new();
        for letter in word.chars() {
            match letter {
                '\\' => written.push_str("\\e"),
                '`' => {
                    quoted = !quoted;
                    written.push_str(if quoted { "\\(oq" } else { "\\(cq" });
                }
                other => written.push(other),
            }
        }
        if column > 0 && (filled.ends_with('.') || column.saturating_add(written.len()) > WIDTH) {
            filled.push('\n');
            column = 0;
        }
        match column {
            0 if written.starts_with(['.', '\'']) => filled.push_str("\\&"),
            0 => {}
            _ => filled.push(' '),
        }
        filled.push_str(&written);
        column = column.saturating_add(written.len()).saturating_add(1);
    }
    filled.push('\n');
    filled
}
