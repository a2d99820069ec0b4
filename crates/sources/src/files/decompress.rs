//! Unpacking gzip and zstd, told apart by their first bytes.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use flate2::bufread::MultiGzDecoder;

/// Bytes read from the file at one time.
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// The largest window of a zstd frame is 2 to this: the memory that unpacking may take, 128 MiB. `zstd --long=27` fits.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How an input is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of one or more members.
    Gzip,
    /// zstd, of one or more frames.
    Zstd,
}

impl Compression {
    /// The name people see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn of(first_bytes: &[u8]) -> Self {
        match first_bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or one of the sixteen kinds of frames to be skipped that parallel packers begin with.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// What comes out of `raw` after unpacking; `counted` grows by the bytes taken from `raw` itself.
pub(super) fn unpacked(mut raw: impl Read + Send + 'static, counted: Counted) -> io::Result<(Compression, Box<dyn Read + Send>)> {
    let mut first_bytes = Vec::with_capacity(4);
    raw.by_ref().take(4).read_to_end(&mut first_bytes)?;
    let compression = Compression::of(&first_bytes);
    let whole = Counting { inner: Cursor::new(first_bytes).chain(raw), counted };
    let buffered = BufReader::with_capacity(READ_BUFFER_BYTES, whole);
    let reader: Box<dyn Read + Send> = match compression {
        Compression::None => Box::new(buffered),
        Compression::Gzip => Box::new(MultiGzDecoder::new(buffered)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(buffered)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    };
    Ok((compression, reader))
}

/// Where the bytes taken from a file are counted.
#[derive(Clone)]
pub(super) struct Counted {
    /// Those of this file.
    pub(super) own: Arc<AtomicU64>,
    /// Those of all files that one progress bar stands for.
    pub(super) shared: Arc<AtomicU64>,
}

struct Counting<R> {
    inner: R,
    counted: Counted,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.counted.own.fetch_add(length as u64, Relaxed);
        self.counted.shared.fetch_add(length as u64, Relaxed);
        Ok(length)
    }
}
