//! The sidecar of a finished segment: the frames in it, so that they are known when the segment itself is gone.
//!
//! A sidecar also says that its segment will never be written again and is durable up to `end`. Layout, little-endian:
//! `"freshsee"`, end `u64`, then key `u128` and time `i64` of each frame, then a CRC-32 of all that.

use freshet_core::{Micros, Position};

use crate::segment::{self, Fields};

const MAGIC: [u8; 8] = *b"freshsee";
const SUFFIX: &str = ".seen";
const ENTRY_BYTES: usize = 24;

/// A frame's key and when it arrived.
pub(crate) type Entry = (u128, Micros);

/// The contents of a sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Where the segment durably ends.
    pub(crate) end: Position,
    /// The frames in it.
    pub(crate) entries: Vec<Entry>,
}

/// The name of the sidecar of the segment at `base`.
pub(crate) fn file_name(base: Position) -> String {
    format!("{base:020}{SUFFIX}")
}

/// The base in a sidecar's name; `None` for any other file.
pub(crate) fn base_of(name: &str) -> Option<Position> {
    segment::place_in(name, SUFFIX)
}

impl Seen {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() * ENTRY_BYTES + 20);
        out.extend(MAGIC);
        out.extend(self.end.to_le_bytes());
        for (key, at) in &self.entries {
            out.extend(key.to_le_bytes());
            out.extend(at.0.to_le_bytes());
        }
        out.extend(crc32fast::hash(&out).to_le_bytes());
        out
    }

    /// `None` when the file is torn or rotten.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (covered, checksum) = bytes.split_last_chunk()?;
        if u32::from_le_bytes(*checksum) != crc32fast::hash(covered) {
            return None;
        }
        let mut fields = Fields(covered);
        if fields.take()? != MAGIC {
            return None;
        }
        let mut seen = Self { end: u64::from_le_bytes(fields.take()?), entries: Vec::with_capacity(covered.len() / ENTRY_BYTES) };
        while let Some(key) = fields.take() {
            seen.entries.push((u128::from_le_bytes(key), Micros(i64::from_le_bytes(fields.take()?))));
        }
        Some(seen)
    }

    /// When the latest of the frames arrived.
    pub(crate) fn newest(&self) -> Option<Micros> {
        self.entries.iter().map(|(_, at)| *at).max()
    }
}

/// A sidecar on disk, as far as one must know it to tell when it may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sidecar {
    /// Where its segment begins.
    pub(crate) base: Position,
    /// When the latest of its frames arrived.
    pub(crate) newest: Micros,
    /// How many frames it names.
    pub(crate) frames: usize,
}

impl Sidecar {
    pub(crate) fn of(base: Position, seen: &Seen) -> Self {
        Self { base, newest: seen.newest().unwrap_or(Micros(i64::MIN)), frames: seen.entries.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_comes_back_whole_or_not_at_all() {
        let seen = Seen { end: 99, entries: vec![(1, Micros(-4)), (u128::MAX, Micros(7))] };
        let good = seen.encode();
        assert_eq!(seen.newest(), Some(Micros(7)));
        assert_eq!(Seen::decode(&good), Some(seen));
        for cut in 0..good.len() {
            assert_eq!(Seen::decode(&good[..cut]), None, "cut at {cut}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Seen::decode(&bad), None, "bit {bit}");
        }
        assert_eq!(Seen::decode(&Seen::default().encode()), Some(Seen::default()));
    }
}
