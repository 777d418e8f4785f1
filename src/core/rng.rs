//! The one source of chance: SplitMix64, pinned here so that a seed means the same on every machine.

use std::time::Duration;

/// A generator that yields the same numbers for the same seed, everywhere and forever.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below the bound; zero when the bound is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The upper half of a 128-bit product: unbiased enough for delays and choices, and branch-free.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A span from zero up to, but not including, the given one.
    pub fn span(&mut self, up_to: Duration) -> Duration {
        Duration::from_micros(self.below(up_to.as_micros() as u64))
    }

    /// True so many times out of a thousand.
    pub fn per_mille(&mut self, chance: u64) -> bool {
        self.below(1000) < chance
    }

    /// Forty hexadecimal digits, as Redis names its processes.
    pub fn hex40(&mut self) -> String {
        let words = [self.bits(), self.bits(), self.bits()];
        let mut text = words.iter().map(|word| format!("{word:016x}")).collect::<String>();
        text.truncate(40);
        text
    }
}

/// Scatters the bits of a number: equal inputs give equal outputs, close inputs give distant ones.
pub fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number for a text, the same on every machine.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_numbers_forever() {
        let mut rng = Rng::new(42);
        let first = [rng.bits(), rng.bits(), rng.bits()];
        assert_eq!(first, [0xbdd7_3226_2feb_6e95, 0x28ef_e333_b266_f103, 0x4752_6757_130f_9f52]);
    }

    #[test]
    fn below_stays_below() {
        let mut rng = Rng::new(7);
        assert!((0..1000).all(|_| rng.below(10) < 10));
        assert_eq!(rng.below(0), 0);
    }
}
