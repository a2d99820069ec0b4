//! What a run is made of. All of it follows from a seed.

use std::collections::BTreeSet;
use std::time::Duration;

use freshet_load::PackageLimits;
use freshet_spool::faulty_disk::Dice;
use freshet_spool::{MAX_BYTES_MIN, SpoolOptions};

use crate::Fault;

/// Something that is wrong with Freshet on purpose, to see that the harness finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Frames are forgotten as soon as another is stored.
    NoDedupe,
    /// Frames are forgotten by the clock alone.
    ForgetfulWindow,
    /// The disk's sync does nothing.
    NoSync,
    /// The answer leaves before the frame is stored.
    EarlyAnswer,
    /// The spool is told that everything is consumed before it is committed.
    EarlyMark,
    /// The destination does not compare positions before it commits.
    BlindCommit,
    /// The destination commits positions without some of the rows.
    LostRow,
    /// The destination forgets what it has after a failure.
    ForgottenCheckpoint,
    /// A row of `_loads` is not written.
    NoLoads,
    /// The spool takes no notice of the destination's positions on start.
    NoRaise,
}

/// A run, before it happens.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// What may go wrong.
    pub faults: BTreeSet<Fault>,
    /// How long things go wrong, in microseconds.
    pub storm_us: u64,
    /// Log drains.
    pub drains: usize,
    /// Messages that each drain's buffer holds.
    pub buffer_messages: usize,
    /// Microseconds between two lines of an app, on average.
    pub line_every_us: u64,
    /// The spool's options.
    pub spool: SpoolOptions,
    /// The loader's limits.
    pub packages: PackageLimits,
    /// What is wrong with Freshet on purpose.
    pub mutant: Option<Mutant>,
}

impl Plan {
    /// The run of `seed`.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut dice = dice(seed, "plan");
        // A third of the faults or so: all at once would hide what each does.
        let odds = 2 + dice.below(4);
        let faults = Fault::ALL.iter().copied().filter(|_| dice.one_in(odds)).collect();
        let spool = SpoolOptions {
            max_bytes: MAX_BYTES_MIN << dice.below(3),
            segment_bytes: 1024 + dice.below(16) * 1024,
            dedupe_window: Duration::from_hours(2),
            retry_every: Duration::from_secs(1),
            ..SpoolOptions::default()
        };
        let packages = PackageLimits {
            bytes_max: 64 << 20,
            rows_max: 20 + usize_of(dice.below(400)),
            age_max_us: i64::try_from(100_000 + dice.below(8_000_000)).unwrap_or(i64::MAX),
        };
        Self {
            seed,
            faults,
            storm_us: 5_000_000 + dice.below(40_000_000),
            drains: 1 + usize_of(dice.below(3)),
            // A frame may take all that the buffer holds, and must fit into the smallest spool.
            buffer_messages: 10 + usize_of(dice.below(30)),
            line_every_us: 20_000 + dice.below(400_000),
            spool,
            packages,
            mutant: None,
        }
    }

    /// The same run with these faults only.
    #[must_use]
    pub fn with_faults(mut self, faults: BTreeSet<Fault>) -> Self {
        self.faults = faults;
        self
    }

    /// The same run of a Freshet that has something wrong with it.
    #[must_use]
    pub fn with_mutant(mut self, mutant: Mutant) -> Self {
        match mutant {
            Mutant::NoDedupe => (self.spool.dedupe_window, self.spool.dedupe_frames_min) = (Duration::ZERO, 0),
            Mutant::ForgetfulWindow => self.spool.dedupe_frames_min = 0,
            _ => {}
        }
        self.mutant = Some(mutant);
        self
    }

    /// Whether `fault` may strike.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

/// The chance of one part of a run: the same name gives the same stream, whatever other parts have drawn.
pub(crate) fn dice(seed: u64, part: &str) -> Dice {
    Dice::new(xxhash_rust::xxh3::xxh3_64_with_seed(part.as_bytes(), seed))
}

pub(crate) fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
