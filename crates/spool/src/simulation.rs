//! Many short, bad lives of a spool.
//!
//! `FRESHET_SPOOL_SEED=17 cargo test -p freshet-spool` replays one of them, `FRESHET_SPOOL_SEEDS=40000` lives more than usual;
//! do so after any change to what is written in which order, because the rarest of them are one in many thousands.
//!
//! A sender sends frames and repeats some, a loader follows the protocol of the destinations, and the disk fails, fills up,
//! dies in the middle of anything, or loses what it was not told to keep. In the end every frame that was acknowledged has
//! been loaded exactly once, every other one at most once, and no position ever meant two payloads.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshet_core::{Clock, Format, Micros, Payload, Position, Receipt, SourceKind};
use tokio::sync::oneshot;

use crate::disk::Disk;
use crate::faulty_disk::{Crash, Dice, FaultyDisk};
use crate::limits::{Limits, MAX_BYTES_MIN, SpoolOptions};
use crate::log::{Answer, Append, Log};
use crate::{Entry, SpoolReader, State, window};

const SEEDS: u64 = 1_500;
const STEPS: u64 = 120;

#[test]
fn acknowledged_frames_are_loaded_exactly_once_whatever_happens() {
    let number_in = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    let seeds = match number_in("FRESHET_SPOOL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_in("FRESHET_SPOOL_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let life = std::panic::catch_unwind(|| World::new(seed).live());
        assert!(life.is_ok(), "replay with FRESHET_SPOOL_SEED={seed}");
    }
}

#[test]
fn a_disk_that_fills_up_closes_the_door_before_it_refuses_anybody() {
    let mut world = World::new(0);
    let room = world.limits.reserve_bytes;
    world.disk.set_capacity(world.disk.used_bytes() + 3 * room);
    while world.log.is_open() {
        let number = world.new_frame();
        assert!(world.send_batch(vec![number])[0].is_ok());
    }
    assert_eq!(world.log.shared().stats().state, State::Full);
    let refused = loop {
        let number = world.new_frame();
        if world.send_batch(vec![number])[0].is_err() {
            break number;
        }
    };
    assert_eq!(world.log.shared().stats().state, State::Failing);
    // Room for a segment's header is no room.
    world.disk.set_capacity(world.disk.used_bytes() + 500);
    world.log.tick();
    assert_eq!(world.log.shared().stats().state, State::Failing);
    world.disk.heal();
    world.log.tick();
    assert_eq!(world.log.shared().stats().state, State::Open);
    assert!(matches!(world.send_batch(vec![refused])[0], Ok(Receipt::Stored)));
    world.settle();
}

/// A clock that goes when told to.
#[derive(Clone, Default)]
pub(crate) struct SteppedClock(Arc<AtomicI64>);

impl SteppedClock {
    pub(crate) fn advance(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::Relaxed))
    }
}

/// A frame as its sender knows it; its number is its place in the list.
struct Frame {
    has_id: bool,
    acknowledged: bool,
    loaded: u32,
}

