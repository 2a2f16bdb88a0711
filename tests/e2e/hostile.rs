//! Answers that no service gives: whatever comes instead of credentials, the error is clear, the time and the memory
//! are bounded, nothing of the answer is repeated where it could be a secret, and what is published stays.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use fake_aws::{Action, Fault, Kind, Reply};

use crate::observe::{INSTANCE, timed};
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

/// In every answer that is made up here; nobody may ever see it again.
const SECRET: &str = "hostileSecretThatMustNotBeRepeated";
/// The most memory of its own that the program may ask for, in kilobytes; the pages of a debug build's code, which are
/// many and no answer's fault, do not count.
const MAX_MEMORY: u64 = 6 * 1024;
/// Longer than any error may take.
const MAX_TIME: Duration = Duration::from_secs(35);
/// A longer run of characters of base64 is a key or a session token.
const LONGEST_WORD: usize = 38;

/// One kind of answer, and what is said of it.
struct Case {
    name: &'static str,
    action: Action,
    phrase: &'static str,
}

fn case(name: &'static str, action: Action, phrase: &'static str) -> Case {
    Case { name, action, phrase }
}

fn body(text: impl Into<Vec<u8>>) -> Action {
    Action::Answer(Reply::new(200).header("Content-Type", "text/xml").body(text))
}

/// A captive portal's page.
fn portal() -> Action {
    body(format!("<!DOCTYPE html>\n<html><body><p>Accept our terms: {SECRET}</p><br></body></html>\n"))
}

/// What can go wrong below the answer's meaning, the same for both services.
fn broken_transfers() -> Vec<Case> {
    vec![
        case("truncated", Action::Truncate, "the connection failed"),
        case("oversized", Action::Oversized(100 * 1024 * 1024), "longer than"),
        case("dripping", Action::Drip(Duration::from_millis(60)), "within the time allowed"),
        case("hanging", Action::Hang, "within the time allowed"),
        case("endless headers", Action::EndlessHeaders, "longer than"),
        case("too long a length", Action::ContentLength(60_000), "the connection failed"),
        case("reset", Action::ResetMidway, "the connection failed"),
        case("not HTTP", Action::Answer(Reply::new(99)), "not valid HTTP"),
    ]
}

/// A credential document with these members in place of good ones.
fn document(access_key_id: &str, secret: &str, expiration: &str) -> Action {
    body(format!(
        "{{\"Code\":\"Success\",\"AccessKeyId\":\"{access_key_id}\",\"SecretAccessKey\":\"{secret}\",\
         \"Token\":\"{SECRET}\",\"Expiration\":\"{expiration}\"}}"
    ))
}

const FUTURE: &str = "2099-01-02T03:04:05Z";

fn documents_of_the_instance() -> Vec<Case> {
    let deep = format!("{}\"{SECRET}\"{}", "[".repeat(20_000), "]".repeat(20_000));
    let injected = format!("{SECRET}\\naws_access_key_id = AKIAOTHER");
    let mut cases = broken_transfers();
    cases.extend([
        case("empty", Action::EmptyBody, "no JSON object"),
        case("not UTF-8", Action::NotUtf8, "no JSON object"),
        case("a portal", portal(), "no JSON object"),
        case("deep", body(format!("{{\"Code\":{deep}}}")), "no JSON object"),
        case("a list", body(format!("[\"{SECRET}\"]")), "no JSON object"),
        case(
            "a newline in a secret",
            document("ASIAEXAMPLE", &injected, FUTURE),
            "no usable secret access key",
        ),
        case("a quote in an id", document("ASIA\\\"EX", SECRET, FUTURE), "no usable access key id"),
        case(
            "a NUL in a secret",
            document("ASIAEXAMPLE", "a\\u0000b", FUTURE),
            "no usable secret access key",
        ),
        case("no secret", document("ASIAEXAMPLE", "", FUTURE), "no usable secret access key"),
        case("no time", document("ASIAEXAMPLE", SECRET, "soon"), "no usable expiration"),
        case("a short length", Action::ContentLength(40), "no JSON object"),
        case("moved", Action::Redirect(format!("http://127.0.0.1:9/{SECRET}")), "status 302"),
        case("teapot", Action::Answer(Reply::new(418).body(SECRET)), "status 418"),
    ]);
    cases
}

