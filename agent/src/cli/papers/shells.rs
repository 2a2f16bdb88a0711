//! Completions for bash, zsh and fish, written from the tables. The names of profiles come from `rolekeeper status`,
//! which contacts nobody and shows no secret.

use std::fmt::Write as _;

use super::agrees;
use crate::cli::format_named;
use crate::cli::table::{COMMANDS, CommandName, CommandSpec, OPTIONS, OptionSpec, Scope};
use crate::config::keys::{KEYS, State};

const HEAD: &str = "Written from the tables of the command line; see agent/src/cli/papers.";

#[test]
fn bash_completes_what_the_tables_say() {
    agrees("completions/rolekeeper.bash", &bash());
}

#[test]
fn zsh_completes_what_the_tables_say() {
    agrees("completions/_rolekeeper", &zsh());
}

#[test]
fn fish_completes_what_the_tables_say() {
    agrees("completions/rolekeeper.fish", &fish());
}

/// What a value may be.
enum Value {
    File,
    Directory,
    Words(Vec<&'static str>),
    /// Only who types it knows.
    Free,
}

fn value(option: &OptionSpec) -> Option<Value> {
    Some(match option.value? {
        "FILE" => Value::File,
        "DIRECTORY" => Value::Directory,
        "FORMAT" => Value::Words(formats()),
        "SOURCE" => Value::Words(sources()),
        _ => Value::Free,
    })
}

fn formats() -> Vec<&'static str> {
    let words = vec!["json", "env", "export", "ini"];
    assert!(words.iter().all(|word| format_named(word).is_ok()), "the formats are others");
    words
}

fn sources() -> Vec<&'static str> {
    let built = KEYS.iter().filter(|key| key.state == State::Built);
    built.filter_map(|key| key.name.strip_prefix("credential_source = ")).collect()
}

/// Where names of profiles are completed: never, once, or always.
fn profiles(spec: &CommandSpec) -> usize {
    match spec.operands {
        "" => 0,
        "[PROFILE...]" => usize::MAX,
        _ => 1,
    }
}

fn options_of(command: CommandName) -> impl Iterator<Item = &'static OptionSpec> {
    OPTIONS.iter().filter(move |option| option.scope.includes(Some(command)))
}

fn options_of_all() -> impl Iterator<Item = &'static OptionSpec> {
    OPTIONS.iter().filter(|option| option.scope == Scope::Everywhere)
}

/// The spellings of `option`: long, then short.
fn spellings(option: &OptionSpec) -> Vec<String> {
    let short = option.short.map(|short| format!("-{short}"));
    std::iter::once(format!("--{}", option.long)).chain(short).collect()
}

fn words(options: impl Iterator<Item = &'static OptionSpec>) -> String {
    options.flat_map(spellings).collect::<Vec<_>>().join(" ")
}

fn bash() -> String {
    let mut text = format!("# bash completion for rolekeeper. {HEAD}\n");
    text.push_str(BASH_START);
    for option in OPTIONS {
        let action = match value(option) {
            None | Some(Value::Free) => continue,
            Some(Value::File) => "_rolekeeper_files -f".to_owned(),
            Some(Value::Directory) => "_rolekeeper_files -d".to_owned(),
            Some(Value::Words(words)) => {
                format!("mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$current\")", words.join(" "))
            }
        };
        writeln!(text, "    --{}) {action}; return ;;", option.long).unwrap();
    }
    let free = OPTIONS.iter().filter(|option| matches!(value(option), Some(Value::Free)));
    let free: Vec<String> = free.map(|option| format!("--{}", option.long)).collect();
    writeln!(text, "    {}) return ;;\n    esac", free.join(" | ")).unwrap();
    text.push_str("    case $command in\n");
    for spec in COMMANDS {
        let count = match profiles(spec) {
            0 => "0",
            1 => "1",
            _ => "more",
        };
        let options = words(options_of(spec.name));
        writeln!(text, "    {}) options='{options}' profiles={count} ;;", spec.word).unwrap();
    }
    let commands: Vec<&str> = COMMANDS.iter().map(|spec| spec.word).collect();
    writeln!(
        text,
        "    *) options='{}' first='{}' ;;\n    esac",
        words(options_of_all()),
        commands.join(" ")
    )
    .unwrap();
    text.push_str(BASH_END);
    let valued: Vec<String> =
        OPTIONS.iter().filter(|option| option.value.is_some()).flat_map(spellings).collect();
    text.replace("VALUED", &valued.join(" | "))
}

