//! Reading a segment's records in order, past whatever is damaged.

use std::io;

use bytes::{Bytes, BytesMut};
use freshet_core::{Micros, Position};

use crate::disk::ReadFile;
use crate::segment::{HEAD_BYTES, HEADER_BYTES, Head, Identity};

/// What one read asks of the disk, unless a record is longer.
pub(crate) const BLOCK_BYTES: usize = 1024 * 1024;

/// One segment being read from its first record on.
pub(crate) struct Walk {
    file: Box<dyn ReadFile>,
    identity: Identity,
    base: Position,
    /// Offset of the next record.
    at: u64,
    /// Offset up to which there are bytes to believe.
    limit: u64,
    block: Bytes,
    block_at: u64,
}

/// What the next bytes of a segment are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record.
    Record(Record),
    /// Bytes that are not, or no longer, a record.
    Damaged(Gap),
    /// Nothing more.
    End,
}

/// One stored payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where it ends: what it is known by.
    pub(crate) position: Position,
    /// See [`Head::key`].
    pub(crate) key: u128,
    /// When it arrived.
    pub(crate) received_at: Micros,
    /// The payload in its envelope; shares the memory of the block it was read in.
    pub(crate) payload: Bytes,
}

/// A run of damaged bytes: whatever payloads ended in `(from, to]` can no longer be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where the damage begins.
    pub from: Position,
    /// Where the next sound record begins, or the segment ends.
    pub to: Position,
}

impl Gap {
    /// How many bytes are lost.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }
}

impl Walk {
    /// Starts at the first record of the segment at `base`. There is nothing to read before [`Walk::extend`].
    pub(crate) fn new(file: Box<dyn ReadFile>, identity: Identity, base: Position) -> Self {
        Self { file, identity, base, at: HEADER_BYTES, limit: HEADER_BYTES, block: Bytes::new(), block_at: 0 }
    }

    /// Where the segment begins.
    pub(crate) fn base(&self) -> Position {
        self.base
    }

