//! Every form of key beside certificates made for it, and everything that is no usable pair.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, SerialNumber};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use sigv4::X509Key as _;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-24 00:00:00 UTC);

/// A directory of its own with mode 0700, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rolekeeper-x509-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::File::create(&path).unwrap().write_all(content.as_ref()).unwrap();
        path
    }

    fn load(&self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<X509Identity, String> {
        let files = X509Files {
            certificate: self.file("certificate", certificate),
            private_key: self.file("key", key),
            chain: None,
        };
        X509Identity::load(&files, NOW).map_err(|error| {
            assert!(error.advice().is_some(), "{error} without advice");
            error.to_string().replace(&format!("{}/", self.0.display()), "")
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/x509").join(name)).unwrap()
}

/// A certificate for the key of `name`, valid for a day before and after [`NOW`].
fn certificate(name: &str) -> rcgen::Certificate {
    let key = KeyPair::from_pem(str::from_utf8(&fixture(name)).unwrap()).unwrap();
    let mut params = CertificateParams::default();
    params.not_before = NOW.saturating_sub(Duration::DAY);
    params.not_after = NOW.saturating_add(Duration::DAY);
    params.serial_number = Some(SerialNumber::from(vec![0x81, 0, 7]));
    params.self_signed(&key).unwrap()
}

#[test]
fn every_form_of_key_signs_for_its_certificate() {
    let place = Place::new("forms");
    type Verifier = &'static dyn VerificationAlgorithm;
    let rsa: Verifier = &signature::RSA_PKCS1_2048_8192_SHA256;
    let p256: Verifier = &signature::ECDSA_P256_SHA256_ASN1;
    let p384: Verifier = &signature::ECDSA_P384_SHA256_ASN1;
    let p384_tls: Verifier = &signature::ECDSA_P384_SHA384_ASN1;
    for (holder, forms, verifier, tls) in [
        (
            "rsa-2048.pkcs8.pem",
            &["rsa-2048.pkcs8.pem", "rsa-2048.pkcs1.pem", "rsa-2048.pkcs1.der"][..],
            rsa,
            rsa,
        ),
        ("p256.pkcs8.pem", &["p256.pkcs8.pem", "p256.sec1.pem", "p256.sec1.der"], p256, p256),
        ("p384.pkcs8.pem", &["p384.pkcs8.pem", "p384.sec1.pem", "p384.pkcs8.der"], p384, p384_tls),
    ] {
        let certificate = certificate(holder);
        for form in forms {
            for content in [certificate.pem().into_bytes(), certificate.der().to_vec()] {
                let identity = place.load(content, fixture(form)).unwrap();
                assert_eq!(identity.certificates, [certificate.der().to_vec()], "{form}");
                assert_eq!(identity.serial_number, [0, 0x81, 0, 7], "{form}");
                let parsed = Certificate::parse(certificate.der()).unwrap();
                let verify = |verifier: Verifier, signature: Vec<u8>, message: &[u8]| {
                    UnparsedPublicKey::new(verifier, parsed.public_key.key).verify(message, &signature)
                };
                // Often enough that numbers with a leading zero, and with a leading one bit, occur.
                for round in 0..60_u8 {
                    let message = [b"to be signed", &[round][..]].concat();
                    verify(verifier, identity.key.sign(&message).unwrap(), &message)
                        .unwrap_or_else(|_| panic!("{form}, round {round}"));
                    if let Some(signature) = identity.key.sign_ec(&message) {
                        verify(tls, signature, &message).unwrap();
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_no_usable_pair_is_refused_by_name() {
    let place = Place::new("refused");
    let pem = certificate("p256.pkcs8.pem").pem();
    let in_der = certificate("p256.pkcs8.pem").der().to_vec();
    let rsa = certificate("rsa-2048.pkcs8.pem").pem();
    let key = fixture("p256.sec1.pem");
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 60].to_vec();
    let damaged = pem.replacen("MII", "MJJ", 1);
    for (certificate, key, expected) in [
        (pem.as_bytes(), fixture("rsa-2048.encrypted.pem"), "`key`: the private key is encrypted"),
        (pem.as_bytes(), fixture("rsa-2048.encrypted.der"), "`key`: the private key is encrypted"),
        (pem.as_bytes(), fixture("rsa-2048.proc-type.pem"), "`key`: the private key is encrypted"),
        (
            pem.as_bytes(),
            fixture("p521.sec1.pem"),
            "`key`: holds a key on the curve P-521, which is not supported",
        ),
        (
            pem.as_bytes(),
            fixture("p521.pkcs8.pem"),
            "`key`: holds a key on the curve P-521, which is not supported",
        ),
        (
            pem.as_bytes(),
            fixture("ed25519.pkcs8.pem"),
            "`key`: holds a key that is neither RSA nor EC, which is not supported",
        ),
        (
            pem.as_bytes(),
            fixture("rsa-1024.pkcs8.pem"),
            "`key`: holds an RSA key of fewer than 2048 or more than 4096 bits, which is not supported",
        ),
        (
            pem.as_bytes(),
            fixture("p384.sec1.pem"),
            "`key`: the private key does not belong to the certificate",
        ),
        (
            pem.as_bytes(),
            fixture("rsa-2048.pkcs1.pem"),
            "`key`: the private key does not belong to the certificate",
        ),
        (rsa.as_bytes(), key.clone(), "`key`: the private key does not belong to the certificate"),
        (pem.as_bytes(), vec![], "`key`: the file is empty"),
        (b"", key.clone(), "`certificate`: the file is empty"),
        (pem.as_bytes(), pem.clone().into_bytes(), "`key`: holds `CERTIFICATE`, not a private key"),
        (&fixture("p256.pkcs8.pem"), key.clone(), "`certificate`: holds `PRIVATE KEY`, not a certificate"),
        (&fixture("p256.sec1.der"), key.clone(), "`certificate`: holds a private key, not a certificate"),
        (&fixture("p384.pkcs8.der"), key.clone(), "`certificate`: holds a private key, not a certificate"),
        (
            &fixture("rsa-2048.encrypted.der"),
            key.clone(),
            "`certificate`: holds a private key, not a certificate",
        ),
        (pem.as_bytes(), in_der, "`key`: holds a certificate, not a private key"),
        (b"hello\n", key.clone(), "`certificate`: holds neither PEM nor a certificate in DER"),
        (pem.as_bytes(), b"hello\n".to_vec(), "`key`: holds no private key that can be read"),
        (damaged.as_bytes(), key.clone(), "`certificate`: holds a damaged certificate"),
        (&cut(pem.as_bytes()), key.clone(), "`certificate`: holds a damaged certificate"),
        (pem.as_bytes(), cut(&key), "`key`: holds a damaged private key"),
        (pem.as_bytes(), cut(&fixture("p256.sec1.der")), "`key`: holds no private key that can be read"),
        (pem.as_bytes(), cut(&fixture("rsa-2048.pkcs1.der")), "`key`: holds no private key that can be read"),
        (&[b'x'; 65537], key.clone(), "`certificate`: the file is larger than 65536 bytes"),
        (pem.as_bytes(), vec![b'x'; 65537], "`key`: the file is larger than 65536 bytes"),
        (
            b"-----BEGIN PKCS7\x1b[2J-----\n-----END ",
            key,
            "`certificate`: holds `PKCS7\\u{1b}[2J`, not a certificate",
        ),
    ] {
        match place.load(certificate, &key) {
            Err(error) => assert_eq!(error, expected),
            Ok(identity) => panic!("{identity:?} instead of {expected}"),
        }
    }
    let other = place.load(&pem, KeyPair::generate().unwrap().serialize_pem());
    assert_eq!(other.unwrap_err(), "`key`: the private key does not belong to the certificate");
}

/// An RSA key whose numbers were tampered with must not be signed with.
#[test]
fn a_key_that_does_not_fit_itself_is_refused() {
    let place = Place::new("tampered");
    let mut key = fixture("rsa-2048.pkcs1.der");
    let middle = key.len() / 2;
    key[middle] ^= 1;
    let result = place.load(certificate("rsa-2048.pkcs8.pem").pem(), key);
    assert_eq!(result.unwrap_err(), "`key`: holds an RSA key whose numbers do not fit together");
}

#[test]
fn a_certificate_is_held_against_the_time() {
    let place = Place::new("time");
    let files = X509Files {
        certificate: place.file("certificate", certificate("p256.pkcs8.pem").pem()),
        private_key: place.file("key", fixture("p256.sec1.pem")),
        chain: None,
    };
    let verdict = |now| match X509Identity::load(&files, now) {
        Ok(_) => String::new(),
        Err(error) => error.problem.to_string(),
    };
    let (first, last) = (datetime!(2026-11-23 0:00 UTC), datetime!(2026-11-25 0:00 UTC));
    assert_eq!(verdict(first), "");
    assert_eq!(verdict(last), "");
    assert_eq!(
        verdict(first - Duration::SECOND),
        "the certificate is not valid before `2026-11-23T00:00:00Z`; it is `2026-11-22T23:59:59Z`"
    );
    assert_eq!(
        verdict(last + Duration::SECOND),
        "the certificate expired at `2026-11-25T00:00:00Z`; it is `2026-11-25T00:00:01Z`"
    );
}

#[test]
fn the_chain_stands_behind_the_certificate_or_in_a_file_of_its_own() {
    let place = Place::new("chain");
    let (leaf, other) = (certificate("p256.pkcs8.pem"), certificate("p384.pkcs8.pem"));
    let third = certificate("rsa-2048.pkcs8.pem");
    let mut files = X509Files {
        certificate: place.file("certificate", format!("{}text\n{}", leaf.pem(), other.pem())),
        private_key: place.file("key", fixture("p256.sec1.pem")),
        chain: None,
    };
    let load = |files: &X509Files| X509Identity::load(files, NOW).map(|identity| identity.certificates);
    assert_eq!(load(&files).unwrap(), [leaf.der().to_vec(), other.der().to_vec()]);
    files.chain = Some(place.file("chain", format!("{}{}", third.pem(), other.pem())));
    let expected = [&leaf, &third, &other].map(|certificate| certificate.der().to_vec());
    assert_eq!(load(&files).unwrap(), expected);
    files.chain = Some(place.0.join("absent"));
    assert!(load(&files).unwrap_err().to_string().ends_with("/absent`: the file does not exist"));
    files.chain = Some(place.0.clone());
    assert!(load(&files).unwrap_err().to_string().ends_with("`: a directory, not a file"));
}

#[test]
fn root_takes_no_file_that_others_can_change() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root is so strict");
        return;
    }
    let place = Place::new("trust");
    let files = X509Files {
        certificate: place.file("certificate", certificate("p256.pkcs8.pem").pem()),
        private_key: place.file("key", fixture("p256.sec1.pem")),
        chain: None,
    };
    for file in [&files.certificate, &files.private_key] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
        let error = X509Identity::load(&files, NOW).unwrap_err();
        assert_eq!(&error.file, file);
        assert!(error.to_string().contains("not trusted by root"), "{error}");
        assert!(error.advice().unwrap().starts_with("run `chmod go-w "));
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
}
