//! The memory and load of dynos: `log-runtime-metrics`, and the errors R14 and R15.

use super::agenda::{Origin, Pen};
use super::app::App;
use crate::world::Chance;
use crate::world::actions::memory_gb;
use crate::world::event::Measured;

/// Seconds between two measurements, as Heroku makes them.
pub(super) const SECONDS_BETWEEN: f64 = 20.0;

/// The part of its quota by which a leaking dyno grows in a minute: it has exceeded it after some six minutes.
const LEAK_PER_MINUTE: f64 = 0.08;

/// The part of the quota above which a dyno is killed.
const VASTLY: f64 = 2.0;

/// A dyno's memory and load.
#[derive(Clone, Debug)]
pub(super) struct Gauges {
    quota_mb: f64,
    /// What the process settles at when it is warm.
    warm_mb: f64,
    rss_mb: f64,
    cache_mb: f64,
    /// What it does not give back in an hour: nearly every program leaks a little.
    creep_mb_per_hour: f64,
    /// Load averages of 1, 5 and 15 minutes.
    load: [f64; 3],
    pages_in: u64,
    pages_out: u64,
}

/// How a measurement turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Fits,
    /// R14: it swaps.
    Exceeded,
    /// R15: it is killed.
    VastlyExceeded,
}

impl Gauges {
    /// Of a dyno that has just started.
    pub(super) fn new(size: &str, chance: &mut Chance) -> Self {
        let quota_mb = quota_mb(size);
        let warm_mb = quota_mb * (0.45 + 0.15 * chance.fraction());
        Self {
            quota_mb,
            warm_mb,
            rss_mb: warm_mb * 0.6,
            cache_mb: 2.0 + 6.0 * chance.fraction(),
            creep_mb_per_hour: quota_mb * 0.012 * chance.around(1.0, 0.4),
            load: [0.0; 3],
            pages_in: chance.between(60_000, 90_000),
            pages_out: chance.between(30_000, 45_000),
        }
    }

    /// Of a dyno that has run for a while.
    pub(super) fn warm(mut self) -> Self {
        self.rss_mb = self.warm_mb;
        self.load = [0.4; 3];
        self
    }

    fn go_on(&mut self, seconds: f64, leaks: bool, busy: f64, chance: &mut Chance) -> Memory {
        let creep = self.creep_mb_per_hour / 3600.0 + if leaks { self.quota_mb * LEAK_PER_MINUTE / 60.0 } else { 0.0 };
        self.warm_mb += creep * seconds;
        self.rss_mb += (self.warm_mb - self.rss_mb) * 0.25 + self.quota_mb * 0.004 * (chance.fraction() - 0.5);
        self.pages_in += chance.between(100, 900);
        self.pages_out += chance.between(80, 850);
        let load = busy * chance.around(1.0, 0.3);
        for (average, minutes) in self.load.iter_mut().zip([1.0, 5.0, 15.0]) {
            *average += (load - *average) * (1.0 - (-seconds / 60.0 / minutes).exp());
        }
        match self.total_mb() / self.quota_mb {
            part if part > VASTLY => Memory::VastlyExceeded,
            part if part > 1.0 => Memory::Exceeded,
            _ => Memory::Fits,
        }
    }

    fn total_mb(&self) -> f64 {
        self.rss_mb + self.cache_mb
    }
}

