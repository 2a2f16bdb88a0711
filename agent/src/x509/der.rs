//! DER, as far as certificates and keys need it: elements with a length, one after the other. Knows no structure.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
/// The first explicitly tagged element of a structure.
pub(super) const CONTEXT_0: u8 = 0xa0;

/// What is left to read of the content of an element.
#[derive(Clone, Copy)]
pub(super) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the one element that `bytes` are, which has to be a sequence.
    pub(super) fn sequence_of(bytes: &'a [u8]) -> Option<Self> {
        let mut whole = Self(bytes);
        let content = whole.sequence()?;
        whole.0.is_empty().then_some(content)
    }

    /// The tag of the next element.
    pub(super) fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The content of the next element, which has to have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            // Four bytes say more than any file here has; 0x80 alone would be the indefinite form, which is not DER.
            let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if !(1..=4).contains(&digits.len()) {
                return None;
            }
            length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
            rest = after;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (found == tag).then_some(content)
    }

    /// The content of the next element, which has to be a sequence.
    pub(super) fn sequence(&mut self) -> Option<Self> {
        self.take(SEQUENCE).map(Self)
    }

    /// The content of the next element, which has to have this tag and to hold elements.
    pub(super) fn inside(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Der, INTEGER, OBJECT};

    #[test]
    fn elements_are_taken_apart_and_nothing_beyond_them() {
        let mut der = Der::sequence_of(&[0x30, 0x07, 0x02, 0x01, 0x05, 0x06, 0x02, 0x2a, 0x03]).unwrap();
        assert_eq!(der.tag(), Some(INTEGER));
        assert_eq!(der.take(INTEGER), Some(&[5][..]));
        assert_eq!(der.take(OBJECT), Some(&[0x2a, 0x03][..]));
        assert_eq!((der.tag(), der.take(OBJECT)), (None, None));
        let long = [&[0x30, 0x82, 0x01, 0x00][..], &[0; 256]].concat();
        assert!(Der::sequence_of(&long).is_some());
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x01],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x00, 0x00],
            &[0x31, 0x00],
        ] {
            assert!(Der::sequence_of(bytes).is_none(), "{bytes:?}");
        }
    }
}
