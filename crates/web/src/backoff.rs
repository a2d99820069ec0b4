//! How long to wait before the next try.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Exponential back-off with jitter: clients that failed together do not come back together.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    chance: AtomicU64,
}

/// A seed of the system's own randomness.
#[must_use]
pub fn random_seed() -> u64 {
    RandomState::new().hash_one(0_u8)
}

impl Backoff {
    /// Waits of up to `first`, then twice as much each time, up to `most`; all chance follows from `seed`.
    #[must_use]
    pub fn new(first: Duration, most: Duration, seed: u64) -> Self {
        Self { first, most, chance: AtomicU64::new(seed) }
    }

    /// The wait after the failure `number`, counted from 1: anything up to the bound ("full jitter").
    #[must_use]
    pub fn full(&self, number: u32) -> Duration {
        self.bound(number).mul_f64(self.unit())
    }

    /// As [`Backoff::full`], but at least half of the bound: for whoever was told to ask less.
    #[must_use]
    pub fn half(&self, number: u32) -> Duration {
        self.bound(number).mul_f64(f64::midpoint(self.unit(), 1.0))
    }

    fn bound(&self, number: u32) -> Duration {
        let factor = 2_u32.saturating_pow(number.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.most)
    }

    /// A number from 0 up to, and without, 1. The generator is SplitMix64: one addition moves it, so that many may share it.
    fn unit(&self) -> f64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.chance.fetch_add(STEP, Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // As many bits as a f64 holds exactly.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_spread() {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30), 7);
        for (number, bound_ms) in [(1, 500), (2, 1_000), (3, 2_000), (6, 16_000), (7, 30_000), (40, 30_000), (u32::MAX, 30_000)] {
            let bound = Duration::from_millis(bound_ms);
            let waits: Vec<Duration> = (0..1_000).map(|_| backoff.full(number)).collect();
            assert!(waits.iter().all(|wait| *wait < bound), "{number}");
            let mean = waits.iter().sum::<Duration>() / 1_000;
            assert!(mean > bound.mul_f64(0.45) && mean < bound.mul_f64(0.55), "{number}: {mean:?}");
            assert!((0..1_000).map(|_| backoff.half(number)).all(|wait| wait >= bound / 2 && wait < bound), "{number}");
        }
    }

    #[test]
    fn the_same_seed_waits_alike() {
        let waits = |seed| {
            let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30), seed);
            (1..20).map(|number| backoff.full(number)).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
        assert_ne!(random_seed(), random_seed());
    }
}
