//! The spool on the machine's own disk, through its public face only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::too_many_lines)]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshet_core::{Clock, Format, Inbox, InboxError, Micros, Payload, Position, Receipt, SourceKind};
use freshet_spool::{Entry, Recovery, Spool, SpoolError, SpoolOptions, SpoolReader, State};

const INSTALL_ID: u128 = 0xF00D;
const HOUR_MICROS: i64 = 3_600_000_000;

#[derive(Clone, Default)]
struct TestClock(Arc<AtomicI64>);

impl Clock for TestClock {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::Relaxed))
    }
}

/// Small segments, so that a test has many.
fn options() -> SpoolOptions {
    SpoolOptions { max_bytes: 1 << 20, segment_bytes: 4096, retry_every: Duration::from_millis(5), ..SpoolOptions::default() }
}

fn open_with(directory: &Path, options: &SpoolOptions, clock: &TestClock) -> (Spool, Recovery) {
    Spool::open(directory, options, Arc::new(clock.clone()), INSTALL_ID).unwrap()
}

fn open(directory: &Path) -> (Spool, Recovery) {
    open_with(directory, &options(), &TestClock::default())
}

/// Frame number `number`, with a body of `length` bytes that tells it.
fn frame(number: usize, length: usize) -> Payload {
    let mut body = format!("{number} ").into_bytes();
    body.resize(body.len().max(length), b'x');
    Payload {
        source: SourceKind::Drain,
        format: Format::Frames,
        app: Some("shop".to_owned()),
        drain_token: Some("d.1".to_owned()),
        frame_id: Some(format!("frame-{number}")),
        msg_count: Some(1),
        received_at: Micros(0),
        body: Bytes::from(body),
    }
}

fn number(payload: &Payload) -> usize {
    std::str::from_utf8(&payload.body).unwrap().split(' ').next().unwrap().parse().unwrap()
}

async fn store(spool: &Spool, numbers: std::ops::Range<usize>) {
    for number in numbers {
        assert_eq!(spool.accept(frame(number, 500)).await.unwrap(), Receipt::Stored, "frame {number}");
    }
}

/// Everything there is now: the frames, their positions, and the bytes in gaps.
fn read(reader: &mut SpoolReader) -> (Vec<usize>, Vec<Position>, u64) {
    let (mut numbers, mut positions, mut damaged) = (Vec::new(), Vec::new(), 0);
    while let Some(entry) = reader.try_next().unwrap() {
        match entry {
            Entry::Payload { position, payload } => {
                numbers.push(number(&payload));
                positions.push(position);
            }
            Entry::Gap(gap) => damaged += gap.bytes(),
        }
    }
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    (numbers, positions, damaged)
}

fn files(directory: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(suffix));
    paths.sort();
    paths
}

/// As after a kill: no sidecar says that the last segments are finished.
fn forget_the_clean_end(directory: &Path) {
    for sidecar in files(directory, ".seen") {
        fs::remove_file(sidecar).unwrap();
    }
}

#[tokio::test]
async fn payloads_come_back_whole_and_in_order_across_segments_and_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, recovery) = open(directory.path());
    assert_eq!(recovery, Recovery::default());
    let shard = spool.shard();
    assert_eq!(shard.as_str(), format!("freshet/{INSTALL_ID:032x}/spool"));
    store(&spool, 0..40).await;
    let (numbers, before, _) = read(&mut spool.reader());
    assert_eq!(numbers, Vec::from_iter(0..40));
    assert!(before[0] > 0);
    assert!(files(directory.path(), ".seg").len() > 4, "no rotation");
    spool.close().await;
    drop(spool);

    let (spool, recovery) = Spool::open(directory.path(), &options(), Arc::new(TestClock::default()), 1).unwrap();
    assert_eq!(spool.shard(), shard, "the shard's name is for ever");
    assert_eq!((recovery.records, recovery.torn_bytes, recovery.corrupt_bytes), (40, 0, 0));
    store(&spool, 40..45).await;
    let mut reader = spool.reader();
    let first = reader.try_next().unwrap().unwrap();
    assert_eq!(first, Entry::Payload { position: before[0], payload: frame(0, 500) });
    let (numbers, after, _) = read(&mut reader);
    assert_eq!(numbers, Vec::from_iter(1..45));
    assert_eq!(after[..39], before[1..], "positions are for ever");
    reader.seek(before[20]);
    assert_eq!(read(&mut reader).0, Vec::from_iter(21..45));
    spool.close().await;
}

