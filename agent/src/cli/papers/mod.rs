//! The manual page and the completions of shells, held against the tables that the parser and `--help` read, so that
//! they cannot drift apart. Where they differ, `ROLEKEEPER_WRITE_PAPERS=1 cargo test -p rolekeeper papers` writes them
//! anew. Only tests: the program carries nothing of this.

mod manual;
mod shells;

use std::fs;
use std::path::PathBuf;

/// The packaging file `name`, as it is.
fn read(name: &str) -> String {
    let path = path(name);
    fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging")).join(name)
}

/// Holds the packaging file `name` against `expected`, or writes it where that was asked for.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "the agent's ways of reading variables and writing files are not for this"
)]
fn agrees(name: &str, expected: &str) {
    if std::env::var_os("ROLEKEEPER_WRITE_PAPERS").is_some() {
        // Renamed into place, because other tests read it meanwhile.
        let temporary = path(name).with_extension("new");
        fs::write(&temporary, expected).unwrap();
        fs::rename(temporary, path(name)).unwrap();
    }
    let found = read(name);
    let differs =
        (1_usize..).zip(found.lines().zip(expected.lines())).find(|(_, (found, expected))| found != expected);
    assert!(
        found == expected,
        "packaging/{name} is not what the tables say, from line {} on; \
         `ROLEKEEPER_WRITE_PAPERS=1 cargo test -p rolekeeper papers` writes it anew",
        differs.map_or_else(|| found.lines().count().min(expected.lines().count()), |(line, _)| line)
    );
}
