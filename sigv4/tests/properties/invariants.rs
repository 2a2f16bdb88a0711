//! What holds for every input, with nobody to compare with.

use std::time::Duration;

use sigv4::{
    ContentSha256, Credentials, Error, KeyCache, PathNormalisation, Payload, Request, Scope, SessionToken,
    Settings, SigningKey, UriEncoding, explain, presign, presign_with_key, sign, sign_into, sign_with_key,
};
use time::OffsetDateTime;

use crate::random::Random;

const SCOPE: Scope<'static> = Scope::new("eu-central-1", "sts");

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

fn settings(random: &mut Random) -> Settings {
    Settings {
        path: random.pick(&[PathNormalisation::On, PathNormalisation::Off]),
        encoding: random.pick(&[UriEncoding::Double, UriEncoding::Single]),
        session_token: random.pick(&[SessionToken::Signed, SessionToken::AddedAfter]),
        content_sha256: random.pick(&[ContentSha256::Omitted, ContentSha256::Added]),
    }
}

#[test]
fn arbitrary_text_is_signed_or_refused_and_never_panics() {
    let mut signed_at_all = 0;
    for seed in 0..20_000 {
        let random = &mut Random::new(seed);
        let texts: Vec<String> = (0..12).map(|_| random.noise(12)).collect();
        let mut pick =
            |valid: &'static str| if random.one_in(3) { texts[random.below(12)].as_str() } else { valid };
        let headers = [(pick("a"), pick("b")), (pick("Host"), pick("h")), (pick("a"), pick(" "))];
        let path = format!("/{}", pick("p"));
        let request = Request {
            method: pick("GET"),
            authority: pick("h:80"),
            path: if pick("").is_empty() { &path } else { pick("/") },
            query: pick("a=b"),
            headers: &headers,
            payload: Payload::Bytes(pick("x").as_bytes()),
            ..Request::new("GET", "http://h").unwrap()
        };
        let credentials = Credentials::new(pick("AKID"), pick("secret"), Some(pick("session")));
        let scope = Scope::new(pick("r"), pick("s"));
        let url = pick("https://h/");
        let settings = settings(random);
        let when = at(i64::try_from(random.below(1 << 36)).unwrap());
        if let Ok(signed) = sign(&request, &credentials, scope, when, settings) {
            signed_at_all += 1;
            for header in signed.headers() {
                assert!(
                    !header.value.bytes().any(|byte| byte < 0x20 || byte == 0x7f),
                    "seed {seed}: {header:?}"
                );
            }
        }
        let expires = Duration::from_secs(random.next() % 700_000);
        if let Ok(presigned) = presign(&request, &credentials, scope, when, expires, settings) {
            let (_, query) = presigned.url().split_once('?').unwrap();
            assert!(query.contains("X-Amz-Signature="), "seed {seed}");
        }
        if let Ok(request) = Request::new("GET", url) {
            drop(sign(&request, &credentials, scope, when, settings));
        }
    }
    assert!(signed_at_all > 200, "only {signed_at_all} were valid: the generator tests too little");
}

#[test]
fn a_kept_key_signs_like_a_fresh_one() {
    let mut cache = KeyCache::new();
    let mut buffer = String::new();
    let request = Request::new("GET", "https://h/?a=b").unwrap();
    for seed in 0..2_000 {
        let random = &mut Random::new(seed);
        let secret = random.pick(&["one", "two"]);
        let scope = Scope::new(random.pick(&["r1", "r2"]), random.pick(&["s1", "s2"]));
        let when = at(i64::try_from(86_400 * random.below(2) + random.below(86_400)).unwrap());
        let credentials = Credentials::new("AKID", secret, None);
        let settings = settings(random);
        let fresh = sign(&request, &credentials, scope, when, settings).unwrap();
        let key = cache.key(secret, scope, when).unwrap();
        let kept = sign_with_key(&request, &credentials, key, when, settings).unwrap();
        assert_eq!(fresh.authorization(), kept.authorization(), "seed {seed}");
        let into = sign_into(&request, &credentials, key, when, settings, &mut buffer).unwrap();
        assert!(fresh.headers().eq(into.headers()), "seed {seed}");
        let hour = Duration::from_secs(3600);
        let url = presign(&request, &credentials, scope, when, hour, settings).unwrap();
        assert_eq!(url, presign_with_key(&request, &credentials, key, when, hour, settings).unwrap());
        if random.one_in(10) {
            cache.clear();
        }
    }
}