#[tokio::test]
async fn consumed_segments_are_deleted_and_the_mark_never_goes_back() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    store(&spool, 0..40).await;
    let (_, positions, _) = read(&mut spool.reader());
    let segments = spool.stats().segments;
    spool.consumed(positions[19]).await.unwrap();
    spool.consumed(positions[3]).await.unwrap();
    let stats = spool.stats();
    assert!(stats.segments < segments && stats.segments > 1, "{stats:?}");
    assert_eq!(stats.consumed, positions[19]);
    assert_eq!(files(directory.path(), ".seg").len(), stats.segments);
    assert_eq!(read(&mut spool.reader()).0, Vec::from_iter(20..40));
    spool.close().await;
    drop(spool);

    let (spool, _) = open(directory.path());
    assert_eq!(read(&mut spool.reader()).0, Vec::from_iter(20..40));
    spool.consumed(Position::MAX).await.unwrap();
    assert_eq!(spool.stats().consumed, positions[39], "nobody has consumed what is yet to come");
    store(&spool, 40..41).await;
    assert_eq!(read(&mut spool.reader()).0, [40]);
    spool.close().await;
}

#[tokio::test]
async fn a_lost_mark_means_reading_again_and_nothing_worse() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    store(&spool, 0..10).await;
    let (_, positions, _) = read(&mut spool.reader());
    spool.consumed(positions[9]).await.unwrap();
    spool.close().await;
    drop(spool);
    fs::write(directory.path().join("consumed"), b"rot").unwrap();
    let (spool, _) = open(directory.path());
    let (numbers, again, _) = read(&mut spool.reader());
    assert_eq!(again, positions[10 - numbers.len()..]);
    store(&spool, 10..11).await;
    spool.close().await;
}

#[tokio::test]
async fn positions_never_start_again_even_when_all_segments_are_lost() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    store(&spool, 0..20).await;
    let end = spool.stats().durable_end;
    spool.consumed(end).await.unwrap();
    spool.close().await;
    drop(spool);
    for file in [files(directory.path(), ".seg"), files(directory.path(), ".seen")].concat() {
        fs::remove_file(file).unwrap();
    }
    let (spool, _) = open(directory.path());
    store(&spool, 20..21).await;
    let (numbers, positions, _) = read(&mut spool.reader());
    assert_eq!(numbers, [20]);
    assert!(positions[0] > end);
    spool.close().await;
}

#[tokio::test]
async fn a_second_process_is_told_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let second = Spool::open(directory.path(), &options(), Arc::new(TestClock::default()), 1);
    let Err(error @ SpoolError::Locked { .. }) = second else { panic!("no lock") };
    let text = error.to_string();
    assert!(text.contains(&directory.path().display().to_string()) && text.contains("--data-dir"), "{text}");
    spool.close().await;
    drop(spool);
    open(directory.path());
}

#[tokio::test]
async fn a_spool_of_another_installation_is_refused() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (spool, _) = open(ours.path());
    spool.close().await;
    drop(spool);
    let (spool, _) = Spool::open(theirs.path(), &options(), Arc::new(TestClock::default()), 1).unwrap();
    store(&spool, 0..20).await;
    spool.close().await;
    drop(spool);
    let foreign = files(theirs.path(), ".seg").pop().unwrap();
    fs::copy(&foreign, ours.path().join(foreign.file_name().unwrap())).unwrap();
    let mixed = Spool::open(ours.path(), &options(), Arc::new(TestClock::default()), 2);
    assert!(matches!(mixed, Err(SpoolError::Foreign { .. })));
    // The small file alone may get lost: every segment names its owner.
    fs::remove_file(theirs.path().join("install-id")).unwrap();
    let (spool, _) = open(theirs.path());
    assert_eq!(spool.shard().as_str(), format!("freshet/{:032x}/spool", 1));
    assert_eq!(read(&mut spool.reader()).0, Vec::from_iter(0..20));
}

