//! How often signing asks for memory. A test binary of its own, because the counter replaces the allocator.

use allocation_counter::measure;
use sigv4::{Credentials, KeyCache, Payload, Request, Scope, Settings, sign, sign_into, sign_with_key};
use time::OffsetDateTime;

const SECRET: &str = "a secret of forty characters, not a key!";
const HEADERS: [(&str, &str); 14] = [
    ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
    ("Content-Length", "300"),
    ("User-Agent", "rolekeeper"),
    ("Accept", "*/*"),
    ("X-Amz-Meta-1", " a   b "),
    ("X-Amz-Meta-2", "x"),
    ("X-Amz-Meta-2", "y"),
    ("X-Amz-Meta-3", "x"),
    ("X-Amz-Meta-4", "x"),
    ("X-Amz-Meta-5", "x"),
    ("X-Amz-Meta-6", "x"),
    ("X-Amz-Meta-7", "x"),
    ("X-Amz-Meta-8", "x"),
    ("Range", "bytes=0-9"),
];

#[test]
fn signing_into_a_buffer_allocates_nothing_and_signing_once() {
    let session_token = "FwoGZXIvYXdzEJr//////////wEa".repeat(22);
    let credentials = Credentials::new("ASIAEXAMPLE", SECRET, Some(&session_token));
    let scope = Scope::new("eu-central-1", "sts");
    let at = OffsetDateTime::UNIX_EPOCH;
    let url = "https://sts.eu-central-1.amazonaws.com/a/../b%20c/?z=1&y=2%20&x&w=+&Action=GetCallerIdentity";
    let request = Request::new("POST", url).unwrap();
    let request = request.with_headers(&HEADERS).with_payload(Payload::Bytes(b"Action=AssumeRole"));
    let mut cache = KeyCache::new();
    let mut buffer = String::with_capacity(512);
    cache.key(SECRET, scope, at).unwrap();

    for settings in [Settings::default(), Settings::S3] {
        let into = measure(|| {
            let key = cache.key(SECRET, scope, at).unwrap();
            let signed = sign_into(&request, &credentials, key, at, settings, &mut buffer).unwrap();
            assert!(signed.headers().count() >= 3);
        });
        assert_eq!(into.count_total, 0, "{settings:?}");

        let derived = measure(|| drop(sign(&request, &credentials, scope, at, settings).unwrap()));
        assert_eq!(derived.count_total, 1);
        let key = cache.key(SECRET, scope, at).unwrap();
        let kept = measure(|| drop(sign_with_key(&request, &credentials, key, at, settings).unwrap()));
        assert_eq!(kept.count_total, 1);
    }
}
