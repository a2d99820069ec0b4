//! A disk in memory that forgets, tears, lies and dies, for tests of the spool and of what is built on it.
//!
//! Every fault follows from a seed, so a test that fails can be replayed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{AppendFile, Disk, ReadFile};

/// A small generator of numbers that look random and are the same for the same seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to but without `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct FaultyDisk(Arc<Mutex<Platter>>);

/// How a crash treats what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: the kernel still has everything.
    Process,
    /// The power is cut: what was not synced is kept, torn or lost, as chance will have it.
    Power,
}

#[derive(Clone)]
struct Platter {
    dice: Dice,
    files: Vec<Inode>,
    /// What programs see, and what is left after a power cut.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    capacity: u64,
    failing_syncs: u32,
    operations_left: Option<u64>,
    /// Whether an operation was refused because there were none left.
    has_refused: bool,
    syncs: u64,
}

#[derive(Clone, Default)]
struct Inode {
    data: Vec<u8>,
    /// Bytes that a sync was reported for.
    synced: usize,
    /// Bytes whose sync failed: later syncs succeed without saving them.
    doomed: Vec<Range<usize>>,
}

impl FaultyDisk {
    /// An empty, healthy disk whose faults follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Platter {
            dice: Dice::new(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            capacity: u64::MAX,
            failing_syncs: 0,
            operations_left: None,
            has_refused: false,
            syncs: 0,
        })))
    }

    /// Bytes that fit on the disk.
    pub fn set_capacity(&self, bytes: u64) {
        self.platter().capacity = bytes;
    }

    /// The next `count` syncs fail.
    pub fn fail_syncs(&self, count: u32) {
        self.platter().failing_syncs = count;
    }

    /// After `operations` more the disk refuses everything, the first of them half done.
    pub fn die_after(&self, operations: u64) {
        let mut platter = self.platter();
        platter.operations_left = Some(operations);
        platter.has_refused = false;
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        let mut platter = self.platter();
        platter.capacity = u64::MAX;
        platter.failing_syncs = 0;
        platter.operations_left = None;
        platter.has_refused = false;
    }

    /// Bytes in all files.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.platter().used_bytes()
    }

    /// Whether the operations of [`FaultyDisk::die_after`] are used up, and one more was tried.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.platter().has_refused
    }

    /// Files whose sync succeeded so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.platter().syncs
    }

    /// Bytes in the files whose names end in `suffix`.
    #[must_use]
    pub fn bytes_of(&self, suffix: &str) -> u64 {
        let platter = self.platter();
        let named = platter.names.iter().filter(|(name, _)| name.ends_with(suffix));
        named.map(|(_, index)| platter.files[*index].data.len() as u64).sum()
    }

    /// Another disk with the same files, as a copy of the directory would have them: all of it durable, and no faults.
    #[must_use]
    pub fn copy(&self) -> Self {
        let mut platter = self.platter().clone();
        platter.durable_names = platter.names.clone();
        for file in &mut platter.files {
            file.synced = file.data.len();
            file.doomed.clear();
        }
        let copy = Self(Arc::new(Mutex::new(platter)));
        copy.heal();
        copy
    }

    /// What is found after a crash. Handles from before must not be used any more.
    pub fn crash(&self, crash: Crash) {
        let mut platter = self.platter();
        platter.operations_left = None;
        platter.has_refused = false;
        if crash == Crash::Power {
            platter.cut_power();
        }
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platter {
    fn operate(&mut self) -> io::Result<()> {
        match &mut self.operations_left {
            Some(0) => {
                self.has_refused = true;
                Err(io::Error::other("the disk is dead"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|index| self.files[*index].data.len() as u64).sum()
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn take_sync_fault(&mut self) -> bool {
        let fails = self.failing_syncs > 0;
        self.failing_syncs = self.failing_syncs.saturating_sub(1);
        fails
    }

    fn cut_power(&mut self) {
        let all: BTreeSet<String> = self.names.keys().chain(self.durable_names.keys()).cloned().collect();
        let mut survivors = BTreeMap::new();
        for name in all {
            // Where the two agree it makes no difference.
            let side = if self.dice.one_in(2) { &self.names } else { &self.durable_names };
            if let Some(index) = side.get(&name) {
                survivors.insert(name, *index);
            }
        }
        self.names = survivors;
        self.durable_names = self.names.clone();
        for file in &mut self.files {
            file.cut_power(&mut self.dice);
        }
    }
}

impl Inode {
    fn cut_power(&mut self, dice: &mut Dice) {
        let unsynced = self.data.len() - self.synced;
        let kept = self.synced + dice.below(unsynced as u64 + 1) as usize;
        self.data.truncate(kept);
        // Pages reach the disk in any order: there may be a hole in what was not synced.
        if kept > self.synced && dice.one_in(3) {
            let hole = self.synced + dice.below((kept - self.synced) as u64) as usize;
            self.data[self.synced..hole].fill(0);
        }
        for range in self.doomed.drain(..) {
            if dice.one_in(2) {
                let end = range.end.min(kept);
                self.data[range.start.min(end)..end].fill(0);
            }
        }
        self.synced = self.data.len();
    }
}

impl Disk for FaultyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut platter = self.platter();
        platter.operate()?;
        Ok(platter.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn AppendFile>> {
        let mut platter = self.platter();
        platter.operate()?;
        // A file that is emptied and written again before a crash is as good as a new one here.
        let index = platter.files.len();
        platter.files.push(Inode::default());
        platter.names.insert(name.to_owned(), index);
        Ok(Box::new(Handle { disk: self.clone(), index }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn ReadFile>> {
        let index = self.platter().find(name)?;
        Ok(Box::new(Handle { disk: self.clone(), index }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut platter = self.platter();
        platter.operate()?;
        let index = platter.find(from)?;
        platter.names.remove(from);
        platter.names.insert(to.to_owned(), index);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut platter = self.platter();
        platter.operate()?;
        platter.find(name)?;
        platter.names.remove(name);
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut platter = self.platter();
        platter.operate()?;
        if platter.take_sync_fault() {
            return Err(io::Error::other("directory not synced"));
        }
        platter.durable_names = platter.names.clone();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let platter = self.platter();
        Ok(platter.capacity.saturating_sub(platter.used_bytes()))
    }
}

struct Handle {
    disk: FaultyDisk,
    index: usize,
}

impl AppendFile for Handle {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut platter = self.disk.platter();
        let operated = platter.operate();
        let room = platter.capacity.saturating_sub(platter.used_bytes());
        let mut length = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if operated.is_err() {
            length = platter.dice.below(length as u64 + 1) as usize;
        }
        platter.files[self.index].data.extend_from_slice(&bytes[..length]);
        operated?;
        if length < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut platter = self.disk.platter();
        let operated = platter.operate();
        let fails = platter.take_sync_fault();
        let file = &mut platter.files[self.index];
        let unsynced = file.synced..file.data.len();
        operated?;
        file.synced = file.data.len();
        if fails {
            file.doomed.push(unsynced);
            return Err(io::Error::other("file not synced"));
        }
        platter.syncs += 1;
        Ok(())
    }
}

impl ReadFile for Handle {
    fn length(&mut self) -> io::Result<u64> {
        Ok(self.disk.platter().files[self.index].data.len() as u64)
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let platter = self.disk.platter();
        let data = &platter.files[self.index].data;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
        let length = buffer.len().min(data.len() - start);
        buffer[..length].copy_from_slice(&data[start..start + length]);
        Ok(length)
    }
}