fn listings_of_the_instance() -> Vec<Case> {
    vec![
        case("a path", body("../../../latest/user-data"), "a listing that names no role"),
        case("a header", body("abcd\u{b}X: y"), "a listing that names no role"),
        case("a portal", portal(), "a listing that names no role"),
        case("endless", body("a".repeat(60_000)), "a listing that names no role"),
        case("not UTF-8", Action::NotUtf8, "a listing that is not text"),
        case("empty", Action::EmptyBody, "an empty listing"),
    ]
}

fn tokens_of_the_instance() -> Vec<Case> {
    let mut cases = broken_transfers();
    cases.extend([
        case("empty", Action::EmptyBody, "no session token"),
        case("a portal", portal(), "no session token"),
        case("not UTF-8", Action::NotUtf8, "no session token"),
        case("endless", body("a".repeat(60_000)), "no session token"),
        case("two lines", body(format!("{SECRET}\r\nX-Other: 1")), "no session token"),
        case("moved", Action::Redirect("/latest/api/token2".to_owned()), "status 302"),
    ]);
    cases
}

/// An answer of `AssumeRole` with these elements in place of good ones.
fn session(access_key_id: &str, secret: &str, expiration: &str) -> Action {
    body(format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>{access_key_id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
         <SessionToken>{SECRET}</SessionToken><Expiration>{expiration}</Expiration></Credentials>\
         </AssumeRoleResult></AssumeRoleResponse>"
    ))
}

fn answers_of_sts() -> Vec<Case> {
    let deep = |depth: usize| format!("{}{SECRET}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    let laughs = "<!DOCTYPE a [<!ENTITY x \"ha\"><!ENTITY y \"&x;&x;&x;&x;&x;&x;&x;&x;\">]><a>&y;</a>";
    let external =
        "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>";
    let wide = format!("<a>{}</a>", "<b/>".repeat(9000));
    let error = format!("<ErrorResponse><Error><Code>Odd</Code><Message>{}</Message>", "m".repeat(50_000));
    let mut cases = broken_transfers();
    cases.extend([
        case("empty", Action::EmptyBody, "an empty reply"),
        case("not UTF-8", Action::NotUtf8, "not UTF-8"),
        case("a portal", portal(), "no XML"),
        case("JSON", body(format!("{{\"Secret\":\"{SECRET}\"}}")), "no XML"),
        case("deep", body(deep(900)), "a reply without credentials"),
        case("deeper", body(deep(8000)), "no XML"),
        case("wide", body(wide), "no XML"),
        case("entities", body(laughs), "no XML"),
        case("an external entity", body(external), "no XML"),
        case("something else", body(format!("<Other>{SECRET}</Other>")), "a reply without credentials"),
        case("a newline in an id", session("ASIA&#10;[x]", SECRET, FUTURE), "no usable access key id"),
        case(
            "a newline in a secret",
            session("ASIAEXAMPLE", "a&#10;b", FUTURE),
            "no usable secret access key",
        ),
        case(
            "a quote in a secret",
            session("ASIAEXAMPLE", "a&quot;b", FUTURE),
            "no usable secret access key",
        ),
        case("no time", session("ASIAEXAMPLE", SECRET, "soon"), "no usable expiration"),
        case("a short length", Action::ContentLength(40), "no XML"),
        case("moved", Action::Redirect(format!("https://127.0.0.1:9/{SECRET}")), "status 302"),
        case(
            "a page with 403",
            Action::Answer(Reply::new(403).body(format!("<html>{SECRET}"))),
            "status 403",
        ),
        case("an open error", Action::Answer(Reply::new(400).body(error)), "status 400"),
    ]);
    cases
}

/// What a run comes to that gets no more memory than it may ask for: one that asks for more ends at once, and not well.
fn run_limited(world: &World) -> Run {
    let described = world.command(&["refresh", "--force"]);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("ulimit -d {MAX_MEMORY} && exec \"$@\""), "sh"]);
    shell.arg(described.get_program()).args(described.get_args()).env_clear().stdin(Stdio::null());
    shell.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Run::of(&mut shell)
}

