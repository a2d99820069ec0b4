use std::collections::VecDeque;
use std::io::{Cursor, Write};

use flate2::write::GzEncoder;
use proptest::collection::vec;
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use super::*;

/// Records are lines.
fn lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// Gives as many bytes at one time as the script says, then everything.
struct ShortReads {
    bytes: Cursor<Vec<u8>>,
    lengths: VecDeque<usize>,
}

impl Read for ShortReads {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.lengths.pop_front().unwrap_or(usize::MAX).clamp(1, buffer.len().max(1)).min(buffer.len());
        self.bytes.read(&mut buffer[..length])
    }
}

const SMALL: ChunkOptions = ChunkOptions { target_bytes: 16, bytes_max: 64 };

fn reader(raw: impl Read + Send + 'static, options: ChunkOptions) -> ChunkReader {
    ChunkReader::of_reader("input".into(), raw, options, lines, Arc::default()).unwrap()
}

/// The chunks of `bytes`, checked for what must hold of all chunks.
fn chunks_of(raw: impl Read + Send + 'static, unpacked: &[u8], options: ChunkOptions) -> Vec<Chunk> {
    let chunks: Vec<_> = reader(raw, options).map(Result::unwrap).collect();
    assert_eq!(chunks.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect::<Vec<_>>(), unpacked);
    for chunk in &chunks {
        let before = &unpacked[..chunk.start_offset as usize];
        assert_eq!(chunk.identity_before, xxh3_128(before));
        assert!((1..=options.bytes_max).contains(&chunk.bytes.len()));
        assert!(chunk.last || chunk.bytes.ends_with(b"\n") || chunk.bytes.len() == options.bytes_max);
    }
    let lasts: Vec<_> = chunks.iter().map(|chunk| chunk.last).collect();
    assert_eq!(lasts.iter().filter(|last| **last).count(), usize::from(!unpacked.is_empty()));
    assert!(lasts.last().copied().unwrap_or(true));
    chunks
}

fn plain(bytes: &[u8]) -> Vec<Chunk> {
    chunks_of(Cursor::new(bytes.to_vec()), bytes, SMALL)
}

fn check(text: &str, expected: &[&str]) {
    let chunks = plain(text.as_bytes());
    let texts: Vec<_> = chunks.iter().map(|chunk| str::from_utf8(&chunk.bytes).unwrap()).collect();
    assert_eq!(texts, expected);
}

