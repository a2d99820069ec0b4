//! The log's one writer: it alone creates, writes and removes files. It runs on a thread of its own, and in tests without one.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use freshet_core::{Clock, InboxError, Micros, Position, Receipt};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{error, info, warn};

use crate::SpoolError;
use crate::disk::{self, AppendFile, Disk};
use crate::ledger::{Segment, Shared, State};
use crate::limits::Limits;
use crate::mark;
use crate::recovery::{Recovered, Recovery, recover};
use crate::seen::{self, Entry, Seen, Sidecar};
use crate::segment::{self, HEAD_BYTES, HEADER_BYTES, Head, Header, Identity};
use crate::window::{ENTRIES_MAX, NO_KEY, Window};

/// Sidecars kept at most for frames that are older than the dedupe window: a process that starts again and again makes one each time,
/// and small segments make many.
const OLD_SIDECARS_MAX: usize = 4_096;

/// What a failed disk is tried with. A leftover is removed on start like any unfinished file.
const PROBE_NAME: &str = "probe.tmp";

/// How a request to store a payload ends.
pub(crate) type Answer = Result<Receipt, InboxError>;

/// A payload to store.
pub(crate) struct Append {
    /// The payload in its envelope.
    pub(crate) payload: Bytes,
    /// CRC-32 of `payload`.
    pub(crate) checksum: u32,
    /// See [`Head::key`].
    pub(crate) key: u128,
    pub(crate) received_at: Micros,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// Its share of the memory that waiting payloads may take.
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
}

impl Append {
    fn answer(self, answer: Answer) {
        // The other end may have given up waiting; what is stored stays stored.
        let _ = self.answer.send(answer);
    }
}

/// The log, open for writing.
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    identity: Identity,
    shared: Arc<Shared>,
    window: Window,
    /// The segment being written. None after a failure, until the disk takes a new one.
    active: Option<Active>,
    /// Segments that will not be written again, and whose sidecars are not durable yet.
    unsealed: Vec<(Position, Seen)>,
    /// Durable sidecars.
    sidecars: Vec<Sidecar>,
    /// Where the durable log ends.
    end: Position,
    /// Beyond every byte that was ever written, or tried to be.
    next_base: Position,
    consumed: Position,
    /// What the mark on disk says.
    marked: Position,
    last_error: String,
    buffer: Vec<u8>,
}

struct Active {
    file: Box<dyn AppendFile>,
    base: Position,
    /// Position of the next byte.
    place: Position,
    entries: Vec<Entry>,
}

impl Active {
    fn is_empty(&self) -> bool {
        self.place <= self.base + HEADER_BYTES
    }
}