#[test]
fn a_key_of_another_day_is_refused() {
    let key = SigningKey::derive("secret", SCOPE, at(86_399)).unwrap();
    let credentials = Credentials::new("AKID", "secret", None);
    let request = Request::new("GET", "https://h/").unwrap();
    let sign = |when| sign_with_key(&request, &credentials, &key, when, Settings::default()).map(|_| ());
    assert_eq!(sign(at(0)), Ok(()));
    assert_eq!(sign(at(86_400)), Err(Error::KeyOfAnotherDay));
    assert_eq!(sign(at(-1)), Err(Error::KeyOfAnotherDay));
}

#[test]
fn the_order_of_names_does_not_matter_and_the_order_of_values_does() {
    let credentials = Credentials::new("AKID", "secret", None);
    let signature = |headers: &[(&str, &str)], url| {
        let request = Request::new("GET", url).unwrap().with_headers(headers);
        sign(&request, &credentials, SCOPE, at(0), Settings::default()).unwrap().authorization().to_owned()
    };
    let url = "https://h/?b=2&a=1";
    let base = signature(&[("A", "1"), ("B", "2"), ("a", "3")], url);
    assert_eq!(base, signature(&[("b", "2"), ("a", "1"), ("A", "3")], "https://h/?a=1&b=2"));
    assert_ne!(base, signature(&[("a", "3"), ("B", "2"), ("A", "1")], url));
}

