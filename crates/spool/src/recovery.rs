//! Finding out on start what the log holds, whatever the last process was doing when it ended.

use std::collections::{BTreeMap, VecDeque};

use freshet_core::Position;
use tracing::{error, warn};

use crate::SpoolError;
use crate::disk::{Disk, TEMPORARY_SUFFIX};
use crate::ledger::{Segment, Timeline};
use crate::mark;
use crate::seen::{self, Entry, Seen, Sidecar};
use crate::segment::{self, HEADER_BYTES, Header, HeaderRead, Identity};
use crate::walk::{BLOCK_BYTES, Gap, Step, Walk};
use crate::window::{NO_KEY, Window};

/// What was found on start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments on disk.
    pub segments: usize,
    /// Payloads in them, consumed or not.
    pub records: u64,
    /// Bytes at the end of the log that a crash cut off in the middle of a write. No sender was told they were safe.
    pub torn_bytes: u64,
    /// Bytes that were once written well and can no longer be read, as far as they were not consumed. Data is lost.
    pub corrupt_bytes: u64,
    /// Where those bytes are; the first [`GAPS_MAX`] places.
    pub corrupt: Vec<Gap>,
}

/// How many places of damage [`Recovery`] lists.
pub const GAPS_MAX: usize = 100;

/// Everything the writer needs to go on.
pub(crate) struct Recovered {
    pub(crate) identity: Identity,
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) timeline: Timeline,
    pub(crate) window: Window,
    /// Where the durable log ends.
    pub(crate) end: Position,
    /// Beyond every position there ever was.
    pub(crate) next_base: Position,
    pub(crate) consumed: Position,
    /// Segments whose sidecars are missing or not surely durable: usually the last one.
    pub(crate) unsealed: Vec<(Position, Seen)>,
    /// The sidecars on disk.
    pub(crate) sidecars: Vec<Sidecar>,
    pub(crate) report: Recovery,
}

/// Reads the whole spool. Afterwards everything up to [`Recovered::end`] is durable.
pub(crate) fn recover(disk: &dyn Disk, window: Window, new_install_id: u128) -> Result<Recovered, SpoolError> {
    let names = disk.list().map_err(SpoolError::disk("list", "files"))?;
    for name in names.iter().filter(|name| name.ends_with(TEMPORARY_SUFFIX)) {
        disk.remove(name).map_err(SpoolError::disk("remove", name))?;
    }
    let mut found: Vec<Found> =
        names.iter().filter_map(|name| segment::base_of(name)).map(|base| Found::look(disk, base)).collect::<Result<_, _>>()?;
    found.sort_by_key(|found| found.base);
    let identity = identify(disk, &found, new_install_id)?;
    let consumed = mark::read_mark(disk).map_err(SpoolError::disk("read", "the consumed mark"))?;
    let mut recovered = Recovered {
        identity,
        segments: VecDeque::new(),
        timeline: Timeline::default(),
        window,
        end: 0,
        next_base: consumed,
        consumed,
        unsealed: Vec::new(),
        sidecars: Vec::new(),
        report: Recovery::default(),
    };
    recovered.drop_unborn(disk, &mut found)?;
    let sealed = recovered.read_sidecars(disk, &names, &found)?;
    recovered.end = found.first().and_then(|first| first.previous_end).unwrap_or(0);
    // What lies before the oldest segment was consumed, even if the mark is lost.
    recovered.consumed = consumed.max(recovered.end);
    for index in 0..found.len() {
        recovered.read_segment(disk, &found, index, &sealed)?;
    }
    recovered.end = recovered.end.max(consumed);
    recovered.report.segments = recovered.segments.len();
    Ok(recovered)
}

/// A segment file before its records are read.
struct Found {
    base: Position,
    bytes: u64,
    id: Option<u128>,
    /// From the header; `None` when that is damaged.
    previous_end: Option<Position>,
}

impl Found {
    fn look(disk: &dyn Disk, base: Position) -> Result<Self, SpoolError> {
        let name = segment::file_name(base);
        let read = || {
            let mut file = disk.open(&name)?;
            let mut header = [0; HEADER_BYTES as usize];
            let length = file.read_at(0, &mut header)?;
            Ok((file.length()?, Header::decode(&header[..length])))
        };
        let (bytes, header) = read().map_err(SpoolError::disk("read", &name))?;
        match header {
            HeaderRead::Good(header) if header.base == base => {
                Ok(Self { base, bytes, id: Some(header.id), previous_end: Some(header.previous_end) })
            }
            HeaderRead::Good(_) | HeaderRead::Damaged => Ok(Self { base, bytes, id: None, previous_end: None }),
            HeaderRead::Unknown(version) => Err(SpoolError::UnknownFormat { file: name, version }),
        }
    }