const BASH_START: &str = r#"
_rolekeeper_profiles() {
    rolekeeper status "$@" 2>/dev/null | sed -n 's/\t.*//p'
}

_rolekeeper() {
    local line=${COMP_LINE:0:COMP_POINT} words word current previous
    local command='' after='' operands=0 options='' first='' profiles=0 where=()
    COMPREPLY=()
    # Not COMP_WORDS, which are cut at `=` and `:`.
    read -r -a words <<<"$line"
    [[ $line != *[[:space:]] ]] || words+=("")
    current=${words[-1]} previous=${words[-2]}
    unset 'words[-1]' 'words[0]'
    for word in "${words[@]}"; do
        if [[ -n $after ]]; then
            case $after in --config | --output-dir) where+=("$after" "$word") ;; esac
            after=
            continue
        fi
        case $word in
        --)
            [[ $command == exec ]] || continue
            # What follows is a command of its own.
            if [[ $previous == -- ]]; then
                mapfile -t COMPREPLY < <(compgen -c -- "$current")
            else
                _rolekeeper_files -f
            fi
            return
            ;;
        VALUED) after=$word ;;
        --config=* | --output-dir=*) where+=("$word") ;;
        -*) ;;
        *) if [[ -z $command ]]; then command=$word; else ((operands++)); fi ;;
        esac
    done
    if [[ $current == --*=* ]]; then
        previous=${current%%=*} current=${current#*=}
    fi
    case $previous in
"#;

const BASH_END: &str = r#"    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    elif [[ -n $first ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$first" -- "$current")
    elif [[ $profiles == more ]] || ((operands < profiles)); then
        while IFS= read -r word; do
            # Of a word with colons, only what follows the last one is replaced.
            if [[ $word == "$current"* ]]; then COMPREPLY+=("${word#"${current%"${current##*:}"}"}"); fi
        done < <(_rolekeeper_profiles "${where[@]}")
    fi
}

_rolekeeper_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$1" -- "$current")
}

complete -F _rolekeeper rolekeeper
"#;

fn zsh() -> String {
    let mut text = format!("#compdef rolekeeper\n# zsh completion for rolekeeper. {HEAD}\n");
    text.push_str(ZSH_START);
    for spec in COMMANDS {
        writeln!(text, "        '{}:{}'", spec.word, spec.summary.replace(':', "\\:").replace('\'', "'\\''"))
            .unwrap();
    }
    text.push_str("    )\n    _arguments -S \\\n");
    for option in options_of_all() {
        writeln!(text, "        {} \\", zsh_option(option)).unwrap();
    }
    text.push_str(ZSH_COMMANDS);
    for spec in COMMANDS {
        writeln!(text, "    {})", spec.word).unwrap();
        if spec.name == CommandName::Exec {
            text.push_str(ZSH_EXEC);
        }
        text.push_str("        _arguments -S");
        for option in options_of(spec.name) {
            write!(text, " \\\n            {}", zsh_option(option)).unwrap();
        }
        text.push_str(match profiles(spec) {
            0 => "",
            1 => " \\\n            '1:profile:_rolekeeper_profiles'",
            _ => " \\\n            '*:profile:_rolekeeper_profiles'",
        });
        text.push_str("\n        ;;\n");
    }
    text.push_str("    esac\n}\n\n_rolekeeper \"$@\"\n");
    text
}

const ZSH_START: &str = r#"
_rolekeeper_profiles() {
    local -a where names
    local option
    for option in --config --output-dir; do
        if (( ${+opt_args[$option]} )); then where+=($option ${(Q)opt_args[$option]}); fi
    done
    names=(${(f)"$(rolekeeper status $where 2>/dev/null | sed -n 's/\t.*//p')"})
    compadd -a names
}