#[tokio::test]
async fn a_log_cut_anywhere_in_its_last_record_loses_that_record_only() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    for number in 0..3 {
        spool.accept(frame(number, 20)).await.unwrap();
    }
    let (_, positions, _) = read(&mut spool.reader());
    spool.close().await;
    drop(spool);
    forget_the_clean_end(directory.path());
    let segment = files(directory.path(), ".seg").pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    assert_eq!(positions[2], whole.len() as u64);
    for length in positions[1]..positions[2] {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(directory.path().join("install-id"), copy.path().join("install-id")).unwrap();
        fs::write(copy.path().join(segment.file_name().unwrap()), &whole[..length as usize]).unwrap();
        let (spool, recovery) = open(copy.path());
        assert_eq!((recovery.records, recovery.torn_bytes, recovery.corrupt_bytes), (2, length - positions[1], 0), "cut at {length}");
        assert_eq!(spool.accept(frame(1, 20)).await.unwrap(), Receipt::Repeated);
        assert_eq!(spool.accept(frame(2, 20)).await.unwrap(), Receipt::Stored);
        let (numbers, now, damaged) = read(&mut spool.reader());
        assert_eq!((numbers, damaged), (vec![0, 1, 2], 0), "cut at {length}");
        assert!(now[2] > positions[1]);
        spool.close().await;
    }
}

#[tokio::test]
async fn a_flipped_bit_loses_the_record_it_is_in_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    store(&spool, 0..30).await;
    spool.close().await;
    drop(spool);
    let segments = files(directory.path(), ".seg");
    // Every so many bits of the log, clean ends and crashes in turn; the header is 48 bytes.
    let mut turn = 0;
    for segment in &segments {
        let whole = fs::read(segment).unwrap();
        for bit in (0..whole.len() * 8).step_by(1993) {
            turn += 1;
            let copy = tempfile::tempdir().unwrap();
            for file in fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap()) {
                fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
            }
            if turn % 2 == 0 {
                forget_the_clean_end(copy.path());
            }
            let mut rotten = whole.clone();
            rotten[bit / 8] ^= 1 << (bit % 8);
            fs::write(copy.path().join(segment.file_name().unwrap()), rotten).unwrap();
            let (spool, recovery) = open(copy.path());
            let (numbers, _, damaged) = read(&mut spool.reader());
            let is_in_header = bit / 8 < 48;
            let expected = if is_in_header { 30 } else { 29 };
            assert_eq!(numbers.len(), expected, "bit {bit} of {}", segment.display());
            assert_eq!(HashSet::<usize>::from_iter(numbers.clone()).len(), expected);
            assert!(numbers.is_sorted());
            if !is_in_header {
                let lost = recovery.corrupt_bytes + recovery.torn_bytes;
                assert!(lost > 500 && lost < 700, "{recovery:?}");
                assert!(damaged == recovery.corrupt_bytes || damaged == 0);
                assert_eq!(spool.stats().corrupt_bytes_total, damaged);
                // What is lost may be sent again, and counts as new.
                let missing = (0..30).find(|number| !numbers.contains(number)).unwrap();
                assert_eq!(spool.accept(frame(missing, 500)).await.unwrap(), Receipt::Stored, "frame {missing}");
            }
            spool.close().await;
        }
    }
    assert!(turn > 50);
}

#[tokio::test]
async fn a_full_spool_closes_before_it_refuses_and_opens_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let options = SpoolOptions { max_bytes: 256 << 10, segment_bytes: 16 << 10, ..options() };
    let (spool, _) = open_with(directory.path(), &options, &TestClock::default());
    spool.opened().await;
    let mut stored = 0;
    while spool.stats().state == State::Open {
        assert_eq!(spool.accept(frame(stored, 4000)).await.unwrap(), Receipt::Stored);
        stored += 1;
    }
    spool.closed().await;
    assert_eq!(spool.stats().state, State::Full);
    // Requests under way when the listener closes still find room.
    for _ in 0..5 {
        assert_eq!(spool.accept(frame(stored, 4000)).await.unwrap(), Receipt::Stored);
        stored += 1;
    }
    let refused = loop {
        match spool.accept(frame(stored, 4000)).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, InboxError::Full), "{refused}");
    assert!(spool.stats().used_bytes <= 256 << 10);
    assert_eq!(spool.accept(frame(0, 4000)).await.unwrap(), Receipt::Repeated, "what is there is there");

    let (numbers, positions, _) = read(&mut spool.reader());
    assert_eq!(numbers, Vec::from_iter(0..stored));
    let (consumed, opened) =
        tokio::join!(spool.consumed(*positions.last().unwrap()), tokio::time::timeout(Duration::from_secs(20), spool.opened()));
    consumed.unwrap();
    opened.expect("it opens by itself");
    assert_eq!(spool.accept(frame(stored, 4000)).await.unwrap(), Receipt::Stored);
    assert_eq!(read(&mut spool.reader()).0, [stored]);
    spool.close().await;
}

