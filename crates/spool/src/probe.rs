//! Trying a disk before a spool is opened on it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::disk::TEMPORARY_SUFFIX;

/// How often the disk is asked to sync.
const SYNCS: usize = 20;

/// What is appended before each sync: about a small frame.
const APPEND_BYTES: usize = 4096;

/// What a disk showed of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskProbe {
    /// The existing directory in which it was tried: the spool's, or the nearest above it.
    pub directory: PathBuf,
    /// Bytes that this user may still write.
    pub free_bytes: u64,
    /// Bytes of the files that are in the spool already.
    pub used_bytes: u64,
    /// How long 20 appends of 4 KiB took, each with its sync; sorted.
    pub syncs: Vec<Duration>,
}

/// Measures the disk under `spool`, the directory of a spool, which need not exist and is not made. A temporary file is
/// written there and removed; a spool that is open at the time is not disturbed.
///
/// It blocks for as long as the disk takes.
///
/// # Errors
/// The disk refuses what a spool has to do.
pub fn probe(spool: &Path) -> io::Result<DiskProbe> {
    let absolute = std::path::absolute(spool)?;
    let directory = absolute.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(&absolute).to_owned();
    let used_bytes = if directory == absolute { bytes_in(&directory)? } else { 0 };
    let syncs = syncs(&directory)?;
    let volume = rustix::fs::statvfs(&directory)?;
    Ok(DiskProbe { directory, free_bytes: volume.f_bavail.saturating_mul(volume.f_frsize), used_bytes, syncs })
}

fn syncs(directory: &Path) -> io::Result<Vec<Duration>> {
    // A spool that starts removes what is left behind under such a name.
    let file = directory.join(format!(".freshet-check-{}{TEMPORARY_SUFFIX}", std::process::id()));
    let measured = append_and_sync(&file);
    let removed = fs::remove_file(&file);
    let mut times = measured?;
    removed?;
    times.sort_unstable();
    Ok(times)
}

fn append_and_sync(path: &Path) -> io::Result<Vec<Duration>> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    let bytes = [0x5a; APPEND_BYTES];
    let mut once = || {
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        Ok(begun.elapsed())
    };
    (0..SYNCS).map(|_| once()).collect()
}

fn bytes_in(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in directory.read_dir()? {
        // A segment may be deleted while we look.
        bytes += entry?.metadata().map_or(0, |metadata| metadata.len());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_measured_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("data/spool");
        let found = probe(&spool).unwrap();
        assert_eq!((found.directory.as_path(), found.used_bytes, found.syncs.len()), (folder.path(), 0, SYNCS));
        assert!(found.free_bytes > 0 && found.syncs.is_sorted() && found.syncs[0] > Duration::ZERO);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);

        fs::create_dir_all(&spool).unwrap();
        fs::write(spool.join("00000000000000000000.seg"), [0; 5000]).unwrap();
        let found = probe(&spool).unwrap();
        assert_eq!((found.directory.as_path(), found.used_bytes), (spool.as_path(), 5000));
        assert_eq!(spool.read_dir().unwrap().count(), 1);

        let in_the_way = folder.path().join("file");
        fs::write(&in_the_way, "x").unwrap();
        assert!(probe(&in_the_way.join("spool")).is_err());
    }
}