impl Log {
    /// Recovers what is on the disk and begins a new segment behind it. A disk that refuses the new segment leaves the log
    /// readable and [`State::Failing`].
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        new_install_id: u128,
    ) -> Result<(Self, Recovery), SpoolError> {
        let window = Window::new(limits.dedupe_window_micros, ENTRIES_MAX, limits.dedupe_frames_min);
        let recovered = recover(disk.as_ref(), window, new_install_id)?;
        let Recovered { identity, segments, timeline, window, end, next_base, consumed, unsealed, sidecars, report } = recovered;
        let mut log = Self {
            disk,
            clock,
            limits,
            identity,
            shared: Arc::new(Shared::new(segments, timeline, end, consumed)),
            window,
            active: None,
            unsealed,
            sidecars,
            end,
            next_base,
            consumed,
            marked: 0,
            last_error: String::new(),
            buffer: Vec::new(),
        };
        log.tick();
        Ok((log, report))
    }

    /// What the log tells others.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whose log it is.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether it takes payloads. When not, [`Log::tick`] wants to be called now and then.
    pub(crate) fn is_open(&self) -> bool {
        *self.shared.state.borrow() == State::Open
    }

    /// Stores payloads with one write and one sync, and answers each.
    pub(crate) fn append(&mut self, batch: Vec<Append>) {
        let Admitted { first, again, answered } = self.admit(batch);
        for (append, answer) in answered {
            append.answer(answer);
        }
        if first.is_empty() {
            return;
        }
        let stored = self.store(&first);
        if let Err(error) = &stored {
            self.note_error(error);
        }
        self.refresh_state();
        let repeated = if stored.is_ok() { again.len() as u64 } else { 0 };
        self.shared.ledger().stats.repeated_total += repeated;
        for (appends, receipt) in [(first, Receipt::Stored), (again, Receipt::Repeated)] {
            for append in appends {
                append.answer(if stored.is_ok() { Ok(receipt) } else { Err(self.refusal()) });
            }
        }
    }

    /// Decides about what needs no write, and parts the rest into first copies and repeats of those.
    fn admit(&mut self, batch: Vec<Append>) -> Admitted {
        let mut admitted = Admitted::default();
        let mut keys = HashSet::new();
        let mut room = self.limits.max_bytes.saturating_sub(self.shared.ledger().used_bytes() + HEADER_BYTES);
        let mut repeated = 0;
        for append in batch {
            let bytes = (HEAD_BYTES + append.payload.len()) as u64;
            let answer = if self.window.contains(append.key) {
                repeated += 1;
                Ok(Receipt::Repeated)
            } else if append.key != NO_KEY && keys.contains(&append.key) {
                // It is safe only when the first copy is.
                admitted.again.push(append);
                continue;
            } else if self.active.is_none() {
                Err(self.refusal())
            } else if bytes > room {
                self.set_state(State::Full);
                Err(InboxError::Full)
            } else {
                room -= bytes;
                keys.insert(append.key);
                admitted.first.push(append);
                continue;
            };
            admitted.answered.push((append, answer));
        }
        self.shared.ledger().stats.repeated_total += repeated;
        admitted
    }

    fn store(&mut self, batch: &[Append]) -> io::Result<()> {
        let bytes: u64 = batch.iter().map(|append| (HEAD_BYTES + append.payload.len()) as u64).sum();
        let is_over = |active: &Active| !active.is_empty() && active.place - active.base + bytes > self.limits.segment_bytes;
        if self.active.as_ref().is_some_and(is_over) {
            self.rotate()?;
        }
        let Some(mut active) = self.active.take() else { return Err(io::Error::other("no segment is open")) };
        self.fill_buffer(batch, active.place);
        let begun = self.clock.now();
        let written = active.file.append(&self.buffer).and_then(|()| active.file.sync());
        active.place += self.buffer.len() as u64;
        if let Err(error) = written {
            // The file is never written or synced again: after a failed sync a second one may succeed without having
            // saved anything. Its durable part stays readable, the next segment says where that ends.
            self.retire(active);
            return Err(error);
        }
        self.publish(batch, &mut active, self.clock.now().seconds_since(begun).max(0.0));
        self.active = Some(active);
        Ok(())
    }

    fn fill_buffer(&mut self, batch: &[Append], start: Position) {
        self.buffer.clear();
        self.buffer.shrink_to(self.limits.batch_bytes * 2);
        for append in batch {
            let place = start + self.buffer.len() as u64;
            let head = Head {
                // `Limits::payload_bytes` keeps it far below.
                length: u32::try_from(append.payload.len()).unwrap_or(u32::MAX),
                payload_checksum: append.checksum,
                key: append.key,
                received_at: append.received_at,
            };
            head.encode(self.identity, place, &mut self.buffer);
            self.buffer.extend_from_slice(&append.payload);
        }
    }

    /// Lets readers and later repeats know of what is durable now.
    fn publish(&mut self, batch: &[Append], active: &mut Active, seconds: f64) {
        self.end = active.place;
        for append in batch.iter().filter(|append| append.key != NO_KEY) {
            self.window.insert(append.key, append.received_at);
            active.entries.push((append.key, append.received_at));
        }
        let mut ledger = self.shared.ledger();
        if let Some(last) = ledger.segments.back_mut() {
            last.end = active.place;
            last.bytes = active.place - active.base;
        }
        if let Some(oldest) = batch.iter().map(|append| append.received_at).min() {
            ledger.timeline.push(self.end, oldest);
        }
        let stats = &mut ledger.stats;
        stats.records_appended_total += batch.len() as u64;
        stats.bytes_appended_total += self.buffer.len() as u64;
        stats.syncs_total += 1;
        stats.sync_seconds_last = seconds;
        stats.sync_seconds_total += seconds;
        stats.sync_seconds_max = stats.sync_seconds_max.max(seconds);
        stats.window_entries = self.window.entries();
        stats.window_forgotten_total = self.window.forgotten_total();
        drop(ledger);
        self.shared.tail.send_modify(|tail| tail.end = self.end);
    }

    /// Ends the active segment, if there is one, and begins the next.
    fn rotate(&mut self) -> io::Result<()> {
        if let Some(active) = self.active.take() {
            self.retire(active);
        }
        self.write_sidecars()?;
        let base = self.next_base;
        // A segment that failed to be born may still turn up after a crash: its place is not given away again.
        self.next_base += HEADER_BYTES;
        let name = segment::file_name(base);
        let mut file = self.disk.create(&name)?;
        let header = Header { id: self.identity.id, base, previous_end: self.end };
        let durable = file.append(&header.encode()).and_then(|()| file.sync()).and_then(|()| self.disk.sync_directory());
        if let Err(error) = durable {
            // Only tidiness: without a durable header, or without records, it means nothing to the next start.
            let _ = self.disk.remove(&name);
            return Err(error);
        }
        self.sidecars_are_durable();
        self.shared.ledger().segments.push_back(Segment { base, end: self.end, bytes: HEADER_BYTES });
        self.active = Some(Active { file, base, place: base + HEADER_BYTES, entries: Vec::new() });
        if let Err(error) = self.drop_old_sidecars() {
            self.note_error(&error);
        }
        Ok(())
    }

    fn retire(&mut self, active: Active) {
        self.next_base = self.next_base.max(active.place);
        if let Some(last) = self.shared.ledger().segments.back_mut() {
            last.bytes = active.place - active.base;
        }
        self.unsealed.push((active.base, Seen { end: self.end, entries: active.entries }));
    }

    fn write_sidecars(&self) -> io::Result<()> {
        for (base, seen) in &self.unsealed {
            // An older sidecar of the same segment must not be torn: it may be all that says where the segment ends.
            disk::replace_unsynced(self.disk.as_ref(), &seen::file_name(*base), &seen.encode())?;
        }
        Ok(())
    }

    fn sidecars_are_durable(&mut self) {
        let sealed = self.unsealed.drain(..).map(|(base, seen)| Sidecar::of(base, &seen));
        self.sidecars.extend(sealed);
    }

    /// Removes the sidecars whose segments are gone and whose frames nobody sends again.
    fn drop_old_sidecars(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        let kept: HashSet<Position> = self.shared.ledger().segments.iter().map(|segment| segment.base).collect();
        self.sidecars.sort_unstable_by_key(|sidecar| sidecar.base);
        let (mut newer_frames, mut newer_files) = (0, 0);
        for index in (0..self.sidecars.len()).rev() {
            let Sidecar { base, newest, frames } = self.sidecars[index];
            let is_among_last = frames > 0 && newer_frames < self.limits.dedupe_frames_min && newer_files < OLD_SIDECARS_MAX;
            if !kept.contains(&base) && self.window.is_over(newest, now) && !is_among_last {
                remove_if_there(self.disk.as_ref(), &seen::file_name(base))?;
                self.sidecars.remove(index);
            } else {
                newer_frames += frames;
                newer_files += 1;
            }
        }
        Ok(())
    }

    /// Notes that everything up to `position` is safe elsewhere, and removes the segments that nobody needs any more.
    pub(crate) fn consume(&mut self, position: Position) -> Result<(), SpoolError> {
        let position = position.min(self.end);
        if position > self.consumed {
            self.consumed = position;
            let mut ledger = self.shared.ledger();
            ledger.stats.consumed = position;
            ledger.timeline.consume(position);
        }
        let marked = if self.consumed > self.marked { mark::write_mark(self.disk.as_ref(), self.consumed) } else { Ok(()) };
        // Removing a segment says as much as the mark does, and works on a full disk.
        let trimmed = self.trim();
        self.refresh_state();
        for result in [&marked, &trimmed] {
            if let Err(error) = result {
                self.note_error(error);
            }
        }
        marked.map_err(SpoolError::disk("write", "the consumed mark"))?;
        self.marked = self.consumed;
        trimmed.map_err(SpoolError::disk("remove", "a consumed segment"))
    }

    /// Makes sure that every payload from now on gets a position beyond `position`.
    pub(crate) fn raise(&mut self, position: Position) -> Result<(), SpoolError> {
        let place = self.active.as_ref().map_or(self.next_base, |active| active.place);
        if place >= position {
            return Ok(());
        }
        self.next_base = self.next_base.max(position);
        let rotated = self.rotate();
        if let Err(error) = &rotated {
            self.note_error(error);
        }
        self.refresh_state();
        rotated.map_err(SpoolError::disk("create", "a segment"))
    }

    /// Tries whether a disk that failed or was full is well again.
    pub(crate) fn tick(&mut self) {
        let begun = match &self.active {
            Some(_) => Ok(()),
            None if self.last_error.is_empty() => self.rotate(),
            None => self.probe().and_then(|()| self.rotate()),
        };
        for result in [begun, self.trim()] {
            if let Err(error) = result {
                self.note_error(&error);
            }
        }
        self.refresh_state();
    }

    /// Writes as much as a batch may need. A segment's header alone would fit on a disk that has no room for payloads, and
    /// each time the spool opened for nothing a sender would lose the frame it was refused.
    fn probe(&self) -> io::Result<()> {
        let mut file = self.disk.create(PROBE_NAME)?;
        let written = file.append(&vec![0; self.limits.batch_bytes]).and_then(|()| file.sync());
        drop(file);
        remove_if_there(self.disk.as_ref(), PROBE_NAME)?;
        written
    }

    /// Finishes the last segment, so that the next start need not doubt it.
    pub(crate) fn close(&mut self) {
        if let Some(active) = self.active.take() {
            self.retire(active);
        }
        match self.write_sidecars().and_then(|()| self.disk.sync_directory()) {
            Ok(()) => self.sidecars_are_durable(),
            // Nothing is lost: the next start reads the segment itself.
            Err(error) => warn!(%error, "spool sidecar not written"),
        }
    }

    /// Removes segments without anything that is still to be consumed. The directory need not be synced: a segment that comes
    /// back after a power cut still has its sidecar, which says where it ends.
    fn trim(&mut self) -> io::Result<()> {
        // Else a log of one fat, wholly consumed segment would stay full for ever.
        let is_stuck = *self.shared.state.borrow() == State::Full && self.end <= self.consumed;
        if is_stuck && self.active.as_ref().is_some_and(|active| !active.is_empty()) {
            self.rotate()?;
        }
        // The last one stays even when it is no longer written: it is what later positions are counted from.
        let last = self.shared.ledger().segments.back().map(|last| last.base);
        let is_held = |base: Position| last == Some(base) || self.unsealed.iter().any(|(unsealed, _)| *unsealed == base);
        let is_done = |segment: &&Segment| segment.end <= self.consumed || segment.end <= segment.base;
        let done: Vec<Segment> = self.shared.ledger().segments.iter().filter(is_done).copied().collect();
        for segment in done.into_iter().filter(|segment| !is_held(segment.base)) {
            // Out of the list first, so that no reader looks for a file that is gone.
            self.shared.ledger().segments.retain(|kept| kept.base != segment.base);
            if let Err(error) = remove_if_there(self.disk.as_ref(), &segment::file_name(segment.base)) {
                let segments = &mut self.shared.ledger().segments;
                let index = segments.partition_point(|kept| kept.base < segment.base);
                segments.insert(index, segment);
                return Err(error);
            }
        }
        Ok(())
    }

    fn note_error(&mut self, error: &io::Error) {
        self.last_error = error.to_string();
        self.shared.ledger().stats.disk_errors_total += 1;
    }

    fn refusal(&self) -> InboxError {
        InboxError::Disk(self.last_error.clone())
    }

    fn refresh_state(&mut self) {
        let used = self.shared.ledger().used_bytes();
        // A file system that does not say how much room it has will say so when there is none.
        let free = self.disk.free_bytes().unwrap_or(u64::MAX);
        let room = self.limits.max_bytes.saturating_sub(used).min(free);
        let needed = if self.is_open() { self.limits.reserve_bytes } else { self.limits.reserve_bytes * 2 };
        self.set_state(match &self.active {
            None => State::Failing,
            Some(_) if room < needed => State::Full,
            Some(_) => State::Open,
        });
    }

    fn set_state(&self, state: State) {
        if self.shared.state.send_replace(state) == state {
            return;
        }
        let used_bytes = self.shared.ledger().used_bytes();
        match state {
            State::Open | State::Closed => info!(state = state.as_str(), used_bytes, "spool state changed"),
            State::Full => warn!(state = state.as_str(), used_bytes, "spool state changed"),
            State::Failing => error!(state = state.as_str(), used_bytes, error = self.last_error, "spool state changed"),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.set_state(State::Closed);
        self.shared.tail.send_modify(|tail| tail.closed = true);
    }
}

/// A batch, sorted by what each payload needs.
#[derive(Default)]
struct Admitted {
    /// A write.
    first: Vec<Append>,
    /// Repeats of frames in `first`.
    again: Vec<Append>,
    /// What needs none.
    answered: Vec<(Append, Answer)>,
}

fn remove_if_there(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
