//! A seeded source of requests. The same seed makes the same requests on every machine, so a failure can be
//! repeated.

/// `SplitMix64`: small, and random enough for test data.
pub(crate) struct Random(u64);

#[expect(clippy::arithmetic_side_effects, reason = "bounds are small and never zero")]
impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    /// True once in `times`.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Up to `most` of the `pieces`, joined.
    pub(crate) fn text(&mut self, most: usize, pieces: &[&str]) -> String {
        (0..self.below(most + 1)).map(|_| self.pick(pieces)).collect()
    }

    /// Any characters at all.
    pub(crate) fn noise(&mut self, most: usize) -> String {
        let character = |random: &mut Self| match random.below(4) {
            0 => random
                .pick(&['%', '+', '&', '=', '/', '.', ' ', '\r', '\n', '\t', ':', '[', ']', '@', '?', '#']),
            1 => char::from(u8::try_from(random.below(128)).unwrap()),
            2 => char::from_u32(u32::try_from(random.below(0x11_0000)).unwrap()).unwrap_or('\u{fffd}'),
            _ => random.pick(&['a', 'Z', '0', 'f', '-']),
        };
        (0..self.below(most + 1)).map(|_| character(self)).collect()
    }
}
