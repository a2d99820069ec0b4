//! Cutting an input into chunks that end where records end.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::FileInput;
use super::decompress::{Compression, Counted, unpacked};

/// Says where records end, which depends on a format that the reader does not know.
///
/// The answer may depend on nothing but bytes seen so far, or importing a file again would cut it elsewhere.
pub trait Records: Send {
    /// The length of the longest run of whole records that `bytes` begins with; 0 when not even the first one ends in it.
    ///
    /// `bytes` begins at a cut. The same ones come again, with more behind them, after an answer of 0.
    fn cut(&mut self, bytes: &[u8]) -> usize;
}

impl<F: FnMut(&[u8]) -> usize + Send> Records for F {
    fn cut(&mut self, bytes: &[u8]) -> usize {
        self(bytes)
    }
}

/// How large chunks are. Other values cut elsewhere, so they may not change between two imports of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkOptions {
    /// Bytes from which a chunk is cut, at the last end of a record. Default 8 MiB.
    pub target_bytes: usize,
    /// Bytes of a chunk in which no record ends: it is cut there, through the record. Default 64 MiB.
    pub bytes_max: usize,
}

impl Default for ChunkOptions {
    fn default() -> Self {
        Self { target_bytes: 8 * 1024 * 1024, bytes_max: 64 * 1024 * 1024 }
    }
}

/// A run of whole records of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The records, unpacked.
    pub bytes: Bytes,
    /// Unpacked bytes of the input before this chunk.
    pub start_offset: u64,
    /// xxh3-128 of those bytes: with the bytes of the chunk, its identity, however the input was packed or named.
    pub identity_before: u128,
    /// Bytes of the file itself that had been read when the chunk was cut, for progress.
    pub read_bytes: u64,
    /// It ends where the input ends and not where a record does: if the input grows, so may this chunk.
    pub last: bool,
}

/// Reads one input to its end, chunk by chunk. Where chunks are cut depends on the unpacked bytes and the options alone:
/// not on how many bytes a pipe gives at one time, nor on what follows.
///
/// It holds one chunk, and the beginning of the next while the caller has the former.
pub struct ChunkReader {
    name: String,
    compression: Compression,
    reader: Box<dyn Read + Send>,
    records: Box<dyn Records>,
    options: ChunkOptions,
    read_bytes: Arc<AtomicU64>,
    hash: Xxh3,
    offset: u64,
    /// What was read and not yet handed out.
    pending: Vec<u8>,
    ended: Option<Ended>,
}

/// How the input ended.
enum Ended {
    Whole,
    Broken(io::Error),
    /// It was said to the caller.
    Told,
}

/// An input that cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be opened.
    #[error("cannot open {name}: check that it is there and that this user may read it")]
    Open {
        /// The input.
        name: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The system failed while it was read. Everything before has been handed out.
    #[error("cannot read {name} beyond byte {offset}; what came before was read. Import it again when it is readable: nothing is doubled")]
    Read {
        /// The input.
        name: String,
        /// Bytes that were read.
        offset: u64,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The packed data is cut short or damaged. Everything before has been handed out.
    #[error(
        "{name} is damaged or cut short: its {} data cannot be unpacked beyond byte {offset} (byte {read_bytes} of the file at most); what \
         came before was read. Get a whole copy and import that: nothing is doubled", .compression.as_str()
    )]
    Damaged {
        /// The input.
        name: String,
        /// How it is packed.
        compression: Compression,
        /// Bytes that were unpacked.
        offset: u64,
        /// Bytes that had been taken from the file.
        read_bytes: u64,
        /// What the unpacker said.
        #[source]
        cause: io::Error,
    },
}

impl ChunkReader {
    /// Opens `input`. `progress` grows by the bytes read from it, still packed; several readers may share it.
    ///
    /// # Errors
    /// [`ReadError::Open`].
    pub fn open(
        input: &FileInput,
        options: ChunkOptions,
        records: impl Records + 'static,
        progress: Arc<AtomicU64>,
    ) -> Result<Self, ReadError> {
        let name = input.name();
        let failed = |cause| ReadError::Open { name: input.name(), cause };
        let raw = input.open().map_err(failed)?;
        Self::of_reader(name, raw, options, records, progress).map_err(failed)
    }

