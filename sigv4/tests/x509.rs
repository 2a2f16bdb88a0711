//! Signing with the key of a certificate, compared with botocore's canonical text and with another library's signatures.
//! The keys are ring's, as the crate brings none.

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "offsets in vectors that are known")]
mod vectors {
    use std::cell::RefCell;
    use std::fs;
    use std::path::{Path, PathBuf};

    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RsaKeyPair, UnparsedPublicKey,
    };
    use serde_json::Value;
    use sigv4::{
        Error, Payload, Request, Scope, X509Algorithm, X509Identity, X509Key, X509Signed, sign_x509,
    };
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    enum Kind {
        Rsa(RsaKeyPair),
        P256(EcdsaKeyPair),
        /// Makes no signature.
        Broken,
    }

    /// A key that remembers what it signed.
    struct Key {
        kind: Kind,
        signed: RefCell<Vec<u8>>,
    }

    impl Key {
        fn new(kind: Kind) -> Self {
            Self { kind, signed: RefCell::default() }
        }

        fn read(name: &str) -> Self {
            let der = unpem(
                &fs::read_to_string(root().join("tests/x509").join(format!("{name}.pkcs8.pem"))).unwrap(),
            );
            Self::new(match name {
                "rsa-2048" => Kind::Rsa(RsaKeyPair::from_pkcs8(&der).unwrap()),
                // What is signed is the same on every curve; that P-384 signs it rightly is the agent's to test.
                _ if name != "p256" => Kind::Broken,
                _ => Kind::P256(
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der, &SystemRandom::new())
                        .unwrap(),
                ),
            })
        }
    }

    impl X509Key for Key {
        fn algorithm(&self) -> X509Algorithm {
            match self.kind {
                Kind::Rsa(_) => X509Algorithm::RsaSha256,
                Kind::P256(_) | Kind::Broken => X509Algorithm::EcdsaSha256,
            }
        }

        fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
            *self.signed.borrow_mut() = message.to_vec();
            let random = SystemRandom::new();
            match &self.kind {
                Kind::Rsa(pair) => {
                    let mut signature = vec![0; pair.public().modulus_len()];
                    pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                    Some(signature)
                }
                Kind::P256(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
                Kind::Broken => None,
            }
        }
    }

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn unpem(text: &str) -> Vec<u8> {
        unbase64(&text.lines().filter(|line| !line.starts_with('-')).collect::<String>())
    }

    fn unbase64(text: &str) -> Vec<u8> {
        const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
        for letter in text.trim_end_matches('=').chars() {
            bits = (bits << 6 | u32::try_from(ALPHABET.find(letter).unwrap()).unwrap()) & 0xffff;
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
            }
        }
        bytes
    }

    /// The serial number inside of a certificate that this crate is only told: the first integer behind the version.
    fn serial_number(der: &[u8]) -> &[u8] {
        let start =
            der.windows(6).position(|bytes| bytes[..5] == [0xa0, 3, 2, 1, 2] && bytes[5] == 2).unwrap() + 6;
        &der[start + 1..][..usize::from(der[start])]
    }

    fn sign(case: &Value, key: &Key, headers: &[(&str, &str)]) -> Result<X509Signed, Error> {
        let text = |name: &str| case[name].as_str().unwrap();
        let ders: Vec<Vec<u8>> = case["certificates"]
            .as_array()
            .unwrap()
            .iter()
            .map(|der| unbase64(der.as_str().unwrap()))
            .collect();
        let chain: Vec<&[u8]> = ders[1..].iter().map(Vec::as_slice).collect();
        let identity =
            X509Identity { serial_number: serial_number(&ders[0]), certificate: &ders[0], chain: &chain };
        let request = Request::new("POST", text("url"))?
            .with_headers(headers)
            .with_payload(Payload::Bytes(text("body").as_bytes()));
        let at = OffsetDateTime::parse(text("at"), &Rfc3339).unwrap();
        sign_x509(&request, &identity, key, Scope::new("eu-west-1", "rolesanywhere"), at)
    }

    fn cases() -> Vec<Value> {
        let directory = root().join("sigv4/tests/vectors/x509");
        let read = |entry: fs::DirEntry| fs::read_to_string(entry.path()).unwrap();
        let parse =
            |entry: std::io::Result<fs::DirEntry>| serde_json::from_str(&read(entry.unwrap())).unwrap();
        let cases: Vec<Value> = fs::read_dir(directory).unwrap().map(parse).collect();
        assert!(cases.len() >= 5, "only {} cases", cases.len());
        cases
    }

    #[test]
    fn every_vector_signs_what_botocore_would_and_as_another_library_does() {
        let sent = [("Content-Type", "application/json")];
        // Left over from an attempt with another certificate.
        let again = [sent[0], ("X-Amz-X509", "old"), ("x-amz-x509-chain", "old"), ("authorization", "old")];
        for case in cases() {
            let name = case["name"].as_str().unwrap();
            for headers in [&sent[..], &again] {
                let key = Key::read(case["key"].as_str().unwrap());
                let signed = sign(&case, &key, headers);
                let message = key.signed.borrow().clone();
                let expected = |field: &str| case["expected"][field].as_str().unwrap();
                assert_eq!(String::from_utf8(message.clone()).unwrap(), expected("string_to_sign"), "{name}");
                let signed = match (&key.kind, signed) {
                    (Kind::Broken, signed) => {
                        assert_eq!(signed.unwrap_err(), Error::PrivateKey);
                        continue;
                    }
                    (_, signed) => signed.unwrap(),
                };
                let authorization = signed.authorization();
                match &key.kind {
                    Kind::P256(pair) => {
                        let hex = authorization.strip_prefix(expected("authorization")).unwrap();
                        let signature: Vec<u8> = hex
                            .as_bytes()
                            .chunks(2)
                            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
                            .collect();
                        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key().as_ref())
                            .verify(&message, &signature)
                            .unwrap();
                    }
                    Kind::Rsa(_) | Kind::Broken => {
                        assert_eq!(authorization, expected("authorization"), "{name}");
                    }
                }
                let certificates: Vec<&str> = case["certificates"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|der| der.as_str().unwrap())
                    .collect();
                let mut headers: Vec<(&str, String)> = vec![
                    ("x-amz-date", "20260304T050607Z".to_owned()),
                    ("x-amz-x509", certificates[0].to_owned()),
                ];
                if certificates.len() > 1 {
                    headers.push(("x-amz-x509-chain", certificates[1..].join(",")));
                }
                headers.push(("authorization", authorization.to_owned()));
                let added: Vec<(&str, String)> =
                    signed.headers().map(|header| (header.name, header.value.to_owned())).collect();
                assert_eq!(added, headers, "{name}");
                assert!(signed.headers().all(|header| !header.is_sensitive()));
            }
        }
    }
}
