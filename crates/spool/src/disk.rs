//! The few things the spool asks of a disk, as a trait, so that a test can be a worse disk than any shop sells.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::SpoolError;

/// One flat directory of files. Names are relative to it.
///
/// A name is sure to survive a power cut only after [`Disk::sync_directory`], a file's bytes only after [`AppendFile::sync`].
pub trait Disk: Send + Sync {
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// A new, empty file; an older one of that name is emptied.
    fn create(&self, name: &str) -> io::Result<Box<dyn AppendFile>>;
    /// An existing file, for reading.
    fn open(&self, name: &str) -> io::Result<Box<dyn ReadFile>>;
    /// Gives a file another name, in place of any that had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals up to now durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// Bytes that may still be written.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// A file being written, always at its end.
pub trait AppendFile: Send {
    /// Writes all of `bytes`. After an error any part of them may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything appended durable. After an error nothing may be believed about what was appended since the
    /// last success, whatever a further `sync` says: the kernel may have dropped the pages and forgotten that it did.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file being read.
pub trait ReadFile: Send {
    /// Its length in bytes.
    fn length(&mut self) -> io::Result<u64>;
    /// Fills `buffer` from `offset` on and returns how many bytes there were; fewer only at the end of the file.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// Writes a whole small file so that after a crash either the old or the new one is there, and the new one for sure.
pub(crate) fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    replace_unsynced(disk, name, bytes)?;
    disk.sync_directory()
}

/// Like [`replace`], but until the directory is synced it may be either one.
pub(crate) fn replace_unsynced(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}{TEMPORARY_SUFFIX}");
    let mut file = disk.create(&temporary)?;
    file.append(bytes)?;
    file.sync()?;
    disk.rename(&temporary, name)
}

/// Reads a whole small file; `None` when there is none.
pub(crate) fn read_all(disk: &dyn Disk, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut file = match disk.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; usize::try_from(file.length()?).unwrap_or(usize::MAX)];
    let length = file.read_at(0, &mut bytes)?;
    bytes.truncate(length);
    Ok(Some(bytes))
}

/// Ends the name of a file that was never finished; leftovers are removed on start.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// The file whose lock says that the directory is in use. It stays empty.
const LOCK_NAME: &str = "lock";

/// A directory of the machine's own file system, locked against other processes while this value lives.
pub(crate) struct RealDisk {
    directory: PathBuf,
    _lock: File,
}

impl RealDisk {
    /// Makes the directory where it is missing, and locks it.
    pub(crate) fn open(directory: &Path) -> Result<Self, SpoolError> {
        // Log lines carry customers' data: nobody else on the machine reads them.
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(SpoolError::disk("create", "the directory"))?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(directory.join(LOCK_NAME));
        let lock = lock.map_err(SpoolError::disk("create", LOCK_NAME))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::Locked { directory: directory.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(SpoolError::disk("lock", LOCK_NAME)(error)),
        }
        // A directory whose own name is lost in a power cut takes every segment with it.
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(SpoolError::disk("sync", "the parent directory"))?;
        }
        Ok(Self { directory: directory.to_owned(), _lock: lock })
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.directory.read_dir()? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn AppendFile>> {
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(self.directory.join(name))?;
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(RealFile(File::open(self.directory.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.directory.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let volume = rustix::fs::statvfs(&self.directory)?;
        Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
    }
}

struct RealFile(File);

impl AppendFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl ReadFile for RealFile {
    fn length(&mut self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.seek(SeekFrom::Start(offset))?;
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}
