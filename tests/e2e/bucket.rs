//! An application that uses what is published: it reads `credentials.json`, signs with this workspace's signer and
//! lists a bucket. Knows no retries.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::observe::now;
use crate::support::World;

impl World {
    /// The status that listing `bucket` with the published credentials of `profile` is answered with.
    pub(crate) fn list(&self, profile: &str, bucket: &str) -> u16 {
        let document = self.document(profile);
        let part = |name: &str| document[name].as_str();
        let credentials = sigv4::Credentials::new(
            part("AccessKeyId").unwrap(),
            part("SecretAccessKey").unwrap(),
            part("SessionToken"),
        );
        let url = format!("{}/{bucket}?list-type=2", self.fake.s3_url());
        let request = sigv4::Request::new("GET", &url).unwrap();
        let scope = sigv4::Scope::new("us-east-1", "s3");
        let signed = sigv4::sign(&request, &credentials, scope, now(), sigv4::Settings::S3).unwrap();
        let mut text = format!(
            "GET /{bucket}?list-type=2 HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            request.authority
        );
        for header in signed.headers() {
            text.push_str(&format!("{}: {}\r\n", header.name, header.value));
        }
        let answer = self.exchange(request.authority, &format!("{text}\r\n"));
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn exchange(&self, authority: &str, request: &str) -> String {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.fake.ca_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let port = authority.rsplit(':').next().unwrap().parse().unwrap();
        let tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}
