//! A client that sends exactly what it is told to, and signs with `aws-sigv4`. Knows no retries and no
//! politeness.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use fake_aws::{FakeAws, Keys, Options};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::clock;

/// What signatures are made for.
#[derive(Clone, Copy)]
pub(crate) struct Scope {
    pub(crate) region: &'static str,
    pub(crate) service: &'static str,
    /// Seconds between the host's time and that of the signature.
    pub(crate) shift: i64,
}

pub(crate) const STS: Scope = Scope { region: "us-east-1", service: "sts", shift: 0 };
pub(crate) const S3: Scope = Scope { region: "us-east-1", service: "s3", shift: 0 };

/// A request that may still be changed.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// An answer, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The text of the first element of this name.
    pub(crate) fn element(&self, name: &str) -> String {
        let text = self.text();
        let (_, rest) =
            text.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no `{name}` in {text}"));
        let (value, _) = rest.split_once(&format!("</{name}>")).unwrap();
        value.replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Status and error code.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.element("Code"))
    }

    pub(crate) fn message(&self) -> String {
        self.element("Message")
    }

    /// The keys in the answer of `AssumeRole`.
    pub(crate) fn keys(&self) -> Keys {
        assert_eq!(self.status, 200, "{}", self.text());
        Keys {
            access_key_id: self.element("AccessKeyId"),
            secret_access_key: self.element("SecretAccessKey"),
            session_token: Some(self.element("SessionToken")),
        }
    }
}

pub(crate) fn start() -> FakeAws {
    FakeAws::start(Options::new()).unwrap()
}

/// A form for STS, unsigned.
pub(crate) fn form(fake: &FakeAws, parameters: &[(&str, &str)]) -> Message {
    let escape = |text: &str| {
        text.bytes()
            .map(|byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    char::from(byte).to_string()
                }
                other => format!("%{other:02X}"),
            })
            .collect::<String>()
    };
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    Message {
        method: "POST".into(),
        target: "/".into(),
        headers: vec![
            ("Host".into(), fake.sts_url().replace("https://", "")),
            ("Content-Type".into(), "application/x-www-form-urlencoded; charset=utf-8".into()),
        ],
        body: format!("{}&Version=2011-06-15", pairs.join("&")),
    }
}

/// A GET, unsigned.
pub(crate) fn get(url: &str, target: &str) -> Message {
    let host = url.split_once("://").unwrap().1.to_owned();
    Message {
        method: "GET".into(),
        target: target.into(),
        headers: vec![("Host".into(), host)],
        body: String::new(),
    }
}

impl Message {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self
    }

    /// Replaces part of a header's value.
    pub(crate) fn change(mut self, name: &str, from: &str, to: &str) -> Self {
        for (key, value) in &mut self.headers {
            if key.eq_ignore_ascii_case(name) {
                assert!(value.contains(from), "`{from}` is not in `{value}`");
                *value = value.replace(from, to);
            }
        }
        self
    }

    pub(crate) fn signed(mut self, keys: &Keys, scope: Scope) -> Self {
        let identity = Credentials::new(
            keys.access_key_id.as_str(),
            keys.secret_access_key.as_str(),
            keys.session_token.clone(),
            None,
            "test",
        )
        .into();
        let mut settings = SigningSettings::default();
        if scope.service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(scope.region)
            .name(scope.service)
            .time(clock::shifted(scope.shift))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let host = self.headers.iter().find(|(name, _)| name == "Host").unwrap().1.clone();
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let body = SignableBody::Bytes(self.body.as_bytes());
        let uri = format!("https://{host}{}", self.target);
        let request = SignableRequest::new(&self.method, uri, headers, body).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let (headers, _) = instructions.into_parts();
        for header in headers {
            self.headers.push((header.name().to_owned(), header.value().to_owned()));
        }
        self
    }

    fn render(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\nConnection: close\r\n\r\n{}", self.body.len(), self.body);
        text.into_bytes()
    }

    pub(crate) fn send(&self, fake: &FakeAws) -> Answer {
        self.try_send(fake).unwrap()
    }

    /// Sends to whichever service the `Host` header names by its port, over TLS unless that is IMDS.
    pub(crate) fn try_send(&self, fake: &FakeAws) -> io::Result<Answer> {
        let host = &self.headers.iter().find(|(name, _)| name == "Host").unwrap().1;
        let stream = TcpStream::connect(("127.0.0.1", host.rsplit(':').next().unwrap().parse().unwrap()))?;
        if fake.imds_url().ends_with(host.as_str()) {
            return exchange(stream, &self.render());
        }
        let tls = ClientConnection::new(trust(fake.ca_pem()), ServerName::try_from("localhost").unwrap());
        exchange(StreamOwned::new(tls.unwrap(), stream), &self.render())
    }
}

fn trust(ca_pem: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn exchange(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Answer> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let body =
        bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let body = bytes.split_off(body.saturating_add(4));
    let head = String::from_utf8(bytes).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer { status, head, body })
}

/// `AssumeRole` of `role_arn` with what else is given, by the holder of `keys`.
pub(crate) fn assume(fake: &FakeAws, keys: &Keys, role_arn: &str, more: &[(&str, &str)]) -> Answer {
    let mut parameters = vec![("Action", "AssumeRole"), ("RoleArn", role_arn)];
    if !more.iter().any(|(name, _)| *name == "RoleSessionName") {
        parameters.push(("RoleSessionName", "tester"));
    }
    parameters.extend_from_slice(more);
    form(fake, &parameters).signed(keys, STS).send(fake)
}

/// `GetCallerIdentity` by the holder of `keys`.
pub(crate) fn whoami(fake: &FakeAws, keys: &Keys) -> Answer {
    form(fake, &[("Action", "GetCallerIdentity")]).signed(keys, STS).send(fake)
}

/// `ListObjectsV2` of `bucket` by the holder of `keys`.
pub(crate) fn list(fake: &FakeAws, keys: &Keys, bucket: &str) -> Answer {
    get(&fake.s3_url(), &format!("/{bucket}?list-type=2&prefix=&delimiter=%2F")).signed(keys, S3).send(fake)
}

/// A new IMDS token.
pub(crate) fn imds_token(fake: &FakeAws, seconds: &str) -> Answer {
    let mut request = get(&fake.imds_url(), "/latest/api/token");
    request.method = "PUT".into();
    request.with("x-aws-ec2-metadata-token-ttl-seconds", seconds).send(fake)
}

/// A path of IMDS with a new token.
pub(crate) fn metadata(fake: &FakeAws, path: &str) -> Answer {
    let token = imds_token(fake, "60").text();
    get(&fake.imds_url(), path).with("x-aws-ec2-metadata-token", &token).send(fake)
}

/// The keys that IMDS gives the instance.
pub(crate) fn instance_keys(fake: &FakeAws, role: &str) -> Keys {
    let answer = metadata(fake, &format!("/latest/meta-data/iam/security-credentials/{role}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let member = |name: &str| document[name].as_str().unwrap().to_owned();
    Keys {
        access_key_id: member("AccessKeyId"),
        secret_access_key: member("SecretAccessKey"),
        session_token: Some(member("Token")),
    }
}