    fn walk(&self, disk: &dyn Disk, identity: Identity) -> Result<Walk, SpoolError> {
        let name = segment::file_name(self.base);
        Ok(Walk::new(disk.open(&name).map_err(SpoolError::disk("read", &name))?, identity, self.base))
    }

    fn end_of_file(&self) -> Position {
        self.base + self.bytes
    }

    fn has_records(&self, disk: &dyn Disk, identity: Identity) -> Result<bool, SpoolError> {
        let mut walk = self.walk(disk, identity)?;
        walk.extend(self.end_of_file());
        loop {
            match step(&mut walk)? {
                Step::Record(_) => return Ok(true),
                Step::Damaged(_) => {}
                Step::End => return Ok(false),
            }
        }
    }
}

fn step(walk: &mut Walk) -> Result<Step, SpoolError> {
    let base = walk.base();
    walk.step().map_err(|source| SpoolError::Disk { action: "read", file: segment::file_name(base), source })
}

/// Whose spool this is. Each segment names its owner too, so that losing the small file loses nothing.
fn identify(disk: &dyn Disk, found: &[Found], new_install_id: u128) -> Result<Identity, SpoolError> {
    let named = mark::read_install_id(disk).map_err(SpoolError::disk("read", "the install id"))?;
    let id = named.or_else(|| found.iter().find_map(|found| found.id)).unwrap_or(new_install_id);
    if let Some(foreign) = found.iter().find(|found| found.id.is_some_and(|owner| owner != id)) {
        return Err(SpoolError::Foreign { file: segment::file_name(foreign.base) });
    }
    if named.is_none() {
        mark::write_install_id(disk, id).map_err(SpoolError::disk("write", "the install id"))?;
    }
    Ok(Identity::new(id))
}

impl Recovered {
    /// Removes the last segments as long as not even their headers are whole. A header is synced before the first record is
    /// written, so they never held a payload that a sender was told is safe.
    fn drop_unborn(&mut self, disk: &dyn Disk, found: &mut Vec<Found>) -> Result<(), SpoolError> {
        while let Some(last) = found.last()
            && last.previous_end.is_none()
            && !last.has_records(disk, self.identity)?
        {
            let name = segment::file_name(last.base);
            if last.bytes > HEADER_BYTES {
                self.note_damage(Gap { from: last.base, to: last.end_of_file() });
            }
            self.next_base = self.next_base.max(last.end_of_file() + HEADER_BYTES);
            disk.remove(&name).map_err(SpoolError::disk("remove", &name))?;
            found.pop();
        }
        Ok(())
    }

    /// Reads the frames of segments that are gone, and where those that are still here ended.
    fn read_sidecars(&mut self, disk: &dyn Disk, names: &[String], found: &[Found]) -> Result<BTreeMap<Position, Position>, SpoolError> {
        let mut bases: Vec<Position> = names.iter().filter_map(|name| seen::base_of(name)).collect();
        bases.sort_unstable();
        let mut sealed = BTreeMap::new();
        for base in bases {
            let name = seen::file_name(base);
            let bytes = crate::disk::read_all(disk, &name).map_err(SpoolError::disk("read", &name))?;
            let is_alone = found.iter().all(|found| found.base != base);
            let Some(seen) = bytes.and_then(|bytes| Seen::decode(&bytes)) else {
                warn!(file = name, "spool sidecar damaged");
                // Beside its segment it will be written again. Alone it is of no use any more.
                if is_alone {
                    disk.remove(&name).map_err(SpoolError::disk("remove", &name))?;
                }
                continue;
            };
            self.sidecars.push(Sidecar::of(base, &seen));
            self.next_base = self.next_base.max(seen.end);
            if is_alone {
                self.remember(&seen.entries);
            } else {
                sealed.insert(base, seen.end);
            }
        }
        Ok(sealed)
    }

    /// The window itself forgets what is too old, if enough came after it: by the clock alone a frame could be forgotten
    /// while its sender still waits to repeat it.
    fn remember(&mut self, entries: &[Entry]) {
        for (key, at) in entries {
            self.window.insert(*key, *at);
        }
    }

