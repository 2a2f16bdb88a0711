//! `--help`, written from the table.

use std::fmt::Write as _;

use super::table::{COMMANDS, CommandName, OPTIONS, OptionSpec, Scope};

/// The help of the program, or of one command.
#[must_use]
pub fn help(command: Option<CommandName>) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let written = match command.and_then(CommandName::spec) {
        None => write_overview(&mut text),
        Some(spec) => writeln!(
            text,
            "Usage: rolekeeper {} [OPTION...] {}\n\n{}",
            spec.word, spec.operands, spec.details
        ),
    };
    let options = OPTIONS.iter().filter(|option| match command {
        None => option.scope == Scope::Everywhere,
        Some(_) => option.scope.includes(command),
    });
    text.push_str("\nOptions:\n");
    for option in options {
        text.push_str(&line(&spelling(option), option.help));
    }
    debug_assert!(written.is_ok());
    text
}

fn write_overview(text: &mut String) -> std::fmt::Result {
    writeln!(text, "rolekeeper keeps AWS role credentials fresh on a host.\n")?;
    writeln!(text, "Usage: rolekeeper COMMAND [OPTION...]\n\nCommands:")?;
    for spec in COMMANDS {
        text.push_str(&line(format!("{} {}", spec.word, spec.operands).trim_end(), spec.summary));
    }
    writeln!(text, "\n`rolekeeper COMMAND --help` says more about one command.")
}

/// The option as one types it.
fn spelling(option: &OptionSpec) -> String {
    let short = option.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
    let value = option.value.map_or_else(String::new, |value| format!(" {value}"));
    format!("{short}--{}{value}", option.long)
}

fn line(left: &str, right: &str) -> String {
    const COLUMN: usize = 32;
    if left.len() < COLUMN {
        format!("  {left:<COLUMN$} {right}\n")
    } else {
        format!("  {left}\n  {:COLUMN$} {right}\n", "")
    }
}