/// Measures a dyno, and writes what Heroku writes of it. `busy` is how much is going on, against the average.
pub(super) fn measure(app: &mut App, place: usize, at: i64, busy: f64, pen: &mut Pen) -> Memory {
    let leaks = app.leaks(&app.dynos[place]);
    let busy = 0.1 + 0.5 * busy * if app.troubles.bad_release || app.troubles.database { 3.0 } else { 1.0 };
    let memory = app.dynos[place].gauges.go_on(SECONDS_BETWEEN, leaks, busy, &mut app.chance);
    let dyno = &app.dynos[place];
    let gauges = &dyno.gauges;
    let (total, swap) = (gauges.total_mb(), (gauges.total_mb() - gauges.quota_mb).max(0.0));
    if app.profile.is_fir {
        let what = Measured::Dyno { memory_rss_mb: gauges.rss_mb - swap, memory_quota_mb: gauges.quota_mb, load_avg_1m: gauges.load[0] };
        pen.measure(at, &app.id, &dyno.name, what);
    } else if app.profile.has_runtime_metrics {
        let whose = |pen: &mut Pen| {
            pen.text.put("source=").put(&dyno.name).put(" dyno=heroku.").number(app.profile.number).put(".").put(&dyno.id);
        };
        whose(pen);
        for (name, load) in [" sample#load_avg_1m=", " sample#load_avg_5m=", " sample#load_avg_15m="].into_iter().zip(gauges.load) {
            pen.text.put(name).hundredths(load);
        }
        pen.end(at, &app.id, Origin::RUNTIME, &dyno.name);
        whose(pen);
        let sizes = [
            (" sample#memory_total=", total),
            ("MB sample#memory_rss=", gauges.rss_mb - swap),
            ("MB sample#memory_cache=", gauges.cache_mb),
            ("MB sample#memory_swap=", swap),
        ];
        for (name, size) in sizes {
            pen.text.put(name).hundredths(size);
        }
        pen.text.put("MB sample#memory_pgpgin=").number(gauges.pages_in).put("pages sample#memory_pgpgout=").number(gauges.pages_out);
        pen.text.put("pages sample#memory_quota=").hundredths(gauges.quota_mb).put("MB");
        pen.end(at + 312, &app.id, Origin::RUNTIME, &dyno.name);
    }
    if memory != Memory::Fits {
        pen.text.say(format_args!("Process running mem={:.0}M({:.1}%)", total, 100.0 * total / gauges.quota_mb));
        pen.end(at + 1_900, &app.id, Origin::RUNTIME, &dyno.name);
        pen.text.put(if memory == Memory::Exceeded {
            "Error R14 (Memory quota exceeded)"
        } else {
            "Error R15 (Memory quota vastly exceeded)"
        });
        pen.end(at + 4_200, &app.id, Origin::RUNTIME, &dyno.name);
    }
    memory
}

/// The memory of a dyno size, in MB; of one that does not exist, that of the smallest.
fn quota_mb(size: &str) -> f64 {
    1024.0 * memory_gb(size).unwrap_or(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_creeps_from_r14_to_r15() {
        let mut chance = Chance::new(1);
        let mut gauges = Gauges::new("Standard-1X", &mut chance);
        let seen: Vec<Memory> = (0..120).map(|_| gauges.go_on(SECONDS_BETWEEN, true, 1.0, &mut chance)).collect();
        let first = |memory| seen.iter().position(|seen| *seen == memory).unwrap() as f64 * SECONDS_BETWEEN / 60.0;
        assert!((3.0..10.0).contains(&first(Memory::Exceeded)), "R14 after {} min", first(Memory::Exceeded));
        assert!((14.0..26.0).contains(&first(Memory::VastlyExceeded)), "R15 after {} min", first(Memory::VastlyExceeded));
    }

    #[test]
    fn a_healthy_dyno_lives_its_day_below_its_quota() {
        let mut exceeded = 0;
        for seed in 0..50 {
            let mut chance = Chance::new(seed);
            let mut gauges = Gauges::new("Standard-2X", &mut chance);
            let day: Vec<Memory> = (0..24 * 180).map(|_| gauges.go_on(SECONDS_BETWEEN, false, 1.0, &mut chance)).collect();
            assert!(!day.contains(&Memory::VastlyExceeded) && day[..180] == [Memory::Fits; 180]);
            exceeded += u32::from(day.contains(&Memory::Exceeded));
        }
        assert!((1..20).contains(&exceeded), "{exceeded} of 50 had an R14 before the day was over");
    }

    #[test]
    fn sizes_have_their_quota() {
        for (size, expected) in [
            ("Standard-1X", 512.0),
            ("Standard-2X", 1024.0),
            ("Performance-L", 14_336.0),
            ("Private-S", 1024.0),
            ("Private-M", 2560.0),
            ("dyno-4c-16gb", 16_384.0),
            ("", 512.0),
        ] {
            assert!((quota_mb(size) - expected).abs() < 0.1, "{size}");
        }
    }
}
