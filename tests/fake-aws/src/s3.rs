//! As much of S3 as shows whose permissions a client has: `ListObjectsV2` and `HeadBucket` on two buckets. Knows no
//! objects but two per bucket.

use std::collections::BTreeMap;

use crate::form::{self, escape_xml};
use crate::http::{Reply, Request};
use crate::record::Kind;
use crate::scenario;
use crate::state::{Answer, State};
use crate::verify::{Expectation, Refusal, verify};
use crate::{clock, issue};

const XMLNS: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
const TOLERANCE: time::Duration = time::Duration::minutes(15);
const OBJECTS: [&str; 2] = ["hello.txt", "reports/2026/november.csv"];

/// The buckets and the accounts that own them.
#[derive(Debug)]
pub(crate) struct S3State {
    pub(crate) buckets: BTreeMap<String, String>,
}

impl S3State {
    pub(crate) fn new() -> Self {
        let owned = |bucket: &str, account: &str| (bucket.to_owned(), account.to_owned());
        Self {
            buckets: BTreeMap::from([
                owned("my-bucket-1", scenario::ACCOUNT),
                owned("my-bucket-2", scenario::OTHER_ACCOUNT),
            ]),
        }
    }
}

/// What `request` asks for.
pub(crate) fn kind(request: &Request) -> Kind {
    let listing = form::value(&form::parse(request.query()), "list-type") == Some("2");
    match request.method.as_str() {
        "GET" if listing => Kind::ListObjects,
        "HEAD" if request.path().trim_matches('/').split('/').count() == 1 => Kind::HeadBucket,
        _ => Kind::OtherObject,
    }
}

/// Answers `request`.
pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    let mut caller = None;
    let mut reply = match perform(state, request, &mut caller) {
        Ok(listing) => Reply::new(200).body(listing),
        Err(error) => error.reply(),
    };
    if request.method == "HEAD" {
        reply.body.clear();
    }
    Answer { reply: finish(state, reply), caller }
}

/// An error that a test ordered.
pub(crate) fn ordered_error(state: &State, status: u16, code: &str) -> Reply {
    let error =
        S3Error { status, code: code.to_owned(), message: format!("{code} was ordered by the test.") };
    finish(state, error.reply())
}

struct S3Error {
    status: u16,
    code: String,
    message: String,
}

impl S3Error {
    fn new(status: u16, code: &str, message: &str) -> Self {
        Self { status, code: code.to_owned(), message: message.to_owned() }
    }

    fn reply(&self) -> Reply {
        let id = issue::request_id();
        Reply::new(self.status).header("x-amz-request-id", &id).body(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>\
             <RequestId>{id}</RequestId><HostId>fake</HostId></Error>",
            escape_xml(&self.code),
            escape_xml(&self.message),
        ))
    }
}

impl From<Refusal> for S3Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => Self::new(403, "AccessDenied", "Access Denied"),
            Refusal::Unsigned(_) => Self::new(
                403,
                "AccessDenied",
                "There were headers present in the request which were not signed",
            ),
            Refusal::Unhashed => Self::new(
                400,
                "InvalidRequest",
                "Missing required header for this request: x-amz-content-sha256",
            ),
            Refusal::Incomplete(message) | Refusal::Scope(message) => {
                Self::new(400, "AuthorizationHeaderMalformed", &message)
            }
            Refusal::UnknownKey => Self::new(
                403,
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            ),
            Refusal::WrongToken => {
                Self::new(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
            }
            Refusal::Expired => Self::new(400, "ExpiredToken", "The provided token has expired."),
            Refusal::TooOld { .. } | Refusal::TooNew { .. } => Self::new(
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            ),
            Refusal::Payload => Self::new(
                400,
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            ),
            Refusal::Mismatch => Self::new(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your key \
                 and signing method.",
            ),
        }
    }
}

fn perform(state: &State, request: &Request, caller_arn: &mut Option<String>) -> Result<String, S3Error> {
    let expected = Expectation { service: "s3", region: None, now: state.sts.now(), tolerance: TOLERANCE };
    let caller = verify(request, &state.directory, &expected)?;
    let arn = caller.identity.arn();
    *caller_arn = Some(arn.clone());
    if !matches!(kind(request), Kind::ListObjects | Kind::HeadBucket) {
        return Err(S3Error::new(
            501,
            "NotImplemented",
            "Only ListObjectsV2 and HeadBucket are understood here.",
        ));
    }
    let bucket = bucket(request);
    let owner = state
        .s3
        .buckets
        .get(&bucket)
        .ok_or_else(|| S3Error::new(404, "NoSuchBucket", "The specified bucket does not exist"))?;
    let resource = format!("arn:aws:s3:::{bucket}");
    // Buckets here have no policies, so that another account's bucket is closed whatever the caller may do.
    if owner != caller.identity.account() || !state.directory.permits(&caller, "s3:ListBucket", &resource) {
        return Err(S3Error::new(
            403,
            "AccessDenied",
            &format!(
                "User: {arn} is not authorized to perform: s3:ListBucket on resource: \"{resource}\" because no \
                 identity-based policy allows the s3:ListBucket action"
            ),
        ));
    }
    let query = form::parse(request.query());
    Ok(listing(
        state,
        &bucket,
        form::value(&query, "prefix").unwrap_or_default(),
        form::value(&query, "delimiter"),
    ))
}

/// The bucket: the first label of the host `BUCKET.localhost`, or else the first segment of the path.
fn bucket(request: &Request) -> String {
    let host = request.header("host").unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default();
    if let Some(bucket) = name.strip_suffix(".localhost") {
        return bucket.to_owned();
    }
    form::decode_path(request.path().trim_start_matches('/').split('/').next().unwrap_or_default())
}

fn listing(state: &State, bucket: &str, prefix: &str, delimiter: Option<&str>) -> String {
    let now = clock::rfc3339(state.sts.now()).replace('Z', ".000Z");
    let mut contents = String::new();
    let mut prefixes: Vec<String> = Vec::new();
    let mut count = 0_usize;
    for key in OBJECTS {
        let Some(rest) = key.strip_prefix(prefix) else { continue };
        let folder = delimiter
            .filter(|text| !text.is_empty())
            .and_then(|text| rest.split_once(text).map(|(folder, _)| format!("{prefix}{folder}{text}")));
        count = count.saturating_add(1);
        match folder {
            Some(folder) => prefixes
                .push(format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escape_xml(&folder))),
            None => contents.push_str(&format!(
                "<Contents><Key>{key}</Key><LastModified>{now}</LastModified>\
                 <ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>12</Size>\
                 <StorageClass>STANDARD</StorageClass></Contents>"
            )),
        }
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"{XMLNS}\"><Name>{}</Name>\
         <Prefix>{}</Prefix><KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>\
         {contents}{}</ListBucketResult>",
        escape_xml(bucket),
        escape_xml(prefix),
        prefixes.concat(),
    )
}

fn finish(state: &State, reply: Reply) -> Reply {
    reply.header("Content-Type", "application/xml").header("Date", &clock::http_date(state.sts.now()))
}
