use super::*;
use crate::credentials::Secret;

fn keys(number: u64, with_session: bool) -> Credentials {
    Credentials {
        access_key_id: format!("ASIA{number}"),
        secret_access_key: Secret::new(format!("s/{number}+=")),
        session_token: with_session.then(|| Secret::new(format!("t/{number}=="))),
    }
}

fn merged(current: &str, section: &str) -> String {
    let bytes = merge(current.as_bytes(), section, &keys(1, true)).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn refused(current: &str, section: &str) -> LineProblem {
    match merge(current.as_bytes(), section, &keys(1, true)) {
        Err(Refusal::Line(error)) => error.problem,
        other => panic!("{current:?} gave {other:?}"),
    }
}

const OURS: &str = "aws_access_key_id = ASIA1\naws_secret_access_key = s/1+=\naws_session_token = t/1==\n";

#[test]
fn a_section_is_added_at_the_end() {
    for (current, expected) in [
        ("", format!("[x]\n{OURS}")),
        ("\n", format!("\n[x]\n{OURS}")),
        ("[a]\nk = v\n", format!("[a]\nk = v\n\n[x]\n{OURS}")),
        ("[a]\nk = v", format!("[a]\nk = v\n\n[x]\n{OURS}")),
        ("# only a comment", format!("# only a comment\n\n[x]\n{OURS}")),
        ("[a]\nk = v\n\n", format!("[a]\nk = v\n\n[x]\n{OURS}")),
        ("[a]\r\nk = v\r\n", format!("[a]\r\nk = v\r\n\r\n[x]\r\n{}", OURS.replace('\n', "\r\n"))),
        ("[a]\r\nk = v", format!("[a]\r\nk = v\r\n\r\n[x]\r\n{}", OURS.replace('\n', "\r\n"))),
        ("[a]\r\nk = v\r", format!("[a]\r\nk = v\r\n\r\n[x]\r\n{}", OURS.replace('\n', "\r\n"))),
        ("\u{feff}", format!("\u{feff}[x]\n{OURS}")),
        ("\u{feff}[a]\n", format!("\u{feff}[a]\n\n[x]\n{OURS}")),
        ("[profile x]\n[X]\n[xx]", format!("[profile x]\n[X]\n[xx]\n\n[x]\n{OURS}")),
    ] {
        assert_eq!(merged(current, "x"), expected, "{current:?}");
    }
}

#[test]
fn the_section_keeps_what_is_not_ours() {
    for (current, expected) in [
        // Keys stay where they are, whatever their case, their separator and the comment behind them.
        (
            "[x]\nregion = r\nAWS_Secret_Access_Key: old ; why\naws_access_key_id=old\n\n# next\n[y]\na = b\n",
            "[x]\nregion = r\naws_secret_access_key = s/1+=\naws_access_key_id = ASIA1\n\
             aws_session_token = t/1==\n\n# next\n[y]\na = b\n",
        ),
        // What continues a key of ours goes; comments in between stay, in column 0.
        (
            "[x] # mine\naws_access_key_id = a\n  more\n  # note\n# note 2\n\n  end\nregion = r\n  # not ours\ns3 =\n  \
             aws_session_token = nested\n",
            "[x] # mine\naws_access_key_id = ASIA1\n# note\n# note 2\n\nregion = r\n  # not ours\ns3 =\n  \
             aws_session_token = nested\naws_secret_access_key = s/1+=\naws_session_token = t/1==\n",
        ),
        // Keys that occur twice occur once; a user guide's indentation stays.
        (
            "[x]\n  aws_access_key_id = a\n  region = r\n    more\n  aws_access_key_id = b\n",
            "[x]\n  aws_access_key_id = ASIA1\n  region = r\n    more\naws_secret_access_key = s/1+=\n\
             aws_session_token = t/1==\n",
        ),
        // The header at the end of a file without its line end.
        (
            "[a]\n[x]",
            "[a]\n[x]\naws_access_key_id = ASIA1\naws_secret_access_key = s/1+=\naws_session_token = t/1==\n",
        ),
        // Two sections become one.
        (
            "[x]\na = 1\naws_access_key_id = old\n# between\n[y]\nb = 2\n\n[x]\n# kept\na = 3\naws_session_token = o\n\n# z\n[z]\n",
            "[x]\na = 1\naws_access_key_id = ASIA1\n# kept\na = 3\naws_session_token = t/1==\n\
             aws_secret_access_key = s/1+=\n# between\n[y]\nb = 2\n\n\n# z\n[z]\n",
        ),
        // Line ends are those of the line, and of the file.
        (
            "[x]\r\naws_access_key_id = a\naws_session_token = b",
            "[x]\r\naws_access_key_id = ASIA1\naws_session_token = t/1==\r\naws_secret_access_key = s/1+=\r\n",
        ),
    ] {
        assert_eq!(merged(current, "x"), expected, "{current:?}");
        assert_eq!(merged(expected, "x"), expected, "again: {current:?}");
    }
    let without = merge(b"[x]\naws_session_token = t\n  u\nk = v\n", "x", &keys(1, false)).unwrap();
    let text = std::str::from_utf8(&without).unwrap();
    assert_eq!(text, "[x]\nk = v\naws_access_key_id = ASIA1\naws_secret_access_key = s/1+=\n");
}

#[test]
fn what_readers_do_not_agree_on_is_refused() {
    for (current, problem) in [
        ("key = v\n", LineProblem::OutsideSection),
        ("[a]\nword\n", LineProblem::NoSeparator),
        ("[a]\n = v\n", LineProblem::NoKey),
        ("[a\nk = v\n", LineProblem::UnclosedHeader),
        ("[a]\nk = v\0\n", LineProblem::ControlCharacter),
        ("[a]\nk = v\r[x]\n", LineProblem::ControlCharacter),
        ("[a]\n\u{a0}k = v\n", LineProblem::UnusualBlank),
        ("[ x ]\nk = v\n", LineProblem::DisputedHeader),
        ("[x] # [y]\n", LineProblem::DisputedHeader),
        ("[x]y\n", LineProblem::DisputedHeader),
        ("[a]\n  [x]\n", LineProblem::DisputedHeader),
        ("[x]\n  [nested]\nk = v\n", LineProblem::DisputedHeader),
        ("[x]\n; c\n\n   [nested]\n[a]\nk = v\n", LineProblem::DisputedHeader),
        ("[x]\na = 1\n[x]\n  b = 2\n", LineProblem::IndentedDuplicate),
    ] {
        assert_eq!(refused(current, "x"), problem, "{current:?}");
    }
    assert_eq!(merge(b"[a]\nk = \xff\n", "x", &keys(1, true)), Err(Refusal::NotText));
    for name in ["DEFAULT", "", "a b", "a]", "a\nb", "\u{e9}"] {
        assert_eq!(merge(b"", name, &keys(1, true)), Err(Refusal::SectionName(name.to_owned())));
    }
}

/// A small generator of the same numbers for the same seed: a failure names its seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap().checked_rem(bound).unwrap()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// One line of a generated file, and whether it is part of our section's keys, of the rest of our section, or foreign.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Part {
    Foreign,
    OurHeader,
    OurKey,
    OurOther,
}

