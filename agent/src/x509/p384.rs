//! ECDSA on P-384 with SHA-256, which IAM Roles Anywhere wants for every curve and ring signs on P-256 only.
//!
//! ring makes a whole signature `(r, s)` over the SHA-384 of the message, `s = (h + r d) / k`, and with it does all that
//! is delicate: the secret `k` and the point `k G`. The signature over another digest `e` with the same `k` has the
//! same `r`, and its `s` is `s (e + r d) / (h + r d)`, because `k` falls out. What is left to do here is arithmetic
//! modulo the order of the group with the private key `d` at hand.
//!
//! Two signatures with one `k` reveal the key, so the one that ring made never leaves this file.

use zeroize::Zeroizing;

/// A number below 2^384, least significant limb first.
type Number = [u64; 6];

/// The order of the group: SEC 2, 2.5.1.
const ORDER: Number = [
    0xecec_196a_ccc5_2973,
    0x581a_0db2_48b0_a77a,
    0xc763_4d81_f437_2ddf,
    0xffff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];

/// What is missing from the order to 2^384.
const TO_ORDER: [u64; 3] = [0x1313_e695_333a_d68d, 0xa7e5_f24d_b74f_5885, 0x389c_b27e_0bc8_d220];

/// Turns `signature`, `r` and `s` of 48 bytes each over the digest `signed` with the key `private`, into one over the
/// digest `wanted`. All numbers are big-endian. `None` where a length is wrong.
pub(super) fn over_digest(
    wanted: &[u8],
    signed: &[u8],
    private: &[u8],
    signature: &[u8],
) -> Option<[u8; 96]> {
    let (r_bytes, s_bytes) = signature.split_at_checked(48)?;
    let (r, s) = (number(r_bytes)?, number(s_bytes)?);
    let private = number(private)?;
    let r_times_d = multiply(&r, &private);
    let above = add(&r_times_d, &*number(wanted)?);
    let below = add(&r_times_d, &*number(signed)?);
    let s = multiply(&multiply(&s, &above), &inverse(&below));
    let mut result = [0; 96];
    let (first, second) = result.split_at_mut(48);
    first.copy_from_slice(r_bytes);
    for (bytes, limb) in second.rchunks_exact_mut(8).zip(s.iter()) {
        bytes.copy_from_slice(&limb.to_be_bytes());
    }
    Some(result)
}

/// The number that up to 48 bytes write, less the order where it is not below it.
fn number(bytes: &[u8]) -> Option<Zeroizing<Number>> {
    let mut number = Zeroizing::new([0; 6]);
    if bytes.len() > 48 || !bytes.len().is_multiple_of(8) {
        return None;
    }
    for (limb, bytes) in number.iter_mut().zip(bytes.rchunks_exact(8)) {
        *limb = u64::from_be_bytes(bytes.try_into().ok()?);
    }
    Some(reduced(&number, 0))
}

// All of the following takes the same time and looks at the same memory whatever the numbers are.

/// `number`, with `carry` as its 385th bit, less the order where it is not below it. Twice the order is more than that.
fn reduced(number: &Number, carry: u64) -> Zeroizing<Number> {
    let mut less = Zeroizing::new([0; 6]);
    let mut borrow = 0;
    for ((less, limb), order) in less.iter_mut().zip(number).zip(ORDER) {
        let difference = u128::from(*limb).wrapping_sub(u128::from(order)).wrapping_sub(borrow);
        *less = low(difference);
        borrow = difference >> 127;
    }
    // Kept as it is where the subtraction borrows from a bit that is not there.
    let keep = u64::from((borrow != 0) & (carry == 0)).wrapping_neg();
    for (less, limb) in less.iter_mut().zip(number) {
        *less = (*less & !keep) | (limb & keep);
    }
    less
}