    /// Reads the segment at `index`.
    fn read_segment(
        &mut self,
        disk: &dyn Disk,
        found: &[Found],
        index: usize,
        sealed: &BTreeMap<Position, Position>,
    ) -> Result<(), SpoolError> {
        let (segment, next) = (&found[index], found.get(index + 1));
        // A segment that was given up after a failed write may hold records that no sender was told are safe. They must
        // not come to life: their frames would count as seen, while the loader has passed their positions.
        let cut = match (sealed.get(&segment.base), next) {
            (Some(end), _) => *end,
            (None, Some(Found { base, previous_end: Some(end), .. })) => *end.min(base),
            (None, _) => segment.end_of_file(),
        };
        let is_unfinished = next.is_none() && !sealed.contains_key(&segment.base);
        let mut walk = segment.walk(disk, self.identity)?;
        walk.extend(cut);
        let Contents { last, entries } = self.read_records(&mut walk, is_unfinished)?;
        let end = if is_unfinished { last.unwrap_or(self.end) } else { cut.max(self.end) };
        self.remember(&entries);
        let mut bytes = segment.bytes;
        if last.is_some() {
            if segment.previous_end.is_none() {
                self.note_damage(Gap { from: segment.base, to: segment.base + HEADER_BYTES });
            }
            if is_unfinished {
                let rewritten = rewrite(disk, self.identity, segment, self.end, end);
                bytes = rewritten.map_err(SpoolError::disk("rewrite", &segment::file_name(segment.base)))?;
            }
            // The directory was synced after the sidecars of earlier segments and before the first record of this one. Without
            // that, a sidecar may be in the machine's memory only.
            self.unsealed.retain(|(base, _)| !sealed.contains_key(base));
        }
        self.unsealed.push((segment.base, Seen { end, entries }));
        self.next_base = self.next_base.max(segment.end_of_file()).max(cut);
        self.end = end;
        self.segments.push_back(Segment { base: segment.base, end, bytes });
        Ok(())
    }

    fn read_records(&mut self, walk: &mut Walk, is_unfinished: bool) -> Result<Contents, SpoolError> {
        let mut contents = Contents::default();
        let mut damage = None;
        loop {
            let step = step(walk)?;
            match damage.take() {
                Some(gap) if is_unfinished && step == Step::End => self.report.torn_bytes += Gap::bytes(&gap),
                Some(gap) => self.note_damage(gap),
                None => {}
            }
            match step {
                Step::Record(record) => {
                    contents.last = Some(record.position);
                    self.report.records += 1;
                    if record.key != NO_KEY {
                        contents.entries.push((record.key, record.received_at));
                    }
                    if record.position > self.consumed {
                        self.timeline.push(record.position, record.received_at);
                    }
                }
                Step::Damaged(gap) => damage = Some(gap),
                Step::End => return Ok(contents),
            }
        }
    }

    fn note_damage(&mut self, gap: Gap) {
        if gap.to <= self.consumed {
            return;
        }
        error!(from = gap.from, to = gap.to, "spool segment damaged");
        self.report.corrupt_bytes += gap.bytes();
        if self.report.corrupt.len() < GAPS_MAX {
            self.report.corrupt.push(gap);
        }
    }
}

/// What one segment holds.
#[derive(Default)]
struct Contents {
    /// Where the last record ends.
    last: Option<Position>,
    entries: Vec<Entry>,
}

/// Copies the last segment up to `end` into a file of its own, and that file into its place.
///
/// The bytes just read may be in the machine's memory only: written but not synced by a process that was killed, or dropped
/// by a disk whose sync failed. Syncing the file would not tell, because such a failure is reported once and then forgotten;
/// writing the bytes again does. What gets loaded from here must not vanish in a power cut, or its positions would be given
/// to other payloads, which the destination would then take for old ones.
fn rewrite(disk: &dyn Disk, identity: Identity, found: &Found, log_end: Position, end: Position) -> std::io::Result<u64> {
    let name = segment::file_name(found.base);
    let temporary = format!("{name}{TEMPORARY_SUFFIX}");
    let header = Header { id: identity.id, base: found.base, previous_end: found.previous_end.unwrap_or(log_end) };
    let mut source = disk.open(&name)?;
    let mut copy = disk.create(&temporary)?;
    copy.append(&header.encode())?;
    let length = end - found.base;
    let mut block = vec![0; BLOCK_BYTES];
    let mut at = HEADER_BYTES;
    while at < length {
        let wanted = usize::try_from(length - at).unwrap_or(usize::MAX).min(BLOCK_BYTES);
        let read = source.read_at(at, &mut block[..wanted])?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        copy.append(&block[..read])?;
        at += read as u64;
    }
    copy.sync()?;
    disk.rename(&temporary, &name)?;
    disk.sync_directory()?;
    Ok(length)
}
