//! The authority that issues certificates to devices and hosts, directly or through an intermediate one.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use time::Duration;

use crate::clock;
use crate::error::StartError;
use crate::options::Validity;

/// What a certificate is to be.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The holder's private key, PKCS#8 in PEM.
    pub key_pem: &'a str,
    /// The serial number, most significant byte first.
    pub serial_number: Vec<u8>,
    /// When it is valid, counted from now.
    pub validity: Validity,
    /// Whether an intermediate authority issues it.
    pub intermediate: bool,
    /// Whether an authority issues it that nobody believes.
    pub foreign: bool,
}

impl<'a> Order<'a> {
    /// A certificate for this key, valid for ninety days, from the authority itself.
    #[must_use]
    pub fn new(key_pem: &'a str) -> Self {
        Self {
            key_pem,
            serial_number: vec![0x42],
            validity: Validity::NINETY_DAYS,
            intermediate: false,
            foreign: false,
        }
    }
}

/// A certificate in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The holder's own.
    pub pem: String,
    /// What leads from it to the root: the intermediate authority, where there is one.
    pub chain_pem: String,
}

/// A root and its key.
pub(crate) struct Authority {
    pub(crate) root: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    pub(crate) fn new() -> Result<Self, StartError> {
        let params = ca_params("fake device CA");
        let key = KeyPair::generate().map_err(StartError::Certificate)?;
        let root = params.self_signed(&key).map_err(StartError::Certificate)?;
        Ok(Self { root, issuer: Issuer::new(params, key) })
    }

    pub(crate) fn issue(&self, order: &Order<'_>) -> Result<Certificate, StartError> {
        if order.foreign {
            return Self::new()?.issue(&Order { foreign: false, ..order.clone() });
        }
        let key = KeyPair::from_pem(order.key_pem).map_err(StartError::Certificate)?;
        let mut params = CertificateParams::default();
        let now = clock::now();
        params.not_before = now.saturating_add(order.validity.not_before);
        params.not_after = now.saturating_add(order.validity.not_after);
        params.serial_number = Some(SerialNumber::from(order.serial_number.clone()));
        params.distinguished_name.push(DnType::CommonName, "device");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !order.intermediate {
            let leaf = params.signed_by(&key, &self.issuer).map_err(StartError::Certificate)?;
            return Ok(Certificate { pem: leaf.pem(), chain_pem: String::new() });
        }
        let middle = ca_params("fake intermediate CA");
        let middle_key = KeyPair::generate().map_err(StartError::Certificate)?;
        let chain = middle.signed_by(&middle_key, &self.issuer).map_err(StartError::Certificate)?;
        let issuer = Issuer::new(middle, middle_key);
        let leaf = params.signed_by(&key, &issuer).map_err(StartError::Certificate)?;
        Ok(Certificate { pem: leaf.pem(), chain_pem: chain.pem() })
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let now = clock::now();
    params.not_before = now.saturating_sub(Duration::days(3650));
    params.not_after = now.saturating_add(Duration::days(3650));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}
