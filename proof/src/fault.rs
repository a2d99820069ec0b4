//! The faults there are.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// Declares the faults with the names that people type and read.
macro_rules! faults {
    ($($variant:ident, $name:literal, $about:literal;)*) => {
        /// Something that goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $(#[doc = $about] $variant,)*
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What happens, for a table that people read.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)* }
            }
        }
    };
}

faults! {
    Kill, "kill", "the process is killed between any two steps";
    KillAtWrite, "kill-at-write", "the process is killed in the middle of a disk operation";
    KillAtCommit, "kill-at-commit", "the process is killed before, during or after a commit";
    PowerCut, "power-cut", "the power is cut: what was not synced is kept, torn or lost";
    KillAtStart, "kill-at-start", "a start is cut short, by a kill or by a power cut";
    Stop, "stop", "the process is told to stop, and started again";
    DiskFull, "disk-full", "the disk has no more room for a while";
    SyncError, "sync-error", "fsync returns EIO, and later syncs lie";
    SlowDisk, "slow-disk", "syncs take up to seconds";
    OldCopy, "old-copy", "the data directory is replaced by an older copy of itself";
    ClockForward, "clock-forward", "the clock jumps forward, by up to a day";
    ClockBack, "clock-back", "the clock jumps back, by up to a day";
    Refuse, "refuse", "connections are refused on the way";
    LoseRequest, "lose-request", "a request is lost on the way, and times out";
    LoseAnswer, "lose-answer", "an answer is lost, or comes too late: the frame was stored and is sent again";
    Duplicate, "duplicate", "a request arrives again, at once or a minute later and after its successors";
    NoId, "no-id", "a drain sends no frame ids and no token";
    WrongCount, "wrong-count", "Logplex-Msg-Count disagrees with the body";
    BadLength, "bad-length", "a message's length is wrong";
    Garbage, "garbage", "a body holds bytes that are no messages";
    Burst, "burst", "an app writes more than the drain's buffer holds";
    SlowLake, "slow-lake", "the destination takes up to minutes";
    FailBefore, "fail-before", "the destination fails and has done nothing";
    FailAfter, "fail-after", "the destination has committed and answers with an error";
    FailLate, "fail-late", "the destination answers with an error and commits later, if nobody was faster";
    Outage, "outage", "the destination fails at everything for a while";
    Refused, "refused", "the destination refuses in a way that only a person can change, for a while";
    Rival, "rival", "another process loads a copy of the same spool";
    Maintenance, "maintenance", "files are merged, checkpoints written and old files removed meanwhile";
    Reorder, "reorder", "a frame is sent after the one that was made behind it";
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|fault| fault.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|fault| fault.name()).collect();
            format!("there is no fault {name:?}; there are {}", names.join(", "))
        })
    }
}

/// How often each fault struck. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<Fault, u64>>>);

impl Tally {
    /// Counts one strike.
    pub(crate) fn struck(&self, fault: Fault) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(fault).or_default() += 1;
    }

    /// The counts.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Fault, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