    /// Whether everything up to the limit has been read.
    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.limit
    }

    /// Says that the bytes up to `end` may be believed.
    pub(crate) fn extend(&mut self, end: Position) {
        self.limit = self.limit.max(end.saturating_sub(self.base));
    }

    /// The next record or damage.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        if self.is_done() {
            return Ok(Step::End);
        }
        if let Some(record) = self.record()? {
            self.at = record.position - self.base;
            return Ok(Step::Record(record));
        }
        let from = self.base + self.at;
        self.at = self.next_head(self.at + 1)?;
        Ok(Step::Damaged(Gap { from, to: self.base + self.at }))
    }

    fn record(&mut self) -> io::Result<Option<Record>> {
        let room = self.limit - self.at;
        let head = self.bytes(self.at, HEAD_BYTES)?;
        let Some(head) = Head::decode(self.identity, self.base + self.at, &head, room) else { return Ok(None) };
        let payload = self.bytes(self.at + HEAD_BYTES as u64, head.length as usize)?;
        if payload.len() < head.length as usize || crc32fast::hash(&payload) != head.payload_checksum {
            return Ok(None);
        }
        let position = self.base + self.at + head.record_bytes();
        Ok(Some(Record { position, key: head.key, received_at: head.received_at, payload }))
    }

    /// The first offset from `at` on where a record's head stands, or the limit.
    fn next_head(&mut self, mut at: u64) -> io::Result<u64> {
        while at < self.limit {
            let window = self.bytes(at, BLOCK_BYTES)?;
            for (index, head) in window.windows(HEAD_BYTES).enumerate() {
                let offset = at + index as u64;
                if Head::decode(self.identity, self.base + offset, head, self.limit - offset).is_some() {
                    return Ok(offset);
                }
            }
            if window.len() < BLOCK_BYTES {
                break;
            }
            at += (window.len() - HEAD_BYTES + 1) as u64;
        }
        Ok(self.limit)
    }

    /// The `length` bytes at `offset`, or as many as there are before the limit and the end of the file.
    fn bytes(&mut self, offset: u64, length: usize) -> io::Result<Bytes> {
        let room = usize::try_from(self.limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = length.min(room);
        let start = usize::try_from(offset.wrapping_sub(self.block_at)).unwrap_or(usize::MAX);
        if offset >= self.block_at && self.block.len().saturating_sub(start) >= length {
            return Ok(self.block.slice(start..start + length));
        }
        let mut block = BytesMut::zeroed(length.max(BLOCK_BYTES).min(room));
        let read = self.file.read_at(offset, &mut block)?;
        block.truncate(read);
        self.block = block.freeze();
        self.block_at = offset;
        Ok(self.block.slice(..length.min(read)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

    use super::*;
    use crate::disk::Disk;
    use crate::faulty_disk::FaultyDisk;

    const BASE: Position = 1 << 33;

    /// What a test file is made of.
    #[derive(Clone, Debug)]
    enum Part {
        /// A record with this payload.
        Record(Vec<u8>),
        /// Bytes that are no record.
        Garbage(Vec<u8>),
        /// A record that is none, because it was written for another place.
        Stray(Vec<u8>),
    }

    fn append_record(out: &mut Vec<u8>, position: Position, payload: &[u8]) {
        let payload_checksum = crc32fast::hash(payload);
        let head = Head { length: payload.len() as u32, payload_checksum, key: 3, received_at: Micros(4) };
        head.encode(Identity::new(5), position, out);
        out.extend(payload);
    }

    /// Whatever lies between them, every record is found in its place, and every other byte is reported as damaged.
    fn check(parts: &[Part]) {
        let mut bytes = vec![0; HEADER_BYTES as usize];
        let mut expected = Vec::new();
        let mut garbage = 0;
        for part in parts {
            let start = bytes.len();
            let place = BASE + start as u64;
            match part {
                Part::Record(payload) => {
                    append_record(&mut bytes, place, payload);
                    expected.push((BASE + bytes.len() as u64, payload.clone()));
                }
                Part::Garbage(filling) => bytes.extend(filling),
                Part::Stray(payload) => append_record(&mut bytes, place + 1, payload),
            }
            if !matches!(part, Part::Record(_)) {
                garbage += (bytes.len() - start) as u64;
            }
        }
        let disk = FaultyDisk::new(0);
        disk.create("segment").unwrap().append(&bytes).unwrap();
        let mut walk = Walk::new(disk.open("segment").unwrap(), Identity::new(5), BASE);
        walk.extend(BASE + bytes.len() as u64);
        let (mut found, mut damaged) = (Vec::new(), 0);
        loop {
            match walk.step().unwrap() {
                Step::Record(record) => found.push((record.position, record.payload.to_vec())),
                Step::Damaged(gap) => damaged += gap.bytes(),
                Step::End => break,
            }
        }
        assert!(found == expected, "{} records instead of {}", found.len(), expected.len());
        assert_eq!(damaged, garbage);
    }

    fn part() -> impl Strategy<Value = Part> {
        prop_oneof![
            vec(any::<u8>(), 0..200).prop_map(Part::Record),
            vec(any::<u8>(), 0..200).prop_map(Part::Garbage),
            vec(prop_oneof![Just(0), Just(1)], 0..200).prop_map(Part::Garbage),
            vec(any::<u8>(), 0..200).prop_map(Part::Stray),
        ]
    }

    proptest! {
        #[test]
        fn every_record_is_found_between_any_garbage(parts in vec(part(), 0..12)) {
            check(&parts);
        }
    }

    #[test]
    fn blocks_may_end_anywhere() {
        let block = BLOCK_BYTES - HEADER_BYTES as usize - HEAD_BYTES;
        for length in [block - HEAD_BYTES, block - 1, block, block + 1, 3 * BLOCK_BYTES] {
            let big = vec![7; length];
            for first in [Part::Record(big.clone()), Part::Garbage(big.clone()), Part::Stray(big)] {
                check(&[first, Part::Record(vec![1; 50]), Part::Record(Vec::new())]);
            }
        }
    }

    #[test]
    fn a_record_inside_a_payload_is_no_record_even_when_its_carrier_is_damaged() {
        let mut inner = Vec::new();
        append_record(&mut inner, BASE + HEADER_BYTES, b"I was never sent");
        check(&[Part::Stray(inner.clone()), Part::Record(inner)]);
    }
}