fn add(a: &Number, b: &Number) -> Zeroizing<Number> {
    let mut sum = Zeroizing::new([0; 6]);
    let mut carry = 0;
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
        let total = u128::from(*a).wrapping_add(u128::from(*b)).wrapping_add(carry);
        *sum = low(total);
        carry = total >> 64;
    }
    reduced(&sum, low(carry))
}

fn multiply(a: &Number, b: &Number) -> Zeroizing<Number> {
    let mut product = Zeroizing::new([0; 12]);
    accumulate(&mut product, a, b);
    // The order is 2^384 less a number of 190 bits, so what stands above 2^384 counts that often below. Twice over,
    // less than 2^384 + 2^381 is left.
    for _ in 0..2 {
        let (below, above) = product.split_at(6);
        let mut folded = Zeroizing::new([0; 12]);
        folded.iter_mut().zip(below).for_each(|(limb, below)| *limb = *below);
        accumulate(&mut folded, above, &TO_ORDER);
        product = folded;
    }
    let mut rest = Zeroizing::new([0; 6]);
    rest.iter_mut().zip(product.iter()).for_each(|(rest, limb)| *rest = *limb);
    reduced(&rest, product.get(6).copied().unwrap_or_default())
}

/// Adds `a` times `b` to `sum`.
fn accumulate(sum: &mut [u64; 12], a: &[u64], b: &[u64]) {
    for (place, a) in a.iter().enumerate() {
        let mut carry = 0;
        let digits = b.iter().copied().chain(std::iter::repeat(0));
        for (limb, b) in sum.iter_mut().skip(place).zip(digits) {
            // At most (2^64 - 1)^2 + 2 (2^64 - 1), which is 2^128 - 1.
            let total = u128::from(*a)
                .wrapping_mul(u128::from(b))
                .wrapping_add(u128::from(*limb))
                .wrapping_add(carry);
            *limb = low(total);
            carry = total >> 64;
        }
    }
}

/// After Fermat: the power of the order less two.
fn inverse(a: &Number) -> Zeroizing<Number> {
    let mut power = Zeroizing::new([1, 0, 0, 0, 0, 0]);
    for (index, limb) in ORDER.iter().enumerate().rev() {
        let exponent = if index == 0 { limb.wrapping_sub(2) } else { *limb };
        for bit in (0..64).rev() {
            power = multiply(&power, &power);
            // The exponent is no secret.
            if exponent >> bit & 1 == 1 {
                power = multiply(&power, a);
            }
        }
    }
    power
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
const fn low(wide: u128) -> u64 {
    wide as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Number = [1, 0, 0, 0, 0, 0];

    fn less_one() -> Number {
        let mut number = ORDER;
        number[0] = number[0].wrapping_sub(1);
        number
    }

    #[test]
    fn arithmetic_wraps_around_at_the_order() {
        assert_eq!(*add(&less_one(), &ONE), [0; 6]);
        assert_eq!(*add(&less_one(), &less_one()), {
            let mut number = ORDER;
            number[0] = number[0].wrapping_sub(2);
            number
        });
        assert_eq!(*multiply(&less_one(), &less_one()), ONE);
        assert_eq!(*reduced(&[u64::MAX; 6], 0), {
            // 2^384 - 1 - n
            let mut number = ORDER.map(|limb| !limb);
            number[0] = !ORDER[0];
            number
        });
        assert_eq!(*number(&[0xff; 48]).unwrap(), *reduced(&[u64::MAX; 6], 0));
        assert!(number(&[0; 49]).is_none() && number(&[0; 47]).is_none());
    }

    #[test]
    fn an_inverse_times_its_number_is_one() {
        let mut number = [3, 1 << 63, 0, 7, u64::MAX, 5];
        for _ in 0..8 {
            assert_eq!(*multiply(&number, &inverse(&number)), ONE, "{number:x?}");
            number = *multiply(&number, &number);
        }
        assert_eq!(*inverse(&ONE), ONE);
        assert_eq!(*inverse(&less_one()), less_one());
    }
}