#[tokio::test]
async fn a_disk_that_refuses_closes_the_door_and_a_well_one_opens_it() {
    let parent = tempfile::tempdir().unwrap();
    let (directory, aside) = (parent.path().join("spool"), parent.path().join("aside"));
    let (spool, _) = open(&directory);
    store(&spool, 0..5).await;
    // Without its directory the next segment cannot be made.
    fs::rename(&directory, &aside).unwrap();
    let mut next = 5;
    let refused = loop {
        match spool.accept(frame(next, 500)).await {
            Ok(_) => next += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, InboxError::Disk(_)), "{refused}");
    spool.closed().await;
    assert_eq!(spool.stats().state, State::Failing);
    fs::rename(&aside, &directory).unwrap();
    tokio::time::timeout(Duration::from_secs(20), spool.opened()).await.expect("it opens by itself");
    assert_eq!(spool.accept(frame(next, 500)).await.unwrap(), Receipt::Stored, "a refused frame is forgotten");
    assert_eq!(read(&mut spool.reader()).0, Vec::from_iter(0..=next));
    assert!(spool.stats().disk_errors_total > 0);
    spool.close().await;
}

#[tokio::test]
async fn a_repeated_frame_is_known_across_restarts_and_deletion_and_longer_when_nothing_came_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let clock = TestClock::default();
    let (spool, _) = open_with(directory.path(), &options(), &clock);
    store(&spool, 0..40).await;
    let end = spool.stats().durable_end;
    spool.consumed(end).await.unwrap();
    assert_eq!(spool.accept(frame(0, 1)).await.unwrap(), Receipt::Repeated);
    spool.close().await;
    drop(spool);
    for age_micros in [HOUR_MICROS, 2 * HOUR_MICROS] {
        clock.0.store(age_micros, Ordering::Relaxed);
        let (spool, _) = open_with(directory.path(), &options(), &clock);
        for number in 0..40 {
            assert_eq!(spool.accept(frame(number, 1)).await.unwrap(), Receipt::Repeated, "frame {number} after {age_micros}");
        }
        assert_eq!(spool.stats().repeated_total, 40);
        spool.consumed(end).await.unwrap();
        spool.close().await;
    }
    // A month later the last frames are still known: their sender may have waited for that long.
    clock.0.store(30 * 24 * HOUR_MICROS, Ordering::Relaxed);
    let (spool, _) = open_with(directory.path(), &options(), &clock);
    assert_eq!(spool.accept(frame(0, 1)).await.unwrap(), Receipt::Repeated);
    store(&spool, 40..41).await;
    assert_eq!(spool.accept(frame(1, 1)).await.unwrap(), Receipt::Repeated);
    spool.close().await;
    drop(spool);
    // Where they need not be, the clock decides.
    let by_clock = SpoolOptions { dedupe_frames_min: 0, ..options() };
    clock.0.store(60 * 24 * HOUR_MICROS, Ordering::Relaxed);
    let (spool, _) = open_with(directory.path(), &by_clock, &clock);
    let late = Payload { received_at: clock.now(), ..frame(41, 500) };
    assert_eq!(spool.accept(late).await.unwrap(), Receipt::Stored);
    assert_eq!(spool.accept(frame(0, 1)).await.unwrap(), Receipt::Stored);
    let end = spool.stats().durable_end;
    spool.consumed(end).await.unwrap();
    spool.close().await;
    drop(spool);
    let (spool, _) = open_with(directory.path(), &by_clock, &clock);
    spool.close().await;
    assert!(files(directory.path(), ".seen").len() <= 3, "old sidecars stay: {:?}", files(directory.path(), ".seen"));
}

