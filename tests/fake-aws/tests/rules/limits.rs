//! Parameters beyond their limits are refused in AWS's words.

use fake_aws::scenario;

use crate::client::{STS, assume, form, start};

fn refused(more: &[(&str, &str)]) -> String {
    let fake = start();
    let answer = assume(&fake, &scenario::alice(), scenario::LONG, more);
    assert_eq!(answer.error(), (400, "ValidationError".into()), "{more:?}");
    answer.message()
}

#[test]
fn session_names_are_two_to_sixty_four_letters_of_an_alphabet() {
    let at = "at 'roleSessionName' failed to satisfy constraint: Member must";
    assert_eq!(
        refused(&[("RoleSessionName", "a/b")]),
        format!(
            "1 validation error detected: Value 'a/b' {at} satisfy regular expression pattern: [\\w+=,.@-]*"
        )
    );
    assert!(refused(&[("RoleSessionName", "a")]).ends_with("have length greater than or equal to 2"));
    assert!(
        refused(&[("RoleSessionName", &"a".repeat(65))]).ends_with("have length less than or equal to 64")
    );
    assert!(refused(&[("RoleSessionName", "é\\")]).contains("regular expression"));
    let both = refused(&[("RoleSessionName", "/")]);
    assert!(both.starts_with("2 validation errors detected: "), "{both}");
}

#[test]
fn numbers_are_kept_within_their_range() {
    assert!(refused(&[("DurationSeconds", "899")]).contains("Value '899' at 'durationSeconds'"));
    assert!(refused(&[("DurationSeconds", "43201")]).ends_with("have value less than or equal to 43200"));
}

#[test]
fn external_ids_source_identities_and_codes_have_alphabets() {
    assert!(refused(&[("ExternalId", "a b")]).contains("'externalId'"));
    assert!(refused(&[("ExternalId", "x")]).contains("greater than or equal to 2"));
    assert!(refused(&[("ExternalId", &"x".repeat(1225))]).contains("less than or equal to 1224"));
    assert!(refused(&[("SourceIdentity", "a/b")]).contains("'sourceIdentity'"));
    assert!(refused(&[("SerialNumber", "short")]).contains("'serialNumber'"));
    assert!(refused(&[("TokenCode", "12345x")]).contains("'tokenCode'"));
    assert!(refused(&[("TokenCode", "12345")]).contains("'tokenCode'"));
    assert!(refused(&[("Policy", "{\"a\":\"\u{100}\"}")]).contains("'policy'"));
    assert!(refused(&[("Policy", &"x".repeat(2049))]).contains("less than or equal to 2048"));
}

#[test]
fn lists_are_bounded() {
    let names: Vec<String> = (1..=51).map(|number| format!("Tags.member.{number}.Key")).collect();
    let tags: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "k")).collect();
    assert!(refused(&tags).contains("'tags'"));
    assert!(refused(&[("Tags.member.1.Key", &"k".repeat(129))]).contains("'tags.1.member.key'"));
    let names: Vec<String> = (1..=11).map(|number| format!("PolicyArns.member.{number}.arn")).collect();
    let arns: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), "arn:aws:iam::aws:policy/X")).collect();
    assert!(refused(&arns).contains("'policyArns'"));
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    let fake = start();
    let send =
        |parameters: &[(&str, &str)]| form(&fake, parameters).signed(&scenario::alice(), STS).send(&fake);
    let bare = send(&[("Action", "AssumeRole")]);
    assert!(
        bare.message().starts_with("2 validation errors detected: Value null at 'roleArn'"),
        "{}",
        bare.message()
    );
    assert_eq!(send(&[("Action", "AssumeRoles")]).error(), (400, "InvalidAction".into()));
    assert_eq!(send(&[("Other", "x")]).error(), (400, "MissingAction".into()));
    let arn = "not-an-arn-but-long-enough";
    let answer = send(&[("Action", "AssumeRole"), ("RoleArn", arn), ("RoleSessionName", "me")]);
    assert_eq!(answer.message(), format!("{arn} is invalid"));
}