#[test]
fn every_part_of_a_request_changes_the_signature() {
    let session = "session";
    let body = "body";
    let base = Request::new("POST", "https://h/p?q=1").unwrap().with_payload(Payload::Bytes(body.as_bytes()));
    let base = base.with_headers(&[("a", "b")]);
    let signature = |request: Request<'_>, credentials: Credentials<'_>, scope, when| {
        let explained = explain(&request, &credentials, scope, when, Settings::default()).unwrap();
        explained.signature().to_owned()
    };
    let credentials = Credentials::new("AKID", "secret", Some(session));
    let mut seen = vec![signature(base, credentials, SCOPE, at(0))];
    for changed in [
        Request { method: "PUT", ..base },
        Request { authority: "i", ..base },
        Request { path: "/P", ..base },
        Request { query: "q=2", ..base },
        Request { headers: &[("a", "c")], ..base },
        Request { headers: &[("b", "b")], ..base },
        Request { payload: Payload::Bytes(b"Body"), ..base },
        Request { payload: Payload::Unsigned, ..base },
    ] {
        seen.push(signature(changed, credentials, SCOPE, at(0)));
    }
    seen.push(signature(base, Credentials::new("AKID", "Secret", Some(session)), SCOPE, at(0)));
    seen.push(signature(base, Credentials::new("AKID", "secret", Some("Session")), SCOPE, at(0)));
    seen.push(signature(base, Credentials::new("AKID", "secret", None), SCOPE, at(0)));
    seen.push(signature(base, credentials, Scope::new("eu-central-2", "sts"), at(0)));
    seen.push(signature(base, credentials, Scope::new("eu-central-1", "iam"), at(0)));
    seen.push(signature(base, credentials, SCOPE, at(1)));
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn what_cannot_travel_is_refused_by_name() {
    let credentials = Credentials::new("AKID", "secret", None);
    let refuse = |request: Request<'_>, credentials: Credentials<'_>| {
        sign(&request, &credentials, SCOPE, at(0), Settings::default()).map(|_| ()).unwrap_err()
    };
    let request = Request::new("GET", "https://h/").unwrap();
    let value = |value| [("My-Header", value)];
    for (text, offset) in [("a\nb", 1), ("a\r\n", 2), ("\0", 0), ("ab\x7f", 2), ("a\rb", 1)] {
        let error = refuse(request.with_headers(&value(text)), credentials);
        assert_eq!(error, Error::HeaderValue { name: "My-Header".to_owned(), offset });
        assert!(!error.to_string().contains(text) && !error.to_string().contains('\n'));
    }
    for name in ["", "a b", "a:", "é", "a\n"] {
        let headers = [(name, "v")];
        assert_eq!(
            refuse(request.with_headers(&headers), credentials),
            Error::HeaderName { name: name.to_owned() }
        );
    }
    for token in ["line\n", "a\n b", "tab\t", "é"] {
        assert_eq!(refuse(request, Credentials::new("AKID", "secret", Some(token))), Error::SessionToken);
    }
    for id in ["", "A/B", "A,B", "A B", "é"] {
        assert_eq!(refuse(request, Credentials::new(id, "secret", None)), Error::AccessKeyId);
    }
    assert_eq!(refuse(Request { method: "G T", ..request }, credentials), Error::Method);
    assert_eq!(refuse(Request { path: "p", ..request }, credentials), Error::PathNotAbsolute);
    assert_eq!(refuse(Request { authority: "", ..request }, credentials), Error::HostMissing);
}

#[test]
fn presigned_urls_live_a_second_to_a_week() {
    let credentials = Credentials::new("AKID", "secret", Some("a+b/c="));
    let request = Request::new("GET", "https://u:p@H:443?b=+&X-Amz-Signature=old&X-Amz-Date=old&a").unwrap();
    let presign = |expires| presign(&request, &credentials, SCOPE, at(0), expires, Settings::default());
    for (seconds, millis) in [(0, 0), (0, 999), (604_801, 0), (u64::MAX, 0)] {
        let expires = Duration::new(seconds, millis * 1_000_000);
        assert_eq!(presign(expires).unwrap_err(), Error::Expires { seconds });
    }
    assert!(presign(Duration::from_millis(1_999)).unwrap().url().contains("&X-Amz-Expires=1&"));
    let week = presign(Duration::from_secs(604_800)).unwrap();
    assert_eq!(week.signed_headers(), "host");
    assert!(week.url().starts_with(
        "https://H:443/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F19700101%2Feu-central-1%2Fsts%2F\
         aws4_request&X-Amz-Date=19700101T000000Z&X-Amz-Expires=604800&X-Amz-Security-Token=a%2Bb%2Fc%3D&\
         X-Amz-SignedHeaders=host&a=&b=%20&X-Amz-Signature="
    ));
    let after = Settings { session_token: SessionToken::AddedAfter, ..Settings::default() };
    let url = sigv4::presign(&request, &credentials, SCOPE, at(0), Duration::from_secs(1), after)
        .unwrap()
        .into_url();
    assert!(url.contains("&a=&b=%20&X-Amz-Security-Token=a%2Bb%2Fc%3D&X-Amz-Signature="), "{url}");
}

#[test]
fn debug_shows_no_secret() {
    let (secret, session) = ("ThEsEcReT", "ThEsEsSiOn");
    let credentials = Credentials::new("AKID", secret, Some(session));
    let request = Request::new("GET", "https://user:ThEsEcReT@h/?t=ThEsEsSiOn").unwrap();
    let request =
        request.with_headers(&[("cookie", "ThEsEsSiOn")]).with_payload(Payload::Bytes(b"ThEsEcReT"));
    let mut cache = KeyCache::new();
    let key = cache.key(secret, SCOPE, at(0)).unwrap().clone();
    let settings = Settings::default();
    let shown = [
        format!("{credentials:?} {request:?} {cache:?} {key:?}"),
        format!("{:?}", sign(&request, &credentials, SCOPE, at(0), settings).unwrap()),
        format!("{:?}", explain(&request, &credentials, SCOPE, at(0), settings).unwrap()),
        format!(
            "{:?}",
            presign(&request, &credentials, SCOPE, at(0), Duration::from_secs(1), settings).unwrap()
        ),
    ];
    for text in shown {
        let lower = text.to_lowercase();
        assert!(!lower.contains("thesecret") && !lower.contains("thesession"), "{text}");
    }
}
