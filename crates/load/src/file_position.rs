//! Positions in a chunk of a file: how far, and proof of what lies before.

use freshet_core::Position;
use xxhash_rust::xxh3::xxh3_128;

/// Bits of a position that hold the length; the rest below the sign bit hold the check.
const CHECK_BITS: u32 = 36;

/// The longest chunk whose length a position can hold, in bytes.
pub(crate) const CHUNK_BYTES_MAX: usize = (1 << (63 - CHECK_BITS)) - 1;

/// How much of a chunk is in a table, with a check of those bytes.
///
/// A file has no name that stays true: it is moved, compressed, or starts like another. So a table remembers the length
/// it has and 36 bits of the hash of that much content. The length is in the high bits, so a file that grows moves its
/// checkpoint forward. A wrong match needs two files that agree in all earlier chunks and in the first line of this
/// one, then differ, and still share 36 bits of hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FilePosition {
    /// Bytes of the chunk that are in the table.
    pub(crate) length: usize,
    check: u64,
}

impl FilePosition {
    /// The position at the end of `content`, in the chunk named `shard`.
    pub(crate) fn after(shard_hash: u128, content: &[u8]) -> Self {
        let hash = (xxh3_128(content) ^ shard_hash) as u64;
        Self { length: content.len().min(CHUNK_BYTES_MAX), check: hash >> (64 - CHECK_BITS) }
    }

    /// Whether the bytes before this position, in the same chunk of some file, were the first of `content`.
    pub(crate) fn matches(self, shard_hash: u128, content: &[u8]) -> bool {
        content.get(..self.length).is_some_and(|prefix| Self::after(shard_hash, prefix) == self)
    }

    pub(crate) fn pack(self) -> Position {
        ((self.length as u64) << CHECK_BITS) | self.check
    }

    pub(crate) fn unpack(position: Position) -> Self {
        Self { length: (position >> CHECK_BITS) as usize, check: position & ((1 << CHECK_BITS) - 1) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn positions_come_back_grow_with_the_content_and_know_it(content in prop::collection::vec(any::<u8>(), 1..300), cut in 0usize..300) {
            let cut = cut % content.len();
            let (short, long) = (FilePosition::after(7, &content[..cut]), FilePosition::after(7, &content));
            prop_assert_eq!(FilePosition::unpack(long.pack()), long);
            prop_assert!(short.pack() < long.pack());
            prop_assert!(i64::try_from(long.pack()).is_ok());
            prop_assert!(short.matches(7, &content) && long.matches(7, &content));
            prop_assert!(!long.matches(7, &content[..cut]));
            let mut other = content.clone();
            other[content.len() - 1] ^= 1;
            prop_assert!(!long.matches(7, &other));
        }
    }
}