#[test]
fn chunks_end_where_records_end() {
    check("", &[]);
    check("a\n", &["a\n"]);
    check("no end", &["no end"]);
    // Exactly the target is one chunk; a byte more makes two.
    check("1234567\n1234567\n", &["1234567\n1234567\n"]);
    check("1234567\n1234567\n1", &["1234567\n1234567\n", "1"]);
    check("1234567\n12345678\n", &["1234567\n", "12345678\n"]);
    // A record longer than the target is kept whole, one longer than the maximum is cut.
    let long = format!("{}\nx\n", "l".repeat(40));
    check(&format!("{long}{long}"), &[&long[..], &long[..]]);
    let endless = "e".repeat(100);
    check(&endless, &[&endless[..64], &endless[64..]]);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// `read_bytes` tells how the input was packed, and so does not count as sameness of content.
fn without_progress(mut chunks: Vec<Chunk>) -> Vec<Chunk> {
    chunks.iter_mut().for_each(|chunk| chunk.read_bytes = 0);
    chunks
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![6 => Just(b'a'), 1 => Just(b'\n'), 1 => any::<u8>()], 0..400).prop_filter("not packed by chance", |bytes| {
        !matches!(bytes[..], [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
    })
}

proptest! {
    #[test]
    fn chunks_do_not_depend_on_read_sizes(bytes in text(), lengths in vec(1_usize..40, 0..200)) {
        let short = ShortReads { bytes: Cursor::new(bytes.clone()), lengths: lengths.into() };
        prop_assert_eq!(without_progress(chunks_of(short, &bytes, SMALL)), without_progress(plain(&bytes)));
    }

    #[test]
    fn chunks_do_not_depend_on_packing(bytes in text(), cut in any::<prop::sample::Index>(), lengths in vec(1_usize..40, 0..50)) {
        let expected = without_progress(plain(&bytes));
        let (head, tail) = bytes.split_at(cut.index(bytes.len() + 1));
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc", &zstandard(&bytes)].concat();
        let packings = [gzip(&bytes), [gzip(head), gzip(tail)].concat(), zstandard(&bytes), [zstandard(head), zstandard(tail)].concat(), skippable];
        for packed in packings {
            let short = ShortReads { bytes: Cursor::new(packed), lengths: lengths.clone().into() };
            prop_assert_eq!(without_progress(chunks_of(short, &bytes, SMALL)), expected.clone());
        }
    }

    #[test]
    fn growth_changes_the_last_chunk_only(bytes in text(), more in text()) {
        let (mut before, after) = (plain(&bytes), plain(&[&bytes[..], &more].concat()));
        before.pop();
        prop_assert_eq!(without_progress(after[..before.len()].to_vec()), without_progress(before));
    }

    #[test]
    fn a_cut_or_damaged_file_gives_a_sound_beginning_and_one_error(
        bytes in vec(any::<u8>(), 200..4000), at in any::<prop::sample::Index>(), damage in any::<bool>(), gz in any::<bool>(),
    ) {
        let mut packed = if gz { gzip(&bytes) } else { zstandard(&bytes) };
        // The magic number stays: without it the file is not a packed one. Every byte of the tail counts for gzip; zstd has no checksum here.
        let at = 4 + at.index(packed.len() - 4);
        if damage && gz {
            let at = packed.len() - 1 - at % 8;
            packed[at] ^= 1;
        } else {
            packed.truncate(at);
        }
        let mut reader = reader(Cursor::new(packed), SMALL);
        let (chunks, errors): (Vec<_>, Vec<_>) = reader.by_ref().partition(Result::is_ok);
        let unpacked: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap().bytes.to_vec()).collect();
        prop_assert!(bytes.starts_with(&unpacked));
        prop_assert!(matches!(&errors[..], [Err(ReadError::Damaged { offset, .. })] if *offset == unpacked.len() as u64), "{:?}", errors);
        prop_assert!(reader.next().is_none());
    }
}

#[test]
fn what_could_be_unpacked_before_the_damage_is_handed_out() {
    let text: Vec<u8> = (0..50_000_u32).flat_map(|number| format!("{}\n", number.wrapping_mul(2_654_435_761)).into_bytes()).collect();
    for packed in [gzip(&text), zstandard(&text)] {
        let half = packed[..packed.len() / 2].to_vec();
        let unpacked: usize = reader(Cursor::new(half), SMALL).filter_map(Result::ok).map(|chunk| chunk.bytes.len()).sum();
        assert!(unpacked > text.len() / 4, "{unpacked} of {}", text.len());
    }
}

#[test]
fn a_failing_disk_is_told_after_what_came_before() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }
    let mut reader = reader(Cursor::new(b"1234567\n1234567\n123".to_vec()).chain(Failing), SMALL);
    assert_eq!(reader.next().unwrap().unwrap().bytes, &b"1234567\n1234567\n"[..]);
    assert_eq!(reader.next().unwrap().unwrap().bytes, &b"123"[..]);
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read input beyond byte 19; what came before was read. Import it again when it is readable: nothing is doubled"
    );
    assert!(reader.next().is_none());
}

#[test]
fn progress_counts_the_bytes_of_the_file_itself() {
    let root = tempfile::tempdir().unwrap();
    let text = b"line\n".repeat(100);
    let (packed, path) = (gzip(&text), root.path().join("a.gz"));
    std::fs::write(&path, &packed).unwrap();
    let input = super::super::expand(&[path]).unwrap().remove(0);
    let progress = Arc::new(AtomicU64::new(1000));
    let reader = ChunkReader::open(&input, SMALL, lines, Arc::clone(&progress)).unwrap();
    assert_eq!(reader.compression(), Compression::Gzip);
    assert_eq!(reader.last().unwrap().unwrap().read_bytes, packed.len() as u64);
    assert_eq!(progress.load(Relaxed), 1000 + packed.len() as u64);
}

#[test]
fn a_file_that_went_away_is_told() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.log");
    std::fs::write(&path, b"x").unwrap();
    let input = super::super::expand(std::slice::from_ref(&path)).unwrap().remove(0);
    std::fs::remove_file(&path).unwrap();
    let error = ChunkReader::open(&input, SMALL, lines, Arc::default()).err().unwrap();
    assert!(matches!(&error, ReadError::Open { name, .. } if *name == path.display().to_string()), "{error}");
}