_rolekeeper() {
    local state
    local -a line subcommands
    local -A opt_args
    # `commands` is a name of zsh's own, which the completion of commands reads.
    subcommands=(
"#;

const ZSH_COMMANDS: &str = r#"        '1: :->command' \
        '*:: :->rest'
    if [[ $state == command ]]; then
        _describe command subcommands
        return
    fi
    case $line[1] in
"#;

const ZSH_EXEC: &str = r#"        local dashes=${words[(i)--]}
        if (( dashes < CURRENT )); then
            # What follows is a command of its own.
            shift $dashes words
            (( CURRENT -= dashes ))
            _normal
            return
        fi
"#;

/// The specification of an option for `_arguments`.
fn zsh_option(option: &OptionSpec) -> String {
    let help = option.help.replace('[', "\\[").replace(']', "\\]").replace('\'', "'\\''");
    let value = match value(option) {
        None => String::new(),
        Some(Value::File) => ":file:_files".to_owned(),
        Some(Value::Directory) => ":directory:_files -/".to_owned(),
        Some(Value::Words(words)) => format!(":value:({})", words.join(" ")),
        Some(Value::Free) => ":value: ".to_owned(),
    };
    let equals = if value.is_empty() { "" } else { "=" };
    match option.short {
        // It may be repeated.
        Some('v') => format!("'*'{{-v,--{}}}'[{help}]'", option.long),
        Some(short) => format!("'(-{short} --{long})'{{-{short},--{long}}}'[{help}]'", long = option.long),
        None => format!("'--{}{equals}[{help}]{value}'", option.long),
    }
}

fn fish() -> String {
    let mut text = format!("# fish completion for rolekeeper. {HEAD}\n");
    text.push_str(FISH_START);
    let quoted = |help: &str| help.replace('\'', "\\'");
    for spec in COMMANDS {
        let summary = quoted(spec.summary);
        writeln!(
            text,
            "complete -c rolekeeper -n __rolekeeper_needs_command -a {} -d '{summary}'",
            spec.word
        )
        .unwrap();
    }
    text.push('\n');
    for option in OPTIONS {
        let condition = match option.scope {
            Scope::Everywhere => "'not __rolekeeper_is_beyond_dashes'".to_owned(),
            Scope::With(commands) => {
                let words = commands.iter().filter_map(|name| name.spec()).map(|spec| spec.word);
                format!("'__rolekeeper_is {}'", words.collect::<Vec<_>>().join(" "))
            }
        };
        let short = option.short.map_or_else(String::new, |short| format!(" -s {short}"));
        let value = match value(option) {
            None => String::new(),
            Some(Value::File) => " -r -F".to_owned(),
            Some(Value::Directory) => " -x -a '(__fish_complete_directories)'".to_owned(),
            Some(Value::Words(words)) => format!(" -x -a '{}'", words.join(" ")),
            Some(Value::Free) => " -x".to_owned(),
        };
        let (long, help) = (option.long, quoted(option.help));
        writeln!(text, "complete -c rolekeeper -n {condition} -l {long}{short}{value} -d '{help}'").unwrap();
    }
    text.push('\n');
    for spec in COMMANDS {
        let condition = match profiles(spec) {
            0 => continue,
            1 => format!("__rolekeeper_is {}; and __rolekeeper_has_no_operand", spec.word),
            _ => format!("__rolekeeper_is {}", spec.word),
        };
        writeln!(text, "complete -c rolekeeper -n '{condition}' -a '(__rolekeeper_profiles)' -d profile")
            .unwrap();
    }
    text.push_str(FISH_END);
    let valued = OPTIONS.iter().filter(|option| option.value.is_some()).flat_map(spellings);
    text.replace("VALUED", &valued.collect::<Vec<_>>().join(" "))
}

const FISH_START: &str = r#"
# The words before the cursor that are no options and no values of options.
function __rolekeeper_words
    set -l value no
    for word in (commandline -opc)[2..]
        if test $value = yes
            set value no
        else if contains -- $word VALUED
            set value yes
        else if not string match -q -- '-*' $word
            echo -- $word
        end
    end
end

function __rolekeeper_is_beyond_dashes
    set -l words (__rolekeeper_words)
    contains -- -- (commandline -opc); and contains -- exec $words[1]
end

function __rolekeeper_needs_command
    not __rolekeeper_is_beyond_dashes; and not count (__rolekeeper_words) >/dev/null
end

function __rolekeeper_is
    set -l words (__rolekeeper_words)
    not __rolekeeper_is_beyond_dashes; and count $words >/dev/null; and contains -- $words[1] $argv
end

function __rolekeeper_has_no_operand
    test (count (__rolekeeper_words)) -eq 1
end

function __rolekeeper_profiles
    set -l words (commandline -opc)
    set -l where
    for index in (seq (count $words))
        switch $words[$index]
            case --config --output-dir
                set -a where $words[$index..(math $index + 1)]
            case '--config=*' '--output-dir=*'
                set -a where $words[$index]
        end
    end
    rolekeeper status $where 2>/dev/null | string replace -f -r '\t.*' ''
end

complete -c rolekeeper -f
"#;

const FISH_END: &str = r#"
# What follows the dashes of `exec` is a command of its own.
complete -c rolekeeper -n __rolekeeper_is_beyond_dashes -F -a '(__fish_complete_command)'
"#;