fn generate(numbers: &mut Numbers) -> (String, Vec<(Part, String)>) {
    let mark = numbers.pick(&["", "", "", "\u{feff}"]).to_owned();
    let end = numbers.pick(&["\n", "\n", "\r\n"]);
    let mut lines = Vec::new();
    for _ in 0..numbers.below(3) {
        lines.push((Part::Foreign, numbers.pick(&["# top", "; top = [x]", "", "  ", "\t# tab"]).to_owned()));
    }
    for _ in 0..numbers.below(5) {
        let header =
            numbers.pick(&["[x]", "[x] # mine", "[a]", "[b]", "[profile x]", "[xx]", "[a b]", "[default] ;"]);
        let ours = header.starts_with("[x]");
        lines.push((if ours { Part::OurHeader } else { Part::Foreign }, header.to_owned()));
        let mut after_key = false;
        for _ in 0..numbers.below(7) {
            let mut line = numbers
                .pick(&[
                    "aws_access_key_id = old",
                    "AWS_SECRET_ACCESS_KEY=old # c",
                    "aws_session_token: old",
                    "region = r",
                    "k: v",
                    "s3 =",
                    "# comment [x]",
                    "",
                    " \t",
                    "  more = [x]",
                    "\t[x]",
                    "  # indented",
                    "expr = a=b;c",
                ])
                .to_owned();
            let is_key = line.to_lowercase().starts_with("aws_");
            let is_indented = line.starts_with([' ', '\t']) && !line.trim().is_empty();
            let is_comment = line.trim_start().starts_with('#');
            let has_property = lines
                .iter()
                .rev()
                .take_while(|(_, line): &&(Part, String)| !line.starts_with('['))
                .any(|(_, line)| line.starts_with(|first: char| first.is_ascii_alphabetic()));
            // Below a header it would be a header to some and an error to others.
            if is_indented && !has_property {
                continue;
            }
            // Every line is told from every other; blank ones are not looked at again.
            if !line.trim().is_empty() {
                line = format!("{line}~{}", lines.len());
            }
            let part = match (ours, is_key || (after_key && is_indented && !is_comment)) {
                (false, _) => Part::Foreign,
                (true, true) => Part::OurKey,
                (true, false) => Part::OurOther,
            };
            if ours && after_key && is_indented && is_comment {
                line = format!("{line} dedented");
            }
            if !is_indented && !line.trim().is_empty() && !is_comment {
                after_key = is_key;
            }
            lines.push((part, line));
        }
    }
    let cut = numbers.below(3) == 0;
    let count = lines.len();
    for ((_, line), number) in lines.iter_mut().zip(1..) {
        if !(cut && number == count) {
            line.push_str(end);
        }
    }
    (mark, lines)
}

