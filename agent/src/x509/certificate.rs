//! The few fields of a certificate that its holder needs: serial number, validity, public key. Source: RFC 5280, 4.1.
//! Whether anybody trusts it is for the other side to say.

use time::{Date, Month, OffsetDateTime, Time};

use super::der::{BIT_STRING, CONTEXT_0, Der, GENERALIZED_TIME, INTEGER, OBJECT, UTC_TIME};

/// Fields of a certificate, borrowed from it.
pub(super) struct Certificate<'a> {
    /// Most significant byte first; never negative.
    pub(super) serial_number: &'a [u8],
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
    pub(super) public_key: PublicKey<'a>,
}

/// A public key with the object identifiers that say what it is.
pub(super) struct PublicKey<'a> {
    pub(super) algorithm: &'a [u8],
    /// The curve, where the algorithm has one.
    pub(super) curve: &'a [u8],
    /// An RSA key in the form of PKCS#1, or the point of a key on a curve.
    pub(super) key: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// `None` where `der` is no certificate.
    pub(super) fn parse(der: &'a [u8]) -> Option<Self> {
        let mut signed = Der::sequence_of(der)?.sequence()?;
        // The version, which the first version leaves out.
        if signed.tag() == Some(CONTEXT_0) {
            signed.take(CONTEXT_0)?;
        }
        let serial_number = signed.take(INTEGER)?;
        let is_negative = serial_number.first().is_none_or(|byte| byte & 0x80 != 0);
        signed.sequence()?; // signature algorithm
        signed.sequence()?; // issuer
        let mut validity = signed.sequence()?;
        let (not_before, not_after) = (instant(&mut validity)?, instant(&mut validity)?);
        signed.sequence()?; // subject
        let mut key = signed.sequence()?;
        let mut kind = key.sequence()?;
        let algorithm = kind.take(OBJECT)?;
        let curve = kind.take(OBJECT).unwrap_or_default();
        // In front of the bits stands how many of the last byte are unused: none in a key.
        let key = key.take(BIT_STRING)?.strip_prefix(&[0])?;
        let public_key = PublicKey { algorithm, curve, key };
        (!is_negative).then_some(Self { serial_number, not_before, not_after, public_key })
    }
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the only forms that certificates may use.
fn instant(validity: &mut Der<'_>) -> Option<OffsetDateTime> {
    let is_short = validity.tag() == Some(UTC_TIME);
    let text = validity.take(if is_short { UTC_TIME } else { GENERALIZED_TIME })?;
    let digits = text.strip_suffix(b"Z")?;
    if digits.len() != if is_short { 12 } else { 14 } || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut pairs = digits.chunks_exact(2).map(|pair| str::from_utf8(pair).ok()?.parse::<u8>().ok());
    let mut pair = || pairs.next().flatten();
    let first = i32::from(pair()?);
    let year = match is_short {
        true if first < 50 => first.saturating_add(2000),
        true => first.saturating_add(1900),
        false => first.saturating_mul(100).saturating_add(i32::from(pair()?)),
    };
    let date = Date::from_calendar_date(year, Month::try_from(pair()?).ok()?, pair()?).ok()?;
    Some(date.with_time(Time::from_hms(pair()?, pair()?, pair()?).ok()?).assume_utc())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn both_forms_of_time_are_read() {
        let read = |tag: u8, text: &[u8]| {
            let element = [&[tag, u8::try_from(text.len()).unwrap()], text].concat();
            let sequence = [&[0x30, u8::try_from(element.len()).unwrap()], element.as_slice()].concat();
            instant(&mut Der::sequence_of(&sequence).unwrap())
        };
        assert_eq!(read(UTC_TIME, b"261123203000Z"), Some(datetime!(2026-11-23 20:30:00 UTC)));
        assert_eq!(read(UTC_TIME, b"491231235959Z"), Some(datetime!(2049-12-31 23:59:59 UTC)));
        assert_eq!(read(UTC_TIME, b"500101000000Z"), Some(datetime!(1950-01-01 00:00:00 UTC)));
        assert_eq!(read(GENERALIZED_TIME, b"99991231235959Z"), Some(datetime!(9999-12-31 23:59:59 UTC)));
        for text in [
            "2611232030Z",
            "261123203000",
            "261323203000Z",
            "26112320300xZ",
            "+61123203000Z",
            "20261123203000Z",
            "",
        ] {
            assert_eq!(read(UTC_TIME, text.as_bytes()), None, "{text}");
        }
        assert_eq!(read(GENERALIZED_TIME, b"261123203000Z"), None);
        assert_eq!(read(INTEGER, b"261123203000Z"), None);
    }
}
