//! A client of the fake as any program on the host would be: credentials from the instance or from a published file,
//! and one S3 request signed with them.

use std::time::Duration;

use rolekeeper::clock::{Clock as _, SystemClock};
use rolekeeper::transport::{Channel, HttpTransport, Method, ProxyRules, Request, Response, Transport as _};
use serde_json::Value;

use crate::stage::{Failure, NAME, Stage, ensure};

const TIMEOUT: Duration = Duration::from_secs(10);
const ROLE: &str = "/latest/meta-data/iam/security-credentials/";
const TTL: (&str, &str) = ("x-aws-ec2-metadata-token-ttl-seconds", "60");

/// Credentials of a session.
pub(crate) struct Keys {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
}

impl Keys {
    /// Those that every SDK finds on the instance when no profile is named.
    pub(crate) fn of_the_instance(stage: &Stage) -> Result<Self, Failure> {
        let base = stage.fake.imds_url();
        let imds_token =
            text(&ask(Channel::Imds, Method::Put, &format!("{base}/latest/api/token"), &[TTL])?)?;
        let headers = [("x-aws-ec2-metadata-token", imds_token.as_str())];
        let read = |path: &str| text(&ask(Channel::Imds, Method::Get, &format!("{base}{path}"), &headers)?);
        let role = read(ROLE)?;
        Self::parse(&read(&format!("{ROLE}{}", role.trim()))?, "Token")
    }

    /// Those that were published for the profile.
    pub(crate) fn published(stage: &Stage) -> Result<Self, Failure> {
        let document = stage.published().join("profiles").join(NAME).join("credentials.json");
        Self::parse(&std::fs::read_to_string(document)?, "SessionToken")
    }

    fn parse(document: &str, session_token: &str) -> Result<Self, Failure> {
        let document: Value = serde_json::from_str(document)?;
        let member = |name: &str| {
            let text = document.get(name).and_then(Value::as_str).map(str::to_owned);
            text.ok_or_else(|| Failure::from(format!("a credentials document has no `{name}`")))
        };
        Ok(Self {
            access_key_id: member("AccessKeyId")?,
            secret_access_key: member("SecretAccessKey")?,
            session_token: member(session_token)?,
        })
    }
}

/// What `ListObjectsV2` of `bucket` gives with `keys`: a number of objects, or the error's code.
pub(crate) fn list(stage: &Stage, bucket: &str, keys: &Keys) -> Result<String, Failure> {
    let url = format!("{}/{bucket}?list-type=2", stage.fake.s3_url());
    let request = sigv4::Request::new("GET", &url)?;
    let credentials =
        sigv4::Credentials::new(&keys.access_key_id, &keys.secret_access_key, Some(&keys.session_token));
    let scope = sigv4::Scope::new("us-east-1", "s3");
    let now = SystemClock::start().now();
    let signed = sigv4::sign(&request, &credentials, scope, now, sigv4::Settings::S3)?;
    let headers: Vec<(&str, &str)> = signed.headers().map(|header| (header.name, header.value)).collect();
    let ca_file = stage.ca_file();
    let channel = Channel::Sts { ca_bundle: Some(&ca_file) };
    let reply = ask(channel, Method::Get, &url, &headers)?;
    let xml = reply.text().ok_or("S3 answered something that is no text")?;
    if reply.status == 200 {
        return Ok(format!("{} objects", xml.matches("<Key>").count()));
    }
    let code = xml.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    Ok(code.map_or_else(|| format!("status {}", reply.status), |(code, _)| code.to_owned()))
}

fn ask(
    channel: Channel<'_>,
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
) -> Result<Response, Failure> {
    let clock = SystemClock::start();
    let request = Request {
        channel,
        method,
        url,
        headers,
        body: b"",
        connect_timeout: TIMEOUT,
        timeout: TIMEOUT,
        told_time: None,
    };
    Ok(HttpTransport::new(&clock, ProxyRules::default()).send(&request)?)
}

fn text(reply: &Response) -> Result<String, Failure> {
    ensure(reply.status == 200, "the instance metadata service refused")?;
    Ok(reply.text().ok_or("the instance metadata service answered something that is no text")?.to_owned())
}