/// The published files that have changed; status and the agent's own records tell of the failure and may.
fn changed(world: &World, before: &[(PathBuf, Vec<u8>)]) -> Vec<PathBuf> {
    let is_published = |path: &PathBuf| {
        let inside = path.strip_prefix(world.out()).unwrap();
        !inside.starts_with("state") && inside.as_os_str() != "status.json"
    };
    world.changed(before).into_iter().filter(is_published).collect()
}

fn longest_word(text: &str) -> usize {
    let is_base64 = |letter: char| letter.is_ascii_alphanumeric() || "+/=".contains(letter);
    text.split(|letter| !is_base64(letter)).map(str::len).max().unwrap_or_default()
}

/// Everything that is wrong with how the agent takes `case`.
fn complaints(config: &str, case: &Case, fail: impl Fn(&World, Fault)) -> Vec<String> {
    let world = World::new(config);
    // Below the margin, so that a failure is spoken of.
    world.fake.sts().session_lifetime(Some(Duration::from_secs(600)));
    world.fake.imds().credential_lifetime(Duration::from_secs(1100));
    world.run(&["refresh"]).assert_silent_success();
    let before = world.snapshot();
    assert!(before.len() >= 6);
    fail(&world, Fault::new(case.action.clone()));
    let (run, time) = timed(|| run_limited(&world));

    let mut complaints = Vec::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            complaints.push(format!("{}: {what}: {}", case.name, run.stderr));
        }
    };
    expect(run.code == 75 && run.stdout.is_empty(), format!("exit code {}", run.code));
    expect(run.stderr.contains(case.phrase), format!("`{}` is missing", case.phrase));
    expect(run.stderr.len() < 1200, format!("{} bytes", run.stderr.len()));
    expect(!run.stderr.contains(SECRET) && longest_word(&run.stderr) < LONGEST_WORD, "a secret".to_owned());
    expect(!run.stderr.contains('\u{1b}'), "speaks to the terminal".to_owned());
    expect(time <= MAX_TIME, format!("took {time:?}"));
    let changed = changed(&world, &before);
    expect(changed.is_empty(), format!("changed {changed:?}"));
    complaints
}

/// Tries all cases at once, because the slow ones only wait.
fn try_all(config: &str, cases: &[Case], fail: impl Fn(&World, Fault) + Sync) {
    let complaints: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            cases.iter().map(|case| scope.spawn(|| complaints(config, case, &fail))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn whatever_comes_as_an_instance_document_harms_nothing() {
    try_all(INSTANCE, &documents_of_the_instance(), |world, fault| {
        world.fake.imds().fail(fault.on(Kind::ExtendedDocument));
    });
}

#[test]
fn whatever_comes_as_a_listing_harms_nothing() {
    try_all(INSTANCE, &listings_of_the_instance(), |world, fault| {
        world.fake.imds().fail(fault.on(Kind::ExtendedListing));
    });
}

#[test]
fn whatever_comes_as_a_session_token_harms_nothing() {
    try_all(INSTANCE, &tokens_of_the_instance(), |world, fault| {
        world.fake.imds().fail(fault.on(Kind::Token));
    });
}

#[test]
fn whatever_comes_from_sts_harms_nothing() {
    try_all(INSTANCE_CROSS_ACCOUNT, &answers_of_sts(), |world, fault| {
        world.fake.sts().fail(fault.on(Kind::AssumeRole));
    });
}
