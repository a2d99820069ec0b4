//! How much is going on at which hour.

use super::agenda::HOUR;

const DAY: i64 = 24 * HOUR;
const SLOTS: usize = 288;

/// The traffic of a day: low at night, with a peak at noon and a higher one in the evening.
pub(super) struct Curve {
    /// Each five minutes; 1 on average.
    slots: [f64; SLOTS],
}

impl Curve {
    /// The company's customers live in one part of the world.
    pub(super) fn new() -> Self {
        let shape: [f64; SLOTS] = std::array::from_fn(|slot| {
            let hour = slot as f64 / 12.0;
            let hill = |peak: f64, width: f64| {
                let away = (hour - peak).abs().min(24.0 - (hour - peak).abs());
                (-(away / width).powi(2) / 2.0).exp()
            };
            0.3 + 0.9 * hill(12.5, 2.6) + 1.1 * hill(19.5, 2.0)
        });
        let mean = shape.iter().sum::<f64>() / SLOTS as f64;
        Self { slots: shape.map(|height| height / mean) }
    }

    /// How much is going on at a moment, against the average of a week. `weekend` is how a Saturday or Sunday compares with an
    /// average day.
    pub(super) fn at(&self, micros: i64, weekend: f64) -> f64 {
        let slot = micros.rem_euclid(DAY) * SLOTS as i64 / DAY;
        let day = if is_weekend(micros) { weekend } else { (7.0 - 2.0 * weekend) / 5.0 };
        self.slots[slot as usize] * day
    }
}

/// How busy the people are: fully in working hours, hardly at other times.
pub(super) fn working(micros: i64) -> f64 {
    let hour = micros.rem_euclid(DAY) / HOUR;
    match hour {
        _ if is_weekend(micros) => 0.03,
        12 => 0.4,
        8..=17 => 1.0,
        7 | 18..=21 => 0.15,
        _ => 0.01,
    }
}

fn is_weekend(micros: i64) -> bool {
    // The first day of 1970 was a Thursday, and a week begins on Monday.
    (micros.div_euclid(DAY) + 3).rem_euclid(7) >= 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_is_average_whatever_its_weekend() {
        let curve = Curve::new();
        for weekend in [0.3, 1.0, 1.2] {
            let hours = (0..7 * 24 * 12).map(|slot| curve.at(slot * HOUR / 12, weekend));
            assert!((hours.sum::<f64>() / f64::from(7 * 24 * 12) - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn nights_are_quiet_and_peaks_are_high() {
        let curve = Curve::new();
        // 2026-11-18, a Wednesday, and the Saturday after.
        let (wednesday, saturday) = (1_794_960_000_000_000, 1_795_219_200_000_000);
        let at = |day: i64, hour: i64| curve.at(day + hour * HOUR, 0.5);
        assert!(
            at(wednesday, 3) < 0.5
                && at(wednesday, 12) > 1.3
                && at(wednesday, 19) > at(wednesday, 12)
                && at(wednesday, 16) < at(wednesday, 12)
        );
        assert!((at(saturday, 12) / at(wednesday, 12) - 0.5 / 1.2).abs() < 1e-9);
        assert!(working(wednesday + 10 * HOUR) > working(wednesday + 3 * HOUR));
        assert!(working(saturday + 10 * HOUR) < 0.1);
    }
}
