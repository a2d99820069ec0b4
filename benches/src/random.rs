//! Chance from a seed.

/// A small fast generator (SplitMix64): good enough to vary log lines, useless for secrets.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..limit`; 0 when `limit` is 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        // The high half of the product maps 64 bits onto the range without a division.
        ((self.bits() as u128 * limit as u128) >> 64) as u64
    }

    /// A number in `low..high`; `low` when the range is empty.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low))
    }

    /// True `per_mille` times in a thousand.
    pub const fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// When there is nothing to choose from.
    pub const fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        assert!(!choices.is_empty(), "a choice needs at least one candidate");
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A duration around `typical` with the long tail that request times have: 5 % take four times as long, 1 % thirty times.
    pub const fn long_tailed(&mut self, typical: u64) -> u64 {
        let body = typical / 2 + self.below(typical.saturating_add(1));
        match self.below(100) {
            0 => body.saturating_mul(30),
            1..=5 => body.saturating_mul(4),
            _ => body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn numbers_stay_in_their_range_and_reach_both_ends() {
        let mut random = Random::new(7);
        let seen: Vec<u64> = (0..1_000).map(|_| random.between(3, 6)).collect();
        assert!(seen.iter().all(|number| (3..6).contains(number)), "{seen:?}");
        assert!(seen.contains(&3) && seen.contains(&5), "{seen:?}");
        assert_eq!(random.below(0), 0);
        assert_eq!(random.between(9, 4), 9);
    }

    #[test]
    fn a_chance_per_mille_is_about_that() {
        let mut random = Random::new(1);
        let hits = (0..100_000).filter(|_| random.chance(250)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
    }

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let (mut one, mut other, mut third) = (Random::new(42), Random::new(42), Random::new(43));
        let (first, second, different): (Vec<_>, Vec<_>, Vec<_>) =
            (0..8).map(|_| (one.bits(), other.bits(), third.bits())).fold((vec![], vec![], vec![]), |mut all, bits| {
                all.0.push(bits.0);
                all.1.push(bits.1);
                all.2.push(bits.2);
                all
            });
        assert_eq!(first, second);
        assert_ne!(first, different);
    }
}
