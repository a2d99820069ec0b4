//! Seeds, and which tier runs.

use freshet_bench::random::Random;

/// Whether the full tier was asked for.
pub(crate) fn full() -> bool {
    std::env::var_os("FRESHET_FULL").is_some_and(|value| value == "1")
}

/// Chance for the test `name`, from `FRESHET_SEED` or from the clock; the seed is printed, so that a failure shows it.
pub(crate) fn random(name: &str) -> Random {
    let of_the_clock = || std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let seed = std::env::var("FRESHET_SEED").map_or_else(|_| of_the_clock(), |text| text.parse().expect("FRESHET_SEED is a number"));
    eprintln!("{name}: FRESHET_SEED={seed}");
    Random::new(seed)
}