    /// Reads `raw` as [`ChunkReader::open`] reads a file; `name` is for errors.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn of_reader(
        name: String,
        raw: impl Read + Send + 'static,
        options: ChunkOptions,
        records: impl Records + 'static,
        progress: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let read_bytes = Arc::new(AtomicU64::new(0));
        let (compression, reader) = unpacked(raw, Counted { own: Arc::clone(&read_bytes), shared: progress })?;
        Ok(Self {
            name,
            compression,
            reader,
            records: Box::new(records),
            options,
            read_bytes,
            hash: Xxh3::new(),
            offset: 0,
            pending: Vec::new(),
            ended: None,
        })
    }

    /// How the input is packed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Reads until more than `window` bytes are pending, so that "the input ends here" is known and never guessed from a
    /// short read. False when the input ended at or before `window`.
    fn fill_beyond(&mut self, window: usize) -> bool {
        if self.ended.is_none() && self.pending.len() <= window {
            let missing = window + 1 - self.pending.len();
            self.pending.reserve(missing);
            // On an error, what came before it is in `pending`.
            match self.reader.by_ref().take(missing as u64).read_to_end(&mut self.pending) {
                Ok(read) if read < missing => self.ended = Some(Ended::Whole),
                Ok(_) => {}
                Err(error) => self.ended = Some(Ended::Broken(error)),
            }
        }
        self.pending.len() > window
    }

    /// The length of the next chunk and whether the input ends with it; nothing when nothing is left.
    fn next_cut(&mut self) -> Option<(usize, bool)> {
        let bytes_max = self.options.bytes_max.max(1);
        let mut window = self.options.target_bytes.clamp(1, bytes_max);
        while self.fill_beyond(window) {
            let cut = self.records.cut(&self.pending[..window]).min(window);
            if cut > 0 {
                return Some((cut, false));
            }
            if window == bytes_max {
                return Some((window, false));
            }
            window = window.saturating_mul(2).min(bytes_max);
        }
        (!self.pending.is_empty()).then_some((self.pending.len(), true))
    }

    fn chunk(&mut self, length: usize, last: bool) -> Chunk {
        let left = &self.pending[length..];
        let next_bytes = if last { 0 } else { self.options.target_bytes.saturating_add(1) };
        let mut rest = Vec::with_capacity(next_bytes.max(left.len()));
        rest.extend_from_slice(left);
        let mut bytes = std::mem::replace(&mut self.pending, rest);
        bytes.truncate(length);
        let (start_offset, identity_before) = (self.offset, self.hash.digest128());
        self.hash.update(&bytes);
        self.offset += length as u64;
        Chunk { bytes: Bytes::from(bytes), start_offset, identity_before, read_bytes: self.read_bytes.load(Relaxed), last }
    }

    fn broken(&self, cause: io::Error) -> ReadError {
        let (name, offset, compression) = (self.name.clone(), self.offset, self.compression);
        match compression {
            Compression::None => ReadError::Read { name, offset, cause },
            Compression::Gzip | Compression::Zstd => {
                ReadError::Damaged { name, compression, offset, read_bytes: self.read_bytes.load(Relaxed), cause }
            }
        }
    }
}

impl Iterator for ChunkReader {
    type Item = Result<Chunk, ReadError>;

    /// The next chunk. After an error comes nothing more; an input without bytes has no chunks.
    fn next(&mut self) -> Option<Self::Item> {
        if let Some((length, last)) = self.next_cut() {
            return Some(Ok(self.chunk(length, last)));
        }
        match self.ended.replace(Ended::Told) {
            Some(Ended::Broken(cause)) => Some(Err(self.broken(cause))),
            Some(Ended::Whole | Ended::Told) | None => None,
        }
    }
}

#[cfg(test)]
mod tests;
