//! The README's table of sources and options: every test, file and case that it names is there.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The names of this program's tests.
fn tests() -> String {
    let listed = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    String::from_utf8(listed.stdout).unwrap()
}

/// The titles of the cases in `tests/config`.
fn titles(root: &Path) -> Vec<String> {
    let files = fs::read_dir(root.join("tests/config")).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.map(|file| fs::read_to_string(file).unwrap());
    texts
        .flat_map(|text| {
            text.lines().filter_map(|line| Some(line.strip_prefix("=== ")?.to_owned())).collect::<Vec<_>>()
        })
        .collect()
}

/// Whether `title` is one of those that `pattern`, with `...` for anything, stands for.
fn is_meant(pattern: &str, title: &str) -> bool {
    let (start, end) = (!pattern.starts_with("... "), !pattern.ends_with(" ..."));
    let bare = pattern.trim_start_matches("... ").trim_end_matches(" ...");
    match (start, end) {
        (true, true) => title == bare,
        (true, false) => title.starts_with(bare),
        (false, true) => title.ends_with(bare),
        (false, false) => title.contains(bare),
    }
}

#[test]
fn what_shows_a_source_or_an_option_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n### Every source and option").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let (tests, titles) = (tests(), titles(root));
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    for row in rows {
        let shown = row.rsplit(" | ").next().unwrap();
        let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        let cases: Vec<&str> = shown.split('"').skip(1).step_by(2).collect();
        assert!(names.len() + cases.len() > 0, "nothing shows it: {row}");
        for name in names {
            let is_there = if name.contains('/') {
                root.join(name).is_file()
            } else {
                tests.lines().any(|test| test.starts_with(name) && test.ends_with(": test"))
            };
            assert!(is_there, "`{name}` is not there: {row}");
        }
        for case in cases {
            assert!(titles.iter().any(|title| is_meant(case, title)), "no case \"{case}\": {row}");
        }
    }
}
