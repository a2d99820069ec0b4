//! All chance in a world comes from its seed.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A stream of chance. Each part of the story has one of its own, so that a change in one does not shift the others.
#[derive(Clone, Debug)]
pub struct Chance {
    seed: u64,
    stream: ChaCha8Rng,
}

impl Chance {
    /// The stream of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, stream: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The stream of one part of the story: the same name gives the same stream, however much was drawn from this one.
    #[must_use]
    pub fn of(&self, part: &str) -> Self {
        // FNV-1a: short names, and it will never change under us as a library's hash might.
        let hash = part.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self::new(self.seed ^ hash)
    }

    /// From 0 up to but without 1.
    pub fn fraction(&mut self) -> f64 {
        self.stream.random()
    }

    /// True with this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.stream.random_range(low..=high.max(low))
    }

    /// One of `choices`, which must not be empty.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let last = choices.len().saturating_sub(1);
        &choices[self.stream.random_range(0..=last)]
    }

    /// A waiting time whose mean is `mean`: events that come by themselves are this far apart.
    pub fn waiting(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.fraction()).ln()
    }

    /// A positive number with this median; two thirds lie within a factor of e^`spread` of it. Service times look like that.
    pub fn around(&mut self, median: f64, spread: f64) -> f64 {
        // Box and Muller.
        let (radius, angle) = ((-2.0 * (1.0 - self.fraction()).ln()).sqrt(), std::f64::consts::TAU * self.fraction());
        median * (spread * radius * angle.cos()).exp()
    }

    /// A UUID in version 4's form.
    pub fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.stream.random()).into_uuid().to_string()
    }

    /// `digits` hexadecimal digits, lower case.
    pub fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(*self.one_of(b"0123456789abcdef"))).collect()
    }
}