#[tokio::test]
async fn frames_without_an_id_are_never_repeats() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    let nameless = Payload { frame_id: None, drain_token: None, ..frame(7, 10) };
    for _ in 0..3 {
        assert_eq!(spool.accept(nameless.clone()).await.unwrap(), Receipt::Stored);
    }
    assert_eq!(read(&mut spool.reader()).0, [7, 7, 7]);
    spool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_senders_at_once_share_syncs_and_each_frame_is_stored_once() {
    let directory = tempfile::tempdir().unwrap();
    let options = SpoolOptions { max_bytes: 256 << 20, ..SpoolOptions::default() };
    let (spool, _) = open_with(directory.path(), &options, &TestClock::default());
    let spool = Arc::new(spool);
    let loader = tokio::spawn({
        let mut reader = spool.reader();
        async move {
            let mut numbers = Vec::new();
            while let Some(entry) = reader.next().await.unwrap() {
                let Entry::Payload { payload, .. } = entry else { panic!("a gap") };
                numbers.push(number(&payload));
            }
            numbers
        }
    });
    let mut senders = Vec::new();
    // Each frame is sent by two senders.
    for sender in 0..2000 {
        let spool = Arc::clone(&spool);
        senders.push(tokio::spawn(async move { spool.accept(frame(sender / 2, 2000)).await.unwrap() }));
    }
    let mut stored = 0;
    for sender in senders {
        stored += usize::from(sender.await.unwrap() == Receipt::Stored);
    }
    assert_eq!(stored, 1000);
    let stats = spool.stats();
    assert_eq!((stats.records_appended_total, stats.repeated_total), (1000, 1000));
    assert!(stats.syncs_total < 1000, "no group commit: {stats:?}");
    spool.close().await;
    assert!(matches!(spool.accept(frame(5000, 1)).await, Err(InboxError::Stopped)));
    assert!(matches!(spool.consumed(1).await, Err(SpoolError::Stopped)));
    let mut numbers = loader.await.unwrap();
    numbers.sort_unstable();
    assert_eq!(numbers, Vec::from_iter(0..1000));
}

#[tokio::test]
async fn large_payloads_fit_and_too_large_ones_are_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let options = SpoolOptions { max_bytes: 64 << 20, ..SpoolOptions::default() };
    let (spool, _) = open_with(directory.path(), &options, &TestClock::default());
    let sizes = [0, 1, (1 << 20) - 36, 1 << 20, 2 << 20, 13 << 20];
    for (index, size) in sizes.into_iter().enumerate() {
        assert_eq!(spool.accept(frame(index, size)).await.unwrap(), Receipt::Stored);
    }
    let Err(InboxError::Disk(reason)) = spool.accept(frame(99, 30 << 20)).await else { panic!("too large, and taken") };
    assert!(reason.contains("spool.max_bytes"), "{reason}");
    assert_eq!(spool.stats().state, State::Open);
    let mut reader = spool.reader();
    for (index, size) in sizes.into_iter().enumerate() {
        let Some(Entry::Payload { payload, .. }) = reader.next().await.unwrap() else { panic!("payload {index} is missing") };
        assert_eq!(payload, frame(index, size));
    }
    spool.close().await;
    assert_eq!(reader.next().await.unwrap(), None);
}

#[tokio::test]
async fn batches_are_bounded_and_positions_can_be_raised() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    store(&spool, 0..10).await;
    let mut reader = spool.reader();
    assert_eq!(reader.read_batch(1200).unwrap().len(), 3);
    assert_eq!(reader.read_batch(usize::MAX).unwrap().len(), 7);
    assert_eq!(reader.read_batch(usize::MAX).unwrap().len(), 0);
    spool.raise(1 << 40).await.unwrap();
    reader.seek(1 << 40);
    store(&spool, 10..11).await;
    assert!(reader.readable().await);
    let (numbers, positions, _) = read(&mut reader);
    assert_eq!(numbers, [10]);
    assert!(positions[0] > 1 << 40);
    spool.raise(5).await.unwrap();
    spool.close().await;
    assert!(!reader.readable().await);
    drop((spool, reader));
    let (spool, _) = open(directory.path());
    assert_eq!(read(&mut spool.reader()).0, Vec::from_iter(0..11));
    assert!(spool.stats().durable_end > 1 << 40);
}

#[tokio::test]
async fn the_oldest_payload_that_waits_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _) = open(directory.path());
    assert_eq!(spool.stats().oldest_unconsumed_at, None);
    for number in 0..5 {
        let payload = Payload { received_at: Micros(100 + number as i64), ..frame(number, 10) };
        spool.accept(payload).await.unwrap();
    }
    let (_, positions, _) = read(&mut spool.reader());
    assert_eq!(spool.stats().oldest_unconsumed_at, Some(Micros(100)));
    spool.consumed(positions[2]).await.unwrap();
    assert_eq!(spool.stats().oldest_unconsumed_at, Some(Micros(103)));
    spool.close().await;
    drop(spool);
    let (spool, _) = open(directory.path());
    assert_eq!(spool.stats().oldest_unconsumed_at, Some(Micros(103)));
    spool.consumed(positions[4]).await.unwrap();
    assert_eq!(spool.stats().oldest_unconsumed_at, None);
}
