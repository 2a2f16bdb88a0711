//! Every vector, compared at each checkpoint. The directory is the list of tests; botocore computed what is
//! expected.

#[cfg(test)]
mod vectors {
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    use serde_json::Value;
    use sigv4::{
        ContentSha256, Credentials, KeyCache, PathNormalisation, Payload, Request, Scope, SessionToken,
        Settings, UriEncoding, explain, explain_presigned, presign, sign, sign_into,
    };
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    /// Renders every checkpoint that differs, so that the first one named is where to look.
    fn differences(name: &str, checkpoints: &[(&str, &str, &str)]) -> Vec<String> {
        let differing = checkpoints.iter().filter(|(_, ours, expected)| ours != expected);
        differing
            .map(|(which, ours, expected)| {
                format!("{name}: {which}\n--- ours\n{ours}\n--- botocore\n{expected}\n")
            })
            .collect()
    }

    fn text<'a>(case: &'a Value, field: &str) -> &'a str {
        case[field].as_str().unwrap_or_else(|| panic!("`{field}` is not a text"))
    }

    fn settings(case: &Value) -> Settings {
        Settings {
            path: if text(case, "path") == "on" { PathNormalisation::On } else { PathNormalisation::Off },
            encoding: if text(case, "encoding") == "double" {
                UriEncoding::Double
            } else {
                UriEncoding::Single
            },
            session_token: match text(case, "session_token") {
                "signed" => SessionToken::Signed,
                _ => SessionToken::AddedAfter,
            },
            content_sha256: match text(case, "content_sha256") {
                "added" => ContentSha256::Added,
                _ => ContentSha256::Omitted,
            },
        }
    }

    fn sha256(body: &[u8]) -> [u8; 32] {
        use sha2::Digest;
        sha2::Sha256::digest(body).into()
    }

    fn run(name: &str, case: &Value) -> Vec<String> {
        let headers: Vec<(&str, &str)> = case["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .collect();
        let body = case["body"].as_str().unwrap_or_default().as_bytes();
        let payload = match text(case, "payload") {
            "sha256" => Payload::Sha256(sha256(body)),
            "unsigned" => Payload::Unsigned,
            _ => Payload::Bytes(body),
        };
        let request = Request::new(text(case, "method"), text(case, "url")).unwrap();
        let request = request.with_headers(&headers).with_payload(payload);
        let credentials = Credentials::new(text(case, "key"), text(case, "secret"), case["token"].as_str());
        let scope = Scope::new(text(case, "region"), text(case, "service"));
        let at = OffsetDateTime::parse(text(case, "at"), &Rfc3339).unwrap();
        let settings = settings(case);
        let expected = &case["expected"];

        if let Some(seconds) = case["expires"].as_u64() {
            let expires = Duration::from_secs(seconds);
            let explained = explain_presigned(&request, &credentials, scope, at, expires, settings).unwrap();
            let url = presign(&request, &credentials, scope, at, expires, settings).unwrap().into_url();
            let (_, signature) = url.rsplit_once("&X-Amz-Signature=").unwrap();
            return differences(
                name,
                &[
                    ("canonical request", explained.canonical_request(), text(expected, "canonical_request")),
                    ("string to sign", explained.string_to_sign(), text(expected, "string_to_sign")),
                    ("signature", explained.signature(), text(expected, "signature")),
                    ("signature in the URL", signature, text(expected, "signature")),
                ],
            );
        }
        let explained = explain(&request, &credentials, scope, at, settings).unwrap();
        let signed = sign(&request, &credentials, scope, at, settings).unwrap();
        let mut cache = KeyCache::new();
        let key = cache.key(text(case, "secret"), scope, at).unwrap();
        let mut buffer = String::from("left over");
        let signed_into = sign_into(&request, &credentials, key, at, settings, &mut buffer).unwrap();
        differences(
            name,
            &[
                ("canonical request", explained.canonical_request(), text(expected, "canonical_request")),
                ("string to sign", explained.string_to_sign(), text(expected, "string_to_sign")),
                ("signature", explained.signature(), text(expected, "signature")),
                ("authorization", signed.authorization(), text(expected, "authorization")),
                ("authorization in a buffer", signed_into.authorization(), text(expected, "authorization")),
            ],
        )
    }

    #[test]
    fn every_vector_matches_botocore_at_every_checkpoint() {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/cases");
        let mut failures = Vec::new();
        let mut count = 0;
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let case: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert_eq!(name, text(&case, "name"));
            failures.extend(run(&name, &case));
            count += 1;
        }
        assert!(count >= 140, "only {count} vectors found");
        assert!(failures.is_empty(), "{} differences\n{}", failures.len(), failures.join("\n"));
    }
}
