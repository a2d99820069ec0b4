//! A histogram of durations in a fixed number of buckets.

/// Durations in microseconds, kept to about 3 % in constant memory.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

/// Each power of two is split into this many buckets of equal width: half a bucket is about 1.6 % of the value.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.ilog2();
/// Powers of two above the exact range: up to 2^40 µs, twelve days.
const POWERS: u64 = 36;

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; (STEPS * POWERS) as usize], total: 0, longest: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, microseconds: u64) {
        let last = self.counts.len() - 1;
        self.counts[bucket(microseconds).min(last)] += 1;
        self.total += 1;
        self.longest = self.longest.max(microseconds);
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// How many durations were counted.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The longest duration, exact, in microseconds.
    #[must_use]
    pub const fn longest(&self) -> u64 {
        self.longest
    }

    /// The duration in microseconds that a share `quantile` (0.5 for the median) of all stayed within; 0 when nothing was counted.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> u64 {
        let wanted = ((self.total as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_end(index).min(self.longest);
            }
        }
        self.longest
    }
}

const fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = value.ilog2() - STEP_BITS;
    ((shift as u64 + 1) * STEPS + (value >> shift) - STEPS) as usize
}

/// The largest value in a bucket.
const fn upper_end(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let shift = index / STEPS - 1;
    ((index % STEPS + STEPS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::{Histogram, bucket, upper_end};

    #[test]
    fn every_value_lies_in_its_bucket() {
        for value in (0..5_000).chain((13..40).map(|power| 1_u64 << power)).chain([999_999, 1_000_001, 123_456_789]) {
            let index = bucket(value);
            assert!(value <= upper_end(index), "{value} in {index}");
            assert!(index == 0 || value > upper_end(index - 1), "{value} in {index}");
        }
    }

    #[test]
    fn quantiles_are_within_three_percent() {
        let mut histogram = Histogram::default();
        let mut other = Histogram::default();
        for value in 1..=50_000 {
            histogram.record(value);
            other.record(value + 50_000);
        }
        histogram.merge(&other);
        assert_eq!(histogram.total(), 100_000);
        assert_eq!(histogram.longest(), 100_000);
        for (quantile, expected) in [(0.5, 50_000.0), (0.9, 90_000.0), (0.99, 99_000.0), (1.0, 100_000.0)] {
            let found = histogram.quantile(quantile) as f64;
            assert!((found / expected - 1.0).abs() < 0.032, "{quantile}: {found} for {expected}");
        }
    }

    #[test]
    fn an_empty_one_and_a_huge_value_are_fine() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.99), 0);
        histogram.record(u64::MAX);
        assert_eq!(histogram.quantile(0.5), upper_end(super::STEPS as usize * super::POWERS as usize - 1));
    }
}