#[test]
fn what_is_not_ours_stays_byte_for_byte() {
    for seed in 0..30_000 {
        let mut numbers = Numbers(seed);
        let (mark, lines) = generate(&mut numbers);
        let text: String = mark.chars().chain(lines.iter().flat_map(|(_, line)| line.chars())).collect();
        let credentials = keys(seed, numbers.below(4) > 0);
        let out = merge(text.as_bytes(), "x", &credentials).unwrap();
        let out = String::from_utf8(out.to_vec()).unwrap();
        let context = format!("seed {seed}:\n{text}\n--\n{out}");
        let news: Vec<&str> = out.strip_prefix(&mark).unwrap().split_inclusive('\n').collect();
        assert!(news.iter().all(|line| !line.contains('\u{feff}')), "{context}");
        check_section(&news, &credentials, &context);
        check_rest(&news, &lines, &context);
        if lines.iter().all(|(part, _)| *part == Part::Foreign) {
            assert!(out.starts_with(&text), "{context}");
        }
        let again = merge(out.as_bytes(), "x", &credentials).unwrap();
        assert_eq!(again.as_slice(), out.as_bytes(), "{context}");
    }
}

/// Exactly one header, and below it each key once, with its value, and with nothing behind or below it.
fn check_section(news: &[&str], credentials: &Credentials, context: &str) {
    assert_eq!(news.iter().filter(|line| line.starts_with("[x]")).count(), 1, "{context}");
    let mut section: Vec<&str> =
        news.iter().copied().skip_while(|line| !line.starts_with("[x]")).skip(1).collect();
    section.truncate(section.iter().position(|line| line.starts_with('[')).unwrap_or(section.len()));
    let values = [
        Some(credentials.access_key_id.as_str()),
        Some(credentials.secret_access_key.expose()),
        credentials.session_token.as_ref().map(Secret::expose),
    ];
    for (key, value) in KEYS.iter().zip(values) {
        let found = section.iter().filter(|line| line.to_lowercase().starts_with(key));
        let found: Vec<&str> = found.map(|line| line.trim_end()).collect();
        let wanted: Vec<String> = value.iter().map(|value| format!("{key} = {value}")).collect();
        assert_eq!(found, wanted, "{context}");
    }
    for pair in section.windows(2) {
        let follows = pair[1].starts_with([' ', '\t']) && !pair[1].trim().is_empty();
        assert!(!(pair[0].starts_with("aws_") && follows), "{context}");
    }
}

/// Foreign lines are the same, in the same order, whole, but that a last one may have got its line end. Other keys of
/// our section are there, and no comment is lost but those behind what was replaced.
fn check_rest(news: &[&str], lines: &[(Part, String)], context: &str) {
    let kept = |wanted: Part| {
        let lines = lines.iter().filter(move |(part, _)| *part == wanted);
        lines.map(|(_, line)| line.as_str()).filter(|line| !line.trim().is_empty())
    };
    let foreign: Vec<&str> = kept(Part::Foreign).collect();
    let last = lines.last().map_or("", |(_, line)| line.as_str());
    let same = |new: &str, old: &str| new == old || (old == last && new.trim_end() == old);
    let found: Vec<&str> =
        news.iter().copied().filter(|line| foreign.iter().any(|old| same(line, old))).collect();
    assert_eq!(found.len(), foreign.len(), "{context}");
    assert!(found.iter().zip(&foreign).all(|(new, old)| same(new, old)), "{context}");
    for other in kept(Part::OurOther) {
        let wanted = if other.contains("dedented") { other.trim() } else { other.trim_end() };
        assert!(news.iter().any(|line| line.trim_end() == wanted), "{other:?} of {context}");
    }
    let comments = |line: &str| line.matches('#').count();
    let all: usize = lines.iter().map(|(_, line)| comments(line)).sum();
    let replaced: usize = kept(Part::OurKey).chain(kept(Part::OurHeader).skip(1)).map(comments).sum();
    assert_eq!(news.iter().copied().map(comments).sum::<usize>(), all.saturating_sub(replaced), "{context}");
}

#[test]
fn no_bytes_make_it_panic_and_none_are_lost() {
    const PIECES: [&str; 16] = [
        "[",
        "]",
        "=",
        ":",
        "#",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\r",
        "x",
        "aws_session_token",
        "[x]",
        "\u{e9}",
        "\0",
        "\u{feff}",
    ];
    let mut accepted = 0;
    for seed in 0..60_000 {
        let mut numbers = Numbers(seed);
        let text: String = (0..numbers.below(16)).map(|_| PIECES[numbers.below(PIECES.len())]).collect();
        if let Ok(out) = merge(text.as_bytes(), "x", &keys(seed, true)) {
            accepted += 1;
            assert_eq!(merge(&out, "x", &keys(seed, true)).as_ref(), Ok(&out), "seed {seed}: {text:?}");
            if !text.contains("[x]") {
                assert!(out.starts_with(text.as_bytes()), "seed {seed}: {text:?}");
            }
        }
    }
    assert!(accepted > 1_000, "{accepted}");
}
