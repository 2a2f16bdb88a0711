//! What a hook writes: bounded, and without the agent's secrets.

use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{NAME, eventually, hooked};
use crate::host::{has_root, plant};

#[test]
fn a_talkative_hook_blocks_nothing_and_fills_no_log() {
    let world = hooked(
        "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; head -c 3000000 /dev/zero",
        "",
    );
    let run = world.run(&["refresh", "-v"]);
    assert_eq!(run.code, 0);
    assert!(
        run.stderr.contains("hook: line 0\n") && run.stderr.contains("the rest of its output is not shown")
    );
    assert!(run.stderr.len() < 100_000, "{} bytes", run.stderr.len());
}

#[test]
fn what_a_hook_says_last_is_heard() {
    let world = hooked("head -c 20000 /dev/zero | tr '\\0' x | fold -w 500; echo; echo the very end", "");
    for _ in 0..10 {
        let run = world.run(&["refresh", "-v", "--force"]);
        assert!(run.stderr.contains("hook: the very end\n"), "exit code {}", run.code);
    }
}

#[test]
fn what_a_hook_shows_of_secrets_is_masked() {
    let world = hooked(
        "cat $ROLEKEEPER_CREDENTIALS_JSON $ROLEKEEPER_ENV_FILE ${ROLEKEEPER_OUTPUT_DIR}/credentials >&2; fold -w 30 $ROLEKEEPER_CREDENTIALS_FILE\n\
         . $ROLEKEEPER_ENV_FILE; set -x; : $AWS_SECRET_ACCESS_KEY$AWS_SESSION_TOKEN; printf 'bell\\007 \\033[2J\\n'; exit 1",
        "[profile other]\ncredential_source = Ec2InstanceMetadata\nrolekeeper_publish = true",
    );
    let mut said = world.run(&["refresh", "-vv"]).stderr;
    said.push_str(&world.run(&["refresh", "-vv", "--force"]).stderr);
    said.push_str(&world.run(&["status", "--json"]).stdout);
    said.push_str(&world.published(&format!("state/{NAME}.json")));
    assert!(said.contains("[redacted]") && said.contains("bell\\u{7} \\u{1b}[2J"), "{said}");
    for profile in [NAME, "other"] {
        let document: Value =
            serde_json::from_str(&world.published(&format!("profiles/{profile}/credentials.json"))).unwrap();
        assert!(said.contains(document["AccessKeyId"].as_str().unwrap()), "{profile}: {said}");
        for name in ["SecretAccessKey", "SessionToken"] {
            let secret = document[name].as_str().unwrap();
            for part in secret.as_bytes().windows(12) {
                let part = std::str::from_utf8(part).unwrap();
                assert!(!said.contains(part), "`{part}` of {name} of {profile} was shown");
            }
        }
    }
}

/// Whether `said` holds a part of `text` that is long enough to be no coincidence.
fn shows(said: &str, text: &str) -> bool {
    text.as_bytes().windows(12).any(|part| said.contains(std::str::from_utf8(part).unwrap()))
}

#[test]
fn what_a_hook_encodes_or_reads_of_other_profiles_is_masked_too() {
    if !has_root() {
        return;
    }
    let keys = fake_aws::scenario::alice();
    let further = format!(
        "[profile given]\ncredential_source = Ec2InstanceMetadata\nrolekeeper_publish = true\nrolekeeper_owner = 65534\n\
         [profile keys]\naws_access_key_id = {}\naws_secret_access_key = {}\nrolekeeper_publish = false\n\
         [profile alice]\nrole_arn = {}\nsource_profile = keys\n[rolekeeper]\nserve = 127.0.0.1:9\n",
        keys.access_key_id,
        keys.secret_access_key,
        fake_aws::scenario::PRODUCTION
    );
    let world = hooked(
        "base64 -w 0 $ROLEKEEPER_CREDENTIALS_JSON; base64 $ROLEKEEPER_ENV_FILE; cat $ROLEKEEPER_CONFIG\n\
         cat ${ROLEKEEPER_OUTPUT_DIR}/profiles/*/credentials.json $ROLEKEEPER_DIRECTORY/token; exit 1",
        &further,
    );
    world.run(&["refresh"]).assert_failure(0, &["exit code 1"]);
    let token = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    plant(&world.out().join("profiles").join(NAME).join("token"), token.as_bytes());
    let said = world.run(&["refresh", "-v"]).stderr;
    assert!(said.contains(&keys.access_key_id), "{said}");
    assert!(!shows(&said, token) && !shows(&said, &keys.secret_access_key), "{said}");
    for profile in [NAME, "given", "alice"] {
        let text = world.published(&format!("profiles/{profile}/credentials.json"));
        let document: Value = serde_json::from_str(&text).unwrap();
        assert!(said.contains(document["AccessKeyId"].as_str().unwrap()), "{profile}: {said}");
        for name in ["SecretAccessKey", "SessionToken"] {
            let secret = document[name].as_str().unwrap();
            assert!(!shows(&said, secret), "{name} of {profile}: {said}");
            // Encoded by the hook of the first profile: three bytes are four characters.
            let start = text.find(secret).unwrap();
            let encoded = STANDARD.encode(&text);
            let inside = encoded.get(start.div_ceil(3) * 4..(start + secret.len()) / 3 * 4).unwrap();
            assert!(!shows(&said, inside), "{name} of {profile} in base64: {said}");
        }
    }
    let beginning = STANDARD.encode("{\"Version\":1,\"AccessK");
    assert!(said.contains(&beginning), "the rest is shown: {said}");
}

#[test]
fn what_is_published_while_a_hook_runs_is_masked_too() {
    let world = hooked(
        "[ -e DIR/go ] && exit 0; touch DIR/started; until [ -e DIR/go ]; do sleep 0.05; done\n\
         cat $ROLEKEEPER_CREDENTIALS_JSON",
        "",
    );
    let key = || world.document(NAME)["AccessKeyId"].as_str().unwrap().to_owned();
    let said = thread::scope(|scope| {
        let first = scope.spawn(|| world.run(&["refresh", "-v"]).stderr);
        eventually("the hook", || world.directory.join("started").exists());
        let before = key();
        let second = scope.spawn(|| world.run(&["refresh", "--force"]));
        eventually("newer credentials", || key() != before);
        world.write("go", "");
        second.join().unwrap().assert_silent_success();
        first.join().unwrap()
    });
    assert!(said.contains(&key()), "{said}");
    for name in ["SecretAccessKey", "SessionToken"] {
        assert!(!shows(&said, world.document(NAME)[name].as_str().unwrap()), "{name}: {said}");
    }
}
