//! How a segment lies on disk.
//!
//! ```text
//! segment  "freshseg"  version u32  install id u128  base u64  previous end u64  checksum u32
//! record   length u32  payload checksum u32  key u128  received at i64  head checksum u32  payload …
//! ```
//!
//! Numbers are little-endian. The log is one endless run of bytes cut into segments: a byte's position is its segment's
//! base plus its offset in the file, and a record is known by the position of its end. The head's checksum also covers the
//! install id and the record's position, so a record is one only in its own place: bytes inside a payload that look like a
//! record, or an old block that a file system hands back after a crash, never pass for one.

use crc32fast::Hasher;
use freshet_core::{Micros, Position};

/// Length of a segment's header.
pub(crate) const HEADER_BYTES: u64 = 48;

/// Length of what precedes each payload.
pub(crate) const HEAD_BYTES: usize = 36;

/// The longest payload with its envelope: far more than any source takes, and what one block read may have to hold.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

const MAGIC: [u8; 8] = *b"freshseg";
const VERSION: u32 = 1;
const SUFFIX: &str = ".seg";

/// `00000000000000000000.seg`: zero-padded, so that names sort like positions.
pub(crate) fn file_name(base: Position) -> String {
    format!("{base:020}{SUFFIX}")
}

/// The base in a segment's name; `None` for any other file.
pub(crate) fn base_of(name: &str) -> Option<Position> {
    place_in(name, SUFFIX)
}

/// The position in a name of twenty digits and `suffix`.
pub(crate) fn place_in(name: &str, suffix: &str) -> Option<Position> {
    let digits = name.strip_suffix(suffix)?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// Who wrote a spool, and what its checksums start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The install id.
    pub(crate) id: u128,
    seed: u32,
}

impl Identity {
    pub(crate) fn new(id: u128) -> Self {
        Self { id, seed: crc32fast::hash(&id.to_le_bytes()) }
    }

    fn checksum(self, position: Position, fields: &[u8]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.seed);
        hasher.update(&position.to_le_bytes());
        hasher.update(fields);
        hasher.finalize()
    }
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Whose spool it is.
    pub(crate) id: u128,
    /// Position of the segment's first byte.
    pub(crate) base: Position,
    /// Where the log durably ended when this segment began. Earlier segments hold nothing of worth behind it.
    pub(crate) previous_end: Position,
}

/// What the first bytes of a segment turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderRead {
    /// A header.
    Good(Header),
    /// Torn or rotten.
    Damaged,
    /// A whole header of another format.
    Unknown(u32),
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES as usize);
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(self.id.to_le_bytes());
        out.extend(self.base.to_le_bytes());
        out.extend(self.previous_end.to_le_bytes());
        out.extend(crc32fast::hash(&out).to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> HeaderRead {
        Self::fields(bytes).unwrap_or(HeaderRead::Damaged)
    }

    fn fields(bytes: &[u8]) -> Option<HeaderRead> {
        let mut fields = Fields(bytes);
        if fields.take()? != MAGIC {
            return None;
        }
        let version = u32::from_le_bytes(fields.take()?);
        let header = Self {
            id: u128::from_le_bytes(fields.take()?),
            base: u64::from_le_bytes(fields.take()?),
            previous_end: u64::from_le_bytes(fields.take()?),
        };
        let covered = bytes.len() - fields.0.len();
        if u32::from_le_bytes(fields.take()?) != crc32fast::hash(&bytes[..covered]) {
            return None;
        }
        Some(if version == VERSION { HeaderRead::Good(header) } else { HeaderRead::Unknown(version) })
    }
}

/// What precedes a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes in the payload.
    pub(crate) length: u32,
    /// CRC-32 of the payload.
    pub(crate) payload_checksum: u32,
    /// What a repeated frame is known by; 0 for a payload that has no such thing.
    pub(crate) key: u128,
    /// When the payload arrived.
    pub(crate) received_at: Micros,
}

impl Head {
    /// Appends the head of a record that starts at `position`.
    pub(crate) fn encode(&self, identity: Identity, position: Position, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(self.length.to_le_bytes());
        out.extend(self.payload_checksum.to_le_bytes());
        out.extend(self.key.to_le_bytes());
        out.extend(self.received_at.0.to_le_bytes());
        let checksum = identity.checksum(position, &out[start..]);
        out.extend(checksum.to_le_bytes());
    }

    /// Reads the head of a record that starts at `position` and ends at most `room` bytes behind it. `None` when there is
    /// no such record.
    pub(crate) fn decode(identity: Identity, position: Position, bytes: &[u8], room: u64) -> Option<Self> {
        let mut fields = Fields(bytes);
        let head = Self {
            length: u32::from_le_bytes(fields.take()?),
            payload_checksum: u32::from_le_bytes(fields.take()?),
            key: u128::from_le_bytes(fields.take()?),
            received_at: Micros(i64::from_le_bytes(fields.take()?)),
        };
        // Cheapest first: a search for the next record asks this of every byte.
        if head.length as usize > PAYLOAD_BYTES_MAX || head.record_bytes() > room {
            return None;
        }
        let covered = bytes.len() - fields.0.len();
        (u32::from_le_bytes(fields.take()?) == identity.checksum(position, &bytes[..covered])).then_some(head)
    }

    /// Bytes of the whole record.
    pub(crate) fn record_bytes(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.length)
    }
}

/// Fixed-width fields, one after the other.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    /// The next `N` bytes; `None` when there are fewer.
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { id: 7, base: 1 << 40, previous_end: 12 };

    #[test]
    fn a_header_comes_back_and_no_flipped_bit_goes_unnoticed() {
        let good = HEADER.encode();
        assert_eq!(good.len() as u64, HEADER_BYTES);
        assert_eq!(Header::decode(&good), HeaderRead::Good(HEADER));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad), HeaderRead::Damaged, "bit {bit}");
        }
        for cut in 0..good.len() {
            assert_eq!(Header::decode(&good[..cut]), HeaderRead::Damaged, "cut at {cut}");
        }
    }

    #[test]
    fn a_newer_header_is_recognised() {
        let mut newer = HEADER.encode();
        newer[8] = 2;
        let checksum = crc32fast::hash(&newer[..44]).to_le_bytes();
        newer[44..].copy_from_slice(&checksum);
        assert_eq!(Header::decode(&newer), HeaderRead::Unknown(2));
    }

    #[test]
    fn a_head_is_one_only_in_its_own_place_and_spool() {
        let head = Head { length: 5, payload_checksum: 9, key: 1, received_at: Micros(-3) };
        let mut bytes = Vec::new();
        head.encode(Identity::new(7), 1000, &mut bytes);
        assert_eq!(bytes.len(), HEAD_BYTES);
        let check = |identity, position, room, expected| {
            assert_eq!(Head::decode(Identity::new(identity), position, &bytes, room), expected);
        };
        check(7, 1000, 41, Some(head));
        check(7, 1001, 41, None);
        check(8, 1000, 41, None);
        check(7, 1000, 40, None);
    }

    #[test]
    fn names_hold_positions() {
        assert_eq!(base_of(&file_name(42)), Some(42));
        assert_eq!(base_of(&file_name(u64::MAX)), Some(u64::MAX));
        for other in ["lock", "42.seg", "00000000000000000042.seen", "0000000000000000004x.seg", "00000000000000000042.seg.tmp"] {
            assert_eq!(base_of(other), None, "{other}");
        }
    }
}