struct World {
    dice: Dice,
    disk: FaultyDisk,
    clock: SteppedClock,
    limits: Limits,
    log: Log,
    reader: SpoolReader,
    frames: Vec<Frame>,
    /// What the destination remembers.
    checkpoint: Position,
    /// Every position that was ever read, and the frame that was there.
    meaning: HashMap<Position, usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let disk = FaultyDisk::new(seed ^ 0xD15C);
        let clock = SteppedClock::default();
        let options = SpoolOptions {
            max_bytes: MAX_BYTES_MIN,
            segment_bytes: 1024 + seed % 3 * 1500,
            dedupe_window: Duration::from_hours(1),
            dedupe_frames_min: seed as usize % 2 * 100,
            retry_every: Duration::ZERO,
        };
        let limits = Limits::new(&options);
        let (log, reader) = open(&disk, &clock, limits).expect("a healthy, empty disk");
        Self { dice, disk, clock, limits, log, reader, frames: Vec::new(), checkpoint: 0, meaning: HashMap::new() }
    }

    fn live(mut self) {
        for _ in 0..STEPS {
            self.clock.advance(self.dice.below(1_000_000) as i64);
            match self.dice.below(20) {
                0..8 => self.send(),
                8..12 => self.load(),
                12..14 => drop(self.log.consume(self.checkpoint)),
                14..16 => self.log.tick(),
                16 => self.break_something(),
                17..19 => self.disk.heal(),
                _ => self.crash(),
            }
        }
        self.settle();
    }

    fn send(&mut self) {
        let batch = (0..=self.dice.below(6)).map(|_| self.choose_frame()).collect();
        self.send_batch(batch);
    }

    /// A new frame, or one that was sent before.
    fn choose_frame(&mut self) -> usize {
        if !self.frames.is_empty() && self.dice.one_in(3) {
            let number = self.dice.below(self.frames.len() as u64) as usize;
            if self.frames[number].has_id {
                return number;
            }
        }
        self.new_frame()
    }

    fn new_frame(&mut self) -> usize {
        self.frames.push(Frame { has_id: !self.dice.one_in(8), acknowledged: false, loaded: 0 });
        self.frames.len() - 1
    }

    fn send_batch(&mut self, numbers: Vec<usize>) -> Vec<Answer> {
        let (batch, answered): (Vec<Append>, Vec<oneshot::Receiver<Answer>>) = numbers.iter().map(|number| self.append(*number)).unzip();
        self.log.append(batch);
        let answers: Vec<Answer> = answered.into_iter().map(|mut answer| answer.try_recv().expect("every payload is answered")).collect();
        for (number, answer) in numbers.into_iter().zip(&answers) {
            self.frames[number].acknowledged |= answer.is_ok();
        }
        answers
    }

    fn append(&mut self, number: usize) -> (Append, oneshot::Receiver<Answer>) {
        let filling = "x".repeat(self.dice.below(500) as usize);
        let payload = Payload {
            source: SourceKind::Drain,
            format: Format::Frames,
            app: None,
            drain_token: Some("d.1".to_owned()),
            frame_id: self.frames[number].has_id.then(|| number.to_string()),
            msg_count: None,
            received_at: self.clock.now(),
            body: Bytes::from(format!("{number} {filling}")),
        };
        let (answer, answered) = oneshot::channel();
        let key = window::key(&payload);
        let encoded = payload.encode();
        let checksum = crc32fast::hash(&encoded);
        (Append { payload: encoded, checksum, key, received_at: payload.received_at, answer, _permit: None }, answered)
    }

    /// Reads some entries, and mostly commits them.
    fn load(&mut self) {
        let package = self.read();
        if self.dice.one_in(6) {
            self.reader.seek(self.checkpoint);
        } else {
            self.commit(package);
        }
    }

    fn read(&mut self) -> Vec<(Position, usize)> {
        let mut package = Vec::new();
        for _ in 0..=self.dice.below(30) {
            match self.reader.try_next().expect("reading works on this disk") {
                Some(Entry::Payload { position, payload }) => package.push((position, number_in(&payload))),
                // A batch that was torn in its middle; nobody was told it is safe, as the end of the story shows.
                Some(Entry::Gap(_)) => {}
                None => break,
            }
        }
        for (position, number) in &package {
            assert_eq!(self.meaning.entry(*position).or_insert(*number), number, "position {position} means two payloads");
        }
        assert!(package.is_sorted_by(|a, b| a.0 < b.0), "positions do not increase: {package:?}");
        package
    }

    fn commit(&mut self, package: Vec<(Position, usize)>) {
        for (position, number) in package {
            if position > self.checkpoint {
                self.frames[number].loaded += 1;
                self.checkpoint = position;
            }
        }
    }

    fn break_something(&mut self) {
        match self.dice.below(3) {
            0 => self.disk.fail_syncs(1 + self.dice.below(3) as u32),
            1 => self.disk.set_capacity(self.disk.used_bytes() + self.dice.below(3_000)),
            _ => self.disk.die_after(self.dice.below(12)),
        }
    }

    fn crash(&mut self) {
        if self.dice.one_in(5) {
            self.restart_cleanly();
            return;
        }
        let crash = if self.dice.one_in(2) { Crash::Process } else { Crash::Power };
        // The start may be cut short as well, at any point.
        for _ in 0..self.dice.below(3) {
            self.disk.crash(crash);
            self.disk.die_after(self.dice.below(30));
            if let Ok((log, reader)) = open(&self.disk, &self.clock, self.limits) {
                (self.log, self.reader) = (log, reader);
                self.load();
                self.send();
            }
        }
        self.disk.crash(crash);
        self.reopen();
    }

    fn restart_cleanly(&mut self) {
        let (spare, reader) = open(&FaultyDisk::new(0), &self.clock, self.limits).expect("a healthy, empty disk");
        self.reader = reader;
        std::mem::replace(&mut self.log, spare).close();
        self.disk.crash(Crash::Process);
        self.reopen();
    }

    fn reopen(&mut self) {
        let opened = open(&self.disk, &self.clock, self.limits).or_else(|_| {
            self.disk.heal();
            open(&self.disk, &self.clock, self.limits)
        });
        (self.log, self.reader) = opened.expect("a disk without faults");
        if self.dice.one_in(2) {
            self.reader.seek(self.checkpoint);
        }
    }

    fn settle(mut self) {
        self.disk.heal();
        self.crash();
        self.disk.heal();
        for _ in 0..2 {
            self.drain();
            let known: Vec<usize> = (0..self.frames.len()).filter(|number| self.frames[*number].has_id).collect();
            for numbers in known.chunks(5) {
                let before: Vec<bool> = numbers.iter().map(|number| self.frames[*number].acknowledged).collect();
                let answers = self.send_batch(numbers.to_vec());
                for ((number, was_acknowledged), answer) in numbers.iter().zip(before).zip(answers) {
                    let answer = answer.expect("room and a healthy disk");
                    assert!(!was_acknowledged || answer == Receipt::Repeated, "frame {number} was forgotten");
                }
                self.drain();
            }
            self.crash();
            self.disk.heal();
        }
        self.drain();
        for (number, frame) in self.frames.iter().enumerate() {
            assert!(frame.loaded <= 1, "frame {number} was loaded {} times", frame.loaded);
            assert!(frame.loaded == 1 || !frame.acknowledged, "frame {number} was acknowledged and lost");
        }
        let stats = self.log.shared().stats();
        assert!(stats.segments <= 2, "consumed segments stay: {stats:?}");
    }

    /// Loads and consumes everything; afterwards the spool is open.
    fn drain(&mut self) {
        self.log.tick();
        self.reader.seek(self.checkpoint);
        let end = self.log.shared().tail.borrow().end;
        while self.reader.position() < end {
            let package = self.read();
            self.commit(package);
        }
        self.log.consume(end).expect("a healthy disk");
        self.log.tick();
        assert_eq!(*self.log.shared().state.borrow(), State::Open);
    }
}

fn open(disk: &FaultyDisk, clock: &SteppedClock, limits: Limits) -> Result<(Log, SpoolReader), crate::SpoolError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (log, _) = Log::open(Arc::clone(&disk), Arc::new(clock.clone()), limits, 0x00F0_0BA7)?;
    let reader = SpoolReader::new(disk, log.identity(), Arc::clone(log.shared()));
    Ok((log, reader))
}

fn number_in(payload: &Payload) -> usize {
    let text = std::str::from_utf8(&payload.body).expect("bodies are text");
    text.split(' ').next().and_then(|number| number.parse().ok()).expect("bodies begin with a number")
}
